#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: exits.sh [figure turns]	(in the lab, as root)
#
# Of one figure alone: symbols first, and a line when it begins (see profile).

device=/dev/kvm
[ ! -c /dev/vmm ] || device=/dev/vmm
cd "$(dirname "$0")" || exit 125
if [ $# -gt 0 ]; then
	cat /proc/kallsyms >/lab/out/kallsyms
	echo begins
fi
exec ./exits $device "$@"
