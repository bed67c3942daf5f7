#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: test.sh [MAKE [B=DIR]]		(`make test')
#
# Everything but 90-load.sh, which wants a quiet machine: setup, the fast tests
# on this host, the suite and the tests of the KVM API in the lab, on KVM and on
# our driver, `make run' as a script and as a user at a terminal start it.  TESTS
# (patterns of FILE/TEST) selects tests of the suite, CYCLES=N among them sets
# how often 42-many starts and stops a VM.  FLOPPY names the image of OpenBSD
# 2.8/i386's boot floppy for the test of it, which is skipped without.  The last
# line is "N passed, M failed, K skipped"; exit 1 when anything failed.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
make=${1:-make}
B=${2:-build}
B=${B#B=}
export B
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

fail() { # NAME
	failed=$((failed + 1))
	echo "FAIL  $1" | tee -a "$log.failures"
}

# Counts a step that is one result; status 77 says that it cannot be had here.
step() { # NAME COMMAND...
	local rc=0 name=$1
	shift
	echo "== $name"
	"$@" || rc=$?
	case $rc in
	0) passed=$((passed + 1)) ;;
	77) skipped=$((skipped + 1)) ;;
	*) fail "$name" ;;
	esac
}

summary() {
	if [[ -s $log.failures ]]; then
		echo "== what failed"
		cat "$log.failures"
	fi
	echo "$passed passed, $failed failed, $skipped skipped"
	[[ $failed = 0 ]]
	exit
}

# cmocka says "[  PASSED  ] N test(s)." and so on.
check() {
	local rc=0 n
	echo "== check"
	"$make" --no-print-directory "B=$B" check 2>&1 | tee "$log" || rc=$?
	n=$(sed -n 's/.*\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" |
	    awk '{ s += $1 } END { print s + 0 }')
	passed=$((passed + n))
	n=$(sed -n 's/.*\[  FAILED  \] \([0-9]*\) test.*/\1/p' "$log" |
	    awk '{ s += $1 } END { print s + 0 }')
	failed=$((failed + n))
	n=$(sed -n 's/.*\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" |
	    awk '{ s += $1 } END { print s + 0 }')
	skipped=$((skipped + n))
	[[ $rc = 0 ]] && passed=$((passed + 1)) && return
	fail check
	grep -aE '\[ +ERROR|\[ +LINE|\[  FAILED|: (error|warning):|\*\*\*' "$log" |
	    tail -n 40 >>"$log.failures"
}

# shellcheck disable=SC2317 # called by step
confined_build() {
	"$make" --no-print-directory "-j$(nproc)" "B=$B/confine" all install \
	    CONFINE=1 PREFIX=/opt/confine \
	    "DESTDIR=$PWD/$B/confine/root" >/dev/null
}

# What failed in a session and what the tests printed of it, for the end.
failures() { # NAME
	awk -v name="$1" '/^FAIL / { if (!n++) print "-- " name; print; of = 1; next }
	    of && /^ +\|/ { print; next }
	    { of = 0 }' "$log"
}

# counted NAME COMMAND...: a session in the lab whose last line counts.
counted() {
	local rc=0 line name=$1
	shift
	echo "== $name"
	"$@" 2>&1 | tee "$log" || rc=$?
	failures "$name" >>"$log.failures"
	line=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' \
	    "$log" | tail -n 1)
	if [[ -z $line ]]; then
		passed=$((passed + $(grep -c '^ok ' "$log")))
		failed=$((failed + $(grep -c '^FAIL ' "$log")))
		fail "$name gave no result (status $rc)"
		return
	fi
	# shellcheck disable=SC2086 # "N passed, M failed, K skipped"
	set -- $line
	passed=$((passed + $1))
	failed=$((failed + $3))
	skipped=$((skipped + $5))
}

# kvm COMMAND...: a session on KVM.  Where lab/mend.c cannot mend the emulator,
# the lab's own kernel dies there now and then.  What has a result keeps it, the
# rest is done in a new lab, three times at most.  On our driver that would be a
# failure of ours.
# shellcheck disable=SC2317 # called by counted
kvm() {
	local rc n out=$log.kvm names=()
	: >"$out"
	for n in 1 2 3 4; do
		rc=0
		"$@" "${names[@]}" 2>&1 | tee -a "$out" || rc=$?
		[[ $rc = 126 && $n != 4 ]] || break
		echo "the lab's kernel died under KVM: on with what it left"
		mapfile -t names < <(results "$out" | sed 's/^/!/')
	done
	[[ $rc = 126 || $n = 1 ]] || tally "$out"
	return "$rc"
}

# The tests that have a result, of an output.
# shellcheck disable=SC2317 # called by kvm
results() {
	sed -nE 's/^(ok|FAIL|skip) +([a-z0-9_-]+\/[a-z0-9_]+)( .*|:.*)?$/\2/p' "$1"
}

# The closing line of several sessions together.
# shellcheck disable=SC2317 # called by kvm
tally() {
	awk '{ n[$1]++ } END { printf "%d passed, %d failed, %d skipped\n",
	    n["ok"], n["FAIL"], n["skip"] }' <(grep -E '^(ok|FAIL|skip) ' "$1")
}

# The suite on KVM, in parts; on our driver what depends on the hypervisor, and
# first boot once more on the other kernel.
parts=("05-manual 10-daemon 12-vmmctl 15-confine 20-boot 22-cpu"
	"30-disk 31-qcow2 32-errors 33-cdrom 34-cloudinit 42-many 43-memory"
	"35-net 36-legacy 40-life 44-control 45-pause 46-adopt 47-limit 48-service 49-save"
	"70-debian 85-deb 87-fleet 88-remote 89-send")
last_part="50-rights 55-protocol 60-badinput 65-firmware 66-loaders 67-screen 68-efi"
hypervisor="05-manual/examples_of_vmmctl 10-daemon/check 12-vmmctl/enters 20-boot
	22-cpu 30-disk 35-net/local_dhcp 36-legacy/disk 40-life 43-memory 45-pause 49-save
	65-firmware/disk 65-firmware/cdrom 66-loaders 67-screen/linux 68-efi 70-debian
	80-clients"
# Of the KVM API, what depends on the processor.
processor="regs/ exits/ faults/ events/ mmio/"
other="20-boot 30-disk 40-life"

# What a session of the suite gets.
suite=()
suite_needs() {
	local guest_disk='' guest_files='' ansible
	eval "$(regress/guest/build)" || return
	regress/bench/extra "$B" "$B/extra.cpio" || return
	regress/guest/grub "$B/grub.img" "$B/grub.iso" "$guest_files" \
	    "$B/efi.img" "$B/shell.img" || return
	newer=$(regress/lab/qemu)
	ansible=$(regress/lab/ansible) || return
	suite=(-c 2 -m 5120 -t "${LAB_TIMEOUT:-3000}" -g "$guest_disk"
		-x "$B/confine/root=confine" -x "$B/extra.cpio=bench/extra.cpio"
		-x "$B/regress/bench/netio=bench/netio"
		-x "$B/regress/suite/rawctl=suite/rawctl"
		-x "$B/regress/guest/atom=suite/atom" -x README.md=README.md
		-x "$B/regress/guest/bsd32=suite/bsd32"
		-x "$B/regress/guest/bsd64=suite/bsd64"
		-x "$B/regress/guest/bsd32.gz=suite/bsd32.gz"
		-x "$B/regress/guest/bsd64.gz=suite/bsd64.gz"
		-x "$B/regress/guest/mb=suite/mb"
		-x "$B/regress/guest/mbflat=suite/mbflat"
		-x "$B/regress/guest/mb2=suite/mb2"
		-x "$B/regress/guest/mb2flat=suite/mb2flat"
		-x "$B/grub.img=suite/grub.img" -x "$B/grub.iso=suite/grub.iso"
		-x "$B/efi.img=suite/efi.img" -x "$B/shell.img=suite/shell.img"
		-x "$ansible=ansible.sqfs" -x contrib/ansible=ansible)
	[[ -z ${FLOPPY:-} ]] || suite+=(-x "$FLOPPY=suite/openbsd-floppy.img")
	[[ ! -d $B/deb ]] || suite+=(-x "$B/deb=deb")
}

on_kvm() { # PATTERNS
	# shellcheck disable=SC2086 # patterns
	counted "suite, on KVM: $1" kvm regress/lab/run "${suite[@]}" \
	    regress/suite/all.sh $1
}

on_our_driver() {
	local model
	# shellcheck disable=SC2086 # patterns
	counted "suite, on our driver" regress/lab/run -v \
	    ${newer:+-x "$newer=qemu10"} "${suite[@]}" regress/suite/all.sh \
	    ${TESTS:-$hypervisor}
	# shellcheck disable=SC2086 # patterns
	LAB_LINUX=6.12 counted "suite, on our driver, other kernel" \
	    regress/lab/run -v "${suite[@]}" regress/suite/all.sh \
	    ${TESTS:-$other}
	counted "KVM API, on our driver" regress/kapi/lab -v --
	LAB_NESTED=0 counted "KVM API, on our driver, shadow page tables" \
	    regress/kapi/lab -v --
	for model in ivybridge lynnfield penryn; do
		# shellcheck disable=SC2086 # groups
		LAB=$model counted "KVM API, on our driver, $model" \
		    regress/kapi/lab -v -m 1024 -- $processor
	done
	counted "robustness, on our driver" regress/kapi/lab -v -- -c 20
	step "install-dkms, on a copy of this machine" regress/lab/dkms
}

first_lane() {
	local part
	for part in "${parts[@]}"; do
		on_kvm "$part"
	done
	counted "KVM API, on KVM" kvm regress/kapi/lab --
}

# Its labs' logs have names of their own.
second_lane() {
	local LAB_NAME=second
	export LAB_NAME
	on_our_driver
	[[ -n ${TESTS:-} ]] || on_kvm "$last_part"
}

second_lane_apart() {
	log=$log.second
	passed=0 failed=0 skipped=0
	second_lane
	echo "$passed $failed $skipped" >"$log.counts"
}

# Two labs beside each other take a quarter more time each, if the machine has
# two processors for them and memory.
room_for_two() {
	local free
	free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	[[ $(nproc) -ge 2 && $free -ge $((14 << 20)) ]]
}

labs() {
	local n
	suite_needs || {
		fail "what the suite needs"
		return
	}
	[[ -z ${TESTS:-} ]] || parts=("$TESTS")
	if ! room_for_two; then
		first_lane
		second_lane
		return
	fi
	echo "== two labs at a time: what the second says comes after the first"
	second_lane_apart >"$log.second.out" 2>&1 &
	first_lane
	wait
	cat "$log.second.out"
	[[ ! -e $log.second.failures ]] ||
		cat "$log.second.failures" >>"$log.failures"
	if ! read -ra n <"$log.second.counts"; then
		fail "the second lab gave no result"
		return
	fi
	passed=$((passed + n[0]))
	failed=$((failed + n[1]))
	skipped=$((skipped + n[2]))
}

# shellcheck disable=SC2317 # called by step
run_piped() {
	if "$make" --no-print-directory "B=$B" run </dev/null >"$log" 2>&1 &&
	    grep -q "^vda .* disk /" "$log"; then
		tail -n 1 "$log"
		return
	fi
	cat "$log"
	return 1
}

# shellcheck disable=SC2317 # called by step
run_on_a_terminal() {
	expect regress/run.exp "$make" --no-print-directory "B=$B" \
	    >"$log" 2>&1 && return
	cat "$log"
	return 1
}

step setup regress/setup.sh
[[ $failed = 0 ]] || summary
step build "$make" --no-print-directory "-j$(nproc)" "B=$B" all kapi \
	"$B/regress/bench/guestio" "$B/regress/bench/netio" \
	"$B/regress/suite/rawctl" "$B/regress/guest/atom" \
	"$B"/regress/guest/{bsd{32,64}.gz,mb{,2}{,flat}}
check
step "fuzz of what strangers send" regress/fuzz/run -j "$(nproc)" -t 60
step "build of the confinement test" confined_build
step "Debian packages" regress/deb "$B"
[[ $failed = 0 || -x $B/vmd/vmd ]] || summary
labs
if [[ -z ${TESTS:-} ]]; then
	step "make run, its output to a file" run_piped
	step "make run, on a terminal" run_on_a_terminal
fi
summary
