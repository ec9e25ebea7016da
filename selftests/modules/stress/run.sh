#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: a million calls by 64 threads, and those of interrupts, each
# result compared with a model.
# ARGS has the module's parameters, if others are wanted.
set -eu
dmesg -c >/dev/null
# shellcheck disable=SC2086
time insmod reeve_stress.ko ${ARGS:-}
rmmod reeve_stress
dmesg | grep -o 'stress: .* \(once\|disagreements\)$'
dmesg | grep -q 'stress: .* operations, 0 disagreements$'
