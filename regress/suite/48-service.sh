# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# vmd under a service manager: the lab has none, but the Debian guest's image
# has.  Laid under the lab's own files, it runs in a container, and vmd in that,
# as etc/vmd.service says.
limit=600

box='' # its first process, as seen from outside

# in_box COMMAND...
in_box() { nsenter -t "$box" -m -u -p -C -r -w -- "$@"; }

# box_up: with the configuration on stdin.
box_up() {
	local new=$T/new
	modprobe loop
	mkdir "$T/debian" "$T/upper" "$new"
	cat >/etc/vm.conf
	mount -o ro,loop,noload "$G/debian.raw" "$T/debian"
	mount -t tmpfs -o mode=755 tmpfs "$T/upper"
	mkdir "$T/upper/u" "$T/upper/w"
	mount -t overlay -o "lowerdir=/:$T/debian" \
	    -o "upperdir=$T/upper/u,workdir=$T/upper/w" overlay "$new"
	echo "+cpu +memory +io +pids" >/sys/fs/cgroup/cgroup.subtree_control
	mkdir /sys/fs/cgroup/box
	(
		echo "$BASHPID" >/sys/fs/cgroup/box/cgroup.procs
		exec setpriv --pdeathsig KILL \
		    unshare -m -u -p -C --fork --kill-child "$BASH" -euc '
			new=$1
			mount -t proc proc "$new/proc"
			mount -t sysfs sysfs "$new/sys"
			mount -o remount,bind,ro "$new/sys"
			mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
			mount -t tmpfs -o mode=755 tmpfs "$new/run"
			mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
			mount --rbind /dev "$new/dev"
			mount --rbind /guest "$new/guest"
			cd "$new"
			mkdir -p mnt
			pivot_root . mnt
			umount -l /mnt
			export container=lab
			exec /lib/systemd/systemd --unit=basic.target \
			    --log-target=console --show-status=no' \
		    box "$new"
	) >"$T/box.log" 2>&1 </dev/null &
	runner=$!
	within 30 eval 'box=$(pgrep -P "$runner") && [[ -n $box ]]'
	within 90 in_box systemctl is-active -q basic.target ||
		fail "the service manager does not start: $(cat "$T/box.log")"
}

box_down() {
	kill -9 "$box" 2>/dev/null || true
	wait "$runner" || true
	within 10 rmdir_box
	umount -l "$T/new" "$T/upper" "$T/debian"
	rm -f /etc/vm.conf
}

# Groups that the service manager made, deepest first.
rmdir_box() {
	find /sys/fs/cgroup/box -depth -type d -exec rmdir {} + 2>/dev/null
	[[ ! -e /sys/fs/cgroup/box ]]
}

main_pid() { in_box systemctl show -P MainPID vmd; }
another_main() { [[ $(main_pid) != 0 && $(main_pid) != "$1" ]]; }

# box_start NAME: its console in $T/NAME.console.
box_start() {
	local tty
	tty=$(in_box vmctl start "$1" 2>&1 | sed -n 's/.*, tty //p')
	[[ -c $tty ]] || fail "$1 does not start"
	record "$1" "$tty"
}

t_service() {
	local g=/sys/fs/cgroup/system.slice/vmd.service pid
	tiny one idle 'memory 128M' 'limit { cpu 150%, memory 400M }' | box_up
	in_box systemctl start vmd
	in_box systemctl is-active vmd
	pid=$(main_pid)
	box_start one
	prints one "tiny: idle" 90
	[[ $(in_box cat "$g/vm-one/cpu.max") = "150000 100000" ]]
	[[ $(in_box cat "$g/vm-one/memory.max") = $((400 << 20)) ]]
	in_box systemd-cgls --no-pager -l "$g"
	in_box grep -qx "$pid" "$g/daemon/cgroup.procs"
	in_box systemctl reload vmd
	[[ $(main_pid) = "$pid" ]]
	# What it needs is not more than the unit leaves it.
	in_box journalctl -u vmd --no-pager | tee "$T/journal"
	not grep -Ei "denied|not permitted|cannot" "$T/journal"
	# A crash: everything is started anew, in groups that are new.
	in_box kill -9 "$pid"
	within 60 another_main "$pid"
	within 20 in_box systemctl is-active -q vmd
	within 20 in_box test ! -e "$g/vm-one"
	box_start one
	within 90 eval '[[ $(grep -ac "tiny: idle" "$T/one.console") = 2 ]]'
	[[ $(in_box cat "$g/vm-one/cpu.max") = "150000 100000" ]]
	# The guest powers off itself before the service is stopped.
	in_box systemctl stop vmd
	printed one "tiny: power button"
	[[ $(in_box systemctl show -P Result vmd) = success ]]
	in_box journalctl -u vmd --no-pager | tail -n 5 | tee "$T/journal"
	grep -q "one: powered off" "$T/journal"
	in_box systemctl start vmd
	box_start one
	within 90 eval '[[ $(grep -ac "tiny: idle" "$T/one.console") = 3 ]]'
	# So it does when the whole host is shut down.
	in_box systemctl poweroff
	within 60 eval '! kill -0 "$box" 2>/dev/null'
	[[ $(grep -ac "tiny: power button" "$T/one.console") = 2 ]]
	box_down
}

# Whatever time the guest takes, within what the daemon gives each.
t_end_waits_for_a_slow_guest() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "/ # " 120
	key one 'mkdir -p /etc/acpi/PWRF; cd /etc/acpi/PWRF'
	key one 'echo "#!/bin/sh" >00000080; chmod 755 00000080'
	key one 'echo "sleep 40; echo tiny: off. >/dev/console" >>00000080'
	key one 'echo "poweroff -f" >>00000080; acpid -d >/dev/null 2>&1 & echo tiny: waits.'
	prints one "^tiny: waits\\." 30
	kill -TERM "$vmd_pid"
	within 90 eval '! kill -0 "$vmd_pid" 2>/dev/null'
	wait "$vmd_pid"
	vmd_pid=''
	printed one "^tiny: off\\."
	grep "one: powered off" "$T/vmd.log"
}
