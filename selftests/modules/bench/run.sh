#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: measures twice, with tracking on and off. The lines after `section NAME` belong to that section.
# Page accounting is measured where its references, C TTM and the GEM helper for shmem, are available.
set -eu
switch=/sys/module/reeve/parameters/lock_tracking
debugfs=/sys/kernel/debug

# The files of page accounting. Each is read once before it counts, so that all find the kernel's lists of free memory
# as they leave them.
accounting=
if [ -e ttm_bench.ko ]; then
	accounting="reeve/bench/tt bo_bench ttm_bench/tt reeve/bench/tt_growth ttm_bench/growth"
	# C TTM backs nothing up without swap.
	mkswap /dev/ram0 >/dev/null
	swapon /dev/ram0
	for module in i2c-core drm_panel_orientation_quirks drm ttm ttm_bench drm_shmem_helper gem_bench; do
		insmod $module.ko
	done
	insmod bo_bench.ko
	for file in $accounting; do
		cat "$debugfs/$file" >/dev/null
	done
fi

# evict COUNT: global swapout of an object of one page, of a driver with so many. One at a time where it has but one,
# and the least of 16.
evict() {
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
		echo "$1" >"$debugfs/bo_bench_alive"
		cat "$debugfs/reeve/bench/evict"
		[ "$1" = 1 ] || break
	done | sort -n -k 3 | head -n 1
	echo 0 >"$debugfs/bo_bench_alive"
}

measure() {
	echo "section $1"
	cat $debugfs/reeve_bench
	# There in builds with REEVE_BENCH=1.
	if [ -e $debugfs/reeve/bench/lock_order ]; then
		cat $debugfs/reeve/bench/lock_order
	fi
}

insmod reeve_bench.ko
# One of its threads is in a context meanwhile.
echo 0 >$switch
echo 1 >$switch
for _ in 1 2; do
	measure on
	# The bench kernel alone: lockdep has no such rows.
	if [ -n "$accounting" ]; then
		cat $debugfs/reeve_bench_threads
	fi
	for file in $accounting; do
		cat "$debugfs/$file"
	done
	if [ -n "$accounting" ]; then
		evict 1
		evict 100000
	fi
	if [ -e reeve-vhost-bench ]; then
		./reeve-vhost-bench ./reeve-vhost-peer
	fi
	echo 0 >$switch
	measure off
	echo 1 >$switch
done
# Last, and once: it takes and frees pages one by one, and leaves the page allocator's large blocks in pieces.
if [ -n "$accounting" ]; then
	echo "section on"
	cat $debugfs/gem_bench >/dev/null
	cat $debugfs/gem_bench
fi
rmmod reeve_bench
if [ -n "$accounting" ]; then
	rmmod ttm_bench gem_bench bo_bench
fi
echo end
