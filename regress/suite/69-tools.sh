# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# What others made, and no test guest is like: iPXE has drivers of its own,
# Memtest86+ no system below it, Debian's installer is what people begin with.
limit=600

# types NAME TEXT: as a keyboard does.
types() { printf '%s' "$2" >"$(field "$1" tty)"; }

# From its CD-ROM to its prompt, and its own virtio driver on the network.
t_ipxe() {
	[[ -f tools/ipxe.iso ]] || skip "no iPXE"
	tun
	modprobe nf_tables 2>/dev/null || true
	vm one 'memory 64M' "cdrom \"$PWD/tools/ipxe.iso\"" \
	    'local interface' | vmd_up
	start one
	prints one "Booting from DVD/CD" 60
	prints one "Ctrl-B" 60
	# It waits for two seconds, twice; at its prompt the key does no harm.
	for _ in {1..60}; do
		types one $'\x02'
		sleep 0.5
		! printed one "iPXE>" || break
	done
	prints one "iPXE>" 10
	types one $'dhcp\r'
	prints one "Configuring.*ok" 60
	types one $'show net0/ip\r'
	prints one "net0.*ip.* = 100\\.64\\." 30
	types one $'reboot\r'
	within 60 printed_times 2 one "Booting from DVD/CD"
	vmctl stop -fw one
}

# From the expansion ROM of an interface, which SeaBIOS finds, sizes and moves.
t_ipxe_rom() {
	[[ -f /usr/lib/ipxe/qemu/pxe-virtio.rom ]] || skip "no ROM"
	tun
	modprobe nf_tables 2>/dev/null || true
	vm one 'memory 64M' 'boot "/usr/share/seabios/bios-256k.bin"' \
	    'boot device net' 'local interface' | vmd_up
	start one
	prints one "Booting from ROM" 120
	prints one "iPXE" 60
	prints one "Configuring.*ok" 60
	vmctl stop -fw one
}

# After Escape, which a banner may take, or else the next one.
restarted() {
	types one $'\e'
	sleep 3
	[[ $(restarts one) -ge 1 ]]
}

# Its screen has no lines.
drawn_twice() { # TEXT
	[[ $(grep -ao "$1" "$T/one.console" | wc -l) -ge 2 ]]
}

# One pass of all its tests, booted as a kernel, and by Escape from the beginning.
t_memtest() {
	[[ -f tools/memtest ]] || skip "no Memtest86+"
	vm one 'memory 32M' "boot \"$PWD/tools/memtest\"" \
	    'cmdline "console=ttyS0,115200"' | vmd_up
	start one
	prints one "Memtest86" 60
	prints one "Pass:  1 +Errors: 0" 500
	within 60 restarted
	within 60 drawn_twice "Memtest86"
	vmctl stop -fw one
}

# To its first screen and, by a key, to its second; from its shell, which is in
# another window of screen(1), from the beginning.
installer() { # ARCHITECTURE
	[[ -d tools/installer.$1 ]] || skip "no installer"
	truncate -s 1G "$T/disk"
	vm one 'memory 1G' 'cpus 2' "boot \"$PWD/tools/installer.$1/linux\"" \
	    "initrd \"$PWD/tools/installer.$1/initrd.gz\"" \
	    'cmdline "console=ttyS0,115200"' "disk \"$T/disk\"" | vmd_up
	start one
	prints one "Select a language" 400
	types one $'\r'
	prints one "Select your location" 60
	types one $'\x012'
	prints one "~ #" 30
	types one $'reboot -f\r'
	within 60 printed_times 2 one "Linux version"
	[[ $(restarts one) = 1 && $(field one problem) = null ]]
	vmctl stop -fw one
}

t_debian_installer_amd64() { installer amd64; }

t_debian_installer_i386() { installer i386; }
