#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# dkms_trial.sh VERSION BUILD: the distribution's dkms with our dkms.conf, as a user and a kernel's package call it: for
# the kernel that was built in BUILD, and for kernels that nothing can be built for.
#
# It changes /lib/modules, /var/lib/dkms and /usr/src, where the sources are: they are a chroot's, or mounted for it.
set -euo pipefail

version=$1 build=$2
release=$(cat "$build/include/config/kernel.release")
PATH=$PATH:/usr/sbin:/sbin

# expect STATUS COMMAND...: runs it and shows it; ends everything if it ends otherwise.
expect() {
	local status=$1 rc=0
	shift
	echo "\$ $*"
	"$@" 2>&1 || rc=$?
	echo "(exit status $rc)"
	[ "$rc" -eq "$status" ] || {
		cat /var/lib/dkms/reeve/*/build/make.log 2>/dev/null || true
		echo "dkms trial: this should have been $status"
		exit 1
	}
}

# headers RELEASE: of a kernel of that release, as far as dkms looks at them.
headers() {
	local dir=/lib/modules/$1/build
	mkdir -p "$dir/include/config" "$dir/rust"
	echo "$1" >"$dir/include/config/kernel.release"
	echo CONFIG_RUST=y >"$dir/.config"
	touch "$dir/Makefile" "$dir/rust/libkernel.rmeta"
}

# What Debian 12's dkms says when everything is to be installed for a kernel that is excluded.
case $(dkms --version) in
*3.0.10*) nothing_to_do=11 ;;
*) nothing_to_do=0 ;;
esac

# passed_over RELEASE: dkms says that this kernel is not for the module, and leaves it alone.
passed_over() {
	expect 77 dkms install "reeve/$version" -k "$1"
	# As a kernel's package does.
	expect "$nothing_to_do" dkms autoinstall -k "$1"
	[ ! -e "/var/lib/dkms/reeve/$version/$1" ]
}

dkms --version
mkdir -p "/lib/modules/$release"
ln -sfn "$build" "/lib/modules/$release/build"
# As the kernel's package does: dkms takes one without the lists for one that is not installed.
depmod "$release"
expect 0 dkms add "reeve/$version"
expect 0 dkms autoinstall -k "$release"
expect 0 modprobe --set-version "$release" --show-depends reeve
[ "$(modinfo -k "$release" -F version reeve)" = "$version" ]

headers 7.3.4-without-rust
echo '# CONFIG_RUST is not set' >/lib/modules/7.3.4-without-rust/build/.config
passed_over 7.3.4-without-rust
headers 7.2.12-older
passed_over 7.2.12-older
headers 7.3.4-without-crates
rm /lib/modules/7.3.4-without-crates/build/rust/libkernel.rmeta
passed_over 7.3.4-without-crates
# Whether it is newer is not a question of letters.
headers 7.10.1-newer
(
	set +u # dkms sets what it has in it
	# shellcheck source=/dev/null
	kernelver=7.10.1-newer kernel_source_dir=/lib/modules/7.10.1-newer/build . "/usr/src/reeve-$version/dkms.conf"
	[[ 7.10.1-newer =~ $BUILD_EXCLUSIVE_KERNEL && 10.0.1 =~ $BUILD_EXCLUSIVE_KERNEL && ! 6.13.1 =~ $BUILD_EXCLUSIVE_KERNEL ]]
)

expect 0 dkms remove "reeve/$version" --all
left=$(find /lib/modules/*/updates /var/lib/dkms -name '*reeve*' 2>/dev/null || true)
[ -z "$left" ] || {
	echo "dkms trial: left: $left"
	exit 1
}
echo "dkms trial: all as it should be"
