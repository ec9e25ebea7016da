# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds the programs: the harness for this machine, the static ones for the guest. Sourced.

GUEST_PROGRAMS=(reevectl reeve-guest-tests)

# One target and one set of flags for everything, the guest's, so that what is compiled once serves the tests, the
# harness, the guest and clippy. (Naming the target keeps the flags away from build scripts and macros, which run here
# and cannot be static.)
TARGET=x86_64-unknown-linux-gnu
PROGRAMS=$BUILD/cargo/$TARGET/debug
CARGO_SETTINGS=("CARGO_TARGET_DIR=$BUILD/cargo" "CARGO_BUILD_TARGET=$TARGET"
	"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-C target-feature=+crt-static")

# workspace VERB ARGUMENT...: cargo, in the workspace, with this toolchain; its output shown.
workspace() {
	local verb=$1
	shift
	env "${CARGO_SETTINGS[@]}" "$CARGO" "$verb" --manifest-path "$REEVE_ROOT/selftests/Cargo.toml" "$@"
}

# build_programs: all of them, because what they share depends on what is built together.
build_programs() {
	local log=$LOGS/cargo-build.log
	run_logged "building the programs" "seconds; minutes the first time" "$log" last_line env "${CARGO_SETTINGS[@]}" \
		"$CARGO" build --workspace --bins --manifest-path "$REEVE_ROOT/selftests/Cargo.toml" ||
		die "building the programs failed" "Log: $log"
}

# build_harness: sets HARNESS.
build_harness() {
	build_programs
	HARNESS=$PROGRAMS/reeve-harness
}

# build_guest: sets GUEST_BIN to a directory with the guest's programs and nothing else.
build_guest() {
	local program
	build_programs
	GUEST_BIN=$BUILD/guest
	mkdir -p "$GUEST_BIN"
	for program in "${GUEST_PROGRAMS[@]}"; do
		# Another run may be reading the old one: replace it, do not overwrite it.
		# Every boot unpacks them: without what only a debugger reads.
		"$LLVM_BIN/llvm-strip" -o "$BUILD/$program.$$" "$PROGRAMS/$program"
		chmod 755 "$BUILD/$program.$$"
		mv "$BUILD/$program.$$" "$GUEST_BIN/$program"
	done
}
