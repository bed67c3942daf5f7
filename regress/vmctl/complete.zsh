# SPDX-License-Identifier: ISC
#
# usage: zsh -f complete.zsh FUNCTION LINE...
#
# What zsh offers at the end of each LINE, with FUNCTION as the completion of
# vmctl: a line of words for each, sorted.  That of a path is its last part.

zmodload zsh/zpty || exit
tmp=$(mktemp -d) || exit
trap 'rm -rf $tmp' EXIT
cp $1 $tmp/_vmctl
shift

# For a shell at a terminal, whose completions are written down.
cat >$tmp/setup <<EOT
capture=$tmp
EOT
cat >>$tmp/setup <<'EOT'
PS1= COLUMNS=120 LINES=60 LISTMAX=1000
fpath=($capture $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
	local word
	local -a hits
	for word; do
		[[ $word != (-|--) ]] || break
		# Not an offer: it fills an array.
		[[ $word != -[OAD] ]] || {
			builtin compadd "$@"
			return
		}
	done
	builtin compadd -A hits "$@"
	(( ! $#hits )) || print -rl -- $hits >>$capture/hits
	builtin compadd "$@"
}
finish() { : >$capture/done }
: >$capture/done
EOT

# wait_for FILE: and what the shell wrote on its terminal meanwhile is nobody's.
wait_for() {
	local i junk
	for ((i = 0; i < 1000; i++)); do
		while zpty -r -t shell junk; do :; done
		[[ ! -e $1 ]] || return 0
		sleep 0.02
	done
	print -u2 "zsh: no completion within 20 s"
	exit 1
}

export TERM=dumb
zpty shell zsh -f -i
zpty -w shell ". $tmp/setup"
wait_for $tmp/done
for line; do
	rm -f $tmp/done $tmp/hits
	# Functions of this array run at the end, once.
	zpty -w -n shell $'\x15'"comppostfuncs=(finish)"$'\r'"$line"$'\t'
	wait_for $tmp/done
	zpty -w -n shell $'\x15'
	[[ ! -e $tmp/hits ]] || sort -u $tmp/hits | tr '\n' ' '
	print
done
zpty -d shell
