# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317
#
# Code inside each sealed process tries what it must not (confine/confine.c).
# vmd is the test build: on SIGUSR1 its parent reads "PROCESS ACT" from
# /run/vmd.confine and sends the act to that process, which must die of
# SIGSYS; the parent logs the signal.
limit=600
testvmd=$PWD/../confine/opt/confine/sbin/vmd

# One of each kind; the unit test of the sandbox tries them all.
kinds="open openat-dotdot openat-kvm socket-unix connect execve fork ptrace
	kill-parent tgkill-other mmap-exec mprotect-exec ioctl-create-vm
	ioctl-fionread setuid chroot mount setns bpf x32-getpid i386-int80"

acts() {
	local a
	for a in $kinds; do
		grep -q "X(\"$a\"," ../confine.c || fail "no act $a"
		echo "$a"
	done
}

need_test_build() {
	if [[ ! -x $testvmd ]] || ! grep -q /run/vmd.confine "$testvmd"; then
		skip "vmd was built without the test"
	fi
	vmd() { "$testvmd" "$@"; }
}

# dies PROCESS ACT: a fresh VM each time; its log says why it ended.
dies() {
	local process=$1 act=$2
	: >"$T/vmd.log"
	in_state one running || vmctl start one 2>/dev/null
	becomes one running 10
	echo "$process $act" >/run/vmd.confine
	kill -USR1 "$vmd_pid"
	within 5 grep -Eq "$process.*(SIGSYS|signal 31|Bad system call)" \
	    "$T/vmd.log" || fail "$process survives $act"
	say "$process $act: killed"
	vmctl stop -fw one 2>/dev/null || true
}

each_act_in() {
	local act n=0
	need_test_build
	truncate -s 8M "$T/disk"
	tiny one idle 'memory 128M' "disk \"$T/disk\"" | vmd_up
	while read -r act; do
		dies "$1" "$act"
		n=$((n + 1))
	done < <(acts)
	((n > 10)) || fail "only $n acts"
}

t_vm_process() { each_act_in vm/one; }
t_disk_process() { each_act_in one/vioblk0; }

# control ends with the first one, and vmd with it.
t_control_process() {
	local act
	need_test_build
	while read -r act; do
		vmd_up </dev/null
		echo "control $act" >/run/vmd.confine
		kill -USR1 "$vmd_pid"
		within 5 grep -Eq "control.*(SIGSYS|signal 31|Bad system call)" \
		    "$T/vmd.log" || fail "control survives $act"
		say "control $act: killed"
		within 10 eval '! kill -0 $vmd_pid 2>/dev/null'
		wait "$vmd_pid" || true
		vmd_pid=''
	done < <(acts)
}
