# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What happens to the host's processors while guests run.
limit=300

cpu1=/sys/devices/system/cpu/cpu1/online

# lives NAME: it answers on its console.
lives() {
	key "$1" 'echo $((6*7))-'"$2"
	prints "$1" "^42-$2" 60
}

# One of two is taken away and comes again, under guests on both.
t_processor_goes_and_comes() {
	local i
	[[ -w $cpu1 ]] || skip "one processor"
	{
		tiny one shell 'memory 96M' 'cpus 2'
		tiny two shell 'memory 96M'
	} | vmd_up
	mark
	start one
	start two
	prints one "tiny: shell" 90
	prints two "tiny: shell" 90
	key one 'while :; do :; done &'
	for i in 1 2 3 4 5 6; do
		echo $((i % 2)) >$cpu1
		sleep 1
		lives one "$i"
		lives two "$i"
	done
	echo 1 >$cpu1
	[[ $(field one restarts) = 0 && $(field two restarts) = 0 ]]
	vmctl stop -afw
	clean 5
}

# The host sleeps (ACPI S3) and wakes: SVM or VMX is off meanwhile.
t_host_sleeps() {
	local i
	grep -q deep /sys/power/mem_sleep || skip "no S3"
	tiny one shell 'memory 96M' 'cpus 2' | vmd_up
	start one
	prints one "tiny: shell" 90
	for i in 1 2 3; do
		rtcwake -m mem -s 4
		lives one "$i"
	done
	[[ $(</sys/power/suspend_stats/success) -ge 3 ]]
	[[ $(field one restarts) = 0 ]]
	vmctl stop -fw one
}
