# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# What the targets of the Makefile do, put together from the other parts. Sourced.

KERNEL=${KERNEL:-}

verb_deps() {
	ensure_toolchain
	ensure_source
	say "everything is there:"
	say "  rustc    $(rust_version "$RUSTC")  ($RUSTC)"
	say "  LLVM     $("$LLVM_BIN/clang" -dumpversion)  ($LLVM_BIN)"
	say "  bindgen  $("$BINDGEN" --version | cut -d ' ' -f 2)  ($BINDGEN)"
	say "  source   $KERNEL_SOURCE"
}

# kernel [NAME]: prints the build directory.
verb_kernel() {
	ensure_kernel "${1:-${KERNEL:-base}}"
	echo "$KOUT"
}

# module KERNEL VARIANT: prints the kernel's image and the reeve.ko.
verb_module() {
	ensure_kernel "$1"
	build_module "$1" "$2"
	echo "$KOUT/arch/x86/boot/bzImage"
	echo "$MODULE"
}

# modules: the module for a kernel of the user's, or for the test kernel.
verb_modules() {
	local kernel=${KERNEL:-base}
	if [ -n "${KDIR:-}" ]; then
		use_kdir
		kernel=kdir-$(echo "$KOUT" | hash_of)
	else
		ensure_kernel "$kernel"
	fi
	build_module "$kernel" normal
	say "insert it with: insmod $MODULE"
	echo "$MODULE"
}

# use_kdir: sets KOUT to the user's own kernel, if that can have Rust modules, and finds the tools for it; installs
# those that are missing, and no others.
use_kdir() {
	KOUT=$(cd "$KDIR" 2>/dev/null && pwd) || die "there is no directory KDIR=$KDIR" "Give the build directory of a kernel, with .config and vmlinux."
	TOOLS_FOR=module
	[ "$(kernel_config "$KOUT" CONFIG_CC_IS_CLANG)" = y ] || KERNEL_CC=gcc
	find_rust || true
	find_llvm || true
	find_bindgen || true
	# What can't be installed is said at once; then there is nothing to install, either.
	probe_kernel "$KOUT" || [ "$LACKING" = tools ] ||
		die "no module can be built for the kernel in KDIR=$KOUT" "What is missing, and what to do, is above."
	ensure_toolchain
	# A kernel built with gcc wants its modules built so, too.
	[ "${KERNEL_CC:-clang}" = clang ] || KMAKE=("${KMAKE[@]/LLVM=*/LLVM=}")
	probe_kernel "$KOUT" ||
		die "no module can be built for the kernel in KDIR=$KOUT" "What is missing, and what to do, is above."
}

# install: what is of no kernel.
verb_install() {
	ensure_toolchain
	build_guest
	rm -rf "$BUILD/pages"
	mkdir -p "$BUILD/pages"
	run_logged "manual pages and completions" "seconds; minutes the first time" "$LOGS/pages.log" last_line \
		"$here/make.sh" cargo run --package reevectl --example pages -- "$BUILD/pages" ||
		die "the manual pages were not made" "Log: $LOGS/pages.log"
	step "Installing below ${DESTDIR:-}${PREFIX:-/usr/local}"
	install_programs "$BUILD/pages" "$GUEST_BIN/reevectl"
}

# modules_install: the module, for a kernel of the user's or for the test kernel.
verb_modules_install() {
	verb_modules >/dev/null
	step "Installing the module"
	have depmod || die "there is no depmod" "Install the package kmod, or what your distribution calls it."
	install_module "$KOUT" "$MODULE"
}

verb_uninstall() { uninstall; }

verb_install_sources() { install_sources; }

verb_userland() {
	ensure_toolchain
	build_harness
	build_guest
	echo "$HARNESS"
	echo "$GUEST_BIN"
}

# machine_options KERNEL NAME: sets MACHINE, the harness's options for a VM that leaves its things in build/NAME.
machine_options() {
	MACHINE=(--kernel "${IMAGE:-$KOUT/arch/x86/boot/bzImage}" --module "$MODULE" --programs "$GUEST_BIN" --dir "$BUILD/$1"
		"--params=${PARAMS:-}" "--append=${KERNEL_APPEND:-}${APPEND:-}" "--qemu-args=${QEMU_ARGS:-}")
	[ -z "${MEM:-}" ] || MACHINE+=(--mem "$MEM")
	[ -z "${SMP:-}" ] || MACHINE+=(--smp "$SMP")
	[ -z "${DISK:-}" ] || MACHINE+=(--disk "$DISK")
	[ -z "${ACCEL:-}" ] || MACHINE+=(--accel "$ACCEL")
	[ -z "${TIMEOUT:-}" ] || MACHINE+=(--timeout "$TIMEOUT")
	[ "${LOAD:-1}" != 0 ] || MACHINE+=(--no-load)
	local file
	for file in ${FILES:-}; do
		[ -e "$file" ] || die "there is no file FILES=$file" "FILES= is a list of paths, relative to the directory that make runs in."
		MACHINE+=(--file "$file")
	done
}

# prepare KERNEL [VARIANT]: everything that a VM needs, with that build of the module; or with the IMAGE= of another
# kernel and the REEVE_KO= that was built for it.
prepare() {
	if [ -n "${IMAGE:-}" ]; then
		MODULE=${REEVE_KO:?is the module for the kernel IMAGE=}
		ensure_toolchain
	else
		ensure_kernel "$1"
		build_module "$1" "${2:-normal}"
	fi
	build_harness
	build_guest
}

verb_run() {
	prepare "${KERNEL:-base}"
	PARAMS=${PARAMS:-enable_builtin_tests=1}
	FILES='' LOAD=1
	machine_options run
	step "Running it"
	exec "$HARNESS" run "${MACHINE[@]}" --json "$BUILD/report.json"
}

verb_vm() {
	[ -n "${SCRIPT:-}" ] || die "make vm needs a script" "make vm SCRIPT=file [FILES=\"a b\"] [PARAMS=\"k=v\"] [KERNEL=debug] ..."
	[ -f "$SCRIPT" ] || die "there is no file SCRIPT=$SCRIPT" "Give the path of a script; it runs as root in the guest."
	prepare "${KERNEL:-base}" "${VARIANT:-normal}"
	machine_options "vm/$(basename "$SCRIPT")-$$"
	exec "$HARNESS" vm "${MACHINE[@]}" --script "$SCRIPT"
}

verb_shell() {
	TIMEOUT=
	prepare "${KERNEL:-base}"
	machine_options "vm/shell-$$"
	exec "$HARNESS" shell "${MACHINE[@]}"
}

verb_ext() {
	[ -n "${M:-}" ] || die "make ext needs a directory" "make ext M=directory [KERNEL=debug]"
	local kernel=${KERNEL:-base}
	ensure_kernel "$kernel"
	build_module "$kernel" normal
	build_ext "$M" "$kernel"
	say "try it with: make vm KERNEL=$kernel FILES=$M/NAME.ko SCRIPT=..."
}

verb_test() {
	ensure_toolchain
	build_harness
	# Also of the builds that users get, where other things are unused than where the tests are.
	export REEVE_WERROR=1
	exec "$HARNESS" test --root "$REEVE_ROOT" --build "$BUILD" --jobs "$JOBS"
}

# bench_parts KERNEL: builds what is measured on that kernel, in build/bench/KERNEL.
bench_parts() {
	local dir=$BUILD/bench/$1 sources=$REEVE_ROOT/selftests/modules/bench reference program
	ensure_kernel "$1"
	build_module "$1" bench
	build_ext "$sources" "$1"
	mkdir -p "$dir"
	ln -sf "$KOUT/arch/x86/boot/bzImage" "$dir/bzImage"
	ln -sf "$MODULE" "$dir/reeve.ko"
	cp "$sources/reeve_bench.ko" "$dir/"
	# The reference of page accounting and what it needs; the harness has the same list.
	[ "$1" = bench ] || return 0
	cp "$sources/ttm_bench.ko" "$sources/gem_bench.ko" "$sources/bo_bench.ko" "$dir/"
	build_programs
	for program in "${BENCH_PROGRAMS[@]}"; do
		take_program "$PROGRAMS/bench/$program" "$dir"
	done
	for reference in i2c/i2c-core gpu/drm/drm_panel_orientation_quirks gpu/drm/drm gpu/drm/ttm/ttm \
		gpu/drm/drm_shmem_helper; do
		cp "$KOUT/drivers/$reference.ko" "$dir/"
	done
	(
		take_workspace
		run_logged "building what measures the back end of vhost-user" "seconds to minutes" "$LOGS/vhost-bench.log" last_line \
			"$here/make.sh" cargo build --package reeve-vhost-user --bins --examples
		for program in reeve-vhost-peer examples/reeve-vhost-bench; do
			"$LLVM_BIN/llvm-strip" -o "$dir/$(basename "$program")" "$REEVE_WORKSPACE/target/$TARGET/debug/$program"
		done
	)
}

verb_bench() {
	local options=(--dir "$BUILD/bench" --json "$BUILD/bench.json")
	case ${KERNEL:-} in
	'')
		say "make bench takes about seven minutes; an hour the first time, for two kernels that only it needs"
		;;
	bench)
		say "make bench KERNEL=bench leaves out the rows that compare with lockdep"
		options+=(--kernel bench)
		;;
	*) die "make bench does not measure on the kernel '$KERNEL'" "KERNEL=bench leaves out lockdep; without KERNEL= all is measured." ;;
	esac
	bench_parts bench
	[ -n "${KERNEL:-}" ] || bench_parts bench-lockdep
	build_harness
	step "Measuring"
	[ "${STRICT:-0}" = 0 ] || options+=(--strict)
	exec "$HARNESS" bench "${options[@]}"
}

# checks: prints the names of what lint checks.
verb_checks() { printf '%s\n' "${LINT_CHECKS[@]}"; }

# check NAME: one of them; its complaints go to stdout.
verb_check() {
	ensure_kernel base
	"check_$1"
}

# cargo VERB ARGUMENT...: cargo in the workspace of the programs.
verb_cargo() {
	ensure_toolchain
	workspace "$@"
}

# cargo_test: the tests of this machine's programs; cargo's words go to stdout.
verb_cargo_test() {
	ensure_toolchain
	REEVE_FUZZ_SECONDS=${REEVE_FUZZ_SECONDS:-30} workspace test --workspace --exclude reeve-vhost-user --no-fail-fast 2>&1
}

# vhost_test: the vhost-user peer and the check, without QEMU.
verb_vhost_test() {
	ensure_toolchain
	# A run that is known by its seed can be repeated.
	export REEVE_SEED=${REEVE_SEED:-$(date +%s)}
	echo "REEVE_SEED=$REEVE_SEED"
	REEVE_FUZZ_SECONDS=${REEVE_FUZZ_SECONDS:-30} workspace test --package reeve-vhost-user --no-fail-fast --lib --bins \
		--test bare --test conformance --test fuzz --test peer --test proxy --test refusals 2>&1
}

# flows KERNEL MIB ARGUMENT...: real QEMU as the front end, its guest that kernel with reeve.ko where Reeve matters. A
# line for each test.
flows() {
	local kernel=$1 mib=$2 dir=$BUILD/vhost/$1
	shift 2
	prepare "$kernel"
	mkdir -p "$dir"
	printf '#!/bin/sh\nexec reeve-vhost-guest\n' >"$dir/script.sh"
	PARAMS=enable_builtin_tests=1 FILES='' LOAD=1 TIMEOUT=
	machine_options "vhost/$kernel"
	"$HARNESS" initramfs "${MACHINE[@]}" --script "$dir/script.sh" --out "$dir/initramfs.cpio"
	# In the foreground, and not by exec: there may be another one to come.
	REEVE_FLOW_KERNEL=$KOUT/arch/x86/boot/bzImage REEVE_FLOW_INITRAMFS=$dir/initramfs.cpio REEVE_FLOW_MIB=$mib \
		workspace test --package reeve-vhost-user --test flows -- "$@" 2>&1
}

# vhost_flows: one pass of each flow and of the migrations, for make test.
verb_vhost_flows() { flows base 256; }

# migration-test: all sizes and kinds of memory, then Reeve's migration again, and on the debug kernel.
verb_migration_test() {
	flows base 256 --all
	flows base 256 migrate/objects
	flows debug 640 read-guest-mem/objects migrate/objects
}

# docs: the documentation of all code, and the parts of Documentation/ that are made from it.
verb_docs() {
	ensure_kernel base
	run_logged "writing the diagrams in Documentation/" "seconds to a minute" "$LOGS/docs-diagrams.log" - \
		env "REEVE_WRITE_DOCS=$REEVE_ROOT/Documentation" "$here/make.sh" cargo test --package reeve-host --test states_doc
	run_logged "the module's documentation" "about a minute" "$LOGS/docs-module.log" - "$here/make.sh" check module_doc
	run_logged "the programs' documentation" "about a minute" "$LOGS/docs-programs.log" - "$here/make.sh" check programs_doc
	say "begin with one of these:"
	say "  Documentation/README.md"
	say "  $BUILD/doc/module/reeve_main/index.html"
	say "  $BUILD/doc/programs/reeve_harness/index.html"
}

# rust-analyzer: build/rust-project.json, by which an editor knows the kernel's crates, our bindings and cfgs.
verb_rust_analyzer() {
	local out bindings project=$BUILD/rust-project.json
	ensure_kernel base
	have python3 || die "there is no python3, with which the kernel writes rust-project.json" "Install it, or the package python3."
	# With the KUnit suites, so that their files are known, too; of a build of this checkout, not of one in the cache.
	build_module base test
	out=$(module_dir base test)
	bindings=$out/rust/abstractions/bindings_generated.rs
	run_logged "rust-project.json" "some seconds" "$LOGS/rust-analyzer.log" - \
		"${KMAKE[@]}" -C "$KOUT" M="$REEVE_ROOT" MO="$out" rust-analyzer ||
		die "the kernel made no rust-project.json" "Log: $LOGS/rust-analyzer.log"
	complete_project "$out/rust-project.json" "$bindings" >"$project"
	say "have your editor use both (rust-analyzer.linkedProjects):"
	say "  $project"
	say "  $REEVE_ROOT/selftests/Cargo.toml"
	echo "$project"
}

# complete_project FILE BINDINGS: prints the project with what the kernel does not know of us: the variable by which the
# module includes its bindings, and the cfg of its KUnit suites.
complete_project() {
	sed -e "s#^\( *\)\"RUST_MODFILE\": .*[^,]\(,\{0,1\}\)\$#\1\"REEVE_BINDINGS\": \"$2\",\n&#" \
		-e 's#^\( *\)"cfg": \[$#&\n\1    "reeve_kunit",#' "$1"
}

verb_lint() {
	ensure_toolchain
	build_harness
	exec "$HARNESS" lint --root "$REEVE_ROOT" --build "$BUILD" --jobs "$JOBS"
}

# fuzz_machine KERNEL: sets MACHINE; on the disk that outlives it the programs that ran last are noted.
fuzz_machine() {
	local dir=$BUILD/fuzz
	prepare "$1"
	mkdir -p "$dir"
	rm -f "$dir/last.img"
	truncate -s 16M "$dir/last.img"
	# What ran when the kernel complained is what was noted last.
	APPEND="panic_on_warn=1 ${APPEND:-}"
	PARAMS="enable_builtin_tests=1 devices=2" LOAD=1 DISK=512
	QEMU_ARGS="-drive file=$dir/last.img,format=raw,if=virtio,cache=unsafe ${QEMU_ARGS:-}"
	machine_options fuzz
	MACHINE+=(--after-splat 1)
}

# fuzz: programs of every call from several processes, on a debug kernel that says what code they reach. Those that
# reached something are kept in the cache; those that were running when something failed go to build/fuzz/failed.txt.
verb_fuzz() {
	local kernel=${KERNEL:-fuzz} dir=$BUILD/fuzz corpus=$REEVE_CACHE/fuzz/corpus.txt
	local seconds=${FUZZ_SECONDS:-600} options=()
	if [ -n "${MINIMISE:-}" ]; then
		ensure_toolchain
		build_guest
		step "Leaving out what it fails without"
		"$GUEST_BIN/reeve-fuzz" minimise "$MINIMISE" -- "$here/make.sh" fuzz_replay
		return
	fi
	if [ -n "${REPLAY:-}" ]; then
		verb_fuzz_replay "$REPLAY"
		return
	fi
	TIMEOUT=$((seconds * 4 + 600)) FILES=''
	if [ -e "$corpus" ]; then
		FILES=$corpus
		options+=(--corpus corpus.txt)
	fi
	fuzz_machine "$kernel"
	[ -z "${SEED:-}" ] || options+=(--seed "$SEED")
	printf '#!/bin/sh\nexec reeve-fuzz run --seconds %s --swap /dev/vda --last /dev/vdb --out /out %s\n' \
		"$seconds" "${options[*]}" >"$dir/run.sh"
	step "Fuzzing for $seconds seconds"
	if ! "$HARNESS" vm "${MACHINE[@]}" --script "$dir/run.sh"; then
		"$GUEST_BIN/reeve-fuzz" last "$dir/last.img" >"$dir/failed.txt"
		die "something failed" "What ran last: $dir/failed.txt" "Once more: make fuzz KERNEL=$kernel REPLAY=$dir/failed.txt" \
			"Only what matters: make fuzz KERNEL=$kernel MINIMISE=$dir/failed.txt"
	fi
	(
		rm -rf "$dir/out"
		mkdir -p "$dir/out" "$(dirname "$corpus")"
		cd "$dir/out"
		cpio --quiet -idm <"$dir/out.cpio"
		[ ! -s corpus.txt ] || mv corpus.txt "$corpus"
	)
	[ ! -s "$dir/out/reached.txt" ] || fuzz_coverage "$dir"
}

# fuzz_coverage DIR: counts the lines of rust/ that were reached. The module is linked so that what its debug information
# says of addresses is final.
fuzz_coverage() {
	"$LLVM_BIN/ld.lld" --unresolved-symbols=ignore-all --entry=0 -Ttext=0x10000000 -o "$1/linked" "$MODULE"
	step "Lines of rust/ that were reached"
	"$HARNESS" coverage --module "$MODULE" --linked "$1/linked" --reached "$1/out/reached.txt" --source "$REEVE_ROOT/rust" \
		--missed "$1/missed.txt"
	say "lines that were not reached: $1/missed.txt; programs that reached something new: $corpus"
}

# fuzz_replay FILE: runs the programs of a file side by side; fails if the guest does.
verb_fuzz_replay() {
	TIMEOUT=600 FILES=$1
	fuzz_machine "${KERNEL:-fuzz}"
	printf '#!/bin/sh\nexec reeve-fuzz replay "%s"\n' "$(basename "$1")" >"$BUILD/fuzz/replay.sh"
	"$HARNESS" vm "${MACHINE[@]}" --script "$BUILD/fuzz/replay.sh"
}
