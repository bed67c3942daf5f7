# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What the README and the manual pages show is done as it stands there.
limit=300

# blocks FILE HEADING: the blocks of code below a heading, each in a file
# $T/block.N.
blocks() {
	awk -v heading="$2" -v to="$T/block." '
	    /^```/ { inside = !inside; n += inside && of; next }
	    /^#+ / && !inside { of = $0 ~ "^#+ " heading "$" }
	    inside && of { print >(to n) }' "$1"
}

# examples PAGE: those of a manual page, a line each, those of several lines as
# they are.
examples() {
	awk '/^\.Sh/ { of = /EXAMPLES/ }
	    !of { next }
	    /^\.Dl/ { sub(/^\.Dl /, ""); print }
	    /^\.Ed/ { inside = 0 }
	    inside { print }
	    /^\.Bd -literal/ { inside = 1 }' "/usr/local/share/man/$1"
}

# vmd that somebody else started: it is asked to end, and does.
end_vmd() {
	local pid
	pid=$(pgrep -o -x vmd)
	kill "$pid"
	within 30 eval "! kill -0 $pid 2>/dev/null"
	within 10 eval '[[ -z $(vmd_processes) ]]'
}

t_first_session_of_the_readme() {
	[[ -f ../README.md ]] || skip "no README"
	blocks ../README.md "A first machine"
	[[ -s $T/block.1 && -s $T/block.2 && ! -e $T/block.3 ]]
	# A Debian host's own.
	ln -sf "$G/vmlinuz" /vmlinuz
	ln -sf "$G/initrd" /initrd.img
	cp "$T/block.1" /etc/vm.conf
	expect -f transcript.exp "$T/block.2"
	end_vmd
	rm /etc/vm.conf
}

t_examples_of_vmctl() {
	local command n=0
	mkdir "$T/bin" "$T/dir"
	printf '#!/bin/sh\necho "$@" >>%s/logged\n' "$T" >"$T/bin/logger"
	chmod 755 "$T/bin/logger"
	PATH=$T/bin:$PATH
	{
		tiny web idle 'memory 128M'
		tiny template idle 'memory 128M' 'allow instance disk'
	} | vmd_up
	cd "$T/dir" || return
	ln -s "$G/vmlinuz" vmlinuz
	ln -s "$G/tiny.cpio" initrd.img
	truncate -s 1M root.img
	vmctl create -s 1M mine.qcow2
	examples man8/vmctl.8 >"$T/examples"
	sed -n '/vmctl events/,/done/p' "$T/examples" | sed 's/^[$#] //' >"$T/events"
	bash "$T/events" &
	sleep 1
	while read -r command; do
		[[ $command = [\$\#]\ vmctl* && $command != *"vmctl events"* ]] ||
			continue
		say "$command"
		timeout 100 bash -o pipefail -c "${command#? }" </dev/null
		n=$((n + 1))
	done <"$T/examples"
	((n >= 6))
	# Three were started and stopped; the tty's list was empty then.
	within 10 eval '[[ $(grep -c stopped "$T/logged") = 3 ]]'
	[[ $(tail -n 1 vmd.prom) = "# EOF" ]]
	vmd_down
	wait
}

t_examples_of_vmmctl() {
	[[ -c /dev/vmm ]] || skip "on our driver only"
	examples man8/vmmctl.8 >"$T/examples"
	grep -q '^# vmmctl -S' "$T/examples"
	: | vmd_up
	tiny first idle 'memory 128M' >/root/first.conf
	expect -f transcript.exp "$T/examples"
	in_state first running
	vmctl stop -fw first
	rm /root/first.conf
}
