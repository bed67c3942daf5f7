#!/bin/sh
# Compile each file with clang below lint_tmp, with the warnings on.
tmp=${lint_tmp:?}
status=0
read -r flags <"$tmp/flags"
for f; do
	o="$tmp/obj/${f%.c}.o"
	mkdir -p "$(dirname "$o")"
	# shellcheck disable=SC2086 # a list of words
	clang $flags -I"$(dirname "$f")" -Ivmd -O0 -fno-pic -c -o "$o" "$f" || status=1
done
exit $status
