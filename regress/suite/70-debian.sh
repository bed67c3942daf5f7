# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# A stock Debian: login, a file that survives, clean shutdown on request.
limit=700

t_login_stop_and_start_again() {
	debian deb 'memory 512M' "cpus $smp" | vmd_up
	mark
	vmctl start deb
	expect -f debian.exp deb 'echo kept >/kept; sync; uname -a'
	vmctl stop deb
	stopped deb 180
	clean 5
	vmctl start deb
	expect -f debian.exp deb 'cat /kept; ! dmesg | grep "ACPI.*Error"' \
	    kept
	vmctl stop -w deb
}

# By the owner: root's cu becomes user uucp, who may not open the terminal.
t_cu_works_too() {
	debian deb 'memory 512M' 'cpus 1' 'owner alice' | vmd_up
	vmctl start deb
	DEB_CONSOLE="cu -l $(field deb tty)" as alice expect -f debian.exp deb \
	    hostname debian
	vmctl stop -fw deb
}
