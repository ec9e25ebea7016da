# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# A Debian 13 machine, as far as building goes: a chroot that debootstrap makes from the archive. Sourced.
#
# It has a cache of its own, so that nothing in it was built by another distribution's tools; of this machine's it sees
# the kernel sources, which are the same everywhere.

# The suite that the kernel's source is a backport to.
DEBIAN13=${SOURCE_SUITE%-backports}

# ensure_debian13: sets ROOT13 to the root of such a machine, where what a user of apt has is installed, and make.
ensure_debian13() {
	[ "$(id -u)" -eq 0 ] || die "a chroot is made by root only" "Run this as root."
	ROOT13=$REEVE_CACHE/debian13/root
	[ -e "$ROOT13" ] || (make_debian13)
	[ -e "$ROOT13" ] || die "there is no $ROOT13"
}

# bootstrap_debian13 DIR PACKAGES: the least that Debian 13 consists of, and these packages (separated by commas).
bootstrap_debian13() {
	local address
	have debootstrap || (install_packages debootstrap)
	address=$(archive_addresses | sed -n 1p)
	[ -n "$address" ] || die "the system's apt uses no Debian archive"
	rm -rf "$1"
	mkdir -p "$(dirname "$1")"
	run_logged "debootstrap $DEBIAN13" "about a minute, once" "$LOGS/debootstrap.log" last_line \
		debootstrap --variant=minbase "--include=$2" "--keyring=$SOURCE_KEYRING" "$DEBIAN13" "$1" "$address" ||
		die "debootstrap failed" "Log: $LOGS/debootstrap.log"
	# Nothing is taken from backports unless it is asked for.
	echo "deb $address $SOURCE_SUITE main" >"$1/etc/apt/sources.list.d/backports.list"
}

make_debian13() {
	with_lock debian13
	[ ! -e "$ROOT13" ] || return 0
	bootstrap_debian13 "$REEVE_CACHE/debian13/new" make,ca-certificates
	mv "$REEVE_CACHE/debian13/new" "$ROOT13"
}

# in_debian13 COMMAND...: runs it there, as root, in /root/reeve, which is this checkout. What it makes lands in
# build/debian13. The mounts end with the command.
in_debian13() {
	local of=$REEVE_CACHE/debian13
	mkdir -p "$of/cache/src" "$REEVE_CACHE/src" "$BUILD/debian13" "$ROOT13/root/reeve" "$ROOT13/root/.cache/reeve"
	cp -L /etc/resolv.conf "$ROOT13/etc/resolv.conf"
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation private bash -ec '
		root=$1 checkout=$2 cache=$3 sources=$4
		shift 4
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/tmp"
		mount --bind "$checkout" "$root/root/reeve"
		mount --bind "$checkout/build/debian13" "$root/root/reeve/build"
		mount --bind "$cache" "$root/root/.cache/reeve"
		mount --bind "$sources" "$root/root/.cache/reeve/src"
		exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
			"JOBS=$JOBS" bash -c "cd /root/reeve && exec \"\$@\"" - "$@"' \
		- "$ROOT13" "$REEVE_ROOT" "$of/cache" "$REEVE_CACHE/src" "$@"
}

verb_in_debian13() {
	ensure_debian13
	in_debian13 "$@"
}
