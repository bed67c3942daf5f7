# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# QEMU as a client of the hypervisor, with SeaBIOS, and interrupt controllers of
# the hypervisor's, its default, or split ones: the lab's own, and the newer one
# of backports where it is in the payload.  Debian's 32-bit kernels, under it and
# under vmd.
limit=700

# QEMU 7.2 knows no other name than /dev/kvm.
accel() {
	local device=/dev/kvm
	[[ ! -c /dev/vmm ]] || device=/dev/vmm
	if [[ ${qemu[0]} = qemu-system-x86_64 ]]; then
		[[ -e /dev/kvm ]] || ln -s "$device" /dev/kvm
		echo kvm
	else
		echo "kvm,device=$device"
	fi
}

qemu=(qemu-system-x86_64)
newer() {
	local d=$PWD/../qemu10/usr
	[[ -d $d ]] || skip "no newer QEMU in the payload"
	qemu=("$d/bin/qemu-system-x86_64" -L "$d/share/qemu" \
	    -L /usr/share/seabios)
}

qemu_pid=''
irqchip="split"
# machine ARGUMENT...: its serial port is the socket $T/serial, its monitor
# $T/monitor.
machine() {
	"${qemu[@]}" --version | sed -n 's/^/# /;1p'
	"${qemu[@]}" -accel "$(accel)" -M "pc,kernel-irqchip=$irqchip" -cpu host \
	    -smp "$smp" -nodefaults -display none -no-reboot \
	    -monitor "unix:$T/monitor,server=on,wait=off" "$@" \
	    >"$T/qemu.log" 2>&1 &
	qemu_pid=$!
}

# ended SECONDS: by itself, without an error.
ended() {
	within "$1" eval "! kill -0 $qemu_pid 2>/dev/null" || {
		kill -9 "$qemu_pid"
		fail "QEMU still runs after $1 s"
	}
	wait "$qemu_pid" || fail "QEMU: status $?: $(cat "$T/qemu.log")"
	[[ ! -s $T/qemu.log ]] || fail "QEMU says: $(cat "$T/qemu.log")"
}

# The power button at the end, whose interrupt is a pin of QEMU's IOAPIC.
login() {
	machine -m 512 -serial "unix:$T/serial,server=on,wait=off" \
	    -drive "file=$G/debian.raw,format=raw,if=virtio,snapshot=on" \
	    -kernel "$G/vmlinuz" -initrd "$G/initrd" \
	    -append "$base root=/dev/vda rw"
	within 30 test -S "$T/serial"
	DEB_CONSOLE="socat -,rawer,escape=0x7e UNIX-CONNECT:$T/serial" \
	    expect -f debian.exp deb \
	    'echo "cpus: $(nproc)"; systemd-detect-virt; ! dmesg | grep -i "ACPI.*error"' \
	    "cpus: $smp"
	echo system_powerdown | socat - "UNIX-CONNECT:$T/monitor"
	ended 120
}

t_qemu_login() { login; }
t_newer_qemu_login() {
	newer
	login
}

# The 8254, 8259s and IOAPIC of the hypervisor.
t_qemu_irqchip() {
	irqchip=on
	login
}
t_newer_qemu_irqchip() {
	irqchip=on
	newer
	login
}

i386() { # FLAVOUR
	[[ -e $G/vmlinuz-$1 ]] || skip "no 32-bit kernel here"
	# QEMU's emulated processor aborts on the busy TSS that KVM gives back
	# to a client that stores registers.
	[[ -c /dev/vmm ]] || skip "on our driver only"
}

qemu_i386() { # FLAVOUR
	i386 "$1"
	truncate -s 8M "$T/disk"
	machine -m 256 -serial "file:$T/q.console" \
	    -drive "file=$T/disk,format=raw,if=virtio" \
	    -kernel "$G/vmlinuz-$1" -initrd "$G/tiny-$1.cpio" \
	    -append "$base tiny=write,4"
	prints q "tiny: end" 200
	ended 20
	[[ $(value q cpus) = "$smp" ]]
	[[ $(value q sum) = "$(stream 4 | md5sum)" ]]
}

t_qemu_686() { qemu_i386 686; }
t_qemu_686_pae() { qemu_i386 686-pae; }

vmd_i386() { # FLAVOUR
	i386 "$1"
	truncate -s 8M "$T/disk"
	vm one "boot \"$G/vmlinuz-$1\"" "initrd \"$G/tiny-$1.cpio\"" \
	    "cmdline \"$base tiny=write,4\"" "disk \"$T/disk\"" "cpus $smp" \
	    'memory 256M' | vmd_up
	run_tiny one 200
	[[ $(value one cpus) = "$smp" ]]
	[[ $(value one sum) = "$(stream 4 | md5sum)" ]]
}

t_vmd_686() { vmd_i386 686; }
t_vmd_686_pae() { vmd_i386 686-pae; }
