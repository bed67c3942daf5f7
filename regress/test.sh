#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: test.sh [MAKE [B=DIR]]		(`make test')
#
# Setup, the fast tests on this host, `make run' as a script and as a user at a
# terminal start it, and in the lab the suite and the tests of the KVM API.  A test
# of the suite runs once: on our driver if it depends on the hypervisor, else on
# KVM; some on both.  FULL=1 (`make test-full') takes a night: every test, on both,
# in larger sizes, but 90-load's that wants a quiet machine.  TESTS
# (patterns of FILE/TEST) selects tests of the suite, CYCLES=N among them sets
# how often 42-many starts and stops a VM and the like, MOMENTS=N how often at most
# a guest of any test is saved and restored amid what it does.  FLOPPY names the image of OpenBSD
# 2.8/i386's boot floppy for the test of it, which is skipped without.  After
# BUDGET seconds, if that is set, no further part or test of the suite begins: each
# that is left out counts as skipped.  Headings say how many seconds have gone.
# The last line is "N passed, M failed, K skipped"; exit 1 when anything failed.

# shellcheck disable=SC2317 # functions are called by names in arguments and lists
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
make=${1:-make}
B=${2:-build}
B=${B#B=}
export B
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

heading() { echo "== $* [$SECONDS s]"; }

fail() { # NAME
	failed=$((failed + 1))
	echo "FAIL  $1" | tee -a "$log.failures"
}

# Counts a step that is one result; status 77 says that it cannot be had here.
step() { # NAME COMMAND...
	local rc=0 name=$1
	shift
	heading "$name"
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
	heading check
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
	heading "$name"
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
results() {
	sed -nE 's/^(ok|FAIL|skip) +([a-z0-9_-]+\/[a-z0-9_]+)( .*|:.*)?$/\2/p' "$1"
}

# The closing line of several sessions together.
tally() {
	awk '{ n[$1]++ } END { printf "%d passed, %d failed, %d skipped\n",
	    n["ok"], n["FAIL"], n["skip"] }' <(grep -E '^(ok|FAIL|skip) ' "$1")
}

# What the labs do, the most important first: what depends on the hypervisor on our
# driver, the rest on KVM, some of first boot on the other kernel, the KVM API.
hypervisor="05-manual/examples_of_vmmctl 12-vmmctl/enters 20-boot 22-cpu
	30-disk 35-net/local_dhcp 36-legacy/disk 40-life 43-memory 45-pause/time
	49-save/goes_on 49-save/between 49-save/firmware 65-firmware/disk
	66-loaders 67-screen/linux 68-efi/debian 69-tools/ipxe 70-debian
	72-boots 80-clients"
both="10-daemon/check 20-boot/two_cpus 40-life/triple_fault 40-life/panic
	66-loaders/openbsd 66-loaders/multiboot_elf"
on_kvm="05-manual 10-daemon 12-vmmctl 15-confine 21-console 85-deb
	89-send
	49-save
	46-adopt 48-service 88-remote
	31-qcow2 32-errors 33-cdrom 34-cloudinit 42-many 47-limit
	50-rights 55-protocol 60-badinput
	35-net 36-legacy 44-control 45-pause
	65-firmware 67-screen 68-efi 69-tools/debian"
# A night's, so that the others fit into an hour.
night="34-cloudinit/debian_is_set_up 49-save/goes_on_beside
	49-save/debian_at_random_moments
	69-tools/debian_installer_i386 72-boots/direct_* 72-boots/iso_*
	72-boots/efi_* 80-clients/newer_qemu_login 80-clients/qemu_irqchip
	80-clients/qemu_686 80-clients/vmd_686_pae 89-send/back_and_forth
	89-send/own_disks_stay 89-send/slowed_down"
other="20-boot 40-life/triple_fault 40-life/panic"
models="ivybridge lynnfield penryn" boots=''
robust="-c 20"
fuzz_seconds=60
# Of the KVM API, what depends on the processor.
processor="regs/ exits/ faults/ events/ mmio/"
if [[ -n ${FULL:-} ]]; then
	other="20-boot 30-disk 40-life 45-pause 46-adopt 49-save 70-debian"
	models="ivybridge lynnfield penryn haswell"
	boots="$models ryzen turion"
	processor=''
	robust="-r 600"
	LAB_TIMEOUT=15000
	fuzz_seconds=600
fi

# without SUFFIX PATTERN...: as all.sh wants to hear it.
without() {
	local p
	for p in "${@:2}"; do printf ' !%s' "$p$1"; done
}

# Words of parts are patterns, none of them the shell's.
# shellcheck disable=SC2086,SC2046
list_day() {
	local part
	echo on_vmm $hypervisor $both $(without '' $night)
	echo on_kvm $both
	# A host that sleeps is nobody else's.
	printf '%s\n' api_on_vmm robustness 'on_vmm 24-host'
	while read -r part; do
		echo on_kvm $part $(without '' $night) \
		    $(without '*' $hypervisor $both)
	done <<<"$on_kvm"
}

list_night() {
	local part
	printf '%s\n' 'on_vmm !90-load/throughput_without_errors' api_on_vmm robustness
	while read -r part; do
		echo "on_kvm $part"
	done <<<"$on_kvm"
	cat <<-E
		on_kvm 20-boot 22-cpu 30-disk 40-life 43-memory 66-loaders
		on_kvm 42-many CYCLES=500
		on_kvm 69-tools/ipxe 69-tools/memtest 70-debian 72-boots 80-clients
		on_kvm 71-install 87-fleet
		on_kvm 49-save/random_moments CYCLES=100
		on_vmm 20-boot 65-firmware 66-loaders 69-tools 72-boots MOMENTS=6
		reboots
	E
}

list_jobs() {
	local model
	if [[ -n ${TESTS:-} ]]; then
		printf '%s\n' "on_kvm $TESTS" "on_vmm $TESTS" "on_other $TESTS"
		return
	fi
	if [[ -n ${FULL:-} ]]; then list_night; else list_day; fi
	echo "on_other $other"
	printf '%s\n' api_on_shadow api_on_kvm dkms
	for model in $models; do
		echo "api_on_intel $model"
	done
	for model in $boots; do
		echo "boots_on $model"
	done
}

# What a session of the suite gets.
suite=()
suite_needs() {
	local guest_disk='' guest_files='' ansible tools mirror
	eval "$(regress/guest/build)" || return
	regress/bench/extra "$B" "$B/extra.cpio" || return
	regress/guest/grub "$B/grub.img" "$B/grub.iso" "$guest_files" \
	    "$B/efi.img" "$B/shell.img" || return
	newer=$(regress/lab/qemu)
	tools=$(regress/guest/tools) || return
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
		-x "$tools=suite/tools")
	if [[ -n ${FULL:-} || ${TESTS:-} = *87-* ]]; then
		ansible=$(regress/lab/ansible) || return
		suite+=(-x "$ansible=ansible.sqfs" -x contrib/ansible=ansible)
	fi
	# Without, its test is skipped: an archive may have lost a kernel.
	if [[ -n ${FULL:-} || ${TESTS:-} = *71-* ]] &&
	    mirror=$(regress/guest/mirror "$tools"); then
		suite+=(-x "$mirror=suite/mirror")
	fi
	[[ -z ${FLOPPY:-} ]] || suite+=(-x "$FLOPPY=suite/openbsd-floppy.img")
	[[ ! -d $B/deb ]] || suite+=(-x "$B/deb=deb")
}

# Patterns, for a heading.
shown() {
	local all="$*"
	echo "${all%% !*}"
}

# The suite's share of the time that is left.
left() { echo "LEFT=$((${BUDGET:-999999} - SECONDS))"; }

on_kvm() { # PATTERN...
	counted "suite, on KVM: $(shown "$@")" kvm regress/lab/run "${suite[@]}" \
	    regress/suite/all.sh "$(left)" "$@"
}

on_vmm() { # PATTERN...
	counted "suite, on our driver: $(shown "$@")" regress/lab/run -v \
	    ${newer:+-x "$newer=qemu10"} "${suite[@]}" regress/suite/all.sh "$(left)" "$@"
}

on_other() { # PATTERN...
	LAB_LINUX=6.12 counted "suite, on our driver, other kernel: $*" \
	    regress/lab/run -v "${suite[@]}" regress/suite/all.sh "$(left)" "$@"
}

api_on_kvm() { counted "KVM API, on KVM" kvm regress/kapi/lab --; }

api_on_vmm() { counted "KVM API, on our driver" regress/kapi/lab -v --; }

api_on_shadow() {
	LAB=qemu-nonpt counted "KVM API, on our driver, shadow page tables" \
	    regress/kapi/lab -v --
}

api_on_intel() { # MODEL
	# shellcheck disable=SC2086 # groups
	LAB=$1 counted "KVM API, on our driver, $1" \
	    regress/kapi/lab -v -m 1024 -- $processor
}

boots_on() { # MODEL
	LAB=$1 counted "suite, on our driver, $1: boots" regress/lab/run -v \
	    "${suite[@]}" -m 2048 regress/suite/all.sh "$(left)" \
	    72-boots/direct 72-boots/disk
}

robustness() {
	# shellcheck disable=SC2086 # options
	counted "robustness, on our driver" regress/kapi/lab -v -t 3000 -- $robust
}

dkms() { step "install-dkms, on a copy of this machine" regress/lab/dkms; }

reboots() { step "a restart under guests" regress/lab/reboot; }

next_job() { flock "$1.lock" sed -i -e '1{w /dev/stdout' -e 'd}' "$1"; }

# Its labs' logs have names of their own.
worker() { # NUMBER
	local queue=$log.jobs job
	local -x LAB_NAME=lab$1
	set -f
	log=$log.$1
	passed=0 failed=0 skipped=0
	while job=$(next_job "$queue") && [[ -n $job ]]; do
		if ((SECONDS > ${BUDGET:-SECONDS})); then
			heading "left out, as time is up: $(shown "$job")"
			skipped=$((skipped + 1))
			continue
		fi
		# shellcheck disable=SC2086 # words
		$job </dev/null
	done
	echo "$passed $failed $skipped" >"$log.counts"
}

add_counts() { # NUMBER
	local n
	[[ ! -e $log.$1.failures ]] ||
		cat "$log.$1.failures" >>"$log.failures"
	if ! read -ra n <"$log.$1.counts"; then
		fail "lab $1 gave no result"
		return
	fi
	passed=$((passed + n[0]))
	failed=$((failed + n[1]))
	skipped=$((skipped + n[2]))
}

# Two labs beside each other take a quarter more time each, if the machine has
# two processors for them and memory.
room_for_two() {
	local free
	free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	[[ $(nproc) -ge 2 && $free -ge $((14 << 20)) ]]
}

labs() {
	local n workers=1
	suite_needs || {
		fail "what the suite needs"
		return
	}
	list_jobs >"$log.jobs"
	if room_for_two; then
		workers=2
		heading "two labs at a time; what the second says follows a bar"
		worker 2 2>&1 | sed -u 's/^/| /' &
	fi
	(worker 1)
	wait
	heading "the labs are done"
	for ((n = 1; n <= workers; n++)); do add_counts "$n"; done
}

run_piped() {
	if "$make" --no-print-directory "B=$B" run </dev/null >"$log" 2>&1 &&
	    grep -q "^vda .* disk /" "$log"; then
		tail -n 1 "$log"
		return
	fi
	cat "$log"
	return 1
}

run_on_a_terminal() {
	expect regress/run.exp "$make" --no-print-directory "B=$B" \
	    >"$log" 2>&1 && return
	cat "$log"
	return 1
}

step setup regress/setup.sh
[[ $failed = 0 ]] || summary
step build "$make" --no-print-directory "-j$(nproc)" "B=$B" all kapi \
	"$B"/regress/bench/{guestio,guestproc,netio} \
	"$B/regress/suite/rawctl" "$B/regress/guest/atom" \
	"$B"/regress/guest/{bsd{32,64}.gz,mb{,2}{,flat}} module
check
step "fuzz of what strangers send" regress/fuzz/run -j "$(nproc)" \
	-t "$fuzz_seconds"
step "build of the confinement test" confined_build
step "Debian packages" regress/deb "$B"
[[ $failed = 0 || -x $B/vmd/vmd ]] || summary
if [[ -z ${TESTS:-} ]]; then
	step "make run, its output to a file" run_piped
	step "make run, on a terminal" run_on_a_terminal
fi
labs
summary
