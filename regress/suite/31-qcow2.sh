# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# qcow2 disks: guests write to them, what they are based on stays as it is,
# and the images are in order afterwards.
limit=480

# A base of 64M with a known beginning, and an image based on it.
images() {
	stream 4 >"$T/base.raw"
	truncate -s 64M "$T/base.raw"
	md5sum <"$T/base.raw" >"$T/base.sum"
	vmctl create -b "$T/base.raw" "$T/top.qcow2"
}

# The image is clean, and reads as the guest left it.
holds() { # SUM MB
	vmctl image check "$T/top.qcow2" | tee "$T/check"
	grep -qx "no errors" "$T/check"
	rm -f "$T/flat.raw"
	vmctl create -i "$T/top.qcow2" "$T/flat.raw"
	[[ $(head -c "$2M" "$T/flat.raw" | md5sum) = "$1" ]]
}

t_reads_the_base() {
	images
	tiny reader sum,4 'memory 512M' "disk \"$T/top.qcow2\"" | vmd_up
	run_tiny reader 120
	[[ $(value reader sum) = "$(stream 4 | md5sum)" ]]
}

t_writes_survive_stop_and_start() {
	local sum
	images
	{
		tiny writer writeidle,12 'memory 512M' \
		    "disk \"$T/top.qcow2\" format qcow2"
		tiny reader sum,12 'memory 512M' "disk \"$T/top.qcow2\""
	} | vmd_up
	start writer
	prints writer "tiny: idle" 200
	sum=$(stream 12 | md5sum)
	vmctl stop -w writer
	stopped writer 1
	holds "$sum" 12
	# The base is what it was.
	[[ $(md5sum <"$T/base.raw") = "$(cat "$T/base.sum")" ]]
	start reader
	prints reader "tiny: end" 200
	[[ $(value reader sum) = "$sum" ]]
}

# Killed at once: what the guest flushed is there, nothing is broken.
t_stop_by_force() {
	local sum
	images
	tiny writer writeidle,12 'memory 512M' "disk \"$T/top.qcow2\"" |
		vmd_up
	start writer
	prints writer "tiny: idle" 200
	vmctl stop -fw writer
	holds "$(stream 12 | md5sum)" 12
}

t_killed_device_process() {
	local pid
	images
	tiny writer writeidle,12 'memory 512M' "disk \"$T/top.qcow2\"" |
		vmd_up
	start writer
	prints writer "tiny: idle" 200
	pid=$(device_process writer vioblk0)
	kill -KILL "$pid"
	vmctl stop -fw writer
	# Leaks are allowed then, and can be repaired.
	vmctl image check -r "$T/top.qcow2"
	holds "$(stream 12 | md5sum)" 12
}

t_chain_is_locked() {
	images
	cp "$T/top.qcow2" "$T/other.qcow2"
	{
		tiny one idle "disk \"$T/top.qcow2\""
		tiny two idle "disk \"$T/other.qcow2\""
		tiny base idle "disk \"$T/base.raw\" format raw"
	} | vmd_up
	vmctl start one
	# Two images on one base: fine.  The base itself: not.
	vmctl start two
	refused vmctl start base
	vmctl stop -fw one
	refused vmctl start base
	vmctl stop -fw two
	vmctl start base
}

t_refusals() {
	images
	cp "$T/top.qcow2" "$T/top.img"
	{
		tiny guessed idle "disk \"$T/top.img\""
		tiny wrong idle "disk \"$T/base.raw\" format qcow2"
		tiny gone idle "disk \"$T/top.qcow2\""
	} | vmd_up
	mark
	refused vmctl start guessed
	refused vmctl start wrong
	mv "$T/base.raw" "$T/moved.raw"
	refused vmctl start gone
	clean 5
}
