#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: programs use the sample DRM driver through its render node while
# its objects are evicted. DRM's modules and the sample gpu-c are beside it.
set -eu
swap=/dev/vda
[ -b $swap ] || swap=/dev/ram0
[ -b $swap ] || { echo "no disk to swap to: make vm DISK=64" >&2; exit 1; }
mkswap $swap >/dev/null
swapon $swap
for module in drm_panel_orientation_quirks i2c-core drm reeve_gpu; do insmod $module.ko; done
insmod reeve_gpu_drm.ko
# Lockdep knows the order of its locks before there is an object.
if [ -e /proc/lockdep ]; then
	awk -v RS= '/: reservation_ww_class_mutex\n/ && / -> .* reeve.BoReservation/ { found = 1 } END { exit !found }' \
		/proc/lockdep || { echo "lockdep does not know of its dma_resv" >&2; exit 1; }
fi
if rmmod reeve 2>/dev/null; then
	echo "reeve was unloaded under its drivers" >&2
	exit 1
fi
status=0
REEVE_GPU_KO=$PWD/reeve_gpu_drm.ko reeve-guest-tests --suite=gpu-drm || status=$?
# Whichever driver was unloaded meanwhile, the other one kept its device.
if dmesg | grep 'left the device behind\|there is no such device'; then exit 1; fi
rmmod reeve_gpu_drm reeve_gpu
if dmesg | grep 'there is no such device'; then exit 1; fi
[ "$(sed -n 's/^buffer_objects //p' /sys/kernel/debug/reeve/accounting)" = 0 ] || { echo "objects are left" >&2; exit 1; }
grep -q 'self_check ok' /sys/kernel/debug/reeve/accounting || { echo "the accounting is wrong" >&2; exit 1; }
exit $status
