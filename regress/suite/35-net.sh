# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Networks: addresses and routes of local interfaces, switches, lladdr
# locked, and that nothing of it stays.
limit=300

taps() { ip -o link show type tun 2>/dev/null | wc -l; }
bridges() { ip -o link show type bridge 2>/dev/null | wc -l; }
no_taps() { [[ $(taps) = 0 ]]; }

# pattern MB: what the tiny guest sends and gets.
pattern() {
	yes "all work and no play makes jack a dull boy" 2>/dev/null |
	    head -c $(($1 * 1048576)) || true
}

# The host's end of interface 0 of VM NAME.
tap_of() {
	sed -n "s/^[0-9]*: \([^:]*\):.*alias vm[0-9]*-if${2:-0}-$1\b.*/\1/;T;p;q" \
	    < <(ip -o link show type tun)
}

has_tap() { [[ -n $(tap_of "$1") ]]; }

t_local_dhcp_ping_tcp() {
	local sum got tap
	tun
	modprobe nf_tables 2>/dev/null || true
	pattern 32 >"$T/data"
	sum=$(md5sum <"$T/data")
	socat -u "OPEN:$T/data" TCP-LISTEN:7001,reuseaddr &
	socat -u TCP-LISTEN:7002,reuseaddr CREATE:"$T/received" &
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one net,dhcp,ping=10.77.1.2,get=10.77.1.2:7001,put=10.77.1.2:7002:16,idle \
		    'memory 256M' 'local interface { lladdr fe:e1:bb:d1:22:33 }'
	} | vmd_up
	start one
	prints one "tiny: idle" 240
	printed one "tiny: mac fe:e1:bb:d1:22:33 mtu 1500"
	printed one "lease 10.77.1.3/(31|255.255.255.254) router 10.77.1.2 dns 10.77.1.2"
	[[ $(value one "ping 10.77.1.2") = 3 ]]
	[[ $(value one got) = "$sum" ]]
	got=$(md5sum <"$T/received")
	[[ $(value one sent) = "$got" ]]
	[[ $(stat -c %s "$T/received") = $((16 * 1048576)) ]]
	tap=$(tap_of one)
	[[ $(cat "/sys/class/net/$tap/ifalias") = vm1-if0-one ]]
	grep -q 'inet 10.77.1.2/31' < <(ip addr show dev "$tap")
	vmctl stop -w one
	stopped one 1
	no_taps || fail "taps left: $(ip -o link show type tun)"
}

# Through the host, with its address, to a machine that knows no other; what
# is asked of the host's DNS port is asked of the host's resolver.
t_local_reaches_the_world() {
	local sum1 sum2
	tun
	modprobe nf_tables 2>/dev/null || true
	modprobe veth 2>/dev/null || true
	pattern 4 >"$T/data"
	pattern 1 >"$T/dns"
	ip netns add world
	ip link add w0 type veth peer name w1 netns world
	ip addr add 192.0.2.1/24 dev w0
	ip link set w0 up
	ip -n world addr add 192.0.2.53/24 dev w1
	ip -n world link set w1 up
	ip netns exec world socat -u "OPEN:$T/data" TCP-LISTEN:7001,reuseaddr &
	ip netns exec world socat -u "OPEN:$T/dns" TCP-LISTEN:53,reuseaddr &
	echo 1 >/proc/sys/net/ipv4/ip_forward
	cp /etc/resolv.conf "$T/resolv.conf" 2>/dev/null || true
	echo "nameserver 192.0.2.53" >/etc/resolv.conf
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one net,dhcp,get=192.0.2.53:7001,get=10.77.1.2:53,idle \
		    'memory 128M' 'local interface'
	} | vmd_up
	cp "$T/resolv.conf" /etc/resolv.conf 2>/dev/null || true
	start one
	prints one "tiny: idle" 120
	sum1=$(md5sum <"$T/data") sum2=$(md5sum <"$T/dns")
	printed one "got $sum1"
	printed one "got $sum2"
	not grep -q ip_forward "$T/vmd.log"
	vmctl stop -fw one
	ip netns del world
}

# passt_of USER: it runs as USER, with no capability and no way to get one.
passt_of() {
	local pid
	pid=$(pgrep -x -u "$1" "passt(.avx2)?") || fail "no passt of $1"
	grep -Eq "^Uid:(.$(id -u "$1")){4}$" "/proc/$pid/status"
	grep -Eq '^CapEff:.0+$' "/proc/$pid/status"
	grep -Eq '^CapPrm:.0+$' "/proc/$pid/status"
	grep -Eq '^NoNewPrivs:.1$' "/proc/$pid/status"
	[[ $(pgrep -c -x "passt(.avx2)?") = 1 ]]
}

# A VM of alice's with a user interface: alice starts it, and nothing of it
# has any privilege.
t_user_without_privileges() {
	local sum1 tty
	pattern 4 >"$T/data"
	world "$T/data"
	{
		echo 'socket owner root:vmusers'
		tiny one net,dhcp,get=192.0.2.54:7001,idle \
		    'memory 128M' 'owner alice' \
		    'interface user { lladdr fe:e1:bb:d1:22:44 }'
	} | vmd_up
	tty=$(as alice vmctl start one 2>&1 | sed -n 's/.*tty //p')
	record one "$tty"
	prints one "tiny: idle" 120
	printed one "tiny: mac fe:e1:bb:d1:22:44"
	printed one "lease 192.0.2.1/"
	sum1=$(md5sum <"$T/data")
	printed one "got $sum1"
	passt_of alice
	no_taps
	as alice vmctl stop -fw one
	not pgrep -x "passt(.avx2)?"
	vmd_down
	[[ -z $(vmd_processes) ]]
	ip netns del world
}

# What vmctl start -i gives a user who is not root.
t_user_is_the_default_of_users() {
	local sum1 tty
	pattern 1 >"$T/data"
	world "$T/data"
	echo 'socket owner root:vmusers' | vmd_up
	tty=$(as alice vmctl start -b "$G/vmlinuz" -I "$G/tiny.cpio" -m 128M \
	    -a "$base tiny=net,dhcp,get=192.0.2.54:7001,idle" -i 1 mine 2>&1 |
	    sed -n 's/.*tty //p')
	record mine "$tty"
	prints mine "tiny: idle" 120
	sum1=$(md5sum <"$T/data")
	printed mine "got $sum1"
	passt_of alice
	[[ $(field mine owner) = alice ]]
	as alice vmctl stop -fw mine
	within 5 eval '[[ $(vmctl status -j | jq length) = 0 ]]'
	ip netns del world
}

# Two VMs and the host on a bridge that vmd makes and removes.
t_switch() {
	tun
	pattern 8 >"$T/data"
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		tiny one net,ip=10.78.0.1/24,serve=7000:8,idle 'memory 128M' \
		    'interface { switch "lan" }'
		tiny two net,ip=10.78.0.2/24,ping=10.78.0.1,ping=10.78.0.254,get=10.78.0.1:7000,idle \
		    'memory 128M' 'cpus 2' 'interface { switch "lan" }'
	} | vmd_up
	within 5 ip link show vmbr0
	ip addr add 10.78.0.254/24 dev vmbr0
	start one
	prints one "tiny: serving" 120
	start two
	prints two "tiny: idle" 240
	[[ $(value two "ping 10.78.0.1") = 3 ]]
	[[ $(value two "ping 10.78.0.254") = 3 ]]
	[[ $(value two got) = "$(md5sum <"$T/data")" ]]
	[[ $(bridges) = 1 ]]
	vmctl stop -fwa
	no_taps
	vmd_down
	within 5 eval '[[ $(bridges) = 0 ]]'
}

# A guest with two processors has a pair of queues for each, and so has its tap;
# what one processor asks for comes by its own.
t_queues_for_each_cpu() {
	local tap cpu sum got=('' '')
	tun
	pattern 8 >"$T/data"
	sum=$(md5sum <"$T/data")
	socat -u "OPEN:$T/data" TCP-LISTEN:7001,reuseaddr &
	socat -u "OPEN:$T/data" TCP-LISTEN:7002,reuseaddr &
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one shell 'cpus 2' 'memory 256M' 'local interface'
	} | vmd_up
	start one
	prints one "/ # " 120
	tap=$(tap_of one)
	[[ $(find "/sys/class/net/$tap/queues" -name 'tx-*' | wc -l) = 2 ]]
	key one 'ip link set eth0 up; ip addr add 10.77.1.3/31 dev eth0'
	key one 'irqs() { awk "/-input.$1\$/ { print \$2 + \$3 }" /proc/interrupts; }'
	for cpu in 0 1; do
		key one "a=\$(irqs $cpu); s=\$(taskset $((cpu + 1)) nc 10.77.1.2 $((7001 + cpu)) </dev/null | md5sum)"
		key one "echo tiny: cpu$cpu \$((\$(irqs $cpu) - a)) \$s."
		prints one "^tiny: cpu$cpu [0-9]+ .*\." 120
		got[cpu]=$(value one "cpu$cpu")
		echo "# ${got[cpu]}"
		[[ ${got[cpu]#* } = "${sum%% *} -." ]]
		[[ ${got[cpu]%% *} -ge 10 ]]
	done
	vmctl stop -fw one
}

# The tiny guest with iperf3 and the libraries that it needs.
with_iperf3() { # OUT
	local f d=$T/iperf3
	mkdir -p "$d/tmp"
	install -D -t "$d/bin" /usr/bin/iperf3
	for f in $(ldd /usr/bin/iperf3 | grep -o '/[^ ]*'); do
		install -D "$f" "$d$f"
	done
	(cd "$d" && find . | cpio --quiet -o -H newc -R 0:0) |
		cat "$G/tiny.cpio" - >"$1"
}

# Errors that the driver of an interface has counted, as the shell computes them.
interface_errors='$(($(cat /sys/class/net/eth0/statistics/[rt]x_errors | tr "\n" +)0))'

# Everybody measures everybody, and nobody sees an error.
t_iperf3_on_a_switch() {
	local name peer to n=0
	tun
	with_iperf3 "$T/net.cpio"
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		for name in one two; do
			vm "$name" "boot \"$G/vmlinuz\"" "initrd \"$T/net.cpio\"" \
			    "cmdline \"$base tiny=shell\"" 'memory 256M' 'cpus 2' \
			    'interface { switch "lan" }'
		done
	} | vmd_up
	within 5 ip link show vmbr0
	ip addr add 10.78.0.254/24 dev vmbr0
	iperf3 -s -B 10.78.0.254 >"$T/served" 2>&1 &
	for name in one two; do
		start "$name"
		prints "$name" "/ # " 120
		key "$name" "ip link set lo up; ip link set eth0 up; ip addr add 10.78.0.$((++n))/24 dev eth0"
		key "$name" 'iperf3 -s >/served 2>&1 &'
	done
	# NAME PEER: who asks whom; then each receives what it sent before.
	while read -r name peer <&3; do
		to=10.78.0.$peer
		key "$name" "ping -c 3 -W 10 $to >/p; echo tiny: ping$peer \$(grep -c 'bytes from' /p)."
		prints "$name" "^tiny: ping$peer 3\." 60
		key "$name" "iperf3 -t 1 -c $to >/a 2>&1; a=\$?; iperf3 -R -t 1 -c $to >/b 2>&1; echo tiny: iperf$peer \$a \$? \$(cat /a /b | grep -c receiver)."
		prints "$name" "^tiny: iperf$peer .*\." 60
		echo "# $name to $to: $(value "$name" "iperf$peer")"
		[[ $(value "$name" "iperf$peer") = "0 0 2." ]]
		key "$name" "grep -h receiver /a /b; echo tiny: errors$peer $interface_errors."
		prints "$name" "^tiny: errors$peer 0\." 30
	done 3<<-EOF
		one 2
		one 254
		two 1
		two 254
	EOF
	iperf3 -t 1 -c 10.78.0.1
	iperf3 -t 1 -R -c 10.78.0.2
	for name in "$(tap_of one)" "$(tap_of two)" vmbr0; do
		[[ $(cat "/sys/class/net/$name/statistics/"[rt]x_errors) = $'0\n0' ]]
	done
	vmctl stop -fwa
}

# The guest sees its cable come out and in again, and says who it is.
t_link_state() {
	local tap
	tun
	{
		echo 'local prefix 10.77.0.0/16'
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 128M' 'owner alice' 'local interface'
	} | vmd_up
	start one
	prints one "/ # " 120
	refused vmctl set one link 1 down
	says "no interface 1"
	refused as eve vmctl set one link 0 down
	says "not permitted"
	key one "ip link set eth0 up; ip addr add 10.77.1.3/31 dev eth0"
	key one 'while :; do cat /sys/class/net/eth0/carrier; sleep 1; done >/c &'
	key one 'echo tiny: carrier $(tail -n 1 /c).'
	prints one "tiny: carrier 1\." 30
	as alice vmctl set one link 0 down
	[[ $(field one devices | jq -r '.[] | select(.name == "vionet0").link') = down ]]
	sleep 4
	key one 'echo tiny: pulled $(tail -n 1 /c).'
	prints one "tiny: pulled 0\." 30
	tap=$(tap_of one)
	socat -u "INTERFACE:$tap" CREATE:"$T/frames" &
	sleep 2
	as alice vmctl set one link 0 up
	sleep 6
	key one 'echo tiny: plugged $(tail -n 1 /c).'
	prints one "tiny: plugged 1\." 30
	# It asks by ARP for its own address.
	grep -q "08060001080006040001.\{12\}0a4d0103.\{12\}0a4d0103" \
	    < <(od -An -v -tx1 "$T/frames" | tr -d ' \n')
	grep -q "link up interface $tap address 10.77.1.3" \
	    < <(vmctl status -v one)
	field one devices | jq -e '.[] | select(.name == "vionet0") |
	    .address == "10.77.1.3" and .interface == "'"$tap"'" and
	    .requests > 0'
	vmctl stop -fw one
}

# A guest with another address than its own is not heard, and hears nothing
# that is for others.
t_locked_lladdr() {
	local tap before after
	tun
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n\tlocked lladdr\n}\n'
		tiny good net,ip=10.79.0.1/24,ping=10.79.0.254,idle \
		    'memory 128M' 'interface { switch "lan" }'
		tiny forger net,mac=02:00:00:00:00:99,ip=10.79.0.2/24,ping=10.79.0.254,idle \
		    'memory 128M' 'interface { switch "lan" }'
	} | vmd_up
	within 5 ip link show vmbr0
	ip addr add 10.79.0.254/24 dev vmbr0
	start good
	prints good "tiny: idle" 120
	[[ $(value good "ping 10.79.0.254") = 3 ]]
	start forger
	prints forger "tiny: idle" 120
	[[ $(value forger "ping 10.79.0.254") = 0 ]]
	grep -q "forger: vionet0: frame from 02:00:00:00:00:99 dropped" \
	    "$T/vmd.log"
	tap=$(tap_of forger)
	[[ $(cat "/sys/class/net/$tap/statistics/rx_packets") = 0 ]]
}

# kill -9 of each process leaves no tap, no bridge and no rule behind, and
# the rest goes on.
t_killed_processes_leave_nothing() {
	local pid
	tun
	mark
	{
		echo 'local prefix 10.77.0.0/16'
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		tiny one net,dhcp,idle 'memory 128M' 'local interface' \
		    'interface { switch "lan" }'
		tiny two idle 'memory 128M' 'local interface'
	} | vmd_up
	start one
	prints one "tiny: idle" 120
	[[ $(taps) = 2 ]]
	kill -9 "$(device_process one vionet1)"
	within 5 eval '[[ $(taps) = 1 ]]'
	in_state one running
	within 5 eval '[[ $(field one problem) = *vionet1*signal\ 9* ]]'
	pid=$(pgrep -f 'vmd: netcfg')
	kill -9 "$pid"
	within 5 eval 'p=$(pgrep -f "vmd: netcfg") && [[ $p != '"$pid"' ]]'
	in_state one running
	[[ $(taps) = 1 ]]
	# The new one serves.
	start two
	prints two "tiny: idle" 120
	[[ $(taps) = 2 ]]
	vmctl stop -fwa
	no_taps
	vmd_down
	[[ $(taps) = 0 && $(bridges) = 0 ]]
	clean 5
}

# The daemon itself, and its keeper: everything goes.
t_killed_daemon_leaves_nothing() {
	tun
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		tiny one idle 'memory 128M' 'local interface' \
		    'interface { switch "lan" }'
	} | vmd_up
	start one
	prints one "tiny: idle" 120
	kill -9 "$vmd_pid" "$(pgrep -f 'vmd: keeper')"
	vmd_pid=''
	within 10 eval '[[ $(taps) = 0 && $(bridges) = 0 ]]'
	within 5 eval '[[ -z $(vmd_processes) ]]'
}

t_reboot_keeps_the_network() {
	tun
	truncate -s 1M "$T/disk"
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one reboot 'memory 128M' "disk \"$T/disk\"" \
		    'local interface' 'interface'
	} | vmd_up
	start one
	prints one "tiny: second boot" 120
	stopped one 20
	no_taps
}

t_refusals() {
	tun
	{
		printf 'switch "gone" {\n\tinterface nobr0\n}\n'
		tiny noswitch idle 'interface { switch "none" }'
		tiny nobridge idle 'interface { switch "gone" }'
		tiny norouting idle 'interface { rdomain 200 }'
		tiny nogroup idle 'interface { group nosuchgroup }'
	} | vmd_up
	refused vmctl start noswitch
	says 'switch "none" not found'
	refused vmctl start nobridge
	says 'bridge nobr0: no such interface'
	refused vmctl start norouting
	says 'rdomain 200: there is no VRF with table 200'
	refused vmctl start nogroup
	says 'group nosuchgroup: not in /etc/iproute2/group'
	no_taps
}
