#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: loads the Rust sample next to Reeve, and checks that the
# wrong order it takes its locks in is reported.
set -eu
dmesg -c >/dev/null
insmod reeve_sample_rust.ko
dmesg >/tmp/log
grep -q 'wrong_order.*: taking reeve_sample_rust.device ' /tmp/log ||
	{ echo "the wrong order is not in the log" >&2; exit 1; }
rmmod reeve_sample_rust
echo "sample: ok"
