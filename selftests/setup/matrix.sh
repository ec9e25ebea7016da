# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# `make matrix`: the same module on kernels of other kinds, and a table of what came of it. Sourced.
#
# A row is a kernel of selftests/configs, a column something that is run in a guest of its own: so what one leaves
# behind, or a kernel that stops, is no other's.

MATRIX_ROWS=(base bench gcc rt nosmp distro)

# What is run of the guest's tests: everything that uses pages in some way, as far as it takes seconds.
MATRIX_TESTS=(arguments. budgets. caching. content. counters. create. debugfs. dirty_log. faults. handles. held. life.
	limits. mmap. parameters. pins. pool. ranges. sanity. sharing. shmem. swap. tracepoints.)

# Modules that use the lock tracker as drivers do, each with a script that judges it. The second kind inserts Reeve
# itself.
MATRIX_MODULES=(life held stress promises)
MATRIX_MODULES_BEFORE=(guards across)

# about_kernel NAME: what kind of kernel it is, in a few words.
about_kernel() {
	case $1 in
	base) echo "clang, small, the kernel's helpers called" ;;
	bench) echo "clang, fast, the kernel's helpers inlined" ;;
	gcc) echo "gcc, small, MODVERSIONS, only signed modules" ;;
	rt) echo "clang, small, PREEMPT_RT, lockdep" ;;
	nosmp) echo "clang, small, no SMP" ;;
	distro) echo "clang, as a distribution has it" ;;
	*) echo "$1" ;;
	esac
}

# table_head: the first lines of the table.
table_head() {
	echo "| kernel | lock sanity | shrink report | KUnit | guest's tests | modules of the lock tracker |"
	echo "|---|---|---|---|---|---|"
}

# ended LOG: how the machine of a run ended.
ended() { sed -n 's/^vm: exit //p' "$1" 2>/dev/null | tail -n 1; }

# ktap_count LOG DEPTH: how many cases passed, failed and were skipped, in words. DEPTH is the indentation of cases.
# (What the kernel itself prints begins with the time.)
ktap_count() {
	awk -v depth="$2" '
		{ gsub(/\r/, "") }
		match($0, /^ *(not )?ok [0-9]+ /) {
			indent = match($0, /[^ ]/) - 1
			if (indent != depth) next
			if ($0 ~ /# SKIP/) skipped++; else if ($0 ~ /^ *not/) failed++; else passed++
		}
		END {
			printf "%d passed", passed
			if (failed) printf ", %d failed", failed
			if (skipped) printf ", %d skipped", skipped
		}' "$1"
}

# sanity_count LOG: what the sanity suite says of itself.
sanity_count() { sed -n 's/^\([0-9]* of [0-9]*\) cases passed, .*$/\1/p' "$1" | tail -n 1; }

# matrix_vm ROW WHAT SCRIPT [NAME=VALUE...]: boots that kernel for the script, with these variables of `make vm`. Prints
# the log's name. Fails as the run does.
matrix_vm() {
	local row=$1 what=$2 script=$3
	shift 3
	MATRIX_LOG=$BUILD/matrix/$row/$what.log
	run_logged "  $row: $what" "seconds to minutes" "$MATRIX_LOG" last_line \
		env "KERNEL=$row" "SCRIPT=$script" "TIMEOUT=${TIMEOUT:-900}" "$@" "$here/make.sh" vm
}

# cell STATUS LOG WORDS: what stands in the table.
cell() {
	if [ "$1" -eq 0 ]; then
		echo "$3"
	else
		echo "**failed**: $3 ($(ended "$2" | tr '|' '/'))"
	fi
}

# guest_script FILE COMMAND...: writes a script for the guest.
guest_script() {
	local file=$1
	shift
	printf '#!/bin/sh\nexport REEVE_TIME_SCALE=3 NO_COLOR=1\nexec %s\n' "$*" >"$file"
}

# matrix_row NAME: builds and runs; prints the table's line. Fails if something in it failed.
matrix_row() {
	local row=$1 dir=$BUILD/matrix/$1 kind line rc failed=0
	mkdir -p "$dir"
	line="| $(about_kernel "$row") (\`KERNEL=$row\`)"
	# By another process: a function that is asked for its status goes on after what failed in it.
	if ! "$here/make.sh" module "$row" normal >"$dir/normal" || ! "$here/make.sh" module "$row" test >"$dir/test"; then
		echo "$line | **did not build** | | | | |"
		return 1
	fi
	for kind in sanity report kunit tests modules; do
		rc=0
		"matrix_$kind" "$row" "$dir" || rc=1
		failed=$((failed | rc))
		line="$line | $CELL"
	done
	echo "$line |"
	return "$failed"
}

matrix_sanity() {
	local rc=0
	guest_script "$2/sanity.sh" reevectl lock-sanity
	matrix_vm "$1" sanity "$2/sanity.sh" PARAMS=enable_builtin_tests=1 || rc=$?
	CELL=$(cell "$rc" "$MATRIX_LOG" "$(sanity_count "$MATRIX_LOG")")
	return "$rc"
}

matrix_report() {
	local rc=0
	guest_script "$2/report.sh" reevectl report
	matrix_vm "$1" report "$2/report.sh" PARAMS=enable_builtin_tests=1 || rc=$?
	CELL=$(cell "$rc" "$MATRIX_LOG" "$(sed -n 's/^verdict: *//p' "$MATRIX_LOG" | tr -d '\r' | tail -n 1)")
	return "$rc"
}

matrix_kunit() {
	local rc=0 words
	cp "$REEVE_ROOT/selftests/crates/harness/src/guest/kunit.sh" "$2/kunit.sh"
	matrix_vm "$1" kunit "$2/kunit.sh" LOAD=0 VARIANT=test || rc=$?
	# The script does not judge.
	words=$(ktap_count "$MATRIX_LOG" 4)
	[[ $words != *failed* ]] || rc=1
	CELL=$(cell "$rc" "$MATRIX_LOG" "$words")
	return "$rc"
}

# What a machine has two memory nodes by; MEM=1024 and SMP=2 go with it.
TWO_NODES="-object memory-backend-ram,id=m0,size=512M -object memory-backend-ram,id=m1,size=512M"
TWO_NODES+=" -numa node,nodeid=0,cpus=0-1,memdev=m0 -numa node,nodeid=1,memdev=m1"

# That of a distribution has nodes and cpusets.
matrix_tests() {
	local rc=0 nodes=()
	[ "$1" != distro ] || nodes=(MEM=1024 SMP=2 "QEMU_ARGS=$TWO_NODES")
	guest_script "$2/tests.sh" reeve-guest-tests "${MATRIX_TESTS[*]}"
	matrix_vm "$1" tests "$2/tests.sh" PARAMS=enable_builtin_tests=1 ${nodes[@]+"${nodes[@]}"} || rc=$?
	CELL=$(cell "$rc" "$MATRIX_LOG" "$(ktap_count "$MATRIX_LOG" 0)")
	return "$rc"
}

# Each module is built in a copy: its directory may hold another kernel's, which a test is about to use.
matrix_modules() {
	local row=$1 dir=$2 module failed=0 words='' reeve files
	reeve=$(sed -n 2p "$dir/normal")
	for module in "${MATRIX_MODULES[@]}" "${MATRIX_MODULES_BEFORE[@]}"; do
		rm -rf "$dir/$module"
		cp -r "$REEVE_ROOT/selftests/modules/$module" "$dir/$module"
		rm -f "$dir/$module"/*.ko
		if ! env "KERNEL=$row" "M=$dir/$module" "$here/make.sh" ext; then
			words="$words, $module **did not build**"
			failed=1
			continue
		fi
		files=$(echo "$dir/$module"/*.ko)
		set -- LOAD=1
		case " ${MATRIX_MODULES_BEFORE[*]} " in
		*" $module "*)
			set -- LOAD=0
			files="$reeve $files"
			;;
		esac
		if matrix_vm "$row" "module-$module" "$dir/$module/run.sh" "FILES=$files" "$@"; then
			words="$words, $module"
		else
			words="$words, $module **failed** ($(ended "$MATRIX_LOG" | tr '|' '/'))"
			failed=1
		fi
	done
	CELL=${words#, }
	return "$failed"
}

verb_matrix() {
	local row rows=("${MATRIX_ROWS[@]}" "${MATRIX_PACKAGES[@]}") failed=0 table=$BUILD/matrix.md kernels=() packages=()
	# shellcheck disable=SC2206 # a list
	[ -z "${ROWS:-}" ] || rows=($ROWS)
	for row in "${rows[@]}"; do
		case " ${MATRIX_PACKAGES[*]} ${MATRIX_BY_NAME[*]} " in
		*" $row "*) packages+=("$row") ;;
		*)
			kernel_fragments "$row" >/dev/null
			kernels+=("$row")
			;;
		esac
	done
	say "make matrix builds and boots ${#kernels[@]} kernels; about ten minutes for each, twenty the first time"
	[ ${#packages[@]} -eq 0 ] || say "and tries packages: ${packages[*]}"
	mkdir -p "$BUILD/matrix"
	ensure_toolchain
	ensure_source
	echo "$(date +%F), $(basename "$KERNEL_SOURCE"):" >"$table"
	[ ${#kernels[@]} -eq 0 ] || { echo && table_head; } >>"$table"
	for row in ${kernels[@]+"${kernels[@]}"}; do
		step "The $row kernel: $(about_kernel "$row")"
		matrix_row "$row" >>"$table" || failed=1
	done
	[ ${#packages[@]} -eq 0 ] || { echo && package_table_head; } >>"$table"
	for row in ${packages[@]+"${packages[@]}"}; do
		step "Packages: $row"
		"matrix_$row" >>"$table" || failed=1
	done
	step "$(near "$table")"
	cat "$table"
	[ "$failed" -eq 0 ] || die "not everything went well" "Logs: $(near "$BUILD")/matrix/"
}
