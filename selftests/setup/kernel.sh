# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds the test kernels: tinyconfig plus the fragments of selftests/configs. Sourced.
#
# A build is known by what went into it (source, fragments, toolchain), so a changed fragment is a new build and
# an old one is still there when the change is taken back. An interrupted build is continued.

CONFIGS=$REEVE_ROOT/selftests/configs

# kernel_fragments NAME: the fragments of that kernel, in order: its own comes last, after those of the kernel that
# its line `# on top of: NAME` names, or else `base`.
kernel_fragments() {
	local fragment=$CONFIGS/$1.config parent
	[ -e "$fragment" ] ||
		die "there is no kernel '$1'" "KERNEL= is one of: $(cd "$CONFIGS" && echo *.config | sed 's/\.config//g')"
	if [ "$1" != base ]; then
		parent=$(sed -n 's/^# on top of: //p' "$fragment")
		kernel_fragments "${parent:-base}"
	fi
	echo "$fragment"
}

# fragment_line NAME FRAGMENT...: what the lines `# NAME: ...` of the fragments say, the last one last.
fragment_line() {
	local name=$1
	shift
	sed -n "s/^# $name: //p" "$@"
}

# kernel_tools FRAGMENT...: sets KMAKE to what builds this kernel, and its modules: with gcc if a fragment says
# `# compiler: gcc`. Installs what a fragment names in a line `# needs: FILE|PACKAGE`.
kernel_tools() {
	local need packages=()
	while read -r need; do
		have "${need%|*}" || packages+=("${need#*|}")
	done < <(fragment_line needs "$@")
	[ ${#packages[@]} -eq 0 ] || (install_packages "${packages[@]}")
	COMPILER=$(fragment_line compiler "$@" | tail -n 1)
	case $COMPILER in
	'' | clang) COMPILER=clang ;;
	gcc) KMAKE=("${KMAKE[@]/LLVM=*/LLVM=}") ;;
	*) die "a fragment names the compiler '$COMPILER'" "Known: clang gcc" ;;
	esac
}

# compiler_id: what has to be said of the compiler beside toolchain_id: of gcc, which that knows nothing of.
compiler_id() { [ "$COMPILER" = clang ] || gcc --version | sed -n 1p; }

# kernel_objects NAME: how many lines a build of it prints, for the progress display only.
kernel_objects() {
	case $1 in
	base) echo 2080 ;;
	bench*) echo 2000 ;;
	rt) echo 2130 ;;
	nosmp) echo 1700 ;;
	gcc) echo 1900 ;;
	distro) echo 3000 ;;
	*) echo 2350 ;;
	esac
}

# ensure_kernel NAME: sets KOUT to the directory of that kernel, built, and KERNEL_APPEND to the arguments that its
# fragments want it to be booted with: lines `# append: ...`, which are no part of the build.
ensure_kernel() {
	local name=$1 key fragments
	ensure_toolchain
	ensure_source
	mapfile -t fragments < <(kernel_fragments "$name")
	[ ${#fragments[@]} -gt 0 ] || exit 1
	kernel_tools "${fragments[@]}"
	KERNEL_APPEND=$(fragment_line append "${fragments[@]}" | tr '\n' ' ')
	key=$({
		echo "$SOURCE_ID"
		toolchain_id
		compiler_id
		cat "${fragments[@]}" | sed '/^# append: /d'
	} | hash_of)
	KOUT=$REEVE_CACHE/kernel/$name-$key
	# A tree of the user's own may have changed; asking make is the only way to know.
	if [ -e "$KOUT/.reeve-complete" ] && [ -z "${KERNEL_SRC:-}" ]; then return; fi
	(build_kernel "$name" "${fragments[@]}")
}

build_kernel() {
	local name=$1 log=$KOUT/reeve-build.log minutes=7
	shift
	case $name in base | nosmp | gcc) ;; *) minutes=12 ;; esac
	with_lock "kernel-$(basename "$KOUT")"
	if [ -e "$KOUT/.reeve-complete" ] && [ -z "${KERNEL_SRC:-}" ]; then return; fi
	mkdir -p "$KOUT"
	[ -e "$KOUT/.reeve-complete" ] || step "Building the $name test kernel from $(basename "$KERNEL_SOURCE")"
	check_toolchain "$KERNEL_SOURCE" "$KOUT"
	[ -e "$KOUT/.reeve-configured" ] || configure_kernel "$@"
	OBJECTS=$(kernel_objects "$name")
	run_logged "make bzImage modules" "about $minutes minutes on two cores, once" "$log" kernel_progress \
		"${KMAKE[@]}" -C "$KERNEL_SOURCE" O="$KOUT" bzImage modules ||
		die "the $name kernel did not build" "Log: $log" \
			"To start it over: rm -r $KOUT"
	touch "$KOUT/.reeve-complete"
}

# configure_kernel FRAGMENT...: writes $KOUT/.config, and insists on every line of the fragments.
configure_kernel() {
	local log=$LOGS/kernel-config.log
	if ! {
		"${KMAKE[@]}" -C "$KERNEL_SOURCE" O="$KOUT" tinyconfig &&
			cat "$@" >"$KOUT/reeve-fragment" &&
			(cd "$KERNEL_SOURCE" && scripts/kconfig/merge_config.sh -m -O "$KOUT" "$KOUT/.config" "$KOUT/reeve-fragment") &&
			"${KMAKE[@]}" -C "$KERNEL_SOURCE" O="$KOUT" olddefconfig
	} >"$log" 2>&1; then
		show_failure "$log"
		die "configuring the kernel failed" "Log: $log"
	fi
	check_fragment "$KOUT/reeve-fragment" "$KOUT/.config"
	touch "$KOUT/.reeve-configured"
}

# check_fragment FRAGMENT CONFIG: does CONFIG say what FRAGMENT asked for? A later line of the fragment wins.
check_fragment() {
	local refused
	refused=$(awk '
		function setting(line) {
			if (match(line, /^CONFIG_[A-Za-z0-9_]+=/)) {
				name = substr(line, 1, RLENGTH - 1); value = substr(line, RLENGTH + 1); return 1
			}
			if (match(line, /^# CONFIG_[A-Za-z0-9_]+ is not set/)) {
				split(line, word, " "); name = word[2]; value = "n"; return 1
			}
			return 0
		}
		NR == FNR { if (setting($0)) asked[name] = value; next }
		setting($0) { got[name] = value }
		END {
			for (name in asked) {
				have = (name in got) ? got[name] : "n"
				if (have != asked[name]) print name "=" asked[name] " (it says " have ")"
			}
		}' "$1" "$2" | sort)
	[ -z "$refused" ] || die "the kernel did not take these lines of the fragments in selftests/configs:" "$refused" \
		"A dependency is missing, or the option is called something else in this source."
}

# kernel_progress LOG: counts what was compiled so far.
kernel_progress() {
	local count
	count=$(grep -cE '^  (CC|AS|LD|AR|RUSTC|HOSTCC)' "$1" || true)
	echo "$count of about $OBJECTS objects"
}
