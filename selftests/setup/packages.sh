# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Finds which distribution packages are missing, and installs them. Sourced.
#
# What is needed is told by the tool or file itself, not by the package database: a machine that has the tools from
# elsewhere needs no package.

# What the 7.3 kernel asks for (its scripts/min-tool-version.sh); its own `rustavailable` has the last word later.
MIN_RUSTC=1.85.0
MIN_BINDGEN=0.71.1
MIN_LLVM=17

# thing|package: a command, or a file when it begins with a slash. A third word `module`: also to build a module for a
# kernel that is there (TOOLS_FOR=module), which takes no more than these.
PLAIN_TOOLS='
make|make|module
git|git
gcc|gcc|module
/usr/include/stdio.h|libc6-dev
flex|flex
bison|bison
bc|bc
perl|perl|module
/usr/include/libelf.h|libelf-dev
/usr/include/openssl/ssl.h|libssl-dev
depmod|kmod
cpio|cpio
xz|xz-utils
flock|util-linux|module
qemu-system-x86_64|qemu-system-x86
/bin/busybox|busybox-static
shellcheck|shellcheck
'

# The administrator's tools are not on everybody's PATH.
PATH=$PATH:/usr/sbin:/sbin

have() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null 2>&1 ;;
	esac
}

# candidate PACKAGE: the upstream version that apt would install, or nothing.
candidate() {
	apt-cache policy "$1" 2>/dev/null |
		sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'
}

# The packages of a Rust toolchain new enough: Debian 13 calls them plainly, Debian 12 carries a second set.
rust_packages() {
	if version_ge "$(candidate rustc)" "$MIN_RUSTC"; then
		echo rustc rust-src rustfmt rust-clippy cargo
	elif version_ge "$(candidate rustc-web)" "$MIN_RUSTC"; then
		echo rustc-web rust-web-src rustfmt-web rust-web-clippy cargo-web
	else
		die "no package of this distribution has Rust $MIN_RUSTC or newer" \
			"If the package lists are empty, run 'apt-get update' as root and try again." \
			"Else install one with its sources (rust-src) and give its compiler as RUSTC=/path/to/rustc."
	fi
}

# The packages of the newest complete LLVM that bindgen can work with.
llvm_packages() {
	local n newest
	newest=$(newest_llvm)
	for n in $(seq "$newest" -1 "$MIN_LLVM"); do
		if [ -n "$(candidate "clang-$n")" ] && [ -n "$(candidate "lld-$n")" ] &&
			[ -n "$(candidate "libclang-$n-dev")" ]; then
			echo "clang-$n" "lld-$n" "llvm-$n" "libclang-$n-dev"
			return
		fi
	done
	die "no package of this distribution has LLVM $MIN_LLVM or newer (to $newest)" \
		"Install one and name it as LLVM=-NN or LLVM=/path/to/bin/."
}

# missing_tools: the packages of the missing plain tools, `rust` and `llvm` standing for those that need a choice.
missing_tools() {
	local thing package for
	while IFS='|' read -r thing package for; do
		[ "${TOOLS_FOR:-all}" = all ] || [ "$for" = "$TOOLS_FOR" ] || continue
		[ -z "$thing" ] || have "$thing" || printf '%s ' "$package"
	done <<<"$PLAIN_TOOLS"
	(find_rust) || printf 'rust '
	(find_llvm) || printf 'llvm '
	# Where the distribution has one that is new enough, none is built.
	(find_bindgen) || ! version_ge "$(candidate bindgen)" "$MIN_BINDGEN" || printf 'bindgen '
}

# packages_for TOOL...: the names to install.
packages_for() {
	local tool
	for tool; do
		case $tool in
		rust) rust_packages ;;
		llvm) llvm_packages ;;
		*) echo "$tool" ;;
		esac
	done | tr '\n' ' '
}

# can_be_root: is there a way that asks nothing, or a user at a terminal to answer?
can_be_root() {
	[ "$(id -u)" -eq 0 ] && return
	command -v sudo >/dev/null 2>&1 || return
	sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }
}

# apt COMMAND...: apt-get as root, its words shown and kept.
apt() {
	local get=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0)
	[ "$(id -u)" -eq 0 ] || get=(sudo "${get[@]}")
	"${get[@]}" "$@" 2>&1 </dev/null | tee -a "$LOGS/packages.log" | sed 's/^/  | /' >&2
}

# install_packages TOOL...: installs what packages_for makes of them.
install_packages() (
	packages=
	command -v apt-get >/dev/null ||
		die "these are missing: $*" \
			"The names are Debian's; install what your distribution calls them and try again."
	if ! can_be_root; then
		packages=$(packages_for "$@")
		die "these packages are missing, and there is no root or sudo to install them with: $packages" \
			"Run this as root, then try again:" \
			"apt-get update && apt-get install --no-install-recommends -y $packages"
	fi
	with_lock packages
	step "Installing what is missing ($*): one to five minutes"
	apt update || die "apt-get update failed" "Log: $LOGS/packages.log"
	packages=$(packages_for "$@")
	# shellcheck disable=SC2086 # a list
	apt install --no-install-recommends -y $packages ||
		die "installing the packages failed" "Look at $LOGS/packages.log, or install them by hand: $packages"
)

# ensure_packages: afterwards everything that comes from the distribution is there. (A subshell: the lock ends with it.)
ensure_packages() (
	local tools
	tools=$(missing_tools)
	[ -n "$tools" ] || return 0
	# shellcheck disable=SC2086 # a list
	install_packages $tools
	tools=$(missing_tools)
	[ -z "$tools" ] || die "still missing after the installation: $tools" "Log: $LOGS/packages.log"
)
