#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: leaves that are forgotten and tasks that end inside are
# reported, and nothing comes of them. Not with a sanitizer alone: its quarantine
# hides what the allocator hands out again.
set -eu

files=/sys/kernel/debug/reeve/lock_order
parameters=/sys/module/reeve_life/parameters

fail() { echo "$*" >&2; cat $files/violations >&2; exit 1; }
no_failures() {
	[ "$(cat $parameters/failures)" = 0 ] || fail "$1: wrong results, see the log"
}
# of KIND: how many violations of it without a hierarchy there were.
of() {
	awk -v kind="$1" '/^violation/ { n = $NF } $1 == "kind" && $2 == kind { all += n }
		END { print all + 0 }' $files/violations
}
# expect KIND N WHERE
expect() { [ "$(of "$1")" = "$2" ] || fail "$3: $(of "$1") $1, not $2"; }
nothing_held() {
	! grep reeve_life $files/held || fail "$1: still held"
}

insmod reeve_life.ko

echo "== a leave is forgotten, nothing held"
echo 0 >$parameters/forget
echo 1 >$parameters/correct
echo 1 >$parameters/correct
no_failures "after a forgotten leave"
expect leave_forgotten 1 "a forgotten leave"
grep -q ' at life_forget+0x' $files/violations || fail "not where it was entered"

echo "== a leave is forgotten, with locks held"
echo 2 >$parameters/forget
echo 1 >$parameters/correct
no_failures "after a forgotten leave with locks"
expect leave_forgotten 2 "a forgotten leave with locks"
expect still_held 1 "a forgotten leave with locks"
grep -q 'taken at life_take+0x' $files/violations || fail "not where they were taken"
nothing_held "a forgotten leave"

echo "== forgotten again and again"
echo 1 >$parameters/forget
echo 1 >$parameters/forget
echo 1 >$parameters/forget
echo 1 >$parameters/correct
no_failures "after three"
expect leave_forgotten 5 "three in a row"

echo "== a thread ends inside"
echo 0 >$parameters/end
no_failures "threads made after one that ended"
nothing_held "a thread that ended"
expect ended_inside 1 "a thread that ended"
echo 2 >$parameters/end
no_failures "threads made after one that ended with locks"
nothing_held "a thread that ended with locks"
expect ended_inside 2 "a thread that ended with locks"
grep -q 'task [0-9]* reeve_life' $files/violations || fail "not by name"
dmesg >/tmp/log
grep -q 'violation in reeve_life\[[0-9]*\] at life_forget+.*: the task ended without it$' /tmp/log ||
	fail "the report names another task than the one that ended"

echo "== a process ends inside"
sh -c "echo 1 >$parameters/forget"
nothing_held "a process that ended"
expect ended_inside 3 "a process that ended"

echo "== put aside, and misused"
echo 1 >$parameters/aside
no_failures "put aside"
echo 1 >$parameters/misuse
no_failures "misused"
nothing_held "all of it"

echo "== left with tracking disabled"
echo 1 >$parameters/disabled
no_failures "left with tracking disabled"
expect still_disabled 1 "left with tracking disabled"

echo "== a handler forgets an unlock"
echo 1 >$parameters/leak
no_failures "a handler forgot an unlock"
dmesg >/tmp/log
grep -q 'violation in hard irq of CPU [0-9]* at life_handler+.*: releasing ' /tmp/log ||
	fail "a handler's mistake is the task's that it interrupted"

echo "== a hierarchy is gone"
before=$(of invalid_hierarchy)
echo 1 >$parameters/stale
no_failures "a stale handle"
expect invalid_hierarchy $((before + 128)) "a stale handle"

echo 1 >$parameters/home
no_failures "a stale handle of the last lock's hierarchy"
expect invalid_hierarchy $((before + 256)) "a stale handle of the last lock's hierarchy"

echo "== without entering"
before=$(of no_context)
echo 1 >$parameters/automatic
no_failures "automatic contexts"
expect no_context $((before + 1)) "a thread that has to enter"
echo 1 >$parameters/idle
no_failures "cross-calls and a kernel thread"
expect no_context $((before + 1)) "cross-calls and a kernel thread"

echo 1 >$parameters/goes
no_failures "contexts that go when nothing is held"
expect no_context $((before + 1)) "contexts that go when nothing is held"
nothing_held "contexts that go when nothing is held"

echo "== as many locks as there is room for"
echo 2 >$parameters/deep
no_failures "256 locks"
dmesg >/tmp/log
# The first is always logged; a second one only if there were not too many repeats of others.
reports=$(grep -c 'taking reeve_life_deep.c .*: too many locks' /tmp/log) || true
[ "$reports" = 1 ] || [ "$reports" = 2 ] || fail "256 locks: not one report each time, $reports"
echo 1 >$parameters/deep
[ "$(grep -c 'reeve_life_deep by_[a-z]* order [12] ' $files/held)" = 200 ] || fail "$(cat $files/held)"
echo 0 >$parameters/deep
no_failures "a thread with 200 locks"
nothing_held "a thread with 200 locks"

echo "== a handler, which is a thread with threadirqs, and with PREEMPT_RT"
threads=0
! grep -q threadirqs /proc/cmdline || threads=1
! grep -q PREEMPT_RT /proc/version || threads=1
echo $threads >$parameters/irq
no_failures "a handler with threadirqs: $threads"
expect no_context $((before + 1)) "a handler with threadirqs: $threads"

echo "== a soft irq that another one preempts"
echo 1 >$parameters/soft
no_failures "a soft irq that another one preempts"
expect no_context $((before + 1)) "a soft irq that another one preempts"

echo "== an NMI within an NMI"
echo 1 >$parameters/nested
no_failures "an NMI within an NMI"

echo "== hundreds at once"
echo 1 >$parameters/many
no_failures "hundreds of threads"
expect table_full 0 "hundreds of threads"
nothing_held "hundreds of threads"

echo "== a console whose own lock is recorded"
echo 1 >$parameters/console
no_failures "reports that come back"

echo "== without entering, and tracking is switched"
tracking=/sys/module/reeve/parameters/lock_tracking
echo 0 >$tracking
echo 1 >$parameters/switched
echo 1 >$tracking
echo 0 >$parameters/switched
no_failures "a thread that took a lock while tracking was off"

echo "== gone, and something else in its place"
grep -q ' at life_forget+0x.* \[reeve_life\]$' $files/violations || fail "no place to forget"
rmmod reeve_life
grep -q ' at reeve_life+0x[0-9a-f]* \[reeve_life,gone\]$' $files/violations ||
	fail "a place in a module that is gone"
insmod reeve_life.ko
! grep ' at life_[a-z]*+0x' $files/violations || fail "a place of another module"
grep -q ' at reeve_life+0x[0-9a-f]* \[reeve_life,gone\]$' $files/violations ||
	fail "a place in a module that is gone"
reevectl locks --violations >/dev/null
rmmod reeve_life
echo "life: ok"
