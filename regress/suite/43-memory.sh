# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The balloon: memory that a guest does not need goes back to the host.
limit=360

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
		tiny one shell 'memory 384M' 'owner alice'
	} | vmd_up
	start one
	prints one "/ # " 120
	[[ $(field one memory_asked) = $((384 * M)) ]]
	[[ $(field one memory_given) = 0 ]]
	# What a file had is reported as free once it is gone.
	typed 1 'mkdir -p /mnt; mount -t tmpfs -o size=200m t /mnt'
	typed 2 'dd if=/dev/zero of=/mnt/a bs=1M count=160 2>/dev/null'
	before=$(field one memory_resident)
	echo "# resident with a file of 160 MB: $((before / M)) MB"
	typed 3 'rm /mnt/a'
	within 60 at_most $((before - 100 * M))
	echo "# without: $(($(field one memory_resident) / M)) MB"
	# What it has free is asked for.
	refused as eve vmctl set one memory 256M
	says "not permitted"
	refused vmctl set one memory 385M
	says "has 384 MB of memory"
	as alice vmctl set one memory 192M
	within 60 gave $((190 * M))
	vmctl status -v one | grep 'asked to keep 192M'
	# When it needs more than it kept, it takes some back.
	typed 4 'dd if=/dev/zero of=/mnt/a bs=1M count=120 2>/dev/null'
	[[ $(grep -ac "Out of memory" "$T/one.console") = 0 ]]
	typed 5 'rm /mnt/a'
	# All of it comes back.
	vmctl set one memory 384M
	within 60 eval '[[ $(field one memory_given) = 0 ]]'
	vmctl stop -fw one
}
