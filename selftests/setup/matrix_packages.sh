# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Rows of `make matrix` that are no test kernels: the module from packages, as distributions install it. Sourced.
#
# Each prints a line of the second table, and fails if something in it failed. They take root, for mounts.

MATRIX_PACKAGES=(dkms deb)

# Only by name: what it needs is a gigabyte of packages.
MATRIX_BY_NAME=(debian13)

package_table_head() {
	echo "| packages | what came of it |"
	echo "|---|---|"
}

# matrix_dkms: with this machine's dkms, for the base kernel and for kernels that are passed over.
matrix_dkms() {
	local dir=$BUILD/matrix/dkms log=$BUILD/matrix/dkms/trial.log version
	[ "$(id -u)" -eq 0 ] || die "the row dkms takes root" "It mounts directories over /lib/modules, /var/lib/dkms and /usr/src, for its own processes."
	rm -rf "$dir"
	mkdir -p "$dir/modules" "$dir/tree" "$dir/root/usr/src"
	have dkms || (install_packages dkms)
	version=$(dkms --version | sed 's/^dkms-//')
	ensure_kernel base
	if ! DESTDIR=$dir/root PREFIX=/usr "$here/make.sh" install_sources 2>"$dir/install.log"; then
		show_failure "$dir/install.log"
		echo "| dkms | **the sources were not installed** |"
		return 1
	fi
	# Where what dkms changes is mounted, for it alone; bindgen is on a user's PATH.
	mkdir -p /lib/modules /var/lib/dkms /usr/src
	# shellcheck disable=SC2016 # for the inner shell
	if ! PATH=$(dirname "$BINDGEN"):$PATH run_logged "  dkms $version" "a minute" "$log" last_line \
		unshare --mount --propagation private bash -ec '
			mount --bind "$1/modules" /lib/modules
			mount --bind "$1/tree" /var/lib/dkms
			mount --bind "$1/root/usr/src" /usr/src
			shift
			exec "$@"' - "$dir" "$here/dkms_trial.sh" "$(version)" "$KOUT"; then
		echo "| dkms $version | **failed**: $(tail -n 1 "$log" | tr '|' '/') |"
		return 1
	fi
	echo "| dkms $version | for the base kernel it is added, built, installed, found by modprobe, removed; kernels that are" \
		"older, without Rust, or without their crates are passed over (exit status 77) |"
}

# ensure_small_debian: sets SMALL_DEBIAN to an archive of a Debian without anything else than dpkg and kmod.
ensure_small_debian() {
	SMALL_DEBIAN=$REEVE_CACHE/debian13/small.tar
	[ -e "$SMALL_DEBIAN" ] || (
		with_lock debian13-small
		[ ! -e "$SMALL_DEBIAN" ] || exit 0
		bootstrap_debian13 "$REEVE_CACHE/debian13/small" kmod
		tar -C "$REEVE_CACHE/debian13/small" -cf "$SMALL_DEBIAN.new" --exclude=./var/cache --exclude=./var/lib/apt/lists \
			--exclude=./usr/share/doc --exclude=./usr/share/locale --exclude=./usr/share/man --exclude='./dev/*' .
		mv "$SMALL_DEBIAN.new" "$SMALL_DEBIAN"
		rm -rf "$REEVE_CACHE/debian13/small"
	)
}

# matrix_deb: packages for dpkg, installed in a guest that is a Debian, and removed again.
matrix_deb() {
	local dir=$BUILD/matrix/deb programs module
	[ "$(id -u)" -eq 0 ] || die "the row deb takes root, for debootstrap"
	mkdir -p "$dir"
	ensure_small_debian
	if ! { programs=$(deb_of_programs "$dir") && module=$(deb_of_module "$dir" base); } 2>"$dir/packages.log"; then
		show_failure "$dir/packages.log"
		echo "| Debian packages | **were not made** |"
		return 1
	fi
	cp "$here/deb_trial.sh" "$dir/trial.sh"
	if ! matrix_vm base deb "$dir/trial.sh" LOAD=0 MEM=1536 "FILES=$programs $module" \
		"QEMU_ARGS=-drive file=$SMALL_DEBIAN,format=raw,if=virtio,readonly=on"; then
		echo "| Debian packages | **failed**: $(ended "$MATRIX_LOG" | tr '|' '/') |"
		return 1
	fi
	echo "| $(basename "$programs"), $(basename "$module") | in a guest: installed by dpkg, modprobe reeve, reevectl lock-sanity" \
		"($(sanity_count "$MATRIX_LOG")), purged; nothing is left |"
}

# matrix_debian13: from a bare Debian 13 to a module for its own newest kernel, which a guest boots.
matrix_debian13() {
	local dir=$BUILD/matrix/debian13 log=$BUILD/matrix/debian13/trial.log made kind rc failed=0 words=''
	mkdir -p "$dir"
	ensure_debian13
	# shellcheck disable=SC2016 # for the inner shell
	if ! run_logged "  Debian 13: tools, the kernel's crates, the module, dkms" "ten minutes, twenty the first time" "$log" last_line \
		bash -c 'exec "$1" in_debian13 selftests/setup/debian13_trial.sh >"$2"' - "$here/make.sh" "$dir/made"; then
		echo "| Debian 13 | **failed**: $(tail -n 1 "$log" | tr '|' '/') |"
		return 1
	fi
	mapfile -t made <"$dir/made"
	# Its build/ is one of ours.
	export IMAGE=$ROOT13/${made[1]#/} REEVE_KO=$BUILD/debian13/${made[2]#/root/reeve/build/}
	for kind in sanity report tests; do
		rc=0
		"matrix_$kind" debian13 "$dir" || rc=1
		failed=$((failed | rc))
		words="$words, $kind: $CELL"
	done
	unset IMAGE REEVE_KO
	echo "| Debian 13, Linux ${made[0]} | its headers are refused for want of crates; $(debian13_tools "$log"); module built and" \
		"inserted; dkms $(sed -n 's/^dkms-//p' "$log"): as on this machine, and nothing to do for the headers as they are$words |"
	return "$failed"
}

# debian13_tools LOG: which ones were found there.
debian13_tools() { sed -n 's/^  \(rustc\|LLVM\|bindgen\)  *\([0-9.]*\) .*/\1 \2/p' "$1" | sort -u | paste -sd, | sed 's/,/, /g'; }
