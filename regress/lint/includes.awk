# Includes point down: chip <- core <- hv <- linux in kernel/, lib, chip <- vmd,
# lib <- vmctl.
function exists(f,	line, r) {
	if (f in known) return known[f]
	r = (getline line < f) >= 0
	close(f)
	return known[f] = r
}
function bad(what) { print FILENAME ":" FNR ": includes \"" inc "\": " what }
function dir(f) { sub(/\/[^\/]*$/, "", f); return f }
# The module's half of a header that both worlds see.
/^#(ifdef __KERNEL__|else)/ { module = FILENAME }
/^#(ifndef __KERNEL__|endif)/ { module = "" }
/^[ \t]*#[ \t]*include[ \t]*</ {
	inc = $0
	sub(/^[^<]*</, "", inc); sub(/>.*/, "", inc)
	if (FILENAME ~ /^kernel\/(core|chip)\// && module != FILENAME && inc ~ /^(linux|asm|uapi)\//)
		bad("core knows no Linux headers")
	if (FILENAME ~ /^kernel\/(hv|linux)\// && inc !~ /^(linux|asm|uapi|generated|trace)\//)
		bad("not a kernel header")
	next
}
/^[ \t]*#[ \t]*include[ \t]*"/ {
	inc = $0
	sub(/^[^"]*"/, "", inc); sub(/".*/, "", inc)
	if (FILENAME ~ /^regress\//) next
	here = dir(FILENAME)
	if (FILENAME ~ /^kernel\/core\//) {
		if (inc ~ /(hv|linux)\// || !exists("kernel/core/" inc) && !exists(here "/" inc))
			bad("core may include core only")
	} else if (FILENAME ~ /^kernel\/chip\//) {
		if (!exists("kernel/chip/" inc)) bad("chip may include chip only")
	} else if (FILENAME ~ /^kernel\/hv\//) {
		if (inc ~ /linux\//) bad("hv may not include linux")
	} else if (FILENAME ~ /^kernel\//) {
		next
	} else if (inc ~ /\.\.\//) {
		bad("a path upwards")
	} else if (exists("lib/" inc)) {
		next
	} else if (FILENAME ~ /^lib\//) {
		bad("lib may include lib only")
	} else if (FILENAME ~ /^vmctl\//) {
		if (!exists("vmctl/" inc)) bad("vmctl may include lib and vmctl only")
	} else if (FILENAME ~ /^vmd\//) {
		gen = inc; sub(/\.h$/, ".y", gen)
		if (!exists("vmd/" inc) && !exists("vmd/" gen) &&
		    !exists("kernel/chip/" inc) && inc !~ /^confine\.h$/)
			bad("vmd may include lib, vmd and chips only")
	}
}
