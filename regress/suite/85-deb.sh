# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The Debian packages (regress/deb): installed, used, upgraded with a guest
# running, removed and purged.  Their programs are in /usr, those that the
# other tests use in /usr/local.
limit=400

# shellcheck source=box.sh
. ./box.sh

packages() {
	shopt -s nullglob
	local found=("$PWD"/../deb/vmd_*.deb)
	[[ -f ${found[0]:-} ]] || skip "no packages in this run"
	vmd_deb=${found[0]}
	found=("$PWD"/../deb/vmm-dkms_*.deb)
	dkms_deb=${found[0]}
	PATH=/usr/sbin:/usr/bin:/sbin:/bin
}

# newer DEB: the same as a higher version.
newer() {
	dpkg-deb -R "$1" "$T/newer"
	sed -i 's/^Version: .*/&+test/' "$T/newer/DEBIAN/control"
	dpkg-deb -b --root-owner-group "$T/newer" "$T/newer.deb"
}

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1") = installed ]]; }

t_installed_used_upgraded_purged() {
	local old id
	packages
	dpkg -i "$vmd_deb"
	installed vmd
	[[ $(command -v vmd) = /usr/sbin/vmd ]]
	getent passwd _vmd
	[[ $(stat -c '%a %U' /var/empty) = "755 root" ]]
	dpkg -L vmd >"$T/files"
	# A host may be without /usr/share/doc.
	dpkg-deb -x "$vmd_deb" "$T/vmd"
	# It names files of an installed host, which the lab has not.
	{ vmd -n -f "$T/vmd/usr/share/doc/vmd/examples/vm.conf" 2>&1 ||
		true; } |
	    sed '/path not found: .*: No such file or directory$/d' |
	    tee "$T/example"
	[[ ! -s $T/example || $(<"$T/example") = "configuration OK" ]] ||
		fail "the example in the package is not valid"

	tiny one idle | vmd_up
	[[ $(readlink /proc/"$vmd_pid"/exe) = /usr/sbin/vmd ]]
	start one
	prints one "tiny: idle" 60
	id=$(field one id)
	newer "$vmd_deb"
	dpkg -i "$T/newer.deb"
	old=$vmd_pid
	kill -0 "$old" || fail "the upgrade ended the daemon"
	in_state one running
	[[ $(field one id) = "$id" ]]
	# By the new vmctl and the old daemon, which needs its program no more.
	vmctl stop -fw one
	vmctl start one
	becomes one running 10
	vmctl stop -fw one
	vmd_down

	dpkg -r vmd
	not installed vmd
	hash -r
	[[ ! -e /usr/sbin/vmd ]]
	dpkg -P vmd
	gone "$T/files"
}

# gone LIST: no file of it, and no directory of ours.
gone() {
	local f
	while read -r f; do
		[[ -d $f && $f != *vmd* && $f != *vmm* ]] || [[ ! -e $f ]] ||
			fail "left behind: $f"
	done <"$1"
}

# The driver's source goes where dkms(8) looks for it, all of it.
t_source_of_the_driver() {
	packages
	dpkg-deb -x "$dkms_deb" "$T/x"
	[[ -f $T/x/usr/lib/modprobe.d/vmm.conf ]]
	[[ $(find "$T/x" -name dkms.conf -path '*/src/vmm-*' | wc -l) = 1 ]]
	[[ $(find "$T/x" -name '*.c' | wc -l) -gt 50 ]]
	[[ -z $(find "$T/x" -name '*.o' -o -name '*.ko') ]]
}

# Where there is one, the service starts with the package, goes on with the old
# daemon over an upgrade, and the new one takes the guests over.
t_under_a_service_manager() {
	local old was
	packages
	newer "$vmd_deb"
	tiny one idle 'memory 128M' | box_up
	# The lab's own.
	in_box find /usr/local /etc/systemd /lib/systemd -name 'vm*' \
	    ! -name '*.conf' ! -type d -delete
	cp "$vmd_deb" "$T/newer.deb" "$at/new/root/"
	in_box bash -c 'dpkg -i /root/vmd_*.deb'
	in_box systemctl is-enabled vmd
	within 20 in_box systemctl is-active -q vmd
	in_box systemctl status --no-pager vmd
	old=$(main_pid)
	[[ $(in_box readlink "/proc/$old/exe") = /usr/sbin/vmd ]]
	box_start one
	prints one "tiny: idle" 90
	was=$(id_and_pid)
	in_box dpkg -i /root/newer.deb
	[[ $(main_pid) = "$old" ]] || fail "the upgrade ended the daemon"
	[[ $(id_and_pid) = "$was" ]]
	in_box systemctl restart vmd
	another_main "$old"
	within 20 in_box vmctl status
	[[ $(id_and_pid) = "$was" ]] || fail "was $was, is $(id_and_pid)"
	printed_times 1 one "tiny: idle"
	# The guest powers off itself before vmd is removed.
	in_box dpkg -r vmd
	printed one "tiny: power button"
	not in_box systemctl is-active vmd
	in_box dpkg -P vmd
	not in_box test -e /usr/sbin/vmd
	in_box systemctl poweroff
	within 60 eval '! kill -0 "$box" 2>/dev/null'
	box_down
}
