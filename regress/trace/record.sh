#!/bin/bash
# SPDX-License-Identifier: ISC
#
# In the lab: makes the traces of ../trace/data anew; they are in build/lab/out
# then.  vmtrace, grub.img and the floppy disk are beside it, or it goes without:
#
#   eval "$(regress/guest/build)"
#   regress/lab/run -c 2 -m 3072 -t 900 -g "$guest_disk" \
#       -x build/regress/trace/vmtrace=trace/vmtrace \
#       -x build/grub.img=trace/grub.img \
#       -x FLOPPY=trace/floppy.img regress/trace/record.sh
set -u
cd "$(dirname "$0")" || exit 1
G=/guest T=/tmp/trace lines=24000
bios=/usr/share/seabios/bios-256k.bin
vgabios=/usr/share/seabios/vgabios-isavga.bin
mkdir -p "$T" /lab/out
dev=/dev/kvm
[[ -e $dev ]] || dev=/dev/vmm
rc=0

# trace NAME TEXT OPTION...: until the text is on the console.
trace() {
	local name=$1 text=$2
	shift 2
	./vmtrace -D "$dev" -t 500 -e "$text" "$@" </dev/null \
	    >"$T/$name.console" 2>"$T/$name.err" || {
		echo "trace: $name: exit $?"
		grep -v '^@' "$T/$name.err"
		tail -n 5 "$T/$name.console"
		rc=1
	}
	grep -a '^@' "$T/$name.err" | tr -d @ >"$T/$name.all"
	head -n "$lines" "$T/$name.all" | gzip -9n >"/lab/out/$name.gz"
	echo "trace: $name: $(wc -l <"$T/$name.all") lines, kept" \
	    "$(stat -c %s "/lab/out/$name.gz") bytes of the first $lines"
}

if [[ -f grub.img ]]; then
	mkdir -p "$T/boot"
	cp grub.img "$T/grub.img"
	cp "$G/vmlinuz" "$T/boot/vmlinuz"
	cp "$G/tiny.cpio" "$T/boot/initrd"
	printf 'echo "GRUB is here"\nlinux /vmlinuz %s\ninitrd /initrd\nboot\n' \
	    "console=ttyS0 panic=-1 tiny=info" >"$T/boot/grub.cfg"
	mke2fs -q -t ext2 -L guest -d "$T/boot" "$T/boot.img" 64M
	trace seabios-grub "GRUB is here" -m 128 -k "$bios" \
	    -d "$T/grub.img" -d "$T/boot.img"
fi
# What is typed is in no trace: the loader goes on by itself.
[[ ! -f floppy.img ]] || trace openbsd-floppy "boot>" -m 64 -k "$bios" \
    -F "$PWD/floppy.img"
if [[ -f $vgabios ]]; then
	truncate -s 1M "$T/empty.img"
	trace seabios-screen "No bootable device" -m 64 -k "$bios" \
	    -S "$vgabios" -d "$T/empty.img"
	# Its console is the screen, whose end the serial port tells.
	trace linux-screen "tiny: end" -m 128 -k "$G/vmlinuz" -S "$vgabios" \
	    -I "$G/tiny.cpio" -a \
	    "console=tty0 console=ttyS0 panic=-1 tiny=info"
fi
[[ ! -f $G/vmlinuz-686 ]] ||
	trace linux-i386 "tiny: end" -m 128 -k "$G/vmlinuz-686" \
	    -I "$G/tiny-686.cpio" -a "console=ttyS0 panic=-1 tiny=info"
exit "$rc"
