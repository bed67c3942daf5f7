# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The block device: what was written and flushed is there, and its I/O does
# not wake the vm process.
limit=360

t_checksum_survives_stop_and_start() {
	local sum
	truncate -s 300M "$T/disk"
	{
		tiny writer writeidle,256 'memory 512M' "disk \"$T/disk\""
		tiny reader sum,256 'memory 512M' "disk \"$T/disk\""
	} | vmd_up
	start writer
	prints writer "tiny: idle" 150
	sum=$(stream 256 | md5sum)
	vmctl stop -w writer
	stopped writer 1
	printed writer "power button"
	# The host's view, then the guest's.
	[[ $(head -c 256M "$T/disk" | md5sum) = "$sum" ]]
	start reader
	prints reader "tiny: end" 150
	[[ $(value reader sum) = "$sum" ]]
}

t_image_is_locked() {
	truncate -s 8M "$T/disk"
	{
		tiny one idle "disk \"$T/disk\""
		tiny two idle "disk \"$T/disk\""
	} | vmd_up
	vmctl start one
	mark
	refused vmctl start two
	clean 5
	vmctl stop -fw one
	vmctl start two
}

# Sum over the tasks that are not vCPUs: the event loop.
wakeups() {
	local t sum=0
	for t in /proc/"$1"/task/*; do
		grep -q '^vcpu' "$t/comm" && continue
		sum=$((sum + $(awk '/^voluntary_ctxt_switches/ { print $2 }' \
		    "$t/status")))
	done
	echo "$sum"
}

# Exits of the vCPUs that reached user space for MMIO or ports, from KVM's trace
# point; our driver has none, there the wake-ups have to do.
tracing=/sys/kernel/tracing
trace_exits() {
	[[ ! -c /dev/vmm ]] || return 0
	mountpoint -q $tracing || mount -t tracefs tracefs $tracing
	echo >$tracing/trace
	echo 1 >$tracing/events/kvm/kvm_userspace_exit/enable
}

user_exits() {
	[[ ! -c /dev/vmm ]] || {
		echo 0
		return
	}
	grep -Ec 'kvm_userspace_exit: reason KVM_EXIT_(IO|MMIO) ' \
	    $tracing/trace || true
}

t_vm_process_sleeps_during_io() {
	local pid a b x y
	truncate -s 32M "$T/disk"
	tiny one io,4000 "disk \"$T/disk\"" | vmd_up
	start one
	pid=$(field one pid)
	prints one "tiny: io begins" 60
	trace_exits
	a=$(wakeups "$pid") x=$(user_exits "$pid")
	prints one "tiny: io ends" 90
	b=$(wakeups "$pid") y=$(user_exits "$pid")
	say "4000 reads: $((b - a)) wake-ups, $((y - x)) exits to user space"
	# The console's own few lines and the clock are allowed.
	((b - a < 200)) || fail "the vm process woke $((b - a)) times"
	((y - x < 400)) || fail "$((y - x)) exits to the vm process"
}
