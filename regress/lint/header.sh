#!/bin/sh
# Each header has to compile alone.
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
	# Parts of tests come after cmocka.h and what that wants first.
	case $f in
	regress/confine/* | regress/kapi/*) tests= ;;
	regress/*) tests='-include setjmp.h -include stdarg.h -include stddef.h
		-include stdint.h -include cmocka.h' ;;
	*) tests= ;;
	esac
	# shellcheck disable=SC2086 # lists of words
	clang $flags -iquote"$(dirname "$f")" "$(private "$f")" $tests -fsyntax-only -x c "$f" \
	    -Wno-unused-function -Wno-pragma-once-outside-header || status=1
done
exit $status
