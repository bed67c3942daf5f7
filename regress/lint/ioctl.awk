# Of stripped sources: an ioctl(2) on the hypervisor, or one whose request is
# not a constant in sight.
{
	i = index($0, ": ")
	place = substr($0, 1, i - 1)
	text = substr($0, i + 2)
	if (stmt == "" && match(text, /(^|[^A-Za-z0-9_])ioctl[ \t]*\(/)) {
		start = place
		stmt = substr(text, RSTART)
	} else if (stmt != "") {
		stmt = stmt " " text
	} else {
		next
	}
	if (stmt !~ /[;{]/) next
	if (stmt ~ /KVM_/)
		print start ": an ioctl on the hypervisor outside vmd/vmm.c"
	else if (stmt !~ /[^A-Za-z0-9_][A-Z][A-Z0-9_][A-Z0-9_]+/)
		print start ": an ioctl whose request is not a constant"
	stmt = ""
}
