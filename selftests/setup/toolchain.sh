# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Chooses one toolchain and uses it for everything: the kernel, the module, the programs. Sourced.
#
# RUSTC= and LLVM= (as the kernel's make understands it: -22, /opt/llvm/bin/) override the choice.

# rust_version COMPILER: its version number.
rust_version() { "$1" --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }

# have_all DIR PROGRAM...: are they all there?
have_all() {
	local dir=$1 program
	shift
	for program; do [ -x "$dir/$program" ] || return; done
}

# find_rust: sets RUSTC to the first compiler that is new enough and has the standard library's sources, which the
# kernel builds for itself. The distribution's comes first: it is the one this can install.
find_rust() {
	local rustc sysroot
	for rustc in ${RUSTC:-/usr/bin/rustc "$(command -v rustc || true)"}; do
		[ -x "$rustc" ] || rustc=$(command -v "$rustc") || continue
		version_ge "$(rust_version "$rustc")" "$MIN_RUSTC" || continue
		sysroot=$("$rustc" --print sysroot)
		RUST_BIN=$(dirname "$rustc")
		if [ "${TOOLS_FOR:-all}" = all ]; then
			[ -e "$sysroot/lib/rustlib/src/rust/library/core/src/lib.rs" ] || continue
			have_all "$RUST_BIN" cargo rustfmt clippy-driver || continue
		fi
		RUSTC=$rustc
		return 0
	done
	return 1
}

# Where distributions have LLVM, each version in a directory of its own.
LLVM_DIRS=/usr/lib

# From this bindgen on the structs of libclang 22 are read; before, those that were declared first come out empty.
BINDGEN_FOR_LLVM_22=0.72.1

# newest_llvm: of those that the bindgen which is there, or will be, can use the libclang of.
newest_llvm() {
	local version
	if (find_bindgen); then
		version=$(find_bindgen && "$BINDGEN" --version | sed 's/^bindgen //')
	else
		version=$(candidate bindgen)
		version_ge "$version" "$MIN_BINDGEN" || version=$BINDGEN_VERSION
	fi
	if version_ge "$version" "$BINDGEN_FOR_LLVM_22"; then echo 40; else echo 21; fi
}

# bindgen_reads DIR: does the bindgen that is there, if one is, understand C with the libclang in DIR? The same question
# as the kernel's rust_is_available.sh asks: a distribution may have mended an old one.
bindgen_reads() (
	find_bindgen || exit 0
	header=$(mktemp --suffix=.h)
	printf 'struct S;\nstruct S {\n\tint foo;\n};\n' >"$header"
	read=$(LIBCLANG_PATH=$1 "$BINDGEN" "$header" 2>/dev/null)
	rm -f "$header"
	[[ $read == *'pub foo'* ]]
)

# find_llvm: sets LLVM, LLVM_BIN (where its programs are) and LIBCLANG_PATH.
find_llvm() {
	local n
	case ${LLVM:-} in
	-*) LLVM_BIN=$LLVM_DIRS/llvm${LLVM}/bin ;;
	*/) LLVM_BIN=${LLVM%/} ;;
	1) LLVM_BIN=$(dirname "$(readlink -f "$(command -v clang)")") ;;
	'')
		for n in $(seq 40 -1 "$MIN_LLVM"); do
			LLVM_BIN=$LLVM_DIRS/llvm-$n/bin
			# Of a kernel that gcc built, only libclang is needed, for bindgen.
			[ "${KERNEL_CC:-clang}" = gcc ] || have_all "$LLVM_BIN" clang ld.lld llvm-nm llvm-objcopy || continue
			compgen -G "$LLVM_DIRS/llvm-$n/lib/libclang*.so*" >/dev/null || continue
			bindgen_reads "${LIBCLANG_PATH:-$LLVM_DIRS/llvm-$n/lib}" || continue
			LLVM=-$n
			break
		done
		;;
	*) return 1 ;;
	esac
	[ -n "${LLVM:-}" ] || return 1
	[ "${KERNEL_CC:-clang}" = gcc ] || [ -x "$LLVM_BIN/clang" ] || return 1
	: "${LIBCLANG_PATH:=$(dirname "$LLVM_BIN")/lib}"
}

# find_bindgen: sets BINDGEN to one that is new enough, the cache's own included.
find_bindgen() {
	local bindgen
	for bindgen in ${BINDGEN:-"$REEVE_CACHE/tools/bin/bindgen" /usr/bin/bindgen "$(command -v bindgen || true)"}; do
		[ -x "$bindgen" ] || continue
		version_ge "$("$bindgen" --version 2>/dev/null | sed 's/^bindgen //')" "$MIN_BINDGEN" || continue
		BINDGEN=$bindgen
		return 0
	done
	return 1
}

# build_bindgen: from the package if that is new enough, else with cargo into the cache.
build_bindgen() {
	with_lock tools
	if find_bindgen; then return; fi
	step "Building bindgen $BINDGEN_VERSION, which makes Rust declarations from C headers"
	run_logged "cargo install bindgen-cli" "about two minutes, once" "$LOGS/bindgen.log" last_line \
		env "PATH=$PATH" "$CARGO" install --locked --version "$BINDGEN_VERSION" --root "$REEVE_CACHE/tools" bindgen-cli ||
		die "bindgen could not be built" "Log: $LOGS/bindgen.log" \
			"Or give one that is $MIN_BINDGEN or newer as BINDGEN=/path/to/bindgen."
}
BINDGEN_VERSION=0.72.1

# last_line LOG: what the log says now.
last_line() { tail -n 1 "$1" | tr -d '\r' | sed 's/^ *//'; }

# ensure_toolchain: afterwards KMAKE is the command that runs the kernel's make with this toolchain.
ensure_toolchain() {
	ensure_packages
	find_rust || die "no usable Rust compiler" \
		"It takes rustc $MIN_RUSTC or newer with rust-src, cargo, rustfmt and clippy beside it; RUSTC=${RUSTC:-} was given."
	find_llvm || die "no usable LLVM" \
		"It takes clang, lld, llvm and libclang $MIN_LLVM or newer, and bindgen $BINDGEN_FOR_LLVM_22 for LLVM 22 and newer;" \
		"LLVM=${LLVM:-} was given."
	RUSTFMT=$RUST_BIN/rustfmt
	RUSTDOC=$RUST_BIN/rustdoc
	CARGO=$RUST_BIN/cargo
	CLIPPY_DRIVER=$RUST_BIN/clippy-driver
	export RUSTC RUSTFMT RUSTDOC CARGO CLIPPY_DRIVER LLVM LIBCLANG_PATH
	# A cargo that looks for its companions finds this toolchain's, whatever the user's PATH says.
	export PATH="$RUST_BIN:$LLVM_BIN:$PATH"
	find_bindgen || (build_bindgen)
	find_bindgen || die "no usable bindgen in $REEVE_CACHE/tools" "Remove that directory and try again."
	export BINDGEN
	bindgen_reads "$LIBCLANG_PATH" || die "$BINDGEN can't read C with the libclang in $LIBCLANG_PATH" \
		"LLVM 22 and newer take bindgen $BINDGEN_FOR_LLVM_22; have the other one by LLVM=-21 or older, or BINDGEN=."
	KMAKE=(make "LLVM=$LLVM" "RUSTC=$RUSTC" "HOSTRUSTC=$RUSTC" "RUSTDOC=$RUSTDOC" "RUSTFMT=$RUSTFMT"
		"CLIPPY_DRIVER=$CLIPPY_DRIVER" "BINDGEN=$BINDGEN" "-j$JOBS")
}

# toolchain_id: changes when a build with this toolchain has to be a new one.
toolchain_id() {
	"$RUSTC" --version --verbose
	"$LLVM_BIN/clang" --version | sed -n 1p
	"$BINDGEN" --version
}

# check_toolchain SOURCE OUT: asks the kernel itself whether it likes the toolchain.
check_toolchain() {
	local log=$LOGS/rustavailable.log
	if ! "${KMAKE[@]}" -C "$1" O="$2" rustavailable >"$log" 2>&1; then
		cat "$log" >&2
		die "the kernel cannot be built with this toolchain (its own words are above)" \
			"rustc:   $RUSTC ($(rust_version "$RUSTC"))" \
			"LLVM:    $LLVM_BIN" \
			"bindgen: $BINDGEN ($("$BINDGEN" --version))" \
			"Choose others with RUSTC=, LLVM= and BINDGEN=."
	fi
}
