#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: calls every function of the API for drivers, as documented
# and not, and checks the lines about misuse in the log.
set -eu
debug=/sys/kernel/debug
for file in failslab/ignore-gfp-wait failslab/cache-filter fail_page_alloc/ignore-gfp-wait \
	fail_page_alloc/ignore-gfp-highmem; do
	[ ! -e $debug/$file ] || echo N >$debug/$file
done
for file in failslab/verbose fail_page_alloc/verbose fail_page_alloc/min-order; do
	[ ! -e $debug/$file ] || echo 0 >$debug/$file
done
counter() {
	sed -n "s/^$1 //p" $debug/reeve/accounting
}
dmesg -c >/dev/null
insmod bo_api.ko
dmesg >/tmp/log
cat /tmp/log
expect_logged() {
	grep -q "$1" /tmp/log || { echo "not in the log: $1" >&2; exit 1; }
}
expect_logged 'reeve_bo_populate(): bo_api, object [0-9]*: the caller has not locked it (-1); called from objects+'
expect_logged 'reeve_bo_lock(): bo_api, object [0-9]*: the caller has locked it already (-35); called from objects+'
expect_logged 'reeve_bo_unlock(): bo_api, object [0-9]*: the caller has not locked it (-1); called from try_other+'
expect_logged 'reeve_bo_unpin(): bo_api, object [0-9]*: its state does not allow that (-22)'
expect_logged 'reeve_bo_put(): no device, object [0-9]*: there is no such object; it was put, or never made (-2)'
expect_logged 'reeve_bo_touch(): bo_api, object [0-9]*: called from its own evict_begin() or evict_abort() (-35)'
expect_logged 'reeve_bo_touch(): .* called where nothing may sleep (-1)'
expect_logged 'reeve_device_unregister(): bo_api, objects left 1: it can.t go before them (-16); called from devices+'
expect_logged 'reeve_device_register(): only some of the ops of the lock (-22)'
expect_logged 'reeve_device_register(): REEVE_DEVICE_DMA_RESV without the ops of the lock (-22); called from devices+'
expect_logged 'reeve_device_register(): unknown flags (-22); called from devices+'
expect_logged 'reeve_bo_create(): the descriptor says what this module does not know (-7)'
expect_logged 'reeve_bo_populate(): own_lock, object [0-9]*: the driver.s lock for it is not held (-1)'
if grep -q 'lock order violation' /tmp/log; then
	echo "there are violations of the lock order" >&2
	exit 1
fi
rmmod bo_api
if grep -lx reeve /proc/[0-9]*/comm 2>/dev/null; then
	echo "threads of reeve_device_register() are left" >&2
	exit 1
fi
[ "$(counter buffer_objects)" = 0 ] || { echo "objects are left" >&2; exit 1; }
[ "$(counter pages_allocated)" = 0 ] || { echo "pages are left" >&2; exit 1; }
grep -q 'self_check ok' $debug/reeve/accounting || { echo "the accounting is wrong" >&2; exit 1; }

# A driver that goes without its objects is not called any more; they stay.
insmod bo_forgets.ko
cat $debug/reeve/tt_shrink >/dev/null
dmesg -c | grep -q 'bo_forgets: asked' || { echo "the driver was not asked" >&2; exit 1; }
rmmod bo_forgets
dmesg >/tmp/log
expect_logged 'bo_forgets, objects left 1: the driver is gone, and left the device behind (-16)'
cat $debug/reeve/tt_shrink >/dev/null
echo 1 >$debug/reeve/bo_shrink
echo 1 >$debug/reeve/prepare_hibernation || true # what is left can't be moved
[ "$(counter pages_allocated)" = 1 ] || { echo "the page that was left is gone" >&2; exit 1; }

# Each function misused in each way names itself in the log. Only so many lines are
# logged in a while: if one is missing, once more.
before=$(counter buffer_objects)
table() {
	dmesg -c >/dev/null
	insmod bo_table.ko way="$1" || { dmesg; exit 1; }
	rmmod bo_table
	dmesg >/tmp/log
	# One process for all of them: on the debug kernel a process takes its time.
	missing=$(awk '/ bo_table: logged / { wanted[$NF] }
		/ reeve: .*called from .*bo_table/ { sub(/.* reeve: /, ""); sub(/\(.*/, ""); seen[$0] }
		END { for (name in wanted) if (!(name in seen)) print name }' /tmp/log)
	[ -z "$missing" ]
}
for way in 0 1 2 3 4 5 6 7 8; do
	tries=0
	until table $way; do
		tries=$((tries + 1))
		[ $tries -lt 20 ] || { cat /tmp/log; echo "way $way: $missing says nothing" >&2; exit 1; }
		sleep 1
	done
done
# Handles that were put do no harm, whatever their slots have now.
insmod bo_stale.ko || { dmesg; exit 1; }
dmesg | grep ' bo_stale: '
rmmod bo_stale
[ "$(counter buffer_objects)" = "$before" ] || { echo "objects are left by misuse" >&2; exit 1; }
grep -q 'self_check ok' $debug/reeve/accounting || { echo "the accounting is wrong" >&2; exit 1; }
echo "bo_api: ok"
