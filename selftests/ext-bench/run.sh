#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: measures twice, with tracking on and off. A line `section NAME` says what the lines after it are.
set -eu
switch=/sys/module/reeve/parameters/lock_tracking
debugfs=/sys/kernel/debug

measure() {
	echo "section $1"
	cat $debugfs/reeve_bench
	# There in builds with REEVE_BENCH=1.
	if [ -e $debugfs/reeve/bench/lock_order ]; then
		cat $debugfs/reeve/bench/lock_order
	fi
}

insmod reeve_bench.ko
for _ in 1 2; do
	measure on
	echo 0 >$switch
	measure off
	echo 1 >$switch
done
rmmod reeve_bench
echo end
