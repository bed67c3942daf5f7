# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# A VM's life: reboot, stop, crash of the guest, death of its processes.
limit=120

t_reboot_keeps_the_tty() {
	local tty
	truncate -s 1M "$T/disk"
	tiny one reboot "disk \"$T/disk\"" | vmd_up
	start one
	tty=$(field one tty)
	prints one "tiny: first boot" 60
	within 30 eval '[[ $(field one tty) = '"$tty"' ]]'
	prints one "tiny: second boot" 60
	[[ $(field one restarts) = 1 ]]
	prints one "tiny: end" 20
	stopped one 10
}

t_stop_asks_the_guest() {
	tiny one idle | vmd_up
	start one
	prints one "tiny: idle" 60
	vmctl stop one 2>&1 | tee "$T/out"
	grep -Eq "stopping vm one: requested to shutdown vm [0-9]+" "$T/out"
	prints one "power button" 20
	stopped one 15
}

t_stop_and_wait() {
	tiny one idle | vmd_up
	start one
	prints one "tiny: idle" 60
	vmctl wait one >"$T/wait.out" 2>&1 &
	vmctl stop -w one 2>&1 | tee "$T/out"
	grep -q "terminated vm" "$T/out"
	stopped one 1
	wait %?"vmctl wait"
	grep -q "waiting for vm one: terminated vm" "$T/wait.out"
}

t_stop_forced() {
	tiny one hang | vmd_up
	mark
	start one
	prints one "tiny: hang" 60
	vmctl stop -f one 2>&1 | tee "$T/out"
	grep -q "forced to terminate vm" "$T/out"
	stopped one 5
	readers_off
	clean 5
	not vmctl stop one 2>"$T/out"
	grep -q "not running" "$T/out"
}

t_restart() {
	local pid
	tiny one idle | vmd_up
	not vmctl restart one 2>"$T/out"
	grep -q "not running" "$T/out"
	start one
	prints one "tiny: idle" 60
	pid=$(field one pid)
	vmctl restart one 2>&1 | tee "$T/out"
	grep -q "terminated vm" "$T/out"
	grep -q "started vm" "$T/out"
	in_state one running
	[[ $(field one pid) != "$pid" ]]
	pid=$(field one pid)
	vmctl restart -f one
	in_state one running
	[[ $(field one pid) != "$pid" ]]
	vmctl stop -fw one
}

t_stop_all() {
	{
		tiny one idle 'memory 128M'
		tiny two idle 'memory 128M'
	} | vmd_up
	vmctl start one
	vmctl start two
	vmctl stop -fwa
	[[ $(vmctl status -r | wc -l) = 1 ]]
}

t_panic_that_halts() {
	tiny one panic | sed 's/panic=-1/panic=0/' | vmd_up
	start one
	prints one "Kernel panic" 60
	sleep 2
	in_state one running
	[[ $(field one problem) = "the guest panicked" ]]
	vmctl stop -fw one
	stopped one 5
}

# Restarted a few times, then given up on: "restarted too quickly".
crash_loop() {
	tiny one "$1" | vmd_up
	mark
	start one
	prints one "$2" 60
	sleep 5
	say "state $(field one state)"
	[[ $(field one state) =~ ^(running|stopped)$ ]]
	vmctl stop -fw one || true
	stopped one 5
	readers_off
	clean 5
}

t_panic_that_reboots() { crash_loop panic "Kernel panic"; }
t_triple_fault() { crash_loop triple "tiny: triple"; }

t_vm_process_killed() {
	truncate -s 8M "$T/disk"
	tiny one idle "disk \"$T/disk\"" | vmd_up
	mark
	start one
	prints one "tiny: idle" 60
	kill -9 "$(field one pid)"
	stopped one 5
	readers_off
	clean 5
	# The lock is free and the VM can be started again.
	start one
	becomes one running 5
}

t_disk_process_killed() {
	local p
	truncate -s 8M "$T/disk"
	tiny one idle "disk \"$T/disk\"" | vmd_up
	mark
	start one
	prints one "tiny: idle" 60
	p=$(device_process one vioblk0)
	[[ -n $p ]]
	kill -9 "$p"
	within 5 eval '[[ $(field one problem) = vioblk0* ]]'
	in_state one running
	vmctl status 2>&1 | grep vioblk0
	vmctl stop -fw one
	stopped one 5
	readers_off
	clean 5
}

# Clients are lost, guests and their daemon are not.
t_control_process_killed() {
	local p
	tiny one idle 'memory 128M' | vmd_up
	vmctl start one
	for p in $(vmd_processes); do
		[[ $p != "$vmd_pid" ]] || continue
		grep -aq control "/proc/$p/cmdline" || continue
		kill -9 "$p"
	done
	within 20 vmctl status one >/dev/null 2>&1 ||
		fail "vmd does not come back"
	in_state one running
	vmctl stop -fw one
}

# Without a guest nobody stays; see 46-adopt.sh for those with guests.
t_daemon_killed() {
	tiny one idle 'memory 128M' | vmd_up
	mark
	vmctl start one
	vmctl stop -fw one
	kill -9 "$vmd_pid"
	wait "$vmd_pid" || true
	vmd_pid=''
	within 5 eval '[[ -z $(vmd_processes) ]]' || fail "orphans"
	[[ $(memfds) = 0 ]]
	# The stale socket is no obstacle.
	tiny one idle 'memory 128M' | vmd_up
	vmctl start one
}
