#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: what is promised in numbers and in words, see
# Documentation/lock-order-tests.md. Begins and ends with Reeve loaded anew.
set -eu

files=/sys/kernel/debug/reeve/lock_order
parameters=/sys/module/reeve_promises/parameters
tracking=/sys/module/reeve/parameters/lock_tracking

fail() { echo "$*" >&2; cat $files/violations >&2; dmesg | tail -n 40 >&2; exit 1; }
# scene NAME VALUE
scene() {
	echo "$2" >"$parameters/$1"
	[ "$(cat $parameters/failures)" = 0 ] || fail "$1 $2: wrong results, see the log"
}
# of KIND: how many violations of it there were.
of() {
	awk -v kind="$1" '/^violation/ { n = $NF } $1 == "kind" && $2 == kind { all += n }
		END { print all + 0 }' $files/violations
}
# expect KIND N WHERE
expect() { [ "$(of "$1")" = "$2" ] || fail "$3: $(of "$1") $1, not $2"; }
in_log() { grep -q -- "$1" /tmp/log || fail "not in the log: $1"; }
# after SCENE VALUE: its part of the log is in /tmp/log.
after() {
	dmesg -c >/dev/null
	scene "$1" "$2"
	dmesg >/tmp/log
}
anew() {
	rmmod reeve
	insmod /reeve/reeve.ko
	insmod reeve_promises.ko
}

# What others left, such as a switch of tracking, would weaken verdicts.
anew

echo "== locks handed over"
scene hand 64
cat $files/held >/tmp/held
[ "$(grep -c "^task $$ " /tmp/held)" = 64 ] || fail "handed over: $(cat /tmp/held)"
[ "$(grep -c '^  reeve_promises outer order 1 shared lock .* taken at promises_hand+' /tmp/held)" = 64 ] ||
	fail "handed over: $(cat /tmp/held)"
scene adopt 1
expect not_handed_over 1 "one that was never handed over"
! grep reeve_promises $files/held || fail "adopted: still there"

echo "== more locks handed over than there is room for"
scene hand 65
scene adopt 0
expect not_handed_over 1 "after more than there is room for"
rmmod reeve_promises
anew
scene hand 64
scene adopt 1
expect not_handed_over 1 "loaded anew"

echo "== without a context"
before=$(of no_context)
scene without 0
expect no_context $((before + 13)) "without a context"

echo "== without memory"
fault=/sys/kernel/debug/failslab
if [ -e $fault ]; then
	for name in failslab/ignore-gfp-wait failslab/cache-filter fail_page_alloc/ignore-gfp-wait; do
		echo N >/sys/kernel/debug/$name
	done
	for name in failslab/verbose fail_page_alloc/verbose fail_page_alloc/min-order; do
		echo 0 >/sys/kernel/debug/$name
	done
	before=$(of no_context)
	scene no_names 0
	! grep promises_names $files/hierarchies || fail "without memory: registered"
	scene no_room 0
	expect table_full 2 "no memory for more room"
	scene no_context 0
	expect table_full 3 "no memory for a context"
	# The one of the hierarchy that is gone is forgotten.
	expect no_context $((before + 1)) "no memory for a context"
	! grep promises $files/held || fail "without memory: still held"
else
	echo "not tried: this kernel can make no allocation fail"
fi

echo "== registering"
scene register 0
scene named 1
# 63 bytes of each, and a blank shown in four.
[ "$(grep -c '^hierarchy promises\\x20ax*$' $files/hierarchies)" = 1 ] || fail "$(cat $files/hierarchies)"
[ "$(awk '/^hierarchy promises.x20a/ { print length($2) }' $files/hierarchies)" = 66 ] ||
	fail "$(cat $files/hierarchies)"
[ "$(awk '/^  1 an.x20ordery/ { print length($2) }' $files/hierarchies)" = 66 ] || fail "$(cat $files/hierarchies)"
scene named 0

echo "== as many as there may be"
scene fill 1
[ "$(grep -c '^hierarchy ' $files/hierarchies)" = 64 ] || fail "$(cat $files/hierarchies)"
scene fill 0
scene declare 0
! grep before: $files/hierarchies || fail "what was declared is not forgotten"
[ ! -e /sys/kernel/rcu_expedited ] || echo 1 >/sys/kernel/rcu_expedited
before=$(of invalid_hierarchy)
scene generations 0
expect invalid_hierarchy $((before + 11)) "generations of a place"
[ ! -e /sys/kernel/rcu_expedited ] || echo 0 >/sys/kernel/rcu_expedited
before=$(of not_disabled)
scene disable 0
expect not_disabled $((before + 2)) "disabled too often, and enabled"

echo "== put aside"
before=$(of still_held)
deep=$(of too_deep)
scene aside 0
expect still_held $((before + 1)) "held at a restore"
expect too_deep $((deep + 1)) "room for 64"

echo "== given a context, and ended"
before=$(of ended_inside)
after ends_given 0
in_log 'violation in promises/given\[[0-9]*\] at .*: leaving a context promises_given: locks are still held$'
in_log '  conflicts with one (order 1, .* exclusive, taken at ends_given+'
# With tracepoints it is the task itself that reports it, at its end.
if [ ! -e /sys/kernel/tracing ]; then
	! awk '/violation in/ { ours = /promises.given/ } ours' /tmp/log | grep 'called from' ||
		fail "frames of a task that ended"
fi
expect ended_inside "$before" "it need not leave"

echo "== a thread that ended inside is looked for"
before=$(of ended_inside)
scene ends_inside 0
# What it waits for is put off by idle processors, of which there is none now.
for n in 1 2; do
	while :; do :; done &
	busy="${busy:-} $!"
done
begin=$(cut -d . -f 1 /proc/uptime)
until [ "$(of ended_inside)" = $((before + 1)) ]; do
	[ "$(cut -d . -f 1 /proc/uptime)" -lt $((begin + 60)) ] || fail "a thread that ended inside was not found"
done
# shellcheck disable=SC2086 # a list
kill $busy

echo "== memory that is freed"
before=$(of freed_held)
scene free 0
expect freed_held $((before + 2)) "waited for"

echo "== interrupts"
before=$(of in_handler)
after handle 0
expect in_handler $((before + 1)) "a lock that spins, in a handler"
in_log 'violation in hard irq of CPU [0-9]* at in_hard_irq+'
after soften 0
in_log 'violation in soft irq of CPU [0-9]* at promises_mistake+'
grep -q '^  last .* cpu [0-9]* irq [0-9]* soft$' $files/violations || fail "not by the soft irq"
after trap 0
if grep -q 'model name' /proc/cpuinfo; then
	in_log 'violation in NMI of CPU [0-9]* at promises_mistake+'
	grep -q '^  last .* cpu [0-9]* irq [0-9]* nmi$' $files/violations || fail "not by the NMI"
fi

echo "== what a handler leaves"
before=$(of still_held)
scene leak 1
grep -A 1 '^irq 0 hard$' $files/held | grep -q '^  reeve_promises middle .* taken at leak_or_not+' ||
	fail "what an interrupt holds: $(cat $files/held)"
scene leak 0
expect still_held $((before + 1)) "the next handler"
! grep reeve_promises $files/held || fail "the next handler: still held"
scene leak 1
echo 0 >$tracking
echo 1 >$tracking
before=$(of still_held)
scene leak 0
expect still_held "$before" "a handler after a switch"

echo "== until the leave"
scene enter 1
scene ignorant 0
echo 0 >$tracking
scene ignorant 1
before=$(awk '$1 == "total" { print $2 }' $files/violations)
echo 1 >$tracking
scene ignorant 1
[ "$(awk '$1 == "total" { print $2 }' $files/violations)" = "$before" ] || fail "off: it was recorded"
scene enter 0
scene enter 1
scene ignorant 0
scene enter 0

echo "== places that wrappers are told"
dmesg -c >/dev/null
scene by_ip 0
dmesg >/tmp/log
in_log 'violation in [a-z.]*\[[0-9]*\] at promises_by_ip+.*: downgrading reeve_promises.nests '
in_log '  conflicts with nests .* exclusive, taken at promises_by_ip+'

echo "== what a report lists"
after call_deep 0
frames=$(grep -c '    called from ' /tmp/log) || true
case $frames in [1-8]) ;; *) fail "$frames frames: $(cat /tmp/log)" ;; esac
! [ -e /proc/lockdep_stats ] || [ "$(grep -c 'called from promises_call+' /tmp/log)" = 8 ] || fail "$(cat /tmp/log)"
after list 0
in_log '  conflicts with outer (order 1, .* shared, taken at promises_list+'
in_log '  conflicts with inner (order 3, .* exclusive, taken at promises_list+'
after mix 0
[ "$(sed -n 's/.*reeve:   \(holds\|conflicts with\) \([a-z]*\) .*/\2/p' /tmp/log | tr '\n' ' ')" = 'inner outer ' ] ||
	fail "first what conflicts: $(cat /tmp/log)"
id=$(awk '/cluster_/ { sub(".*cluster_", ""); id = $1 } /label="reeve_promises"/ { print id }' $files/graph)
grep -q "\"$id.5\" -> \"$id.2\" .*color=red.*// against the order\$" $files/graph || fail "$(cat $files/graph)"

echo "== more pairs than are remembered"
level=$(cut -f 1 /proc/sys/kernel/printk)
echo 1 >/proc/sys/kernel/printk
begin=$(cut -d . -f 1 /proc/uptime)
more=0
reports=0
while [ "$more" -lt 40 ]; do
	dmesg -c >/dev/null
	scene many_pairs 10
	new=$(dmesg | grep -c 'violation in .*: taking promises_pairs.order ') || true
	reports=$((reports + new))
	more=$(awk '/^more / { n = $2 } END { print n + 0 }' $files/violations)
done
end=$(cut -d . -f 1 /proc/uptime)
[ "$(grep -c '^violation ' $files/violations)" = 128 ] || fail "not 128 pairs"
remembered=$(grep -c '^violation promises_pairs ' $files/violations)
# Twenty in each five seconds, of which one more may have begun.
limit=$((remembered + 20 + 20 * ((end - begin) / 5 + 1)))
if [ "$reports" -le "$remembered" ] || [ "$reports" -gt $limit ]; then
	fail "$reports reports of $remembered pairs and $more others, in $((end - begin)) seconds"
fi
[ "$(awk '/^promises_pairs / { print $2 }' $files/violations)" = $((remembered + more)) ] || fail "not all are counted"
echo "$level" >/proc/sys/kernel/printk
scene many_pairs 0
! grep promises_pairs $files/violations || fail "gone, and still remembered"

echo "== modules that are gone"
insmod promises_gone.ko
echo 1 >/sys/module/promises_gone/parameters/take
scene hold 1
grep -q ' taken at gone_takes+0x.* \[promises_gone\]$' $files/held || fail "$(cat $files/held)"
rmmod promises_gone
gone() { grep -c ' taken at promises_gone+0x[0-9a-f]* \[promises_gone,gone\]$' $files/held; }
[ "$(gone)" = 1 ] || fail "gone: $(cat $files/held)"
# More come and go than are known; what was held then is not forgotten.
n=0
while [ $n -lt 40 ]; do
	insmod promises_other.ko
	rmmod promises_other
	n=$((n + 1))
done
insmod promises_other.ko
[ "$(gone)" = 1 ] || fail "gone, after others: $(cat $files/held)"
scene hold 0
rmmod promises_other
insmod promises_gone.ko
# More than 64 locks that are held: the others' place is not known.
echo 1 >/sys/module/promises_gone/parameters/take
scene hold 100
rmmod promises_gone
insmod promises_other.ko
[ "$(gone)" = 64 ] || fail "gone, with 100 locks: $(cat $files/held)"
[ "$(grep -c 'order 6 exclusive .* taken at ?$' $files/held)" = 36 ] || fail "not known: $(cat $files/held)"
scene hold 0
rmmod promises_other

rmmod reeve_promises
rmmod reeve
insmod /reeve/reeve.ko
echo "promises: ok"
