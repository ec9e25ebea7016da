#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: the same random operations on C TTM and on Reeve, compared after each: on Reeve by
# /dev/reeve, and once more by its API for drivers. The modules of C TTM beside it are the kernel's.
# REEVE_SEED=N does one sequence only, REEVE_STEPS=N so many steps.
set -eu
for module in drm_panel_orientation_quirks i2c-core drm ttm; do insmod $module.ko; done
address() { echo "0x$(grep " $1\$\| $1	" /proc/kallsyms | cut -d ' ' -f 1)"; }
insmod reeve_ttm.ko "pages_allocated=$(address ttm_pages_allocated)" \
	"dma32_pages_allocated=$(address ttm_dma32_pages_allocated)"
status=0
reeve-guest-tests --suite=reference || status=$?
insmod reeve_through.ko
REEVE_THROUGH=1 reeve-guest-tests --suite=reference || status=$?
rmmod reeve_through
rmmod reeve_ttm
exit $status
