# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# What every setup script shares: where things are, how to talk, how to run something long.
#
# Sourced, never run. Messages go to stderr, because what a script returns (a path, usually) goes to stdout.

set -euo pipefail

REEVE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
REEVE_CACHE=${REEVE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set; set REEVE_CACHE to a directory}/.cache}/reeve}
case $REEVE_CACHE in /*) ;; *) REEVE_CACHE=$PWD/$REEVE_CACHE ;; esac
BUILD=$REEVE_ROOT/build
LOGS=$BUILD/logs
JOBS=${JOBS:-$(nproc)}
export REEVE_ROOT REEVE_CACHE JOBS
mkdir -p "$REEVE_CACHE/locks" "$LOGS"

# `make vm M=...` would otherwise hand its own variables to every make below us.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL MAKE_TERMOUT MAKE_TERMERR

# Sorting, dates and tool messages are read by these scripts.
export LC_ALL=C

say() { printf '%s\n' "$*" >&2; }

# step TEXT: announces one of the visible steps of a command.
step() { printf '\n==> %s\n' "$*" >&2; }

# die TEXT...: says what went wrong, one line per argument (the later ones: what to do about it).
die() {
	printf '\nreeve: %s\n' "$1" >&2
	shift
	local line
	for line; do printf '       %s\n' "$line" >&2; done
	exit 1
}

# version_ge A B: is version A at least version B?
version_ge() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | sed -n 1p)" = "$2" ]; }

# near PATH: the path as seen from where we are, if it is below.
near() { printf '%s' "${1#"$PWD"/}"; }

# hash_of: the first 12 digits of the hash of standard input.
hash_of() { sha256sum | cut -c 1-12; }

# with_lock NAME: takes the cache-wide lock NAME for the rest of this (sub)shell. The children inherit it, so a
# build that outlives its killed script keeps the directory to itself until it is done.
with_lock() {
	local fd
	exec {fd}>"$REEVE_CACHE/locks/$1.lock"
	if ! flock -n "$fd"; then
		say "waiting for another build to finish ($1)"
		flock "$fd"
	fi
}

# try_lock NAME: the same if nothing has it; fails at once otherwise.
try_lock() {
	local fd
	exec {fd}>"$REEVE_CACHE/locks/$1.lock"
	flock -n "$fd" || {
		exec {fd}>&-
		return 1
	}
}

# show_failure LOG: the lines of LOG that explain a failure, as far as a script can tell.
show_failure() {
	local log=$1 lines
	lines=$(grep -nE -A4 '(^|[^a-z_-])([Ee]rror|ERROR|fatal)([: \[]|$)|\*\*\*|undefined symbol|No such file' "$log" |
		tail -n 40 || true)
	[ -n "$lines" ] || lines=$(tail -n 25 "$log")
	printf '%s\n' "--- from $log" "$lines" "---" >&2
}

# run_logged TITLE HOW_LONG LOG PROGRESS COMMAND...: runs COMMAND with its output in LOG, showing that it lives.
# PROGRESS is a command that is given LOG and prints a few words, or `-`. Returns what COMMAND returns.
run_logged() {
	local title=$1 how_long=$2 log=$3 progress=$4 pid rc=0 begin=$SECONDS now words every=15 shown=0
	shift 4
	mkdir -p "$(dirname "$log")"
	say "$title ($how_long), log: $(near "$log")"
	[ ! -t 2 ] || every=1
	# A session of its own: one kill reaches all of it, whatever it started.
	setsid "$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# shellcheck disable=SC2064 # the pid of now
	trap "kill -TERM -- -$pid 2>/dev/null; exit 130" INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		now=$((SECONDS - begin))
		if [ $((now - shown)) -ge "$every" ]; then
			shown=$now
			words=
			[ "$progress" = - ] || words=$("$progress" "$log" || true)
			if [ -t 2 ]; then
				printf '\r  [%4d s] %-60.60s' "$now" "$words" >&2
			else
				printf '  [%4d s] %s\n' "$now" "$words" >&2
			fi
		fi
		sleep 0.2
	done
	wait "$pid" || rc=$?
	trap - INT TERM HUP
	[ ! -t 2 ] || printf '\r%-75s\r' '' >&2
	if [ "$rc" -eq 0 ]; then
		say "  done in $((SECONDS - begin)) s"
	else
		show_failure "$log"
	fi
	return "$rc"
}
