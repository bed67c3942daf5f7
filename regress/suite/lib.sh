# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034
#
# What the tests of the lab suite share.  A test is a function t_NAME; one.sh
# runs it in a process of its own, with a directory of its own ($T) and no vmd
# yet, and ends what it left.  Any command that fails ends the test.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL=C.UTF-8
# vmd_up at the end of a pipeline sets variables of this shell.
shopt -s lastpipe
G=/guest
T=${T:-/tmp/t}
sock=/run/vmd.sock
base="console=ttyS0 quiet panic=-1"

say() { echo "# $*"; }
fail() {
	echo "FAILED: $*" >&2
	exit 1
}
skip() {
	echo "SKIPPED: $*"
	exit 77
}

# not COMMAND...: fails.  (A plain "! COMMAND" does not end a test.)
not() {
	if "$@"; then fail "succeeds: $*"; fi
}

# within SECONDS COMMAND...: until it succeeds.  What a guest spent in files ($away)
# does not count.
within() {
	local end=$((SECONDS - away + $1 * ${slow:-1}))
	shift
	until "$@"; do
		((SECONDS - away < end)) || return 1
		sleep 0.2
	done
}
away=0

# as USER COMMAND...
as() {
	local u=$1
	shift
	setpriv --reuid="$u" --regid="$u" --init-groups -- "$@"
}

# refused COMMAND...: exit 1, exactly one line, on stderr.
refused() {
	local rc=0
	"$@" >"$T/refused.out" 2>"$T/refused.err" </dev/null || rc=$?
	sed 's/^/# says: /' "$T/refused.err"
	[[ $rc = 1 ]] || fail "$*: exit $rc, not 1"
	[[ ! -s $T/refused.out ]] || fail "$*: wrote to stdout"
	# A warning before the error is no error.
	[[ $(grep -cv 'starting without' "$T/refused.err") = 1 ]] || fail "$*: not one line"
}

# unfit COMMAND...: exit 1, with a report that may be longer.
unfit() {
	local rc=0
	"$@" >"$T/refused.err" 2>&1 </dev/null || rc=$?
	sed 's/^/# says: /' "$T/refused.err"
	[[ $rc = 1 ]] || fail "$*: exit $rc, not 1"
}

# says PATTERN: the line that refused() saw.
says() {
	grep -Eiq -- "$1" "$T/refused.err" ||
		fail "no '$1' in: $(cat "$T/refused.err")"
}

# --- configuration -------------------------------------------------------

# vm NAME LINE...: a vm block; disabled, so that each test starts it itself.
vm() {
	local name=$1
	shift
	printf 'vm "%s" {\n\tdisable\n' "$name"
	printf '\t%s\n' "$@"
	printf '}\n'
}

# tiny NAME WHAT LINE...: one that boots the tiny guest (guest/tiny-init).
tiny() {
	local name=$1 what=$2
	shift 2
	vm "$name" "boot \"$G/vmlinuz\"" "initrd \"$G/tiny.cpio\"" \
	    "cmdline \"$base tiny=$what\"" "$@"
}

# atom NAME LINE...: one that boots guest/atom.S: there at once, ends at the
# power button.
atom() {
	local name=$1
	shift
	[[ -r ./atom ]] || fail "no atom (make build/regress/guest/atom)"
	vm "$name" "boot \"$PWD/atom\"" 'memory 16M' "$@"
}

debian() {
	local name=$1
	shift
	vm "$name" "boot \"$G/vmlinuz\"" "initrd \"$G/initrd\"" \
	    "cmdline \"$base root=/dev/vda rw\"" \
	    "disk \"$G/debian.raw\"" "$@"
}

# stream MB: what the tiny guest's write puts on a disk.
stream() {
	local i
	# head ends yes by SIGPIPE.
	yes "all work and no play makes jack a dull boy" 2>/dev/null |
	    head -c $((1048576 - 64)) >"$T/filler" || true
	for ((i = 0; i < $1; i++)); do
		printf '%-63s\n' "block $i"
		cat "$T/filler"
	done
}

# The lab has no udev that would load it and make the node.
tun() {
	modprobe tun 2>/dev/null || true
	[[ -c /dev/net/tun ]] || {
		mkdir -p /dev/net
		mknod /dev/net/tun c 10 200
	}
}

# --- daemon --------------------------------------------------------------

vmd_pid=''

# vmd_up [OPTION...]: with the configuration on stdin.
vmd_up() {
	cat >"$T/vm.conf"
	vmd -n -f "$T/vm.conf"
	: >"$T/vmd.log"
	# Appended: its children, which may outlive it, write there as well.
	vmd -d -v -f "$T/vm.conf" "$@" 2>>"$T/vmd.log" >&2 &
	vmd_pid=$!
	within 20 vmd_answers || fail "vmd does not answer"
}

vmd_answers() {
	kill -0 "$vmd_pid" 2>/dev/null || fail "vmd ended: $(tail "$T/vmd.log")"
	[[ -S $sock ]] && vmctl status >/dev/null 2>&1
}

vmd_down() {
	local pid=$vmd_pid
	[[ -n $pid ]] || return 0
	vmd_pid=''
	kill -TERM "$pid" 2>/dev/null || true
	within 30 eval "! kill -0 $pid 2>/dev/null" || {
		echo "FAILED: vmd ignores SIGTERM" >&2
		kill -9 "$pid"
	}
	wait "$pid" || {
		echo "FAILED: vmd's exit status is $?" >&2
		return 1
	}
}

# vmd_killed: kill -9, and its control process is gone as well.
vmd_killed() {
	kill -9 "$vmd_pid"
	wait "$vmd_pid" 2>/dev/null || true
	vmd_pid=''
	within 5 no_control
}
no_control() { [[ -z $(role_process control) ]]; }

# vmd_back: another one, as it was.
vmd_back() {
	vmd -d -v -f "$T/vm.conf" 2>>"$T/vmd.log" >&2 &
	vmd_pid=$!
	within 30 vmd_answers || fail "vmd does not answer"
}

# role_process ROLE: the pid of control, netcfg, keeper.
role_process() {
	local p
	for p in $(vmd_processes); do
		[[ $(title "$p") != *": $1"* ]] || echo "$p"
	done
	return 0
}

# field NAME FIELD: of status -j; "null" when absent.
field() {
	vmctl status -j | jq -r --arg n "$1" --arg f "$2" \
	    '.[] | select(.name == $n) | .[$f]'
}

in_state() { [[ $(field "$1" state) = "$2" ]]; }

# becomes NAME STATE SECONDS
becomes() {
	within "$3" in_state "$1" "$2" ||
		fail "$1 is $(field "$1" state) after $3 s, not $2"
}

# --- clients that are not vmctl ------------------------------------------

declare -A ask_to ask_from

# client USER: a rawctl of this user that stays, for ask: processes are what
# takes time in the lab.
client() {
	local u=$1 to from
	mkfifo "$T/$u.to" "$T/$u.from"
	as "$u" ./rawctl -i <"$T/$u.to" >"$T/$u.from" &
	exec {to}>"$T/$u.to" {from}<"$T/$u.from"
	ask_to[$u]=$to ask_from[$u]=$from
}

# ask USER MS WORD...: what rawctl prints are the lines of $answers, the last of
# them is $answer.
ask() {
	local u=$1 line
	shift
	echo "$*" >&"${ask_to[$u]}"
	answers=() answer=''
	while read -r -t 60 -u "${ask_from[$u]}" line; do
		[[ -n $line ]] || return 0
		answers+=("$line")
		answer=$line
	done
	fail "$u: $*: no answer"
}

# ask_ok WORD...: of root's client, which is told OK.
ask_ok() {
	ask root 20000 "$@"
	[[ $answer = "OK "* ]] || fail "$*: $answer"
}

# is NAME STATE: by root's client; "gone" when there is no such VM.
is() {
	local line
	ask_ok LIST
	for line in "${answers[@]}"; do
		[[ $line != "VM $1 "* ]] || {
			[[ $line = "VM $1 $2" ]]
			return
		}
	done
	[[ $2 = gone ]]
}

# --- console -------------------------------------------------------------

# start NAME: starts it and records its console in $T/NAME.console.
start() {
	local name=$1 tty
	vmctl start "$name" 2>&1 | tee "$T/start.out"
	tty=$(sed -n 's/.*successfully, tty \(.*\)/\1/p' "$T/start.out")
	[[ -c $tty ]] || fail "$name: no tty in: $(cat "$T/start.out")"
	record "$name" "$tty"
}

record() {
	stty -F "$2" raw -echo
	cat "$2" >>"$T/$1.console" 2>/dev/null &
}

printed() { grep -aEq -- "$2" "$T/$1.console" 2>/dev/null; }

# printed_times NUMBER NAME PATTERN
printed_times() { [[ $(grep -aEc -- "$3" "$T/$2.console") = "$1" ]]; }

# What a VM's guests did since it was started, in all its lives.
restarts() { echo $((lived + $(field "$1" restarts))); }
lived=0

# $MOMENTS: so many times in each test a guest, while it is to print something, is
# saved and restored at random moments.
moments=0
moment() { # NAME
	((moments < ${MOMENTS:-0})) || return 0
	sleep "0.$((RANDOM % 10))$((RANDOM % 10))"
	((RANDOM % 3 == 0)) && in_state "$1" running || return 0
	# It may have ended just then, or begun anew.
	saved_and_restored "$1" || [[ $(<"$T/moment.out") = *"not running"* ||
	    $(<"$T/moment.out") = *ended* ]] ||
		fail "$1: was not saved: $(cat "$T/moment.out")"
}

# saved_and_restored NAME: fails if it ended just then.
saved_and_restored() {
	local name=$1 tty t0=$SECONDS compress=()
	((RANDOM % 4 != 0)) || compress=(-z)
	rm -f "$T/moment.state"
	vmctl save "${compress[@]}" "$name" "$T/moment.state" \
	    2>"$T/moment.out" || return
	in_state "$name" stopped || fail "$name: was saved, and is not stopped"
	lived=$((lived + $(field "$name" restarts)))
	vmctl restore "$T/moment.state" 2>"$T/moment.out" || true
	tty=$(sed -n 's/.*restored vm [0-9]*, tty \(.*\)/\1/p' "$T/moment.out")
	[[ -c $tty ]] || fail "$name: $(cat "$T/moment.out")"
	record "$name" "$tty"
	moments=$((moments + 1))
	away=$((away + SECONDS - t0))
	say "$name: saved and restored $moments times"
}

printed_in_time() { # NAME PATTERN
	printed "$1" "$2" && return
	moment "$1"
	printed "$1" "$2"
}

# prints NAME PATTERN SECONDS: on its console.
prints() {
	within "$3" printed_in_time "$1" "$2" || {
		tail -n 15 "$T/$1.console" >&2
		fail "$1: no '$2' within $3 s"
	}
}

# key NAME TEXT...: a line to its console.
key() {
	local name=$1
	shift
	echo "$*" >"$(field "$name" tty)"
}

# What the tiny guest does without end: it writes to its disk, reads there what it
# wrote before, and counts in /count; what is not as it was is a line of /bad.
rewrites='i=0; touch /bad; while :; do i=$((i+1)); a=$((i%32)); b=$((i*7%32)); dd if=/dev/urandom of=/d.$a bs=64k count=8 2>/dev/null; dd if=/d.$a of=/dev/vda bs=512k seek=$a conv=notrunc,fsync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; [ ! -f /d.$b ] || dd if=/dev/vda bs=512k skip=$b count=1 2>/dev/null | cmp -s - /d.$b || echo $i $b >>/bad; echo $i >/c; mv /c /count; done &'

# A machine that is not this host, 192.0.2.54, by which (as 192.0.2.53) it has
# a default route; serves what is in the files, on ports 7001 and on.
world() {
	local f port=7001
	modprobe veth 2>/dev/null || true
	ip netns add world
	ip link add w0 type veth peer name w1 netns world
	ip addr add 192.0.2.1/24 dev w0
	ip link set w0 up
	ip -n world addr add 192.0.2.53/24 dev w1
	ip -n world addr add 192.0.2.54/24 dev w1
	ip -n world link set w1 up
	ip route add default via 192.0.2.53
	for f in "$@"; do
		ip netns exec world socat -u "OPEN:$f" \
		    TCP-LISTEN:$port,reuseaddr &
		port=$((port + 1))
	done
}

# said NAME KEY: what follows "tiny: KEY ", of lines that are there to their end.
said() {
	head -n "$(wc -l <"$T/$1.console")" "$T/$1.console" | tr -d '\r' |
	    sed -n "s/^tiny: $2 //p" | grep ''
}

# value NAME KEY: the last of those.
value() {
	within 10 said "$1" "$2" >/dev/null
	said "$1" "$2" | tail -n 1
}

# stopped NAME SECONDS
stopped() { becomes "$1" stopped "$2"; }

# smbios NAME: what the tiny guest's shell finds in there.
smbios() {
	key "$1" 'cd /sys/class/dmi/id; echo tiny: dmi $(cat sys_vendor product_name product_serial)'
	prints "$1" "^tiny: dmi vmm vmd virtual machine $1" 30
	key "$1" 'echo tiny: uuid $(cat product_uuid) $(ls /sys/firmware/dmi/tables)'
	prints "$1" "^tiny: uuid [0-9a-f]{8}-[0-9a-f]{4}-8" 30
}

# run_tiny NAME SECONDS: from start to its own power-off.
run_tiny() {
	start "$1"
	prints "$1" "tiny: end" "$2"
	stopped "$1" 10
}

# --- nothing left behind -------------------------------------------------

# vmd's processes, by what they execute: titles change.
vmd_processes() {
	# One program, not one for each process: the lab's processor is slow.
	{ find /proc/[0-9]*/exe -maxdepth 0 \( -lname '*/sbin/vmd' -o \
	    -lname '*/sbin/vmd (deleted)' \) -printf '%h\n' 2>/dev/null ||
	    true; } | tr -dc '0-9\n'
}

# title PID: its arguments, a blank between them; nothing if it is gone.
title() {
	local args=()
	mapfile -d '' -t args 2>/dev/null <"/proc/$1/cmdline" || true
	echo "${args[*]}"
}

# The processes of VM NAME: those titled vm/NAME or NAME/device.
vm_processes() {
	local p
	for p in $(vmd_processes); do
		[[ " $(title "$p")" =~ [\ :](vm/$1|$1/[a-z]+[0-9]+)(\ |$) ]] &&
			echo "$p"
	done
	return 0
}

# device_process NAME DEVICE: its pid.
device_process() {
	local p
	for p in $(vmd_processes); do
		[[ $(title "$p") = *"$1/$2"* ]] && echo "$p"
	done
	return 0
}

memfds() {
	{ find /proc/[0-9]*/fd -lname '/memfd:*' 2>/dev/null || true; } |
	    wc -l
}

# What a VM can leave behind, as text.
leftovers() {
	echo "processes $(vmd_processes | wc -l)"
	echo "ptys $(find /dev/pts -name '[0-9]*' | wc -l)"
	echo "memfds $(memfds)"
	echo "locks $(wc -l </proc/locks)"
	echo "mounts $(wc -l </proc/mounts)"
	echo "namespaces $(lsns -n 2>/dev/null | wc -l)"
}

mark() { leftovers >"$T/mark"; }
same_as_mark() { cmp -s <(leftovers) "$T/mark"; }

# clean SECONDS: back to what mark() saw.
clean() {
	within "$1" same_as_mark || {
		diff "$T/mark" <(leftovers) >&2
		ps axo pid,ppid,user,args >&2
		fail "left behind after $1 s"
	}
}

# Consoles' readers, clients and whatever serves guests.
readers_off() { pkill -P $$ -x 'busybox|cat|netio|rawctl' 2>/dev/null || true; }
