# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Who may do what (every command tried both ways).  alice owns va; bob is in
# ops, which owns vb; eve may use the socket and owns nothing; mallory may not
# even connect.
limit=90

setup_rights() {
	{
		echo 'socket owner root:vmusers'
		tiny va idle 'memory 128M' 'owner alice'
		tiny vb idle 'memory 128M' 'owner :ops'
		tiny vr idle 'memory 128M'
	} | vmd_up
}

off() {
	local v
	for v in va vb vr; do vmctl stop -fw "$v" 2>/dev/null || true; done
}

t_mallory_cannot_connect() {
	setup_rights
	refused as mallory vmctl status
	says "$sock.*Permission denied"
}

t_everybody_may_look() {
	local u
	setup_rights
	for u in alice bob eve root; do
		as "$u" vmctl status va
		as "$u" vmctl status -j | jq -e 'length == 3'
	done
	vmctl start va
	as eve vmctl wait va &
	sleep 2
	vmctl stop -f va
	wait $!
}

# start and stop: exactly one's own.
t_start_and_stop() {
	local u v own
	setup_rights
	for u in alice bob eve root; do
		for v in va vb vr; do
			case $u$v in
			aliceva | bobvb | root*) own=y ;;
			*) own=n ;;
			esac
			say "$u $v $own"
			if [[ $own = y ]]; then
				as "$u" vmctl start "$v"
				as "$u" vmctl stop -fw "$v"
			else
				refused as "$u" vmctl start "$v"
				vmctl start "$v"
				not as "$u" vmctl stop "$v"
				not as "$u" vmctl stop -f "$v"
				in_state "$v" running
				vmctl stop -fw "$v"
			fi
			stopped "$v" 5
		done
	done
}

t_consoles() {
	local tty
	setup_rights
	vmctl start va
	vmctl start vb
	vmctl start vr
	tty=$(field va tty)
	[[ $(stat -c %U "$tty") = alice ]]
	as alice sh -c ": <>$tty"
	! as bob sh -c ": <>$tty" || fail "bob opens $tty"
	! as eve sh -c ": <>$tty" || fail "eve opens $tty"
	tty=$(field vb tty)
	as bob sh -c ": <>$tty"
	! as alice sh -c ": <>$tty" || fail "alice opens $tty"
	tty=$(field vr tty)
	! as alice sh -c ": <>$tty" || fail "alice opens $tty"
	as alice vmctl console va </dev/null
	as bob vmctl console vb </dev/null
	not as alice vmctl console vb </dev/null
	not as eve vmctl console vr </dev/null
	off
}

t_root_only() {
	local u
	setup_rights
	cp "$G/vmlinuz" "$T/kernel"
	chmod 444 "$T/kernel"
	for u in alice bob eve; do
		refused as "$u" vmctl log verbose
		refused as "$u" vmctl reload
		refused as "$u" vmctl load "$T/vm.conf"
		refused as "$u" vmctl reset
		refused as "$u" vmctl start -b "$T/kernel" -m 64M -n lan "x$u"
		says "only root may"
		refused as "$u" vmctl start -b "$T/kernel" -m 64M -L "x$u"
		says "only root may"
	done
	[[ $(vmctl status -j | jq length) = 3 ]]
	vmctl log verbose
	vmctl log brief
	vmctl reload
}

# VMs of one's own that are in no vm.conf: with one's own files, and no more
# than four.
t_adhoc_of_users() {
	local n
	setup_rights
	truncate -s 1M "$T/hers" "$T/roots"
	chown alice "$T/hers"
	chmod 600 "$T/hers" "$T/roots"
	mkdir "$T/ways"
	ln -s "$T/roots" "$T/ways/link"
	chown -h alice "$T/ways/link"
	mine() {
		as alice vmctl start -b "$G/vmlinuz" -I "$G/tiny.cpio" \
		    -m 128M -a "$base tiny=idle" "$@"
	}
	refused mine -d "$T/roots" steals
	says "roots: Permission denied"
	refused mine -d "$T/ways/link" steals
	says "symbolic link"
	refused mine -d /dev/vda steals
	says "Permission denied"
	[[ $(vmctl status -j | jq length) = 3 ]]
	for n in 1 2 3 4; do
		if [[ $n = 1 ]]; then mine -d "$T/hers" m1; else mine m$n; fi
	done
	[[ $(field m1 owner) = alice && $(field m1 gid) = null ]]
	refused mine m5
	says "the limit"
	refused as bob vmctl stop -f m1
	as alice vmctl stop -fw m4
	mine m5
	as alice vmctl stop -fwa || true
	within 10 eval '[[ $(vmctl status -j | jq length) = 3 ]]'
}

# Instances of a template: who may, and what of their own.  The template's
# files are root's.
t_instances_of_users() {
	install -m 600 "$G/vmlinuz" "$T/kernel"
	install -m 600 "$G/tiny.cpio" "$T/initrd"
	{
		echo 'socket owner root:vmusers'
		vm template "boot \"$T/kernel\"" "initrd \"$T/initrd\"" \
		    "cmdline \"$base tiny=idle\"" 'memory 128M' \
		    'allow instance { disk, memory, owner alice }'
		tiny plain idle 'memory 128M'
	} | vmd_up
	truncate -s 1M "$T/hers" "$T/roots"
	chown alice "$T/hers"
	chmod 600 "$T/hers" "$T/roots"
	hers() { as alice vmctl start -t "$@"; }
	refused hers template -p 2 x
	says "instances of vm .template. may not have their own cpus"
	refused hers template -b "$G/vmlinuz" x
	says "their own boot"
	refused hers template -d "$T/roots" x
	says "roots: Permission denied"
	refused hers plain x
	says "may not start instances of vm .plain."
	refused hers nothing x
	says "not in vm.conf"
	refused as eve vmctl start -t template x
	says "may not start instances"
	hers template -d "$T/hers" -m 96M i1
	record i1 "$(field i1 tty)"
	prints i1 "tiny: idle" 60
	[[ $(field i1 owner) = alice && $(field i1 memory) = $((96 << 20)) ]]
	refused as bob vmctl stop -f i1
	as alice vmctl stop -fw i1
	[[ $(vmctl status -j | jq length) = 2 ]]
	vmctl start -t template i2
	vmctl stop -fw i2
}

# Each hears of his own VMs alone.
t_events_of_ones_own() {
	local u
	setup_rights
	for u in alice bob eve root; do
		as "$u" vmctl events >"$T/$u.events" 2>/dev/null &
	done
	sleep 3
	for u in va vb vr; do
		vmctl start "$u"
		vmctl stop -fw "$u"
	done
	within 5 eval '[[ $(grep -c stopped "$T/root.events") = 3 ]]'
	[[ $(grep -c "va (vm 1): " "$T/alice.events") = 4 ]]
	[[ $(wc -l <"$T/alice.events") = 4 ]]
	[[ $(grep -c "vb (vm 2): " "$T/bob.events") = 4 ]]
	[[ $(wc -l <"$T/bob.events") = 4 ]]
	[[ ! -s $T/eve.events ]]
	vmd_down
	wait
}

# stop -a by a user: his own, and nobody else's.
t_stop_all_of_mine() {
	setup_rights
	vmctl start va
	vmctl start vb
	as alice vmctl stop -fwa || true
	stopped va 5
	in_state vb running
	off
}

t_vmd_needs_root() {
	: >"$T/vm.conf"
	refused as alice vmd -d -f "$T/vm.conf"
	says "root"
	as alice vmd -n -f "$T/vm.conf"
}

t_user_cannot_use_the_device_node() {
	local device=/dev/kvm
	[[ ! -c /dev/vmm ]] || device=/dev/vmm
	chmod 600 "$device"
	unfit as alice vmctl check
	says "Permission denied"
}
