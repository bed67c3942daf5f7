# SPDX-License-Identifier: ISC
# shellcheck shell=bash disable=SC2016,SC2034,SC2154
#
# The disk for cloud-init: a guest finds it by its label and mounts it.
limit=360

# Files that root alone may read.
seed_files() {
	{
		echo '#cloud-config'
		head -c 100000 /dev/urandom | od -An -tx1
	} >"$T/user.yaml"
	echo 'version: 2' >"$T/net.yaml"
	echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 "me" \ here' >"$T/key.pub"
	chmod 600 "$T/user.yaml" "$T/net.yaml" "$T/key.pub"
}

# mounted NAME: boots to a shell, where the disk is mounted.
mounted() {
	rm -f "$T/$1.console"
	start "$1"
	prints "$1" "tiny: shell" 100
	key "$1" 'mkdir -p /mnt; mount -t iso9660 -o ro $(findfs LABEL=CIDATA) /mnt'
	key "$1" 'cat /mnt/meta-data; echo "tiny: user $(md5sum </mnt/user-data)"'
	prints "$1" "^tiny: user [0-9a-f]" 30
}

# A Debian with the real cloud-init takes its name, a key, a file, a command and
# a user of it.
t_debian_is_set_up() {
	cat >"$T/user.yaml" <<-'END'
	#cloud-config
	users:
	  - default
	  - name: eve
	    plain_text_passwd: evil
	    lock_passwd: false
	write_files:
	  - path: /etc/motd
	    content: "set up by vmd\n"
	runcmd:
	  - "exec >/dev/ttyS0; echo; echo tiny: ran $(hostname) $(cat /etc/motd)"
	  - "id -un eve; grep -c me@here /home/debian/.ssh/authorized_keys"
	  - "echo tiny: over >/dev/ttyS0"
	END
	echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me@here' >"$T/key.pub"
	vm deb "boot \"$G/vmlinuz\"" "initrd \"$G/initrd\"" \
	    "cmdline \"$base root=/dev/vda rw cloud-init=enabled\"" \
	    "disk \"$G/debian.raw\"" 'memory 512M' 'cpus 2' "cloud-init {" \
	    "user-data \"$T/user.yaml\"" "ssh-key \"$T/key.pub\"" \
	    "hostname fresh.example.org" "}" | vmd_up
	start deb
	prints deb "^tiny: over" 300
	grep -q '^tiny: ran fresh set up by vmd' "$T/deb.console"
	[[ $(grep -A2 '^tiny: ran' "$T/deb.console" | tr -d '\r') = *$'\neve\n1'* ]]
}

meta() { tr -d '\r' <"$T/$1.console" | sed -n "s/^$2: \"\(.*\)\"$/\1/p"; }

t_guest_mounts_its_seed() {
	local id
	seed_files
	truncate -s 16M "$T/disk"
	tiny one shell "disk \"$T/disk\"" "cloud-init {" \
	    "user-data \"$T/user.yaml\"" "network-config \"$T/net.yaml\"" \
	    "ssh-key \"$T/key.pub\"" "hostname one.example.org" "}" | vmd_up
	mark
	mounted one
	[[ $(value one user) = "$(md5sum <"$T/user.yaml")" ]]
	id=$(meta one instance-id)
	[[ $id =~ ^one-[0-9a-f]{16}$ ]]
	[[ $(meta one local-hostname) = one.example.org ]]
	grep -qxF '  - "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 \"me\" \\ here"' \
	    < <(tr -d '\r' <"$T/one.console")
	key one 'echo "tiny: net $(cat /mnt/network-config)"'
	prints one "^tiny: net version: 2" 30
	key one 'cd /sys/block/vdb; echo "tiny: disk $(cat ro) $(cat serial)"'
	prints one "^tiny: disk 1 cloud-init" 30
	key one 'echo "tiny: mode $(stat -c %a /mnt/user-data)"'
	prints one "^tiny: mode 400" 30
	grep -Eq '^ +vioblk1 +[1-9]' < <(vmctl status -v one)
	[[ -z $(device_process one seed0) ]]
	vmctl stop -fw one
	readers_off
	clean 10

	say "the same data, then other data"
	mounted one
	[[ $(meta one instance-id) = "$id" ]]
	vmctl stop -fw one
	echo '# changed' >>"$T/user.yaml"
	mounted one
	[[ $(value one user) = "$(md5sum <"$T/user.yaml")" ]]
	[[ $(meta one instance-id) != "$id" ]]
}

# The template's files, which she may not read, and her VM's name.
t_instance_of_a_template() {
	seed_files
	{
		echo 'socket owner root:vmusers'
		tiny template shell "cloud-init {" \
		    "user-data \"$T/user.yaml\"" "hostname template" "}" \
		    "allow instance { owner alice }"
	} | vmd_up
	as alice vmctl start -t template mine 2>&1 | tee "$T/start.out"
	record mine "$(sed -n 's/.*tty \(.*\)/\1/p' "$T/start.out")"
	prints mine "tiny: shell" 100
	key mine 'mkdir -p /mnt; mount -t iso9660 -o ro /dev/vda /mnt'
	key mine 'cat /mnt/meta-data; echo "tiny: user $(md5sum </mnt/user-data)"'
	prints mine "^tiny: user [0-9a-f]" 30
	[[ $(value mine user) = "$(md5sum <"$T/user.yaml")" ]]
	[[ $(meta mine local-hostname) = mine ]]
	refused as alice vmctl start -t template her_own
	says "not the name of a host"
}

t_refusals() {
	seed_files
	mkfifo "$T/fifo"
	truncate -s 1048577 "$T/large"
	printf -- '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n' >"$T/private"
	: >"$T/gone"
	{
		tiny gone idle "cloud-init { user-data \"$T/gone\" }"
		tiny fifo idle "cloud-init { user-data \"$T/fifo\" }"
		tiny large idle "cloud-init { user-data \"$T/large\" }"
		tiny private idle "cloud-init { ssh-key \"$T/private\" }"
		tiny empty idle "cloud-init { ssh-key \"$T/empty\" }"
	} >"$T/vm.conf.in"
	: >"$T/empty"
	vmd_up <"$T/vm.conf.in"
	rm "$T/gone"
	mark
	refused vmctl start gone
	says "user-data .*gone: No such file"
	refused vmctl start fifo
	says "user-data .*fifo: not a regular file"
	refused vmctl start large
	says "user-data .*large: larger than 1024 KiB"
	refused vmctl start private
	says "cloud-init: ssh-key: line 1 is not a public key"
	refused vmctl start empty
	says "cloud-init: ssh-key: no key in the file"
	clean 10
}
