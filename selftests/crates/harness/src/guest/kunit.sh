#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Inserts the module, which runs its KUnit suites, and prints the results of the suites that came with it.

results=/sys/kernel/debug/kunit
before=
for suite in "$results"/*; do before="$before $suite "; done
insmod /reeve/reeve.ko || exit 1
for suite in "$results"/*; do
	case $before in
	*" $suite "*) ;;
	*) cat "$suite/results" ;;
	esac
done
rmmod reeve
