#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests of the setup scripts that need no kernel; prints KTAP.
# shellcheck disable=SC2317,SC2030,SC2031 # the tests are called by their names, and each changes what it wants for itself

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
# shellcheck source=selftests/setup/module.sh
. "$here/module.sh"
# shellcheck source=selftests/setup/userland.sh
. "$here/userland.sh"
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

test_a_lock_that_is_taken_is_not_waited_for() {
	(
		with_lock trial
		! (try_lock trial)
	) && (try_lock trial)
}

# new_checkout: a cache and a checkout of two files.
new_checkout() {
	new_cache
	REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
	mkdir -p "$REEVE_CACHE/locks" "$REEVE_ROOT/a"
	echo 1 >"$REEVE_ROOT/a/one"
	echo 2 >"$REEVE_ROOT/two"
}

test_a_workspace_takes_what_differs_and_nothing_else() (
	new_checkout
	(take_workspace) || return
	local copy=$REEVE_CACHE/workspaces/1/checkout
	touch -d '2001-01-01' "$copy/a/one" "$copy/two"
	echo 3 >"$REEVE_ROOT/a/one"
	mkdir -p "$REEVE_ROOT/.git" "$REEVE_ROOT/build"
	touch "$REEVE_ROOT/.git/x" "$REEVE_ROOT/build/x" "$REEVE_ROOT/new"
	(take_workspace) || return
	[ "$(cat "$copy/a/one")" = 3 ] && [ "$copy/a/one" -nt "$copy/two" ] &&
		[ "$(date -r "$copy/two" +%Y)" = 2001 ] && [ -e "$copy/new" ] && [ ! -e "$copy/.git" ] && [ ! -e "$copy/build" ] || return
	rm "$REEVE_ROOT/two"
	(take_workspace) && [ ! -e "$copy/two" ] && [ -e "$copy/new" ]
)

test_a_copy_that_was_broken_off_is_made_whole() (
	new_checkout
	(take_workspace) || return
	local of=$REEVE_CACHE/workspaces/1
	rm "$of/sums"
	echo other >"$of/checkout/two"
	touch "$of/checkout/three"
	(take_workspace) && [ "$(cat "$of/checkout/two")" = 2 ] && [ ! -e "$of/checkout/three" ]
)

test_each_checkout_has_a_workspace_while_it_uses_it() (
	new_checkout
	take_workspace
	local first=$REEVE_WORKSPACE second third
	# Another checkout, at the same time.
	second=$(
		unset REEVE_WORKSPACE
		REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
		take_workspace
		echo "$REEVE_WORKSPACE"
	)
	# The first one's again, after the second ended.
	third=$(
		unset REEVE_WORKSPACE
		REEVE_ROOT=$(mktemp -d "$scratch/checkout.XXXX")
		take_workspace
		echo "$REEVE_WORKSPACE"
	)
	[ "$first" = "$REEVE_CACHE/workspaces/1" ] && [ "$second" = "$REEVE_CACHE/workspaces/2" ] && [ "$third" = "$second" ]
)

toolchain_id() { echo trial; }

# builds_of INPUTS...: how often something is built in two new directories of these inputs.
builds_of() {
	local inputs=("$@") log=$scratch/made.log KOUT=/kernel count=$scratch/count
	: >"$count"
	for dir in "$scratch/made-1" "$scratch/made-2"; do
		rm -rf "$dir"
		made_once "$dir" trial "no time" "$log" sh -c "echo x >>$count; cp $REEVE_ROOT/two $dir/" >/dev/null 2>&1 || return
		cmp -s "$REEVE_ROOT/two" "$dir/two" || return
	done
	wc -l <"$count"
}

test_a_module_is_built_once_for_all_checkouts() (
	new_checkout
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 1 ] && [ "$(builds_of "$REEVE_ROOT" -- word)" = 0 ] &&
		[ "$(builds_of "$REEVE_ROOT" -- other)" = 1 ] || return
	echo changed >"$REEVE_ROOT/two"
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 1 ]
)

test_modules_for_a_kernel_of_the_user_are_left_to_make() (
	new_checkout
	KDIR=/some/kernel
	[ "$(builds_of "$REEVE_ROOT" -- word)" = 2 ]
)

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
