#!/bin/bash
# SPDX-License-Identifier: ISC
#
# In the lab: what `make install-dkms' installs does what it should on a host.
# KVM has the processor, as on a host that has just got the driver.

set -euo pipefail
cd "$(dirname "$0")/.."

loaded() { grep -q "^$1 " /proc/modules; }
die() {
	echo "FAIL dkms on $(uname -r): $*"
	dmesg | tail -n 20
	exit 1
}

cp -a dkms/. /
depmod -a
modprobe -r kvm_amd
! loaded kvm || die "KVM stays"
# As udev does at boot: by what the processor says it is.
modprobe -ab "$(cat /sys/devices/system/cpu/modalias)" || true
loaded vmm || die "the processor's alias does not load it"
! loaded kvm_amd || die "KVM is loaded unasked"
[[ $(modinfo -n vmm) = */updates/dkms/vmm.ko* ]] || die "another vmm.ko"
[[ -c /dev/vmm ]] || die "no /dev/vmm"
kapi/kapi -d /dev/vmm system/ | tail -n 1
[[ ${PIPESTATUS[0]} = 0 ]] || die "kapi system"
modprobe -r vmm
[[ ! -e /dev/vmm ]] || die "/dev/vmm stays"
modprobe kvm_amd || die "KVM is not loaded even by name"
echo "ok   dkms on $(uname -r)"
