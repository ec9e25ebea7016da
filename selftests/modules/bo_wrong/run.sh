#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: only lockdep's report can make this run fail.

insmod bo_wrong.ko && rmmod bo_wrong
exit 0
