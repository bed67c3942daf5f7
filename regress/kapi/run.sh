#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: run.sh [pattern ...]			(in the lab, as root)
#	 run.sh -r | -c | -f [seconds]
#
# The conformance tests of the KVM API on the device that this host has; -r
# the tests of robustness instead: an ioctl fuzzer for so many seconds, VMs
# that come and go, processes that are killed; with 600 seconds a thousand and
# a hundred of them.  -c leaves the fuzzer out: QEMU's software processor, on
# which the lab runs, does not survive every guest state that it makes; -f is the
# fuzzer alone.  A kernel that complained meanwhile is a failure too.

cd "$(dirname "$0")" || exit 125
device=/dev/kvm
[ ! -c /dev/vmm ] || device=/dev/vmm
passed=0 failed=0 limit=60 slack=()
case $(uname -r) in
*-checked)
	limit=600
	# KASAN keeps what was freed, up to a 32nd of the memory.
	slack=(-s $((64 << 10)))
	;;
esac

# Lockdep turns itself off at its first finding, and when its tables are full.
watching() {
	[ ! -e /proc/lockdep_stats ] ||
	    grep -q '^ *debug_locks: *1$' /proc/lockdep_stats || {
		echo "lockdep is off"
		return 1
	}
}

clean() { # what the kernel said since the last time
	local said
	watching || return
	said=$(dmesg | grep -E 'WARNING|BUG|Oops|RIP:|Call Trace|UBSAN|KASAN|ODEBUG|suspicious RCU|inconsistent lock|recursive locking|general protection fault,|possible circular|lockdep|soft lockup|hung task')
	[ -z "$said" ] || dmesg | tail -n 60
	dmesg -C
	[ -z "$said" ]
}

one() { # NAME COMMAND...
	local name=$1 rc=0
	shift
	"$@" || rc=$?
	if [ "$rc" = 0 ] && clean; then
		passed=$((passed + 1))
		echo "ok   robust/$name"
	else
		failed=$((failed + 1))
		echo "FAIL robust/$name: status $rc"
	fi
}

# A guest boots under QEMU and is killed at a moment that differs.
# shellcheck disable=SC2317 # called by one
killed() { # COUNT
	local i pid
	[ -c /dev/kvm ] || ln -s "$device" /dev/kvm
	for ((i = 0; i < $1; i++)); do
		qemu-system-x86_64 -accel kvm -M pc,kernel-irqchip=split \
		    -cpu host -m 128 -smp 2 -nodefaults -display none \
		    -no-reboot -kernel /guest/vmlinuz -initrd /guest/tiny.cpio \
		    -append "console=ttyS0 panic=-1 tiny=idle" >/tmp/qemu.log 2>&1 &
		pid=$!
		sleep "$((RANDOM % 4)).$((RANDOM % 90 + 10))"
		kill -9 "$pid" || {
			echo "QEMU ended by itself:"
			cat /tmp/qemu.log
			return 1
		}
		wait "$pid" 2>/dev/null
	done
	return 0
}

# Somewhere for guests' memory to go.
swap() {
	modprobe zram num_devices=1 && echo 64M >/sys/block/zram0/disksize &&
	    mkswap /dev/zram0 >/dev/null && swapon /dev/zram0
}

swap 2>/dev/null
dmesg -C
case ${1:-} in
-r | -c | -f)
	t=${2:-20}
	[ "$1" = -c ] || one fuzz ./fuzz -d "$device" -t "$t"
	if [ "$1" != -f ]; then
		one cycles ./cycles -d "$device" -n $((t * 5 / 3)) "${slack[@]}"
		one kill killed $((t / 6))
	fi
	echo "$passed passed, $failed failed, 0 skipped"
	[ "$failed" = 0 ]
	exit
	;;
esac
./kapi -d "$device" -t "$limit" "$@" | tee /tmp/kapi.out
rc=${PIPESTATUS[0]}
clean && exit "$rc"
# The last closing line counts.
sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed, /\1 \2 /p' /tmp/kapi.out |
    while read -r p f rest; do
	echo "FAIL the kernel complained"
	echo "$p passed, $((f + 1)) failed, $rest"
    done
exit 1
