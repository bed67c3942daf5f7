# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Pause: the guest stands still, does not notice, and loses nothing.
limit=240

# Clock ticks that the vm process has used; proc(5).
ticks() {
	local s
	s=$(<"/proc/$(field "$1" pid)/stat")
	s=${s##*)}
	# shellcheck disable=SC2086 # fields
	set -- $s
	echo $((${12} + ${13}))
}

# uptime NAME NUMBER: of the guest, in hundredths of a second.
uptime() {
	key "$1" "echo tiny: up$2 \$(cut -d' ' -f1 /proc/uptime | tr -d .)."
	prints "$1" "tiny: up$2 [0-9]+\." 60
	value "$1" "up$2" | tr -d .
}

t_time_stands_still() {
	local before after used
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'cpus 2' 'memory 128M' 'owner alice'
	} | vmd_up
	refused vmctl pause one
	says "is not running"
	start one
	prints one "/ # " 120
	refused vmctl unpause one
	says "not paused"
	refused as eve vmctl pause one
	says "not permitted"
	# One CPU is busy, one sleeps.
	key one 'while :; do :; done &'
	before=$(uptime one 1)
	as alice vmctl pause one 2>&1 | grep "paused vm [0-9]* successfully"
	in_state one paused
	refused vmctl pause one
	says "paused already"
	refused as eve vmctl unpause one
	says "not permitted"
	used=$(ticks one)
	sleep 30
	[[ $(ticks one) -le $((used + 5)) ]]
	as alice vmctl unpause one 2>&1 | grep "unpaused vm [0-9]* successfully"
	in_state one running
	after=$(uptime one 2)
	echo "# the guest's time: $before, then $after"
	[[ $((after - before)) -lt 2500 ]]
	# Its clock goes on, and its timers work.
	key one 'sleep 3; echo tiny: slept.'
	prints one "tiny: slept\." 60
	[[ $(uptime one 3) -gt $((after + 250)) ]]
	grep -aEi "lockup|stall|unstable|clocksource" "$T/one.console" && return 1
	vmctl stop -fw one
}

# The processor's clock and the guest's own stay together, however short each pause
# is: the guest may go by either.
t_tsc_stands_still() {
	local i at=() now=()
	[[ -s ../bench/extra.cpio ]] || skip "no program of guests"
	cat "$G/tiny.cpio" ../bench/extra.cpio >"$T/tiny.cpio"
	vm one "boot \"$G/vmlinuz\"" "initrd \"$T/tiny.cpio\"" \
	    "cmdline \"$base tiny=shell\"" "cpus $smp" 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	key one 'clocks /clocks &'
	for i in 1 2 3; do
		key one "sleep 5; echo tiny: clocks$i \$(cat /clocks)."
		[[ $i != 3 ]] || for _ in {1..10}; do
			vmctl pause one
			sleep 0.5
			vmctl unpause one
		done
		prints one "^tiny: clocks$i [0-9]+ [0-9]+ [0-9]+ [0-9]+\." 60
	done
	for i in 1 2 3; do
		read -r _ _ "at[i]" "now[i]" < <(value one "clocks$i" | tr -d .)
	done
	# ns that the TSC went farther than the guest's time, by the rate of before.
	i=$(awk -v a="${at[*]}" -v n="${now[*]}" 'BEGIN {
		split(a, t); split(n, m)
		rate = (t[2] - t[1]) / (m[2] - m[1])
		printf "%d", (t[3] - t[2]) / rate - (m[3] - m[2])
	}')
	echo "# the TSC went $i ns farther"
	[[ ${i#-} -lt 1000000000 ]]
	not printed one "tiny: back"
	vmctl stop -fw one
}

# In the middle of what it writes.
t_nothing_is_lost() {
	local sum i
	truncate -s 100M "$T/disk"
	tiny one write,64 'memory 256M' 'cpus 2' "disk \"$T/disk\"" | vmd_up
	start one
	prints one "tiny: cpus" 120
	for i in 1 2 3 4 5; do
		vmctl pause one
		sleep 0.5
		vmctl unpause one
		sleep 0.3
	done
	prints one "tiny: end" 150
	sum=$(stream 64 | md5sum)
	[[ $(value one sum) = "$sum" ]]
	stopped one 10
}

t_stop_of_a_paused_vm() {
	tiny one idle 'memory 128M' | vmd_up
	start one
	prints one "tiny: idle" 60
	vmctl pause one
	vmctl stop one
	prints one "power button" 30
	stopped one 30
	start one
	within 60 eval '[[ $(grep -ac "tiny: idle" "$T/one.console") = 2 ]]'
	vmctl pause one
	vmctl stop -fw one
	stopped one 10
	start one
	within 60 eval '[[ $(grep -ac "tiny: idle" "$T/one.console") = 3 ]]'
	in_state one running
	vmctl pause one
	kill -9 "$(field one pid)"
	stopped one 10
}
