#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In a guest with a Debian on its disk: installs the packages that are beside this with dpkg, uses what they have, and
# removes them.
set -eu

debian=/debian
in_debian() { chroot $debian /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"; }

# fails COMMAND...: does it?
fails() {
	if in_debian "$@"; then
		echo "this should have failed: $*"
		exit 1
	fi
}

mkdir $debian
mount -t tmpfs -o size=90% debian $debian
tar -xf /dev/vda -C $debian
for dir in proc sys dev; do
	mkdir -p $debian/$dir
	mount -o rbind /$dir $debian/$dir
done
release=$(uname -r)
# So much of a kernel is there before.
mkdir -p "$debian/lib/modules/$release"
cp ./*.deb $debian/tmp/

fails modprobe reeve
in_debian sh -exc 'dpkg -i /tmp/*.deb && rm /tmp/*.deb'
in_debian dpkg -l 'reeve*'
# The programs are those of the package: there are none of Reeve's else in there.
in_debian dpkg --verify reeve
in_debian modinfo reeve
in_debian modprobe reeve enable_builtin_tests=1 pages_limit=4000
[ "$(cat /sys/module/reeve/parameters/pages_limit)" = 4000 ]
[ "$(cat /sys/module/reeve/version)" = "$(in_debian dpkg-query -W -f "\${Version}" reeve)" ]
in_debian reevectl version
in_debian reevectl lock-sanity
in_debian reevectl stat
in_debian sh -c 'zcat /usr/share/man/man1/reevectl.1.gz | grep "^\.TH reevectl"'
in_debian test -e /usr/include/reeve/lock_order.h -a -e /usr/include/reeve/uapi/reeve.h
in_debian modprobe -r reeve

in_debian dpkg -P reeve "reeve-modules-$release"
fails modprobe reeve
left=$(find $debian -xdev -name '*reeve*')
if [ -n "$left" ]; then
	echo "left: $left"
	exit 1
fi
