# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# OVMF boots GRUB, and by it Linux, from a GPT disk; its variables are in a
# file.
limit=500 # s
uefi=/usr/share/OVMF/OVMF_CODE_4M.fd
template=/usr/share/OVMF/OVMF_VARS_4M.fd

# A disk with GRUB for UEFI, and a file system with what it boots.
boot_disks() { # INITRD CMDLINE
	[[ -f efi.img ]] || skip "no disk with GRUB for UEFI"
	[[ -f $uefi ]] || skip "no UEFI firmware"
	cp efi.img "$T/efi.img"
	mkdir "$T/boot"
	cp "$G/vmlinuz" "$T/boot/vmlinuz"
	cp "$1" "$T/boot/initrd"
	printf 'echo "GRUB is here"\nlinux /vmlinuz %s\ninitrd /initrd\nboot\n' \
	    "$2" >"$T/boot/grub.cfg"
	mke2fs -q -t ext2 -L guest -d "$T/boot" "$T/boot.img" 64M
	disks=("disk \"$T/efi.img\"" "disk \"$T/boot.img\"")
}

# Without a word about firmware.
t_grub() {
	boot_disks "$G/tiny.cpio" "$base tiny=info"
	vm one 'memory 256M' 'cpus 2' "efivars \"$T/vars\"" "${disks[@]}" |
	    vmd_up
	mark
	run_tiny one 150
	printed one "GRUB is here"
	[[ $(value one cpus) = 2 ]]
	[[ $(value one clock) = kvm-clock ]]
	readers_off
	clean 5
}

# What a guest says to the firmware is still there after a power-off; and
# without a file it is not.
t_variables() {
	[[ -f shell.img ]] || skip "no disk for the shell of UEFI"
	[[ -f $uefi ]] || skip "no UEFI firmware"
	cp shell.img "$T/shell.img"
	{
		vm one 'memory 128M' "efivars \"$T/vars\"" \
		    "disk \"$T/shell.img\""
		vm two 'memory 128M' "boot \"$uefi\"" "disk \"$T/shell.img\""
	} | vmd_up
	start one
	prints one "It is new" 150
	stopped one 10
	[[ $(stat -c '%a %u %s' "$T/vars") = "600 0 $(stat -c %s "$template")" ]]
	not cmp -s "$T/vars" "$template"
	start one
	prints one "It was kept" 150
	stopped one 10
	start two
	prints two "It is new" 150
	stopped two 10
	: >"$T/two.console"
	start two
	prints two "It is new" 150
	stopped two 10
}

# What vmd says of the machine, in a place that the firmware has chosen.
t_smbios() {
	boot_disks "$G/tiny.cpio" "$base tiny=shell"
	vm one 'memory 256M' "efivars \"$T/vars\"" "${disks[@]}" | vmd_up
	start one
	prints one "tiny: shell" 150
	smbios one
	vmctl stop -fw one
}

t_refusals() {
	local bios=/usr/share/seabios/bios-256k.bin
	truncate -s 1M "$T/disk" "$T/disk2"
	truncate -s 1000 "$T/odd"
	truncate -s 528K "$T/empty"
	{
		vm odd "efivars \"$T/odd\"" "disk \"$T/disk\""
		vm empty "efivars \"$T/empty\"" "disk \"$T/disk\""
		vm bios "boot \"$bios\"" "efivars \"$T/empty\"" \
		    "disk \"$T/disk\""
		vm none "boot \"$bios\"" "efivars \"$T/none\"" \
		    "disk \"$T/disk\""
		vm nodisk "efivars \"$T/vars\""
		vm one 'memory 128M' "efivars \"$T/vars\"" "disk \"$T/disk\""
		vm two 'memory 128M' "efivars \"$T/vars\"" \
		    "disk \"$T/disk2\""
	} | vmd_up
	refused vmctl start odd
	says "efivars $T/odd: not as long as flash for variables"
	refused vmctl start empty
	says "efivars $T/empty: no store of UEFI variables"
	refused vmctl start bios
	says "efivars $T/empty: what is booted is no UEFI firmware"
	refused vmctl start none
	says "efivars $T/none: No such file or directory, and no template for"
	refused vmctl start nodisk
	says "no kernel given, and no disk to boot from"
	[[ ! -e $T/none && ! -e $T/vars ]]
	start one
	refused vmctl start two
	says "efivars $T/vars: locked by another process"
	vmctl stop -fw one
	start two
	vmctl stop -fw two
}

# At its shell, over a saved state: the variables are in there, and in the file.
t_saved() {
	[[ -f shell.img ]] || skip "no disk for the shell of UEFI"
	[[ -f $uefi ]] || skip "no UEFI firmware"
	local sum
	truncate -s 1M "$T/disk"
	vm one 'memory 128M' "efivars \"$T/vars\"" "disk \"$T/disk\"" | vmd_up
	start one
	prints one "Shell>" 200
	key one $'setvar kept -guid 11111111-2222-3333-4444-555555555555 -nv =L"saved with it"\r'
	sleep 5
	sum=$(sha256sum <"$T/vars")
	vmctl save one "$T/state"
	in_state one stopped
	# Somebody forgets them meanwhile.
	cp /usr/share/OVMF/OVMF_VARS_4M.fd "$T/fresh"
	cat "$T/fresh" >"$T/vars"
	vmctl restore "$T/state"
	in_state one running
	record one "$(field one tty)"
	key one $'dmpstore kept\r'
	prints one "kept" 60
	within 20 eval '[[ $(sha256sum <"$T/vars") = "'"$sum"'" ]]'
	vmctl stop -fw one
}

t_debian_login() {
	boot_disks "$G/initrd" "$base root=LABEL=debian rw"
	vm deb 'memory 512M' 'cpus 2' "efivars \"$T/vars\"" "${disks[@]}" \
	    "disk \"$G/debian.raw\"" | vmd_up
	vmctl start deb
	expect -f debian.exp deb \
	    'ls -d /sys/firmware/efi/efivars' /sys/firmware/efi/efivars
	vmctl stop deb
	stopped deb 180
}
