# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Shared by the lab's and the guest's build scripts (sourced, bash).
#
# The cache holds one directory per artefact and hash of its inputs:
#	kernel-HASH	(one for each version) vmlinuz, vmlinux (uncompressed, PVH), modules, busybox
#	initrd-HASH	the lab host's initrd and init
#	lab-HASH	its root file system
#	i386-HASH	Debian's 32-bit kernels and a tiny guest for each
#	qemu-HASH	QEMU of backports, unpacked
#	guest-HASH	guest.ext4: a Debian guest's disk, kernel and initrds
# A directory appears under its name only when it is complete (rename), so a
# build that was interrupted is never used.  It is outside the build
# directory: `make clean' must not cost ten minutes.

set -euo pipefail
export LC_ALL=C.UTF-8

# shellcheck disable=SC2034 # for those who source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
suite=bookworm
kernel_meta=linux-image-cloud-amd64

default_cache() {
	if [[ -n ${XDG_CACHE_HOME:-} ]]; then
		echo "$XDG_CACHE_HOME/vmm-lab"
	elif [[ -n ${HOME:-} && -w $HOME ]]; then
		echo "$HOME/.cache/vmm-lab"
	else
		echo "/var/tmp/vmm-lab-$(id -u)"
	fi
}
cache=${VMM_LAB_CACHE:-$(default_cache)}

say() { echo "lab: $*" >&2; }
die() {
	say "$*"
	exit 1
}

# as_owner CMD...: run so that files in an archive keep their owners, as root
# or with the fiction of it.
as_owner() {
	if [[ $(id -u) = 0 ]]; then "$@"; else fakeroot -- "$@"; fi
}

# hash_of FILE... [-- STRING...]: 16 digits that change with any input.
hash_of() {
	local a
	{
		while [[ $# -gt 0 && $1 != -- ]]; do
			cat "$1"
			shift
		done
		for a in "$@"; do printf '%s\n' "$a"; done
	} | sha256sum | cut -c1-16
}

# The machine's own apt sources for this release (not backports), as
# one-line entries: whoever runs this has a mirror that works for him.
apt_sources() {
	# shellcheck disable=SC2016
	apt-get indextargets --format \
	    '$(CREATED_BY)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)' |
	    awk -F'|' -v s="$suite" '
		$1 == "Packages" && $4 == "main" && ($3 == s ||
		    $3 == s "-updates" || $3 == s "-security") &&
		    !seen[$2 $3]++ {
			print "deb [signed-by=/usr/share/keyrings/" \
			    "debian-archive-keyring.gpg] " $2 " " $3 " main"
		}'
}

# Only what says how to reach a mirror (proxies, certificates, retries).
apt_transport() {
	apt-config dump 2>/dev/null |
	    grep -E '^Acquire::(http|https|ftp|Retries)(::| ).*"[^"]+";$' || true
}

# candidate PACKAGE FIELD: of the version of this release, not of backports.
candidate() {
	apt-cache --no-all-versions show "$1" 2>/dev/null |
	    awk -v f="$2: " 'index($0, f) == 1 && !n++ {
		print substr($0, length(f) + 1) }'
}

need_apt_lists() {
	[[ -n $(candidate "$kernel_meta" Version) ]] && return 0
	say "refreshing the package lists"
	as_root apt-get -q update >&2
	[[ -n $(candidate "$kernel_meta" Version) ]] ||
		die "$kernel_meta is in none of this machine's apt sources"
}

as_root() {
	if [[ $(id -u) = 0 ]]; then "$@"; else sudo "$@"; fi
}

# apt_fetch DIR PACKAGE...: the .deb files, installed nowhere.  Lists may be
# older than the mirror, hence the second try.
apt_fetch() {
	local dir=$1
	shift
	fetch_try() { (cd "$dir" && apt-get -qq -o APT::Sandbox::User=root \
	    download "$@") >&2; }
	fetch_try "$@" || {
		as_root apt-get -q update >&2
		fetch_try "$@"
	}
}

# debootstrap_tar OUT LIST [mmdebstrap option...]: a minimal system with the
# packages of file LIST, as a tar without device nodes.  Downloads are kept.
debootstrap_tar() {
	local out=$1 list=$2 opts
	shift 2
	opts=$(mktemp)
	mkdir -p "$cache/apt"
	apt_transport >"$opts"
	# The $1 is mmdebstrap's: the root directory.
	# shellcheck disable=SC2016
	apt_sources | nice mmdebstrap --quiet --variant=minbase \
	    --format=tar --skip=essential/unlink,check/signed-by \
	    --include="$(grep -v '^#' "$list" | tr -s ' \n' ',')" \
	    --aptopt='Apt::Install-Recommends "false"' \
	    --aptopt='Acquire::Languages "none"' --aptopt="$opts" \
	    --dpkgopt='path-exclude=/usr/share/man/*' \
	    --dpkgopt='path-exclude=/usr/share/doc/*' \
	    --dpkgopt='path-exclude=/usr/share/info/*' \
	    --dpkgopt='path-exclude=/usr/share/locale/*' \
	    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' \
	    --setup-hook="sync-in '$cache/apt' /var/cache/apt/archives" \
	    --customize-hook="sync-out /var/cache/apt/archives '$cache/apt'" \
	    "$@" "$suite" - - >"$out" || {
		rm -f "$opts" "$out"
		die "mmdebstrap failed"
	}
	rm -f "$opts"
	rm -rf "$cache/apt/lock" "$cache/apt/partial"
}

# pack_initrd OUT INIT [FILE] -- MODULE...: our script as /init, busybox, more
# files, and modules in load order.  Needs $lab_kernel.
pack_initrd() {
	local out=$1 init=$2 d ver m f
	: "${lab_kernel:?}"
	shift 2
	ver=$(cat "$lab_kernel/version")
	d=$(mktemp -d)
	mkdir -p "$d"/{bin,dev,lib,proc,sys,root,lower,upper}
	cp "$lab_kernel/busybox" "$d/bin/busybox"
	install -m 755 "$init" "$d/init"
	while [[ $1 != -- ]]; do
		install -m 755 "$1" "$d/"
		shift
	done
	shift
	for m in "$@"; do
		modprobe -d "$lab_kernel/modules" -S "$ver" \
		    --show-depends "$m"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
	    while read -r f; do
		m=${f##*/}
		m=${m%.xz}
		case $f in
		*.xz) xz -dc "$f" >"$d/lib/$m" ;;
		*) cp "$f" "$d/lib/" ;;
		esac
		strip --strip-debug "$d/lib/$m"
		echo "$m" >>"$d/lib/order"
	done
	# The kernel opens /dev/console before /init runs.
	(cd "$d" && find . | sort | cpio --quiet -o -H newc -R 0:0) >"$out"
	rm -rf "$d"
}

# Of backports, by version: "" when this machine's sources have none.
kernel_in_backports() {
	apt-cache madison "$kernel_meta" 2>/dev/null |
	    awk '$3 ~ /^6[.]12[.]/ && !n++ { print $3 }'
}

# artefact NAME HASH FUNCTION: sets $made to the directory, building it by
# FUNCTION (in a temporary directory) when it is not there; one builder at a
# time.  Artefacts that nothing used for a week go.
artefact() {
	local name=$1 hash=$2 build=$3 t0=$SECONDS old
	made=$cache/$name-$hash
	mkdir -p "$cache"
	if [[ ! -d $made ]]; then
		exec {lock}>"$cache/lock"
		flock "$lock"
	fi
	if [[ ! -d $made ]]; then
		say "building $name (${made##*/})"
		rm -rf "$cache/$name"-*.tmp
		mkdir -p "$made.tmp"
		"$build" "$made.tmp"
		mv "$made.tmp" "$made"
		say "built $name in $((SECONDS - t0)) s"
		for old in "$cache/$name"-*; do
			[[ -n $(find "$old" -maxdepth 0 -mtime +7) ]] &&
				rm -rf "$old"
		done
	fi
	[[ -n ${lock:-} ]] && exec {lock}>&-
	unset lock
	touch "$made"
}
