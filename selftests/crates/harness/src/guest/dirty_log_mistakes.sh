#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Has a module that can make mistakes make one after the other in the dirty log. Each must be noticed by the case that
# is for it, which passes without it; and not by one that has nothing to do with it. Prints KTAP.
# (Others notice it, too, but each of twenty cases waits for its time to be over for a fence that does not hold.)

mistake=/sys/module/reeve/parameters/mistake
number=0

# judge MISTAKE CASE WHAT: whether the case notices the mistake.
judge() {
	number=$((number + 1))
	echo none >$mistake
	reeve-guest-tests dirty_log.fresh "dirty_log.$2" >/tmp/without 2>&1
	echo "$1" >$mistake
	reeve-guest-tests dirty_log.fresh "dirty_log.$2" >/tmp/with 2>&1
	echo none >$mistake
	sed 's/^/# without: /' /tmp/without
	sed 's/^/# with: /' /tmp/with
	if grep -q "^ok .* dirty_log\.$2" /tmp/without && ! grep -q '^not ok' /tmp/without &&
		grep -q "^not ok .* dirty_log\.$2" /tmp/with && grep -q '^ok .* dirty_log\.fresh' /tmp/with; then
		echo "ok $number a dirty log is noticed $3"
	else
		echo "not ok $number a dirty log is noticed $3"
		status=1
	fi
}

status=0
echo "KTAP version 1"
echo "1..7"
judge log_window a_clear_between_bit_and_entry "whose entries become writable after their bits"
judge log_around reads_make_nothing_writable "that makes the neighbours of a fault writable"
judge log_unprotected clear_is_exact "that protects nothing after a clear"
judge log_dirty mprotect_makes_nothing_writable "that protects entries and leaves them dirty"
judge log_swapout outlives_pages_and_mappings "that a swapout empties"
judge log_write kinds_of_writes "that misses BO_WRITE"
judge log_fence a_store_waits_for_a_fence "whose fences leave writable entries as they are"
exit $status
