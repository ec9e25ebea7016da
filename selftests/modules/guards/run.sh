#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest, without Reeve at first: the same driver compiled without
# tracking, bound at run time, and needing Reeve.
set -eu

files=/sys/kernel/debug/reeve/lock_order

fail() { echo "$*" >&2; dmesg | tail -n 30 >&2; exit 1; }
# run MODULE TRACKED: the checks hold; they were tracked, or not (Y or N).
run() {
	echo 1 >"/sys/module/$1/parameters/run"
	[ "$(cat "/sys/module/$1/parameters/failures")" = 0 ] || fail "$1: wrong results"
	[ "$(cat "/sys/module/$1/parameters/tracked")" = "$2" ] || fail "$1: tracked is not $2"
}
violations() { awk '$1 == "'"$1"'" { print $2 }' $files/violations; }
# With 'in use' as the one excuse: a call was just running.
unload() {
	n=0
	until rmmod "$1" 2>/tmp/rmmod; do
		n=$((n + 1))
		[ $n -lt 1000 ] || fail "rmmod $1: $(cat /tmp/rmmod)"
	done
}

echo "== compiled without"
insmod guards_off.ko
run guards_off N
unload guards_off

echo "== bound at run time: absent"
insmod guards_bound.ko
run guards_bound N
echo 1 >/sys/module/guards_bound/parameters/hold

echo "== inserted later, with locks held already"
insmod reeve.ko
echo 0 >/sys/module/guards_bound/parameters/hold
run guards_bound Y
# A wrong order, asked for and taken, but not again when it is released; and a wait that there was not.
[ "$(violations guards)" = 3 ] || fail "$(cat $files/violations)"
grep -q '^violation guards mutex order 1 against inner order 4 count 1$' $files/violations ||
	fail "$(cat $files/violations)"
dmesg >/tmp/log
grep -q 'at guards_wrong_order+.*\[guards_bound\]: taking guards.mutex ' /tmp/log || fail "no report"

echo "== kinds of locks"
# Of each kind of mistake, as often as it is made.
kinds() {
	awk '/^violation/ { ours = $2 == "'"$1"'_kinds"; n = $NF } ours && $1 == "kind" { of[$2] += n }
		END { print of["order_held"] + 0, of["sleeps_under_spinlock"] + 0,
			of["sleeps_in_atomic"] + 0, of["interrupts_on"] + 0, of["freed_held"] + 0 }' $files/violations
}
# Most spinlocks of PREEMPT_RT leave interrupts on.
on=2
! grep -q PREEMPT_RT /proc/version || on=0
[ "$(kinds guards_bound)" = "3 2 2 $on 2" ] || fail "$(kinds guards_bound): $(cat $files/violations)"
grep -q 'freeing memory that has guards_bound_kinds.read (order 7, lock .*): it is held' /tmp/log ||
	fail "no report of memory that is freed"
grep -q '  doing record_wait - lock [0-9a-f]* at kinds_wait+' $files/violations ||
	fail "$(cat $files/violations)"
for kind in not_held not_handed_over still_held; do
	grep -q "^  kind $kind\$" $files/violations || fail "$kind: $(cat $files/violations)"
done
id=$(awk '/cluster_/ { sub(".*cluster_", ""); id = $1 } /label="guards_bound_kinds"/ { print id }' $files/graph)
grep -q "\"$id.1\" -> \"$id.3\" .*// observed" $files/graph || fail "no edge from what is held below: $(cat $files/graph)"

echo "== gone while locks are held, and back"
echo 1 >/sys/module/guards_bound/parameters/hold
unload reeve
run guards_bound N
insmod reeve.ko
echo 0 >/sys/module/guards_bound/parameters/hold
[ "$(violations total)" = 0 ] || fail "$(cat $files/violations)"
unload reeve

echo "== coming and going while 4 threads lock"
echo 4 >/sys/module/guards_bound/parameters/busy
for n in 1 2 3 4 5; do
	insmod reeve.ko
	run guards_bound Y
	[ "$(violations guards)" = 3 ] || fail "$(cat $files/violations)"
	unload reeve
	run guards_bound N
done
echo 0 >/sys/module/guards_bound/parameters/busy
insmod reeve.ko
run guards_bound Y
unload guards_bound
grep -q '^guards ' $files/violations && fail "the driver is gone, not its hierarchy"
unload reeve
insmod guards_bound.ko
unload guards_bound

echo "== needing Reeve"
insmod reeve.ko
insmod reeve_guards.ko
run reeve_guards Y
[ "$(violations guards)" = 3 ] || fail "$(cat $files/violations)"

echo "== reports"
dmesg -c >/dev/null
echo 30 >/sys/module/reeve_guards/parameters/run
insmod guards_bound.ko
run guards_bound Y
dmesg >/tmp/log
in_log() { grep -q -- "$1" /tmp/log || fail "not in the log: $1"; }
# The only ones of a driver are not hidden by 90 of another.
in_log 'at guards_wrong_order+.*\[guards_bound\]: taking guards.mutex '
[ "$(grep -c 'at guards_wrong_order+.*\[reeve_guards\]: taking guards.mutex ' /tmp/log)" -le 10 ] ||
	fail "repeats are not limited"
in_log 'called from guards_run+.*\[guards_bound\]$'
# A check that concerns no lock.
in_log 'expecting to be able to take guards.rwsem (order 2): '
grep -q '  doing check_lockable_order - lock - at guards_wrong_order+' $files/violations ||
	fail "$(cat $files/violations)"
reevectl locks --violations >/dev/null
# Pairs of a driver that is gone are forgotten, those of the other stay.
unload guards_bound
run reeve_guards Y
[ "$(grep -c '^violation guards mutex order 1 against inner order 4 count ' $files/violations)" = 1 ] ||
	fail "$(cat $files/violations)"

echo "== waited for and held"
echo 1 >/sys/module/reeve_guards/parameters/hold
n=0
until grep -q 'guards mutex order 1 exclusive lock .* waited for at guards_holder+' $files/held; do
	n=$((n + 1))
	[ $n -lt 1000 ] || fail "$(cat $files/held)"
done
cat $files/held >/tmp/held
[ "$(grep -c ' taken at guards_holder+' /tmp/held)" = 1 ] || fail "$(cat /tmp/held)"
[ "$(grep -c ' waited for at guards_holder+' /tmp/held)" = 1 ] || fail "$(cat /tmp/held)"
reevectl locks --held >/tmp/table
[ "$(grep -c 'guards_holder+.*waiting' /tmp/table)" = 1 ] || fail "$(cat /tmp/table)"
echo 0 >/sys/module/reeve_guards/parameters/hold
cat $files/held >/tmp/held
! grep -q guards /tmp/held || fail "$(cat /tmp/held)"
[ "$(cat /sys/module/reeve_guards/parameters/failures)" = 0 ] || fail "wrong results"
unload reeve_guards
echo "guards: ok"
