#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs in the guest: lets the sample GPU driver that is beside it, in C or in Rust, use its
# buffers while they are evicted in every way, and checks that the GPU never saw a page
# that was gone.
set -eu
if [ -e reeve_gpu_rust.ko ]; then
	driver=reeve_gpu_rust
	params=/sys/kernel/debug/$driver
else
	driver=reeve_gpu
	params=/sys/module/$driver/parameters
fi
# Reclaim moves nothing out of memory without swap.
swap=/dev/vda
[ -b $swap ] || swap=/dev/ram0
[ -b $swap ] || { echo "no disk to swap to: make vm DISK=64" >&2; exit 1; }
grep -q "^$swap " /proc/swaps || { mkswap $swap >/dev/null && swapon $swap; }
insmod $driver.ko
reeve=/sys/kernel/debug/reeve

die() {
	echo "$1" >&2
	exit 1
}

counter() {
	sed -n "s/^$1 //p" $reeve/accounting
}

param() {
	cat $params/"$1"
}

same() {
	[ "$1" = "$2" ] || die "$3: $1, not $2"
}

# Opens a buffer of $2 KiB full of 'a' as descriptor $1.
fill() {
	eval "exec $1<>/dev/$driver"
	head -c $(($2 * 1024)) /dev/zero | tr '\0' a >&"$1"
}

# What the GPU sums a buffer up to.
sum() {
	head -n 1 <&"$1"
}

if rmmod reeve 2>/dev/null; then
	die "reeve was unloaded under the driver"
fi

# A buffer is charged to its client, and its content survives eviction.
before=$(counter pages_allocated)
fill 3 64
same "$(($(counter pages_allocated) - before))" 16 "pages of a buffer of 64 KiB"
expected=$((65536 * 97))
same "$(sum 3)" $expected "the GPU's sum"
grep -q 'drm-resident-system:	64 KiB' /proc/$$/fdinfo/3 || die "fdinfo does not say 64 KiB"
same "$(cat $reeve/tt_shrink)" 16 "pages evicted"
grep -q 'reeve-swapped-system:	64 KiB' /proc/$$/fdinfo/3 || die "fdinfo does not show the eviction"
[ "$(param evictions)" -ge 1 ] || die "the driver was not asked"
same "$(sum 3)" $expected "the sum after an eviction"

# While the fence is open reclaim passes the buffer over, and it keeps its place.
echo 1000 >$params/delay
before=$(param refusals)
sum 3 >/tmp/sum &
job=$!
until [ "$(param refusals)" -gt "$before" ]; do
	echo 1 >$reeve/bo_shrink
	[ -d /proc/$job ] || die "reclaim did not ask while the GPU worked"
done
wait $job
same "$(cat /tmp/sum)" $expected "the sum of what reclaim wanted meanwhile"
echo 1 >$params/delay

# Every second time the driver refuses: it is passed over, nothing is lost.
echo 1 >$params/refuse
for round in 1 2 3 4 5 6 7 8 9 10; do
	cat $reeve/tt_shrink >/dev/null
	echo 1 >$reeve/bo_shrink
	same "$(sum 3)" $expected "the sum in round $round"
done
echo 0 >$params/refuse

# Two drivers share the limit: this one, and /dev/reeve's device.
limit=/sys/module/reeve/parameters/pages_limit
old=$(cat $limit)
echo 24 >$limit
fill 4 64
[ "$(counter pages_allocated)" -le 24 ] || die "the limit is not kept: $(counter pages_allocated)"
same "$(sum 4)" $expected "the sum of the second buffer"
same "$(sum 3)" $expected "the sum of the one that made room"
echo "$old" >$limit

# What users map is what the GPU sees.
exec 3>&- 4>&-
REEVE_GPU=/dev/$driver reeve-guest-tests --suite=gpu

# What may be lost is lost, and nothing is copied.
echo 1 >$params/purgeable
fill 3 64
swapped=$(counter swapped_pages)
same "$(cat $reeve/tt_shrink)" 16 "pages dropped"
same "$(counter swapped_pages)" "$swapped" "swapped pages, of what was dropped"
same "$(sum 3)" 0 "the sum of what was dropped"
exec 3>&-
echo 0 >$params/purgeable

same "$(param gpu_faults)" 0 "uses of pages that were gone"
same "$(counter pages_allocated)" 0 "pages that are left"
grep -q 'self_check ok' $reeve/accounting || die "the accounting is wrong"

# It goes while it is used by many.
for _ in 1 2 3 4; do
	(
		i=0
		while [ $i -lt 20 ]; do
			exec 3<>/dev/$driver
			head -c 16384 /dev/zero >&3
			head -n 1 <&3 >/dev/null
			exec 3>&-
			i=$((i + 1))
		done
	) &
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
	cat $reeve/tt_shrink >/dev/null
	echo 1 >$reeve/bo_shrink
	rmmod $driver 2>/dev/null && die "the driver was unloaded under its users"
done
wait
rmmod $driver
same "$(counter buffer_objects)" 0 "objects that are left"
echo "$driver: ok"
