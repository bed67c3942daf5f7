#!/bin/sh
# Compile each file with clang below lint_tmp, with the warnings on.
tmp=${lint_tmp:?}
status=0
# The private headers that a file and its tests see.
private() {
	case $1 in
	*vmctl/*) echo -iquotevmctl ;;
	kernel/* | *kernel/*) echo -iquotekernel/core ;;
	*) echo -iquotevmd ;;
	esac
}
read -r flags <"$tmp/flags"
for f; do
	o="$tmp/obj/${f%.c}.o"
	mkdir -p "$(dirname "$o")"
	# shellcheck disable=SC2086 # a list of words
	clang $flags -iquote"$(dirname "$f")" "$(private "$f")" -O0 -fno-pic \
	    -c -o "$o" "$f" || status=1
done
exit $status
