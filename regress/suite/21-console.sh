# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Consoles beside the first: the second serial port's, the virtio console's.
limit=240

# shell_on NAME DEVICE FIELD: a shell of its guest there; what it prints is in
# $T/NAME-FIELD.console.
shell_on() {
	local tty
	tty=$(field "$1" "$3")
	[[ -c $tty ]] || fail "$1: no $3"
	record "$1-$3" "$tty"
	key "$1" "setsid sh <$2 >$2 2>&1 &"
}

# types NAME FIELD TEXT: to the shell there.
types() {
	printf '%s\n' "$3" >"$(field "$1" "$2")"
}

# answers NAME FIELD: both directions, and more than fits anywhere at once.
answers() {
	types "$1" "$2" 'echo it is $((6*7)).'
	prints "$1-$2" "it is 42\." 60
	types "$1" "$2" 'stty -echo -onlcr raw -opost 2>/dev/null; echo ready.'
	prints "$1-$2" "^ready\." 30
	types "$1" "$2" 'i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo done.'
	prints "$1-$2" "^done\." 60
	printed "$1-$2" "^line 1999"
}

t_serial2() {
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 128M' 'owner alice' 'console serial2'
	} | vmd_up
	start one
	prints one "tiny: shell" 90
	[[ $(stat -c %U "$(field one tty_serial2)") = alice ]]
	[[ $(field one tty_virtio) = null ]]
	shell_on one /dev/ttyS1 tty_serial2
	answers one tty_serial2
	# Its own interrupt: the one that ISA gives it.
	types one tty_serial2 'echo irq $(grep -c "^ *3:.*ttyS1" /proc/interrupts).'
	prints one-tty_serial2 "irq 1\." 30
	refused as alice vmctl console -v one
	says "console not found"
	refused as eve vmctl console -2 one
	vmctl stop -fw one
}

# The port is there in all VMs, and what goes there disturbs nobody.
t_serial2_without_a_listener() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "tiny: shell" 90
	[[ $(field one tty_serial2) = null ]]
	key one 'seq 2000 >/dev/ttyS1; echo tiny: rc $?.'
	prints one "tiny: rc 0\." 60
	vmctl stop -fw one
}

t_virtio() {
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 128M' 'owner alice' 'console virtio'
	} | vmd_up
	start one
	prints one "tiny: shell" 90
	[[ $(field one tty_serial2) = null ]]
	shell_on one /dev/hvc0 tty_virtio
	answers one tty_virtio
	pkill -f "cat $(field one tty_virtio)" || true
	sleep 1
	as alice timeout 20 vmctl console -nv one >"$T/attached" 2>&1 &
	sleep 2
	key one 'echo said to all >/dev/hvc0'
	within 10 grep -q "said to all" "$T/attached"
	wait $! || true
	vmctl stop -fw one
}

t_virtio_legacy() {
	tiny one shell 'memory 128M' 'console virtio' |
		sed 's/tiny=shell/legacy tiny=shell/' | vmd_up
	start one
	prints one "tiny: shell" 90
	shell_on one /dev/hvc0 tty_virtio
	answers one tty_virtio
	vmctl stop -fw one
}

# The kernel's own console.
t_virtio_is_the_console() {
	tiny one shell 'memory 128M' 'console virtio' |
		sed 's/console=ttyS0/console=ttyS0 console=hvc0/' | vmd_up
	start one
	record hvc "$(field one tty_virtio)"
	prints one "tiny: shell" 90
	key one 'echo "<3>said by the kernel" >/dev/kmsg'
	prints hvc "said by the kernel" 30
	vmctl stop -fw one
}

# A state has all of its consoles.
t_saved() {
	tiny one shell 'memory 128M' 'console virtio' 'console serial2' | vmd_up
	start one
	prints one "tiny: shell" 90
	shell_on one /dev/hvc0 tty_virtio
	shell_on one /dev/ttyS1 tty_serial2
	types one tty_virtio 'x=17; echo set $x.'
	prints one-tty_virtio "set 17\." 30
	types one tty_serial2 'y=18; echo set $y.'
	prints one-tty_serial2 "set 18\." 30
	vmctl save one "$T/state"
	in_state one stopped
	vmctl restore "$T/state"
	in_state one running
	record one-tty_virtio "$(field one tty_virtio)"
	record one-tty_serial2 "$(field one tty_serial2)"
	types one tty_virtio 'echo still $x.'
	prints one-tty_virtio "still 17\." 60
	types one tty_serial2 'echo still $y.'
	prints one-tty_serial2 "still 18\." 60
	vmctl stop -fw one
}
