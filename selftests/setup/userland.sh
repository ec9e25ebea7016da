# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds the programs: the harness for this machine, the static ones for the guest. Sourced.
#
# Finished programs are in the cache by a hash of what they are made of, and copied from there. What cargo compiles
# on the way is in build/cargo, which begins as a copy of the dependencies' part that an earlier checkout left in the
# cache. So checkouts with different sources share no directory that cargo writes to.

GUEST_PROGRAMS=(reevectl reeve-guest-tests reeve-vhost-guest)

# One target and one set of flags for everything, the guest's, so that what is compiled once serves the tests, the
# harness, the guest and clippy. (Naming the target keeps the flags away from build scripts and macros, which run here
# and cannot be static.)
TARGET=x86_64-unknown-linux-gnu
CARGO_FLAGS=("CARGO_BUILD_TARGET=$TARGET" "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-C target-feature=+crt-static")
CARGO_SETTINGS=("CARGO_TARGET_DIR=$BUILD/cargo" "${CARGO_FLAGS[@]}")

# How many builds of the programs the cache keeps.
PROGRAMS_KEPT=12

# workspace VERB ARGUMENT...: cargo, in the workspace, with this toolchain; its output shown.
workspace() (
	verb=$1
	shift
	with_lock "cargo-$(echo "$BUILD" | hash_of)"
	take_dependencies
	env "${CARGO_SETTINGS[@]}" "$CARGO" "$verb" --manifest-path "$REEVE_ROOT/selftests/Cargo.toml" "$@" || exit
	# A part of the workspace may not need all of them.
	case " $* " in *" --workspace "*) leave_dependencies "$verb" ;; esac
)

# dependencies: the cache's directory of compiled dependencies, of this toolchain and these versions.
dependencies() {
	local id
	id=$({
		toolchain_id
		printf '%s\n' "${CARGO_FLAGS[@]}"
		cat "$REEVE_ROOT/selftests/Cargo.lock"
	} | hash_of)
	echo "$REEVE_CACHE/cargo/$id"
}

# take_dependencies: begins build/cargo with the dependencies in the cache.
take_dependencies() (
	from=$(dependencies)
	[ ! -e "$BUILD/cargo" ] || exit 0
	with_lock "dependencies-$(basename "$from")"
	[ -e "$from" ] || exit 0
	rm -rf "$BUILD/cargo.new"
	cp -a --reflink=auto "$from" "$BUILD/cargo.new"
	mv "$BUILD/cargo.new" "$BUILD/cargo"
)

# leave_dependencies VERB: leaves what cargo VERB compiled of the dependencies in the cache, unless it is there. What
# is of this workspace stays out: cargo would tell it from another checkout's by the time of its files only.
leave_dependencies() (
	to=$(dependencies)
	case $1 in build | test | clippy) ;; *) exit 0 ;; esac
	[ ! -e "$to/.has-$1" ] || exit 0
	with_lock "dependencies-$(basename "$to")"
	# Not if that would lose what another checkout left.
	for mark in "$to"/.has-*; do
		[ ! -e "$mark" ] || [ -e "$BUILD/cargo/$(basename "$mark")" ] || exit 0
	done
	rm -rf "$to.new"
	mkdir -p "$(dirname "$to")"
	touch "$BUILD/cargo/.has-$1"
	cp -a --reflink=auto "$BUILD/cargo" "$to.new"
	mapfile -t members < <(cd "$REEVE_ROOT/selftests" && sed -n '/^\[package\]/,/^\[[^p]/s/^name = "\(.*\)"/--package=\1/p' crates/*/Cargo.toml)
	env "CARGO_TARGET_DIR=$to.new" "${CARGO_FLAGS[@]}" "$CARGO" clean --quiet \
		--manifest-path "$REEVE_ROOT/selftests/Cargo.toml" "${members[@]}" >&2 || exit
	rm -rf "$to.new"/doc "$to.new"/*/doc "$to.new"/debug/incremental "$to.new"/*/debug/incremental "$to"
	mv "$to.new" "$to"
)

# programs_id: changes when the programs have to be built anew.
programs_id() {
	{
		toolchain_id
		printf '%s\n' "${CARGO_FLAGS[@]}"
		cd "$REEVE_ROOT"
		# What another crate's file includes from outside the workspace is in these.
		find selftests/Cargo.toml selftests/Cargo.lock selftests/crates rust/uapi rust/*/rules README.md Documentation -type f -print0 |
			sort -z | xargs -0 sha256sum
	} | hash_of
}

# build_programs: sets PROGRAMS to the cache's directory with all of them: what they share depends on what is built
# together.
build_programs() {
	PROGRAMS=$REEVE_CACHE/programs/$(programs_id)
	if [ ! -e "$PROGRAMS" ]; then
		(compile_programs)
		PROGRAMS=$REEVE_CACHE/programs/$(programs_id)
		[ -e "$PROGRAMS" ] || die "the programs' sources changed while they were built" "Run the same command again."
	fi
	touch "$PROGRAMS"
}

compile_programs() {
	local log=$LOGS/cargo-build.log id program new made=$BUILD/cargo/$TARGET/debug
	id=$(programs_id)
	with_lock "programs-$id"
	[ ! -e "$REEVE_CACHE/programs/$id" ] || return 0
	run_logged "building the programs" "seconds; minutes the first time" "$log" last_line \
		"$here/make.sh" cargo build --workspace --bins ||
		die "building the programs failed" "Log: $log"
	# What was changed meanwhile may be in them, or not.
	[ "$(programs_id)" = "$id" ] || return 0
	mkdir -p "$REEVE_CACHE/programs"
	new=$(mktemp -d "$REEVE_CACHE/programs/.new.XXXXXX")
	cp "$made/reeve-harness" "$new/"
	mkdir "$new/guest"
	# Every boot unpacks them: without what only a debugger reads.
	for program in "${GUEST_PROGRAMS[@]}"; do
		"$LLVM_BIN/llvm-strip" -o "$new/guest/$program" "$made/$program"
	done
	chmod -R a+rX "$new"
	chmod 755 "$new"/guest/*
	mv -T "$new" "$REEVE_CACHE/programs/$id"
	forget_programs
}

# forget_programs: removes the builds that were not used for longest.
forget_programs() {
	local old
	# shellcheck disable=SC2012 # the names are hashes
	ls -1t "$REEVE_CACHE/programs" | tail -n "+$((PROGRAMS_KEPT + 1))" | while read -r old; do
		rm -rf "$REEVE_CACHE/programs/${old:?}"
	done
}

# take_program FROM DIR: copies a program there. Another run may be using the old one: replace it, do not overwrite it.
take_program() {
	local to
	to=$2/$(basename "$1")
	mkdir -p "$2"
	if cmp -s "$1" "$to"; then return; fi
	cp "$1" "$to.$$"
	mv "$to.$$" "$to"
}

# build_harness: sets HARNESS.
build_harness() {
	build_programs
	take_program "$PROGRAMS/reeve-harness" "$BUILD/programs"
	HARNESS=$BUILD/programs/reeve-harness
}

# build_guest: sets GUEST_BIN to a directory with the guest's programs and nothing else.
build_guest() {
	local program
	build_programs
	GUEST_BIN=$BUILD/guest
	for program in "${GUEST_PROGRAMS[@]}"; do
		take_program "$PROGRAMS/guest/$program" "$GUEST_BIN"
	done
}
