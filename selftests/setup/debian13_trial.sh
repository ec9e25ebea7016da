#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In a Debian 13, from nothing to a module for the kernel of its backports. Prints on standard output the kernel's
# release, its image and the module, a line each.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
exec 3>&1 1>&2

fail() {
	echo "Debian 13: $*"
	exit 1
}

# install PACKAGE...
install() { apt-get -q install --no-install-recommends -y "$@"; }

apt-get -q update
# The newest; neither its variants nor what they have in common.
release=$(apt-cache pkgnames linux-headers- | sed -n 's/^linux-headers-\([0-9].*-amd64\)$/\1/p' | grep -v -e -rt- -e -cloud- |
	sort -V | tail -n 1)
# By its name, not of the suite: that would bring newer libraries, too, and with them their headers can't be installed.
install "linux-headers-$release"
version=$(dpkg-query -W -f '${Version}' "linux-headers-$release")
headers=/lib/modules/$release/build
# A run that was broken off left another one there.
ln -sfn "/usr/src/linux-headers-$release" "$headers"

echo "== Its headers are not enough"
if make modules "KDIR=$headers" 2>/tmp/probe; then
	fail "the headers of $release were taken for a kernel's build"
fi
cat /tmp/probe
grep -q 'missing: .*rust/libkernel.rmeta' /tmp/probe || fail "the probe misses no crates"

echo "== Tools"
make deps 2>&1 | tee /tmp/deps
[ "$(sed -n 's/^  bindgen .*(\(.*\))$/\1/p' /tmp/deps)" = /usr/bin/bindgen ] || fail "the distribution's bindgen is not used"

echo "== The kernel's crates, by its source and its configuration"
source=$(echo ~/.cache/reeve/src/linux-source-*_"$version")
[ -e "$source/Kbuild" ] || fail "the newest kernel is $version, and there is no source of it" "Remove the old one from the cache."
kernel=~/kernel-$release
if [ ! -e "$kernel/Module.symvers" ]; then
	# What a kernel with BTF takes.
	install python3 zlib1g-dev
	mkdir -p "$kernel"
	cp "$headers/.config" "$kernel/"
	compiler=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\) .*/\1/p' "$headers/.config")
	make_kernel() {
		make -C "$source" "O=$kernel" "CC=$compiler" "LOCALVERSION=${release#"${version%%-*}"}" \
			"LIBCLANG_PATH=$(sed -n 's/^  LLVM .*(\(.*\)\/bin)$/\1/p' /tmp/deps)/lib" "-j$JOBS" "$@"
	}
	make_kernel olddefconfig
	cmp "$headers/.config" "$kernel/.config" || fail "the configuration is not the kernel's with these tools"
	make_kernel prepare modules_prepare
	cp "$headers/Module.symvers" "$kernel/"
fi
[ "$(cat "$kernel/include/config/kernel.release")" = "$release" ] || fail "this is another release"

echo "== The module"
module=$(make modules "KDIR=$kernel")
modinfo "$module"

echo "== dkms"
install dkms
reeve=$(modinfo -F version "$module")
rm -rf "/usr/src/reeve-$reeve" /var/lib/dkms/reeve /lib/modules/*/updates/dkms/reeve.ko*
PREFIX=/usr "$here/make.sh" install_sources
# With the headers as they are there is nothing to do, and nothing fails.
dkms add "reeve/$reeve"
rc=0
dkms install "reeve/$reeve" -k "$release" || rc=$?
[ "$rc" -eq 77 ] || fail "dkms does not pass over the headers: exit status $rc"
dkms autoinstall -k "$release"
dkms remove "reeve/$reeve" --all
LIBCLANG_PATH=$(sed -n 's/^  LLVM .*(\(.*\)\/bin)$/\1/p' /tmp/deps)/lib "$here/dkms_trial.sh" "$reeve" "$kernel"
ln -sfn "/usr/src/linux-headers-$release" "$headers"

echo "== The kernel's image"
image=~/image-$release
if [ ! -e "$image" ]; then
	(
		cd /tmp
		apt-get -q -o APT::Sandbox::User=root download "linux-binary-$release"
		dpkg-deb -x linux-binary-*.deb "$image"
	)
fi
printf '%s\n' "$release" "$(find "$image" -name 'vmlinuz*' | sed -n 1p)" "$module" >&3
