# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# A VM goes to another host while it runs.  The other host is a network
# namespace with a vmd of its own; the disks are on what both see, or each has
# some of its own.
# $CYCLES: how many, where it is done again and again.
limit='800+90*CYCLES' # s
away_pid=''

hosts_off() {
	[[ -z $away_pid ]] || {
		kill -TERM "$away_pid" 2>/dev/null || true
		wait "$away_pid" || true
		away_pid=''
	}
	ip netns del away 2>/dev/null || true
	ip link del va 2>/dev/null || true
	ip link del wa 2>/dev/null || true
}

# hosts: this one is 10.77.0.1, called herehost, the other one 10.77.0.2,
# called awayhost.
hosts() {
	hosts_off # of a test that failed
	ip netns add away
	ip link add va type veth peer name vb netns away
	ip addr add 10.77.0.1/24 dev va
	ip link set va up
	ip -n away addr add 10.77.0.2/24 dev vb
	ip -n away link set vb up
	ip -n away link set lo up
	grep -q awayhost /etc/hosts ||
	    printf '10.77.0.1 herehost\n10.77.0.2 awayhost\n' >>/etc/hosts
	vmd-cert ca -d "$T/ca"
	vmd-cert host -d "$T/ca" awayhost 10.77.0.2
	vmd-cert host -d "$T/ca" herehost 10.77.0.1
	for u in root alice eve; do
		vmd-cert user -d "$T/ca" $u
		mkdir -p "$T/home/$u/.config/vmctl"
		cp "$T/ca/ca.pem" "$T/home/$u/.config/vmctl/ca.pem"
		cp "$T/ca/$u.pem" "$T/home/$u/.config/vmctl/cert.pem"
		cp "$T/ca/$u.key" "$T/home/$u/.config/vmctl/key.pem"
	done
	chmod -R a+rX "$T/home" "$T/ca"
	export HOME=$T/home/root
}

# listens HOST ADDRESS: the configuration on stdin, reached from the other host.
listens() {
	cat <<-EOT
		socket owner root:vmusers
		listen on $2 tls {
			ca "$T/ca/ca.pem"
			certificate "$T/ca/$1.pem"
			key "$T/ca/$1.key"
		}
		allow client "/CN=root" as root
		allow client "/CN=alice" as alice
		allow client "/CN=eve" as eve
	EOT
	cat
}

# away_up: the other vmd, with its VMs on stdin.
away_up() {
	listens awayhost 10.77.0.2 >"$T/away.conf"
	ip netns exec away vmd -d -v -f "$T/away.conf" -s "$T/away.sock" \
	    2>>"$T/away.log" >&2 &
	away_pid=$!
	within 20 away_answers
}

away_answers() {
	kill -0 "$away_pid" 2>/dev/null ||
	    fail "the other vmd ended: $(tail "$T/away.log")"
	[[ -S $T/away.sock ]] && away status
}

# away ARG...: vmctl of the other host.
away() { vmctl -s "$T/away.sock" "$@"; }

# here_up: the one of this host, to which VMs may come back.
here_up() { listens herehost 10.77.0.1 | vmd_up; }

there() {
	[[ $(away status -j |
	    jq -r --arg n "$1" '.[] | select(.name == $n) | .state') = "$2" ]]
}

# sent NAME: to the other host; records its console there.
sent() {
	local name=$1 tty
	shift
	vmctl send "$@" "$name" awayhost 2>&1 | tee "$T/send.out"
	tty=$(sed -n 's/.*: sent vm .*, tty \(.*\)/\1/p' "$T/send.out")
	[[ -c $tty ]] || fail "$name: no tty in: $(cat "$T/send.out")"
	record "$name" "$tty"
}

# back NAME [OPTION...]: from there to this host.
back() {
	local name=$1
	shift
	ip netns exec away vmctl -s "$T/away.sock" send "$@" "$name" herehost \
	    2>&1 | tee "$T/send.out"
	grep -q ": sent vm" "$T/send.out"
	record "$name" "$(field "$name" tty)"
}

# away_key NAME TEXT...: a line to its console there.
away_key() {
	local name=$1
	shift
	echo "$*" >"$(away status -j |
	    jq -r --arg n "$name" '.[] | select(.name == $n) | .tty')"
}

t_goes_on() {
	local boot sum count
	hosts
	truncate -s 64M "$T/disk"
	tiny mv shell 'cpus 2' 'memory 128M' 'owner alice' "disk \"$T/disk\"" \
	    >"$T/mv.conf"
	away_up <"$T/mv.conf"
	vmd_up <"$T/mv.conf"
	start mv
	prints mv "/ # " 120
	key mv 'echo tiny: boot $(cat /proc/sys/kernel/random/boot_id).'
	prints mv "tiny: boot [0-9a-f-]+\." 30
	boot=$(value mv boot)
	key mv 'n=0; while :; do n=$((n+1)); echo $n >/count; sleep 0.1; done &'
	key mv 'dd if=/dev/urandom of=/data bs=1M count=2; cp /data /dev/vda; sync'
	key mv 'echo tiny: sum1 $(md5sum </data).'
	prints mv "tiny: sum1 [0-9a-f]+ .*\." 60
	sum=$(value mv sum1)
	key mv 'while :; do dd if=/dev/vda of=/copy bs=1M count=2 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; md5sum </copy >>/sums; sleep 0.5; done &'
	key mv 'sleep 3; echo tiny: busy.'
	prints mv "tiny: busy\." 60
	sent mv -t 20000
	in_state mv stopped
	there mv running
	grep "stood still for" "$T/send.out"
	away_key mv 'echo tiny: boot2 $(cat /proc/sys/kernel/random/boot_id).'
	prints mv "tiny: boot2 [0-9a-f-]+\." 60
	[[ $(value mv boot2) = "$boot" ]]
	away_key mv 'sleep 3; echo tiny: sums $(sort -u /sums | wc -l) $(sort -u /sums).'
	prints mv "tiny: sums [0-9]+ [0-9a-f]+ .*\." 60
	[[ $(value mv sums) = "1 $sum" ]] || fail "$(value mv sums), not $sum"
	# There is one of it only.
	away_key mv 'echo tiny: event $(cat /sys/firmware/acpi/interrupts/gpe00).'
	prints mv "tiny: event 0 .*enabled" 30
	away_key mv 'dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync && echo tiny: wrote.'
	prints mv "tiny: wrote\." 60
	printed mv "Kernel panic" && return 1
	# The other one has its images.
	refused vmctl start mv
	says "locked by another process"
	away stop -fw mv
	vmctl start mv
	vmctl stop -fw mv
	hosts_off
}

# Firmware, a screen, a drive, images based on others: there and back, once in
# the hands of GRUB, once in those of its guest.
t_whole_pc() {
	local sum
	[[ -f grub.img && -f grub.iso ]] || skip "no disk with GRUB"
	hosts
	cp grub.img "$T/grub.img"
	cp grub.iso "$T/cd.iso"
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
	vmctl create -s 64M "$T/base.qcow2"
	vmctl create -b "$T/base.qcow2" "$T/top.qcow2"
	vm mv 'memory 256M' 'cpus 2' 'screen' "disk \"$T/grub.img\"" \
	    "disk \"$T/boot.img\"" "disk \"$T/top.qcow2\" base \"$T/base.qcow2\"" \
	    "cdrom \"$T/cd.iso\"" >"$T/mv.conf"
	away_up <"$T/mv.conf"
	here_up <"$T/mv.conf"
	start mv
	prints mv "executed automatically" 100
	sent mv -t 20000
	away_key mv ''
	prints mv "tiny: shell" 150
	away_key mv 'mkdir -p /mnt; mount -t iso9660 -o ro /dev/sr0 /mnt; echo "the screen has this" >/dev/tty0'
	away_key mv 'dd if=/dev/urandom of=/data bs=1M count=4; cp /data /dev/vdc; sync'
	away_key mv 'echo tiny: sum1 $(md5sum </data).'
	prints mv "tiny: sum1 [0-9a-f]+ .*\." 60
	sum=$(value mv sum1)
	away_key mv 'while :; do md5sum </mnt/boot/tiny.cpio >>/isosums; dd if=/dev/vdc bs=1M count=4 2>/dev/null | md5sum >>/sums; cp /data /dev/vdc; sync; echo 3 >/proc/sys/vm/drop_caches; done &'
	away_key mv 'sleep 3; echo tiny: busy.'
	prints mv "tiny: busy\." 60
	back mv -t 20000
	key mv 'sleep 3; kill %1; wait; echo tiny: sums $(sort -u /sums | wc -l) $(sort -u /sums).'
	prints mv "tiny: sums [0-9]+ [0-9a-f]+ .*\." 60
	[[ $(value mv sums) = "1 $sum" ]] || fail "$(value mv sums), not $sum"
	key mv 'echo tiny: iso $(sort -u /isosums | wc -l) $(sort -u /isosums).'
	prints mv "tiny: iso [0-9]+ [0-9a-f]+ .*\." 60
	read -r sum _ < <(md5sum <"$G/tiny.cpio")
	[[ $(value mv iso) = "1 $sum "* ]]
	vmctl screen mv >"$T/screen"
	grep -q "the screen has this" "$T/screen"
	vmctl key -t mv 'echo by key'
	# The firmware is what it was, for the next boot.
	key mv 'umount /mnt; sync; echo b >/proc/sysrq-trigger'
	within 100 printed_times 2 mv "executed automatically"
	vmctl stop -fw mv
	vmctl image check "$T/top.qcow2"
	hosts_off
}

# lan: the bridges of both hosts, with a cable between them.
lan() {
	within 5 ip link show vmbr0
	within 5 ip -n away link show vmbr0
	ip link add wa type veth peer name wb netns away
	ip link set wa master vmbr0 up
	ip -n away link set wb master vmbr0 up
	ip addr add 10.78.0.254/24 dev vmbr0
}

# lines: one after the other, until it is enough.
lines() {
	local n=0
	until [[ -e $T/enough ]]; do
		n=$((n + 1))
		echo "line $n"
		sleep 0.1
	done
}

# As often as $CYCLES says, while the guest writes, reads what it wrote before,
# and hears somebody by a connection that it made at the beginning.
t_back_and_forth() {
	local i n=${CYCLES:-2}
	hosts
	tun
	modprobe nf_tables 2>/dev/null || true
	vmctl create -s 64M "$T/base.qcow2"
	vmctl create -b "$T/base.qcow2" "$T/top.qcow2"
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		tiny mv shell 'cpus 2' 'memory 160M' \
		    "disk \"$T/top.qcow2\" base \"$T/base.qcow2\"" \
		    $'interface {\n\tswitch "lan"\n\tlladdr fe:e1:bb:d1:22:55\n}'
	} >"$T/mv.conf"
	away_up <"$T/mv.conf"
	here_up <"$T/mv.conf"
	lan
	start mv
	prints mv "/ # " 120
	lines | tee "$T/lines" | socat -u - TCP-LISTEN:7000,reuseaddr &
	key mv 'ip addr add 10.78.0.1/24 dev eth0; ip link set eth0 up; ping -c 1 10.78.0.254'
	key mv '{ nc 10.78.0.254 7000 </dev/null >/lines; echo over >/over; } &'
	key mv "$rewrites"
	key mv 'sleep 5; echo tiny: count0 $(cat /count).'
	prints mv "tiny: count0 [0-9]+\." 60
	for ((i = 1; i <= n; i++)); do
		if ((i % 2 == 1)); then
			sent mv -t 20000
			in_state mv stopped
			away_key mv "echo tiny: count$i \$(cat /count)."
		else
			back mv -t 20000
			there mv stopped
			key mv "echo tiny: count$i \$(cat /count)."
		fi
		prints mv "tiny: count$i [0-9]+\." 60
		grep "stood still" "$T/send.out" >>"$T/still"
	done
	((i % 2 == 1)) || back mv -t 20000
	touch "$T/enough"
	key mv 'while [ ! -f /over ]; do sleep 1; done; sleep 5; kill %2; wait %2; echo tiny: lines $(md5sum </lines).'
	prints mv "tiny: lines [0-9a-f]+ .*\." 60
	key mv 'echo tiny: bad $(wc -l </bad) of $(cat /count).'
	prints mv "tiny: bad [0-9]+ of [0-9]+\." 30
	echo "# $(value mv bad); $(wc -l <"$T/lines") lines"
	sort -k 4n "$T/still" | sed 's/^/# /;1p;$!d'
	[[ $(value mv bad) = "0 of "* ]]
	[[ $(value mv lines) = "$(md5sum <"$T/lines" | cut -d' ' -f1) "* ]]
	printed mv "Kernel panic" && return 1
	vmctl stop -fw mv
	vmctl image check "$T/top.qcow2"
	hosts_off
}

# alive NAME: its guest, here or there, answers within 30 s.
alive() {
	local n=$RANDOM
	echo "echo tiny: alive $n." >"$2"
	prints "$1" "tiny: alive $n\." 30
}

# one_runs NAME: here or there, one and only one, whose guest answers.
one_runs() {
	local here there
	within 60 settled "$1" || fail "neither here nor there"
	here=$(field "$1" state)
	there=$(away status -j | jq -r --arg n "$1" \
	    '.[] | select(.name == $n) | .state')
	echo "# here: $here, there: $there"
	# Cut between both words: a person decides.
	if [[ $here = paused && $there = stopped ]]; then
		vmctl unpause "$1"
		here=running
	fi
	case $here-$there in
	running-stopped) alive "$1" "$(field "$1" tty)" ;;
	stopped-running)
		record "$1" "$(away status -j |
		    jq -r --arg n "$1" '.[] | select(.name == $n) | .tty')"
		alive "$1" "$(away status -j |
		    jq -r --arg n "$1" '.[] | select(.name == $n) | .tty')"
		;;
	*) fail "here $here, there $there" ;;
	esac
}
settled() {
	local s
	s=$(field "$1" state)-$(away status -j |
	    jq -r --arg n "$1" '.[] | select(.name == $n) | .state')
	[[ $s = running-stopped || $s = stopped-running ||
	    $s = paused-stopped || $s = paused-running ]]
}

t_refused() {
	hosts
	truncate -s 16M "$T/disk" "$T/disk2"
	{
		echo 'socket owner root:vmusers'
		tiny mv shell 'memory 128M' 'owner alice' "disk \"$T/disk\""
		tiny mw shell 'memory 128M' 'interface user'
		tiny mx shell 'memory 128M'
	} >"$T/here.conf"
	{
		tiny mv shell 'memory 160M' 'owner alice' "disk \"$T/disk2\""
		tiny mw shell 'memory 128M'
		tiny mx shell 'memory 128M' 'interface user'
	} | away_up
	vmd_up <"$T/here.conf"
	refused vmctl send mv awayhost
	says "not running"
	start mv
	prints mv "/ # " 120
	refused as eve env HOME="$T/home/eve" vmctl send mv awayhost
	says "not permitted"
	refused vmctl send mv 10.77.0.2:1
	says "connect"
	refused vmctl send none awayhost
	# What is wrong there is told here.
	not vmctl send -q mv awayhost 2>"$T/wrong"
	cat "$T/wrong"
	grep "memory in MiB: the vm has 160, and had 128" "$T/wrong"
	alive mv "$(field mv tty)"
	away start mv
	refused vmctl send mv awayhost
	says "already running"
	away stop -fw mv
	# passt wants to see where to.
	ip route add default via 10.77.0.2
	ip -n away route add default via 10.77.0.1
	start mw
	prints mw "/ # " 120
	not vmctl send -q mw awayhost 2>"$T/wrong"
	cat "$T/wrong"
	grep "its user interface cannot be sent" "$T/wrong"
	within 20 there mw stopped
	alive mw "$(field mw tty)"
	vmctl stop -fw mw
	# It may have refused before anybody came for it.
	start mx
	prints mx "/ # " 120
	not vmctl send -q mx awayhost 2>"$T/wrong"
	cat "$T/wrong"
	grep "its user interface cannot be received" "$T/wrong"
	within 20 there mx stopped
	alive mx "$(field mx tty)"
	vmctl stop -fw mx
	vmctl stop -fw mv
	hosts_off
}

t_stays() {
	local relay=() sending
	hosts
	truncate -s 16M "$T/disk"
	tiny mv shell 'memory 128M' "disk \"$T/disk\"" >"$T/mv.conf"
	away_up <"$T/mv.conf"
	vmd_up <"$T/mv.conf"
	start mv
	prints mv "/ # " 120
	# Whoever asked for it has left.
	not timeout 3 vmctl send -r 1M mv awayhost
	one_runs mv
	in_state mv running
	# A guest that writes faster than that, all the time: one process.
	key mv 'dd if=/dev/zero of=/dev/null bs=4M & echo tiny: x.'
	prints mv "^tiny: x\." 30
	vmctl send -r 8M -t 1 mv awayhost 2>"$T/wrong" &
	sending=$!
	# What was not sent meanwhile is not made up for.
	within 60 grep -q "^round 2:" "$T/wrong"
	mapfile -t relay < <(victims "vmctl: remote")
	kill -STOP "${relay[@]}"
	sleep 3
	kill -CONT "${relay[@]}"
	not wait "$sending"
	cat "$T/wrong"
	not grep -E "^round .* sent, ([2-9][0-9]|1[2-9]) MiB/s" "$T/wrong"
	tail -n 1 "$T/wrong" | grep "writes memory faster than it is sent"
	one_runs mv
	in_state mv running
	key mv 'kill %1'
	# A link that is silent.
	vmctl send -q -r 1M mv awayhost 2>"$T/wrong" &
	sleep 3
	ip -n away link set vb down
	not wait $!
	tail -n 3 "$T/wrong"
	ip -n away link set vb up
	one_runs mv
	in_state mv running
	vmctl stop -fw mv
	hosts_off
}

# own_disks: a raw image and a qcow2 one here, others over there, with something
# else in them.
own_disks() {
	truncate -s 32M "$T/raw"
	dd if=/dev/urandom of="$T/raw.away" bs=1M count=32 status=none
	vmctl create -s 32M "$T/base.qcow2"
	vmctl create -b "$T/base.qcow2" "$T/top.qcow2"
	vmctl create -s 32M "$T/away.qcow2"
	tiny mv shell 'cpus 2' 'memory 128M' "disk \"$T/raw.away\"" \
	    "disk \"$T/away.qcow2\"" | away_up
	tiny mv shell 'cpus 2' 'memory 128M' "disk \"$T/raw\"" \
	    "disk \"$T/top.qcow2\" base \"$T/base.qcow2\"" | here_up
}

# fills: its guest has the same 4 MiB on both disks, and their sum is sum1.  Then
# it writes and reads somewhere else, all the time.
fills() {
	key mv 'dd if=/dev/urandom of=/data bs=1M count=4; for d in a b; do dd if=/data of=/dev/vd$d bs=1M seek=16 conv=fsync; done 2>/dev/null; echo tiny: sum1 $(md5sum </data).'
	prints mv "tiny: sum1 [0-9a-f]+ .*\." 60
	key mv 'i=0; touch /bad; while [ ! -f /enough ]; do i=$((i+1)); a=$((i%16)); b=$((i*7%16)); dd if=/dev/urandom of=/d.$a bs=64k count=8 2>/dev/null; for d in a b; do dd if=/d.$a of=/dev/vd$d bs=512k seek=$a conv=notrunc,fsync 2>/dev/null; done; echo 3 >/proc/sys/vm/drop_caches; for d in a b; do [ ! -f /d.$b ] || dd if=/dev/vd$d bs=512k skip=$b count=1 2>/dev/null | cmp -s - /d.$b || echo $i $d $b >>/bad; done; echo $i >/c; mv /c /count; done &'
	key mv 'sleep 3; echo tiny: busy $(cat /count).'
	prints mv "tiny: busy [0-9]+\." 60
}

# keeps TTY: nothing was lost, and what was zero is.
keeps() {
	local zero
	zero=$(dd if=/dev/zero bs=1M count=8 status=none | md5sum)
	echo 'touch /enough; wait; echo 3 >/proc/sys/vm/drop_caches; for d in a b; do dd if=/dev/vd$d bs=1M skip=16 count=4 2>/dev/null | md5sum; done | sort -u >/sums; for d in a b; do dd if=/dev/vd$d bs=1M skip=24 2>/dev/null | md5sum; done | sort -u >/zeroes; for j in 0 3 9 15; do for d in a b; do dd if=/dev/vd$d bs=512k skip=$j count=1 2>/dev/null | cmp -s - /d.$j || echo end $d $j >>/bad; done; done' >"$1"
	echo 'echo tiny: zeroes $(wc -l </zeroes) $(cat /zeroes).; echo tiny: sums $(wc -l </sums) $(cat /sums).; echo tiny: bad $(wc -l </bad) of $(cat /count).' >"$1"
	prints mv "tiny: bad [0-9]+ of [0-9]+\." 60
	echo "# bad: $(value mv bad)"
	[[ $(value mv bad) = "0 of "* ]]
	[[ $(value mv sums) = "1 $(value mv sum1)" ]] || fail "$(value mv sums)"
	[[ $(value mv zeroes) = "1 ${zero%% *} "* ]] || fail "$(value mv zeroes)"
	not printed mv "Kernel panic"
}

# Disks that the hosts do not share go over with their guest, and come back.
t_own_disks() {
	hosts
	own_disks
	start mv
	prints mv "/ # " 120
	fills
	sent mv -d -t 20000
	in_state mv stopped
	there mv running
	# As sparse as it was.
	(($(stat -c %b "$T/raw.away") < 20 * 2048))
	# Nobody uses those of this host.
	truncate -s 0 "$T/raw"
	truncate -s 32M "$T/raw"
	vmctl image check "$T/top.qcow2"
	away_key mv 'echo tiny: away $(cat /count).'
	prints mv "tiny: away [0-9]+\." 60
	back mv -d -t 20000
	there mv stopped
	keeps "$(field mv tty)"
	vmctl stop -fw mv
	vmctl image check "$T/top.qcow2"
	vmctl image check "$T/away.qcow2"
	hosts_off
}

head_changed() { [[ $(head -c 1M "$T/raw.away" | md5sum) != "$head" ]]; }

# Whatever fails, they stay with their guest.
t_own_disks_stay() {
	local p head
	hosts
	own_disks
	start mv
	prints mv "/ # " 120
	fills
	head=$(head -c 1M "$T/raw.away" | md5sum)
	vmctl send -q -d -r 8M mv awayhost 2>"$T/wrong" &
	p=$!
	# The link is cut amid its disks.
	within 100 head_changed
	ip -n away link set vb down
	not wait $p
	tail -n 3 "$T/wrong"
	ip -n away link set vb up
	one_runs mv
	in_state mv running
	within 40 grep "incomplete copies" "$T/away.log"
	# Whoever asked for it has left.
	not timeout 8 vmctl send -q -d -r 4M mv awayhost
	one_runs mv
	in_state mv running
	keeps "$(field mv tty)"
	vmctl stop -fw mv
	hosts_off
}

# What is not to be copied to.
t_own_disks_refused() {
	local v
	hosts
	truncate -s 16M "$T/a" "$T/b" "$T/c"
	truncate -s 32M "$T/d"
	{
		atom same "disk \"$T/a\""
		atom size "disk \"$T/b\""
		atom ro "disk \"$T/c\""
	} | vmd_up
	truncate -s 16M "$T/c.away"
	{
		atom same "disk \"$T/a\""
		atom size "disk \"$T/d\""
		atom ro "disk \"$T/c.away\" readonly"
	} | away_up
	for v in same size ro; do
		start $v
		not vmctl send -q -d $v awayhost 2>"$T/wrong.$v"
		cat "$T/wrong.$v"
		in_state $v running
		within 20 there $v stopped
	done
	grep "locked by another process; .* without -d" "$T/wrong.same"
	grep "disk 0 has 33554432 bytes here, and had 16777216" "$T/wrong.size"
	grep "disk 0 is read-only here" "$T/wrong.ro"
	# Shared ones are sent as ever.
	vmctl send -q same awayhost
	for v in size ro; do vmctl stop -fw $v; done
	away stop -fw same
	hosts_off
}

# A guest that writes more than goes out, and that is slowed down.
t_slowed_down() {
	hosts
	truncate -s 16M "$T/disk"
	tiny mv shell 'memory 128M' 'cpus 2' "disk \"$T/disk\"" >"$T/mv.conf"
	away_up <"$T/mv.conf"
	vmd_up <"$T/mv.conf"
	start mv
	prints mv "/ # " 120
	not vmctl send -s 96 mv awayhost 2>"$T/wrong"
	grep "invalid percent: 96" "$T/wrong"
	key mv 'while :; do dd if=/dev/zero of=/ram bs=64k count=640 conv=notrunc 2>/dev/null; done &'
	sleep 3
	# It is not sent as it is.
	not vmctl send -t 500 mv awayhost 2>"$T/wrong"
	grep "faster than it is sent" "$T/wrong"
	in_state mv running
	sent mv -t 500 -s 95
	grep "slowed down by 20 %" "$T/send.out"
	there mv running
	# It has all of its time again.
	away_key mv 'kill %1; echo tiny: free.'
	prints mv "tiny: free\." 30
	away stop -fw mv
	hosts_off
}

# victims WHAT: processes of that kind, of the other host or of vmctl.
victims() {
	local p t
	for p in $(find /proc/[0-9]*/exe -maxdepth 0 \( -lname '*/sbin/vmd' -o \
	    -lname '*/bin/vmctl' \) -printf '%h\n' 2>/dev/null | tr -dc '0-9\n'); do
		t=$(title "$p")
		[[ $t != *"$1"* ]] || [[ $1 = vmctl* &&
		    $(readlink "/proc/$p/exe") != *vmctl ]] || echo "$p"
	done
	return 0
}

# The guest of mv writes and reads from now on, if it has its disk.
writes_and_reads() {
	prints mv "/ # " 120
	key mv 'while :; do dd if=/dev/urandom of=/d bs=64k count=8; dd if=/d of=/dev/vda conv=notrunc,fsync || continue; echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/vda of=/r bs=64k count=8 || continue; cmp -s /r /d || echo tiny: bad; done 2>/dev/null &'
}

# Somebody is killed, or the link is cut, at any time: one of both has the guest.
t_killed() {
	local i what p moved=0 kinds=(relay remote vm vioblk vmctl link)
	hosts
	vmctl create -s 16M "$T/disk.qcow2"
	tiny mv shell 'memory 128M' "disk \"$T/disk.qcow2\"" >"$T/mv.conf"
	away_up <"$T/mv.conf"
	vmd_up <"$T/mv.conf"
	for ((i = 0; i < ${CYCLES:-6}; i++)); do
		in_state mv running || {
			vmctl start mv
			: >"$T/mv.console"
			record mv "$(field mv tty)"
			writes_and_reads
		}
		what=${kinds[RANDOM % 6]}
		# Those that are there before do not count.
		victims "vm/mv" >"$T/before"
		victims "mv/vioblk" >>"$T/before"
		vmctl send -q -t 20000 mv awayhost 2>"$T/out.$i" &
		p=$!
		sleep "$((RANDOM % ${LATEST:-30})).$((RANDOM % 10))$((RANDOM % 10))"
		case $what in
		relay) victims "vmctl: remote" ;;
		remote) victims ": remote" ;;
		vm) victims "vm/mv" | grep -vxFf "$T/before" ;;
		vioblk) victims "mv/vioblk" | grep -vxFf "$T/before" ;;
		vmctl) echo $p ;;
		link) ip -n away link set vb down ;;
		esac | tee "$T/victims" | xargs -r kill -9 2>/dev/null || true
		wait $p || true
		ip -n away link set vb up
		echo "# $i: $what ($(wc -l <"$T/victims")): $(tail -n 1 "$T/out.$i")"
		# What was killed where it runs by now has ended it there.
		if [[ $what = vm ]] && within 5 there mv stopped &&
		    in_state mv stopped; then
			grep -q ": sent vm" "$T/out.$i" || fail "nobody has it"
			continue
		fi
		one_runs mv
		not printed mv "^tiny: bad"
		in_state mv running || {
			moved=$((moved + 1))
			away stop -fw mv
		}
	done
	echo "# moved $moved of $i"
	vmctl stop -fqw mv
	vmctl image check "$T/disk.qcow2"
	hosts_off
}
