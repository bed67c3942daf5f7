# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Streams over the network, as fast as they go.  Not a part of `make test': how
# long they take depends on what else this machine does.
#	make test TESTS=90-load		(on a quiet machine)
limit=600

# Streams both ways of which every byte is known: between two guests, from the
# host to a guest, from a guest to the host, all at once.
t_throughput_without_errors() {
	local f tap taps io=../bench/netio
	[[ -x $io && -s ../bench/extra.cpio ]] || skip "no netio"
	tun
	cat "$G/tiny.cpio" ../bench/extra.cpio >"$T/io.cpio"
	# NAME NETIO-ARGUMENTS
	io_guest() {
		vm "$1" "boot \"$G/vmlinuz\"" "initrd \"$T/io.cpio\"" \
		    "cmdline \"$base tiny=run,netio,$2\"" 'memory 128M' \
		    'interface { switch "lan" }'
	}
	{
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		io_guest server "-a,10.78.0.1,-s"
		io_guest two "-w,-a,10.78.0.2,-t,8,10.78.0.1,check:2,in:4,out:4"
		io_guest three "-w,-a,10.78.0.3,-t,8,10.78.0.254,check:2,in,out"
	} | vmd_up
	within 5 ip link show vmbr0
	ip addr add 10.78.0.254/24 dev vmbr0
	$io -s >"$T/host" &
	start server
	prints server "netio serves" 120
	start two
	start three
	$io -t 8 10.78.0.1 check:2 in out >"$T/host-client"
	grep -q "^result check-2 0.0" "$T/host-client"
	prints two "netio end" 240
	prints three "netio end" 120
	printed two "result check-2 0.0"
	printed three "result check-2 0.0"
	cat "$T/host-client"
	grep -ah "^result" "$T/two.console" "$T/three.console"
	# All are alive: a tap goes with its VM.
	taps=$(ip -o link show type tun | sed 's/^[0-9]*: \([^:]*\):.*/\1/')
	[[ $(wc -w <<<"$taps") = 3 ]] || fail "taps: $taps"
	for tap in $taps; do
		for f in rx_errors tx_errors; do
			[[ $(cat "/sys/class/net/$tap/statistics/$f") = 0 ]]
		done
	done
	vmctl stop -fwa || true
}

# A limit of 2 MB a second holds both ways, for four streams together.
t_bandwidth() {
	local io=../bench/netio
	[[ -x $io && -s ../bench/extra.cpio ]] || skip "no netio"
	tun
	cat "$G/tiny.cpio" ../bench/extra.cpio >"$T/io.cpio"
	{
		echo 'local prefix 10.77.0.0/16'
		vm one "boot \"$G/vmlinuz\"" "initrd \"$T/io.cpio\"" \
		    "cmdline \"$base tiny=run,netio,-a,10.77.1.3,-t,8,10.77.1.2,in:4,out:4\"" \
		    'memory 128M' \
		    'local interface { bandwidth 2M burst 512K }'
	} | vmd_up
	$io -s >"$T/host" &
	start one
	prints one "netio end" 200
	# MB per second, with what was under way at the end.
	[[ $(sed -n 's/^result [a-z]*-4 \([0-9.]*\).*/\1/p' "$T/one.console" |
	    awk '$1 >= 1 && $1 <= 3' | wc -l) = 2 ]] ||
		fail "$(grep -a ^result "$T/one.console")"
}
