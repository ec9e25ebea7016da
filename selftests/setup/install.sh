# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Installs what was built, below DESTDIR (for packages) and PREFIX, and removes it again. Sourced.
#
# What belongs to a kernel (the module, its Module.symvers) goes where that kernel's release says; the rest is of all.

# version: of the programs and the module.
version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$REEVE_ROOT/selftests/Cargo.toml" | sed -n 1p; }

# put MODE FILE PATH: installs FILE as PATH, which is seen without DESTDIR.
put() {
	install -D -m "$1" "$2" "${DESTDIR:-}$3"
	say "  ${DESTDIR:-}$3"
}

# list_of_sources: the files that a build of the module needs, relative to the checkout.
list_of_sources() {
	(cd "$REEVE_ROOT" && find Kbuild rust -type f ! -name '*.o' ! -name '*.ko' ! -name '.*.cmd' | sort)
}

# install_programs PAGES REEVECTL: everything that is of no kernel. PAGES has the manual pages and completions.
install_programs() {
	local prefix=${PREFIX:-/usr/local} pages=$1 reevectl=$2 page file
	put 755 "$reevectl" "$prefix/bin/reevectl"
	for page in "$pages"/man/*.1; do
		put 644 "$page" "$prefix/share/man/man1/$(basename "$page")"
	done
	put 644 "$pages/reevectl.bash" "$prefix/share/bash-completion/completions/reevectl"
	put 644 "$pages/_reevectl" "$prefix/share/zsh/site-functions/_reevectl"
	put 644 "$pages/reevectl.fish" "$prefix/share/fish/vendor_completions.d/reevectl.fish"
	for file in "$REEVE_ROOT"/rust/include/reeve/*; do
		put 644 "$file" "$prefix/include/reeve/$(basename "$file")"
	done
	put 644 "$REEVE_ROOT/rust/uapi/reeve.h" "$prefix/include/reeve/uapi/reeve.h"
	put 644 "$REEVE_ROOT/Documentation/60-reeve.rules" "$prefix/share/doc/reeve/60-reeve.rules"
	install_sources
}

# install_sources: for dkms, which builds the module for each kernel.
install_sources() {
	local file to
	to=${PREFIX:-/usr/local}/src/reeve-$(version)
	while read -r file; do
		put 644 "$REEVE_ROOT/$file" "$to/$file"
	done < <(list_of_sources)
	put 644 <(dkms_conf) "$to/dkms.conf"
}

# dkms_conf: prints the file, a script that dkms runs for each kernel. Kernels that no module of Rust can be built for
# are passed over, not failed: those without Rust, older ones, and those whose headers lack the kernel's crates.
dkms_conf() {
	cat <<-EOF
		# SPDX-License-Identifier: GPL-2.0
		PACKAGE_NAME="reeve"
		PACKAGE_VERSION="$(version)"
		BUILT_MODULE_NAME[0]="reeve"
		BUILT_MODULE_LOCATION[0]="rust"
		DEST_MODULE_LOCATION[0]="/updates/dkms"
		BUILD_EXCLUSIVE_ARCH="x86_64"
		BUILD_EXCLUSIVE_CONFIG="CONFIG_RUST"
		BUILD_EXCLUSIVE_KERNEL="^(7\.([3-9]|[1-9][0-9])|[89]\.|[1-9][0-9]+\.)"
		# Headers of a distribution say CONFIG_RUST=y, and lack the kernel's compiled crates. (Without a kernel's
		# name dkms reads this for something else.)
		if [ -n "\$kernelver" ] && [ ! -e "\$kernel_source_dir/rust/libkernel.rmeta" ]; then
		        BUILD_EXCLUSIVE_KERNEL="^no crates of this kernel"
		fi
		MAKE[0]="make -C \$kernel_source_dir M=\$dkms_tree/\$module/\$module_version/build modules"
		CLEAN="make -C \$kernel_source_dir M=\$dkms_tree/\$module/\$module_version/build clean"
		AUTOINSTALL="yes"
	EOF
}

# release_of KOUT: the release of a kernel that was built there.
release_of() {
	cat "$1/include/config/kernel.release" 2>/dev/null ||
		die "the kernel in $1 has no include/config/kernel.release" "Is it built? Then 'make prepare' there makes it."
}

# sign_module KOUT MODULE: with the key of that kernel's build, if it signs modules and the key is there.
sign_module() {
	local key cert hash
	grep -qx 'CONFIG_MODULE_SIG=y' "$1/.config" || return 0
	[ "$(tail -c 28 "$2" | tr -d '\0')" != "~Module signature appended~" ] || return 0
	key=$(sed -n 's/^CONFIG_MODULE_SIG_KEY="\(.*\)"$/\1/p' "$1/.config")
	hash=$(sed -n 's/^CONFIG_MODULE_SIG_HASH="\(.*\)"$/\1/p' "$1/.config")
	case $key in /*) ;; *) key=$1/$key ;; esac
	key=${MODULE_KEY:-$key}
	cert=${MODULE_CERT:-$1/certs/signing_key.x509}
	if [ ! -e "$key" ] || [ ! -e "$cert" ] || [ ! -x "$1/scripts/sign-file" ]; then
		say "not signed: the kernel signs its modules, and there is no key $(near "$key"), certificate or scripts/sign-file;"
		say "see Documentation/install.md"
		return 0
	fi
	"$1/scripts/sign-file" "$hash" "$key" "$cert" "$2" || die "signing $2 failed"
	say "signed with $(near "$key")"
}

# sign_if_forced KOUT MODULE: for a kernel that inserts no others.
sign_if_forced() {
	! grep -qx 'CONFIG_MODULE_SIG_FORCE=y' "$1/.config" || sign_module "$1" "$2"
}

# install_module KOUT MODULE: into updates/ of that kernel's modules, signed if it can be, and depmod.
install_module() {
	local release prefix=${PREFIX:-/usr/local} signed
	release=$(release_of "$1")
	signed=$(mktemp)
	cp "$2" "$signed"
	sign_module "$1" "$signed"
	put 644 "$signed" "/lib/modules/$release/updates/reeve.ko"
	rm -f "$signed"
	put 644 "$(dirname "$2")/../Module.symvers" "$prefix/share/reeve/$release/Module.symvers"
	# A tree that is put together for a package may have nothing else of the kernel.
	depmod -b "${DESTDIR:-/}" "$release" || die "depmod failed for $release"
}

# uninstall: removes what install and modules_install put there, of every kernel, and directories that are empty then.
uninstall() {
	local root=${DESTDIR:-} prefix=${PREFIX:-/usr/local} module release
	rm -rf "$root$prefix/include/reeve" "$root$prefix/share/doc/reeve" "$root$prefix/src/reeve-$(version)" "$root$prefix/share/reeve"
	rm -f "$root$prefix/bin/reevectl" "$root$prefix"/share/man/man1/reevectl.1 "$root$prefix"/share/man/man1/reevectl-*.1 \
		"$root$prefix/share/bash-completion/completions/reevectl" "$root$prefix/share/zsh/site-functions/_reevectl" \
		"$root$prefix/share/fish/vendor_completions.d/reevectl.fish"
	for module in "$root"/lib/modules/*/updates/reeve.ko; do
		[ -e "$module" ] || continue
		rm -f "$module"
		release=$(basename "$(dirname "$(dirname "$module")")")
		depmod -b "${root:-/}" "$release" || say "depmod failed for $release"
	done
	say "removed from $root$prefix and $root/lib/modules"
}
