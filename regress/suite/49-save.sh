# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The state of a VM, to a file and back.
limit=240

# restore [OPTION...] FILE NAME: records the console of its new life.
restore() {
	local name=${*: -1} tty
	vmctl restore "${@:1:$#-1}" 2>&1 | tee "$T/restore.out"
	tty=$(sed -n 's/.*restored vm [0-9]*, tty \(.*\)/\1/p' "$T/restore.out")
	[[ -c $tty ]] || fail "$name: no tty in: $(cat "$T/restore.out")"
	record "$name" "$tty"
}

t_goes_on() {
	local boot sum
	truncate -s 64M "$T/disk"
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'cpus 2' 'memory 128M' 'owner alice' \
		    "disk \"$T/disk\""
	} | vmd_up
	start one
	prints one "/ # " 120
	key one 'echo tiny: boot $(cat /proc/sys/kernel/random/boot_id).'
	prints one "tiny: boot [0-9a-f-]+\." 30
	boot=$(value one boot)
	key one 'n=0; while :; do n=$((n+1)); sleep 1; echo $n >/count; done &'
	key one 'dd if=/dev/urandom of=/data bs=1M count=8; cp /data /dev/vda'
	key one 'echo tiny: sum1 $(md5sum </data).'
	prints one "tiny: sum1 [0-9a-f]+ .*\." 60
	sum=$(value one sum1)
	key one 'echo tiny: up1 $(cut -d. -f1 /proc/uptime).'
	prints one "tiny: up1 [0-9]+\." 30
	refused as eve vmctl save one /tmp/eve.state
	says "not permitted"
	[[ ! -e /tmp/eve.state ]]
	vmctl save one "$T/state" 2>&1 | grep "saved vm [0-9]*"
	in_state one stopped
	ls -ls "$T/state"
	refused vmctl save one "$T/state"
	says "exists"
	restore "$T/state" one
	in_state one running
	key one 'echo tiny: boot2 $(cat /proc/sys/kernel/random/boot_id).'
	prints one "tiny: boot2 [0-9a-f-]+\." 60
	[[ $(value one boot2) = "$boot" ]]
	key one 'echo 3 >/proc/sys/vm/drop_caches'
	key one 'echo tiny: sum2 $(dd if=/dev/vda bs=1M count=8 2>/dev/null | md5sum).'
	prints one "tiny: sum2 [0-9a-f]+ .*\." 60
	echo "# $sum then $(value one sum2)"
	[[ $(value one sum2) = "$sum" ]]
	key one 'sleep 3; cp /data /dev/vda && sync && echo tiny: count $(cat /count).'
	prints one "tiny: count [0-9]+\." 60
	key one 'echo tiny: up2 $(cut -d. -f1 /proc/uptime).'
	prints one "tiny: up2 [0-9]+\." 30
	[[ $(value one up2 | tr -d .) -ge $(value one up1 | tr -d .) ]]
	printed one "Kernel panic" && return 1
	vmctl stop -fw one
}

t_goes_on_beside() {
	truncate -s 16M "$T/disk" "$T/disk2" "$T/disk3"
	{
		tiny one shell 'memory 128M' "disk \"$T/disk\" serial \"D\""
		tiny two shell 'memory 128M' "disk \"$T/disk2\" serial \"D\""
		tiny three shell 'memory 144M' "disk \"$T/disk3\" serial \"D\""
	} | vmd_up
	start one
	prints one "/ # " 120
	key one 'x=remembered; echo tiny: ready.'
	prints one "tiny: ready\." 30
	vmctl save -k one "$T/state" 2>&1 | grep "saved vm [0-9]*"
	in_state one running
	key one 'head -c 1M /dev/zero | dd of=/dev/vda conv=fsync && echo tiny: on $x.'
	prints one "tiny: on remembered\." 60
	refused vmctl restore "$T/state"
	says "already running"
	restore -n two "$T/state" two
	key two 'dd if=/dev/vda of=/dev/null bs=1M count=1 && echo tiny: clone $x.'
	prints two "tiny: clone remembered\." 60
	refused vmctl restore -n three "$T/state"
	says "memory in MiB: the vm has 144, and had 128"
	refused vmctl restore -n none "$T/state"
	says "not found"
	vmctl stop -fw one
	vmctl stop -fw two
}

t_bad_files() {
	local n at
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	# A full disk: the guest goes on.
	mkdir "$T/small"
	mount -t tmpfs -o size=1M tmpfs "$T/small"
	refused vmctl save one "$T/small/state"
	says "no space left"
	[[ ! -e $T/small/state ]]
	umount "$T/small"
	in_state one running
	key one 'echo tiny: alive.'
	prints one "tiny: alive\." 30
	vmctl save one "$T/state"
	n=$(stat -c %s "$T/state")
	head -c $((n - 1000)) "$T/state" >"$T/short"
	refused vmctl restore "$T/short"
	says "section .* the file ends here"
	for at in 8 90 120 4000 $((n / 2)) $((n - 40)); do
		cp "$T/state" "$T/flip"
		printf '\x5a' | dd of="$T/flip" bs=1 seek="$at" conv=notrunc \
		    2>/dev/null
		refused vmctl restore "$T/flip"
		says "section .* at byte"
	done
	refused vmctl restore "$T/vm.conf"
	says "no state"
	stopped one 10
	vmctl restore "$T/state"
	in_state one running
	vmctl stop -fw one
}

t_not_everything() {
	truncate -s 1M "$T/medium"
	vm one 'memory 128M' "cdrom \"$T/medium\"" "boot \"$G/vmlinuz\"" \
	    "initrd \"$G/tiny.cpio\"" "cmdline \"$base tiny=idle\"" | vmd_up
	start one
	prints one "tiny: idle" 120
	refused vmctl save one "$T/state"
	says "its cdrom cannot be saved"
	[[ ! -e $T/state ]]
	in_state one running
	vmctl stop -fw one
}

t_network() {
	tun
	modprobe nf_tables 2>/dev/null || true
	{
		echo 'local prefix 10.77.0.0/16'
		tiny one net,dhcp,ping=10.77.1.2,serve=7003:1,idle 'cpus 2' \
		    'memory 128M' 'local interface { lladdr fe:e1:bb:d1:22:33 }'
	} | vmd_up
	start one
	prints one "tiny: ping 10.77.1.2 3" 120
	sleep 5
	vmctl save one "$T/state"
	stopped one 10
	restore "$T/state" one
	# To the socket that it listened at.
	socat -u TCP:10.77.1.3:7003,connect-timeout=20 "CREATE:$T/got"
	[[ $(stat -c %s "$T/got") = 1048576 ]]
	prints one "tiny: idle" 30
	# Its timers and its power button are what they were.
	vmctl stop one
	prints one "tiny: power button" 30
	stopped one 30
}
