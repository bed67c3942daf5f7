# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# A VM goes to another host while it runs.  The other host is a network
# namespace with a vmd of its own; the disks are on what both see.
limit=800
away_pid=''

hosts_off() {
	[[ -z $away_pid ]] || {
		kill -TERM "$away_pid" 2>/dev/null || true
		wait "$away_pid" || true
		away_pid=''
	}
	ip netns del away 2>/dev/null || true
	ip link del va 2>/dev/null || true
}

# hosts: this one is 10.77.0.1, the other one 10.77.0.2, called awayhost.
hosts() {
	hosts_off # of a test that failed
	ip netns add away
	ip link add va type veth peer name vb netns away
	ip addr add 10.77.0.1/24 dev va
	ip link set va up
	ip -n away addr add 10.77.0.2/24 dev vb
	ip -n away link set vb up
	ip -n away link set lo up
	grep -q awayhost /etc/hosts || echo "10.77.0.2 awayhost" >>/etc/hosts
	vmd-cert ca -d "$T/ca"
	vmd-cert host -d "$T/ca" awayhost 10.77.0.2
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

# away_up: the other vmd, with its VMs on stdin.
away_up() {
	{
		cat <<-EOT
			socket owner root:vmusers
			listen on 10.77.0.2 tls {
				ca "$T/ca/ca.pem"
				certificate "$T/ca/awayhost.pem"
				key "$T/ca/awayhost.key"
			}
			allow client "/CN=root" as root
			allow client "/CN=alice" as alice
			allow client "/CN=eve" as eve
		EOT
		cat
	} >"$T/away.conf"
	ip netns exec away vmd -d -v -f "$T/away.conf" -s "$T/away.sock" \
	    2>>"$T/away.log" >&2 &
	away_pid=$!
	within 20 away status
}

# away ARG...: vmctl of the other host.
away() { vmctl -s "$T/away.sock" "$@"; }

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
	sent mv -d 20000
	in_state mv stopped
	there mv running
	grep "stood still for" "$T/send.out"
	away_key mv 'echo tiny: boot2 $(cat /proc/sys/kernel/random/boot_id).'
	prints mv "tiny: boot2 [0-9a-f-]+\." 60
	[[ $(value mv boot2) = "$boot" ]]
	away_key mv 'sleep 3; echo tiny: sums $(sort -u /sums | wc -l) $(sort -u /sums).'
	prints mv "tiny: sums [0-9]+ [0-9a-f]+ .*\." 60
	[[ $(value mv sums) = "1 $sum" ]] || fail "$(value mv sums), not $sum"
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
	vmctl create -s 16M "$T/q.qcow2"
	{
		echo 'socket owner root:vmusers'
		tiny mv shell 'memory 128M' 'owner alice' "disk \"$T/disk\""
		tiny mw shell 'memory 128M' "disk \"$T/q.qcow2\""
	} >"$T/here.conf"
	{
		tiny mv shell 'memory 160M' 'owner alice' "disk \"$T/disk2\""
		tiny mw shell 'memory 128M' "disk \"$T/disk2\""
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
	start mw
	prints mw "/ # " 120
	not vmctl send -q mw awayhost 2>"$T/wrong"
	grep "its qcow2 disk cannot be sent" "$T/wrong"
	within 20 there mw stopped
	alive mw "$(field mw tty)"
	vmctl stop -fw mw
	vmctl stop -fw mv
	hosts_off
}

t_stays() {
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
	# A guest that writes faster than that.
	key mv 'while :; do dd if=/dev/zero of=/ram bs=1M count=4 2>/dev/null; done &'
	not vmctl send -d 1 mv awayhost 2>"$T/wrong"
	tail -n 3 "$T/wrong"
	grep "writes memory faster than it is sent" "$T/wrong"
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

# Somebody is killed, at any time: one of both has the guest.
t_killed() {
	local i what p moved=0 kinds=(relay remote vm vioblk vmctl)
	hosts
	truncate -s 16M "$T/disk"
	tiny mv shell 'memory 128M' "disk \"$T/disk\"" >"$T/mv.conf"
	away_up <"$T/mv.conf"
	vmd_up <"$T/mv.conf"
	for ((i = 0; i < ${CYCLES:-4}; i++)); do
		in_state mv running || {
			vmctl start mv
			: >"$T/mv.console"
			record mv "$(field mv tty)"
			prints mv "/ # " 120
		}

		what=${kinds[RANDOM % 5]}
		# Those that are there before do not count.
		victims "vm/mv" >"$T/before"
		victims "mv/vioblk" >>"$T/before"
		vmctl send -q -d 20000 mv awayhost 2>"$T/out.$i" &
		p=$!
		sleep "$((RANDOM % ${LATEST:-30})).$((RANDOM % 10))$((RANDOM % 10))"
		case $what in
		relay) victims "vmctl: remote" ;;
		remote) victims ": remote" ;;
		vm) victims "vm/mv" | grep -vxFf "$T/before" ;;
		vioblk) victims "mv/vioblk" | grep -vxFf "$T/before" ;;
		vmctl) echo $p ;;
		esac | tee "$T/victims" | xargs -r kill -9 2>/dev/null || true
		wait $p || true
		echo "# $i: $what ($(wc -l <"$T/victims")): $(tail -n 1 "$T/out.$i")"
		# What was killed where it runs by now has ended it there.
		if [[ $what = vm ]] && within 5 there mv stopped &&
		    in_state mv stopped; then
			grep -q ": sent vm" "$T/out.$i" || fail "nobody has it"
			continue
		fi
		one_runs mv
		in_state mv running || {
			moved=$((moved + 1))
			away stop -fw mv
		}
	done
	echo "# moved $moved of $i"
	vmctl stop -fqw mv
	hosts_off
}
