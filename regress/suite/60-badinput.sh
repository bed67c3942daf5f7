# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Bad input: one clear line each, exit 1, nothing left behind.
limit=90

# bad PATTERN LINE...: a VM of that configuration does not start.
bad() {
	local pattern=$1
	shift
	vm one "$@" >>"$T/vm.conf.in"
	vmd_up <"$T/vm.conf.in"
	mark
	refused vmctl start one
	says "$pattern"
	stopped one 1
	clean 5
}

adhoc() { # PATTERN vmctl start argument...
	local pattern=$1
	shift
	[[ -n $vmd_pid ]] || vmd_up </dev/null
	mark
	refused vmctl start "$@"
	says "$pattern"
	[[ $(vmctl status -j | jq length) = 0 ]]
	clean 5
}

t_kernel_unreadable() {
	adhoc "No such file" -b "$T/none" -m 64M one
	mkdir "$T/dir"
	adhoc "regular file|directory" -b "$T/dir" -m 64M one
}

t_not_a_kernel() {
	head -c 100000 /dev/urandom >"$T/noise"
	adhoc "kernel|format" -b "$T/noise" -m 64M one
	head -c 1000 "$G/vmlinuz" >"$T/short"
	adhoc "kernel|truncated|format" -b "$T/short" -m 64M one
	head -c 200000 "$G/vmlinux" >"$T/shortelf"
	adhoc "kernel|truncated|format" -b "$T/shortelf" -m 64M one
	: >"$T/empty"
	adhoc "empty|kernel" -b "$T/empty" -m 64M one
}

t_initrd() {
	: >"$T/empty"
	adhoc "initrd" -b "$G/vmlinuz" -I "$T/empty" -m 256M one
	adhoc "initrd.*No such file" -b "$G/vmlinuz" -I "$T/none" -m 256M one
	truncate -s 300M "$T/huge"
	adhoc "initrd|memory" -b "$G/vmlinuz" -I "$T/huge" -m 128M one
}

# An initrd that is cut short is the guest's problem, not ours.
t_initrd_cut_short() {
	head -c 100000 "$G/tiny.cpio" >"$T/cut"
	vm one "boot \"$G/vmlinuz\"" "initrd \"$T/cut\"" \
	    "cmdline \"console=ttyS0 quiet panic=0\"" | vmd_up
	mark
	start one
	prints one "panic|Initramfs" 60
	vmctl stop -fw one
	readers_off
	clean 5
}

t_disk_missing() {
	adhoc "disk" -b "$G/vmlinuz" -m 64M -d "$T/none" one
}

t_disk_removed_after_configuration() {
	truncate -s 1M "$T/disk"
	tiny one idle "disk \"$T/disk\"" | vmd_up
	rm "$T/disk"
	mark
	refused vmctl start one
	says "disk"
	clean 5
}

t_disk_of_zero_bytes() {
	: >"$T/disk"
	bad "disk" "boot \"$G/vmlinuz\"" "disk \"$T/disk\""
}

t_disk_is_a_directory() {
	mkdir "$T/dir"
	adhoc "disk" -b "$G/vmlinuz" -m 64M -d "$T/dir" one
	adhoc "disk" -b "$G/vmlinuz" -m 64M -d /dev/zero one
}

t_disk_locked_by_another_program() {
	truncate -s 1M "$T/disk"
	exec 9<>"$T/disk"
	flock -x 9
	tiny one idle "disk \"$T/disk\"" | vmd_up 9>&-
	mark
	refused vmctl start one
	says "disk"
	clean 5
}

t_memory_larger_than_the_host() {
	adhoc "memory" -b "$G/vmlinuz" -m 1024G one
	adhoc "memory" -b "$G/vmlinuz" -m 64G one
}

t_too_many_cpus() {
	adhoc "cpu" -b "$G/vmlinuz" -m 64M -p 65 one
	adhoc "cpu" -b "$G/vmlinuz" -m 64M -p 0 one
	vm one 'cpus 65' "boot \"$G/vmlinuz\"" >"$T/bad.conf"
	refused vmd -n -f "$T/bad.conf"
	says "bad.conf:3: .*cpus"
}

t_names() {
	adhoc "name" -b "$G/vmlinuz" -m 64M a/b
	adhoc "name" -b "$G/vmlinuz" -m 64M .hidden
	adhoc "name" -b "$G/vmlinuz" -m 64M "$(printf 'x%.0s' {1..64})"
}

t_socket_not_there() {
	refused vmctl status
	says "$sock"
	refused vmctl -s "$T/none" status
	says "$T/none"
}

t_no_device_node() {
	: >"$T/vm.conf"
	refused vmd -d -k /dev/nothing -f "$T/vm.conf"
	says "/dev/nothing"
	[[ -z $(vmd_processes) ]]
}

t_garbage_on_the_socket() {
	local i
	tiny one idle | vmd_up
	for i in 1 2 3 4 5; do
		head -c 5000 /dev/urandom |
		    timeout 3 socat -u - "UNIX-CONNECT:$sock" || true
	done
	# Connections that say nothing.
	for _ in {1..40}; do
		timeout 20 socat -u "UNIX-CONNECT:$sock" - >/dev/null 2>&1 &
	done
	sleep 1
	timeout 10 vmctl status || true
	pkill -x socat || true
	sleep 1
	vmctl status
}
