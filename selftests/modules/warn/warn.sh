#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Inserts the module and succeeds: only the kernel's complaint can make this run fail.

insmod ext_warn.ko && rmmod ext_warn
exit 0
