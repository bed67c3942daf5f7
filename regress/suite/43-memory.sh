# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The balloon: memory that a guest does not need goes back to the host.
limit=240

# resident BYTES: one has at most that.
at_most() { [[ $(field one memory_resident) -le $1 ]]; }
gave() { [[ $(field one memory_given) -ge $1 ]]; }

# typed NAME NUMBER COMMAND: run in the shell of one, seen to its end.
typed() {
	key one "$2; echo tiny: did\$(($1))."
	prints one "tiny: did$1\." 90
}

t_memory_is_given_back() {
	local M=1048576 before
	{
		echo 'socket owner root:vmusers'
		tiny one shell 'memory 512M' 'owner alice'
	} | vmd_up
	start one
	prints one "/ # " 120
	[[ $(field one memory_asked) = $((512 * M)) ]]
	[[ $(field one memory_given) = 0 ]]
	# What a file had is reported as free once it is gone.
	typed 1 'mount -t tmpfs -o size=300m t /mnt; yes | head -c 250000000 >/mnt/a'
	before=$(field one memory_resident)
	echo "# resident with a file of 250 MB: $((before / M)) MB"
	typed 2 'rm /mnt/a'
	within 60 at_most $((before - 150 * M))
	echo "# without: $(($(field one memory_resident) / M)) MB"
	# What it has free is asked for.
	refused as eve vmctl set one memory 256M
	says "not permitted"
	refused vmctl set one memory 513M
	says "has 512 MB of memory"
	as alice vmctl set one memory 256M
	within 60 gave $((250 * M))
	vmctl status -v one | grep 'asked to keep 256M'
	typed 3 'echo free=$(awk "/MemTotal/ { print int(\$2/1024) }" /proc/meminfo)'
	# The guest does not die of it.
	typed 4 'yes | head -c 250000000 >/mnt/a; md5sum </mnt/a'
	[[ $(tr -d '\r' <"$T/one.console" | grep -ac "Out of memory") = 0 ]]
	# All of it comes back.
	typed 5 'rm /mnt/a'
	[[ $(field one memory_asked) = $((256 * M)) ]]
	vmctl set one memory 512M
	within 60 eval '[[ $(field one memory_given) = 0 ]]'
	vmctl stop -fw one
}
