#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest, without Reeve at first: orders across the hierarchies of several
# drivers, whose locks this very shell takes.
set -eu

files=/sys/kernel/debug/reeve/lock_order

fail() { echo "$*" >&2; dmesg | tail -n 30 >&2; exit 1; }
# expect RESULT DRIVER PARAMETER VALUE
expect() {
	echo "$4" >"/sys/module/across_$2/parameters/$3"
	result=$(cat "/sys/module/across_$2/parameters/result")
	[ "$result" = "$1" ] || fail "$2: $3 $4: $result, not $1"
}
seen() { grep -q -- "$1" $files/violations || fail "not seen: $1: $(cat $files/violations)"; }
# wrong DRIVER: its x is taken, which is a violation, and released.
wrong() { expect 0 "$1" lock 1; expect 1 "$1" unlock 1; }
right() { expect 1 "$1" lock 1; expect 1 "$1" unlock 1; }
# With 'in use' as the one excuse: a call was just running.
unload() {
	n=0
	until rmmod "$1" 2>/tmp/rmmod; do
		n=$((n + 1))
		[ $n -lt 1000 ] || fail "rmmod $1: $(cat /tmp/rmmod)"
	done
}

echo "== compiled without"
insmod across_off.ko
expect 0 off before "1 nothing"
right off
rmmod across_off

echo "== names and orders"
insmod reeve.ko
insmod across_a.ko
expect -2 a before "1 across_b"
expect -2 a after "1 across_b"
insmod across_b.ko
expect -22 a before "3 across_b"
expect -22 a before "0 across_b"
expect -40 a before "1 across_a"

echo "== one before the other"
expect 0 a before "2 across_b"
expect 0 a before "2 across_b"
grep -q '^  before: across_b.y$' $files/hierarchies || fail "$(cat $files/hierarchies)"
reevectl locks --hierarchies >/dev/null
# node HIERARCHY ORDER: how the graph calls it.
node() {
	awk -v name="$1" -v order="$2" '/cluster_/ { sub(".*cluster_", ""); id = $1 }
		index($0, "label=\"" name "\"") { print "\"" id "." order "\"" }' $files/graph
}
grep -q "^  $(node across_a 2) -> $(node across_b 2) .*// declared, of two hierarchies\$" $files/graph ||
	fail "the graph has no edge between hierarchies: $(cat $files/graph)"
reevectl locks --graph >/tmp/table
grep -q '^  across_a  *2 y  *2 y of across_b  *declared$' /tmp/table || fail "$(cat /tmp/table)"
reevectl locks --dot >/dev/null
expect 1 a lock 1
expect 1 b lock 2
expect 1 a unlock 1
expect 1 b unlock 2
expect 1 b lock 1
right a
expect 1 b unlock 1
expect 1 b lock 2
wrong a
seen '^violation across_a x order 1 against across_b.y order 2 count 1$'
seen '^  kind other_held$'
seen '^  conflicts across_b.y order 2 exclusive lock '
dmesg >/tmp/log
grep -q 'taking across_a.x .*: a lock of another hierarchy is held' /tmp/log || fail "no report"
grep -q 'conflicts with across_b.y (order 2' /tmp/log || fail "no report"
reevectl locks --violations >/dev/null
expect 1 a trylock 1
expect 1 a unlock 1
expect 0 a check 1
expect 0 a wait 1
expect 1 b unlock 2

echo "== circles"
expect -40 b before "1 across_a"
expect -40 a after "2 across_b"
insmod across_c.ko
expect 0 b before "2 across_c"
expect -40 c before "1 across_a"
expect 1 c lock 1
right a
expect 1 c lock 2
wrong b
wrong a
expect 1 c unlock 2
expect 1 c unlock 1
seen '^violation across_a x order 1 against across_c.y order 2 count 1$'

echo "== the lower order counts"
expect 0 b after "1 across_a"
expect 1 b lock 1
wrong a
expect 1 b unlock 1

echo "== one goes in the middle"
expect 1 b lock 2
wrong a
rmmod across_b
right a
! grep -q across_b $files/violations || fail "$(cat $files/violations)"
! grep -q before: $files/hierarchies || fail "$(cat $files/hierarchies)"
! grep -q 'of two hierarchies' $files/graph || fail "$(cat $files/graph)"
expect 1 c lock 2
right a
insmod across_b.ko
expect 1 b lock 2
right a
expect 1 b unlock 2
expect 1 c unlock 2
# The other way round, which would be a circle if something were left.
expect 0 c before "1 across_b"
expect 0 b before "1 across_a"
expect 1 a lock 1
wrong c
expect 1 a unlock 1
rmmod across_a
right c
rmmod across_b
rmmod across_c
rmmod reeve

echo "== bound at run time"
insmod across_bound.ko
expect 0 bound before "1 across_a"
expect 1 bound enter 2
expect -22 bound before "0 across_a"
right bound
insmod reeve.ko
expect -2 bound before "1 across_b"
insmod across_a.ko
# A thread that never enters is not recorded, nor accused of an unlock when another driver gave it a context.
expect 1 bound lock 2
expect 1 a lock 1
expect 1 bound unlock 2
right bound
expect 1 bound check 1
expect 1 a unlock 1
[ "$(awk '$1 == "total" { print $2 }' $files/violations)" = 0 ] || fail "recorded without an enter"
expect 1 bound enter 1
expect 1 a lock 1
wrong bound
seen '^violation across_bound x order 1 against across_a.x order 1 count 1$'
expect 0 bound enter 2
expect 1 a unlock 1
expect 1 bound enter 0
expect -40 a before "1 across_bound"
unload across_bound
right a
rmmod across_a
unload reeve
echo "across: ok"
