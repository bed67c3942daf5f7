# The tail of sizes: files of at most 1000 lines, functions of at most 100.
# A function is what stands between a brace that opens in column 0 and one
# that closes there; its name is the last line that began in column 0.
function note(size, what, list, n,	i, t) {
	# keep the five largest
	if (n[0] < 5) n[0]++
	else if (size <= list[5]) return
	i = n[0]
	list[i] = size; name[list_id, i] = what
	while (i > 1 && list[i] > list[i - 1]) {
		t = list[i]; list[i] = list[i - 1]; list[i - 1] = t
		t = name[list_id, i]; name[list_id, i] = name[list_id, i - 1]
		name[list_id, i - 1] = t
		i--
	}
}
function endfile() {
	if (file == "") return
	list_id = "file"
	note(lines, file, files, nf)
	if (lines > 1000) {
		print file ":1: " lines " lines, more than 1000: split it"
		failed = 1
	}
}
FNR == 1 { endfile(); file = FILENAME; open = 0; head = "" }
{ lines = FNR }
/^[A-Za-z_]/ && !open { head = $0 }
/^\{/ { open = FNR }
/^\}/ && open {
	size = FNR - open + 1
	fn = head; sub(/\(.*/, "", fn)
	list_id = "function"
	note(size, file ":" open " " fn, funcs, nn)
	if (size > 100) {
		print file ":" open ": " fn ": " size " lines, more than 100: split it"
		failed = 1
	}
	open = 0
}
END {
	endfile()
	printf "largest files:"
	for (i = 1; i <= nf[0]; i++)
		printf " %s (%d)", name["file", i], files[i]
	printf "\nlargest functions:"
	for (i = 1; i <= nn[0]; i++)
		printf " %s (%d)", name["function", i], funcs[i]
	printf "\n"
	exit failed
}
