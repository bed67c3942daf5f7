# Print C sources as file:line: text, without comments and with the contents
# of strings and characters taken out.
FNR == 1 { incomment = 0 }
{
	s = $0
	out = ""
	while (s != "") {
		if (incomment) {
			i = index(s, "*/")
			if (i == 0) { s = ""; break }
			s = substr(s, i + 2)
			incomment = 0
			continue
		}
		if (!match(s, /\/\*|\/\/|"|'/)) { out = out s; break }
		tok = substr(s, RSTART, RLENGTH)
		out = out substr(s, 1, RSTART - 1)
		s = substr(s, RSTART + RLENGTH)
		if (tok == "//") { s = ""; break }
		if (tok == "/*") { incomment = 1; continue }
		# A string or character: up to the closing mark.
		out = out tok
		while (s != "") {
			c = substr(s, 1, 1)
			s = substr(s, c == "\\" ? 3 : 2)
			if (c == tok) break
		}
		out = out tok
	}
	print FILENAME ":" FNR ": " out
}
