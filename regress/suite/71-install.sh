# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What people do first: Debian's installer, left alone, puts a system on a new
# qcow2 disk, and the disk boots.
limit=3600

# It has ended, or says why it did not.
install_ended() {
	! printed inst "install: failed" || fail "$(grep -a -A 22 \
	    "install: failed" "$T/inst.console")"
	printed inst "install: done"
}

# Kernel and initrd are those of Debian's netboot installer as they come.  It
# gets its address and name server from a local interface, and by them its
# answers, programs and packages from this host (guest/preseed.cfg, install,
# mirror).  Then firmware, GRUB and the installed kernel come from the disk.
t_debian_onto_qcow2() {
	local disk=$T/disk.qcow2
	[[ -d mirror && -d tools/installer.amd64 ]] || skip "no mirror"
	tun
	modprobe nf_tables 2>/dev/null || true
	mkdir "$T/www"
	ln -s "$PWD"/mirror/* "$PWD"/../guest/{preseed.cfg,install} "$T/www/"
	mirror/busybox httpd -f -p 8088 -h "$T/www" &
	vmctl create -s 2G "$disk"
	{
		echo 'local prefix 10.77.0.0/16'
		vm inst 'memory 1G' 'cpus 2' "disk \"$disk\"" \
		    "boot \"$PWD/tools/installer.amd64/linux\"" \
		    "initrd \"$PWD/tools/installer.amd64/initrd.gz\"" \
		    'cmdline "console=ttyS0 auto=true priority=critical locale=C url=http://10.77.1.2:8088/preseed.cfg hostname=debian domain="' \
		    'local interface'
		vm deb 'memory 512M' 'cpus 2' "disk \"$disk\""
	} | vmd_up
	start inst
	prints inst "install: modules of the disk" 500
	within 2400 install_ended || fail "$(tail -n 5 "$T/inst.console")"
	stopped inst 60
	qemu-img check "$disk"
	start deb
	prints deb "Booting from Hard Disk" 60
	prints deb "debian login: " 400
	readers_off
	expect -f debian.exp deb 'findmnt -no SOURCE,FSTYPE /' "/dev/vda1 ext4"
	vmctl stop deb
	stopped deb 180
	qemu-img check "$disk"
	rm "$disk"
}
