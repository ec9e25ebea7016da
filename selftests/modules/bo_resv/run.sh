#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: the same driver without the flag, of which lockdep must say
# nothing, and with it, which must end the run. In between Reeve is loaded anew, for
# lockdep forgets the classes of a module that goes.
set -eu
resv=reservation_ww_class_mutex
ours=reeve.BoReservation
fail() {
	echo "bo_resv: $*" >&2
	exit 1
}
# Whether lockdep has seen $2 taken directly inside of $1.
is_known() {
	awk -v RS= "/: $1\\n/ && / -> .* $2/ { found = 1 } END { exit !found }" /proc/lockdep
}
nothing_reported() {
	! dmesg | grep -q 'possible circular\|possible recursive\|INFO: lockdep'
}
insmod bo_resv.ko
is_known $ours fs_reclaim || fail "lockdep does not know that memory is allocated under a reservation"
! is_known $resv $ours || fail "without the flag lockdep takes the driver's lock for a dma_resv"
rmmod bo_resv
insmod bo_resv.ko invert=1
is_known $ours $resv || fail "a dma_resv was not taken inside"
nothing_reported || fail "without the flag lockdep complains"
rmmod bo_resv
rmmod reeve
insmod /reeve/reeve.ko
! is_known $ours $resv || fail "lockdep remembers what was taken before"
insmod bo_resv.ko flag=1
is_known $resv $ours || fail "lockdep does not know the order from the flag"
nothing_reported || fail "lockdep complains about the flag"
rmmod bo_resv
echo "bo_resv: only what comes now is wrong"
insmod bo_resv.ko flag=1 invert=1
exit 0
