# Symbols of writable data, as nm -A prints them, against the list of those
# that may be: lines of "file symbol reason" (a trailing * matches the rest).
# The first line of the file that has the word.
function where(f, word,	l, i, r) {
	i = r = 0
	while (!r && (getline l < f) > 0) {
		i++
		if (match(l, "(^|[^A-Za-z0-9_])" word "([^A-Za-z0-9_]|$)")) r = i
	}
	close(f)
	return r
}
FNR == NR {
	if ($0 ~ /^#/ || NF == 0) next
	if (NF < 3) { print FILENAME ":" FNR ": no reason given"; next }
	n++
	file[n] = $1; sym[n] = $2; line[n] = FNR
	next
}
{
	obj = $1
	sub(/:[0-9a-f]*$/, "", obj)
	type = $(NF - 1); s = $NF
	if (type !~ /^[bBdDC]$/) next
	src = obj
	sub(/\.o$/, ".c", src)
	src = substr(src, length(prefix) + 1)
	if (index(src, substr(gen, 2)) == 1)
		src = substr(src, length(gen))
	seen[src] = 1
	sub(/\.[0-9]+$/, "", s)
	# clang names a function's static function.variable
	short = s; sub(/^.*\./, "", short)
	# One token bucket per call site: log.h, "For lines a guest or client".
	if (short ~ /(^|_)rate$/) next
	for (i = 1; i <= n; i++)
		if (file[i] == src && (sym[i] == s || sym[i] == short ||
		    sym[i] ~ /\*$/ && index(s, substr(sym[i], 1, length(sym[i]) - 1)) == 1)) {
			used[i] = 1
			next
		}
	print src ":" where(src, short) ": writable global " s
}
END {
	for (i = 1; i <= n; i++)
		if (!(i in used) && (getline junk < file[i]) >= 0)
			print "regress/lint/globals.allow:" line[i] ": " sym[i] " is no more"
}
