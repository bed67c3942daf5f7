#!/bin/sh
# Each header has to compile alone.
tmp=${lint_tmp:?}
status=0
read -r flags <"$tmp/flags"
for f; do
	# shellcheck disable=SC2086 # a list of words
	clang $flags -I"$(dirname "$f")" -fsyntax-only -x c "$f" \
	    -Wno-unused-function -Wno-pragma-once-outside-header || status=1
done
exit $status
