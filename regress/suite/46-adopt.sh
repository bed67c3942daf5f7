# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Guests outlive the processes of vmd that are not theirs.
limit=400

# number NAME WORD: the last one that its console says.
number() {
	tr -d '\r' <"$T/$1.console" | sed -n "s/.*\b$2[ =]\([0-9]*\).*/\1/p" |
	    tail -n 1
}
beyond() { [[ $(number "$1" "$2") -gt $3 ]]; }

# works NAME: it writes to its disk and reaches the host.
works() {
	local n
	for n in wrote seq; do
		within 20 beyond "$1" "$n" "$(number "$1" "$n")" ||
			fail "$1: no $n after $(number "$1" "$n")"
	done
}

identity() { echo "$(field one id) $(field one pid) $(field one tty) $(field one state) $(field one memory_asked) $(field one tty_serial2)"; }
is_same() { [[ $(identity) = "$was" ]]; }
same() { is_same || fail "was $was, is $(identity)"; }

# loaded: VM one runs, with a disk, the network and a shell at work.
loaded() {
	tun
	truncate -s 16M "$T/disk"
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		tiny one shell 'memory 128M' "disk \"$T/disk\"" \
		    'interface { switch "lan" }' 'local interface' \
		    'console serial2'
		tiny two idle 'memory 128M'
	} | vmd_up
	within 5 ip link show vmbr0 >/dev/null
	ip addr add 10.9.0.1/24 dev vmbr0
	start one
	prints one "tiny: shell" 120
	key one 'ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up'
	key one 'ping 10.9.0.1 &'
	key one 'n=0; while dd if=/dev/urandom of=/dev/vda bs=64k count=8' \
	    'conv=fsync 2>/dev/null; do n=$((n+1)); echo wrote $n; done &'
	prints one "wrote 2" 60
	prints one "seq=2" 60
	was=$(identity)
}

t_each_process_killed_under_load() {
	local p role
	mark
	loaded
	works one
	for role in parent parent; do
		vmd_killed
		# Nobody is there, and it goes on.
		works one
		vmd_back
		same
		works one
		[[ $(ip -o link show type tun | wc -l) = 2 ]]
		[[ $(ip addr show dev vmbr0) = *"inet 10.9.0.1/24"* ]]
	done
	for role in control netcfg keeper; do
		p=$(role_process $role)
		[[ -n $p ]] || fail "no $role"
		kill -9 "$p"
		within 20 eval 'q=$(role_process $role); [[ -n $q && $q != $p ]]'
		within 20 is_same
		works one
	done
	# The new keeper has it all.
	vmd_killed
	vmd_back
	same
	works one
	# All that there is to control.
	vmctl pause one
	in_state one paused
	vmctl unpause one
	works one
	vmctl set one link 0 down
	vmctl set one link 0 up
	works one
	vmctl start two
	grep -q 'one: adopted (vm 1)' "$T/vmd.log"
	not grep -Ei 'fatal|damaged|lost' "$T/vmd.log"
	vmctl stop -w one
	[[ $(field one problem) = null ]] || fail "$(field one problem)"
	vmctl stop -fw two
	vmd_down
	readers_off
	clean 10
}

# As systemd restarts it: SIGUSR1, and guests go on; SIGTERM, and they do not.
t_left_alone_and_not() {
	mark
	loaded
	kill -USR1 "$vmd_pid"
	wait "$vmd_pid" || fail "exit status $?"
	vmd_pid=''
	[[ ! -e $sock ]]
	works one
	vmd_back
	same
	works one
	vmd_down
	grep -q 'one: powered off' "$T/vmd.log" || fail "not in good order"
	readers_off
	clean 10
}

# What a guest does while nobody is there is done all the same.
t_reboot_meanwhile() {
	loaded
	vmctl pause one
	vmd_killed
	vmd_back
	in_state one paused || within 5 in_state one paused
	vmctl unpause one
	works one
	vmd_killed
	read -r _ _ key_tty _ <<<"$was"
	echo 'reboot -f' >"$key_tty"
	sleep 3
	vmd_back
	within 20 eval '[[ $(field one restarts) = 1 ]]'
	becomes one running 20
	[[ $(field one tty) = "$key_tty" ]]
	vmctl stop -fw one
	readers_off
}

# The last who holds its channels: then it ends, and nothing is left.
t_nobody_is_left() {
	mark
	loaded
	vmd_killed
	works one
	kill -9 "$(role_process keeper)"
	within 10 eval '[[ -z $(vmd_processes) ]]' || fail "orphans"
	[[ $(ip -o link show type tun | wc -l) = 0 ]]
	[[ $(ip -o link show type bridge | wc -l) = 0 ]]
	readers_off
	clean 10
	# The stale sockets are no obstacle.
	vmd_back
	in_state one stopped
	vmctl start one
}

# At any instant: what is there afterwards can be controlled.
t_killed_again_and_again() {
	local i v
	mark
	for v in a b c; do
		truncate -s 1M "$T/$v"
		tiny $v idle 'memory 96M' "disk \"$T/$v\""
	done | vmd_up
	for i in {1..8}; do
		for v in a b c; do
			(vmctl start $v || vmctl stop -f $v) >/dev/null 2>&1 &
		done
		sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
		vmd_killed
		vmd_back
	done
	for v in a b c; do
		within 20 eval '[[ $(field $v state) =~ ^(running|stopped)$ ]]'
		say "$v: $(field $v state)"
		if in_state $v running; then vmctl stop -fw $v; fi
		within 10 vmctl start $v
		becomes $v running 10
	done
	vmctl stop -fwa
	vmd_down
	clean 10
}
