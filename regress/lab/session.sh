#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: session.sh DIR VMD VMCTL
#
# The guest of `make run', on whatever host this is: starts vmd with one VM
# made of the images in DIR and attaches to its console, or, without a
# terminal, shows what is in it.  Ends everything that it started.

set -uo pipefail
dir=$1 vmd=$2 vmctl=$3
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
pid=''

# shellcheck disable=SC2317 # reached by the trap
finish() {
	[[ -z $pid ]] || {
		"$vmctl" stop -fw debian >/dev/null 2>&1
		kill -TERM "$pid" 2>/dev/null
		wait "$pid"
	}
	rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

if [[ -S /run/vmd.sock ]] && "$vmctl" status >/dev/null 2>&1; then
	echo "a vmd is running on this machine already; see vmctl(8)" >&2
	exit 1
fi
cat >"$tmp/vm.conf" <<E
vm "debian" {
	disable
	memory 512M
	cpus 2
	boot "$dir/vmlinuz"
	initrd "$dir/initrd"
	cmdline "root=/dev/vda rw console=ttyS0 quiet"
	disk "$dir/debian.raw"
}
E
"$vmd" -d -f "$tmp/vm.conf" 2>"$tmp/log" &
pid=$!
for _ in {1..100}; do
	"$vmctl" status >/dev/null 2>&1 && break
	kill -0 "$pid" 2>/dev/null || break
	sleep 0.1
done
if [[ -t 0 && -t 1 ]]; then
	echo "Debian boots; log in as root, password vmm.  ~. leaves."
	"$vmctl" start -c debian
else
	expect -f "$here/session.exp" "$vmctl"
fi
rc=$?
[[ $rc = 0 ]] || cat "$tmp/log" >&2
exit "$rc"
