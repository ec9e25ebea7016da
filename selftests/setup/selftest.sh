#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the setup scripts that need no kernel; prints KTAP.
# shellcheck disable=SC2317,SC2030,SC2031,SC2016 # the tests are called by their names, and each changes what it wants
# for itself; programs are written into files

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export REEVE_CACHE=$scratch/cache
# shellcheck source=selftests/setup/lib.sh
. "$here/lib.sh"
# shellcheck source=selftests/setup/packages.sh
. "$here/packages.sh"
# shellcheck source=selftests/setup/toolchain.sh
. "$here/toolchain.sh"
# shellcheck source=selftests/setup/source.sh
. "$here/source.sh"
# shellcheck source=selftests/setup/kernel.sh
. "$here/kernel.sh"
# shellcheck source=selftests/setup/module.sh
. "$here/module.sh"
# shellcheck source=selftests/setup/userland.sh
. "$here/userland.sh"
# shellcheck source=selftests/setup/probe.sh
. "$here/probe.sh"
# shellcheck source=selftests/setup/install.sh
. "$here/install.sh"
# shellcheck source=selftests/setup/matrix.sh
. "$here/matrix.sh"
set +e

test_version_order() {
	version_ge 1.85.0 1.85.0 && version_ge 1.96.0 1.85.0 && version_ge 1.100.0 1.85.0 &&
		! version_ge 1.63.0 1.85.0 && ! version_ge '' 1.85.0
}

# fragment_says FRAGMENT CONFIG: what check_fragment complains about.
fragment_says() {
	printf '%s\n' "$1" >"$scratch/fragment"
	printf '%s\n' "$2" >"$scratch/config"
	(check_fragment "$scratch/fragment" "$scratch/config") 2>&1
}

test_fragment_taken() {
	fragment_says $'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_S="x y"' $'CONFIG_A=y\nCONFIG_S="x y"'
}

test_fragment_refused_is_named() {
	local said
	said=$(fragment_says 'CONFIG_A=y' '# CONFIG_A is not set') && return 1
	grep -q 'CONFIG_A=y' <<<"$said"
}

test_fragment_unwanted_is_named() {
	local said
	said=$(fragment_says '# CONFIG_B is not set' 'CONFIG_B=y') && return 1
	grep -q 'CONFIG_B=n' <<<"$said"
}

test_fragment_later_line_wins() {
	fragment_says $'CONFIG_A=y\nCONFIG_A=m' 'CONFIG_A=m'
}

# fragments_of NAME: the names of a kernel's fragments, of a set made up here.
fragments_of() {
	local CONFIGS
	CONFIGS=$(mktemp -d "$scratch/configs.XXXX")
	echo 'CONFIG_A=y' >"$CONFIGS/base.config"
	echo 'CONFIG_B=y' >"$CONFIGS/fast.config"
	printf '# on top of: %s\n' fast >"$CONFIGS/fast-checked.config"
	printf '# on top of: %s\n' nothing >"$CONFIGS/astray.config"
	(kernel_fragments "$1") | xargs -r -n 1 basename -s .config | tr '\n' ' '
	return "${PIPESTATUS[0]}"
}

test_a_kernel_is_base_and_its_own() {
	[ "$(fragments_of base)" = 'base ' ] && [ "$(fragments_of fast)" = 'base fast ' ]
}

test_a_kernel_on_top_of_another_has_its_fragments_too() {
	[ "$(fragments_of fast-checked)" = 'base fast fast-checked ' ]
}

test_a_kernel_that_is_not_there_is_named() {
	local said
	said=$(fragments_of astray 2>&1) && return 1
	grep -q "no kernel 'nothing'" <<<"$said"
}

# tools_of LINE...: the compiler and the make of a kernel whose fragment has these lines.
tools_of() (
	KMAKE=(make LLVM=-19 -j1)
	install_packages() { echo "installed $*"; }
	printf '%s\n' "$@" >"$scratch/fragment"
	kernel_tools "$scratch/fragment"
	echo "$COMPILER ${KMAKE[*]}"
)

test_a_fragment_may_name_its_compiler() {
	[ "$(tools_of CONFIG_A=y)" = 'clang make LLVM=-19 -j1' ] &&
		[ "$(tools_of '# compiler: gcc')" = 'gcc make LLVM= -j1' ]
}

test_a_compiler_that_is_unknown_is_refused() {
	local said
	said=$(tools_of '# compiler: tcc' 2>&1) && return 1
	grep -q "compiler 'tcc'" <<<"$said"
}

test_what_a_fragment_needs_is_installed() {
	[ "$(tools_of '# needs: /no/such.h|this-dev' '# needs: /bin/sh|that')" = $'installed this-dev\nclang make LLVM=-19 -j1' ]
}

# Else the kernels that were built before would have to be built again.
test_only_gcc_changes_what_a_build_is_known_by() {
	local COMPILER=clang
	[ -z "$(compiler_id)" ] || return 1
	COMPILER=gcc
	grep -q '^gcc ' <<<"$(compiler_id)"
}

test_the_matrix_counts_what_a_script_printed() {
	printf '%s\r\n' '[    0.1] ok 1 suite_of_the_kernel' '    ok 1 a' '    not ok 2 b' '    ok 3 c # SKIP no disk' 'ok 1 suite' \
		'not ok 2 other' >"$scratch/ktap"
	[ "$(ktap_count "$scratch/ktap" 4)" = '1 passed, 1 failed, 1 skipped' ] &&
		[ "$(ktap_count "$scratch/ktap" 0)" = '1 passed, 1 failed' ]
}

# The row of a kernel whose builds succeed and whose machines end as the function machine says.
row_of() (
	BUILD=$scratch/build here=$scratch/bin REEVE_ROOT=$scratch/root
	mkdir -p "$here" "$BUILD" "$REEVE_ROOT/selftests/crates/harness/src/guest" "$REEVE_ROOT/selftests/modules"
	touch "$REEVE_ROOT/selftests/crates/harness/src/guest/kunit.sh"
	MATRIX_MODULES=() MATRIX_MODULES_BEFORE=()
	printf '#!/bin/sh\n%s\n' "$1" >"$here/make.sh"
	chmod +x "$here/make.sh"
	rc=0
	matrix_row trial 2>/dev/null || rc=$?
	echo "= $rc"
)

test_a_row_of_the_matrix_says_what_came_of_it() {
	local said
	# shellcheck disable=SC2016 # for that script
	said=$(row_of 'case $1 in
		module) echo image; echo module ;;
		*)
			echo "20 of 20 cases passed, in 1 ms"
			echo "verdict: PASS (2 of 2 checks)"
			echo "ok 1 x"
			echo "    ok 1 y"
			case $SCRIPT in *report*) echo "vm: exit kernel splat: BUG"; exit 1 ;; esac ;;
		esac')
	[ "$said" = "| trial (\`KERNEL=trial\`) | 20 of 20 | **failed**: PASS (2 of 2 checks) (kernel splat: BUG) | 1 passed | 1 passed |  |"$'\n''= 1' ] ||
		{ echo "$said"; return 1; }
}

test_a_row_that_does_not_build_says_so() {
	local said
	said=$(row_of 'exit 1')
	[ "$said" = "| trial (\`KERNEL=trial\`) | **did not build** | | | | |"$'\n''= 1' ] || { echo "$said"; return 1; }
}

test_each_row_of_the_matrix_is_a_kernel_with_a_name() {
	local row
	for row in "${MATRIX_ROWS[@]}"; do
		[ -e "$CONFIGS/$row.config" ] && [ "$(about_kernel "$row")" != "$row" ] || return
	done
}

test_what_a_kernel_is_booted_with_is_no_part_of_its_build() {
	printf 'CONFIG_A=y\n# append: x=1\n# append: y\n' >"$scratch/fragment"
	[ "$(fragment_line append "$scratch/fragment" | tr '\n' ' ')" = 'x=1 y ' ]
}

# program NAME SAYS: a program that says so when it is asked for its version.
program() {
	printf '#!/bin/sh\ncase $1 in\n--print) echo "%s" ;;\n*) echo "%s" ;;\nesac\n' "$scratch/sysroot" "$2" >"$scratch/bin/$1"
	chmod +x "$scratch/bin/$1"
}

# new_kernel: KERNEL_DIR, a tree with everything that a module of Rust needs, and tools that fit it.
new_kernel() {
	KERNEL_DIR=$(mktemp -d "$scratch/kernel.XXXX")
	mkdir -p "$KERNEL_DIR/rust" "$KERNEL_DIR/include/config" "$scratch/bin"
	printf '%s\n' CONFIG_RUST=y CONFIG_CC_IS_CLANG=y 'CONFIG_RUSTC_VERSION_TEXT="rustc 1.90.0 (1159e78c4 2025-09-14)"' >"$KERNEL_DIR/.config"
	echo 7.3.4-reeve >"$KERNEL_DIR/include/config/kernel.release"
	touch "$KERNEL_DIR/Module.symvers"
	touch "$KERNEL_DIR"/rust/lib{core,kernel,bindings,ffi,pin_init,uapi}.rmeta "$KERNEL_DIR/rust/libmacros.so"
	program rustc 'rustc 1.90.0 (1159e78c4 2025-09-14)'
	program bindgen 'bindgen 0.72.1'
	program clang 'clang version 19'
	RUSTC=$scratch/bin/rustc BINDGEN=$scratch/bin/bindgen LLVM_BIN=$scratch/bin
}

# probed KIND LINES PATTERN: the probe of KERNEL_DIR fails for that kind, with so many lines, and one says PATTERN.
probed() {
	local said
	LACKING=unasked
	probe_kernel "$KERNEL_DIR" 2>"$scratch/said" && return 1
	said=$(cat "$scratch/said")
	[ "$LACKING" = "$1" ] && [ "$(grep -c '^  missing: ' <<<"$said")" = "$2" ] && grep -q "$3" <<<"$said"
}

test_a_probe_of_what_is_complete_says_nothing() {
	new_kernel
	[ -z "$(probe_kernel "$KERNEL_DIR" 2>&1)" ] && probe_kernel "$KERNEL_DIR"
}

test_a_probe_says_no_rust() {
	new_kernel
	sed -i 's/CONFIG_RUST=y/# CONFIG_RUST is not set/' "$KERNEL_DIR/.config"
	probed kernel 1 'missing: CONFIG_RUST=y'
}

test_a_probe_says_which_crates_and_macros() {
	new_kernel
	mkdir -p "$scratch/sysroot/lib/rustlib/src/rust/library/core/src"
	touch "$scratch/sysroot/lib/rustlib/src/rust/library/core/src/lib.rs"
	rm "$KERNEL_DIR/rust/libkernel.rmeta" "$KERNEL_DIR/rust/libmacros.so"
	probed kernel 1 'missing: rust/libkernel.rmeta rust/libmacros.so: '
}

test_a_probe_says_no_rust_src() {
	new_kernel
	rm -rf "$scratch/sysroot"
	rm "$KERNEL_DIR/rust/libcore.rmeta"
	probed kernel 2 'missing: rust-src'
}

test_a_probe_says_which_compiler_it_should_be() {
	new_kernel
	program rustc 'rustc 1.91.0 (f8297e351 2025-10-28)'
	probed tools 1 "'rustc 1.90.0 (1159e78c4 2025-09-14)'; .* is 'rustc 1.91.0 "
}

test_a_probe_says_no_compiler() {
	new_kernel
	RUSTC=$scratch/bin/none
	probed tools 1 'missing: a Rust compiler'
}

test_a_probe_says_bindgen_is_too_old() {
	new_kernel
	program bindgen 'bindgen 0.60.1'
	probed tools 1 "missing: bindgen $MIN_BINDGEN or newer; .* is 0.60.1"
}

test_a_probe_says_an_older_kernel() {
	new_kernel
	echo 6.12.43+deb13-amd64 >"$KERNEL_DIR/include/config/kernel.release"
	probed kernel 1 'this one is 6.12.43'
}

test_a_probe_says_all_at_once() {
	new_kernel
	rm "$KERNEL_DIR/rust/libkernel.rmeta" "$KERNEL_DIR/Module.symvers"
	mkdir -p "$scratch/sysroot/lib/rustlib/src/rust/library/core/src"
	touch "$scratch/sysroot/lib/rustlib/src/rust/library/core/src/lib.rs"
	program bindgen 'bindgen 0.60.1'
	program rustc 'rustc 1.91.0 (f8297e351 2025-10-28)'
	probed kernel 4 'Module.symvers'
}

test_a_probe_says_what_is_no_kernel() {
	KERNEL_DIR=$(mktemp -d "$scratch/kernel.XXXX")
	probed kernel 1 '\.config'
}

# missing_for WHAT: the packages that a machine with nothing needs for it.
missing_for() (
	have() { false; }
	find_rust() { false; }
	find_llvm() { false; }
	find_bindgen() { false; }
	candidate() { [ "$1" != bindgen ] || echo "${BINDGEN_THERE:-}"; }
	TOOLS_FOR=$1
	missing_tools
)

test_a_module_needs_no_emulator_and_no_shellcheck() {
	local missing
	missing=" $(missing_for module)"
	[[ $missing == *' make '* && $missing == *' rust '* ]] && ! grep -qE 'qemu|shellcheck|busybox|cpio' <<<"$missing" &&
		[[ " $(missing_for all)" == *' qemu-system-x86 '*' shellcheck '* ]]
}

test_a_bindgen_of_the_distribution_is_taken_if_it_is_new_enough() {
	[[ " $(BINDGEN_THERE=0.71.1 missing_for module)" == *' bindgen '* ]] &&
		[[ " $(BINDGEN_THERE=0.60.1 missing_for module)" != *' bindgen '* ]] &&
		[[ " $(missing_for module)" != *' bindgen '* ]]
}

# new_llvms NUMBER...: LLVM_DIRS with these, and a bindgen BINDGEN that understands C with the libclang of READS only.
new_llvms() {
	local n
	LLVM_DIRS=$(mktemp -d "$scratch/llvms.XXXX")
	for n; do
		mkdir -p "$LLVM_DIRS/llvm-$n/bin" "$LLVM_DIRS/llvm-$n/lib"
		touch "$LLVM_DIRS/llvm-$n/lib/libclang.so"
		install -m 755 /dev/null "$LLVM_DIRS/llvm-$n/bin/clang"
		cp -p "$LLVM_DIRS/llvm-$n/bin/clang" "$LLVM_DIRS/llvm-$n/bin/ld.lld"
		cp -p "$LLVM_DIRS/llvm-$n/bin/clang" "$LLVM_DIRS/llvm-$n/bin/llvm-nm"
		cp -p "$LLVM_DIRS/llvm-$n/bin/clang" "$LLVM_DIRS/llvm-$n/bin/llvm-objcopy"
	done
	BINDGEN=$LLVM_DIRS/bindgen
	printf '#!/bin/sh\ncase $1:$LIBCLANG_PATH in\n--version:*) echo bindgen %s ;;\n*:*%s/lib) echo "pub foo: i32" ;;\nesac\n' \
		"$BINDGEN_THERE" "$READS" >"$BINDGEN"
	chmod +x "$BINDGEN"
}

# Debian 13 has bindgen 0.71.1 and LLVM 22: with them the kernel's structs are empty.
test_an_llvm_is_taken_that_bindgen_can_read_with() (
	unset LLVM LIBCLANG_PATH
	READS=llvm-21 BINDGEN_THERE=0.71.1 new_llvms 19 21 22
	find_llvm && [ "$LLVM" = -21 ] && [ "$LIBCLANG_PATH" = "$LLVM_DIRS/llvm-21/lib" ] || return
	unset LLVM LIBCLANG_PATH
	READS=llvm-22 BINDGEN_THERE=0.72.1 new_llvms 19 21 22
	find_llvm && [ "$LLVM" = -22 ]
)

# llvm_of VERSION: the first package of LLVM that is installed beside that bindgen.
llvm_of() (
	find_bindgen() { false; }
	candidate() {
		case $1 in
		bindgen) echo "$bindgen" ;;
		*-2[0-9] | *-2[0-9]-dev | *-19 | *-19-dev) echo 1 ;;
		esac
	}
	bindgen=$1
	llvm_packages | cut -d ' ' -f 1
)

test_an_llvm_is_installed_that_bindgen_can_read_with() {
	[ "$(llvm_of 0.71.1)" = clang-21 ] && [ "$(llvm_of 0.72.1)" = clang-29 ] &&
		# One that is too old is not installed, but a newer one built.
		[ "$(llvm_of 0.60.1)" = clang-29 ] && [ "$(llvm_of '')" = clang-29 ]
}

# installed DESTDIR: what was installed there, in order.
installed() { (cd "$1" && find . -type f | sed 's/^\.//' | LC_ALL=C sort); }

# new_pages: PAGES, as the program that makes them leaves it.
new_pages() {
	PAGES=$(mktemp -d "$scratch/pages.XXXX")
	mkdir "$PAGES/man"
	touch "$PAGES"/man/reevectl.1 "$PAGES"/man/reevectl-bo-create.1 "$PAGES"/reevectl.{bash,fish} "$PAGES/_reevectl"
}

test_what_is_installed() {
	local found
	new_pages
	DESTDIR=$scratch/to PREFIX=/usr
	rm -rf "$DESTDIR"
	install_programs "$PAGES" /bin/true 2>/dev/null || return
	found=$(installed "$DESTDIR" | grep -v "^/usr/src/reeve-$(version)/rust/")
	[ "$found" = "/usr/bin/reevectl
/usr/include/reeve/bo.h
/usr/include/reeve/bo.rs
/usr/include/reeve/lock_guard.h
/usr/include/reeve/lock_order.h
/usr/include/reeve/lock_order.rs
/usr/include/reeve/lock_order_bind.h
/usr/include/reeve/lock_order_off.h
/usr/include/reeve/lock_order_ops.h
/usr/include/reeve/uapi/reeve.h
/usr/share/bash-completion/completions/reevectl
/usr/share/doc/reeve/60-reeve.rules
/usr/share/fish/vendor_completions.d/reevectl.fish
/usr/share/man/man1/reevectl-bo-create.1
/usr/share/man/man1/reevectl.1
/usr/share/zsh/site-functions/_reevectl
/usr/src/reeve-$(version)/Kbuild
/usr/src/reeve-$(version)/dkms.conf" ] || { echo "$found" >&2 && return 1; }
	[ -e "$DESTDIR/usr/src/reeve-$(version)/rust/reeve_main.rs" ] && [ -x "$DESTDIR/usr/bin/reevectl" ] &&
		[ -z "$(find "$DESTDIR/usr/src" -name '*.o' -o -name '*.ko')" ]
}

test_what_is_removed() {
	local release=7.3.4-reeve
	new_pages
	new_kernel
	DESTDIR=$scratch/from PREFIX=/usr
	rm -rf "$DESTDIR"
	mkdir -p "$KERNEL_DIR/out/rust"
	echo symvers >"$KERNEL_DIR/out/Module.symvers"
	echo module >"$KERNEL_DIR/out/rust/reeve.ko"
	depmod() { echo "$*" >>"$scratch/depmod"; }
	rm -f "$scratch/depmod"
	install_programs "$PAGES" /bin/true 2>/dev/null || return
	install_module "$KERNEL_DIR" "$KERNEL_DIR/out/rust/reeve.ko" 2>/dev/null || return
	[ -e "$DESTDIR/lib/modules/$release/updates/reeve.ko" ] && [ -e "$DESTDIR/usr/share/reeve/$release/Module.symvers" ] || return
	mkdir -p "$DESTDIR/usr/bin" && touch "$DESTDIR/usr/bin/other"
	uninstall 2>/dev/null || return
	[ "$(installed "$DESTDIR")" = /usr/bin/other ] && [ "$(grep -c "^-b $DESTDIR $release\$" "$scratch/depmod")" = 2 ]
}

test_a_module_is_signed_with_the_kernels_key() {
	new_kernel
	mkdir -p "$KERNEL_DIR/certs" "$KERNEL_DIR/scripts"
	printf '%s\n' CONFIG_MODULE_SIG=y 'CONFIG_MODULE_SIG_KEY="certs/signing_key.pem"' 'CONFIG_MODULE_SIG_HASH="sha512"' >>"$KERNEL_DIR/.config"
	echo module >"$KERNEL_DIR/reeve.ko"
	# Without a key it is left as it is, and said.
	[[ $(sign_module "$KERNEL_DIR" "$KERNEL_DIR/reeve.ko" 2>&1) == *'not signed'* ]] || return
	touch "$KERNEL_DIR"/certs/signing_key.{pem,x509}
	printf '#!/bin/sh\necho "$1 $(basename "$2") $(basename "$3")" >>"$4"\n' >"$KERNEL_DIR/scripts/sign-file"
	chmod +x "$KERNEL_DIR/scripts/sign-file"
	sign_module "$KERNEL_DIR" "$KERNEL_DIR/reeve.ko" 2>/dev/null || return
	[ "$(cat "$KERNEL_DIR/reeve.ko")" = $'module\nsha512 signing_key.pem signing_key.x509' ]
}

# dkms_builds RELEASE: would dkms build for it, as far as our file says so? Its kernel has what KERNEL_DIR has.
dkms_builds() (
	set +u # dkms sets what it has in it
	# shellcheck disable=SC2034 # the file reads them
	kernelver=$1 kernel_source_dir=$KERNEL_DIR
	eval "$(dkms_conf)"
	# shellcheck disable=SC2154 # it sets them
	[[ $1 =~ $BUILD_EXCLUSIVE_KERNEL ]] && grep -q "^$BUILD_EXCLUSIVE_CONFIG=[ym]" "$KERNEL_DIR/.config" &&
		[ "$PACKAGE_VERSION" = "$(version)" ] && [ "$PACKAGE_NAME" = reeve ] && [ "$AUTOINSTALL" = yes ]
)

test_dkms_passes_over_kernels_without_rust() {
	local release
	new_kernel
	for release in 7.3.4-reeve 7.10.0 8.0.1-amd64 10.1; do
		dkms_builds "$release" || return
	done
	for release in 7.2.12+deb13-amd64 6.13.1 6.7.30; do
		! dkms_builds "$release" || return
	done
	rm "$KERNEL_DIR/rust/libkernel.rmeta"
	! dkms_builds 7.3.4-reeve || return
	new_kernel
	sed -i 's/CONFIG_RUST=y/# CONFIG_RUST is not set/' "$KERNEL_DIR/.config"
	! dkms_builds 7.3.4-reeve || return
	# Without a kernel dkms wants to know the version only.
	(
		set +u
		eval "$(dkms_conf)"
		# shellcheck disable=SC2154 # it sets it
		[[ 7.3.4 =~ $BUILD_EXCLUSIVE_KERNEL ]]
	)
}

# A writer whose reader left is killed by SIGPIPE, or was done before: with pipefail, success is up to the moment.
test_no_pipe_ends_in_who_leaves_early() {
	! grep -nE '\|[[:space:]]*(grep -[a-zA-Z]*q|[h]ead)' "$REEVE_ROOT"/selftests/setup/*.sh "$REEVE_ROOT/.ci/run" >&2
}

# There is one version, in several places; the changes begin with it.
test_one_version() {
	local newest
	newest=$(sed -n 's/^## //p' "$REEVE_ROOT/Documentation/CHANGELOG.md" | sed -n 1p)
	[ -n "$(version)" ] && grep -q "^MODULE_VERSION(\"$(version)\");" "$REEVE_ROOT/rust/helpers/params.c" &&
		grep -q "^const RELEASE: &\[u8\] = b\"$(version)\";" "$REEVE_ROOT/rust/chardev/ioctl.rs" &&
		grep -q "^PACKAGE_VERSION=\"$(version)\"\$" <<<"$(dkms_conf)" &&
		[ "$newest" = "$(version)" ]
}

# A tag is of a commit whose version it names. (Where git or its history is not there, neither are tags.)
test_a_tag_here_is_the_version() {
	local tag
	tag=$(git -C "$REEVE_ROOT" describe --exact-match --tags --match 'v*' HEAD 2>/dev/null) || return 0
	[ "$tag" = "v$(version)" ]
}

# Every test that needs one gets a cache of its own.
new_cache() { REEVE_CACHE=$(mktemp -d "$scratch/cache.XXXX"); }

test_unfinished_source_is_not_used() {
	new_cache
	mkdir -p "$REEVE_CACHE/src/.work/tree" "$REEVE_CACHE/src/linux-source-9.9_9.9.9"
	touch "$REEVE_CACHE/src/.work/tree/Kbuild"
	[ -z "$(newest_source)" ]
}

test_newest_source_is_used() {
	new_cache
	mkdir -p "$REEVE_CACHE/src/linux-source-7.3_7.3.4" "$REEVE_CACHE/src/linux-source-7.3_7.3.10"
	touch "$REEVE_CACHE/src/linux-source-7.3_7.3.4/Kbuild" "$REEVE_CACHE/src/linux-source-7.3_7.3.10/Kbuild"
	[ "$(newest_source)" = "$REEVE_CACHE/src/linux-source-7.3_7.3.10" ]
}

# own_source VERSION PATCHLEVEL: a tree of the user's, as far as it is looked at.
own_source() {
	local tree
	tree=$(mktemp -d "$scratch/source.XXXX")
	mkdir -p "$tree/rust/kernel"
	touch "$tree/rust/kernel/lib.rs"
	printf '%s\n' '# SPDX-License-Identifier: GPL-2.0' "VERSION = $1" "PATCHLEVEL = $2" 'SUBLEVEL = 4' 'EXTRAVERSION = -rc1' >"$tree/Makefile"
	echo "$tree"
}

test_a_source_of_the_users_is_used_and_told_from_others() (
	new_cache
	mkdir -p "$REEVE_CACHE/src/linux-source-7.3_7.3.4"
	touch "$REEVE_CACHE/src/linux-source-7.3_7.3.4/Kbuild"
	unset KERNEL_SRC
	ensure_source
	local cached=$SOURCE_ID first
	first=$(own_source 7 3)
	cd "$(dirname "$first")" || return
	KERNEL_SRC=$(basename "$first")
	ensure_source
	[ "$KERNEL_SOURCE" = "$first" ] && [ "$SOURCE_ID" != "$cached" ] || return
	cached=$SOURCE_ID
	KERNEL_SRC=$(own_source 7 10)
	ensure_source
	[ "$SOURCE_ID" != "$cached" ] && [ "$(source_version "$KERNEL_SRC")" = 7.10.4 ]
)

# Before half an hour's build, not after it.
test_a_source_of_the_users_that_is_too_old_is_refused() {
	local said
	said=$(KERNEL_SRC=$(own_source 7 2) && ensure_source 2>&1) && return 1
	grep -q 'is Linux 7.2.4, and it takes 7.3 or newer' <<<"$said" || return
	said=$(KERNEL_SRC=$scratch && ensure_source 2>&1) && return 1
	grep -q 'is not a Linux source tree' <<<"$said"
}

test_a_lock_keeps_others_out() {
	(
		with_lock trial
		! flock -n "$REEVE_CACHE/locks/trial.lock" true
	) && flock -n "$REEVE_CACHE/locks/trial.lock" true
}

test_a_lock_that_is_taken_is_not_waited_for() {
	(
		with_lock trial
		! (try_lock trial)
	) && (try_lock trial)
}

# new_checkout: a cache and a checkout of two files.
new_checkout() {
	new_cache
	REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
	mkdir -p "$REEVE_CACHE/locks" "$REEVE_ROOT/a"
	echo 1 >"$REEVE_ROOT/a/one"
	echo 2 >"$REEVE_ROOT/two"
}

test_a_workspace_takes_what_differs_and_nothing_else() (
	new_checkout
	(take_workspace) || return
	local copy=$REEVE_CACHE/workspaces/1/checkout
	touch -d '2001-01-01' "$copy/a/one" "$copy/two"
	echo 3 >"$REEVE_ROOT/a/one"
	mkdir -p "$REEVE_ROOT/.git" "$REEVE_ROOT/build"
	touch "$REEVE_ROOT/.git/x" "$REEVE_ROOT/build/x" "$REEVE_ROOT/new"
	(take_workspace) || return
	[ "$(cat "$copy/a/one")" = 3 ] && [ "$copy/a/one" -nt "$copy/two" ] &&
		[ "$(date -r "$copy/two" +%Y)" = 2001 ] && [ -e "$copy/new" ] && [ ! -e "$copy/.git" ] && [ ! -e "$copy/build" ] || return
	rm "$REEVE_ROOT/two"
	(take_workspace) && [ ! -e "$copy/two" ] && [ -e "$copy/new" ]
)

test_a_copy_that_was_broken_off_is_made_whole() (
	new_checkout
	(take_workspace) || return
	local of=$REEVE_CACHE/workspaces/1
	rm "$of/sums"
	echo other >"$of/checkout/two"
	touch "$of/checkout/three"
	(take_workspace) && [ "$(cat "$of/checkout/two")" = 2 ] && [ ! -e "$of/checkout/three" ]
)

test_a_directory_that_a_workspace_has_no_files_of_is_gone() (
	new_checkout
	mkdir -p "$REEVE_ROOT/selftests/crates/fuzz/src"
	touch "$REEVE_ROOT/selftests/crates/fuzz/src/main.rs"
	(take_workspace) || return
	rm -r "$REEVE_ROOT/selftests/crates"
	(take_workspace) && [ ! -e "$REEVE_CACHE/workspaces/1/checkout/selftests/crates" ]
)

test_each_checkout_has_a_workspace_while_it_uses_it() (
	new_checkout
	take_workspace
	local first=$REEVE_WORKSPACE second third
	# Another checkout, at the same time.
	second=$(
		unset REEVE_WORKSPACE
		REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
		take_workspace
		echo "$REEVE_WORKSPACE"
	)
	# The first one's again, after the second ended.
	third=$(
		unset REEVE_WORKSPACE
		REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
		take_workspace
		echo "$REEVE_WORKSPACE"
	)
	[ "$first" = "$REEVE_CACHE/workspaces/1" ] && [ "$second" = "$REEVE_CACHE/workspaces/2" ] && [ "$third" = "$second" ]
)

toolchain_id() { echo trial; }

# builds_of INPUTS...: how often something is built in two new directories of these inputs.
builds_of() {
	local inputs=("$@") log=$scratch/made.log KOUT=/kernel count=$scratch/count
	: >"$count"
	for dir in "$scratch/made-1" "$scratch/made-2"; do
		rm -rf "$dir"
		made_once "$dir" trial "no time" "$log" sh -c "echo x >>$count; cp $REEVE_ROOT/two $dir/" >/dev/null 2>&1 || return
		cmp -s "$REEVE_ROOT/two" "$dir/two" || return
	done
	wc -l <"$count"
}

test_a_module_is_built_once_for_all_checkouts() (
	new_checkout
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 1 ] && [ "$(builds_of "$REEVE_ROOT" -- word)" = 0 ] &&
		[ "$(builds_of "$REEVE_ROOT" -- other)" = 1 ] || return
	echo changed >"$REEVE_ROOT/two"
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 1 ]
)

test_modules_for_a_kernel_of_the_user_are_left_to_make() (
	new_checkout
	KDIR=/some/kernel
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 2 ]
)

test_a_failing_command_shows_its_error() {
	local said
	said=$(run_logged trial "no time" "$scratch/log" - bash -c 'echo fine; echo "x.c:1: error: broken"; exit 3' 2>&1)
	[ $? -eq 3 ] && grep -q 'x.c:1: error: broken' <<<"$said"
}

test_a_killed_step_leaves_nothing_running() {
	local pid
	# shellcheck disable=SC2016 # for the inner shells
	bash -c '. "$1/lib.sh"
		run_logged trial "no time" "$2/log" - bash -c "echo \$\$ >$2/pid.new; mv $2/pid.new $2/pid; exec sleep 4321"' \
		- "$here" "$scratch" 2>/dev/null &
	pid=$!
	until [ -e "$scratch/pid" ]; do kill -0 "$pid" || return; done
	kill -TERM "$pid"
	wait "$pid"
	# The kill is sent before the step returns; the process may need a moment to be gone.
	timeout 10 tail --pid="$(cat "$scratch/pid")" -f /dev/null
}

mapfile -t tests < <(compgen -A function test_)
echo "KTAP version 1"
echo "1..${#tests[@]}"
number=0 failed=0
for name in "${tests[@]}"; do
	number=$((number + 1))
	if said=$("$name" 2>&1); then
		echo "ok $number ${name#test_}"
	else
		[ -z "$said" ] || printf '# %s\n' "${said//$'\n'/$'\n'# }"
		echo "not ok $number ${name#test_}"
		failed=1
	fi
done
exit "$failed"
