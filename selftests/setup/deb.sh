# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Debian packages of what `make install` and `make modules_install` install. Sourced.
#
# reeve has what is of no kernel; reeve-modules-RELEASE the module for one. They are made of an installation below
# DESTDIR, without the distribution's build of packages: there is nothing to compile in them that make does not.

# control NAME VERSION DEPENDS DESCRIPTION TEXT: prints what dpkg has to know of a package.
control() {
	cat <<-EOF
		Package: $1
		Version: $2
		Section: kernel
		Priority: optional
		Architecture: amd64
		Maintainer: The Reeve developers
		${3:+Depends: $3
		}Description: $4
		 $5
	EOF
}

# pack DIR OUT: makes a package of DIR, with checksums of its files, by root.
pack() {
	cp "$REEVE_ROOT/LICENSE" "$1/$DOC/copyright"
	chmod -R u+rwX,go+rX,go-w "$1"
	(cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
	dpkg-deb --root-owner-group --build "$1" "$2" >&2
}

# maintainer_script UNLESS COMMAND: prints it.
maintainer_script() { printf '%s\n' '#!/bin/sh' 'set -e' "$1 || $2"; }

# deb_of_programs DIR: prints the name of the package that it makes in DIR: programs, manual pages, completions, headers,
# the sources for dkms.
deb_of_programs() {
	local root=$1/programs DOC=usr/share/doc/reeve deb
	deb=$1/reeve_$(version)_amd64.deb
	rm -rf "$root" "$deb"
	DESTDIR=$root PREFIX=/usr "$here/make.sh" install || return
	mkdir "$root/DEBIAN"
	control reeve "$(version)" '' "page accounting and checked lock order for kernel drivers" \
		"reevectl, headers for drivers, and the sources of the module for dkms." >"$root/DEBIAN/control"
	gzip -9n "$root"/usr/share/man/man1/*.1
	cp "$REEVE_ROOT/Documentation/CHANGELOG.md" "$root/$DOC/"
	pack "$root" "$deb" || return
	echo "$deb"
}

# deb_of_module DIR KERNEL: the same, with the module for that test kernel, or for KDIR=.
deb_of_module() {
	local root=$1/module release name DOC deb
	rm -rf "$root"
	DESTDIR=$root PREFIX=/usr KERNEL=$2 "$here/make.sh" modules_install || return
	release=$(basename "$root"/lib/modules/*)
	name=reeve-modules-$release
	name=${name//_/-}
	DOC=usr/share/doc/$name
	deb=$1/${name}_$(version)_amd64.deb
	# The lists are the kernel's, and depmod makes them where it is installed. (/lib is a link to /usr/lib on a Debian.)
	rm -f "$root/lib/modules/$release"/modules.*
	mkdir -p "$root/usr/lib" "$root/DEBIAN" "$root/$DOC"
	mv "$root/lib/modules" "$root/usr/lib/modules"
	rmdir "$root/lib"
	control "$name" "$(version)" kmod "module reeve for Linux $release" \
		"It is in the directory updates, and loaded by modprobe reeve." >"$root/DEBIAN/control"
	maintainer_script "[ \"\$1\" != configure ]" "depmod $release" >"$root/DEBIAN/postinst"
	maintainer_script "[ \"\$1\" != remove ] || [ ! -e /lib/modules/$release/modules.dep ]" "depmod $release" >"$root/DEBIAN/postrm"
	chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/postrm"
	pack "$root" "$deb" || return
	echo "$deb"
}
