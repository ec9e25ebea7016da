#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: what debugfs and tracefs show of locks that are held and of
# mistakes, while threads go on.
set -eu

files=/sys/kernel/debug/reeve/lock_order
parameters=/sys/module/reeve_held/parameters
tracking=/sys/module/reeve/parameters/lock_tracking

fail() { echo "$*" >&2; exit 1; }
# expect FILE PATTERN [TIMES]: that many lines match; without TIMES at least one.
expect() {
	count=$(grep -c -- "$2" "$1" || true)
	if [ "$count" = 0 ] || [ "${3:-$count}" != "$count" ]; then
		head -n 30 "$1" >&2
		fail "$1: $count lines like '$2', not ${3:-some}"
	fi
}
expect_none() { ! grep -m 9 -- "$2" "$1" >&2 || fail "$1 has '$2'"; }
no_failures() {
	[ "$(cat $parameters/failures)" = 0 ] || fail "$1: wrong results, see the log"
}
violations() { awk '$1 == "total" { print $2 }' $files/violations; }

insmod reeve_held.ko

echo "== held"
echo 100 >$parameters/hold
cat $files/held >/tmp/held
expect /tmp/held '^task [0-9]* held/[0-9]*$' 100
expect /tmp/held '^  reeve_held outer order 1 shared lock [0-9a-f]* taken at held_take+0x.* \[reeve_held\]$' 100
expect /tmp/held '^  reeve_held middle order 2 exclusive lock [0-9a-f]* taken at held_take+.* key [0-9]*$' 200
expect /tmp/held ' key 199$' 1
expect_none /tmp/held ContextReader
reevectl locks --held >/tmp/table
expect /tmp/table '^  held/[0-9]*\[[0-9]*\]  *reeve_held.outer  *shared ' 100
expect /tmp/table 'reeve_held.middle  *exclusive .*held_take+0x.*, key [0-9]*$' 200
expect_none /tmp/table '.\{101\}'

echo "== switched off and on while they are held"
before=$(violations)
echo 0 >$tracking
echo 1 >$tracking
cat $files/held >/tmp/held
expect_none /tmp/held reeve_held
echo 0 >$parameters/hold
no_failures "released after a switch"
echo 100 >$parameters/hold
echo 0 >$tracking
echo 0 >$parameters/hold
echo 1 >$tracking
no_failures "released while off"
[ "$(violations)" = "$before" ] || fail "switching made reports: $before, then $(violations)"

echo "== used while 100 threads lock"
echo 100 >$parameters/busy
n=0
while [ $n -lt 6 ]; do
	cat $files/held $files/graph $files/violations $files/hierarchies >/tmp/all
	[ "$(wc -c </tmp/all)" -lt 1000000 ] || fail "unbounded"
	echo $((n % 2)) >$tracking
	n=$((n + 1))
done
echo 1 >$tracking
echo 0 >$parameters/busy
no_failures "busy"
[ "$(violations)" = "$before" ] || fail "busy threads made reports"
cat $files/held >/tmp/held
expect_none /tmp/held reeve_held

echo "== graph"
cat $files/graph >/tmp/graph
expect /tmp/graph '^digraph lock_order {$' 1
id=$(awk '/cluster_/ { sub(".*cluster_", ""); id = $1 } /label="reeve_held"/ { print id }' /tmp/graph)
edge() { echo "\"$id.$1\" -> \"$id.$2\" .*// $3\$"; }
expect /tmp/graph "$(edge 1 2 observed)" 1
expect /tmp/graph "$(edge 2 2 observed)" 1
expect /tmp/graph "$(edge 2 3 observed)" 1
expect /tmp/graph "$(edge 3 4 declared)" 1
expect /tmp/graph "\"$id.4\" .label=\"4 never\".*// never taken\$" 1
expect_none /tmp/graph "\"$id\\.[0-9]*\" ->.*against"

echo "== a violation, read back"
echo 3 >$parameters/violate
no_failures "violate"
[ "$(violations)" = $((before + 3)) ] || fail "3 violations, $(violations) counted"
cat $files/violations >/tmp/violations
expect /tmp/violations '^reeve_held 3$' 1
expect /tmp/violations '^violation reeve_held outer order 1 against inner order 3 count 3$' 1
grep -A 5 '^violation reeve_held' /tmp/violations >/tmp/record
expect /tmp/record '^  kind order_held$' 1
expect /tmp/record "^  last [0-9]*\\.[0-9]* cpu [0-9]* task $$ " 1
expect /tmp/record '^  doing record_lock shared lock [0-9a-f]* at held_wrong_order+0x.* \[reeve_held\]$' 1
expect /tmp/record '^  conflicts inner order 3 exclusive lock [0-9a-f]* taken at held_take_inner+0x.* \[reeve_held\]$' 1
cat $files/graph >/tmp/graph
expect /tmp/graph "$(edge 3 1 'against the order')" 1
reevectl locks --violations >/tmp/table
expect /tmp/table "^      3  reeve_held.outer  *inner  *order_held  *.*\\[$$\\] " 1
expect /tmp/table '^ *record_lock shared at held_wrong_order+0x.* \[reeve_held\]$' 1
expect /tmp/table '^ *against inner exclusive, taken at held_take_inner+0x.* \[reeve_held\]$' 1
reevectl locks --graph >/tmp/table
expect /tmp/table '^  reeve_held  3 inner  *1 outer  *against the order$' 1

echo "== NMIs while locks are held"
echo 200 >$parameters/nmi
no_failures "nmi"
[ "$(violations)" = $((before + 3)) ] || fail "NMIs made reports"

if [ -d /sys/kernel/tracing ] && [ ! -d /sys/kernel/tracing/events ]; then
	mount -t tracefs nodev /sys/kernel/tracing
fi
if [ -d /sys/kernel/tracing/events/reeve ]; then
	echo "== tracepoints"
	cd /sys/kernel/tracing
	for event in lock_violation lock_record lock_unrecord; do
		[ "$(cat events/reeve/$event/enable)" = 0 ] || fail "$event is on by default"
	done
	echo 1 >events/reeve/lock_violation/enable
	echo 1 >$parameters/violate
	cat trace >/tmp/trace
	expect /tmp/trace 'lock_violation: hierarchy=reeve_held doing=record_lock order=1 name=outer .*flags=shared ip=held_wrong_order+.* kind=order_held against=3 against_name=inner .*against_ip=held_take_inner+.* level=task$' 1
	expect_none /tmp/trace 'lock_record:'
	echo 0 >events/reeve/lock_violation/enable
	echo >trace
	echo 1 >events/reeve/lock_record/enable
	echo 1 >events/reeve/lock_unrecord/enable
	echo 1 >$parameters/violate
	cat trace >/tmp/trace
	expect /tmp/trace ' lock_record: hierarchy=reeve_held order=3 name=inner .*flags=exclusive ip=held_take_inner+' 1
	expect /tmp/trace ' lock_record: hierarchy=reeve_held order=1 name=outer .*flags=shared ip=held_wrong_order+' 1
	expect /tmp/trace ' lock_unrecord: hierarchy=reeve_held order=' 2
	expect_none /tmp/trace 'lock_violation:'
	echo 0 >events/reeve/enable
	echo >trace
	echo 1 >$parameters/violate
	cat trace >/tmp/trace
	expect_none /tmp/trace 'hierarchy='
	no_failures "traced"
	cd /
elif [ -e /proc/lockdep_stats ]; then
	fail "the debug kernel has no trace events"
fi

echo "== gone with its module"
rmmod reeve_held
cat $files/violations $files/graph $files/held >/tmp/all
expect_none /tmp/all reeve_held
echo "held: ok"
