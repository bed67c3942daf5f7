# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Debian's kernels, 64-bit and 32-bit with PAE and without, by every way to start
# them: directly, by SeaBIOS and GRUB from a disk and from an ISO of
# grub-mkrescue's, by OVMF and GRUB from a GPT disk.  Each reboots from inside, is
# started again the same way, and powers off by ACPI.
limit=500

# That kernel and the guest that has its modules; "" is the 64-bit one.
flavour() { # [-686 | -686-pae]
	kernel=$G/vmlinuz$1 initrd=$G/tiny$1.cpio
	[[ -f $kernel ]] || skip "no 32-bit kernel"
	case $1 in
	-686) is="-686 i686" ;;
	-686-pae)
		# The lab's emulator sets the accessed bit of entries of the
		# page-directory-pointer table, where a processor has none.
		# KVM looks at them when CR4 is written, finds a reserved bit
		# and raises #GP, in QEMU's VMs as in ours.
		[[ -c /dev/vmm ]] ||
			skip "KVM cannot run it on this emulated processor"
		is="-686-pae i686"
		;;
	*) is="-amd64 x86_64" ;;
	esac
}

# What GRUB boots; DISK is the one that remembers.
grub_files() { # DISK
	mkdir "$T/boot"
	cp "$kernel" "$T/boot/vmlinuz"
	cp "$initrd" "$T/boot/initrd"
	printf 'echo "GRUB is here"\nlinux /vmlinuz %s\ninitrd /initrd\nboot\n' \
	    "$base tiny=reboot,$1" >"$T/boot/grub.cfg"
	printf 'set kernel=%s\nset tiny=reboot,%s\n' "${kernel#*vmlinuz}" "$1" \
	    >"$T/boot/iso.cfg"
	mke2fs -q -t ext2 -L guest -d "$T/boot" "$T/boot.img" 64M
}

twice() { # LINE...
	truncate -s 1M "$T/mark"
	vm one 'memory 256M' "cpus $smp" "$@" "disk \"$T/mark\"" | vmd_up
	start one
	prints one "tiny: first boot" 200
	prints one "tiny: second boot" 200
	stopped one 30
	[[ $(grep -ac "tiny: kernel .*$is" "$T/one.console") = 2 ]] ||
		fail "$(grep -a "tiny: kernel" "$T/one.console")"
	[[ $(restarts one) = 1 && $(field one problem) = null ]]
}

direct() { # FLAVOUR
	flavour "$1"
	twice "boot \"$kernel\"" "initrd \"$initrd\"" \
	    "cmdline \"$base tiny=reboot,vda\""
}

disk() { # FLAVOUR
	flavour "$1"
	[[ -f grub.img ]] || skip "no disk with GRUB"
	grub_files vdc
	cp grub.img "$T/grub.img"
	twice "disk \"$T/grub.img\"" "disk \"$T/boot.img\""
	printed_times 2 one "GRUB is here"
}

iso() { # FLAVOUR
	flavour "$1"
	[[ -f grub.iso ]] || skip "no CD-ROM with GRUB"
	grub_files vdb
	# A disk that is not to be booted is none for SeaBIOS, nor for GRUB.
	twice "cdrom \"$PWD/grub.iso\"" \
	    "disk \"$T/boot.img\""
	printed_times 2 one "Booting from DVD/CD"
}

efi() { # FLAVOUR
	flavour "$1"
	[[ -f efi.img ]] || skip "no disk with GRUB for UEFI"
	[[ -f /usr/share/OVMF/OVMF_CODE_4M.fd ]] || skip "no UEFI firmware"
	grub_files vdc
	cp efi.img "$T/efi.img"
	twice "efivars \"$T/vars\"" "disk \"$T/efi.img\"" \
	    "disk \"$T/boot.img\""
	printed_times 2 one "GRUB is here"
}

t_direct_amd64() { direct ''; }
t_direct_686_pae() { direct -686-pae; }
t_direct_686() { direct -686; }
t_disk_amd64() { disk ''; }
t_disk_686_pae() { disk -686-pae; }
t_disk_686() { disk -686; }
t_iso_amd64() { iso ''; }
t_iso_686_pae() { iso -686-pae; }
t_iso_686() { iso -686; }
t_efi_amd64() { efi ''; }
t_efi_686_pae() { efi -686-pae; }
t_efi_686() { efi -686; }
