# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# A service manager for tests: the lab has none, but the Debian guest's image
# has.  Laid under the lab's own files, it runs in a container.

box='' # its first process, as seen from outside
at=''  # what its files are made of

# in_box COMMAND...
in_box() { nsenter -t "$box" -m -u -p -C -r -w -- "$@"; }

# box_up: with the configuration on stdin.
box_up() {
	local new
	# Not below $T, which is copied when a test fails.
	at=$(mktemp -d /tmp/box.XXXXXX)
	new=$at/new
	modprobe loop
	mkdir "$at/debian" "$at/upper" "$new"
	cat >/etc/vm.conf
	mount -o ro,loop,noload "$G/debian.raw" "$at/debian"
	mount -t tmpfs -o mode=755 tmpfs "$at/upper"
	mkdir "$at/upper/u" "$at/upper/w"
	mount -t overlay -o "lowerdir=/:$at/debian" \
	    -o "upperdir=$at/upper/u,workdir=$at/upper/w" overlay "$new"
	echo "+cpu +memory +io +pids" >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p /sys/fs/cgroup/box
	# Its group is the root of its hierarchy, and only its processes are in
	# there: else the root could give no controllers.
	cat >"$at/enter" <<-'EOT'
		set -eu
		echo 0 >/sys/fs/cgroup/box/cgroup.procs
		exec unshare -C "$BASH" "$1/init" "$1/new"
	EOT
	cat >"$at/init" <<-'EOT'
		set -eu
		mount -t proc proc "$1/proc"
		mount -t sysfs sysfs "$1/sys"
		mount -o remount,bind,ro "$1/sys"
		mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
		mount -t tmpfs -o mode=755 tmpfs "$1/run"
		mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
		mount --rbind /dev "$1/dev"
		mount --rbind /guest "$1/guest"
		cd "$1"
		mkdir -p mnt
		pivot_root . mnt
		umount -l /mnt
		export container=lab
		exec /lib/systemd/systemd --unit=basic.target \
		    --log-target=console --show-status=no
	EOT
	setpriv --pdeathsig KILL unshare -m -u -p --fork --kill-child \
	    "$BASH" "$at/enter" "$at" >"$T/box.log" 2>&1 </dev/null &
	runner=$!
	within 30 eval 'box=$(pgrep -P "$runner") && [[ -n $box ]]'
	within 90 in_box systemctl is-active -q basic.target 2>/dev/null ||
		fail "the service manager does not start: $(cat "$T/box.log")"
}

box_down() {
	kill -9 "$box" 2>/dev/null || true
	wait "$runner" || true
	within 10 rmdir_box
	umount "$at/new" "$at/upper" "$at/debian"
	rm -rf /etc/vm.conf "$at"
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
	in_box vmctl start "$1" >"$T/start.out" 2>&1 || {
		in_box journalctl -u vmd --no-pager
		fail "$1 does not start: $(<"$T/start.out")"
	}
	tty=$(sed -n 's/.*, tty //p' "$T/start.out")
	record "$1" "$tty"
}

id_and_pid() { in_box vmctl status -j one | jq -c '.[0] | [.id, .pid, .state]'; }
