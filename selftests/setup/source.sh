# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Gets the kernel source, from the distribution's archive with its signature checked. Sourced.
#
# The system's package sources stay as they are: a private apt, with its own lists, looks into the suite that has
# the kernel. The archive's address is the one the system already uses.

SOURCE_SUITE=trixie-backports
SOURCE_WANTED=7.3
SOURCE_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# ensure_source: sets KERNEL_SOURCE to a complete source tree and SOURCE_ID to what tells it from others.
ensure_source() {
	if [ -n "${KERNEL_SRC:-}" ]; then
		[ -e "$KERNEL_SRC/rust/kernel/lib.rs" ] ||
			die "KERNEL_SRC=$KERNEL_SRC is not a Linux source tree with Rust support" "Give its top directory."
		version_ge "$(source_version "$KERNEL_SRC")" "$SOURCE_WANTED" ||
			die "KERNEL_SRC=$KERNEL_SRC is Linux $(source_version "$KERNEL_SRC"), and it takes $SOURCE_WANTED or newer" \
				"The kernel's Rust interfaces are others in older ones."
		KERNEL_SOURCE=$(cd "$KERNEL_SRC" && pwd)
		SOURCE_ID="own $KERNEL_SOURCE"
		return
	fi
	KERNEL_SOURCE=$(newest_source)
	if [ -z "$KERNEL_SOURCE" ]; then
		(fetch_source)
		KERNEL_SOURCE=$(newest_source)
	fi
	SOURCE_ID=$(basename "$KERNEL_SOURCE")
}

# source_version TREE: the release that a tree's Makefile names, such as 7.3.4.
source_version() {
	sed -n 's/^\(VERSION\|PATCHLEVEL\|SUBLEVEL\) = \([0-9]*\)$/\2/p' "$1/Makefile" 2>/dev/null | sed -n 1,3p | paste -sd .
}

# newest_source: a complete tree in the cache. A tree gets its name only when it is complete.
newest_source() {
	local tree
	for tree in "$REEVE_CACHE"/src/linux-source-*/; do
		[ ! -e "$tree/Kbuild" ] || printf '%s\n' "${tree%/}"
	done | sort -V | tail -n 1
}

# archive_addresses: where the system's own apt gets Debian from.
archive_addresses() {
	# shellcheck disable=SC2016 # apt's own expansions
	apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian|//p' | grep -v -e '-security/*$' | sort -u
}

# private_apt DIR ADDRESS: writes DIR/apt.conf, an apt that knows SOURCE_SUITE only.
private_apt() {
	mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
	echo "deb [signed-by=$SOURCE_KEYRING] $2 $SOURCE_SUITE main" >"$1/sources.list"
	cat >"$1/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$1/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::Etc::preferencesparts "-";
		Dir::State::lists "$1/lists";
		Dir::State::status "/dev/null";
		Dir::Cache "$1/cache";
		Acquire::Languages "none";
		Acquire::Retries "3";
		APT::Sandbox::User "$(id -un)";
	EOF
}

# source_package: the package to take: the wanted version, or the oldest newer one.
source_package() {
	local name
	apt-cache pkgnames linux-source- | sed -n 's/^linux-source-\([0-9]*\.[0-9]*\)$/\1/p' | sort -V |
		while read -r name; do
			if version_ge "$name" "$SOURCE_WANTED"; then
				echo "linux-source-$name"
				break
			fi
		done
}

fetch_source() {
	local work=$REEVE_CACHE/src/.work address package='' deb name
	with_lock source
	[ -z "$(newest_source)" ] || return 0
	if ! command -v apt-get >/dev/null || ! [ -e "$SOURCE_KEYRING" ]; then
		die "the kernel source comes from Debian's archive, and this is not a Debian" \
			"Unpack Linux $SOURCE_WANTED or newer somewhere and give it as KERNEL_SRC=directory."
	fi
	step "Getting the kernel source (about 160 MB to download, 1.8 GB unpacked)"
	mkdir -p "$work"
	for address in $(archive_addresses); do
		private_apt "$work" "$address"
		export APT_CONFIG=$work/apt.conf
		if run_logged "reading the package list of $SOURCE_SUITE" "some seconds" "$LOGS/source-list.log" - \
			apt-get -q update; then
			package=$(source_package)
			[ -z "$package" ] || break
		fi
	done
	[ -n "$package" ] ||
		die "no package linux-source-$SOURCE_WANTED or newer was found in $SOURCE_SUITE" \
			"Is the network up, and does the system's apt use a Debian archive? Log: $LOGS/source-list.log" \
			"Or unpack such a source yourself and give it as KERNEL_SRC=directory."
	rm -f "$work"/*.deb
	(cd "$work" && run_logged "downloading $package" "a minute or so" "$LOGS/source-download.log" download_size \
		apt-get -q download "$package") ||
		die "the download failed" "Run the same command again to retry. Log: $LOGS/source-download.log"
	deb=$(compgen -G "$work/linux-source-*.deb")
	# dpkg names the file with %3a for a colon; the tree is named after the file.
	name=$(basename "$deb" | sed 's/_all\.deb$//; s/%3a/-/')
	rm -rf "$work/tree"
	mkdir "$work/tree"
	# shellcheck disable=SC2016 # for the inner shell
	run_logged "unpacking it" "half a minute" "$LOGS/source-unpack.log" - \
		bash -c 'set -o pipefail; dpkg-deb --fsys-tarfile "$1" | tar -x -O --wildcards "./usr/src/linux-source-*.tar.xz" |
			tar -x -J -C "$2" --strip-components=1' - "$deb" "$work/tree" ||
		die "unpacking failed" "Is there room for 2 GB in $REEVE_CACHE? Log: $LOGS/source-unpack.log"
	rm -f "$deb"
	mv "$work/tree" "$REEVE_CACHE/src/$name"
}

download_size() { du -cm "$REEVE_CACHE/src/.work/"*.deb 2>/dev/null | sed -n 's/^\([0-9]*\)\ttotal/\1 MB/p'; }
