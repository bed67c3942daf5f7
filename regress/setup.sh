#!/bin/bash
# SPDX-License-Identifier: ISC
#
# usage: setup.sh [package ...]			(`make setup')
#
# The Debian packages that building and testing need, those named besides, and
# the user _vmd.  Does and prints nothing when all are there.  QEMU comes from
# backports if this machine can have it: the older one has a fault in its
# software SVM that ends the lab when a guest writes CR8 while an interrupt is
# pending.

set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

packages="
	build-essential bison pkg-config libevent-dev libbsd-dev libseccomp-dev
	liburing-dev libcmocka-dev libjansson-dev zlib1g-dev
	libdeflate-dev libzstd-dev libmnl-dev libmd-dev libarchive-dev libtls-dev openssl xorriso nftables iproute2 passt mandoc sparse cppcheck clang clang-format shellcheck
	mmdebstrap e2fsprogs squashfs-tools cpio zstd xz-utils lz4 kmod
	fakeroot uidmap qemu-utils acpica-tools expect socat jq procps
	debian-archive-keyring rsync zsh seabios grub-common grub-pc-bin
	ovmf grub-efi-amd64-bin dosfstools mtools fdisk
	bochs bochsbios vgabios isolinux syslinux-common"
list=/etc/apt/sources.list.d/vmm-backports.list
updated=''

say() { echo "setup: $*"; }

as_root() {
	if [[ $(id -u) = 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo --preserve-env=DEBIAN_FRONTEND "$@"
	else
		say "must be root to run: $*" >&2
		exit 1
	fi
}

installed() {
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) = \
	    installed ]]
}

update() {
	[[ -z $updated ]] || return 0
	say "refreshing the package lists"
	as_root apt-get -qq update
	updated=y
}

install_missing() {
	local p missing=()
	for p in $packages "$@"; do
		installed "$p" || missing+=("$p")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0
	update
	say "installing ${missing[*]}"
	as_root apt-get -qq -y --no-install-recommends install \
	    "${missing[@]}" >/dev/null
}

# The machine's own mirror of suite bookworm, "" when there is none.
mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format \
	    '$(CREATED_BY)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' |
	    awk -F'|' '$1 == "Packages" && $2 == "bookworm" &&
		$3 == "main" && !n++ { print $4 }'
}

has_backports() {
	# shellcheck disable=SC2016
	grep -qx bookworm-backports \
	    < <(apt-get indextargets --format '$(CODENAME)')
}

qemu_in_backports() {
	grep -q bookworm-backports \
	    < <(apt-cache madison qemu-system-x86 2>/dev/null)
}

add_backports() {
	local url
	has_backports && return 0
	url=$(mirror)
	[[ -n $url ]] || return 1
	say "adding bookworm-backports from this machine's mirror ($list)"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
	    "$url bookworm-backports main" | as_root tee "$list" >/dev/null
	updated=''
	update && qemu_in_backports && return 0
	say "the mirror has no bookworm-backports"
	as_root rm -f "$list"
	updated=''
	update
	return 1
}

# The three packages of QEMU depend on each other by version.
install_qemu() {
	local from=()
	installed qemu-system-x86 && return 0
	# shellcheck source=/dev/null
	if [[ $(. /etc/os-release && echo "${VERSION_CODENAME:-}") = \
	    bookworm ]] && add_backports; then
		update
		qemu_in_backports && from=(-t bookworm-backports)
	else
		update
	fi
	say "installing qemu-system-x86 ${from[*]}"
	as_root apt-get -qq -y --no-install-recommends "${from[@]}" install \
	    qemu-system-x86 >/dev/null
}

# The kernels that the lab boots, by metapackage: Debian 12's own, and the one
# of backports; the driver is built for both.
kernel_meta=linux-headers-cloud-amd64

# headers_of VERSION-PATTERN: the package that the metapackage stands for.
headers_of() {
	local ver
	# Nothing may end the pipeline early.
	ver=$(apt-cache madison "$kernel_meta" 2>/dev/null |
	    awk -v p="^$1" '$3 ~ p && !n++ { print $3 }')
	[[ -n $ver ]] || return 0
	apt-cache show "$kernel_meta=$ver" |
	    sed -n 's/^Depends: \([^ ]*\).*/\1/p' | sed 1q
}

install_headers() {
	local v p missing=()
	[[ -n $(headers_of '6\\.1\\.') ]] || update
	for v in '6\\.1\\.' '6\\.12\\.'; do
		p=$(headers_of "$v")
		[[ -z $p ]] || installed "$p" || missing+=("$p")
	done
	[[ ${#missing[@]} -gt 0 ]] || return 0
	say "installing ${missing[*]}"
	as_root apt-get -qq -y --no-install-recommends install \
	    "${missing[@]}" >/dev/null
}

# Whom vmd's processes become; without it the daemon's tests are skipped.
make_user() {
	local here out
	here=$(cd "$(dirname "$0")" && pwd)
	! getent passwd _vmd >/dev/null || return 0
	if ! command -v systemd-sysusers >/dev/null; then
		say "no systemd-sysusers to make the user _vmd: some tests will be skipped"
		return 0
	fi
	say "making the user _vmd"
	out=$(as_root systemd-sysusers "$here/../etc/vmd.sysusers" 2>&1) && return
	say "systemd-sysusers: $out" >&2
	return 1
}

install_missing "$@"
install_qemu
install_headers
make_user
