#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: loads the sample next to Reeve, and checks that the wrong
# order it takes its locks in is reported with the functions' names.
set -eu
dmesg -c >/dev/null
insmod reeve_sample.ko
if rmmod reeve 2>/dev/null; then
	echo "reeve was unloaded under the sample" >&2
	exit 1
fi
dmesg >/tmp/log
expect_logged() {
	grep -q "$1" /tmp/log || { echo "not in the log: $1" >&2; exit 1; }
}
expect_logged 'lock order violation in insmod.* at sample_wrong_order+.*: taking reeve_sample.device '
expect_logged 'conflicts with queue .* exclusive, taken at sample_lock_queue+'
rmmod reeve_sample
echo "sample: ok"
