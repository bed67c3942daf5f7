# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Code inside each sealed process tries what it must not: a build of vmd for
# this test alone asks the process, and the process must die of it.  All acts
# under all sets of promises are tried by the unit test of the sandbox; here
# it is the roles themselves, as they run.
limit=240

acts="openat-proc openat-kvm socket-unix socket-inet execve ptrace kill-parent
mmap-exec mprotect-exec ioctl-create-vm clone setuid fcntl-block"

# vmd of the test build, which takes the part of the real one.
confined_vmd() {
	local root=/lab/payload/work/confine
	[[ -x $root/opt/confine/sbin/vmd ]] || skip "no test build of vmd"
	rm -rf /opt/confine
	cp -a "$root/opt/confine" /opt/
	PATH=/opt/confine/sbin:$PATH
}

died() { grep -Eq "$1.*signal 31" "$T/vmd.log"; }

# tries ROLE WHO LINE...: WHO is what vmd's log calls a process of the role;
# lines for the VM's configuration.
tries() {
	local act role=$1 who=$2
	shift 2
	confined_vmd
	truncate -s 16M "$T/disk"
	for act in $acts; do
		export VMD_CONFINE=$role:$act
		{
			echo "${global:-}"
			tiny one idle 'memory 128M' "disk \"$T/disk\"" "$@"
		} >"$T/vm.conf"
		vmd -d -v -f "$T/vm.conf" 2>"$T/vmd.log" >&2 &
		vmd_pid=$!
		# Some are there without a VM.
		if [[ ! $role =~ ^(control|netcfg|keeper|remote)$ ]]; then
			within 20 vmd_answers
			vmctl start one >/dev/null 2>&1 || true
		fi
		within 20 died "$who" || {
			cat "$T/vmd.log"
			fail "$role: $act: did not die"
		}
		not grep -q "still alive" "$T/vmd.log"
		say "$role: $act: killed"
		vmd_down
	done
}

t_control_dies_of_forbidden_acts() { tries control control; }
t_vm_dies_of_forbidden_acts() { tries vm one; }
t_vioblk_dies_of_forbidden_acts() { tries vioblk vioblk0; }
t_netcfg_dies_of_forbidden_acts() { tries netcfg netcfg; }
t_keeper_dies_of_forbidden_acts() { tries keeper keeper; }

t_vioscsi_dies_of_forbidden_acts() {
	head -c 64K /dev/zero >"$T/iso"
	tries vioscsi vioscsi0 "cdrom \"$T/iso\""
}

t_vionet_dies_of_forbidden_acts() {
	tun
	tries vionet vionet0 interface
}

t_remote_dies_of_forbidden_acts() {
	local global
	vmd-cert ca -d "$T/ca"
	vmd-cert host -d "$T/ca" 127.0.0.1
	global="listen on 127.0.0.1 tls {
		ca \"$T/ca/ca.pem\"
		certificate \"$T/ca/127.0.0.1.pem\"
		key \"$T/ca/127.0.0.1.key\"
	}"
	tries remote remote
}
