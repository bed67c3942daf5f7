#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: run.sh [pattern ...]			(in the lab, as root)
#
# The conformance tests of the KVM API on the device that this host has; a
# kernel that complained meanwhile is a failure too.

cd "$(dirname "$0")" || exit 125
device=/dev/kvm
[ ! -c /dev/vmm ] || device=/dev/vmm
dmesg -C
./kapi -d "$device" "$@" | tee /tmp/kapi.out
rc=${PIPESTATUS[0]}
if dmesg | grep -E 'WARNING|BUG|Oops|RIP:|Call Trace|UBSAN|general protect'; then
	echo "FAIL the kernel complained"
	dmesg | tail -n 60
	rc=1
fi
exit "$rc"
