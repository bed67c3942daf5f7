# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# vmd itself: start, probe, reload, end, the shape of its processes.
limit=60

t_check_says_this_host_is_fit() {
	vmctl check | tee "$T/check"
	# Our own driver is preferred where it is loaded.
	if [[ -c /dev/vmm ]]; then
		grep -qx 'device: /dev/vmm' "$T/check"
	else
		grep -qx 'device: /dev/kvm' "$T/check"
	fi
	grep -qx fit "$T/check"
	# Every line of it is in the JSON.
	vmctl check -j | tee "$T/json"
	[[ $(jq -c '[.fit, .reason, .api_version, .virtualization]' "$T/json") = \
	    '[true,null,12,"SVM"]' ]]
	[[ $(jq '[.[] | select(. != null)] | length' "$T/json") = 9 ]]
	grep -qx "device: $(jq -r .device "$T/json")" "$T/check"
	grep -qx "memory: $(jq '.memory / 1048576' "$T/json") MiB" "$T/check"
	grep -qx "features: $(jq -r '.features | join(" ")' "$T/json")" "$T/check"
}

t_check_tells_why_not() {
	unfit vmctl check -k /dev/null
	unfit vmctl check -k /dev/nothing
	says "No such file"
	unfit vmctl check -j -k /dev/null
	[[ $(jq -c '[.fit, .device]' "$T/refused.err") = '[false,"/dev/null"]' ]]
	unfit vmctl check -j -k /dev/nothing
	says "No such file"
}

t_starts_and_ends() {
	mark
	vmd_up </dev/null
	[[ $(stat -c %a "$sock") = 660 ]]
	sed -n 1p < <(vmctl status) | tee "$T/head"
	[[ $(tr -s ' ' <"$T/head") = \
	    " ID PID VCPUS MAXMEM CURMEM TTY OWNER STATE NAME" ]]
	[[ $(vmctl status -j | jq length) = 0 ]]
	vmd_down
	[[ ! -e $sock ]]
	clean 5
}

t_second_daemon_is_refused() {
	vmd_up </dev/null
	not timeout 20 vmd -d -f "$T/vm.conf" 2>"$T/second.log"
	cat "$T/second.log"
	vmctl status
}

t_sighup_reloads() {
	local up
	tiny one idle | vmd_up
	tiny two idle >>"$T/vm.conf"
	up=$vmd_pid
	kill -HUP "$up"
	within 10 eval '[[ $(field two state) = stopped ]]'
	[[ $(field one state) = stopped ]]
	# A broken file changes nothing.
	echo 'vm {' >>"$T/vm.conf"
	kill -HUP "$up"
	sleep 1
	[[ $(vmctl status -j | jq length) = 2 ]]
}

t_reload_says_what_changed() {
	local pid
	tiny one idle | vmd_up
	start one
	pid=$(field one pid)
	tiny two idle >>"$T/vm.conf"
	[[ $(vmctl reload) = "vm two: added" ]]
	[[ -z $(vmctl reload) ]]
	# Nothing is left in the file.
	echo >"$T/vm.conf"
	vmctl reload | tee "$T/report"
	grep -qx 'vm one: removed, runs until it is stopped' "$T/report"
	grep -qx 'vm two: removed' "$T/report"
	# The guest that runs has not noticed.
	[[ $(field one pid) = "$pid" && $(field one state) = running ]]
	vmctl stop -fw one
	[[ $(vmctl status -j | jq length) = 0 ]]
}

t_load_and_reset() {
	local pid
	tiny one idle 'memory 128M' | vmd_up
	start one
	pid=$(field one pid)
	{
		tiny two idle
		printf 'switch "lan" {\n\tinterface vmbr9\n\tcreate\n}\n'
	} >"$T/more.conf"
	(cd "$T" && vmctl load more.conf) | tee "$T/report"
	grep -qx 'vm two: added' "$T/report"
	grep -qx 'switch lan: added' "$T/report"
	within 5 ip link show vmbr9
	[[ $(field one pid) = "$pid" && $(field one state) = running ]]
	# Somebody else's file is not root's word.
	chown alice "$T/more.conf"
	refused vmctl load "$T/more.conf"
	says "not a regular file of root's"
	vmctl reset switches
	within 5 eval '! ip link show vmbr9 2>/dev/null'
	in_state one running
	vmctl reset
	[[ $(vmctl status -j | jq length) = 0 ]]
	not kill -0 "$pid" 2>/dev/null
	vmctl reload | tee "$T/report"
	grep -qx 'vm one: added' "$T/report"
	[[ $(field one id) = 1 ]]
}

t_events_are_told() {
	tiny one idle 'memory 128M' | vmd_up
	vmctl events >"$T/lines" 2>"$T/lines.err" &
	vmctl events -j one >"$T/json" 2>/dev/null &
	sleep 2
	start one
	prints one "tiny: idle" 60
	vmctl pause one
	vmctl unpause one
	vmctl stop -w one
	within 5 grep -q stopped "$T/json"
	cat "$T/lines"
	[[ $(jq -r .event "$T/json" | tr '\n' ' ') = \
	    "starting running paused unpaused stopping stopped " ]]
	jq -es 'all(.id == 1 and .name == "one")' "$T/json"
	[[ $(jq -r 'select(.event == "stopped") | .text' "$T/json") = \
	    "powered off by the guest" ]]
	[[ $(sed -n 's/^[-0-9]* [:0-9]* one (vm 1): \([a-z]*\).*/\1/p' \
	    "$T/lines" | tr '\n' ' ') = \
	    "starting running paused unpaused stopping stopped " ]]
	vmd_down
	wait
	grep -qx 'vmctl: vmd closed the connection' "$T/lines.err"
}

t_metrics_of_vms() {
	local seconds
	truncate -s 1M "$T/disk"
	{
		tiny one idle "disk \"$T/disk\""
		tiny two idle
	} | vmd_up
	start one
	prints one "tiny: idle" 60
	vmctl metrics | tee "$T/metrics"
	[[ $(tail -n 1 "$T/metrics") = "# EOF" ]]
	grep -qxF 'vmd_vm_state{vm="one",state="running"} 1' "$T/metrics"
	grep -qxF 'vmd_vm_state{vm="two",state="stopped"} 1' "$T/metrics"
	grep -qxF 'vmd_vm_restarts_total{vm="one"} 0' "$T/metrics"
	grep -q '^vmd_device_requests_total{vm="one",device="vioblk0"} ' \
		"$T/metrics"
	# It booted, which takes time.
	seconds=$(sed -n 's/^vmd_vm_cpu_seconds_total{vm="one"} //p' \
		"$T/metrics")
	[[ $seconds =~ ^[0-9]+\.[0-9]{6}$ && $seconds != 0.000000 ]]
}

t_enabled_vm_starts_by_itself() {
	tiny one idle | grep -v disable | vmd_up
	becomes one running 20
}

t_sigterm_ends_running_vms() {
	mark
	tiny one idle 'memory 128M' | vmd_up
	start one
	prints one "tiny: idle" 60
	vmd_down
	printed one "power button"
	readers_off
	clean 5
}

t_names_and_prefixes() {
	tiny one idle | vmd_up
	vmctl stat one >/dev/null
	not vmctl sta one 2>"$T/err"
	grep -q "ambiguous argument" "$T/err"
	not vmctl frobnicate 2>"$T/err"
	grep -q "unknown argument" "$T/err"
	not vmctl status nobody
}

# Each process of a VM: its own ids, empty root, nothing it could use.
t_processes_are_confined() {
	local p s n=0 caps
	tun
	truncate -s 16M "$T/disk"
	tiny one idle 'memory 128M' "disk \"$T/disk\"" interface | vmd_up
	vmctl start one
	for p in $(vmd_processes); do
		[[ $p != "$vmd_pid" ]] || continue
		s=/proc/$p/status
		n=$((n + 1))
		say "$p $(tr '\0' ' ' <"/proc/$p/cmdline")"
		caps=0+
		# CAP_NET_ADMIN
		! grep -q netcfg "/proc/$p/cmdline" || caps=0+1000
		grep -Eq '^Uid:\s+([1-9][0-9]*)\s+\1\s+\1\s+\1$' "$s"
		grep -Eq '^Gid:\s+([1-9][0-9]*)\s+\1\s+\1\s+\1$' "$s"
		grep -Eq '^Groups:\s*$' "$s"
		grep -Eq "^CapPrm:\s+$caps\$" "$s"
		grep -Eq "^CapEff:\s+$caps\$" "$s"
		grep -Eq "^CapBnd:\s+$caps\$" "$s"
		grep -Eq '^NoNewPrivs:\s+1$' "$s"
		grep -Eq '^Seccomp:\s+2$' "$s"
		grep -Eq '^Max core file size +0 +0' "/proc/$p/limits"
		[[ -z $(ls -A "/proc/$p/root/") ]]
	done
	# keeper, control, netcfg, vm, vioblk0, vionet0
	[[ $n = 6 ]] || fail "$n confined processes"
	for p in $(vm_processes one); do
		for s in mnt net ipc; do
			[[ $(readlink "/proc/$p/ns/$s") != \
			    $(readlink "/proc/1/ns/$s") ]] ||
				fail "$p shares the $s namespace"
		done
	done
}

t_own_address_space_layout() {
	local p
	tiny one idle 'memory 128M' | vmd_up
	vmctl start one
	for p in $(vmd_processes); do
		head -n 1 "/proc/$p/maps" | cut -d- -f1
	done | sort | uniq -d >"$T/same"
	[[ ! -s $T/same ]]
}
