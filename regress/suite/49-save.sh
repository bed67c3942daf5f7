# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The state of a VM, to a file and back.
# $CYCLES: how many, where it is done again and again.
limit='400+20*CYCLES' # s

# restore [OPTION...] FILE NAME: records the console of its new life.
restore() {
	local name=${*: -1} tty
	vmctl restore "${@:1:$#-1}" 2>&1 | tee "$T/restore.out"
	tty=$(sed -n 's/.*restored vm [0-9]*, tty \(.*\)/\1/p' "$T/restore.out")
	[[ -c $tty ]] || fail "$name: no tty in: $(cat "$T/restore.out")"
	record "$name" "$tty"
}

# revert NAME TAG: records the console of its new life.
revert() {
	local tty
	vmctl snapshot revert "$1" "$2" 2>&1 | tee "$T/revert.out"
	tty=$(sed -n 's/.*reverted vm [0-9]*, tty \(.*\)/\1/p' "$T/revert.out")
	[[ -c $tty ]] || fail "$1: no tty in: $(cat "$T/revert.out")"
	record "$1" "$tty"
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

# As often as $CYCLES says, at random moments, while the guest writes, reads what it
# wrote before, and looks at its clocks.  How other guests take it: MOMENTS in
# lib.sh.
t_random_moments() {
	local i n=${CYCLES:-5}
	[[ -s ../bench/extra.cpio ]] || skip "no program of guests"
	cat "$G/tiny.cpio" ../bench/extra.cpio >"$T/tiny.cpio"
	vmctl create -s 64M "$T/disk.qcow2"
	vm one "boot \"$G/vmlinuz\"" "initrd \"$T/tiny.cpio\"" \
	    "cmdline \"$base tiny=shell\"" 'cpus 2' 'memory 160M' \
	    "disk \"$T/disk.qcow2\"" | vmd_up
	start one
	prints one "/ # " 120
	key one 'clocks /clocks &'
	key one "$rewrites"
	key one 'while [ ! -f /clocks ] || [ ! -f /count ]; do sleep 0.1; done; echo tiny: busy.'
	prints one "^tiny: busy\." 60
	for ((i = 1; i <= n; i++)); do
		sleep "$((RANDOM % 2)).$((RANDOM % 10))$((RANDOM % 10))"
		saved_and_restored one
		((i % 5 != 0 && i < n)) || {
			key one "echo tiny: at$i \$(cat /count) of \$(wc -l </bad) \$(cat /clocks)."
			prints one "^tiny: at$i [0-9]+ of [0-9]+ [0-9]+ [0-9]+ .*\." 60
		}
	done
	echo "# after $n: $(value one "at$n")"
	[[ $(value one "at$n") =~ ^[0-9]+\ of\ 0\ [0-9]+\ 0\  ]]
	printed one "tiny: back|Kernel panic|soft lockup|unstable" && return 1
	vmctl stop -fw one
	vmctl image check "$T/disk.qcow2"
}

# A whole system while it starts.
t_debian_at_random_moments() {
	local MOMENTS=${CYCLES:-3}
	debian deb 'memory 512M' 'cpus 2' | vmd_up
	start deb
	prints deb "login: " 300
	((moments > 0))
	readers_off
	expect -f debian.exp deb '! dmesg | grep -E "lockup|stall|backwards|I/O error"'
	vmctl stop deb
	stopped deb 180
}

# A guest that fills its serial port is saved in the midst of it: the port goes
# on where it was, both ways, and no line comes twice.
t_output_goes_on() {
	local last
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	key one 'n=0; while :; do n=$((n+1)); echo tiny: at $n.; done &'
	prints one "^tiny: at 200\." 60
	vmctl save one "$T/state" 2>&1 | grep "saved vm [0-9]*"
	in_state one stopped
	mv "$T/one.console" "$T/before"
	last=$(tr -d '\r' <"$T/before" | sed -n 's/^tiny: at \([0-9]*\)\.$/\1/p' |
	    tail -n 1)
	restore "$T/state" one
	prints one "^tiny: at $((last + 1000))\." 120
	key one 'kill %1; wait; sleep 1; echo tiny: answer $((6 * 7)).'
	prints one "^tiny: answer 42\." 60
	# The first line of this life may have begun in the other; what was
	# typed has its echo amid the lines.
	tr -d '\r' <"$T/one.console" | sed -n 's/^tiny: at \([0-9]*\)\.$/\1/p' |
	    awk -v last="$last" '
		$1 > last + 1000 { next }
		$1 <= last || (n++ && $1 != at + 1) { exit wrong = 1 }
		{ at = $1 }
		END { print "# " n " lines after " last; exit wrong }'
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
	key one 'dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync && echo tiny: on $x.'
	prints one "tiny: on remembered\." 60
	refused vmctl restore "$T/state"
	says "already running"
	restore -n two "$T/state" two
	# The clone is told so.  Linux's driver is not in every configuration.
	key two 'sleep 2; echo tiny: event $(cat /sys/firmware/acpi/interrupts/gpe00).'
	prints two "tiny: event 1 .*enabled" 60
	key one 'echo tiny: event $(cat /sys/firmware/acpi/interrupts/gpe00).'
	prints one "tiny: event 0 .*enabled" 60
	key two 'if [ -e /sys/bus/acpi/drivers/vmgenid ]; then echo tiny: told $(dmesg | grep -c "reseeded due to virtual machine fork").; else echo tiny: told nobody.; fi'
	prints two "^tiny: told (1|nobody)\." 60
	key two 'dd if=/dev/vda of=/dev/null bs=1M count=1 && echo tiny: clone $x.'
	prints two "tiny: clone remembered\." 60
	refused vmctl restore -n three "$T/state"
	says "memory in MiB: the vm has 144, and had 128"
	refused vmctl restore -n none "$T/state"
	says "not found"
	vmctl stop -fw one
	vmctl stop -fw two
}

# disks_have TAG NUMBER...: images with a snapshot of that name, each in order.
disks_have() {
	local tag=$1 disk n=0
	for disk in "$T"/disk[0-9].qcow2; do
		vmctl image check "$disk"
		grep -q " $tag\$" < <(vmctl image snapshot list "$disk") &&
			n=$((n + 1))
	done
	[[ $n = "$2" ]]
}

# Where is what the guest has in memory and on its disks.
t_snapshot() {
	local i
	for i in 1 2; do
		vmctl create -s 64M "$T/disk$i.qcow2"
		chown alice "$T/disk$i.qcow2"
	done
	truncate -s 1M "$T/base"
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'cpus 2' 'memory 128M' 'owner alice' \
		    "disk \"$T/disk1.qcow2\"" "disk \"$T/disk2.qcow2\"" \
		    "disk \"$T/base\" readonly"
	} | vmd_up
	refused vmctl snapshot create one a
	says "not running"
	start one
	prints one "/ # " 120
	key one 'x=first; head -c 8388608 /dev/zero | tr "\0" 1 >/dev/vda; head -c 8388608 /dev/zero | tr "\0" 2 >/dev/vdb; sync; echo tiny: wrote $x.'
	prints one "tiny: wrote first\." 60
	refused as eve vmctl snapshot create one a
	says "not permitted"
	refused vmctl snapshot create one 12
	says "not digits alone"
	refused vmctl snapshot create one ../a
	says "invalid name for a snapshot"
	as alice vmctl snapshot create one a 2>&1 | grep "created snapshot a of vm"
	in_state one running
	refused as alice vmctl snapshot create one a
	says "has a snapshot \"a\" already"
	refused as eve vmctl snapshot list one
	says "not permitted"
	vmctl snapshot list -j one | jq -e '.[0].name == "a" and
	    .[0].state_size > 1000000 and (.[0].time | endswith("Z")) and
	    length == 1'
	key one 'x=second; head -c 8388608 /dev/zero | tr "\0" 3 >/dev/vda; head -c 8388608 /dev/zero | tr "\0" 4 >/dev/vdb; sync; echo tiny: wrote $x.'
	prints one "tiny: wrote second\." 60
	as alice vmctl snapshot create one b
	key one 'x=third; head -c 8388608 /dev/zero | tr "\0" 5 >/dev/vda; sync; echo tiny: wrote $x.'
	prints one "tiny: wrote third\." 60
	# There is none, which is seen before it is stopped.
	refused vmctl snapshot revert one c
	says "has no snapshot \"c\""
	in_state one running
	refused as eve vmctl snapshot revert one a
	says "not permitted"
	revert one a
	key one 'echo 3 >/proc/sys/vm/drop_caches; echo tiny: is $x $(head -c 1 /dev/vda) $(dd if=/dev/vdb bs=1M skip=7 count=1 2>/dev/null | tail -c 1).'
	prints one "tiny: is first 1 2\." 60
	key one 'head -c 8388608 /dev/zero | tr "\0" 6 >/dev/vda; sync; echo tiny: six.'
	prints one "^tiny: six\." 60
	revert one b
	key one 'echo 3 >/proc/sys/vm/drop_caches; echo tiny: is $x $(head -c 1 /dev/vda) $(head -c 1 /dev/vdb).'
	prints one "tiny: is second 3 4\." 60
	as alice vmctl snapshot delete one b 2>&1 | grep "deleted snapshot b of vm"
	refused vmctl snapshot delete one b
	says "has no snapshot \"b\""
	key one 'head -c 8388608 /dev/zero | tr "\0" 7 >/dev/vda; sync; echo tiny: seven.'
	prints one "^tiny: seven\." 60
	vmctl stop -fw one
	disks_have a 2
	disks_have b 0
	refused as eve vmctl snapshot delete one a
	says "not permitted"
	# From its end as well.
	revert one a
	key one 'echo 3 >/proc/sys/vm/drop_caches; echo tiny: again $x $(head -c 1 /dev/vda).'
	prints one "tiny: again first 1\." 60
	key one 'head -c 8388608 /dev/zero | tr "\0" 8 >/dev/vda; sync; echo tiny: eight.'
	prints one "^tiny: eight\." 60
	vmctl stop -fw one
	# One disk has lost it: none is changed.
	vmctl image snapshot delete "$T/disk2.qcow2" a
	refused vmctl snapshot revert one a
	says "disk .*disk2.qcow2: has no snapshot \"a\""
	stopped one 10
	disks_have a 1
	mv "$T/one.console" "$T/before.console"
	start one
	prints one "/ # " 120
	key one 'echo tiny: still $(head -c 1 /dev/vda).'
	prints one "tiny: still 8\." 60
	refused vmctl snapshot revert one a
	says "disk .*disk2.qcow2: has no snapshot \"a\""
	in_state one running
	# What is left of it.
	vmctl snapshot delete one a
	vmctl snapshot list -j one | jq -e 'length == 0'
	vmctl stop -fw one
	disks_have a 0
}

# Deleted while the VM is stopped: of all disks or of none.
t_snapshot_of_stopped() {
	local i fd states
	for i in 1 2; do
		vmctl create -s 64M "$T/disk$i.qcow2"
		chown alice "$T/disk$i.qcow2"
	done
	truncate -s 1M "$T/base"
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 128M' 'owner alice' \
		    "disk \"$T/disk1.qcow2\"" "disk \"$T/disk2.qcow2\"" \
		    "disk \"$T/base\" readonly"
	} | vmd_up
	states=/var/lib/vmd/$(tr / - <<<"${sock#/}")
	start one
	prints one "/ # " 120
	vmctl snapshot create one a
	key one 'head -c 4194304 /dev/zero | tr "\0" 1 >/dev/vda; sync; echo tiny: wrote.'
	prints one "^tiny: wrote\." 60
	vmctl snapshot create one b
	vmctl stop -fw one
	disks_have a 2
	disks_have b 2
	refused as eve vmctl snapshot delete one a
	says "not permitted"
	refused vmctl snapshot delete one c
	says "vm \"one\" has no snapshot \"c\""
	exec {fd}<>"$T/disk2.qcow2"
	flock -n "$fd"
	refused as alice vmctl snapshot delete one a
	says "disk $T/disk2.qcow2: locked by another process"
	exec {fd}>&-
	mv "$T/disk2.qcow2" "$T/away"
	refused as alice vmctl snapshot delete one a
	says "disk $T/disk2.qcow2: no such file"
	mv "$T/away" "$T/disk2.qcow2"
	disks_have a 2
	[[ -f $states/one,a.snapshot ]]
	as alice vmctl snapshot delete one a 2>&1 | grep "deleted snapshot a of vm"
	disks_have a 0
	disks_have b 2
	vmctl snapshot list -j one | jq -e '.[0].name == "b" and length == 1'
	refused vmctl snapshot delete one a
	says "has no snapshot \"a\""
	not pgrep -f "one/snap"
	# One disk has lost it: the rest goes.  Its state is what is left last.
	vmctl image snapshot delete "$T/disk2.qcow2" b
	cp "$states/one,b.snapshot" "$T/state"
	: >"$states/one,x.new"
	vmctl snapshot delete one b
	disks_have b 0
	cp "$T/state" "$states/one,b.snapshot"
	vmctl snapshot delete one b
	[[ -z $(ls "$states") ]]
	vmctl snapshot list -j one | jq -e 'length == 0'
}

# What cannot have one says so, and the guest goes on.
t_snapshot_that_fails() {
	truncate -s 16M "$T/raw.img"
	vmctl create -s 64M "$T/disk1.qcow2"
	vmctl create -s 64M "$T/disk2.qcow2"
	{
		tiny raw shell 'memory 128M' "disk \"$T/disk1.qcow2\"" \
		    "disk \"$T/raw.img\""
		tiny full shell 'memory 128M' "disk \"$T/disk2.qcow2\""
	} | vmd_up
	start raw
	prints raw "/ # " 120
	refused vmctl snapshot create raw a
	says "disk $T/raw.img: a raw image has no snapshots"
	key raw 'head -c 4194304 /dev/zero | tr "\0" 1 >/dev/vda; sync; echo tiny: on.'
	prints raw "^tiny: on\." 60
	vmctl snapshot list -j raw | jq -e 'length == 0'
	vmctl stop -fw raw
	disks_have a 0
	# No room for its state.
	start full
	prints full "/ # " 120
	mkdir -p /var/lib/vmd
	mount -t tmpfs -o size=1M tmpfs /var/lib/vmd
	refused vmctl snapshot create full a
	says "no space left"
	[[ $(find /var/lib/vmd -type f | wc -l) = 0 ]]
	umount /var/lib/vmd
	key full 'head -c 4194304 /dev/zero | tr "\0" 1 >/dev/vda; sync; echo tiny: on.'
	prints full "^tiny: on\." 60
	# A paused full stays so.
	vmctl pause full
	vmctl snapshot create full a
	vmctl snapshot create full b
	in_state full paused
	vmctl unpause full
	key full 'head -c 4194304 /dev/zero | tr "\0" 2 >/dev/vda; sync; echo tiny: further.'
	prints full "^tiny: further\." 60
	vmctl snapshot delete full a
	vmctl stop -fw full
	disks_have a 0
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
	for at in 8 90 120 4000 $((n - 40)); do
		cp "$T/state" "$T/flip"
		printf '\x5a' | dd of="$T/flip" bs=1 seek="$at" conv=notrunc \
		    2>/dev/null
		refused vmctl restore "$T/flip"
		says "section .* at byte"
	done
	# In a page, which is read when it is touched, or after the start.
	cp "$T/state" "$T/flip"
	printf '\x5a' | dd of="$T/flip" bs=1 seek=$((n / 2)) conv=notrunc \
	    2>/dev/null
	vmctl restore "$T/flip"
	stopped one 30
	grep -E 'one: .*saved state: section "pages" at byte [0-9]+: wrong checksum' \
	    "$T/vmd.log"
	refused vmctl restore "$T/vm.conf"
	says "no state"
	stopped one 10
	vmctl restore "$T/state"
	in_state one running
	vmctl stop -fw one
}

let_go() { [[ $(grep -c "memory: all of it was read" "$T/vmd.log") = "$1" ]]; }
holds() { # FILE: somebody
	[[ -n $(find /proc/[0-9]*/fd -lname "$1*" 2>/dev/null) ]]
}

# Memory comes out of the file as it is touched, by the guest, by the kernel for
# the device process, and by the main thread; then the rest.
t_lazy() {
	local sum pid
	[[ -c /dev/userfaultfd ]] || skip "this kernel has no /dev/userfaultfd"
	truncate -s 64M "$T/disk" "$T/disk2" "$T/disk3"
	{
		tiny one shell 'cpus 2' 'memory 512M' "disk \"$T/disk\" serial \"D\""
		tiny two shell 'cpus 2' 'memory 512M' "disk \"$T/disk2\" serial \"D\""
		tiny three shell 'cpus 2' 'memory 512M' "disk \"$T/disk3\" serial \"D\""
	} | vmd_up
	start one
	prints one "/ # " 120
	key one 'dd if=/dev/urandom of=/a bs=1M count=8; for i in 1 2 3 4 5 6 7 8; do cat /a; echo $i; done >/data'
	key one 'echo tiny: sum1 $(md5sum </data).'
	prints one "tiny: sum1 [0-9a-f]+ .*\." 120
	sum=$(value one sum1)
	key one 'load() { while [ ! -e /stop ]; do dd if=/data of=/dev/vda bs=1M count=24 2>/dev/null; sync; echo >>/rounds; done; rm /stop; echo tiny: over.; }'
	key one 'load & sleep 3; echo tiny: loaded.'
	prints one "^tiny: loaded\." 60
	vmctl save one "$T/state"
	restore "$T/state" one
	# Before all of it was read; what is saved is all of it, compressed.
	vmctl save -z one "$T/state2"
	ls -ls "$T/state" "$T/state2"
	[[ $(stat -c %s "$T/state2") -lt $(stat -c %s "$T/state") ]]
	restore "$T/state2" one
	key one 'rm -f /rounds; sleep 5; touch /stop; while [ -e /stop ]; do sleep 1; done; echo tiny: rounds $(wc -l </rounds) $(md5sum </data).'
	prints one "tiny: rounds [1-9].*\." 120
	[[ $(value one rounds) = *" $sum" ]]
	key one 'echo tiny: head $(dd if=/data bs=1M count=24 2>/dev/null | md5sum); sync'
	prints one "tiny: head [0-9a-f]+ " 60
	within 30 let_go 2
	not holds "$T/state"
	read -r sum _ < <(head -c 24M "$T/disk" | md5sum)
	echo "# on the disk: $sum"
	[[ $(value one head) = "$sum "* ]]
	printed one "Kernel panic" && return 1
	vmctl stop -fw one

	say "two at once, from one file"
	vmctl restore -n two "$T/state" >"$T/two.out" 2>&1 &
	pid=$!
	restore -n three "$T/state" three
	wait "$pid"
	record two "$(field two tty)"
	key two 'touch /stop; while [ -e /stop ]; do sleep 1; done; echo tiny: sum $(md5sum </data).'
	key three 'touch /stop; while [ -e /stop ]; do sleep 1; done; echo tiny: sum $(md5sum </data).'
	prints two "tiny: sum [0-9a-f]+ .*\." 120
	prints three "tiny: sum [0-9a-f]+ .*\." 120
	[[ $(value two sum) = "$(value one sum1)" ]]
	[[ $(value three sum) = "$(value one sum1)" ]]
	within 30 let_go 4
	vmctl stop -fw two
	vmctl stop -fw three

	say "a file that is cut off meanwhile"
	vmctl restore "$T/state2"
	: >"$T/state2"
	within 60 eval 'let_go 5 || in_state one stopped'
	if let_go 5; then
		vmctl stop -fw one
	else
		grep 'one: .*saved state: section "pages" at byte .* the file ends here' "$T/vmd.log"
	fi

	say "without"
	mv /dev/userfaultfd /dev/userfaultfd.not
	restore "$T/state" one
	mv /dev/userfaultfd.not /dev/userfaultfd
	grep "one: memory is read at once: /dev/userfaultfd: No such file" "$T/vmd.log"
	key one 'touch /stop; while [ -e /stop ]; do sleep 1; done; echo tiny: again $(md5sum </data).'
	prints one "tiny: again [0-9a-f]+ .*\." 120
	[[ $(value one again) = "$(value one sum1)" ]]
	vmctl stop -fw one
}

# In its firmware's hands: GRUB's menu.  Then all of it once more, by what the
# firmware, the drive and the screen have to have kept.
t_firmware_drive_and_screen() {
	local sum
	[[ -f grub.img && -f grub.iso ]] || skip "no disk with GRUB"
	cp grub.img "$T/grub.img"
	mkdir "$T/boot"
	cp "$G/vmlinuz" "$G/tiny.cpio" "$T/boot/"
	cat >"$T/boot/grub.cfg" <<-END
	set timeout=600
	menuentry tiny {
		linux /vmlinuz $base console=tty0 console=ttyS0 tiny=shell
		initrd /tiny.cpio
	}
	END
	mke2fs -q -t ext2 -L guest -d "$T/boot" "$T/boot.img" 64M
	cp grub.iso "$T/cd.iso"
	vm one 'memory 256M' 'cpus 2' 'screen' "disk \"$T/grub.img\"" \
	    "disk \"$T/boot.img\"" "cdrom \"$T/cd.iso\"" | vmd_up
	start one
	prints one "executed automatically" 100
	vmctl save one "$T/state"
	restore "$T/state" one
	key one ''
	prints one "tiny: shell" 150
	key one 'mount -t iso9660 -o ro /dev/sr0 /mnt || { mkdir /mnt; mount -t iso9660 -o ro /dev/sr0 /mnt; }'
	key one 'echo "the screen has this" >/dev/tty0; echo tiny: mounted $(ls /mnt/boot | wc -l).'
	prints one "tiny: mounted [1-9]" 30
	vmctl save one "$T/state2"
	restore "$T/state2" one
	key one 'echo 3 >/proc/sys/vm/drop_caches; echo tiny: sum $(md5sum </mnt/boot/tiny.cpio).'
	prints one "tiny: sum [0-9a-f]+ .*\." 60
	read -r sum _ < <(md5sum <"$G/tiny.cpio")
	[[ $(value one sum) = "$sum "* ]]
	vmctl screen one >"$T/screen"
	grep -q "the screen has this" "$T/screen"
	# The guest holds the medium, and the drive knows.
	refused vmctl set one cdrom none
	vmctl key -t one 'echo by key'
	key one 'umount /mnt; sync; echo b >/proc/sysrq-trigger'
	within 100 printed_times 2 one "executed automatically"
	printed one "SeaBIOS"
	vmctl stop -fw one

	say "another medium, another firmware"
	truncate -s 1M "$T/cd.iso"
	restore "$T/state2" one
	key one 'dd if=/dev/sr0 of=/dev/null bs=2k count=1; echo tiny: size $(cat /sys/block/sr0/size).'
	prints one "tiny: size 2048\." 60
	vmctl stop -fw one
	grep -v cdrom "$T/vm.conf" >"$T/less.conf"
	cp "$T/less.conf" "$T/vm.conf"
	vmctl reload
	refused vmctl restore "$T/state2"
	says "drives: the vm has 0, and had 1"
}

# From our driver to KVM, on one host: the processor is the same.  KVM shows a
# feature more, with which a guest has to stay there.
t_between_hypervisors() {
	[[ -c /dev/vmm ]] || skip "without our driver"
	modprobe kvm_amd
	within 10 test -c /dev/kvm
	{
		echo 'hypervisor "/dev/vmm"'
		tiny one shell 'memory 128M' 'cpus 2' 'cpu x86-64-v2'
	} | vmd_up
	start one
	prints one "/ # " 120
	key one 'n=0; while :; do n=$((n+1)); echo $n >/count; sleep 1; done &'
	key one 'x=remembered'
	vmctl save one "$T/state"
	sed -i 's,^hypervisor.*,hypervisor "/dev/kvm",' "$T/vm.conf"
	vmctl reload
	restore "$T/state" one
	key one 'cat /count >/a; sleep 5; cat /count >/b; cmp -s /a /b || echo tiny: $x $(cat /sys/devices/system/clocksource/*/current_clocksource).'
	prints one "tiny: remembered kvm-clock\." 60
	not printed one "Kernel panic"
	vmctl save one "$T/state.kvm"
	sed -i 's,^hypervisor.*,hypervisor "/dev/vmm",' "$T/vm.conf"
	vmctl reload
	refused vmctl restore "$T/state.kvm"
	says "a processor feature that is not here: CPUID 0x7 edx bit 29"
	vmd_down
	rmmod kvm_amd kvm
}

# vmd ends and comes back; of two VMs one was told to be saved.
t_on_shutdown() {
	local states
	states=/var/lib/vmd/$(tr / - <<<"${sock#/}")
	{
		tiny one shell 'memory 128M' 'on shutdown save'
		tiny two idle 'memory 96M' 'on shutdown stop'
	} | vmd_up
	start one
	start two
	prints one "/ # " 120
	prints two "tiny: idle" 120
	key one 'x=remembered; echo tiny: ready.'
	prints one "tiny: ready\." 30
	vmd_down
	[[ $(stat -c '%a %u' "$states") = '700 0' ]]
	[[ $(stat -c '%a %u' "$states/one.state") = '600 0' ]]
	[[ $(ls "$states") = one.state ]]
	grep -q "two: powered off" "$T/vmd.log"
	grep -q "one: its state was saved" "$T/vmd.log"

	# Both are disabled, but one goes on.
	cp "$T/vm.conf" "$T/again.conf"
	vmd_up <"$T/again.conf"
	within 30 grep -q "one: goes on where it was saved" "$T/vmd.log"
	in_state two stopped
	[[ -z $(ls "$states") ]]
	record one "$(field one tty)"
	key one 'echo tiny: on $x.'
	prints one "tiny: on remembered\." 60

	# It would not fit any more: nothing is lost.
	vmd_down
	sed 's/memory 128M/memory 192M/' "$T/again.conf" >"$T/more.conf"
	vmd_up <"$T/more.conf"
	within 30 grep -q "memory in MiB: the vm has 192, and had 128" "$T/vmd.log"
	stopped one 10
	refused vmctl start one
	says "had 128"
	[[ $(ls "$states") = one.state ]]
	cp "$states/one.state" "$T/other"
	refused vmctl restore "$T/other"
	says "was saved at a shutdown"
	[[ $(ls "$states") = one.state ]]
	vmd_down
	vmd_up <"$T/again.conf"
	within 30 grep -q "one: goes on where it was saved" "$T/vmd.log"
	record one "$(field one tty)"
	key one 'echo tiny: still $x.'
	prints one "tiny: still remembered\." 60

	# No room: it is stopped instead.
	key one 'mkdir -p /etc/acpi/PWRF; cd /etc/acpi/PWRF'
	key one 'echo "poweroff -f" >00000080; chmod 755 00000080; acpid; echo tiny: button.'
	prints one "tiny: button\." 30
	mount -t tmpfs -o size=1M tmpfs "$states"
	vmd_down
	grep -q "one: not saved: .*[Nn]o space left" "$T/vmd.log"
	[[ -z $(ls "$states") ]]
	umount "$states"
}

t_user_interface() {
	echo "tiny: one" >"$T/one"
	echo "tiny: two" >"$T/two"
	world "$T/one" "$T/two"
	tiny one shell 'memory 128M' \
	    'interface user { lladdr fe:e1:bb:d1:22:44 }' | vmd_up
	start one
	prints one "/ # " 120
	key one 'ip addr add 192.0.2.1/24 dev eth0; ip link set eth0 up; ip route add default via 192.0.2.53'
	# Its end of the connection is closed last: passt forgets the other
	# end's otherwise, now and then.
	key one 'sleep 5 | nc 192.0.2.54 7001; echo tiny: closed.'
	prints one "^tiny: one" 60
	prints one "^tiny: closed\\." 60
	vmctl save one "$T/state"
	stopped one 10
	not pgrep -x "passt(.avx2)?"
	restore "$T/state" one
	key one 'sleep 5 | nc 192.0.2.54 7002'
	prints one "^tiny: two" 60
	vmctl stop -fw one
	ip netns del world
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
