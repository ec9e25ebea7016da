# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds reeve.ko, and other people's modules against it. Sourced.

# module_dir KERNEL VARIANT: where that build goes.
module_dir() { echo "$BUILD/module/$1-$2"; }

# build_module KERNEL VARIANT: sets MODULE to the reeve.ko of that variant, built against KOUT.
#
# normal: what a user gets. test: with the KUnit suites. bench: with the measurements. break-...: one that makes
# a deliberate mistake, to see that the tests notice. lint: warnings are errors, and clippy looks on.
build_module() {
	local kernel=$1 variant=$2 out log options=() inputs
	out=$(module_dir "$kernel" "$variant")
	log=$LOGS/module-$kernel-$variant.log
	case $variant in
	normal) ;;
	test) options=(REEVE_KUNIT=1 REEVE_WERROR=1) ;;
	bench) options=(REEVE_BENCH=1) ;;
	break-kunit) options=(REEVE_KUNIT=1 REEVE_BREAK=kunit) ;;
	break-mistakes) options=(REEVE_BREAK=mistakes) ;;
	lint) options=(REEVE_KUNIT=1 REEVE_BENCH=1 REEVE_WERROR=1 CLIPPY=1) ;;
	*) die "there is no module variant '$variant'" "Known: normal test bench lint break-kunit break-mistakes" ;;
	esac
	MODULE=$out/rust/reeve.ko
	inputs=("$REEVE_ROOT/Kbuild" "$REEVE_ROOT/rust" -- "${options[@]}" "${REEVE_WERROR:-}")
	made_once "$out" "building reeve.ko ($variant, for $kernel)" "under a minute" "$log" \
		"${KMAKE[@]}" -C "$KOUT" M="$REEVE_ROOT" MO="$out" "${options[@]}" modules ||
		die "reeve.ko did not build" "Log: $log"
	[ -e "$MODULE" ] || die "the build made no $MODULE" "Log: $log"
	if grep -qx 'CONFIG_MODULE_SIG_FORCE=y' "$KOUT/.config"; then
		# Beside it: what is built is in the cache, and is kept as it is.
		mkdir -p "$out/signed"
		cp "$MODULE" "$out/signed/.new.$$"
		sign_module "$KOUT" "$out/signed/.new.$$"
		mv "$out/signed/.new.$$" "$out/signed/reeve.ko"
		MODULE=$out/signed/reeve.ko
	fi
}

# How many builds of modules the cache keeps.
MODULES_KEPT=100

# built_of FILE... -- WORD...: a name for what is built against KOUT of these files, and those below directories, and
# of these words. Nothing for a kernel that is not of the cache, and may change.
built_of() {
	local files=()
	while [ "$1" != -- ]; do
		files+=("$1")
		shift
	done
	case ${KDIR:-}${KERNEL_SRC:-} in ?*) return ;; esac
	{
		toolchain_id
		printf '%s\n' "$KOUT" "${KCFLAGS:-}" "$@"
		# By their names below the directory: the same in every checkout.
		for file in "${files[@]}"; do
			(cd "$(dirname "$file")" && find "$(basename "$file")" -type f ! -name '*.ko' -print0 | sort -z | xargs -0 sha256sum)
		done
	} | hash_of
}

# made_once DIR TITLE HOW_LONG LOG COMMAND...: DIR with what COMMAND makes in it, from the cache if that was made before
# of the same `inputs`, which are words for built_of.
made_once() (
	out=$1 title=$2 how_long=$3 log=$4
	shift 4
	name=$(built_of "${inputs[@]}")
	cached=$REEVE_CACHE/modules/$name
	with_lock "module-$(echo "$out" | hash_of)"
	mkdir -p "$out"
	if [ -z "$name" ]; then
		run_logged "$title" "$how_long" "$log" - "$@"
		exit
	fi
	[ "$(cat "$out/.made-of" 2>/dev/null)" != "$name" ] || exit 0
	if [ -e "$cached" ]; then
		touch "$cached"
		rm -rf "$out"
		cp -a "$cached" "$out"
		cp "$out/.build.log" "$log"
		exit 0
	fi
	rm -f "$out/.made-of"
	run_logged "$title" "$how_long" "$log" - "$@" || exit
	# What was changed meanwhile may be in it, or not.
	[ "$(built_of "${inputs[@]}")" = "$name" ] || exit 0
	cp "$log" "$out/.build.log"
	echo "$REEVE_ROOT" >"$out/.built-in"
	echo "$name" >"$out/.made-of"
	mkdir -p "$REEVE_CACHE/modules"
	new=$(mktemp -d "$REEVE_CACHE/modules/.new.XXXXXX")
	cp -a "$out/." "$new"
	# Another checkout may have been faster.
	mv -T "$new" "$cached" 2>/dev/null || rm -rf "$new"
	# shellcheck disable=SC2012 # the names are hashes
	ls -1t "$REEVE_CACHE/modules" | tail -n "+$((MODULES_KEPT + 1))" | while read -r old; do
		rm -rf "$REEVE_CACHE/modules/${old:?}"
	done
)

# build_ext DIR KERNEL: builds the module in DIR against KOUT and the reeve.ko of KERNEL, and puts it into DIR.
build_ext() {
	local dir=$1 kernel=$2 out log made ko inputs
	[ -e "$dir/Kbuild" ] || [ -e "$dir/Makefile" ] ||
		die "there is no Kbuild file in $dir" "M= is the directory of a module: its sources and a Kbuild with 'obj-m := x.o'."
	dir=$(cd "$dir" && pwd)
	out=$BUILD/ext/$kernel-$(basename "$dir")-$(echo "$dir" | hash_of)
	log=$LOGS/ext-$(basename "$dir").log
	inputs=("$dir" "$REEVE_ROOT/rust/include" "$REEVE_ROOT/rust/uapi" "$(dirname "$MODULE")/../Module.symvers" --)
	made_once "$out" "building the module in $dir" "some seconds" "$log" \
		"${KMAKE[@]}" -C "$KOUT" M="$dir" MO="$out" \
		"REEVE_INCLUDE=$REEVE_ROOT/rust/include" \
		"KCFLAGS=${KCFLAGS:-} -I$REEVE_ROOT/rust/include -I$REEVE_ROOT/rust/uapi" \
		"KBUILD_EXTRA_SYMBOLS=$(dirname "$MODULE")/../Module.symvers" modules ||
		die "the module in $dir did not build" "Log: $log"
	mapfile -t made < <(cd "$out" && find . -name '*.ko' | sort)
	[ ${#made[@]} -gt 0 ] || die "the build in $dir made no module" "Does its Kbuild say obj-m? Log: $log"
	for ko in "${made[@]}"; do
		install -m 644 "$out/$ko" "$dir/$(basename "$ko")"
		sign_if_forced "$KOUT" "$dir/$(basename "$ko")"
		say "  $dir/$(basename "$ko")"
	done
}
