# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# SeaBIOS boots disks and CD-ROMs: GRUB, and by it Linux, to power-off and to
# login.
limit='300+120*CYCLES' # s
bios=/usr/share/seabios/bios-256k.bin

# A disk with GRUB, and a file system with what it boots.
boot_disks() { # INITRD CMDLINE
	[[ -f grub.img ]] || skip "no disk with GRUB"
	[[ -f $bios ]] || skip "no firmware"
	cp grub.img "$T/grub.img"
	mkdir "$T/boot"
	cp "$G/vmlinuz" "$T/boot/vmlinuz"
	cp "$1" "$T/boot/initrd"
	printf 'echo "GRUB is here"\nlinux /vmlinuz %s\ninitrd /initrd\nboot\n' \
	    "$2" >"$T/boot/grub.cfg"
	mke2fs -q -t ext2 -L guest -d "$T/boot" "$T/boot.img" 64M
	disks=("disk \"$T/grub.img\"" "disk \"$T/boot.img\"")
}

# Without a word about what to boot.
t_disk_by_default() {
	boot_disks "$G/tiny.cpio" "$base tiny=info"
	vm one 'memory 256M' "cpus $smp" "${disks[@]}" | vmd_up
	mark
	run_tiny one 150
	printed one SeaBIOS
	printed one "Booting from Hard Disk"
	printed one "GRUB is here"
	[[ $(value one cpus) = 2 ]]
	[[ $(value one clock) = kvm-clock ]]
	grep -q "one: firmware: .*QEMU fw_cfg" "$T/vmd.log"
	readers_off
	clean 5
}

# Memory on both sides of the PCI hole, the file named, reboot from inside.
t_reboots_from_inside() {
	boot_disks "$G/tiny.cpio" "$base tiny=loop"
	vm one "boot \"$bios\"" 'memory 3584M' "${disks[@]}" | vmd_up
	start one
	within 250 printed_times 3 one "GRUB is here" ||
		fail "$(tail -n 5 "$T/one.console")"
	[[ $(grep -ac "Restarting system" "$T/one.console") -ge 2 ]]
	[[ $(field one restarts) -ge 2 ]]
	vmctl stop -fw one
}

t_power_button() {
	boot_disks "$G/tiny.cpio" "$base tiny=idle"
	vm one 'memory 256M' "${disks[@]}" | vmd_up
	start one
	prints one "tiny: idle" 150
	vmctl stop one
	prints one "power button" 30
	stopped one 20
}

# Nothing that boots: the firmware says so and waits.
t_empty_disk() {
	truncate -s 1M "$T/disk"
	vm one 'memory 64M' "disk \"$T/disk\"" | vmd_up
	start one
	prints one "No bootable device" 60
	vmctl stop -fw one
}

# What was said is booted, and a reset of the guest is its end.
t_boot_device() {
	[[ -f grub.iso ]] || skip "no CD-ROM with GRUB"
	boot_disks "$G/tiny.cpio" "$base tiny=loop"
	{
		vm cd 'memory 256M' "${disks[@]}" "cdrom \"$PWD/grub.iso\"" \
		    'boot device cdrom'
		vm disk 'memory 256M' "${disks[@]}" \
		    "cdrom \"$PWD/grub.iso\"" 'boot device disk'
		vm none 'memory 64M' "disk \"$T/boot.img\"" 'boot device disk'
	} | vmd_up
	start disk
	stopped disk 150
	printed disk "Booting from Hard Disk"
	[[ $(field disk restarts) = 0 && $(field disk problem) = null ]]
	run_tiny cd 200
	printed cd "Booting from DVD/CD"
	not printed cd "Booting from Hard Disk"
	# It has no boot loader, and there is nothing else.
	start none
	prints none "No bootable device" 60
	vmctl stop -fw none
	refused vmctl start -B cdrom -d "$T/boot.img" try
	grep -q "boot device cdrom: the vm has no cdrom" "$T/refused.err"
}

# As an installer's: the disk, which has no system, is tried first.
t_cdrom() {
	[[ -f grub.iso ]] || skip "no CD-ROM with GRUB"
	[[ -f $bios ]] || skip "no firmware"
	truncate -s 1M "$T/disk"
	vm one 'memory 256M' "disk \"$T/disk\"" "cdrom \"$PWD/grub.iso\"" |
	    vmd_up
	run_tiny one 200
	printed one "Booting from DVD/CD"
	printed one "GRUB is here"
	[[ $(value one clock) = kvm-clock ]]
}

# A floppy disk of 1440 KiB; the boot sector prints what the last one says.
floppy() { # FILE TEXT
	truncate -s 1440K "$1"
	{
		printf '\x31\xc0\x8e\xd8\x8e\xc0' # ds = es = 0
		printf '\xb8\x01\x02\xbb\x00\x7e' # read one to 0:7e00
		printf '\xb9\x12\x4f\xb6\x01\xcd\x13' # cylinder 79, 1, 18
		printf '\x72\x11\xbe\x00\x7e\xbb\x07\x00' # for all of it:
		printf '\xac\x84\xc0\x74\x06\xb4\x0e\xcd\x10\xeb\xf5'
		printf '\xf4\xeb\xfd' # the end
	} | dd of="$1" conv=notrunc status=none
	printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
	printf '%s' "$2" |
	    dd of="$1" bs=512 seek=2879 conv=notrunc status=none
}

# Before a disk with a system.
t_floppy() {
	boot_disks "$G/tiny.cpio" "$base tiny=info"
	floppy "$T/floppy" "The last sector is here"
	vm one 'memory 32M' "floppy \"$T/floppy\"" "${disks[@]}" | vmd_up
	start one
	prints one "Booting from Floppy" 100
	prints one "The last sector is here" 20
	not printed one "GRUB is here"
	vmctl stop -fw one
	truncate -s 1M "$T/floppy"
	refused vmctl start one
	says "floppy $T/floppy: not as long as a floppy disk"
	rm "$T/floppy"
	refused vmctl start one
	says "floppy $T/floppy: No such file or directory"
	vmd_down
	truncate -s 1440K "$T/floppy"
	atom one "floppy \"$T/floppy\"" | vmd_up
	refused vmctl start one
	says "floppy $T/floppy: what is booted is no firmware"
}

# types NAME TEXT: as a keyboard does.
types() { printf '%s\r' "$2" >"$(field "$1" tty)"; }

# A 32-bit system of the year 2000: first the BIOS's console, then its own.
openbsd_shell() {
	: >"$T/one.console"
	start one
	prints one "boot>" 100
	types one "set tty com0"
	prints one "switching console to com" 20
	# It goes on by itself after some seconds, or waits for the word.  SeaBIOS's
	# serial console empties the same UART in its timer (sercon.c,
	# sercon_check_event), so the loader may miss a byte of that.
	for _ in 1 2 3 4; do
		within 40 printed one "pccom0: console" && break
		types one "boot"
	done
	printed one "pccom0: console"
	prints one "\\(I\\)nstall, \\(U\\)pgrade or \\(S\\)hell" 100
	types one "s"
	prints one "^# " 20
	types one "ls /"
	prints one "(^| )sbin" 30
}

t_openbsd_floppy() {
	local i
	[[ -f openbsd-floppy.img ]] || skip "no floppy of OpenBSD 2.8 is given"
	vm one 'memory 64M' "floppy \"$PWD/openbsd-floppy.img\"" | vmd_up
	for ((i = 1; i <= ${CYCLES:-1}; i++)); do
		echo "boot $i"
		openbsd_shell
		vmctl stop -fw one
	done
}

# As it restarted PCs then.
t_openbsd_reboots() {
	[[ -f openbsd-floppy.img ]] || skip "no floppy of OpenBSD 2.8 is given"
	vm one 'memory 64M' "floppy \"$PWD/openbsd-floppy.img\"" | vmd_up
	openbsd_shell
	types one "reboot"
	within 60 printed_times 2 one "Booting from Floppy" ||
		fail "$(tail -n 5 "$T/one.console")"
	[[ $(field one restarts) = 1 ]]
	vmctl stop -fw one
}

t_debian_login() {
	boot_disks "$G/initrd" "$base root=LABEL=debian rw"
	vm deb 'memory 512M' "cpus $smp" "${disks[@]}" \
	    "disk \"$G/debian.raw\"" | vmd_up
	vmctl start deb
	expect -f debian.exp deb 'uname -a' Linux
	vmctl stop deb
	stopped deb 180
}

# What vmd says of the machine, in a place that the firmware has chosen.
t_smbios() {
	boot_disks "$G/tiny.cpio" "$base tiny=shell"
	vm one 'memory 256M' "${disks[@]}" | vmd_up
	start one
	prints one "tiny: shell" 150
	smbios one
	vmctl stop -fw one
}

t_refusals() {
	truncate -s 1M "$T/disk"
	vm one "boot \"$bios\"" "cmdline \"$base\"" "disk \"$T/disk\"" |
	    vmd_up
	refused vmctl start one
	says "firmware takes no initrd or cmdline"
	vmd_down
	vm one 'memory 64M' | vmd_up
	refused vmctl start one
	says "no kernel given, and no disk to boot from"
}
