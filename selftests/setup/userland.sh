# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds the programs: the harness for this machine, the static ones for the guest. Sourced.
#
# Finished programs are in the cache by a hash of what they are made of, and copied from there. What is compiled on the
# way, tests and clippy's view of it included, is in one of the cache's few workspaces: a copy of a checkout and cargo's
# directory for it. A checkout takes the one that it had, or one that is free, and changes in it only the files that
# differ: so cargo compiles only what depends on these, however new the checkout is.

GUEST_PROGRAMS=(reevectl reeve-guest-tests reeve-fuzz reeve-vhost-guest reeve-vhost-peer)

# What only guests of `make bench` have.
BENCH_PROGRAMS=(reeve-log-bench)

# One target and one set of flags for everything, the guest's, so that what is compiled once serves the tests, the
# harness, the guest and clippy. (Naming the target keeps the flags away from build scripts and macros, which run here
# and cannot be static.)
TARGET=x86_64-unknown-linux-gnu
CARGO_SETTINGS=("CARGO_BUILD_TARGET=$TARGET" "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-C target-feature=+crt-static")

# How many workspaces the cache has at most; as many checkouts can compile at a time.
WORKSPACES=4

# How many builds of the programs the cache keeps.
PROGRAMS_KEPT=12

# workspace VERB ARGUMENT...: cargo, in the workspace, with this toolchain; its output shown.
workspace() (
	verb=$1
	shift
	take_workspace
	env "${CARGO_SETTINGS[@]}" "CARGO_TARGET_DIR=$REEVE_WORKSPACE/target" "$CARGO" "$verb" \
		--manifest-path "$REEVE_WORKSPACE/checkout/selftests/Cargo.toml" "$@"
)

# take_workspace: sets REEVE_WORKSPACE to one that is locked for the rest of this (sub)shell and has the checkout's files.
# What it starts uses the same.
take_workspace() {
	[ -z "${REEVE_WORKSPACE:-}" ] || return 0
	mkdir -p "$REEVE_CACHE/workspaces"
	until choose_workspace; do :; done
	export REEVE_WORKSPACE
	update_workspace
}

# choose_workspace: sets REEVE_WORKSPACE and locks it; fails if another checkout took it meanwhile.
choose_workspace() {
	local all=$REEVE_CACHE/workspaces number found=
	for ((number = 1; number <= WORKSPACES; number++)); do
		if [ "$(cat "$all/$number/taken-by" 2>/dev/null)" = "$REEVE_ROOT" ]; then
			with_lock "workspace-$number"
			REEVE_WORKSPACE=$all/$number
			[ "$(cat "$REEVE_WORKSPACE/taken-by")" = "$REEVE_ROOT" ]
			return
		fi
	done
	# The latest is likely to be most alike. After those that are there, the first of those that are not.
	# shellcheck disable=SC2012 # the names are numbers
	for number in $(ls -t "$all") $(seq "$WORKSPACES"); do
		if try_lock "workspace-$number"; then
			found=$number
			break
		fi
	done
	if [ -z "$found" ]; then
		found=1
		with_lock "workspace-$found"
	fi
	REEVE_WORKSPACE=$all/$found
	mkdir -p "$REEVE_WORKSPACE/checkout"
	echo "$REEVE_ROOT" >"$REEVE_WORKSPACE/taken-by"
	touch "$REEVE_WORKSPACE"
}

# checkout_sums DIR: a line for each file of a checkout that cargo or a test may read.
checkout_sums() (
	cd "$1" && find . \( -path ./.git -o -path ./build -o -path ./selftests/target \) -prune -o -type f ! -name '*.ko' -print0 |
		sort -z | xargs -0 sha256sum
)

# update_workspace: copies the files that differ, and those only, into the workspace; removes those that are gone.
update_workspace() {
	local to=$REEVE_WORKSPACE/checkout sums=$REEVE_WORKSPACE/sums file
	checkout_sums "$REEVE_ROOT" >"$sums.new"
	# A copy that was broken off left no list.
	[ -e "$sums" ] || checkout_sums "$to" >"$sums"
	mv "$sums" "$sums.old"
	# A line is a hash, two spaces and the name.
	LC_ALL=C comm -13 <(sort "$sums.old") <(sort "$sums.new") | cut -c 67- | while read -r file; do
		mkdir -p "$(dirname "$to/$file")"
		cp --remove-destination "$REEVE_ROOT/$file" "$to/$file"
	done
	LC_ALL=C comm -23 <(cut -c 67- "$sums.old" | sort) <(cut -c 67- "$sums.new" | sort) | while read -r file; do
		rm -f "${to:?}/$file"
	done
	# One that is left empty may look like a crate without a manifest.
	find "$to" -mindepth 1 -type d -empty -delete
	rm "$sums.old"
	mv "$sums.new" "$sums"
}

# programs_id: changes when the programs have to be built anew.
programs_id() {
	{
		toolchain_id
		printf '%s\n' "${CARGO_SETTINGS[@]}"
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
	local log=$LOGS/cargo-build.log id program new made
	id=$(programs_id)
	with_lock "programs-$id"
	[ ! -e "$REEVE_CACHE/programs/$id" ] || return 0
	take_workspace
	made=$REEVE_WORKSPACE/target/$TARGET/debug
	run_logged "building the programs" "seconds; minutes the first time" "$log" last_line \
		"$here/make.sh" cargo build --workspace --bins ||
		die "building the programs failed" "Log: $log"
	# What was changed meanwhile may be in them, or not.
	[ "$(programs_id)" = "$id" ] || return 0
	mkdir -p "$REEVE_CACHE/programs"
	new=$(mktemp -d "$REEVE_CACHE/programs/.new.XXXXXX")
	cp "$made/reeve-harness" "$new/"
	mkdir "$new/guest" "$new/bench"
	# Every boot unpacks them: without what only a debugger reads.
	for program in "${GUEST_PROGRAMS[@]}"; do
		"$LLVM_BIN/llvm-strip" -o "$new/guest/$program" "$made/$program"
	done
	for program in "${BENCH_PROGRAMS[@]}"; do
		"$LLVM_BIN/llvm-strip" -o "$new/bench/$program" "$made/$program"
	done
	chmod -R a+rX "$new"
	chmod 755 "$new"/guest/* "$new"/bench/*
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
