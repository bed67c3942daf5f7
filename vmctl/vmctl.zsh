#compdef vmctl vmmctl
# SPDX-License-Identifier: ISC
#
# zsh completion of vmctl(8) and vmmctl(8): commands, options, and names of VMs as
# `vmctl status' tells them.

# Names of the VMs; "-r" for those that run only.  The name is the last column;
# the first line is the header.
_vmctl_names() {
	local -a names
	names=(${${(f)"$(timeout 2 vmctl ${_vmctl_socket:+-s} $_vmctl_socket \
	    ${_vmctl_host:+-H} $_vmctl_host \
	    status $1 2>/dev/null </dev/null)"}[2,-1]##* })
	_wanted vms expl 'virtual machine' compadd -a names
}
_vmctl_all() { _vmctl_names }
_vmctl_running() { _vmctl_names -r }

# What comes behind "set id".
_vmctl_set() {
	case $words[CURRENT-1] in
	link) _wanted interfaces expl interface compadd 0 1 2 3 ;;
	[0-3]) _wanted states expl 'link state' compadd up down ;;
	cdrom) _alternative 'media:medium:(none)' 'files:image:_files' ;;
	esac
}

_vmctl_newer() {
	local -a commands found line only
	local context curcontext=$curcontext expl state _vmctl_socket _vmctl_host
	local -A opt_args
	commands=(
		'check:find out whether this host can run VMs'
		'console:attach the terminal to a console'
		'create:make a disk image'
		'events:print what happens to VMs'
		'image:check a disk image, tell what it is, keep snapshots in it'
		'key:press keys of a VM'
		'load:read one more configuration file'
		'log:set how much vmd logs'
		'metrics:print counters as OpenMetrics'
		'pause:let a VM stand still'
		'reload:read the configuration again'
		'reset:end and forget VMs, forget switches'
		'restart:stop a VM and start it'
		'restore:go on from a saved state'
		'run:start a VM and wait until it has ended'
		'save:write the state of a VM to a file'
		'screen:show the text screen of a VM'
		'send:move a VM that runs to another host'
		'set:change a medium, a link or the memory'
		'show:list VMs'
		'snapshot:keep the state of a VM and of its disks'
		'start:start a VM'
		'status:list VMs'
		'stop:shut a VM down'
		'top:show what VMs use'
		'unpause:let a paused VM go on'
		'wait:wait until a VM has ended'
	)
	_arguments -C -A '-*' \
	    '--exit-codes[let the status tell what went wrong]' \
	    '(-s)-H[host of vmd]:host:_hosts' \
	    '(-H)-s[socket of vmd]:socket:_files' \
	    '-v[print debug lines]' \
	    '1:command:->command' '*::argument:->argument' && return
	_vmctl_socket=${opt_args[-s]-}
	_vmctl_host=${opt_args[-H]-}
	if [[ $state = command ]]; then
		_describe -t commands command commands
		return
	fi
	# A prefix is a command when vmctl itself takes it for one.
	found=(${(M)${commands%%:*}:#$words[1]*})
	(( ! ${found[(Ie)$words[1]]} )) || found=($words[1])
	(( $#found == 1 )) || return 1

	case $found[1] in
	check)
		_arguments '-j[print JSON]' \
		    '-k[examine this hypervisor]:device:_files'
		;;
	console)
		_arguments '(-v)-2[the second serial port]' \
		    '-n[do not read standard input]' \
		    '(-2)-v[the virtio console]' \
		    '1:vm:_vmctl_running'
		;;
	create)
		_arguments '(-i)-b[based on this image]:base:_files' \
		    '(-b)-i[a copy of this image]:input:_files' \
		    '-s[size of the disk]:size: ' '1:disk:_files'
		;;
	events)
		_arguments '-j[print JSON]' '1:vm:_vmctl_all'
		;;
	image)
		if [[ $words[2] = snapshot ]]; then
			_arguments '1:what:(snapshot)' \
			    '2:what to do:(create delete list revert)' \
			    '-j[print JSON]' '3:disk:_files' '4:tag: '
		else
			_arguments '-j[print JSON]' \
			    '-r[put reference counts right]' \
			    '1:what to do:(check info snapshot)' \
			    '2:disk:_files'
		fi
		;;
	load)
		_arguments '1:file:_files'
		;;
	log)
		_arguments '1:how much:(brief verbose)'
		;;
	metrics | reload)
		_message 'no arguments'
		;;
	reset)
		_arguments '1:what to forget:(all switches vms)'
		;;
	key)
		_arguments '-t[type this text]' '1:vm:_vmctl_running' '*:key: '
		;;
	snapshot)
		_arguments '-j[print JSON]' \
		    '1:what to do:(create delete list revert)' \
		    '2:vm:_vmctl_all' '3:tag: '
		;;
	screen)
		_arguments '-f[as it changes]' '-j[print JSON]' \
		    '1:vm:_vmctl_running'
		;;
	restart)
		_arguments '-f[do not ask the VM]' '1:vm:_vmctl_running'
		;;
	restore)
		_arguments '-n[as this VM]:vm:_vmctl_all' '1:file:_files'
		;;
	save)
		_arguments '-k[the VM goes on]' '1:vm:_vmctl_running' \
		    '2:file:_files'
		;;
	send)
		_arguments '-d[copy its disks]' '-q[print no progress]' \
		    '-r[at most so much in a second]:rate: ' \
		    '-s[slow the guest down, at most by so much]:percent: ' \
		    '-t[how long it may stand still]:milliseconds: ' \
		    '1:vm:_vmctl_running' '2:host:_hosts'
		;;
	set)
		_arguments '-f[even if the guest has locked the drive]' \
		    '1:vm:_vmctl_running' '2:what to change:(cdrom link memory)' \
		    '3::value:_vmctl_set' '4::value:_vmctl_set'
		;;
	show | status)
		_arguments '-j[print JSON]' '-r[those that run only]' \
		    '-v[what the devices counted]' '1:vm:_vmctl_all'
		;;
	run | start)
		[[ $found[1] = run ]] || only=('-c[attach to the console]')
		_arguments $only '-a[command line of the kernel]:text: ' \
		    '-B[boot nothing but this]:device:(cdrom disk net)' \
		    '-b[kernel]:file:_files' \
		    '*-d[disk image]:disk:_files' '-I[initial RAM disk]:file:_files' \
		    '-i[number of interfaces]:count: ' '*-L[a local interface]' \
		    '-m[size of the memory]:size: ' \
		    '*-n[an interface on a switch]:switch: ' \
		    '-p[number of virtual CPUs]:count: ' \
		    '-q[no error if it runs already]' \
		    '-r[image in the CD-ROM drive]:image:_files' \
		    '-t[an instance of this VM]:template:_vmctl_all' \
		    '1:vm:_vmctl_all'
		;;
	stop)
		_arguments '(1)-a[all VMs]' '-f[do not ask the VM]' \
		    '-q[no error if it does not run]' \
		    '-w[wait until it has ended]' '(-a)1:vm:_vmctl_running'
		;;
	top)
		_arguments '-1[one table]' '-d[time between tables]:seconds: '
		;;
	pause | unpause | wait)
		_arguments '1:vm:_vmctl_running'
		;;
	esac
}

# The older form.
_vmctl_older() {
	_arguments '(-S -c -e)-d[leave VMM mode]' \
	    '(-S -c -d)-e[enter VMM mode]' \
	    '(-d -e)-S[start a VM]' '(-d -e)-c[what declares it]:file:_files'
}

_vmctl() {
	case $service in
	vmmctl) _vmctl_older ;;
	*) _vmctl_newer ;;
	esac
}

_vmctl "$@"
