# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# The checks of `make lint`. Each is a function check_NAME that prints its complaints and returns non-zero if it has
# any; the harness runs and counts them. Sourced.

# The order is the order of running: the quick ones first.
LINT_CHECKS=(spdx shell layout unsafe_files rustfmt_module rustfmt_programs checkpatch uapi_64 uapi_32 bo_header module_warnings module_doc
	clippy programs_doc)

# tracked PATTERN...: the files of the checkout that match, new ones that are not ignored included.
tracked() {
	local file
	git -C "$REEVE_ROOT" ls-files --cached --others --exclude-standard -- "$@" | sort -u |
		while read -r file; do
			[ ! -f "$REEVE_ROOT/$file" ] || printf '%s\n' "$file"
		done
}

# Every file says its licence, in its first lines.
check_spdx() {
	local file bad=0
	while read -r file; do
		case $file in
		LICENSE | LICENSES/* | *Cargo.lock) continue ;;
		esac
		if [[ $(head -n 3 "$REEVE_ROOT/$file") != *"SPDX-License-Identifier: "* ]]; then
			echo "$file: no SPDX-License-Identifier in its first three lines"
			bad=1
		fi
	done < <(tracked)
	return "$bad"
}

check_shell() {
	local init=selftests/crates/harness/src/guest/init.sh scripts
	cd "$REEVE_ROOT" || return
	shellcheck -x selftests/setup/make.sh selftests/setup/selftest.sh selftests/setup/*_trial.sh .ci/run || return
	# busybox's shell has the `local` that plain sh lacks; settings come from the harness.
	shellcheck -s dash -e SC1091,SC2154 "$init" || return
	mapfile -t scripts < <(tracked 'selftests/*.sh' | grep -v -e '^selftests/setup/' -e "^$init\$")
	[ ${#scripts[@]} -eq 0 ] || shellcheck "${scripts[@]}"
}

# Which part of the module imports which, and circles of files.
check_layout() { check_rooms layout; }

# Where `unsafe` and the kernel's crate may be.
check_unsafe_files() { check_rooms unsafe-files; }

# The harness that tests this check says where it is itself.
check_rooms() {
	[ -n "${HARNESS:-}" ] || build_harness
	"$HARNESS" rooms "$1" "$REEVE_ROOT/rust"
}

check_rustfmt_module() { check_format 'rust/*.rs'; }

check_rustfmt_programs() { check_format 'selftests/*.rs'; }

check_format() {
	local files
	mapfile -t files < <(tracked "$1")
	cd "$REEVE_ROOT" || return
	if ! "$RUSTFMT" --check --color never --edition 2021 "${files[@]}"; then
		echo "put it right with: $RUSTFMT --edition 2021 FILE"
		return 1
	fi
}

check_checkpatch() {
	local files traces guards ignored=BIT_MACRO,CAMELCASE,INCLUDE_LINUX,MACRO_ARG_REUSE
	mapfile -t files < <(tracked '*.c' '*.h' | grep -v -e 'trace\.h$' -e 'lock_guard\.h$')
	mapfile -t guards < <(tracked '*lock_guard.h')
	mapfile -t traces < <(tracked '*trace.h')
	# It leaves a file where it stands.
	cd "$BUILD" || return
	checkpatch --strict --ignore "$ignored" -f "${files[@]/#/$REEVE_ROOT/}" || return
	# Classes of cleanup.h are types that macros make, as in the kernel's own header.
	checkpatch --strict --ignore "$ignored,NEW_TYPEDEFS,SPACING" -f "${guards[@]/#/$REEVE_ROOT/}" || return
	# The kernel formats its tracepoints in a way of their own.
	checkpatch -f "${traces[@]/#/$REEVE_ROOT/}"
}

checkpatch() {
	perl "$KERNEL_SOURCE/scripts/checkpatch.pl" --root="$KERNEL_SOURCE" --quiet --terse --show-types --no-summary "$@"
}

check_uapi_64() { check_uapi -m64; }

check_uapi_32() { check_uapi -m32; }

# The ABI's header by itself, for a caller of that width, without a byte of padding that is not spelled out.
check_uapi() {
	"$LLVM_BIN/clang" "$1" -fsyntax-only -std=gnu11 -Wall -Wextra -Wpadded -Werror -x c \
		-isystem "/usr/include/$(gcc -print-multiarch)" "$REEVE_ROOT/rust/uapi/reeve.h"
}

# The drivers' header of page accounting by itself, twice, among the kernel's own, with both compilers. gcc gets of the
# words that clang got those that are not for clang only, and the kernel is configured for that.
check_bo_header() {
	local out words few source=$BUILD/bo_header.c
	build_module base normal
	out=$(module_dir base normal)
	words=$(sed -n 's/^savedcmd_.*bo\/api\.o := //p' "$out/rust/bo/.api.o.cmd")
	[ -n "$words" ] || { echo "the build of the module left no command to imitate" && return 1; }
	words=$(printf '%s' "$words" | sed -e "s#$(cat "$out/.built-in" 2>/dev/null || echo "$REEVE_ROOT")/#$REEVE_ROOT/#g" \
		-e 's#-Wp,-MMD,[^ ]*##' -e 's# -c -o [^ ]* [^ ]*\.c *##')
	printf '%s\n' '#include <reeve/bo.h>' '#include <reeve/bo.h>' 'struct reeve_bo_desc desc = { .size = sizeof(desc) };' >"$source"
	few=$(printf '%s' "$words" | tr ' ' '\n' | grep -E '^(-I|-include|-D|-std=|-nostdinc|-fshort-wchar|-fms-extensions|-m64|-mno-red-zone|-mcmodel=|/)' | tr '\n' ' ')
	cd "$out" || return
	PATH=$LLVM_BIN:$PATH sh -c "$words -Werror -fsyntax-only $source" || return
	sh -c "gcc $few -fno-pie -fcf-protection=branch -Wall -Wextra -Werror -Wno-attributes -Wno-unused-parameter \
		-Wno-sign-compare -Wno-missing-field-initializers -Wno-type-limits -Wno-pointer-sign -fsyntax-only $source"
}

check_module_warnings() {
	build_module base lint
	! grep -nE '(^|: )warning: ' "$LOGS/module-base-lint.log"
}

# rustdoc with the words the compiler got. What is private is the only thing there is to document in a module.
check_module_doc() {
	local out words
	build_module base normal
	out=$(module_dir base normal)
	words=$(sed -n 's/^savedcmd_.*reeve_main\.o := //p' "$out/rust/.reeve_main.o.cmd")
	[ -n "$words" ] || { echo "the build of the module left no command to imitate" && return 1; }
	# It may have been built in another checkout.
	words=$(printf '%s' "$words" | sed -e "s#$(cat "$out/.built-in" 2>/dev/null || echo "$REEVE_ROOT")/#$REEVE_ROOT/#g" \
		-e "s# $RUSTC # $RUSTDOC -Dwarnings -Arustdoc::private_intra_doc_links --document-private-items #" \
		-e 's#--emit=[^ ]*##g' -e 's#--remap-path-scope=[^ ]*##' -e 's#--crate-type rlib##' -e "s#--out-dir [^ ]*#--out-dir $BUILD/doc/module#")
	cd "$out" || return
	RUSTC_BOOTSTRAP=1 REEVE_BINDINGS="$out/rust/abstractions/bindings_generated.rs" sh -c "$words"
}

check_clippy() { workspace clippy --workspace --all-targets -- -D warnings; }

check_programs_doc() (
	take_workspace
	RUSTDOCFLAGS=-Dwarnings workspace doc --workspace --no-deps --document-private-items || exit
	rm -rf "$BUILD/doc/programs"
	mkdir -p "$BUILD/doc"
	cp -r "$REEVE_WORKSPACE/target/$TARGET/doc" "$BUILD/doc/programs"
)
