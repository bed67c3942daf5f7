# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154,SC2317
#
# A VM's control group: all of its processes, the limits of vm.conf, and
# nothing left of it afterwards.  The bounds of the service as a whole.
limit=240

root=/sys/fs/cgroup
groups=$root/vmd

group_of() { sed -n "s,^0::,$root,p" "/proc/$1/cgroup"; }

# members GROUP: its processes.  KVM puts a thread of the kernel beside them.
members() {
	local p n=0
	while read -r p; do
		[[ ! -e /proc/$p/exe ]] || n=$((n + 1))
	done <"$1/cgroup.procs"
	echo "$n"
}

# together NUMBER NAME GROUP: so many processes of the VM, passt among them,
# are the group's, and no other is.
together() {
	local p n=0
	for p in $(vm_processes "$2"; pgrep -x 'passt(.avx2)?' || true); do
		[[ $(group_of "$p") = "$3" ]] ||
			fail "$(title "$p") is in $(group_of "$p")"
		n=$((n + 1))
	done
	[[ $n = "$1" && $(members "$3") = "$n" ]] ||
		fail "$n processes, in the group $(members "$3")"
}

# used GROUP: CPU time, in microseconds.
used() { sed -n 's/^usage_usec //p' "$1/cpu.stat"; }

# percent GROUP SECONDS: of one processor, over so many seconds.
percent() {
	local u t
	u=$(used "$1") t=$(date +%s%N)
	sleep "$2"
	u=$(($(used "$1") - u)) t=$((($(date +%s%N) - t) / 1000))
	echo $((u * 100 / t))
}

# counted NAME GROUP: what status says the VM used is what the group counts, of
# all its processes.
counted() {
	local cpu cpu_now memory now
	cpu() { sed -n 's/^usage_usec //p' "$1/cpu.stat"; }
	cpu=$(cpu "$2")
	memory=$(awk '/^(anon|shmem) / { s += $2 } END { print s }' \
	    "$2/memory.stat")
	now=$(field "$1" cpu_seconds)
	cpu_now=$(cpu "$2")
	echo "# $now s of CPU time, of $cpu to $cpu_now us"
	awk -v a="$cpu" -v b="$cpu_now" -v s="$now" \
	    'BEGIN { exit !(s * 1e6 >= a - 1 && s * 1e6 <= b + 1) }' ||
		fail "not the group's"
	now=$(field "$1" memory_resident)
	echo "# $now bytes, of $memory"
	# The guest goes on.
	[[ $now -ge $((memory - (8 << 20))) && $now -le $((memory + (8 << 20))) ]]
	[[ $memory -gt $((16 << 20)) ]]
}

gone() { [[ ! -e $1 ]]; }

t_all_processes_and_limits() {
	local g=$groups/vm-one dev
	tun
	modprobe nf_tables 2>/dev/null || true
	# passt wants a way out, wherever it leads.
	modprobe veth 2>/dev/null || true
	ip link add w0 type veth peer name w1
	ip addr add 192.0.2.1/24 dev w0
	ip link set w1 up
	ip link set w0 up
	ip route add default via 192.0.2.2
	truncate -s 8M "$G/limit-disk"
	truncate -s 1M "$T/iso"
	tiny one idle 'memory 128M' "disk \"$G/limit-disk\"" \
	    "cdrom \"$T/iso\"" 'interface user' 'local interface' \
	    'limit {' 'cpu 150%' 'cpu weight 200' 'memory 400M' \
	    'io read 50M, io write 20M' '}' | vmd_up
	start one
	prints one "tiny: idle" 90
	# vm, vioblk, vioscsi, two of vionet, passt
	together 6 one "$g"
	[[ $(<"$g/cpu.max") = "150000 100000" ]]
	[[ $(<"$g/cpu.weight") = 200 ]]
	[[ $(<"$g/memory.max") = $((400 << 20)) ]]
	dev=$(stat -c %Hd:%Ld "$G/limit-disk")
	[[ $(<"$g/io.max") = "$dev rbps=52428800 wbps=20971520 riops=max wiops=max" ]]
	not [ "$(group_of "$vmd_pid")" = "$g" ]
	counted one "$g"
	vmctl stop -w one
	gone "$g"
	[[ -d $groups ]]
	vmd_down
	gone "$groups"
	ip link del w0
	rm -f "$G/limit-disk"
}

t_no_limits() {
	atom one | vmd_up
	start one
	prints one "tiny: idle" 90
	together 1 one "$groups/vm-one"
	[[ $(<"$groups/vm-one/cpu.max") = "max 100000" ]]
	[[ $(<"$groups/vm-one/memory.max") = max ]]
	vmctl stop -fw one
	gone "$groups/vm-one"
}

# Two busy CPUs get what they ask for, or what they may; with that little, a
# guest that boots is busy for long.
t_cpu() {
	local p n u t
	throttled() { sed -n 's/^nr_throttled //p' "$1/cpu.stat"; }
	{
		tiny free shell 'cpus 2' 'memory 128M'
		tiny quarter idle 'cpus 2' 'memory 128M' 'limit cpu 25%'
	} | vmd_up
	start free
	prints free "/ # " 120
	key free 'for i in 1 2; do while :; do :; done & done'
	sleep 3
	p=$(percent "$groups/vm-free" 6)
	echo "# $p% of a processor without a limit"
	[[ $p -gt 120 ]]
	vmctl stop -fw free
	start quarter
	becomes quarter running 60
	# On the whole: for a moment a busy lab gives it less, or is late to stop
	# it.
	n=$(throttled "$groups/vm-quarter")
	u=$(used "$groups/vm-quarter") t=$(date +%s%N)
	for _ in 1 2 3; do
		sleep 15
		p=$((($(used "$groups/vm-quarter") - u) * 100000 /
		    ($(date +%s%N) - t)))
		echo "# $p% of a processor with one of 25%"
		[[ $p -le 15 || $p -ge 30 ]] || break
	done
	[[ $p -gt 15 && $p -lt 30 ]]
	[[ $(throttled "$groups/vm-quarter") -gt $n ]]
	vmctl stop -fw quarter
}

t_io() {
	local t
	truncate -s 64M "$G/limit-disk"
	# A file is written for the group that dirtied it first: not for ours.
	sync "$G/limit-disk"
	echo 2 >/proc/sys/vm/drop_caches
	tiny one write,32 'memory 256M' "disk \"$G/limit-disk\"" \
	    'limit io write 2M' | vmd_up
	start one
	prints one "tiny: cpus" 120
	t=$SECONDS
	prints one "tiny: sum" 120
	t=$((SECONDS - t))
	echo "# $t s for 32 MB"
	[[ $t -ge 12 && $(value one sum) = $(stream 32 | md5sum) ]]
	rm -f "$G/limit-disk"
}

# A guest that touches more than its VM may have ends, as a whole, and alone.
t_memory() {
	truncate -s 8M "$T/disk"
	{
		tiny one shell 'memory 512M' "disk \"$T/disk\"" \
		    'limit memory 200M'
		tiny two idle 'memory 128M'
	} | vmd_up
	start two
	start one
	prints one "/ # " 120
	key one 'dd if=/dev/zero of=/big bs=1M count=300'
	stopped one 90
	[[ $(field one problem) = *"out of memory" ]]
	grep "one: stopped: vm process killed by signal 9.*: out of memory" \
	    "$T/vmd.log"
	gone "$groups/vm-one"
	in_state two running
	prints two "tiny: idle" 90
}

t_gone_whatever_ends_it() {
	truncate -s 1M "$T/disk"
	{
		atom one "disk \"$T/disk\"" 'limit cpu 100%'
		tiny again reboot 'memory 128M' "disk \"$T/disk\"" \
		    'limit cpu 100%'
		tiny not idle 'memory 1T' 'limit cpu 100%'
	} | vmd_up
	start one
	prints one "tiny: idle" 90
	together 2 one "$groups/vm-one"
	kill -9 "$(field one pid)"
	stopped one 10
	gone "$groups/vm-one"
	# The next life has a group of its own.
	start again
	within 90 eval '[[ $(field again restarts) = 1 ]]'
	becomes again running 20
	[[ $(<"$groups/vm-again/cpu.max") = "100000 100000" ]]
	together 2 again "$groups/vm-again"
	prints again "tiny: end" 90
	stopped again 30
	gone "$groups/vm-again"
	refused vmctl start not
	gone "$groups/vm-not"
}

# What a daemon that was killed left is the next one's, guests included.
t_leftovers() {
	local keeper
	atom one 'limit memory 400M' | vmd_up
	start one
	prints one "tiny: idle" 90
	kill -9 "$vmd_pid"
	wait "$vmd_pid" || true
	cp "$T/vm.conf" "$T/again.conf"
	vmd_up <"$T/again.conf"
	together 1 one "$groups/vm-one"
	[[ $(<"$groups/vm-one/memory.max") = $((400 << 20)) ]]
	vmctl stop -fw one
	gone "$groups/vm-one"
	start one
	together 1 one "$groups/vm-one"
	# Nobody can adopt them: they end, and their groups are removed.
	keeper=$(cat "$groups/keeper/cgroup.procs")
	kill -9 "$vmd_pid" "$keeper"
	wait "$vmd_pid" || true
	within 20 eval '[[ -z $(vmd_processes) ]]'
	[[ -d $groups/vm-one ]]
	vmd_up <"$T/again.conf"
	gone "$groups/vm-one"
	start one
	together 1 one "$groups/vm-one"
}

# Two daemons keep out of each other's way.
t_two_daemons() {
	local other
	atom one | vmd_up
	vmd -d -f "$T/vm.conf" -s "$T/other.sock" 2>"$T/other.log" &
	other=$!
	within 20 vmctl -s "$T/other.sock" status
	[[ -d $groups-1 ]]
	start one
	vmctl -s "$T/other.sock" start one
	[[ $(members "$groups/vm-one") = 1 ]]
	[[ $(members "$groups-1/vm-one") = 1 ]]
	kill -TERM "$other"
	kill -TERM "$other"
	wait "$other"
	gone "$groups-1"
	[[ -d $groups/vm-one ]]
}

# No hierarchy at all: who has no limits runs, who has some is told why not.
t_no_groups() {
	vmd() {
		[[ $1 != -n ]] || {
			command vmd "$@"
			return
		}
		exec unshare -m sh -c "umount $root && exec vmd \"\$@\"" vmd "$@"
	}
	{
		atom one
		atom two 'limit memory 400M'
	} | vmd_up
	start one
	prints one "tiny: idle" 90
	refused vmctl start two
	says "limit: no control groups: no hierarchy of version 2 at $root"
	in_state two stopped
	in_state one running
}

# A file system without a block device.
t_io_without_a_device() {
	truncate -s 8M "$T/disk"
	tiny one idle "disk \"$T/disk\"" 'limit io read 1M' | vmd_up
	refused vmctl start one
	says "limit io: an image is not on a block device"
	gone "$groups/vm-one"
}

# What the service's unit leaves it is enough for every kind of device.
t_within_the_bounds_of_its_service() {
	local unit=/usr/lib/systemd/system/vmd.service caps
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' $unit |
	    tr 'A-Z ' 'a-z\n' | sed 's/^cap_/+/' | paste -sd,)
	[[ $caps = *+sys_admin* ]]
	umask "$(sed -n 's/^UMask=//p' $unit)"
	grep -q '^NoNewPrivileges=yes' $unit
	vmd() {
		[[ $1 != -n ]] || {
			command vmd "$@"
			return
		}
		exec setpriv --no-new-privs --bounding-set "-all,$caps" \
		    vmd "$@"
	}
	tun
	modprobe nf_tables 2>/dev/null || true
	modprobe veth 2>/dev/null || true
	ip link add w0 type veth peer name w1
	ip addr add 192.0.2.1/24 dev w0
	ip link set w1 up
	ip link set w0 up
	ip route add default via 192.0.2.2
	truncate -s 1M "$T/disk" "$T/iso"
	{
		echo 'socket owner root:vmusers'
		tiny one idle 'memory 128M' "disk \"$T/disk\"" \
		    "cdrom \"$T/iso\"" 'interface user' 'local interface' \
		    'cloud-init { hostname "one" }' 'limit cpu 100%' \
		    'owner alice'
	} | vmd_up
	grep -q '^NoNewPrivs:.1$' "/proc/$vmd_pid/status"
	as alice vmctl start one
	becomes one running 60
	record one "$(field one tty)"
	as alice vmctl stop -w one
	stopped one 10
	vmd_down
	ip link del w0
}
