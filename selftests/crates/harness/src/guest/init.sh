#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The first process of the guest: sets the machine up, inserts the module, runs the script, says how it went.
#
# ttyS0 is the console. What the harness has to be sure of goes through ports that the kernel never prints to:
# ttyS1 carries one fact per line (read by control.rs), ttyS2 the script's output when it is to be kept apart,
# ttyS3 a cpio archive of /out. No `set -e`: whatever happens, this has to come to its end.

/bin/busybox mkdir -p /bin /sbin /usr/bin /usr/sbin /proc /sys /dev /tmp /run /out /root
/bin/busybox --install -s
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM="${TERM:-vt100}"

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null

# SCRIPT LOAD PARAMS CAPTURE KMEMLEAK INTERACTIVE, from the harness.
. /reeve/settings

for port in 1 2 3; do
	stty -F /dev/ttyS$port raw -echo
done

tell() { echo "$*" >/dev/ttyS1; }

# Kills what the script left running, and waits until it is gone: an open file would keep the module in.
kill_leftovers() {
	local tries=0 process left
	while [ $tries -lt 100 ]; do
		kill -9 -1 2>/dev/null
		left=
		for process in /proc/[0-9]*; do
			# A kernel thread has no command line, nor has a zombie.
			[ "$process" = /proc/1 ] || [ "$process" = "/proc/$$" ] ||
				[ -z "$(tr -d '\0' <"$process/cmdline" 2>/dev/null)" ] || left=1
		done
		[ -n "$left" ] || return
		usleep 100000
		tries=$((tries + 1))
	done
	tell "note some processes of the script would not die"
}

seconds_up() { cut -d . -f 1 /proc/uptime; }

# Two scans: the first notes the checksums, the second reports what is unreferenced, unchanged and over 5 s old.
look_for_leaks() {
	local leaks=/sys/kernel/debug/kmemleak last
	last=$(seconds_up)
	echo scan >$leaks || return
	while [ "$(seconds_up)" -lt $((last + 6)) ]; do usleep 200000; done
	echo scan >$leaks
	sed 's/^/leak /' $leaks >/dev/ttyS1
}

finish() {
	local taint
	taint=$(cat /proc/sys/kernel/tainted)
	tell "taint $taint"
	# A complaint (see control.rs for the bits): what the kernel remembers may say more than the console.
	if [ $((taint & (1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14))) -ne 0 ]; then
		dmesg | tail -n 200 | sed 's/^/dmesg /' >/dev/ttyS1
	fi
	(cd /out && find . -type f | cpio -o -H newc >/dev/ttyS3 2>/dev/null)
	tell "end"
	poweroff -f
}

tell "kernel $(uname -r)"
# A scan takes seconds of an emulated machine; those at the end are enough.
[ ! -e /sys/kernel/debug/kmemleak ] || echo scan=off >/sys/kernel/debug/kmemleak 2>/dev/null || true

if [ "$LOAD" = 1 ]; then
	# shellcheck disable=SC2086 # PARAMS is a list
	if insmod /reeve/reeve.ko $PARAMS 2>/tmp/insmod.log; then
		tell "inserted"
	else
		tell "load-failed $(tr '\n' ' ' </tmp/insmod.log)"
		finish
	fi
fi

cd /root || finish
if [ "$INTERACTIVE" = 1 ]; then
	echo
	echo "This is the guest. reeve.ko is inserted unless LOAD=0, reevectl is in PATH, your FILES are here."
	echo "Leave with exit or Ctrl-D; Ctrl-A X kills the machine."
	setsid cttyhack sh -l
	status=$?
elif [ "$CAPTURE" = 1 ]; then
	"./$SCRIPT" </dev/null >/dev/ttyS2 2>&1
	status=$?
else
	"./$SCRIPT" </dev/null
	status=$?
fi
tell "status $status"

kill_leftovers
if [ "$LOAD" = 1 ] && [ -d /sys/module/reeve ]; then
	rmmod reeve 2>/tmp/rmmod.log || tell "note reeve could not be removed: $(tr '\n' ' ' </tmp/rmmod.log)"
fi
if [ "$KMEMLEAK" = 1 ] && [ -e /sys/kernel/debug/kmemleak ]; then
	look_for_leaks
fi
finish
