# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The older form, vmmctl(8).
limit=120

# The lab's own driver again, whatever the test did.
driver_back() {
	[[ -c /dev/vmm ]] || insmod /lab/payload/vmm.ko
	chgrp _vmd /dev/vmm
	chmod 660 /dev/vmm
}

each_cpu() { # WHAT
	local i
	for ((i = 0; i < $(nproc); i++)); do echo "cpu$i: $1 VMM mode"; done
}

t_enters_and_leaves() {
	local modules
	[[ -c /dev/vmm ]] || skip "on our driver only"
	trap 'rc=$?; trap - ERR; set +e; driver_back; (exit "$rc"); finish' EXIT
	modules=/lib/modules/$(uname -r)
	rmmod vmm
	refused vmmctl -d
	says "not in VMM mode"
	not vmmctl -e 2>"$T/err"
	cat "$T/err"
	grep -qx 'vmmctl: the driver vmm was not loaded' "$T/err"
	mkdir -p "$modules/extra"
	cp /lab/payload/vmm.ko "$modules/extra/"
	depmod
	vmmctl -e | tee "$T/out"
	diff "$T/out" <(each_cpu entered)
	[[ -c /dev/vmm ]]
	# Nothing to load the second time.
	vmmctl -e | diff - <(each_cpu entered)
	tiny one idle | vmd_up
	vmctl start one
	refused vmmctl -d
	says "in use"
	vmctl stop -fw one
	vmmctl -d | diff - <(each_cpu left)
	[[ ! -c /dev/vmm ]]
	refused vmctl start one
	says "hypervisor"
	rm -r "$modules/extra"
}

t_starts_what_a_file_declares() {
	local tty
	echo 'socket owner root:vmusers' | vmd_up
	mark
	tiny two idle 'memory 128M' 'owner alice' >"$T/two.conf"
	tty=$(cd "$T" && vmmctl -S -c two.conf 2>"$T/err")
	[[ ! -s $T/err ]]
	[[ -c $tty && $(field two tty) = "$tty" ]]
	[[ $(field two owner) = alice && $(field two memory) = $((128 << 20)) ]]
	record two "$tty"
	prints two "tiny: idle" 60
	refused vmmctl -S -c "$T/two.conf"
	says 'vm "two" exists already'
	# In no configuration, and nothing that a reload would end.
	[[ -z $(vmctl reload) ]]
	in_state two running
	as alice vmctl stop -fw two
	[[ $(vmctl status -j | jq length) = 0 ]]
	# Nothing is left of it: once more.
	tty=$(vmmctl -S -c "$T/two.conf")
	[[ -c $tty ]]
	vmctl stop -fw two
	readers_off
	clean 10
}

t_instance_of_vm_conf() {
	tiny one idle 'memory 128M' 'allow instance memory' | vmd_up
	printf 'vm "one" instance "two" {\n\tmemory 160M\n}\n' >"$T/two.conf"
	vmmctl -S -c "$T/two.conf"
	[[ $(field two memory) = $((160 << 20)) ]]
	in_state two running
	vmctl stop -fw two
}

t_what_is_refused() {
	local words
	tiny one idle 'memory 128M' | vmd_up
	tiny two idle >"$T/two.conf"
	refused as alice vmmctl -S -c "$T/two.conf"
	says "need root"
	refused as alice vmmctl -e
	says "need root"
	refused vmmctl -S -c "$T/none.conf"
	says "none.conf: No such file"
	{
		cat "$T/two.conf"
		tiny three idle
	} >"$T/both.conf"
	refused vmmctl -S -c "$T/both.conf"
	says "both.conf: declares 2 vms, not one"
	tiny one idle >"$T/one.conf"
	refused vmmctl -S -c "$T/one.conf"
	says 'one.conf:1: vm "one" defined before'
	echo '# nothing' >"$T/nothing.conf"
	refused vmmctl -S -c "$T/nothing.conf"
	says "nothing.conf: declares 0 vms, not one"
	printf 'switch "lan" {\n\tinterface vmbr9\n\tcreate\n}\n' |
	    cat - "$T/two.conf" >"$T/switch.conf"
	refused vmmctl -S -c "$T/switch.conf"
	says 'switch.conf: declares switch "lan"'
	echo 'vm "two" { cpus 65 }' >"$T/cpus.conf"
	refused vmmctl -S -c "$T/cpus.conf"
	says "cpus.conf:1: .*cpus"
	vm two "boot \"$T/none\"" >"$T/boot.conf"
	refused vmmctl -S -c "$T/boot.conf"
	says "none: No such file"
	chown alice "$T/two.conf"
	refused vmmctl -S -c "$T/two.conf"
	says "not a regular file of root's"
	for words in "" "-S" "-c x" "-e -d" "-e x" "-S -c x -c y" "-x"; do
		# shellcheck disable=SC2086 # words
		not vmmctl $words 2>"$T/err"
		grep -q "^usage:.vmmctl -e" "$T/err"
	done
	[[ $(vmctl status -j | jq -r '.[].name') = one ]]
}
