# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The Debian packages (regress/deb): installed, used, upgraded with a guest
# running, removed and purged.  Their programs are in /usr, those that the
# other tests use in /usr/local.
limit=300

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
