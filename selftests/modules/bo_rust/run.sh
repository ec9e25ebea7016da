#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: calls every function of bo.rs, as documented and not.
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
# A backup needs swap.
swap=/dev/vda
[ -b $swap ] || swap=/dev/ram0
[ -b $swap ] || { echo "no disk to swap to: make vm DISK=64" >&2; exit 1; }
grep -q "^$swap " /proc/swaps || { mkswap $swap >/dev/null && swapon $swap; }
dmesg -c >/dev/null
insmod reeve_bo_rust.ko || { dmesg >&2; exit 1; }
dmesg >/tmp/log
grep 'reeve_bo_rust: ' /tmp/log
expect_logged() {
	grep -q "$1" /tmp/log || { echo "not in the log: $1" >&2; exit 1; }
}
expect_logged 'reeve_bo_lock(): bo_rust, object [0-9]*: the caller has locked it already (-35)'
# The driver's function is named, not the wrapper's.
expect_logged 'reeve_bo_page(): bo_rust, object [0-9]*: it has no such page .*(-22); called from _R[^ ]*reeve_bo_rust7content+'
expect_logged 'reeve_bo_unpin(): .*(-22); called from _R[^ ]*reeve_bo_rust4pins+'
# One of its drivers says that it has a dma_resv for each object, which no other has before it.
if grep -q ' reservation_ww_class_mutex' /proc/lockdep 2>/dev/null; then
	awk -v RS= '/: reservation_ww_class_mutex\n/ && / -> .* reeve.BoReservation/ { found = 1 } END { exit !found }' \
		/proc/lockdep || { echo "lockdep does not know of its dma_resv" >&2; exit 1; }
fi
if grep -q 'lock order violation' /tmp/log; then
	echo "there are violations of the lock order" >&2
	exit 1
fi
rmmod reeve_bo_rust
[ "$(counter buffer_objects)" = 0 ] || { echo "objects are left" >&2; exit 1; }
[ "$(counter pages_allocated)" = 0 ] || { echo "pages are left" >&2; exit 1; }
grep -q 'self_check ok' $debug/reeve/accounting || { echo "the accounting is wrong" >&2; exit 1; }
dmesg >/tmp/log
if grep -q 'left the device behind' /tmp/log; then
	echo "the device was not unregistered" >&2
	exit 1
fi
echo "bo_rust: ok"
