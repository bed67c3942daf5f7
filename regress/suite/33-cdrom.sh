# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The CD-ROM drive: a guest mounts what is in it, notices when that changes,
# and keeps it when it wants to.
limit=360

# iso NAME MB: an image, and the sum of the file in it.
iso() {
	head -c "$2M" /dev/urandom >"$T/$1.data"
	"$(dirname "${BASH_SOURCE[0]}")/mkiso" "$T/$1.data" >"$T/$1.iso"
	md5sum <"$T/$1.data" >"$T/$1.sum"
}

# printed_line NAME TEXT: as a line of its own.
printed_line() { grep -qxF "$2" < <(tr -d '\r' <"$T/$1.console"); }

# cd_sum NAME IMAGE: the guest's last sum is that of the image's file.
cd_sum() { [[ $(value "$1" cd) = "$(cat "$T/$2.sum")" ]]; }

# counter NAME DEVICE COUNTER
counter() {
	vmctl status -j | jq -r --arg n "$1" --arg d "$2" --arg c "$3" \
	    '.[] | select(.name == $n) | .devices[] | select(.name == $d) | .[$c]'
}

t_guest_mounts_an_iso() {
	iso a 20
	tiny one cd,sum,raw=1000,idle "cdrom \"$T/a.iso\"" | vmd_up
	start one
	prints one "tiny: cd raw" 100
	prints one "tiny: idle" 20
	printed one "tiny: cd model CD-ROM *size $(($(stat -c %s "$T/a.iso") / 512))"
	printed_line one "tiny: cd $(cat "$T/a.sum")"
	printed_line one "tiny: cd raw $(head -c 2048000 "$T/a.iso" | md5sum)"
	(($(counter one vioscsi0 bytes_in) > 20 << 20))
	(($(counter one vioscsi0 requests) > 100))
	(($(counter one vioscsi0 interrupts) > 10))
	vmctl status -v one | tee "$T/status"
	grep -Eq '^ +vioscsi0 +[1-9]' "$T/status"
	vmctl stop -w one
	stopped one 1
}

t_medium_change_is_noticed() {
	iso a 2
	iso b 3
	tiny one cd,sum,changed,sum,empty,changed,sum,idle \
	    "cdrom \"$T/a.iso\"" | vmd_up
	mark
	start one
	prints one "tiny: cd waits for changed" 100
	cd_sum one a || printed_line one "tiny: cd $(cat "$T/a.sum")"
	vmctl set one cdrom "$T/b.iso"
	prints one "tiny: cd is changed" 60
	prints one "tiny: cd waits for empty" 60
	printed_line one "tiny: cd $(cat "$T/b.sum")"
	vmctl set one cdrom none
	prints one "tiny: cd is empty" 60
	vmctl set one cdrom "$T/a.iso"
	prints one "tiny: idle" 100
	[[ $(tr -d '\r' <"$T/one.console" |
	    grep -cx "tiny: cd $(cat "$T/a.sum")") = 2 ]]
	vmctl stop -w one
	readers_off
	clean 10
}

t_guest_keeps_its_medium() {
	iso a 2
	iso b 2
	tiny one cd,hold,sum,idle "cdrom \"$T/a.iso\"" | vmd_up
	start one
	prints one "tiny: cd held" 100
	refused vmctl set one cdrom "$T/b.iso"
	says "guest keeps"
	vmctl set -f one cdrom "$T/b.iso"
	prints one "tiny: cd lost" 60
	prints one "tiny: idle" 60
	printed_line one "tiny: cd $(cat "$T/b.sum")"
}

# What is in the drive stays there when the guest reboots.
t_medium_survives_a_reset() {
	iso a 1
	iso b 1
	truncate -s 1M "$T/disk"
	tiny one reboot "cdrom \"$T/a.iso\"" "disk \"$T/disk\"" | vmd_up
	start one
	prints one "second boot" 150
	stopped one 10
	vmctl start -b "$G/vmlinuz" -I "$G/tiny.cpio" \
	    -a "$base tiny=cd,sum,idle" -r "$T/b.iso" two 2>&1 |
	    tee "$T/start.out"
	record two "$(sed -n 's/.*tty \(.*\)/\1/p' "$T/start.out")"
	prints two "tiny: idle" 100
	printed_line two "tiny: cd $(cat "$T/b.sum")"
}

t_refusals() {
	iso a 1
	: >"$T/empty.iso"
	mkfifo "$T/fifo"
	{
		tiny gone idle "cdrom \"$T/gone.iso\""
		tiny empty idle "cdrom \"$T/empty.iso\""
		tiny fifo idle "cdrom \"$T/fifo\""
		tiny none idle
		tiny one idle "cdrom \"$T/a.iso\""
	} >"$T/vm.conf.in"
	: >"$T/gone.iso"
	vmd_up <"$T/vm.conf.in"
	rm "$T/gone.iso"
	mark
	refused vmctl start gone
	says "gone.iso: No such file"
	refused vmctl start empty
	says "smaller than a block"
	refused vmctl start fifo
	says "not a regular file"
	refused vmctl set one cdrom "$T/a.iso"
	says "not running"
	clean 10
	vmctl start none
	refused vmctl set none cdrom "$T/a.iso"
	says "no cdrom drive"
	vmctl start one
	refused vmctl set one cdrom "$T/fifo"
	refused vmctl set one cdrom "$T/empty.iso"
	# Not his, and then a file that he cannot read.
	refused as nobody vmctl set one cdrom none
	chmod 600 "$T/a.iso"
	refused as nobody vmctl set one cdrom "$T/a.iso"
}
