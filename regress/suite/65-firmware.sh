# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# SeaBIOS boots disks: GRUB, and by it Linux, to power-off.
limit=240
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
	vm one 'memory 256M' 'cpus 2' "${disks[@]}" | vmd_up
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
