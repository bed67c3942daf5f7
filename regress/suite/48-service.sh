# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# vmd under a service manager (box.sh), as etc/vmd.service says.
limit=600

# shellcheck source=box.sh
. ./box.sh

# The scope of the guests' that vmd asked for.
scope=/sys/fs/cgroup/machine.slice/vmd-guests.scope

limits_hold() {
	[[ -n $(in_box cat "$scope/vm-one/cgroup.procs") ]]
	[[ $(in_box cat "$scope/vm-one/cpu.max") = "150000 100000" ]]
	[[ $(in_box cat "$scope/vm-one/memory.max") = $((400 << 20)) ]]
}

# goes_on WAS PID: vmd was started again, and nothing happened to its guest.
goes_on() {
	within 60 another_main "$2"
	within 20 in_box systemctl is-active -q vmd
	within 20 in_box vmctl status >/dev/null
	[[ $(id_and_pid) = "$1" ]] || fail "was $1, is $(id_and_pid)"
	limits_hold
	printed_times 1 one "tiny: idle"
}

t_service() {
	local pid was
	tiny one idle 'memory 128M' 'limit { cpu 150%, memory 400M }' | box_up
	in_box systemctl start vmd
	in_box systemctl is-active vmd
	pid=$(main_pid)
	box_start one
	prints one "tiny: idle" 90
	limits_hold
	in_box systemd-cgls --no-pager -l
	[[ -n $(in_box cat "$scope/keeper/cgroup.procs") ]]
	[[ $(in_box systemctl show -P Delegate vmd-guests.scope) = yes ]]
	was=$(id_and_pid)
	in_box systemctl reload vmd
	[[ $(main_pid) = "$pid" ]]
	# What it needs is not more than the unit leaves it.
	in_box journalctl -u vmd --no-pager | tee "$T/journal"
	not grep -Ei "denied|not permitted|cannot|no scope" "$T/journal"
	# A restart, and a crash.
	in_box systemctl restart vmd
	goes_on "$was" "$pid"
	pid=$(main_pid)
	in_box kill -9 "$pid"
	goes_on "$was" "$pid"
	# The guest powers off itself before the service is stopped.
	in_box systemctl stop vmd
	printed one "tiny: power button"
	[[ $(in_box systemctl show -P Result vmd) = success ]]
	in_box journalctl -u vmd --no-pager | tail -n 5 | tee "$T/journal"
	grep -q "one: powered off" "$T/journal"
	within 10 in_box test ! -e "$scope"
	in_box systemctl start vmd
	# As a service of its own, which vmd's restart does not end.
	in_box systemctl start vm@one
	record one "$(in_box vmctl status -j one | jq -r '.[0].tty')"
	within 90 printed_times 2 one "tiny: idle"
	limits_hold
	was=$(id_and_pid)
	in_box systemctl restart vmd
	within 20 in_box vmctl status >/dev/null
	in_box systemctl is-active vm@one
	[[ $(id_and_pid) = "$was" ]]
	# So it does when the whole host is shut down.
	in_box systemctl poweroff
	within 60 eval '! kill -0 "$box" 2>/dev/null'
	printed_times 2 one "tiny: power button"
	box_down
}

# A group beside the service manager's takes its place.
t_service_without_scope() {
	local scope=/sys/fs/cgroup/vmd pid was
	tiny one idle 'memory 128M' 'limit { cpu 150%, memory 400M }' | box_up
	in_box tee /usr/bin/systemd-run <<-'EOT'
		#!/bin/sh
		exit 1
	EOT
	in_box systemctl start vmd
	pid=$(main_pid)
	box_start one
	prints one "tiny: idle" 90
	in_box journalctl -u vmd --no-pager | tee "$T/journal"
	grep -q "no scope of the service manager's for guests" "$T/journal"
	limits_hold
	was=$(id_and_pid)
	in_box systemctl restart vmd
	goes_on "$was" "$pid"
	in_box systemctl stop vmd
	printed one "tiny: power button"
	within 10 in_box test ! -e "$scope"
	in_box systemctl poweroff
	within 60 eval '! kill -0 "$box" 2>/dev/null'
	box_down
}

# Whatever time the guest takes, within what the daemon gives each.
t_end_waits_for_a_slow_guest() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	key one 'mkdir -p /etc/acpi/PWRF; cd /etc/acpi/PWRF'
	key one 'echo "#!/bin/sh" >00000080; chmod 755 00000080'
	key one 'echo "sleep 40; echo tiny: off. >/dev/console" >>00000080'
	key one 'echo "poweroff -f" >>00000080; acpid -d >/dev/null 2>&1 & echo tiny: waits.'
	prints one "^tiny: waits\\." 30
	kill -TERM "$vmd_pid"
	within 90 eval '! kill -0 "$vmd_pid" 2>/dev/null'
	wait "$vmd_pid"
	vmd_pid=''
	# After the prompt; what was typed goes on after it.
	printed one "tiny: off\\.[[:cntrl:]]*\$"
	grep "one: powered off" "$T/vmd.log"
}

# runs STATUS: what was run in the foreground ended with that.
runs() {
	local rc=0
	wait "$run" || rc=$?
	[[ $rc = "$1" ]] || fail "status $rc, not $1: $(<"$T/run")"
}

# run NAME: in the foreground of a service manager.
run() {
	rm -f "$T/notify" "$T/notified"
	socat -u "UNIX-RECV:$T/notify" "CREATE:$T/notified" &
	within 10 test -S "$T/notify"
	NOTIFY_SOCKET=$T/notify vmctl run "$1" >"$T/run" 2>&1 &
	run=$!
	within 30 grep -q READY=1 "$T/notified"
	in_state "$1" running
}

t_vmctl_run() {
	local run
	atom one | vmd_up
	run one
	# vmd goes, and comes back.
	vmd_killed
	sleep 1
	vmd_back
	kill -0 "$run" || fail "$(<"$T/run")"
	kill -TERM "$run"
	runs 0
	stopped one 5
	run one
	vmctl stop -f one
	runs 11
	run one
	kill -9 "$(field one pid)"
	runs 12
	# Nothing runs, so that nothing is waited for.
	run=0
	vmctl run nobody || run=$?
	[[ $run = 1 ]]
	kill %% 2>/dev/null || true
}
