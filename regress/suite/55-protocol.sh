# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2086,SC2154
#
# The control protocol, spoken by a program that is not vmctl: every message by
# everybody, and what no client may say.  alice and the group ops, which bob is
# in, own VM one; ines may have instances of it; eve may use the socket, mallory
# not even that.
limit=300

people="root alice bob ines eve"

# Message and fields, state of VM one before and, for whom it is done, after;
# what each of $people is answered: y OK, - EPERM, w nothing yet, as there is
# nothing to tell, d the end of the connection, or the code of another refusal.
matrix() {
	cat <<-EOT
	LIST                                  | stopped | stopped | y y y y y
	START n32=0 str=one                   | stopped | running | y y y - -
	SCREEN n32=1 str=                     | running | running | y y y - -
	KEY n32=1 str= n32=1 n32=2            | running | running | y y y - -
	PAUSE n32=1 str=                      | running | paused  | y y y - -
	UNPAUSE n32=0 str=one                 | paused  | running | y y y - -
	CDROM n32=0 str=one n32=1 fd=$T/iso   | running | running | y y y - -
	EJECT n32=1 str= n32=1                | running | running | y y y - -
	LINK n32=0 str=one n32=0 n32=0        | running | running | y y y - -
	SAVE n32=0 str=one n32=1 fd=$T/iso    | running | running | 9 9 9 - -
	RESTORE n32=1 str= fd=$T/iso          | running | running | 114 114 114 - -
	SEND n32=0 str=one n32=300 n64=0 n32=0 n32=0 fd=$T/iso | running | running | 22 22 22 - -
	RECEIVE n32=0 str=one                 | running | running | 114 114 114 - -
	SNAPSHOT n32=0 str=one n32=0 str=t    | running | running | y 17 17 - -
	SNAPSHOTS n32=1 str=                  | running | running | y y y - -
	REVERT n32=0 str=one str=none         | running | running | 2 2 2 - -
	SNAPSHOT n32=0 str=one n32=1 str=t    | running | running | y 2 2 - -
	MEMORY n32=0 str=one n64=0x1000000    | running | running | y y y - -
	WAIT n32=0 str=one                    | running | running | w w w w w
	STOP n32=0 str=one n32=0              | paused  | stopped | y y y - -
	STOP n32=1 str= n32=1                 | running | stopped | y y y - -
	START n32=0 str=none                  | stopped | stopped | 2 - - - -
	STOP n32=0 str=none n32=1             | stopped | stopped | 2 2 2 2 2
	START_KERNEL fd=$T/noise + START_ADHOC conf=x::$T/noise | stopped | stopped | 8 8 8 8 8
	START_KERNEL fd=./atom + START_INITRD fd=$T/noise + START_ADHOC conf=x::$PWD/atom | stopped | stopped | y y y y y
	START_ADHOC conf=x                    | stopped | stopped | 1001 1001 1001 1001 1001
	START_ADHOC conf=x:one                | stopped | stopped | y - - y -
	START_FILE str=$T/x.conf              | stopped | stopped | y - - - -
	EVENTS                                | stopped | stopped | w w w w w
	LOG n32=1                             | stopped | stopped | y - - - -
	RELOAD                                | stopped | stopped | y - - - -
	LOAD str=$T/more.conf                 | stopped | stopped | y - - - -
	RESET n32=2                           | stopped | stopped | y - - - -
	OK n32=0 str=                         | stopped | stopped | d d d d d
	FAIL n32=1 str=                       | stopped | stopped | d d d d d
	VM n32=1 str=one                      | stopped | stopped | d d d d d
	ENDED n32=1 str=one                   | stopped | stopped | d d d d d
	EVENT n32=1                           | stopped | stopped | d d d d d
	LINE str=one                          | stopped | stopped | d d d d d
	KEPT n32=1                            | stopped | stopped | d d d d d
	CELLS n32=1                           | stopped | stopped | d d d d d
	EOT
}

setup_protocol() {
	local u
	[[ -x ./rawctl && -r ./atom ]] || skip "no rawctl or no atom"
	tun
	# Not of a length that firmware can have: noise is code, too.
	head -c 65537 /dev/urandom >"$T/noise"
	truncate -s 1M "$T/iso"
	echo '# nothing' >"$T/more.conf"
	atom x >"$T/x.conf"
	{
		echo 'socket owner root:vmusers'
		atom one 'owner alice:ops' 'interfaces 1' screen \
		    "cdrom \"$T/iso\"" 'allow instance { memory, owner ines }'
	} | vmd_up
	control=$(control_process)
	[[ -n $control ]]
	for u in $people mallory; do client "$u"; done
}

control_process() {
	local p
	for p in $(vmd_processes); do
		[[ $(title "$p") != *": control"* ]] || echo "$p"
	done
}

descriptors() {
	local p
	for p in "$vmd_pid" "$control"; do
		# Those that the parent makes ahead apart: 42-many's.
		find "/proc/$p/fd" -mindepth 1 ! -lname 'net:*' -printf '%l\n' |
		    sed 's/[0-9]\+//' | sort | uniq -c
	done
}

# unharmed: nobody was ended, nothing is held on to.
unharmed() {
	kill -0 "$vmd_pid"
	[[ $(control_process) = "$control" ]] || fail "control ended"
	descriptors >"$T/descriptors.now"
	cmp -s "$T/descriptors" "$T/descriptors.now"
}

# bring STATE: VM one into it.
bring() {
	! is one "$1" || return 0
	case $1 in
	stopped) ask_ok STOP n32=0 str=one n32=1 ;;
	running) ask_ok "$(is one paused && echo UNPAUSE || echo START)" \
		n32=0 str=one ;;
	paused)
		is one running || ask_ok START n32=0 str=one
		ask_ok PAUSE n32=0 str=one
		;;
	esac
	within 30 is one "$1" || fail "one is not $1"
}

letter() { # for what rawctl printed last
	case $1 in
	"OK "*) echo y ;;
	"FAIL 1 "*) echo - ;;
	"FAIL "*) set -- $1 && echo "$2" ;;
	waiting) echo w ;;
	dropped) echo d ;;
	*) echo "? $1" ;;
	esac
}

# cell USER EXPECTED BEFORE AFTER WORD...
cell() {
	local u=$1 expected=$2 before=$3 after=$4 ms=20000
	shift 4
	[[ $expected != w ]] || ms=1000
	bring "$before"
	ask "$u" "$ms" "$@"
	[[ $(letter "$answer") = "$expected" ]] ||
		fail "$u: $*: $answer, not $expected"
	if [[ $expected = y ]]; then
		within 130 is one "$after" || fail "$u: $*: not $after"
	else
		is one "$before" || fail "$u: $*: done all the same"
	fi
	[[ $* != *START_[AF]* || $expected != y ]] || {
		ask_ok STOP n32=0 str=x n32=1
		within 30 is x gone || fail "$u: $*: x is still there"
	}
}

t_every_message_by_everybody() {
	local what before after cells u
	setup_protocol
	diff <(matrix | sed 's/|.*//' | grep -o '[A-Z_]\{2,\}' | sort -u) \
	    <(./rawctl -l | sort) || fail "messages without a row, or rows without"
	mark
	while IFS='|' read -r -u 9 what before after cells; do
		set -- $what
		say "$*: $cells"
		[[ $(wc -w <<<"$cells") = $(wc -w <<<"$people") ]]
		read -ra cells <<<"$cells"
		for u in $people; do
			cell "$u" "${cells[0]}" "${before// /}" "${after// /}" \
			    "$@"
			cells=("${cells[@]:1}")
		done
		ask mallory 20000 "$@"
		[[ $answer = "connect: Permission denied" ]]
	done 9< <(matrix)
	bring stopped
	clean 10
	[[ $(control_process) = "$control" ]]
	[[ $(vmctl status -j | jq length) = 1 ]]
}

# What nobody may say, not even root: it costs the connection.
malformed() {
	local long wait="WAIT n32=0 str=one"
	long=$(printf 'x%.0s' {1..64})
	cat <<-EOT
	LIST n8=0
	LIST fd=/dev/null
	LIST len=0
	LIST len=15
	LIST len=17 end
	LIST len=65537
	LIST len=0x7fffffff
	LIST len=0xffffffff
	LIST len=0x80000010
	START
	START n16=0
	START n32=0
	START n32=0 n16=4 hex=6f6e65
	START n32=0 n16=3 hex=6f0065
	START n32=0 str=$long
	START n32=0 str=one n8=0
	START n32=0 str=one fd=/dev/null
	STOP n32=0 str=one
	STOP n32=0 str=one n32=2
	LINK n32=0 str=one n32=1
	LINK n32=0 str=one n32=2 n32=0
	MEMORY n32=0 str=one n32=1
	MEMORY n32=0 str=one
	CDROM n32=0 str=one n32=1
	CDROM n32=0 str=one n32=2 fd=/dev/null
	CDROM n32=0 str=one n32=1 fd=/dev/null fd=/dev/null
	EJECT n32=0 str=one n32=1 fd=/dev/null
	PAUSE str=one
	UNPAUSE n32=0 str=one n32=0
	SCREEN str=one
	KEY n32=0 str=one
	KEY n32=0 str=one n32=1 n32=0
	KEY n32=0 str=one n32=17
	SNAPSHOT n32=0 str=one n32=0
	SNAPSHOT n32=0 str=one n32=1000 str=t
	SNAPSHOT n32=0 str=one n32=0 str=$long
	SNAPSHOTS n32=0
	SNAPSHOTS n32=0 str=one n8=0
	REVERT n32=0 str=one
	REVERT n32=0 str=one str=t n8=0
	REVERT n32=0 str=one str=t fd=/dev/null
	WAIT n32=0
	START_KERNEL
	START_KERNEL fd=/dev/null n8=0
	START_INITRD
	START_INITRD fd=/dev/null fd=/dev/null fd=/dev/null fd=/dev/null fd=/dev/null
	START_ADHOC
	START_ADHOC str=one
	START_ADHOC conf=x n8=0
	START_ADHOC conf=x fd=/dev/null
	LOG
	LOG n16=1
	RELOAD n32=0
	LOAD
	LOAD str=vm.conf
	LOAD n16=3 hex=2f0a41
	START_FILE
	START_FILE str=vm.conf
	RESET
	RESET n32=0
	RESET n32=4
	EVENTS n32=0
	- hex=474554202f20485454502f312e300d0a0d0a
	- hex=00 end
	$(for _ in {1..16}; do printf '%s + ' "$wait"; done)$wait
	EOT
}

t_what_no_client_may_say() {
	local line u pid
	setup_protocol
	vmctl start one
	pid=$(field one pid)
	within 5 eval 'descriptors >"$T/descriptors"'
	while read -r -u 9 line; do
		set -- $line
		say "$*"
		for u in root eve; do
			ask "$u" 20000 "$@"
			[[ $answer = dropped ]] || fail "$u: $*: $answer"
		done
	done 9< <(malformed)
	within 10 unharmed || diff "$T/descriptors" "$T/descriptors.now"
	# Messages of vmd's own processes among them.
	for u in root eve; do as "$u" ./rawctl -u; done
	within 10 unharmed || diff "$T/descriptors" "$T/descriptors.now"
	[[ $(field one pid) = "$pid" ]]
	as alice vmctl pause one
	as bob vmctl unpause one
	bring stopped
}
