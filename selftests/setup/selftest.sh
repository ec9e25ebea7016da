#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the setup scripts that need no kernel; prints KTAP.
# shellcheck disable=SC2317 # the tests are called by their names

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export REEVE_CACHE=$scratch/cache
# shellcheck source=selftests/setup/lib.sh
. "$here/lib.sh"
# shellcheck source=selftests/setup/packages.sh
. "$here/packages.sh"
# shellcheck source=selftests/setup/toolchain.sh
. "$here/toolchain.sh"
# shellcheck source=selftests/setup/source.sh
. "$here/source.sh"
# shellcheck source=selftests/setup/kernel.sh
. "$here/kernel.sh"
set +e

test_version_order() {
	version_ge 1.85.0 1.85.0 && version_ge 1.96.0 1.85.0 && version_ge 1.100.0 1.85.0 &&
		! version_ge 1.63.0 1.85.0 && ! version_ge '' 1.85.0
}

# fragment_says FRAGMENT CONFIG: what check_fragment complains about.
fragment_says() {
	printf '%s\n' "$1" >"$scratch/fragment"
	printf '%s\n' "$2" >"$scratch/config"
	(check_fragment "$scratch/fragment" "$scratch/config") 2>&1
}

test_fragment_taken() {
	fragment_says $'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_S="x y"' $'CONFIG_A=y\nCONFIG_S="x y"'
}

test_fragment_refused_is_named() {
	local said
	said=$(fragment_says 'CONFIG_A=y' '# CONFIG_A is not set') && return 1
	grep -q 'CONFIG_A=y' <<<"$said"
}

test_fragment_unwanted_is_named() {
	local said
	said=$(fragment_says '# CONFIG_B is not set' 'CONFIG_B=y') && return 1
	grep -q 'CONFIG_B=n' <<<"$said"
}

test_fragment_later_line_wins() {
	fragment_says $'CONFIG_A=y\nCONFIG_A=m' 'CONFIG_A=m'
}

# fragments_of NAME: the names of a kernel's fragments, of a set made up here.
fragments_of() {
	local CONFIGS
	CONFIGS=$(mktemp -d "$scratch/configs.XXXX")
	echo 'CONFIG_A=y' >"$CONFIGS/base.config"
	echo 'CONFIG_B=y' >"$CONFIGS/fast.config"
	printf '# on top of: %s\n' fast >"$CONFIGS/fast-checked.config"
	printf '# on top of: %s\n' nothing >"$CONFIGS/astray.config"
	(kernel_fragments "$1") | xargs -r -n 1 basename -s .config | tr '\n' ' '
	return "${PIPESTATUS[0]}"
}

test_a_kernel_is_base_and_its_own() {
	[ "$(fragments_of base)" = 'base ' ] && [ "$(fragments_of fast)" = 'base fast ' ]
}

test_a_kernel_on_top_of_another_has_its_fragments_too() {
	[ "$(fragments_of fast-checked)" = 'base fast fast-checked ' ]
}

test_a_kernel_that_is_not_there_is_named() {
	local said
	said=$(fragments_of astray 2>&1) && return 1
	grep -q "no kernel 'nothing'" <<<"$said"
}

# Every test that needs one gets a cache of its own.
new_cache() { REEVE_CACHE=$(mktemp -d "$scratch/cache.XXXX"); }

test_unfinished_source_is_not_used() {
	new_cache
	mkdir -p "$REEVE_CACHE/src/.work/tree" "$REEVE_CACHE/src/linux-source-9.9_9.9.9"
	touch "$REEVE_CACHE/src/.work/tree/Kbuild"
	[ -z "$(newest_source)" ]
}

test_newest_source_is_used() {
	new_cache
	mkdir -p "$REEVE_CACHE/src/linux-source-7.3_7.3.4" "$REEVE_CACHE/src/linux-source-7.3_7.3.10"
	touch "$REEVE_CACHE/src/linux-source-7.3_7.3.4/Kbuild" "$REEVE_CACHE/src/linux-source-7.3_7.3.10/Kbuild"
	[ "$(newest_source)" = "$REEVE_CACHE/src/linux-source-7.3_7.3.10" ]
}

test_a_lock_keeps_others_out() {
	(
		with_lock trial
		! flock -n "$REEVE_CACHE/locks/trial.lock" true
	) && flock -n "$REEVE_CACHE/locks/trial.lock" true
}

test_a_failing_command_shows_its_error() {
	local said
	said=$(run_logged trial "no time" "$scratch/log" - bash -c 'echo fine; echo "x.c:1: error: broken"; exit 3' 2>&1)
	[ $? -eq 3 ] && grep -q 'x.c:1: error: broken' <<<"$said"
}

test_a_killed_step_leaves_nothing_running() {
	local pid
	# shellcheck disable=SC2016 # for the inner shells
	bash -c '. "$1/lib.sh"
		run_logged trial "no time" "$2/log" - bash -c "echo \$\$ >$2/pid.new; mv $2/pid.new $2/pid; exec sleep 4321"' \
		- "$here" "$scratch" 2>/dev/null &
	pid=$!
	until [ -e "$scratch/pid" ]; do kill -0 "$pid" || return; done
	kill -TERM "$pid"
	wait "$pid"
	# The kill is sent before the step returns; the process may need a moment to be gone.
	timeout 10 tail --pid="$(cat "$scratch/pid")" -f /dev/null
}

mapfile -t tests < <(compgen -A function test_)
echo "KTAP version 1"
echo "1..${#tests[@]}"
number=0 failed=0
for name in "${tests[@]}"; do
	number=$((number + 1))
	if said=$("$name" 2>&1); then
		echo "ok $number ${name#test_}"
	else
		[ -z "$said" ] || printf '# %s\n' "${said//$'\n'/$'\n'# }"
		echo "not ok $number ${name#test_}"
		failed=1
	fi
done
exit "$failed"
