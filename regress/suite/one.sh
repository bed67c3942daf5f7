#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: one.sh FILE FUNCTION
#
# Runs one test; exit 0, 77 (skipped) or another status (failed).

set -Eeuo pipefail
file=$1 fn=$2
T=/tmp/t.$fn
rm -rf "$T"
mkdir -m 755 "$T"
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=/dev/null
. "$file"

# shellcheck disable=SC2317 # reached by the trap
finish() {
	local rc=$? p
	set +e
	trap - EXIT ERR
	readers_off
	if [[ $rc != 0 && $rc != 77 && -s $T/vmd.log ]]; then
		echo "--- end of vmd's log"
		tail -n 60 "$T/vmd.log"
	fi
	if [[ -n $vmd_pid ]]; then
		timeout 20 vmctl stop -fwa >/dev/null 2>&1
		vmd_down || rc=1
	fi
	for p in $(vmd_processes); do
		echo "left behind: $p $(tr '\0' ' ' <"/proc/$p/cmdline")"
		kill -9 "$p"
		[[ $rc != 0 ]] || rc=1
	done
	rm -f "$sock"
	# States that a test left which failed.
	! mountpoint -q /var/lib/vmd || umount /var/lib/vmd
	rm -f /var/lib/vmd/*/*.{state,snapshot,new}
	dmesg -C
	# Out of Bochs they go by a serial port.
	[[ $rc = 0 && ${smp:-2} = 1 ]] ||
		cp -a "$T" "${KEEP:-/lab/out}/" 2>/dev/null
	rm -rf "$T"
	exit "$rc"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'echo "FAILED: $file:$LINENO: $BASH_COMMAND" >&2' ERR
"$fn"
