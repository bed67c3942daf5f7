#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: run.sh [boot | wall | memory | disk | device | net | exits | count |
#		firmware | paging | shadow | intel | migrate | restore | status] ...
#							(`make bench')
#
# (profile tells which functions the instructions of one exit are in.)
#
# Our VMs against QEMU's on the same host: the lab; for exits and count our
# driver against KVM: what exits cost, and how often our VM exits while Debian
# boots to its login prompt, by kind where both drivers count the same.
# firmware is a boot by SeaBIOS to GRUB, and on to Debian's login prompt, from the
# same three disks on KVM, in our VM and in QEMU's (-M pc, the same firmware):
# "own" is what the guest executes, which KVM's tracepoints tell (share), "added"
# all that the host's processor does beside that from the command on, the start
# of the VM and what the guest's exits cost; idle time is no work, and KVM does
# not poll for the end of it.  We are to add half of what QEMU does at most.
# GRUB measures the TSC by reading port 0x61 for a whole round of the 8254's, 55 ms:
# in this lab 55 M instructions, nearly all of them exits, for ours as for QEMU's.
# Who serves such an exit faster has more of them: that is where ours come from.
# The emulator counts each turn of a REP as an instruction, a processor counts
# one: so that the host's clearing of the guest's memory, or its copying of what
# devices pass on, the same for both, does not hide the rest, this lab's processor
# has no fast strings of bytes (ERMS), nor have disk's, and net's that counts; the
# kernel clears and copies by eight bytes there.
# paging is what a guest's kernel does with page tables (guestproc), and its
# boot; shadow is exits and paging without nested paging; intel is exits on two
# emulated Intel processors, one of which has EPT.
# Instruction counts come from a lab with a deterministic clock (one
# instruction is one nanosecond, one CPU) and repeat to a part in a thousand;
# wall times and IOPS depend on what else this machine does, only their ratios
# mean something; those of disk and net are medians of several rounds.  -M
# microvm has no instruction count: with QEMU 7.2 and 10.0 alike, its second or
# third guest in the deterministic lab does not come up.  disk is raw and qcow2
# images in memory; pc and microvm use io_uring, pc-threads QEMU's threads; host
# is the time of the host's CPUs without the guest's, per request.  QEMU runs in
# a control group like those that vmd makes for its VMs.  device is
# our block device alone, without a hypervisor, on this machine.  net is TCP,
# small datagrams and round trips between a guest and its host over the same
# tap; QEMU's has no other device than that interface, so that no guest there has
# a driver for our balloon.  Their tables have the project's goals beside the
# ratios, with a "+" at those that are met, a "!" at those that are missed and a
# "?" where there is no ratio.  What a lab did not come to leaves the others their
# figures; it is named at the end, and the exit status is 1.  migrate is a guest
# that writes memory, sent to another process of the same host, ours in TLS and
# QEMU's without and with it (pc-tls).  restore is a guest of 128 MiB, of which
# 48 are in use by files,
# written to a file in memory and gone on with from there, until it answers on its
# console, or (-command) until vmctl is done, when it runs, for which 10 ms are
# asked, of which a wait within KVM_CREATE_VM takes 8 on KVM; at-once is the same
# without userfaultfd.  status is `vmctl status' of an empty vmd and of one with 200
# VMs, from its start to its end, counted in instructions; 20 ms are asked for.  In the
# deterministic lab a second is 1e9 instructions of all parts together: guest,
# host and device.

# shellcheck source=../lab/env.sh
. "$(dirname "$0")/../lab/env.sh"
cd "$top"
B=${B:-build}
tmp=$(mktemp -d)
table=$tmp/table
trap 'rm -rf "$tmp"' EXIT
eval "$(regress/guest/build)"
: "${guest_disk:?}" "${guest_files:?}"
opts=(-g "$guest_disk")
if [[ -x $B/regress/bench/guestio && -x $B/regress/bench/guestproc &&
    -x $B/regress/bench/netio ]]; then
	regress/bench/extra "$B" "$tmp/extra.cpio"
	opts+=(-x "$tmp/extra.cpio=bench/extra.cpio")
	opts+=(-x "$B/regress/bench/netio=bench/netio")
fi
# There "rep movsb" is an instruction for each byte, which a processor with fast
# strings copies by the dozen: what is counted then uses wider ones.
no_erms="-cpu max,-erms,-fsrm"
# Without a build of ours, QEMU alone.
[[ -x $B/vmd/vmd ]] || opts+=(-n)

# unfinished WHAT: to be said at the end as well.
unfinished() {
	say "$1: not measured to its end"
	echo "$1" >>"$tmp/unfinished"
}

# inside PREFIX LAB-OPTION... -- FIGURE: runs it, keeps and shows its lines.
inside() {
	local prefix=$1 o=()
	shift
	while [[ $1 != -- ]]; do
		o+=("$1")
		shift
	done
	say "measuring: $prefix"
	# shellcheck disable=SC2086 # words
	regress/lab/run "${opts[@]}" "${o[@]}" regress/bench/inside.sh $2 |
	    tee -a /dev/stderr | sed -n "/^[^#]/s/^/$prefix/p" >>"$table" ||
		unfinished "$2"
}

# Our VM on both drivers.  What only one of them counts is in "others".
count() {
	local driver o
	[[ -x $B/vmd/vmd ]] || die "count: no vmd"
	for driver in kvm vmm; do
		say "measuring: exits of a boot on $driver"
		o=(-i -c 1 -m 2048 -t 900 -g "$guest_disk")
		[[ $driver = kvm ]] || o+=(-v)
		regress/lab/run "${o[@]}" \
		    -x "$B/regress/bench/kvmstats=bench/kvmstats" \
		    regress/bench/inside.sh count | sed "s/^/$driver /"
	done >"$tmp/count"
	awk '
	function row(name, vmm, kvm, goal) {
		printf "%-28s %12s %12s %8s %8s\n", name, vmm, kvm,
		    (kvm + 0 ? sprintf("%.2f", vmm / kvm) : "-"), goal
	}
	{ v[$1, $2] = $3 }
	$1 == "vmm" { order[++n] = $2 }
	END {
		printf "%-28s %12s %12s %8s %8s\n", "a boot of Debian",
		    "/dev/vmm", "/dev/kvm", "ratio", "goal"
		row("exits", v["vmm", "exits"], v["kvm", "exits"], "1.0")
		for (i = 1; i <= n; i++) {
			f = order[i]
			if (f == "exits" || f == "signal_exits" ||
			    !v["vmm", f])
				continue
			if (!(("kvm", f) in v)) {
				alone[++m] = f
				continue
			}
			row("  " f, v["vmm", f], v["kvm", f], "")
			shared["vmm"] += v["vmm", f]
			shared["kvm"] += v["kvm", f]
		}
		row("  others", v["vmm", "exits"] - shared["vmm"],
		    v["kvm", "exits"] - shared["kvm"], "")
		for (i = 1; i <= m; i++)
			row("    " alone[i], v["vmm", alone[i]], "", "")
	}' "$tmp/count"
}

# In the deterministic lab a microsecond is a thousand instructions.
status() {
	[[ -x $B/vmd/vmd ]] || die "status: no vmd"
	say "measuring: vmctl status"
	regress/lab/run "${opts[@]}" -i -c 1 -m 2048 -t 300 \
	    regress/bench/inside.sh status 0 200 | awk '
	BEGIN { printf "%-28s %12s %12s\n", "vmctl status", "ms", "ratio" }
	NR == 1 { empty = $3 }
	{ printf "%-28s %12.2f %12.2f\n", $1 " VMs", $3 / 1000, $3 / empty }'
}

# Lines "DRIVER figure value" to a table; goals are those of the project.
drivers() {
	local nested=${LAB_NESTED:-1}
	[[ ${LAB:-} != penryn ]] || nested=0
	awk -v nested="$nested" '
	BEGIN {
		goal["cpuid"] = goal["eoi"] = 0.4
		goal["port"] = goal["mmio"] = 0.7
		goal["ioeventfd-port"] = goal["ioeventfd-mmio"] = 0.6
		goal["irqfd+port"] = 0.6
		if (!nested)
			goal["fork"] = goal["exec"] = 0.9
		goal["boot"] = 1.0
		printf "%-28s %12s %12s %8s %8s\n", "instructions per",
		    "/dev/vmm", "/dev/kvm", "ratio", "goal"
	}
	!($2 in seen) { order[++n] = $2; seen[$2] }
	{ v[$1, $2] = $3 }
	END {
		for (i = 1; i <= n; i++) {
			f = order[i]
			r = "-"
			if (("vmm", f) in v && ("kvm", f) in v && v["kvm", f])
				r = sprintf("%.2f", v["vmm", f] / v["kvm", f])
			printf "%-28s %12s %12s %8s %8s\n", f,
			    ("vmm", f) in v ? v["vmm", f] : "-",
			    ("kvm", f) in v ? v["kvm", f] : "-",
			    r, f in goal ? goal[f] : ""
		}
	}'
}

# The same program on both drivers.
exits() {
	local driver o
	for driver in kvm vmm; do
		say "measuring: exits on $driver ${LAB:-}"
		# Bochs has one clock, which counts instructions.
		o=(-n -c 1 -m 1024 -t 900)
		[[ -n ${LAB:-} ]] || o+=(-i)
		[[ $driver = kvm ]] || o+=(-v)
		regress/lab/run "${o[@]}" \
		    -x "$B/regress/bench/exits=bench/exits" \
		    regress/bench/exits.sh | sed "s/^/$driver /"
	done >"$tmp/exits"
	drivers <"$tmp/exits"
}

# What a guest's kernel does with page tables, on both drivers.
paging() {
	local driver o
	[[ -x $B/vmd/vmd ]] || die "paging: no vmd"
	for driver in kvm vmm; do
		say "measuring: page tables on $driver ${LAB:-}"
		o=(-i -c 1 -m 2048 -t 600)
		[[ -z ${LAB:-} ]] || o=(-c 1 -m 1024 -t 2400)
		[[ $driver = kvm ]] || o+=(-v)
		regress/lab/run "${opts[@]}" "${o[@]}" \
		    regress/bench/inside.sh paging | tee -a /dev/stderr |
		    { grep -v '^#' || true; } | sed "s/^/$driver /" ||
		    say "page tables on $driver: no end"
	done >"$tmp/paging"
	drivers <"$tmp/paging"
}

# Without nested paging in either driver: on an emulated Intel processor that has
# none, for QEMU's software SVM does not carry a guest of kvm_amd without it
# through a load of CR3.
shadow() {
	LAB_NESTED=0 exits
	LAB=penryn paging
}

# With EPT, and on a processor that has none.
intel() {
	LAB=ivybridge exits
	LAB=penryn exits
}

# A boot by SeaBIOS.
firmware() {
	regress/guest/grub "$tmp/grub.img" "$tmp/grub.iso" \
	    "$guest_files" >/dev/null || die "firmware: no GRUB"
	figures "firmware" qemu firmware -i -c 1 -m 3072 -t 1800 \
	    -a "$no_erms" \
	    -x "$B/regress/bench/kvmstats=bench/kvmstats" \
	    -x "$B/regress/bench/share=bench/share" \
	    -x "$tmp/grub.img=bench/grub.img"
}

# figures TITLE "OTHER-SYSTEM ..." "FIGURE ARGUMENT ..." LAB-OPTION...
figures() {
	local title=$1 others=$2 what=$3
	shift 3
	say "measuring: $title"
	# shellcheck disable=SC2086 # words
	regress/lab/run "${opts[@]}" "$@" regress/bench/inside.sh $what |
	    tee -a /dev/stderr | sed '/^#/d' >"$tmp/figures" ||
		unfinished "$title"
	awk -v title="$title" -v others="$others" -f regress/bench/table.awk \
	    "$tmp/figures"
}

# One of the arguments.
part() {
	case $1 in
	boot) inside instructions- -i -c 1 -m 2048 -t 900 -- "boot pc" ;;
	wall) inside wall- -c 2 -m 2048 -t 600 -- "boot pc microvm" ;;
	memory) inside '' -c 2 -m 2048 -t 300 -- memory ;;
	disk)
		figures "disk" "pc pc-threads microvm" "disk 4 3" \
		    -c 2 -m 2560 -t 3000 -a "$no_erms"
		figures "disk, per 1e9 instructions" "pc pc-threads" \
		    "disk 1 1" -i -c 1 -m 2560 -t 3000 -a "$no_erms"
		;;
	device) "$B/regress/bench/blkbench" ;;
	net)
		figures "network" "vhost-off vhost-on" "net 3 5" \
		    -c 2 -m 2560 -t 2400
		figures "network, per 1e9 instructions" "vhost-off vhost-on" \
		    "net 0.5 3" -i -c 1 -m 2560 -t 2400 -a "$no_erms"
		;;
	exits) exits ;;
	count) count ;;
	firmware) firmware ;;
	paging) paging ;;
	shadow) shadow ;;
	intel) intel ;;
	migrate)
		figures "migration" "pc pc-tls" "migrate 3" \
		    -c 2 -m 2560 -t 600 -a "$no_erms"
		figures "migration, 1e6 instructions" "pc pc-tls" "migrate 1" \
		    -i -c 1 -m 2560 -t 900 -a "$no_erms"
		;;
	restore)
		figures "128 MiB to a file and back" pc "restore 1" \
		    -i -c 1 -m 2560 -t 1800 -a "$no_erms"
		figures "the same, on our driver" "" "restore 1" \
		    -v -i -c 1 -m 2560 -t 1800 -a "$no_erms"
		;;
	status) status ;;
	esac
}

parts=(exits count firmware paging shadow intel boot wall memory disk device net
    migrate restore status)
[[ $# -gt 0 ]] || set -- "${parts[@]}"
for what in "$@"; do
	[[ " ${parts[*]} " = *" $what "* ]] ||
		die "$what: not one of ${parts[*]}"
done
for what in "$@"; do
	set +e
	(set -e && part "$what")
	rc=$?
	set -e
	[[ $rc = 0 ]] || unfinished "$what"
done
[[ ! -s $table ]] || awk -v others="pc microvm" -f regress/bench/table.awk \
    "$table"
if [[ -s $tmp/unfinished ]]; then
	say "not measured to the end:"
	sort -u "$tmp/unfinished" >&2
	exit 1
fi
