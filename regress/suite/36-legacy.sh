# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Drivers from before virtio 1.0: the same guest, whose drivers use the legacy
# registers of all its devices.
limit=300

# legacy NAME: its drivers did so.
legacy() {
	key "$1" 'echo tiny: version1 $(cat /sys/bus/virtio/devices/*/features | cut -c33 | sort -u)'
	prints "$1" '^tiny: version1 0' 20
	[[ $(value "$1" version1) = 0 ]]
}

t_disk_cdrom_entropy_and_network() {
	local sum
	tun
	truncate -s 64M "$T/disk"
	head -c 2M /dev/urandom >"$T/data"
	"$(dirname "${BASH_SOURCE[0]}")/mkiso" "$T/data" >"$T/iso"
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one "shell legacy" 'memory 256M' "disk \"$T/disk\"" \
		    "cdrom \"$T/iso\"" 'local interface' 'cpus 2'
	} | vmd_up
	start one
	prints one "tiny: shell" 120
	legacy one
	key one 'dd if=/dev/urandom of=/f bs=1M count=32 2>/dev/null; dd if=/f of=/dev/vda bs=64k conv=fsync 2>/dev/null'
	key one 'echo tiny: sum $(md5sum </f | cut -c1-32)'
	prints one "^tiny: sum" 60
	vmctl status -v one
	key one 'mkdir /mnt; mount -t iso9660 -o ro /dev/sr0 /mnt && echo tiny: iso $(md5sum </mnt/data | cut -c1-32)'
	prints one "^tiny: iso" 30
	[[ $(value one iso) = "$(md5sum <"$T/data" | cut -c1-32)" ]]
	key one 'echo tiny: rng $(dd if=/dev/hwrng bs=32 count=1 2>/dev/null | wc -c)'
	prints one "^tiny: rng 32" 30
	key one 'ip addr add 10.77.1.3/31 dev eth0; ip link set eth0 up; ping -c 3 10.77.1.2'
	prints one "3 packets received" 60
	sum=$(value one sum)
	vmctl stop -w one
	stopped one 1
	[[ $(head -c 32M "$T/disk" | md5sum | cut -c1-32) = "$sum" ]]
}

# The driver does not wait for a reset: it is over when it goes on.
t_driver_leaves_and_comes_back() {
	local sum
	head -c 16M /dev/urandom >"$T/disk"
	sum=$(md5sum <"$T/disk" | cut -c1-32)
	tiny one "shell legacy" 'memory 128M' "disk \"$T/disk\"" | vmd_up
	start one
	prints one "tiny: shell" 120
	legacy one
	key one 'd=$(basename $(readlink -f /sys/block/vda/device))'
	key one 'cd /sys/bus/virtio/drivers/virtio_blk'
	key one 'for i in 1 2 3 4 5 6; do dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>/dev/null & sleep 0.$i; echo $d >unbind; wait; echo $d >bind; done; echo "tiny: back"'
	prints one "^tiny: back" 60
	key one 'echo tiny: sum $(dd if=/dev/vda bs=1M 2>/dev/null | md5sum | cut -c1-32)'
	prints one "^tiny: sum" 60
	[[ $(value one sum) = "$sum" ]]
	not grep -i "reset" "$T/vmd.log"
	vmctl stop -fw one
}
