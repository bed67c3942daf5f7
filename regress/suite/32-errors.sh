# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Images that fail under a guest: it sees an I/O error, and nothing else fails.
# A guest that means harm to its devices: each needs a reset at most.
limit=360

# Its VM runs on, without a problem, and so does the other one.
unharmed() { # NAME
	[[ $(field "$1" problem) = null ]]
	in_state "$1" running
	in_state other running
	vmctl stop -w "$1"
	stopped "$1" 1
	not grep -Eq 'signal|needs reset|exited' "$T/vmd.log"
}

# A file system of so many MB at $T/small.
small() {
	mkdir "$T/small"
	mount -t tmpfs -o "size=$1m" small "$T/small"
}

# The guest writes more than its image's file system can keep.
overfill() { # IMAGE
	{
		tiny one writeidle,32 "disk \"$1\""
		tiny other idle
	} | vmd_up
	vmctl start other
	start one
	prints one "tiny: write failed" 150
	prints one "tiny: idle" 20
}

t_full_disk_raw() {
	small 8
	truncate -s 64M "$T/small/disk"
	overfill "$T/small/disk"
	printed one "I/O error, dev vda"
	grep -q "write error at sector" "$T/vmd.log"
	unharmed one
	umount "$T/small"
}

t_full_disk_qcow2() {
	small 8
	vmctl create -s 64M "$T/small/disk.qcow2"
	overfill "$T/small/disk.qcow2"
	unharmed one
	# What could not be kept is not half there.
	vmctl image check -r "$T/small/disk.qcow2"
	umount "$T/small"
}

t_truncated_underneath() {
	truncate -s 32M "$T/disk"
	{
		tiny one io,4000 "disk \"$T/disk\""
		tiny other idle
	} | vmd_up
	vmctl start other
	start one
	prints one "tiny: io begins" 100
	truncate -s 64K "$T/disk"
	prints one "tiny: io ends" 100
	printed one "I/O error, dev vda"
	in_state other running
	prints one "tiny: end" 20
	stopped one 20
	[[ $(field one problem) = null ]]
	not grep -Eq 'signal|needs reset|exited' "$T/vmd.log"
}

# The device itself fails: good for 4 MB, bad behind.
t_failing_block_device() {
	local loop bad
	truncate -s 32M "$T/disk"
	modprobe -a loop dm_mod 2>/dev/null || true
	loop=$(losetup -f --show "$T/disk") || skip "no loop device"
	printf '0 8192 linear %s 0\n8192 57344 error\n' "$loop" |
	    dmsetup create --noudevsync bad
	bad=/dev/mapper/bad
	[[ -b $bad ]] || dmsetup mknodes bad
	{
		tiny one io,4000 "disk \"$bad\""
		tiny other idle
	} | vmd_up
	vmctl start other
	start one
	prints one "tiny: io begins" 100
	prints one "tiny: io ends" 100
	printed one "I/O error, dev vda"
	prints one "tiny: end" 20
	stopped one 20
	in_state other running
	[[ $(field one problem) = null ]]
	not grep -Eq 'signal|needs reset|exited' "$T/vmd.log"
	dmsetup remove bad
	losetup -d "$loop"
}

# guest/hostile.c: a driver of all virtio devices but one disk.
t_hostile_driver() {
	local d
	[[ -s ../bench/extra.cpio ]] || skip "no program of guests"
	tun
	cat "$G/tiny.cpio" ../bench/extra.cpio >"$T/hostile.cpio"
	truncate -s 16M "$T/disk" "$T/disk2"
	truncate -s 1M "$T/cd.iso"
	{
		echo 'local prefix 10.77.0.0/16'
		vm one "boot \"$G/vmlinuz\"" "initrd \"$T/hostile.cpio\"" \
		    "cmdline \"$base tiny=run,hostile\"" 'cpus 2' \
		    'memory 128M' "disk \"$T/disk\"" "disk \"$T/disk2\"" \
		    "cdrom \"$T/cd.iso\"" 'local interface'
		tiny other idle
	} | vmd_up
	start other
	start one
	prints one "hostile: end" 200
	grep -a "^hostile: " "$T/one.console"
	printed one "hostile: end, 0 wrong"
	for d in block net scsi rng balloon; do
		printed one "hostile: $d: ok"
	done
	in_state other running
	grep -q "needs reset: invalid virtqueue" "$T/vmd.log"
	not grep -Eq 'signal|exited|process ended' "$T/vmd.log"
}
