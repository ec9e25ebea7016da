# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds reeve.ko, and other people's modules against it. Sourced.

# module_dir KERNEL VARIANT: where that build goes.
module_dir() { echo "$BUILD/module/$1-$2"; }

# build_module KERNEL VARIANT: sets MODULE to the reeve.ko of that variant, built against KOUT.
#
# normal: what a user gets. test: with the KUnit suites. bench: with the measurements. break-...: a test build with
# one deliberate mistake, to see that the tests notice. lint: warnings are errors, and clippy looks on.
build_module() {
	local kernel=$1 variant=$2 out log options=()
	out=$(module_dir "$kernel" "$variant")
	log=$LOGS/module-$kernel-$variant.log
	case $variant in
	normal) ;;
	test) options=(REEVE_KUNIT=1 REEVE_WERROR=1) ;;
	bench) options=(REEVE_BENCH=1) ;;
	break-*) options=(REEVE_KUNIT=1 "REEVE_BREAK=${variant#break-}") ;;
	lint) options=(REEVE_KUNIT=1 REEVE_BENCH=1 REEVE_WERROR=1 CLIPPY=1) ;;
	*) die "there is no module variant '$variant'" "Known: normal test bench lint break-kunit break-selftest break-splat break-lockdep" ;;
	esac
	mkdir -p "$out"
	MODULE=$out/rust/reeve.ko
	(
		with_lock "module-$(echo "$out" | hash_of)"
		run_logged "building reeve.ko ($variant, for $kernel)" "under a minute" "$log" - \
			"${KMAKE[@]}" -C "$KOUT" M="$REEVE_ROOT" MO="$out" "${options[@]}" modules
	) || die "reeve.ko did not build" "Log: $log"
	[ -e "$MODULE" ] || die "the build made no $MODULE" "Log: $log"
}

# build_ext DIR KERNEL: builds the module in DIR against KOUT and the reeve.ko of KERNEL, and puts it into DIR.
build_ext() {
	local dir=$1 kernel=$2 out log made ko
	[ -e "$dir/Kbuild" ] || [ -e "$dir/Makefile" ] ||
		die "there is no Kbuild file in $dir" "M= is the directory of a module: its sources and a Kbuild with 'obj-m := x.o'."
	dir=$(cd "$dir" && pwd)
	out=$BUILD/ext/$kernel-$(basename "$dir")-$(echo "$dir" | hash_of)
	log=$LOGS/ext-$(basename "$dir").log
	mkdir -p "$out"
	(
		with_lock "module-$(echo "$out" | hash_of)"
		run_logged "building the module in $dir" "some seconds" "$log" - \
			"${KMAKE[@]}" -C "$KOUT" M="$dir" MO="$out" \
			"REEVE_INCLUDE=$REEVE_ROOT/rust/include" \
			"KCFLAGS=${KCFLAGS:-} -I$REEVE_ROOT/rust/include -I$REEVE_ROOT/rust/uapi" \
			"KBUILD_EXTRA_SYMBOLS=$(dirname "$MODULE")/../Module.symvers" modules
	) || die "the module in $dir did not build" "Log: $log"
	mapfile -t made < <(cd "$out" && find . -name '*.ko' | sort)
	[ ${#made[@]} -gt 0 ] || die "the build in $dir made no module" "Does its Kbuild say obj-m? Log: $log"
	for ko in "${made[@]}"; do
		install -m 644 "$out/$ko" "$dir/$(basename "$ko")"
		say "  $dir/$(basename "$ko")"
	done
}
