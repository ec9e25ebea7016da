#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Inserts and removes the module, over and over.

turns=10
failed=0

cycle() {
	insmod /reeve/reeve.ko enable_builtin_tests=1 || return
	[ -c /dev/reeve ] || { echo "# inserted, but there is no /dev/reeve" && return 1; }
	[ -d /sys/kernel/debug/reeve ] || { echo "# inserted, but nothing in debugfs" && return 1; }
	rmmod reeve || return
	[ ! -e /dev/reeve ] || { echo "# removed, but /dev/reeve stayed" && return 1; }
	[ ! -e /sys/kernel/debug/reeve ] || { echo "# removed, but debugfs stayed" && return 1; }
}

echo "KTAP version 1"
echo "1..$turns"
n=1
while [ $n -le $turns ]; do
	if cycle; then
		echo "ok $n insert and remove, cycle $n"
	else
		echo "not ok $n insert and remove, cycle $n"
		failed=1
	fi
	n=$((n + 1))
done
exit $failed
