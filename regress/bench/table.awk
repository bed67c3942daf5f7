# SPDX-License-Identifier: ISC
#
# usage: awk -v title=TITLE -v others="SYSTEM ..." -f table.awk
#
# Lines "figure system value" to a table: medians of all rounds, ours first,
# then those of the others, then ours to each of them: the median of the ratios
# in the rounds, as only those measured side by side had the same machine; and
# the project's goal for it, where there is one, with a "+" when it is met, a "!"
# when it is missed and a "?" when there is no ratio.  A line with their numbers
# follows.

# Of the n numbers of a[], which it sorts.
function median(a, n,    i, j, x) {
	for (i = 2; i <= n; i++) {
		x = a[i]
		for (j = i - 1; j > 0 && a[j] > x; j--)
			a[j + 1] = a[j]
		a[j + 1] = x
	}
	return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

function figure(f, s,    i, n, a) {
	for (i = 1; i <= rounds[f, s]; i++)
		if (v[f, s, i] > 0)
			a[++n] = v[f, s, i]
	return n ? median(a, n) : "-"
}

function ratio(f, s,    i, n, a) {
	for (i = 1; i <= rounds[f, s]; i++)
		if (v[f, "vmm", i] > 0 && v[f, s, i] > 0)
			a[++n] = v[f, "vmm", i] / v[f, s, i]
	return n ? sprintf("%.2f", median(a, n)) : "-"
}

# What the ratio is to be at least, or (negative) at most; 0: there is no goal.
function goal(f, s) {
	if (f ~ /^(raw|qcow2)-rand/)
		return 1.2
	if (f ~ /^host-(raw|qcow2)-rand/)
		return -0.7
	if (f ~ /^(in|out)-/)
		return s == "vhost-on" ? 0.8 : 1.0
	if (f == "instructions-restore")
		return -0.3
	if (f == "migrate-downtime")
		return -0.5
	if (f == "migrate-total") # ours is in TLS always
		return s == "pc-tls" ? -0.8 : 0
	return 0
}

# What our own figure is to be at most, in its unit; 0: there is no such goal.
function limit(f) {
	return f == "instructions-restore-command" ? 1e4 : 0
}

function judged(r, g,    mark) {
	if (g == 0)
		return ""
	# What is shown counts, not what was rounded away.
	if (r == "-")
		mark = "?"
	else if (g > 0 ? r + 0 < g : r + 0 > -g)
		mark = "!"
	else
		mark = "+"
	marks[mark]++
	return sprintf("%.1f %s", g < 0 ? -g : g, mark)
}

function judged_alone(x, most,    mark) {
	mark = x == "-" ? "?" : x + 0 > most ? "!" : "+"
	marks[mark]++
	return sprintf("  goal %.3f G %s", most / 1e6, mark)
}

function shown(f, x) {
	if (x == "-")
		return x
	if (f ~ /^instructions/)
		return sprintf("%.4f G", x / 1e6)
	if (f ~ /^(own|added)-/)
		return sprintf("%.3f G", x / 1e9)
	if (f ~ /_exits$/ || f ~ /^exits-/)
		return x
	if (f ~ /^wall/)
		return sprintf("%.2f s", x / 1e6)
	if (f ~ /^pss/)
		return sprintf("%.1f MiB", x / 1024)
	if (f ~ /^(raw|qcow2)-(read|write)-/ || f ~ /^(in|out)-/)
		return sprintf("%.1f MB/s", x)
	if (f ~ /^rtt-/)
		return sprintf("%.1f us", x)
	if (f ~ /^migrate-/)
		return sprintf("%d ms", x)
	if (f ~ /^host-/)
		return sprintf("%d ns", x)
	return sprintf("%d /s", x)
}

# Nothing else is one; "-" is no figure.
NF == 3 && $3 ~ /^[0-9.]+$/ {
	if (!($1 in seen)) {
		seen[$1] = 1
		order[++n] = $1
	}
	v[$1, $2, ++rounds[$1, $2]] = $3
}

END {
	m = split(others, other, " ")
	printf "%-28s %12s", title, "vmm"
	for (j = 1; j <= m; j++)
		printf " %12s", other[j]
	for (j = 1; j <= m; j++)
		printf " %10s %5s", "/" other[j], "goal "
	printf "\n"
	for (i = 1; i <= n; i++) {
		f = order[i]
		printf "%-28s %12s", f, shown(f, figure(f, "vmm"))
		for (j = 1; j <= m; j++)
			printf " %12s", shown(f, figure(f, other[j]))
		for (j = 1; j <= m; j++) {
			r = ratio(f, other[j])
			printf " %10s %5s", r, judged(r, goal(f, other[j]))
		}
		if (limit(f))
			printf "%s", judged_alone(figure(f, "vmm"), limit(f))
		printf "\n"
	}
	if (marks["+"] + marks["!"] + marks["?"] > 0)
		printf "goals: %d met, %d missed, %d not measured\n",
		    marks["+"], marks["!"], marks["?"]
}
