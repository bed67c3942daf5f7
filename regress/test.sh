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
# 2.8/i386's boot floppy for the test of it, which is skipped without.  With
# FULL=1 (`make test-full') in the sizes of a night.  Headings say how many
# seconds have gone.  The last line is "N passed, M failed, K skipped"; exit 1
# when anything failed.

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

# What the labs do: the suite on KVM, in parts; on our driver what depends on
# the hypervisor; some of first boot on the other kernel; the KVM API.  A lab
# that is free takes the next line, so the long ones come first.
hypervisor="05-manual/examples_of_vmmctl 10-daemon/check 12-vmmctl/enters 20-boot
	22-cpu 30-disk 35-net/local_dhcp 36-legacy/disk 40-life 43-memory
	45-pause/time 49-save/goes_on 49-save/between 49-save/firmware
	65-firmware/disk 66-loaders 67-screen/linux 68-efi/debian
	69-tools/ipxe 70-debian/login 72-boots/disk_686 80-clients"
tools_on_kvm=debian
boots_on_kvm=d # directly, from a disk
other="20-boot 40-life/triple_fault 40-life/panic"
models="ivybridge lynnfield penryn"
robust="-c 20"
fuzz_seconds=60
# Of the KVM API, what depends on the processor.
processor="regs/ exits/ faults/ events/ mmio/"
if [[ -n ${FULL:-} ]]; then
	hypervisor='!90-load/throughput_without_errors' # all but that
	tools_on_kvm='' boots_on_kvm=''
	other="20-boot 30-disk 40-life 45-pause 46-adopt 49-save 70-debian"
	models+=" haswell"
	robust="-r 600"
	LAB_TIMEOUT=15000
	fuzz_seconds=600
fi

list_jobs() {
	local model
	if [[ -n ${TESTS:-} ]]; then
		echo "on_kvm $TESTS"
		echo "on_vmm $TESTS"
		echo "on_other $TESTS"
		return
	fi
	cat <<-E
		on_vmm ${hypervisor//[$'\t\n']/ }
		on_kvm 70-debian 72-boots/$boots_on_kvm 85-deb 87-fleet 88-remote 89-send
		on_kvm 50-rights 55-protocol 60-badinput 65-firmware 66-loaders 67-screen 68-efi 69-tools/$tools_on_kvm
		on_kvm 46-adopt 47-limit 48-service 49-save
		on_kvm 35-net 36-legacy 40-life 44-control 45-pause
		on_kvm 30-disk 31-qcow2 32-errors 33-cdrom 34-cloudinit 42-many 43-memory${FULL:+ CYCLES=500}
		on_kvm 05-manual 10-daemon 12-vmmctl 15-confine 20-boot 21-console 22-cpu
		on_other $other
		api_on_kvm
		api_on_vmm
		api_on_shadow
		robustness
		dkms
	E
	for model in $models; do
		echo "api_on_intel $model"
	done
	[[ -z ${FULL:-} ]] || printf '%s\n' 'on_kvm 71-install' reboots
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
		-x "$tools=suite/tools" -x "$ansible=ansible.sqfs" -x contrib/ansible=ansible)
	# Without, its test is skipped: an archive may have lost a kernel.
	if [[ -n ${FULL:-} || ${TESTS:-} = *71-* ]] &&
	    mirror=$(regress/guest/mirror "$tools"); then
		suite+=(-x "$mirror=suite/mirror")
	fi
	[[ -z ${FLOPPY:-} ]] || suite+=(-x "$FLOPPY=suite/openbsd-floppy.img")
	[[ ! -d $B/deb ]] || suite+=(-x "$B/deb=deb")
}

on_kvm() { # PATTERN...
	counted "suite, on KVM: $*" kvm regress/lab/run "${suite[@]}" \
	    regress/suite/all.sh "$@"
}

on_vmm() { # PATTERN...
	counted "suite, on our driver: $*" regress/lab/run -v \
	    ${newer:+-x "$newer=qemu10"} "${suite[@]}" regress/suite/all.sh "$@"
}

on_other() { # PATTERN...
	LAB_LINUX=6.12 counted "suite, on our driver, other kernel: $*" \
	    regress/lab/run -v "${suite[@]}" regress/suite/all.sh "$@"
}

api_on_kvm() { counted "KVM API, on KVM" kvm regress/kapi/lab --; }

api_on_vmm() { counted "KVM API, on our driver" regress/kapi/lab -v --; }

api_on_shadow() {
	LAB_NESTED=0 counted "KVM API, on our driver, shadow page tables" \
	    regress/kapi/lab -v --
}

api_on_intel() { # MODEL
	# shellcheck disable=SC2086 # groups
	LAB=$1 counted "KVM API, on our driver, $1" \
	    regress/kapi/lab -v -m 1024 -- $processor
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
	log=$log.$1
	passed=0 failed=0 skipped=0
	while job=$(next_job "$queue") && [[ -n $job ]]; do
		# shellcheck disable=SC2086 # words, none a pattern of the shell's
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
labs
if [[ -z ${TESTS:-} ]]; then
	step "make run, its output to a file" run_piped
	step "make run, on a terminal" run_on_a_terminal
fi
summary
