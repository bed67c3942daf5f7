#!/bin/bash
# SPDX-License-Identifier: ISC
#
# `make run': a Debian guest's console.  Runs on this machine when its
# hypervisor device passes vmd's probe, else in the lab on our driver, and says
# why.

# shellcheck source=lab/env.sh
. "$(dirname "$0")/lab/env.sh"
cd "$top"
B=${B:-build}
begin=$SECONDS

# Sets $why; true when this machine can do it itself.
usable() {
	if [[ ! -e /dev/vmm && ! -e /dev/kvm ]]; then
		why="it has neither /dev/vmm nor /dev/kvm"
		return 1
	fi
	why=$(as_root timeout 30 "$B/vmd/vmd" -c 2>&1 </dev/null) && return 0
	why="vmd -c says: $(tail -n 1 <<<"$why")"
	return 1
}

native() {
	say "running on this machine: its hypervisor device passes the probe"
	# The user that vmd's processes become, and their empty directory.
	as_root systemd-sysusers "$top/etc/vmd.sysusers"
	as_root install -d -m 755 /var/empty
	regress/guest/build -d "$B/guest" >/dev/null
	as_root regress/lab/session.sh "$top/$B/guest" "$top/$B/vmd/vmd" \
	    "$top/$B/vmctl/vmctl"
}

lab() {
	local opts=() guest_disk
	say "running in the lab, on our driver, not on this machine: $why"
	eval "$(regress/guest/build)"
	[[ -t 0 && -t 1 ]] && opts=(-s -t 86400)
	say "lab starts after $((SECONDS - begin)) s"
	regress/lab/run -v -c 2 -m 2048 -t 600 "${opts[@]}" -g "$guest_disk" \
	    regress/lab/session.sh /guest vmd vmctl
}

if usable; then native; else lab; fi
