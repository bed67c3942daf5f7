#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: inside.sh boot MACHINE ... | memory | disk | net [SECONDS] | count
#							(in the lab, as root)
#
# Measures our VMs and QEMU's alike and prints lines "figure system value".
# Systems: vmm, pc and microvm (QEMU's machines, -accel kvm, its own defaults
# otherwise).  The same kernel, initrd, command line, memory and one vCPU.

set -euo pipefail
cd "$(dirname "$0")"
T=/tmp/bench
G=/guest
mem=256
base="console=ttyS0 quiet panic=-1"
vmd_pid=''
qemu_pid=''
netio_pid=''
mkdir -p $T/shm
mountpoint -q $T/shm || mount -t tmpfs -o size=600M tmpfs $T/shm

# shellcheck disable=SC2317 # reached by the trap
finish() {
	[[ -z $qemu_pid ]] || kill -9 "$qemu_pid" 2>/dev/null || true
	[[ -z $netio_pid ]] || kill "$netio_pid" 2>/dev/null || true
	vmd_stop
}
trap finish EXIT

have_vmm() { command -v vmd >/dev/null && command -v vmctl >/dev/null; }

vmd_start() { # KERNEL INITRD CMDLINE [DISK [TAP]]
	{
		printf 'vm "one" {\n\tdisable\n\tmemory %sM\n\tcpus 1\n' "$mem"
		printf '\tboot "%s"\n\tinitrd "%s"\n' "$1" "$2"
		printf '\tcmdline "%s"\n' "$3"
		[[ -z ${4:-} ]] || printf '\tdisk "%s"\n' "$4"
		[[ -z ${5:-} ]] || printf '\tinterface %s\n' "$5"
		printf '}\n'
	} >$T/vm.conf
	vmd -d -f $T/vm.conf 2>$T/vmd.log >&2 &
	vmd_pid=$!
	until vmctl status >/dev/null 2>&1; do sleep 0.2; done
}

vmd_stop() {
	[[ -n $vmd_pid ]] || return 0
	kill -TERM "$vmd_pid" 2>/dev/null || true
	wait "$vmd_pid" || true
	vmd_pid=''
}

qemu() { # MACHINE KERNEL INITRD CMDLINE DISK OPTION...
	local machine=$1 kernel=$2 initrd=$3 cmdline=$4 disk=$5 dev=virtio-blk-pci
	shift 5
	[[ $machine != microvm ]] || dev=virtio-blk-device
	[[ -z $disk ]] || set -- "$@" \
	    -drive "if=none,id=d,format=raw,file=$disk,aio=io_uring" \
	    -device "$dev,drive=d"
	exec qemu-system-x86_64 -M "$machine" -accel kvm -cpu host \
	    -m "$mem" -smp 1 -nodefaults -no-reboot -display none \
	    -serial stdio -kernel "$kernel" -initrd "$initrd" \
	    -append "$cmdline" "$@"
}

# Microseconds of the host's clock; in the deterministic lab a nanosecond is
# an instruction.
now() { echo "${EPOCHREALTIME/./}"; }

# until_line FD PATTERN: reads lines until one matches.
until_line() {
	local line
	while IFS= read -r -u "$1" line; do
		# shellcheck disable=SC2053 # a pattern
		[[ $line != *$2* ]] || return 0
	done
	return 1
}

boot_qemu() { # MACHINE KERNEL: microseconds from command to the guest's init
	local t0 t1 fd
	mkfifo $T/out
	t0=${EPOCHREALTIME/./}
	qemu "$1" "$2" $G/tiny.cpio "$base tiny=bench" '' >$T/out </dev/null &
	qemu_pid=$!
	exec {fd}<$T/out
	until_line "$fd" "tiny: init"
	t1=${EPOCHREALTIME/./}
	kill -9 "$qemu_pid"
	exec {fd}<&-
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=''
	rm $T/out
	echo $((t1 - t0))
}

boot_vmm() { # KERNEL; vmd runs, as it does on a host
	local t0 t1 fd tty
	t0=${EPOCHREALTIME/./}
	vmctl start one 2>$T/start.out
	tty=$(<$T/start.out)
	tty=${tty##*tty }
	exec {fd}<"$tty"
	until_line "$fd" "tiny: init"
	t1=${EPOCHREALTIME/./}
	exec {fd}<&-
	vmctl stop -fw one >/dev/null 2>&1 || true
	echo $((t1 - t0))
}

# Three runs each; the first warms the page cache, the least of the others.
least() { # FIGURE SYSTEM COMMAND...
	local figure=$1 system=$2 best='' us
	shift 2
	"$@" >/dev/null
	for _ in 1 2; do
		us=$("$@")
		[[ -n $best && $best -le $us ]] || best=$us
	done
	echo "$figure $system $best"
}

boot() {
	local kernel m
	for kernel in vmlinuz vmlinux; do
		for m in "$@"; do
			least "boot-$kernel" "$m" boot_qemu "$m" "$G/$kernel"
		done
		have_vmm || continue
		vmd_start "$G/$kernel" $G/tiny.cpio "$base tiny=bench"
		least "boot-$kernel" vmm boot_vmm
		vmd_stop
	done
}

# KiB of PSS of the processes without guest RAM, which is a memfd in all.
pss() {
	local p
	for p in "$@"; do cat "/proc/$p/smaps"; done | awk '
		/^[0-9a-f]+-[0-9a-f]+ / { ram = index($0, "/memfd:") > 0 }
		/^Pss:/ && !ram { sum += $2 }
		END { print sum + 0 }'
}

memory() {
	local m p pids
	truncate -s 64M $T/shm/disk
	for m in pc microvm; do
		: >$T/out
		qemu "$m" $G/vmlinuz $G/tiny.cpio "$base tiny=idle" \
		    $T/shm/disk -M memory-backend=ram -object \
		    "memory-backend-memfd,id=ram,share=on,size=${mem}M" \
		    >$T/out </dev/null &
		qemu_pid=$!
		until grep -q "tiny: idle" $T/out; do sleep 0.5; done
		echo "pss-kib $m $(pss "$qemu_pid")"
		kill "$qemu_pid"
		wait "$qemu_pid" || true
		qemu_pid=''
		rm $T/out
	done
	have_vmm || return 0
	vmd_start $G/vmlinuz $G/tiny.cpio "$base tiny=idle" $T/shm/disk
	vmctl start one 2>$T/start.out
	p=$(<$T/start.out)
	exec 8<"${p##*tty }"
	until_line 8 "tiny: idle"
	pids=$(for p in /proc/[0-9]*; do
		[[ $(readlink "$p/exe") != */sbin/vmd ]] || echo "${p##*/}"
	done)
	# shellcheck disable=SC2086
	echo "pss-kib vmm $(pss $pids)"
	for p in $pids; do
		echo "# $(tr '\0' ' ' <"/proc/$p/cmdline") $(pss "$p") KiB"
	done
	vmctl stop -fw one 2>/dev/null
	exec 8<&-
	vmd_stop
}

# The jobs of the guest's guestio: name and arguments.
jobs_of_disk="randread-qd1:-r,-q,1 randread-qd32:-r,-q,32
	randwrite-qd1:-r,-w,-q,1 randwrite-qd32:-r,-w,-q,32
	seqread:-b,262144,-q,4 seqwrite:-w,-b,262144,-q,4"

disk_job() { # SYSTEM CMDLINE: the guest prints "result NUMBER"
	local fd p
	if [[ $1 = vmm ]]; then
		vmd_start $G/vmlinuz $T/bench.cpio "$2" $T/shm/disk
		vmctl start one 2>$T/start.out
		p=$(<$T/start.out)
		timeout 100 cat "${p##*tty }" >$T/out 2>/dev/null || true
		vmd_stop
	else
		(qemu "$1" $G/vmlinuz $T/bench.cpio "$2" $T/shm/disk) \
		    </dev/null | timeout 100 cat >$T/out || true
	fi
	tr -d '\r' <$T/out | awk '/^result / { print $2; n++ }
		END { if (!n) print "-" }'
}

disk() {
	local m job seconds=${SECONDS_PER_JOB:-4}
	[[ -s extra.cpio ]] || {
		echo "# no guestio: disk figures left out"
		return
	}
	cat $G/tiny.cpio extra.cpio >$T/bench.cpio
	dd if=/dev/urandom of=$T/shm/disk bs=1M count=256 status=none
	# One after the other in each job: what else the machine does is alike.
	for job in $jobs_of_disk; do
		for _ in 1 2 3; do
			for m in pc microvm vmm; do
				[[ $m != vmm ]] || have_vmm || continue
				echo "${job%%:*} $m $(disk_job "$m" \
				    "$base tiny=run,guestio,${job#*:},-t,$seconds,/dev/vda")"
			done
		done
	done
}

# What the guest's netio does, in one run; the host serves.
jobs_of_net=out:1,out:4,in:1,in:4,packets-out,packets-in,rtt

net_guest() { # SYSTEM CMDLINE: its output
	local p vhost=${1#vhost-}
	if [[ $1 = vmm ]]; then
		vmd_start $G/vmlinuz $T/bench.cpio "$2" '' tap9
		vmctl start one 2>$T/start.out
		p=$(<$T/start.out)
		timeout 200 cat "${p##*tty }" 2>/dev/null || true
		vmd_stop
	else
		(qemu pc $G/vmlinuz $T/bench.cpio "$2" '' -netdev \
		    "tap,id=n,ifname=tap9,script=no,downscript=no,vhost=$vhost" \
		    -device virtio-net-pci,netdev=n) </dev/null |
		    timeout 200 cat || true
	fi
}

net() { # [SECONDS-PER-JOB]
	local system seconds=${1:-3}
	[[ -s extra.cpio && -x netio ]] || {
		echo "# no netio: network figures left out"
		return
	}
	cat $G/tiny.cpio extra.cpio >$T/bench.cpio
	modprobe -a tun vhost_net
	[[ -c /dev/net/tun ]] || {
		mkdir -p /dev/net
		mknod /dev/net/tun c 10 200
	}
	[[ -c /dev/vhost-net ]] || mknod /dev/vhost-net c 10 238
	ip tuntap add tap9 mode tap vnet_hdr
	ip addr add 10.90.0.1/24 dev tap9
	ip link set tap9 up
	./netio -s >/dev/null &
	netio_pid=$!
	for system in vhost-off vhost-on vmm; do
		[[ $system != vmm ]] || have_vmm || continue
		net_guest $system "$base tiny=run,netio,-a,10.90.0.2,-t,$seconds,10.90.0.1,$jobs_of_net" \
		    >$T/net.out
		tr -d '\r' <$T/net.out | sed -n "s/^result \([^ ]*\) /\1 $system /p"
		grep -q "netio end" $T/net.out || sed 's/^/# /' $T/net.out
	done
}

# The process that has a vCPU.
vm_process() {
	local fd
	for fd in /proc/[0-9]*/fd/*; do
		case $(readlink "$fd") in
		anon_inode:kvm-vcpu:* | anon_inode:vmm-vcpu)
			fd=${fd#/proc/}
			echo "${fd%%/*}"
			return
			;;
		esac
	done
	return 1
}

# What the driver has counted when Debian asks who logs in, lines "NAME N".
count() {
	local fd tty words
	vmd_start $G/vmlinuz $G/initrd "$base root=/dev/vda rw" $G/debian.raw
	vmctl start one 2>$T/start.out
	tty=$(<$T/start.out)
	exec {fd}<"${tty##*tty }"
	# The prompt is no line.
	while IFS= read -r -d : -u "$fd" words && [[ $words != *login ]]; do :; done
	[[ $words = *login ]]
	./kvmstats "$(vm_process)"
	exec {fd}<&-
	vmctl stop -fw one >/dev/null 2>&1 || true
	vmd_stop
}

case ${1:-} in
boot | memory | disk | net | count) "$@" ;;
*) exit 2 ;;
esac
