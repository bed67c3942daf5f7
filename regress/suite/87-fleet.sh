# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# contrib/ansible: a controller and two hosts that run vmd.  Each is a
# container, its files are the lab's with Ansible and an SSH server laid under
# them (lab/ansible), and a network of its own on one bridge.
limit=900

at='' # what the machines' files are made of

# machine_up NAME ADDRESS COMMAND: its first process runs COMMAND.
machine_up() {
	local m=$at/$1 name=$1
	mkdir -p "$m/upper" "$m/work" "$m/new"
	mount -t overlay -o "lowerdir=/:$at/debian" \
	    -o "upperdir=$m/upper,workdir=$m/work" overlay "$m/new"
	cp -a "$at/ssh/." "$m/new/root/"
	cp -a ../ansible "$m/new/root/"
	cp atom "$m/new/root/atom"
	echo "sshd:x:74:65534::/run/sshd:/usr/sbin/nologin" \
	    >>"$m/new/etc/passwd"
	ip netns add "$name"
	ip link add "f-$name" type veth peer name eth0 netns "$name"
	ip link set "f-$name" master fleet0 up
	ip -n "$name" link set lo up
	ip -n "$name" addr add "$2/24" dev eth0
	ip -n "$name" link set eth0 up
	cat >"$m/init" <<-'EOT'
		set -eu
		hostname "$2"
		mount -t proc proc "$1/proc"
		mount -t sysfs -o ro sysfs "$1/sys"
		mount -t tmpfs -o mode=755 tmpfs "$1/run"
		mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
		mount --rbind /dev "$1/dev"
		mkdir "$1/run/sshd"
		cd "$1"
		mkdir -p mnt
		pivot_root . mnt
		umount -l /mnt
		cd /root
		eval "$3"
	EOT
	setpriv --pdeathsig KILL ip netns exec "$name" \
	    unshare -m -u -p --fork --kill-child \
	    "$BASH" "$m/init" "$m/new" "$name" "$3" \
	    >"$T/$name.log" 2>&1 </dev/null &
	echo $! >"$m/runner"
	within 30 pgrep -P "$!" >"$m/pid"
}

# in_machine NAME COMMAND...
in_machine() {
	local m=$at/$1 pid
	read -r pid <"$m/pid"
	shift
	nsenter -t "$pid" -m -u -n -p -r -w -- "$@"
}

# Keys for all: the controller knows the hosts by theirs.
keys() {
	local n
	mkdir -p "$at/ssh/.ssh"
	mkdir "$at/kup" "$at/kwork" "$at/k"
	mount -t overlay -o "lowerdir=/:$at/debian" \
	    -o "upperdir=$at/kup,workdir=$at/kwork" overlay "$at/k"
	mount --bind /dev "$at/k/dev"
	for n in id_ed25519 host; do
		chroot "$at/k" ssh-keygen -q -t ed25519 -N '' -C lab -f "/root/$n"
		mv "$at/k/root/$n" "$at/k/root/$n.pub" "$at/ssh/.ssh/"
	done
	umount "$at/k/dev" "$at/k"
	cp "$at/ssh/.ssh/id_ed25519.pub" "$at/ssh/.ssh/authorized_keys"
	for n in 1 2; do
		echo "10.77.0.$n $(<"$at/ssh/.ssh/host.pub")"
	done >"$at/ssh/.ssh/known_hosts"
	chmod 700 "$at/ssh/.ssh"
}

# Those that a test before left when it failed, too.
networks_off() {
	local n
	for n in host1 host2 control; do
		ip netns del "$n" 2>/dev/null || true
	done
	ip link del fleet0 2>/dev/null || true
}

fleet_up() {
	local n
	[[ -f ../ansible.sqfs ]] || skip "no Ansible in this run"
	[[ -r ./atom ]] || fail "no atom (make build/regress/guest/atom)"
	# Not below $T, which is copied when a test fails.
	at=$(mktemp -d /tmp/fleet.XXXXXX)
	mount -t tmpfs -o mode=755 tmpfs "$at"
	mkdir "$at/debian"
	modprobe loop
	mount -t squashfs -o ro,loop ../ansible.sqfs "$at/debian"
	keys
	networks_off
	ip link add fleet0 type bridge
	ip link set fleet0 up
	for n in 1 2; do
		machine_up "host$n" "10.77.0.$n" ': >/etc/vm.conf
		    /usr/sbin/sshd -f /dev/null -h /root/.ssh/host \
			-o "Subsystem=sftp internal-sftp"
		    vmd -d -v &
		    wait'
	done
	machine_up control 10.77.0.100 'exec sleep infinity'
	# It has come to its own files.
	within 30 in_machine control test -e /root/ansible/site.yml
	for n in 1 2; do
		within 30 in_machine "host$n" vmctl status >/dev/null 2>&1 ||
			fail "no vmd: $(<"$T/host$n.log")"
	done
}

# What a machine runs ends with its first process.
fleet_down() {
	local n
	for n in host1 host2 control; do
		kill -9 "$(<"$at/$n/pid")"
		wait "$(<"$at/$n/runner")" || true
		umount "$at/$n/new"
	done
	networks_off
	umount "$at/debian" "$at"
	rmdir "$at"
}

# inventory STATE MEMORY: what the first host's VM does, and that the other's has.
inventory() {
	local i=$at/control/new/root/ansible/inventory
	mkdir -p "$i/host_vars"
	cat >"$i/hosts" <<-'EOT'
		[vmd]
		host1 ansible_host=10.77.0.1
		host2 ansible_host=10.77.0.2
		[vmd:vars]
		ansible_user=root
		ansible_python_interpreter=/usr/bin/python3
	EOT
	echo "vmd_vms: [$(a_vm web "$1" 16M), $(a_vm db stopped 16M)]" \
	    >"$i/host_vars/host1.yml"
	echo "vmd_vms: [$(a_vm mail started "$2")]" >"$i/host_vars/host2.yml"
}

a_vm() { # NAME STATE MEMORY
	printf '{name: %s, state: %s, config: "%s"}' "$1" "$2" \
	    "boot \\\"/root/atom\\\"\\nmemory $3"
}

# play NAME [OPTION...]: what it says is in $T/play.NAME.
play() {
	local name=$1 t0=$SECONDS rc=0
	shift
	in_machine control env HOME=/root ANSIBLE_NOCOLOR=1 \
	    sh -c 'cd /root/ansible && ansible-playbook "$@"' sh \
	    "$@" site.yml >"$T/play.$name" 2>&1 || rc=$?
	say "play $name: exit $rc after $((SECONDS - t0)) s"
	sed -n '/^PLAY RECAP/,$p' "$T/play.$name"
	return "$rc"
}

plays() { play "$@" || fail "$(<"$T/play.$1")"; }

# recap NAME HOST CHANGED FAILED
recap() {
	grep -Eq "^$2 +: .* changed=$3 +unreachable=0 +failed=$4 " \
	    "$T/play.$1" || fail "$2: $(<"$T/play.$1")"
}

# does HOST NAME=STATE...: what its vmd says, in order of names.
does() {
	local host=$1 is
	shift
	is=$(in_machine "$host" vmctl status -j |
	    jq -r 'map(.name + "=" + .state) | sort | join(" ")')
	[[ $is = "$*" ]] || fail "$host: $is"
}

t_ansible() {
	local pid
	fleet_up
	inventory started 16M
	plays check --check
	does host1
	does host2

	plays first
	does host1 db=stopped web=running
	does host2 mail=running
	pid=$(in_machine host2 vmctl status -j mail | jq '.[0].pid')

	plays second
	recap second host1 0 0
	recap second host2 0 0

	# A file that is not valid is not written, and only its host's matter.
	inventory stopped sixteen
	not play third
	recap third host1 3 0
	recap third host2 0 1
	does host1 db=stopped web=stopped
	does host2 mail=running
	[[ $(in_machine host2 vmctl status -j mail | jq '.[0].pid') = "$pid" ]]
	not in_machine host2 grep -q sixteen /etc/vm.conf
	fleet_down
}
