#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: inside.sh boot MACHINE ... | memory | disk SECONDS ROUNDS |
#		net SECONDS ROUNDS | count | firmware | paging | migrate ROUNDS |
#		restore ROUNDS | status NUMBER ...
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
bios=/usr/share/seabios/bios-256k.bin
vmd_pid=''
qemu_pid=''
netio_pid=''
away_pid=''
mkdir -p $T/shm
mountpoint -q $T/shm || mount -t tmpfs -o size=600M tmpfs $T/shm

# shellcheck disable=SC2317 # reached by the trap
finish() {
	[[ -z $qemu_pid ]] || kill -9 "$qemu_pid" 2>/dev/null || true
	[[ -z $netio_pid ]] || kill "$netio_pid" 2>/dev/null || true
	[[ -z $away_pid ]] || kill -TERM "$away_pid" 2>/dev/null || true
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
	until vmctl status >/dev/null 2>&1; do
		kill -0 "$vmd_pid" || {
			sed 's/^/# /' $T/vmd.log
			return 1
		}
		sleep 0.2
	done
}

# What the guest of "one" says until it ends, or so many seconds have passed.
vmm_console() { # SECONDS
	local tty
	if vmctl start one 2>$T/start.out; then
		tty=$(<$T/start.out)
		timeout "$1" cat "${tty##*tty }" 2>/dev/null || true
	else
		sed 's/^/# /' $T/start.out $T/vmd.log
	fi
}

vmd_stop() {
	[[ -n $vmd_pid ]] || return 0
	kill -TERM "$vmd_pid" 2>/dev/null || true
	wait "$vmd_pid" || true
	vmd_pid=''
}

# A control group for QEMU as vmd makes one for each VM, and a service manager
# for whatever it runs: a switch between processes costs more in deep ones.
group=/sys/fs/cgroup/qemu
make_group() {
	mkdir -p $group
	echo "+cpu +memory +io" >${group%/*}/cgroup.subtree_control
	echo "+cpu +memory +io" >$group/cgroup.subtree_control
	mkdir -p $group/vm-one
}

# Becomes QEMU: in a process of its own.
qemu() { # MACHINE KERNEL INITRD CMDLINE DISK OPTION...
	local machine=$1 kernel=$2 initrd=$3 cmdline=$4 disk=$5 dev=virtio-blk-pci
	shift 5
	[[ $machine != microvm ]] || dev=virtio-blk-device
	[[ -z $disk ]] || set -- "$@" \
	    -drive "if=none,id=d,format=${format:-raw},file=$disk,aio=${aio:-io_uring}" \
	    -device "$dev,drive=d"
	echo "$BASHPID" >$group/vm-one/cgroup.procs
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

# What the guest's guestio does, in one run.
jobs_of_disk=randread:1,randread:32,randwrite:1,randwrite:32,read:4,write:4,fsync

# Milliseconds that the CPUs worked, and not for a guest.
host_ms() {
	local _ user nice system irq softirq guest
	read -r _ user nice system _ _ irq softirq _ guest _ </proc/stat
	echo $(((user + nice + system + irq + softirq - guest) * 10))
}

# Console lines of guestio to lines "figure system value".
disk_figures() { # FORMAT SYSTEM
	local word job rate n ms=0 ended=''
	# Each line as it comes, as it says when to look: no filter that keeps
	# them.
	while read -r word job rate n; do
		job=${job%$'\r'} n=${n%$'\r'}
		case $word in
		begin) ms=$(host_ms) ;;
		result)
			ms=$(($(host_ms) - ms))
			echo "$1-$job $2 $rate"
			[[ $job = read-* || $job = write-* || ! $n -gt 0 ]] ||
				echo "host-$1-$job $2 $((ms * 1000000 / n))"
			;;
		guestio) ended=y ;;
		'#') echo "# $job $rate $n" ;;
		esac
	done
	[[ -n $ended ]] ||
		echo "# $1 $2: the guest did not come to its end"
}

disk_guest() { # FORMAT SYSTEM CMDLINE
	local disk=$T/shm/disk.$1
	if [[ $2 = vmm ]]; then
		! vmd_start $G/vmlinuz $T/bench.cpio "$3" "$disk" ||
			vmm_console 300
		vmd_stop
	else
		(aio=io_uring format=$1
		[[ $2 != pc-threads ]] || aio=threads
		qemu "${2%-threads}" $G/vmlinuz $T/bench.cpio "$3" "$disk") \
		    </dev/null | timeout 300 cat || true
	fi
}

disk() { # SECONDS-PER-JOB ROUNDS
	local i format system formats=raw systems="pc pc-threads microvm vmm"
	[[ -s extra.cpio ]] || {
		echo "# no guestio: disk figures left out"
		return
	}
	# See run.sh.
	[[ $(nproc) -gt 1 ]] || systems="pc pc-threads vmm"
	cat $G/tiny.cpio extra.cpio >$T/bench.cpio
	dd if=/dev/urandom of=$T/shm/disk.raw bs=1M count=256 status=none
	# Without a build of ours there is nothing that makes the other.
	if have_vmm; then
		rm -f $T/shm/disk.qcow2
		vmctl create -i $T/shm/disk.raw $T/shm/disk.qcow2 >/dev/null
		formats="raw qcow2"
	fi
	for ((i = 0; i < $2; i++)); do
		for format in $formats; do
			for system in $systems; do
				[[ $system != vmm ]] || have_vmm || continue
				disk_guest "$format" "$system" \
				    "$base tiny=run,guestio,-t,$1,/dev/vda,$jobs_of_disk" |
				    disk_figures "$format" "$system"
			done
		done
	done
}

# What the guest's netio does, in one run; the host serves.
jobs_of_net=out:1,out:4,in:1,in:4,packets-out,packets-in,rtt
# QEMU's guest has no balloon, so ours gets no driver for its own: that would give
# memory back to the host that netio has touched.
no_balloon=module_blacklist=virtio_balloon

net_guest() { # SYSTEM CMDLINE: its output
	local vhost=${1#vhost-}
	if [[ $1 = vmm ]]; then
		! vmd_start $G/vmlinuz $T/bench.cpio "$2" '' tap9 ||
			vmm_console 200
		vmd_stop
	else
		(qemu pc $G/vmlinuz $T/bench.cpio "$2" '' -netdev \
		    "tap,id=n,ifname=tap9,script=no,downscript=no,vhost=$vhost" \
		    -device virtio-net-pci,netdev=n) </dev/null |
		    timeout 200 cat || true
	fi
}

net() { # SECONDS-PER-JOB ROUNDS
	local i system
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
	for ((i = 0; i < $2; i++)); do
		for system in vhost-off vhost-on vmm; do
			[[ $system != vmm ]] || have_vmm || continue
			net_guest $system "$base $no_balloon tiny=run,netio,-m,-a,10.90.0.2,-t,$1,10.90.0.1,$jobs_of_net" \
			    >$T/net.out
			tr -d '\r' <$T/net.out |
			    sed -n "s/^result \([^ ]*\) /\1 $system /p"
			grep -q "netio end" $T/net.out ||
				sed 's/^/# /' $T/net.out
		done
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

# GRUB's disk, and a file system with what it boots.
boot_disk() {
	mkdir -p $T/files
	cp $G/vmlinuz $G/initrd $T/files/
	printf 'echo "GRUB is here"\nlinux /vmlinuz %s\ninitrd /initrd\nboot\n' \
	    "$base root=LABEL=debian rw" >$T/files/grub.cfg
	mke2fs -q -t ext2 -L guest -d $T/files $T/shm/boot.img 64M >/dev/null
	cp grub.img $T/shm/grub.img
	rm -r $T/files
}

firmware_qemu() {
	local disk i=0
	set --
	for disk in grub.img boot.img debian.raw; do
		set -- "$@" -drive \
		    "if=none,id=d$i,format=raw,file=$T/shm/$disk,aio=io_uring" \
		    -device "virtio-blk-pci,drive=d$i,bootindex=$i"
		i=$((i + 1))
	done
	echo "$BASHPID" >$group/vm-one/cgroup.procs
	exec qemu-system-x86_64 -M pc,graphics=off -accel kvm -cpu host \
	    -m "$mem" -smp 1 -nodefaults -no-reboot -display none \
	    -serial stdio -bios "$bios" "$@"
}

# Its console is named on the way that QEMU's takes.
firmware_vmm() { exec vmctl start one 2>&1; }

# firmware_boot SYSTEM TEXT ...: lines of share.
firmware_boot() {
	local system=$1 share named=()
	shift
	[[ $system = qemu ]] || named=(-t)
	rm -f $T/out $T/share
	mkfifo $T/out
	if [[ $# = 1 ]]; then # for GRUB any disk will do
		truncate -s 1M $T/shm/debian.raw
	else
		cp --sparse=always $G/debian.raw $T/shm/debian.raw
	fi
	# What the one before has left to the kernel is over by then.
	sync
	sleep 3
	exec 8<>$T/out
	./share "${named[@]}" "$@" <$T/out >$T/share 8<&- &
	share=$!
	until [[ -s $T/share ]]; do
		kill -0 "$share" || return 1
		sleep 0.1
	done
	"firmware_$system" >$T/out </dev/null 8<&- &
	qemu_pid=$!
	wait "$share" || return 1
	[[ $# = 1 ]] || ./kvmstats "$(vm_process)" >$T/stats
	kill -9 "$qemu_pid" 2>/dev/null || true
	wait "$qemu_pid" 2>/dev/null || true
	[[ $system = qemu ]] || vmctl stop -fw one >/dev/null 2>&1 || true
	qemu_pid=''
	exec 8<&-
	rm $T/shm/debian.raw
}

# By SeaBIOS to GRUB and to login, lines "figure system value": on KVM, whose
# tracepoints tell the guest's own part.
firmware() {
	local system at busy own exits mem=512
	mount -o remount,size=1200M $T/shm
	boot_disk
	# Nobody waits for a guest that halts: that would be work for nothing.
	echo 0 >/sys/module/kvm/parameters/halt_poll_ns
	if have_vmm; then
		{
			printf 'vm "one" {\n\tdisable\n\tmemory %sM\n' $mem
			printf '\tboot "%s"\n' $bios
			printf '\tdisk "%s"\n' \
			    $T/shm/{grub.img,boot.img,debian.raw}
			printf '}\n'
		} >$T/vm.conf
		vmd -d -f $T/vm.conf 2>$T/vmd.log >&2 &
		vmd_pid=$!
		until vmctl status >/dev/null 2>&1; do sleep 0.2; done
	fi
	for system in qemu vmm; do
		[[ $system != vmm ]] || have_vmm || continue
		# Once before, so that the programs are in memory.
		firmware_boot $system "GRUB is here"
		firmware_boot $system "GRUB is here" "login:"
		at=grub
		while read -r busy own exits _; do
			printf '%s %s %s\n' exits-$at $system "$exits" \
			    own-$at $system "$own" \
			    added-$at $system $((busy - own))
			at=login
		done < <(sed -n 's/^\(GRUB is here\|login:\) //p' $T/share)
		sed -n "s/^\([a-z_]*_exits\) /login-\1 $system /p" $T/stats
	done
	vmd_stop
}

# What guestproc finds in a guest of ours, whose clock is the host's, and a boot.
paging() {
	local tty
	have_vmm && [[ -s extra.cpio ]] || return 0
	cat $G/tiny.cpio extra.cpio >$T/bench.cpio
	vmd_start $G/vmlinuz $T/bench.cpio "$base tiny=run,guestproc"
	vmctl start one 2>$T/start.out
	tty=$(<$T/start.out)
	{ timeout 300 cat "${tty##*tty }" 2>/dev/null || true; } | tr -d '\r' |
	    tee $T/paging.out | sed -n 's/^result //p'
	grep -q "guestproc end" $T/paging.out || sed 's/^/# /' $T/paging.out
	vmd_stop
	vmd_start $G/vmlinuz $G/tiny.cpio "$base tiny=bench"
	least boot vmm boot_vmm | awk '{ print $1, $3 * 1000 }'
	vmd_stop
}

# A guest of 128 MiB that has 32 MiB of data, and writes 1 MiB of it anew every
# 100 ms, goes from one process to another, on this host: by a TCP connection,
# ours in TLS.
busy='dd if=/dev/urandom of=/data bs=1M count=32 2>/dev/null; while :; do dd if=/data of=/again bs=64k count=16 conv=notrunc 2>/dev/null; usleep 100000; [ -f /on ] || { touch /on; echo tiny: busy; }; done'

qemu_side() { # MONITOR OPTION...: QEMU, its console on our stdout and stdin
	local monitor=$1
	shift
	qemu pc $G/vmlinuz $G/tiny.cpio "$base tiny=shell" '' \
	    -monitor "unix:$monitor,server=on,wait=off" "$@"
}

monitor() { # SOCKET COMMAND: its answer
	{ echo "$2"; sleep 0.1; } | socat -t 600 - "UNIX:$1" | tr -d '\r'
}

# A CA, and what both sides of a migration have of it.
certificates() {
	[[ ! -d $T/ca ]] || return 0
	{
		vmd-cert ca -d $T/ca
		vmd-cert host -d $T/ca localhost 127.0.0.1
		vmd-cert user -d $T/ca root
	} >&2
	mkdir -p $T/home/.config/vmctl
	cp $T/ca/ca.pem $T/home/.config/vmctl/ca.pem
	cp $T/ca/root.pem $T/home/.config/vmctl/cert.pem
	cp $T/ca/root.key $T/home/.config/vmctl/key.pem
	cp $T/ca/ca.pem $T/ca/ca-cert.pem
	cp $T/ca/root.pem $T/ca/client-cert.pem
	cp $T/ca/root.key $T/ca/client-key.pem
	cp $T/ca/localhost.pem $T/ca/server-cert.pem
	cp $T/ca/localhost.key $T/ca/server-key.pem
}

migrate_qemu() { # SYSTEM
	local away fd t0 t1 tls=(-object "tls-creds-x509,id=tls,dir=$T/ca,endpoint")
	[[ $1 = pc-tls ]] || tls=()
	mkfifo $T/out $T/in
	qemu_side $T/mon ${tls:+"${tls[@]}=client"} <>$T/in >$T/out &
	qemu_pid=$!
	exec {fd}<$T/out
	until_line "$fd" "tiny: shell"
	echo "$busy" >$T/in
	until_line "$fd" "tiny: busy"
	qemu_side $T/away.mon ${tls:+"${tls[@]}=server"} -incoming defer \
	    </dev/null >/dev/null &
	away=$!
	until [[ -S $T/away.mon ]]; do sleep 0.2; done
	[[ -z ${tls:-} ]] || {
		monitor $T/away.mon "migrate_set_parameter tls-creds tls"
		monitor $T/mon "migrate_set_parameter tls-creds tls"
		monitor $T/mon "migrate_set_parameter tls-hostname localhost"
	} >/dev/null
	monitor $T/away.mon "migrate_incoming tcp:127.0.0.1:4444" >/dev/null
	until [[ -n $(ss -Hltn 'sport = 4444') ]]; do sleep 0.2; done
	monitor $T/mon "migrate_set_parameter max-bandwidth 100G" >/dev/null
	sleep 1
	t0=$(now)
	monitor $T/mon "migrate tcp:127.0.0.1:4444" >/dev/null
	monitor $T/mon "info migrate" >$T/migrate.out
	grep -q "^Migration status: completed" $T/migrate.out
	t1=$(now)
	sed -n "s/^total time: \([0-9]*\) ms.*/migrate-total $1 \1/p
	    s/^downtime: \([0-9]*\) ms.*/migrate-downtime $1 \1/p" $T/migrate.out
	echo "migrate-command $1 $(((t1 - t0) / 1000))"
	kill -9 "$qemu_pid" "$away"
	wait "$qemu_pid" "$away" 2>/dev/null || true
	qemu_pid=''
	exec {fd}<&-
	rm $T/out $T/in $T/mon $T/away.mon
}

migrate_vmm() {
	local fd tty t0 t1
	vmd_start $G/vmlinuz $G/tiny.cpio "$base tiny=shell"
	{
		cat $T/vm.conf
		printf 'listen on 127.0.0.1 tls {\n\tca "%s"\n' $T/ca/ca.pem
		printf '\tcertificate "%s"\n\tkey "%s"\n}\n' \
		    $T/ca/localhost.pem $T/ca/localhost.key
		echo 'allow client "/CN=root" as root'
	} >$T/away.conf
	vmd -d -f $T/away.conf -s $T/away.sock 2>$T/away.log >&2 &
	away_pid=$!
	until vmctl -s $T/away.sock status >/dev/null 2>&1; do sleep 0.2; done
	vmctl start one 2>$T/start.out
	tty=$(<$T/start.out)
	exec {fd}<>"${tty##*tty }"
	until_line "$fd" "tiny: shell"
	echo "$busy" >&"$fd"
	until_line "$fd" "tiny: busy"
	sleep 1
	t0=$(now)
	HOME=$T/home vmctl send one localhost >$T/send.out 2>&1 ||
	    sed 's/^/# /' $T/send.out
	t1=$(now)
	echo "migrate-total vmm $(((t1 - t0) / 1000))"
	sed -n 's/.*stood still for \([0-9]*\) ms.*/migrate-downtime vmm \1/p' \
	    $T/send.out
	exec {fd}<&-
	kill -TERM "$away_pid"
	wait "$away_pid" || true
	away_pid=''
	vmd_stop
}

migrate() { # ROUNDS
	local i mem=128
	! have_vmm || certificates
	for ((i = 0; i < $1; i++)); do
		migrate_qemu pc
		have_vmm || continue
		migrate_qemu pc-tls
		migrate_vmm
	done
}

ask_status() { # microseconds
	local t0
	t0=$(now)
	vmctl status >$T/list
	echo $(($(now) - t0))
}

# NUMBER ...: of VMs that vm.conf defines.
status() {
	local n i
	have_vmm || return 0
	for n in "$@"; do
		for ((i = 0; i < n; i++)); do
			printf 'vm "v%s" {\n\tdisable\n\tboot "%s"\n}\n' \
			    "$i" $G/vmlinuz
		done >$T/vm.conf
		vmd -d -f $T/vm.conf 2>$T/vmd.log >&2 &
		vmd_pid=$!
		until vmctl status >/dev/null 2>&1; do sleep 0.2; done
		least "$n" vmm ask_status
		[[ $(wc -l <$T/list) = $((n + 1)) ]]
		vmd_stop
	done
}

# Until the guest has files in its memory, and is at its prompt.
fill() { # FD-IN FD-OUT
	until_line "$2" "tiny: shell"
	echo 'dd if=/dev/urandom of=/data bs=1M count=48 2>/dev/null; echo tiny: "read"y' >&"$1"
	until_line "$2" "tiny: ready"
}

qemu_console() { # OPTION...
	qemu pc $G/vmlinuz $G/tiny.cpio "$base tiny=shell" '' "$@" \
	    <>$T/in >$T/out &
	qemu_pid=$!
}

restore_qemu() {
	local in out t0 t1
	rm -f $T/in $T/out $T/shm/qemu.state
	mkfifo $T/in $T/out
	exec {in}<>$T/in {out}<>$T/out
	qemu_console -monitor "unix:$T/mon,server=on,wait=off"
	fill "$in" "$out"
	t0=$(now)
	# It ends by what it is told last; so does the connection.
	printf '%s\n' "migrate_set_parameter max-bandwidth 100G" \
	    "migrate \"exec:cat >$T/shm/qemu.state\"" quit |
	    socat -t 300 - "unix-connect:$T/mon" >/dev/null
	wait "$qemu_pid" 2>/dev/null || true
	t1=$(now)
	echo "${unit}save pc $((t1 - t0))"
	t0=$(now)
	qemu_console -incoming "exec:cat $T/shm/qemu.state"
	echo 'echo tiny: on' >&"$in"
	until_line "$out" "tiny: on"
	t1=$(now)
	echo "${unit}restore pc $((t1 - t0))"
	kill -9 "$qemu_pid"
	wait "$qemu_pid" 2>/dev/null || true
	qemu_pid=''
	exec {in}<&- {out}<&-
	rm $T/shm/qemu.state
}

restore_vmm() {
	local fd t0 t1 tty
	rm -f $T/shm/vmm.state
	vmctl start one 2>$T/start.out
	tty=$(<$T/start.out)
	exec {fd}<>"${tty##*tty }"
	fill "$fd" "$fd"
	t0=$(now)
	vmctl save one $T/shm/vmm.state >/dev/null 2>&1
	t1=$(now)
	echo "${unit}save vmm $((t1 - t0))"
	exec {fd}<&-
	go_on restore
	[[ -c /dev/userfaultfd ]] || return 0
	mv /dev/userfaultfd /dev/userfaultfd.not
	go_on at-once
	mv /dev/userfaultfd.not /dev/userfaultfd
}

go_on() { # FIGURE
	local fd t0 t1 t2 tty
	sleep 1 # what is left of the one before: its namespaces, its memory
	t0=${EPOCHREALTIME/./} # a process less than by now()
	vmctl restore $T/shm/vmm.state 2>$T/start.out
	t1=${EPOCHREALTIME/./}
	tty=$(<$T/start.out)
	exec {fd}<>"${tty##*tty }"
	echo 'echo tiny: on' >&"$fd"
	until_line "$fd" "tiny: on"
	t2=$(now)
	echo "${unit}$1 vmm $((t2 - t0))"
	echo "${unit}$1-command vmm $((t1 - t0))"
	exec {fd}<&-
	vmctl stop -fw one >/dev/null 2>&1 || true
}

# The first round warms the page cache.
restore() { # ROUNDS
	local i mem=128 unit=first-
	! have_vmm || vmd_start $G/vmlinuz $G/tiny.cpio "$base tiny=shell"
	for ((i = 0; i <= $1; i++)); do
		[[ ! -c /dev/kvm ]] || restore_qemu
		! have_vmm || restore_vmm
		unit=instructions-
	done | grep -v '^first-'
	vmd_stop
}

make_group
case ${1:-} in
boot | memory | disk | net | count | firmware | paging | migrate | restore | status)
	"$@" ;;
*) exit 2 ;;
esac
