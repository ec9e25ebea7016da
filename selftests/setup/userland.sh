# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Builds the programs: the harness for this machine, the static ones for the guest. Sourced.

GUEST_TARGET=x86_64-unknown-linux-gnu
GUEST_PROGRAMS=(reevectl reeve-guest-tests)

# run_cargo TITLE ARGUMENT...: cargo, in the workspace, with this toolchain; its output is kept for failures.
run_cargo() {
	local title=$1 log
	log=$LOGS/cargo-$(echo "$title" | tr -c 'a-z0-9\n' -).log
	shift
	CARGO_TARGET_DIR=$BUILD/cargo run_logged "$title" "seconds; minutes the first time" "$log" last_line \
		"$CARGO" "$@" --manifest-path "$REEVE_ROOT/selftests/Cargo.toml" ||
		die "$title failed" "Log: $log"
}

# build_harness: sets HARNESS.
build_harness() {
	run_cargo "building the harness" build -p reeve-harness
	HARNESS=$BUILD/cargo/debug/reeve-harness
}

# build_guest: sets GUEST_BIN to a directory with the guest's programs and nothing else.
build_guest() {
	local program packages=()
	for program in "${GUEST_PROGRAMS[@]}"; do packages+=(-p "$program"); done
	# Naming the target keeps the flags away from build scripts and macros, which run here and cannot be static.
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static" \
		run_cargo "building the programs for the guest" build --target "$GUEST_TARGET" "${packages[@]}"
	GUEST_BIN=$BUILD/guest
	mkdir -p "$GUEST_BIN"
	for program in "${GUEST_PROGRAMS[@]}"; do
		# Another run may be reading the old one: replace it, do not overwrite it.
		# Every boot unpacks them: without what only a debugger reads.
		"$LLVM_BIN/llvm-strip" -o "$BUILD/$program.$$" "$BUILD/cargo/$GUEST_TARGET/debug/$program"
		chmod 755 "$BUILD/$program.$$"
		mv "$BUILD/$program.$$" "$GUEST_BIN/$program"
	done
}
