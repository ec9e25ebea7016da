# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Says what a kernel of the user's lacks to have Rust modules built for it, before anything is built. Sourced.

# lacks KIND WHAT TO_DO: a line of the probe, and what to do about it. KIND is kernel, or tools for what this machine
# can be given; LACKING is kernel as soon as one is.
lacks() {
	say "  missing: $2"
	say "           $3"
	[ "$LACKING" = kernel ] || LACKING=$1
}

# kernel_config DIR NAME: the value of an option, or nothing.
kernel_config() { sed -n "s/^$2=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$1/.config" 2>/dev/null; }

# probe_kernel DIR: what has to be there for any module of Rust. Looks at all of it. Fails if something is missing.
probe_kernel() {
	local dir=$1 release
	LACKING=
	if [ ! -e "$dir/.config" ]; then
		lacks kernel "$dir/.config" "KDIR= is the directory of a kernel's build or of its headers; /lib/modules/\$(uname -r)/build is one."
		return 1
	fi
	release=$(cat "$dir/include/config/kernel.release" 2>/dev/null)
	if [ -z "$release" ]; then
		lacks kernel "$dir/include/config/kernel.release: the kernel is not built" "Build it first: make -C $dir"
	elif ! version_ge "$release" "$SOURCE_WANTED"; then
		lacks kernel "a kernel of $SOURCE_WANTED or newer; this one is $release" "The kernel's Rust interfaces are others in older ones."
	fi
	if [ "$(kernel_config "$dir" CONFIG_RUST)" != y ]; then
		lacks kernel "CONFIG_RUST=y: the kernel has no Rust support" \
			"Build a kernel with it. It depends on !MODVERSIONS or GENDWARFKSYMS, and on 'make rustavailable' being content."
		# Nothing of the rest is there, either.
		return 1
	fi
	[ -e "$dir/Module.symvers" ] || lacks kernel "$dir/Module.symvers: the modules of the kernel are not built" "Build them: make -C $dir modules"
	probe_crates "$dir"
	probe_rustc "$dir"
	probe_compiler "$dir"
	probe_bindgen
	[ -z "$LACKING" ]
}

# probe_crates DIR: the kernel's own crates, which packages of headers lack.
probe_crates() {
	local dir=$1 file source missing=()
	for file in libcore.rmeta libkernel.rmeta libbindings.rmeta libffi.rmeta libpin_init.rmeta libuapi.rmeta libmacros.so; do
		[ -e "$dir/rust/$file" ] || missing+=("rust/$file")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	lacks kernel "${missing[*]}: the kernel's compiled crates and macros" \
		"Packages of headers leave them out: give the directory that the kernel was built in, or make them in it (make prepare)."
	source=$("${RUSTC:-rustc}" --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/core/src/lib.rs
	[ -e "$source" ] ||
		lacks kernel "rust-src, which making them takes: no $source" "Install the package rust-src that belongs to the compiler."
}

# probe_rustc DIR: compiled crates can only be used by the compiler that made them.
probe_rustc() {
	local wanted have
	wanted=$(kernel_config "$1" CONFIG_RUSTC_VERSION_TEXT)
	have=$("${RUSTC:-rustc}" --version 2>/dev/null)
	if [ -z "$have" ]; then
		lacks tools "a Rust compiler: ${RUSTC:-rustc} is none" "Install the kernel's ($wanted), or give it as RUSTC=/path/to/rustc."
	elif [ "$have" != "$wanted" ]; then
		lacks tools "the kernel's Rust compiler, '$wanted'; ${RUSTC:-rustc} is '$have'" \
			"Give the kernel's as RUSTC=/path/to/rustc: what one compiler made, another can't read."
	fi
}

# probe_compiler DIR: the C compiler that the kernel was built with.
probe_compiler() {
	if [ "$(kernel_config "$1" CONFIG_CC_IS_CLANG)" = y ]; then
		[ -x "${LLVM_BIN:-}/clang" ] || command -v clang >/dev/null ||
			lacks tools "clang, with which the kernel was built" "Install it, or name it as LLVM=-NN or LLVM=/path/to/bin/."
	else
		command -v "${CC:-gcc}" >/dev/null || lacks tools "gcc, with which the kernel was built" "Install it, or name it as CC=."
	fi
}

# probe_bindgen: makes declarations of the module's C.
probe_bindgen() {
	local have
	have=$("${BINDGEN:-bindgen}" --version 2>/dev/null | sed 's/^bindgen //')
	if [ -z "$have" ]; then
		lacks tools "bindgen: ${BINDGEN:-bindgen} is none" "Install bindgen $MIN_BINDGEN or newer, or give it as BINDGEN=/path/to/bindgen."
	elif ! version_ge "$have" "$MIN_BINDGEN"; then
		lacks tools "bindgen $MIN_BINDGEN or newer; ${BINDGEN:-bindgen} is $have" \
			"Install a newer one (cargo install bindgen-cli), or give it as BINDGEN=/path/to/bindgen."
	fi
}
