# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The text screen, the keyboard and the mouse: of firmware, of Linux; who may use
# them.
limit=300

shows() { # NAME TEXT
	vmctl screen "$1" >"$T/screen" && grep -q -- "$2" "$T/screen"
}

await() { # NAME TEXT SECONDS
	within "$3" shows "$1" "$2" ||
		fail "no '$2' on the screen: $(grep . "$T/screen")"
}

t_firmware() {
	[[ -f /usr/share/seabios/vgabios-isavga.bin ]] || skip "no video BIOS"
	truncate -s 1M "$T/disk"
	vm one 'memory 64M' 'screen' "disk \"$T/disk\"" | vmd_up
	refused vmctl screen one
	says "not running"
	start one
	await one "No bootable device" 90
	await one "SeaBIOS (version" 5
	printed one "No bootable device"
	vmctl screen -j one >"$T/json"
	[[ $(jq -r .mode "$T/json") = text ]]
	[[ $(jq -r .columns "$T/json") = 80 ]]
	[[ $(jq -r '.lines | length' "$T/json") = 25 ]]
	grep -q "No bootable device" < <(jq -r '.lines[]' "$T/json")
	vmctl stop -fw one
}

t_linux() {
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 128M' 'owner alice' 'screen' |
			sed 's/console=ttyS0/console=ttyS0 console=tty0/'
		tiny none idle 'memory 96M'
	} | vmd_up
	start one
	await one "tiny: shell" 90
	key one 'setsid -c sh </dev/tty1 >/dev/tty1 2>&1 &'
	await one "built-in shell" 30
	as alice vmctl key -t one 'echo "Sum: $((6*7))" "[{a|b}]"'
	as alice vmctl key one ret
	await one 'Sum: 42 \[{a|b}\]' 30
	refused as eve vmctl screen one
	says "not permitted"
	refused as eve vmctl key one a
	says "not permitted"
	refused vmctl key one no-such-key
	says "unknown key: no-such-key"
	start none
	refused vmctl screen none
	says "has no screen"
	timeout 3 vmctl screen -fj one >"$T/follow" || true
	grep -q "Sum: 42" < <(jq -r '.lines[]' "$T/follow")
	[[ $(field one restarts) = 0 ]]
	vmctl key one ctrl-alt-delete
	within 60 restarted one 1 || fail "$(vmctl screen one)"
	vmctl stop -fw one
}

restarted() {
	[[ $(field "$1" restarts) -ge $2 ]]
}

# Linux finds the auxiliary port, and gets its interrupt, by tests of its own.
t_mouse() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "tiny: shell" 90
	key one 'sleep 2; cat /sys/bus/serio/devices/*/description'
	prints one "i8042 AUX port" 30
	vmctl stop -fw one
}
