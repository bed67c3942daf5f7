# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# Many VMs, and many lives of one.  $CYCLES: how many.
limit='900+15*CYCLES' # s

need_atom() { [[ -x ./rawctl && -r ./atom ]] || skip "no rawctl or no atom"; }

# What one life after the other could leave behind, as text; memory apart.
held() {
	local p
	leftovers
	echo "taps $(ip -o link show type tun | wc -l)"
	echo "bridges $(ip -o link show type bridge | wc -l)"
	echo "rules $(nft list ruleset | wc -l)"
	echo "groups $(find /sys/fs/cgroup -type d | wc -l)"
	echo "files in /run $(find /run -xdev | wc -l)"
	for p in $(vmd_processes); do
		echo "descriptors of $(title "$p")" \
		    "$(find "/proc/$p/fd" -mindepth 1 ! -lname 'net:*' | wc -l)"
	done
}

# Network namespaces that the parent has ahead are as many as there have to be.
spares() { [[ $(find "/proc/$vmd_pid/fd" -lname 'net:*' | wc -l) = 4 ]]; }

# Of vmd's processes: KiB that are theirs alone.
memory() {
	local p
	for p in $(vmd_processes); do
		sed -n 's/^Anonymous: *\([0-9]*\) kB/\1/p' \
		    "/proc/$p/smaps_rollup"
	done | awk '{ s += $1 } END { print s }'
}

# lives NUMBER: of VM one, each from START until its power button has ended it.
lives() {
	local i
	for ((i = 0; i < $1; i++)); do
		ask_ok START n32=0 str=one
		ask_ok STOP n32=0 str=one n32=0
		within 60 is one stopped
	done
}

held_as_before() { cmp -s "$T/held" <(held); }

t_start_and_stop_leak_nothing() {
	local n=${CYCLES:-15} before after t
	need_atom
	tun
	modprobe nf_tables 2>/dev/null || true
	command -v nft >/dev/null || nft() { :; }
	truncate -s 1M "$T/disk" "$T/iso"
	{
		echo 'local prefix 10.77.0.0/16'
		printf 'switch "lan" {\n\tinterface vmbr0\n\tcreate\n}\n'
		atom one "disk \"$T/disk\"" "cdrom \"$T/iso\"" \
		    'local interface' 'interface { switch "lan" }' \
		    'limit cpu 200%'
	} | vmd_up
	client root
	# The first ones fill what is kept: caches, buffers, the allocator.
	lives 5
	held >"$T/held"
	before=$(memory) t=$SECONDS
	lives "$n"
	t=$((SECONDS - t))
	within 10 held_as_before || {
		diff "$T/held" <(held) >&2
		fail "left behind by $n lives"
	}
	within 10 spares
	after=$(memory)
	cat "$T/held"
	echo "# $n lives in $t s; memory $before KiB before, $after KiB after"
	# One leaf of an allocator's or a log's buffer, whatever the number.
	[[ $after -le $((before + 64)) ]] || fail "memory grew"
	not grep "one: .*forced to end" "$T/vmd.log"
}

t_fifty_at_once() {
	local i n=50 running line t=$SECONDS
	need_atom
	mark
	for ((i = 1; i <= n; i++)); do atom "v$i"; done | vmd_up
	client root
	for ((i = 1; i <= n; i++)); do ask_ok START n32=0 "str=v$i"; done
	ask_ok LIST
	running=0
	for line in "${answers[@]}"; do
		[[ $line != "VM v"*" running" ]] || running=$((running + 1))
	done
	[[ $running = "$n" ]]
	echo "# $n run after $((SECONDS - t)) s"
	# It is the guests that end by it: they run.
	for ((i = 1; i <= n; i++)); do ask_ok STOP n32=0 "str=v$i" n32=0; done
	for ((i = 1; i <= n; i++)); do
		within 30 is "v$i" stopped || fail "v$i does not stop"
	done
	echo "# stopped after $((SECONDS - t)) s"
	[[ $(vmctl status -j | jq '[.[] | select(.problem != null)] | length') = 0 ]]
	vmd_down
	clean 10
}
