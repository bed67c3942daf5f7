# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# bash completion of vmctl(8): commands, options, and names of VMs as
# `vmctl status' tells them.

# Names of the VMs; "-r" for those that run only.
_vmctl_names() {
	local args=()
	[[ -z ${_vmctl_socket-} ]] || args=(-s "$_vmctl_socket")
	[[ -z ${_vmctl_host-} ]] || args=(-H "$_vmctl_host")
	# The name is the last column; the first line is the header.
	timeout 2 vmctl "${args[@]}" status "$@" 2>/dev/null </dev/null |
		awk 'NR > 1 { print $NF }'
}

_vmctl_reply() { # WORDS CURRENT
	local IFS=$' \t\n' word
	COMPREPLY=()
	for word in $1; do
		[[ $word != "$2"* ]] || COMPREPLY+=("$word")
	done
}

_vmctl_files() { # CURRENT
	local IFS=$'\n'
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

# The commands that a prefix may be, as vmctl itself decides.
_vmctl_command() { # WORD COMMANDS
	local word found=()
	for word in $2; do
		[[ $word != "$1" ]] || {
			printf '%s\n' "$word"
			return
		}
		[[ $word != "$1"* ]] || found+=("$word")
	done
	[[ ${#found[@]} -ne 1 ]] || printf '%s\n' "${found[0]}"
}

_vmctl_set() { # PREVIOUS-WORD WORD
	case $1 in
	link) _vmctl_reply "0 1 2 3" "$2" ;;
	[0-3]) _vmctl_reply "up down" "$2" ;;
	memory) ;;
	*) _vmctl_reply "cdrom link memory" "$2" ;;
	esac
}

_vmctl() {
	local commands="check console create events image key load log metrics pause reload"
	commands+=" reset restart restore run save screen send set show snapshot start status stop top unpause wait"
	local cur=${COMP_WORDS[COMP_CWORD]} prev='' command='' i
	local _vmctl_socket='' _vmctl_host='' options names
	COMPREPLY=()

	((COMP_CWORD < 1)) || prev=${COMP_WORDS[COMP_CWORD - 1]}
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s)
			((i + 1 < COMP_CWORD)) || {
				_vmctl_files "$cur"
				return
			}
			_vmctl_socket=${COMP_WORDS[++i]}
			;;
		-H)
			((i + 1 < COMP_CWORD)) || return
			_vmctl_host=${COMP_WORDS[++i]}
			;;
		-*) ;;
		*)
			command=$(_vmctl_command "${COMP_WORDS[i]}" "$commands")
			break
			;;
		esac
	done
	if ((i == COMP_CWORD)); then
		if [[ $cur = -* ]]; then
			_vmctl_reply "--exit-codes -H -s -v" "$cur"
		else
			_vmctl_reply "$commands" "$cur"
		fi
		return
	fi

	case $command in
	check) options="-j -k" names="" ;;
	console) options="-2 -n -v" names="-r" ;;
	create) options="-b -i -s" names="" ;;
	events) options="-j" names="all" ;;
	key) options="-t" names="-r" ;;
	screen) options="-f -j" names="-r" ;;
	image) options="-j -r" names="" ;;
	load | log | reset) options="" names="" ;;
	restart | set) options="-f" names="-r" ;;
	restore) options="-n" names="" ;;
	save) options="-k" names="-r" ;;
	send) options="-d -q -r -s -t" names="-r" ;;
	snapshot) options="-j" names="all" ;;
	show | status) options="-j -r -v" names="all" ;;
	run) options="-a -B -b -d -I -i -L -m -n -p -q -r -t" names="all" ;;
	start) options="-a -B -b -c -d -I -i -L -m -n -p -q -r -t" names="all" ;;
	stop) options="-a -f -q -w" names="-r" ;;
	top) options="-1 -d" names="" ;;
	pause | unpause | wait) options="" names="-r" ;;
	*) return ;;
	esac
	[[ $command != run ]] || command=start
	case $command$prev in
	create-s) return ;;
	create* | imagecheck | imageinfo | image-j | image-r | image-jr | imagelist | imagecreate | imagedelete | imagerevert)
		[[ $cur = -* ]] || {
			_vmctl_files "$cur"
			return
		}
		;;
	loadload | start-b | start-d | start-I | start-r | check-k | setcdrom)
		_vmctl_files "$cur"
		return
		;;
	restore-n)
		_vmctl_reply "$(_vmctl_names)" "$cur"
		return
		;;
	restore* | save[!-]*)
		[[ $cur = -* || $command$prev = savesave ]] || {
			_vmctl_files "$cur"
			return
		}
		;;
	start-B)
		_vmctl_reply "cdrom disk net" "$cur"
		return
		;;
	start-t)
		_vmctl_reply "$(_vmctl_names)" "$cur"
		return
		;;
	start-a | start-i | start-m | start-n | start-p | send-r | send-s | send-t) return ;;
	esac
	if [[ $cur = -* ]]; then
		_vmctl_reply "$options" "$cur"
	elif [[ $command = image ]]; then
		case $prev in
		image) _vmctl_reply "check info snapshot" "$cur" ;;
		snapshot) _vmctl_reply "create delete list revert" "$cur" ;;
		esac
	elif [[ $command = send && $prev != send && ${COMP_WORDS[COMP_CWORD - 2]} != -[rst] && $prev != -[dq] ]]; then
		_vmctl_reply "$(compgen -A hostname)" "$cur"
	elif [[ $command = log ]]; then
		_vmctl_reply "brief verbose" "$cur"
	elif [[ $command = reset ]]; then
		_vmctl_reply "all switches vms" "$cur"
	elif [[ $command = set && $prev != set && $prev != -f ]]; then
		_vmctl_set "$prev" "$cur"
	elif [[ $command = snapshot && $prev = snapshot ]]; then
		_vmctl_reply "create delete list revert" "$cur"
	elif [[ $command = snapshot && $prev != -j && ${COMP_WORDS[COMP_CWORD - 2]} != snapshot ]]; then
		return
	elif [[ $names = all ]]; then
		_vmctl_reply "$(_vmctl_names)" "$cur"
	elif [[ -n $names ]]; then
		_vmctl_reply "$(_vmctl_names "$names")" "$cur"
	fi
}

# The older form, vmmctl(8).
_vmmctl() {
	local cur=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} = -c ]]; then
		_vmctl_files "$cur"
	elif [[ $cur = -* && $COMP_CWORD = 1 ]]; then
		_vmctl_reply "-S -c -d -e" "$cur"
	elif [[ ${COMP_WORDS[1]} = -S && $COMP_CWORD = 2 ]]; then
		_vmctl_reply "-c" "$cur"
	fi
}

complete -F _vmctl vmctl
complete -F _vmmctl vmmctl
