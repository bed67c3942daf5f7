# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Linux boots: CPUs, memory, both kernel formats, devices.
limit=240

boots() { # CPUS MEMORY-MB LINE...
	local cpus=$1 mem=$2 got
	shift 2
	truncate -s 16M "$T/disk"
	tiny one info "cpus $cpus" "memory ${mem}M" "disk \"$T/disk\"" "$@" |
	    vmd_up
	mark
	run_tiny one 100
	got=$(value one cpus)
	[[ $got = "$cpus" ]] || {
		tail -n 30 "$T/one.console"
		fail "$got CPUs of $cpus"
	}
	got=$(value one mem)
	say "$got MB of $mem"
	# The kernel's own share is not in MemTotal.
	((got > mem * 7 / 10 - 40 && got < mem))
	readers_off
	clean 5
}

t_one_cpu_128m() { boots 1 128; }
t_two_cpus_512m() { boots 2 512; }
t_four_cpus_512m() { boots 4 512; }
t_memory_around_the_pci_hole() { boots 1 3584; }

t_devices() {
	boots 2 256
	[[ $(value one disk) = "vda 32768 ro 0"* ]]
	[[ $(value one clock) = kvm-clock ]]
}

# Who the machine is, without firmware that says so.
t_smbios() {
	tiny one shell 'memory 128M' | vmd_up
	start one
	prints one "tiny: shell" 100
	smbios one
	vmctl stop -fw one
}

t_uncompressed_kernel() {
	vm one "boot \"$G/vmlinux\"" "initrd \"$G/tiny.cpio\"" \
	    "cmdline \"$base tiny=info\"" | vmd_up
	run_tiny one 100
}

t_entropy_device() {
	tiny one rng | vmd_up
	run_tiny one 100
	[[ $(value one rng) = virtio_rng* ]]
	[[ $(value one bytes) = 32 ]]
}

# A guest that knows no MSI: the disk's interrupt goes through the IOAPIC.
t_intx() {
	truncate -s 8M "$T/disk"
	tiny one write,4 "disk \"$T/disk\"" |
	    sed 's/tiny=/pci=nomsi tiny=/' | vmd_up
	run_tiny one 100
	[[ $(value one sum) = "$(stream 4 | md5sum)" ]]
	[[ $(value one intx) -ge 1 ]]
}

t_read_only_disk() {
	truncate -s 16M "$T/disk"
	chmod 444 "$T/disk"
	tiny one write,1 "disk \"$T/disk\" readonly" | vmd_up
	run_tiny one 100
	printed one "write failed"
	cmp -n 16777216 "$T/disk" /dev/zero
}

t_four_disks() {
	local i d=()
	for i in 0 1 2 3; do
		truncate -s $((i + 1))M "$T/disk$i"
		d+=("disk \"$T/disk$i\"")
	done
	tiny one info "${d[@]}" | vmd_up
	run_tiny one 100
	for i in 0 1 2 3; do
		printed one "tiny: disk vd[a-d] $(((i + 1) * 2048)) "
	done
}

t_eight_vms_at_once() {
	local i sum
	sum=$(stream 4 | md5sum)
	for i in 1 2 3 4 5 6 7 8; do
		truncate -s 8M "$T/disk$i"
		tiny "v$i" write,4 'memory 96M' "disk \"$T/disk$i\""
	done | vmd_up
	mark
	for i in 1 2 3 4 5 6 7 8; do start "v$i"; done
	[[ $(vmctl status -r | wc -l) -gt 1 ]]
	for i in 1 2 3 4 5 6 7 8; do
		prints "v$i" "tiny: end" 130
		stopped "v$i" 10
		[[ $(value "v$i" sum) = "$sum" ]]
	done
	readers_off
	clean 5
}

t_adhoc_vm() {
	truncate -s 16M "$T/disk"
	vmd_up </dev/null
	vmctl start -b "$G/vmlinuz" -I "$G/tiny.cpio" -m 256M -p 2 \
	    -a "$base tiny=info" -d "$T/disk" one 2>&1 | tee "$T/start.out"
	record one "$(sed -n 's/.*, tty //p' "$T/start.out")"
	prints one "tiny: end" 100
	[[ $(value one cpus) = 2 ]]
	# Forgotten at its end.
	within 10 eval '[[ $(vmctl status -j | jq length) = 0 ]]'
}
