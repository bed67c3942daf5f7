# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Kernels that are not Linux: guest/bsd.c, guest/mb.c and guest/mb2.c, which
# check what the loaders of OpenBSD's kernels and of multiboot kernels promise
# them.
limit=120

checks() { # KERNEL MEMORY FORMAT LINE...
	local kernel=$1 memory=$2 format=$3
	shift 3
	[[ -r ./$kernel ]] || fail "no $kernel (make build/regress/guest/$kernel)"
	rm -f "$T/one.console"
	vm one "boot \"$PWD/$kernel\"" "memory $memory" "$@" | vmd_up
	start one
	key one
	prints one ": (not )?ok" 30
	sed 's/^/# /' "$T/one.console"
	printed one ": $format"
	printed one ": ok"
	key one
	stopped one 20
	vmd_down
}

t_openbsd_64() { checks bsd64 64M ELF64; }
t_openbsd_32() { checks bsd32 64M ELF32; }
t_openbsd_around_the_pci_hole() { checks bsd64 3584M ELF64; }
t_openbsd_compressed() {
	checks bsd64.gz 128M ELF64
	checks bsd32.gz 128M ELF32
}

multiboot() { # KERNEL MEMORY
	local cmdline='cmdline "multiboot test"'
	{
		echo module
		head -c 4993 /dev/zero
	} >"$T/module"
	checks "$1" "$2" "a module" "$cmdline" "initrd \"$T/module\""
}

t_multiboot_elf() { multiboot mb 64M; }
t_multiboot_flat() { multiboot mbflat 3584M; }
t_multiboot2_elf() { multiboot mb2 3584M; }
t_multiboot2_flat() { multiboot mb2flat 64M; }

# Whose fault it is, and where; the daemon goes on.
t_refusals() {
	vm one "boot \"$PWD/bsd64\"" 'cmdline "-s"' >"$T/one.conf"
	head -c 3000 <./bsd64.gz >"$T/cut.gz"
	head -c 8192 <./bsd64 >"$T/cut"
	head -c 64M </dev/zero | gzip -1 >"$T/bomb.gz"
	# A multiboot2 header with one tag, which nobody knows.
	printf '\xd6\x50\x52\xe8\0\0\0\0\x20\0\0\0\x0a\xaf\xad\x17' >"$T/wants"
	printf '\x0b\0\0\0\x08\0\0\0\0\0\0\0\x08\0\0\0' >>"$T/wants"
	{
		cat "$T/one.conf"
		vm two "boot \"$T/cut.gz\""
		vm three "boot \"$T/cut\""
		vm four "boot \"$T/bomb.gz\"" 'memory 16M'
		vm five "boot \"$T/wants\""
	} | vmd_up
	refused vmctl start one
	says "OpenBSD's takes no initrd or cmdline"
	refused vmctl start two
	says "kernel: gzip data ends early, at 0xbb8"
	refused vmctl start three
	says "kernel: truncated"
	refused vmctl start four
	says "kernel: inflates to more than 16 MiB"
	refused vmctl start five
	says "kernel: multiboot2 header at 0: unknown tag 11"
}
