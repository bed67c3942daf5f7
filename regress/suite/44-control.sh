# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# OpenBSD's VMM control interface, by a driver that is a shell: it finds the
# function by its identifier and uses its ports by sysfs.
limit=180

t_asked_to_shut_down() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	key one 'v=$(grep -l 0x0b5d /sys/bus/pci/devices/*/vendor)'
	key one 'v=${v%vendor}resource0'
	key one 'in_() { dd if=$v bs=1 skip=$1 count=1 2>/dev/null |' \
	    'od -An -tu1 | tr -d " "; }'
	key one 'out() { printf "$2" | dd of=$v bs=1 seek=$1' \
	    'conv=notrunc 2>/dev/null; }'
	key one 'out 18 "\003"; out 4 "\007"; out 18 "\007"'
	key one 'echo tiny: offers $(in_ 0) status $(in_ 18).'
	prints one "tiny: offers 7 status 7\." 60
	# Its clock is to be read anew when it stood still.
	vmctl pause one
	vmctl unpause one
	key one 'echo tiny: asks $(in_ 20).'
	prints one "tiny: asks 3\." 60
	key one 'out 20 "\003"; echo tiny: then $(in_ 20).'
	prints one "tiny: then 0\." 60
	key one 'echo tiny: polls $(in_ 20).; while [ $(in_ 20) != 1 ]; do usleep 100000; done;' \
	    'out 20 "\001"; echo tiny: goes $(in_ 20).; sleep 8; poweroff -f'
	prints one "tiny: polls 0\." 60
	sleep 1
	vmctl stop one
	prints one "tiny: goes 0\." 30
	# It was not pressed, and is not while the guest goes down.
	stopped one 60
	[[ $(grep -ac "tiny: power button" "$T/one.console") = 0 ]]
}
