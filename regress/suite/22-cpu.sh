# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What the guest sees of the processor.
limit=180

# flags NAME: those of the guest, one a line.
flags() { value "$1" flags | tr ' ' '\n'; }

# lacks NAME PATTERN: it has no such flag.
lacks() { [[ $(flags "$1" | grep -cxE "$2") = 0 ]] || fail "$1 has $2"; }

t_baselines() {
	local n
	{
		tiny v1 shell 'memory 128M' 'cpus 3' 'cpu x86-64-v1'
		tiny v2 shell 'memory 128M' 'cpu x86-64-v2'
		tiny v3 shell 'memory 128M' 'cpu x86-64-v3'
	} | vmd_up
	for n in v1 v2 v3; do
		start $n 2>"$T/out" || {
			# Only the highest may be more than the host is.
			grep "cpu x86-64-v3: this host has no" "$T/out"
			[[ $n = v3 ]]
			continue
		}
		prints $n "/ # " 120
		key $n 'echo tiny: flags $(sed -n "s/^flags.*: //p" /proc/cpuinfo |' \
		    'head -n 1); echo tiny: cpus $(nproc).'
		prints $n "tiny: cpus [0-9]\." 60
		flags $n | grep -x sse2
		flags $n | grep -x hypervisor
		lacks $n 'aes|rdrand|pcid|avx512f|rdtscp'
	done
	value v1 cpus | grep -x "3\."
	lacks v1 'pni|sse4_2|avx|xsave'
	flags v2 | grep -x sse4_2
	flags v2 | grep -x cx16
	lacks v2 'avx|xsave|bmi1'
	vmctl stop -fwa
}
