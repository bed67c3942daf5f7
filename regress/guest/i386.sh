# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# Debian's 32-bit kernels, without and with PAE, and the tiny guest for each
# (sourced by build).  apt gets lists of its own in the cache: which
# architectures this machine installs does not change.

i386_flavours="686 686-pae"

# apt32 PROGRAM ARGUMENT...: of apt, for i386.
apt32() {
	# shellcheck disable=SC2154 # env.sh's
	local d=$cache/apt32 program=$1
	shift
	"$program" -c "$d/conf" "$@"
}

# Are they in this machine's sources?
i386_found() {
	local d=$cache/apt32
	mkdir -p "$d/lists/partial"
	apt_sources >"$d/sources.list"
	{
		apt_transport
		cat <<-EOT
			APT::Architecture "i386";
			#clear APT::Architectures;
			APT::Architectures { "i386"; };
			APT::Sandbox::User "root";
			Acquire::Languages "none";
			Dir::State::Lists "$d/lists";
			Dir::Etc::SourceList "$d/sources.list";
			Dir::Etc::SourceParts "-";
			Dir::Cache::pkgcache "";
			Dir::Cache::srcpkgcache "";
		EOT
	} >"$d/conf"
	# A mirror without one of the suites: what is there counts.
	apt32 apt-get -qq update >&2 || true
	[[ -n $(apt32 apt-cache show linux-image-686 2>/dev/null) ]] && return
	say "no 32-bit kernels in this machine's sources: not tested"
	return 1
}

build_i386() {
	local out=$1 f debs lab_kernel
	debs=$(mktemp -d)
	for f in $i386_flavours; do
		apt32 apt-cache show "linux-image-$f" |
		    sed -n 's/^Depends: \([^ ]*\).*/\1/p' | sed 1q
	done >"$debs/names"
	# shellcheck disable=SC2046 # names
	(cd "$debs" && apt32 apt-get -qq download busybox-static \
	    $(cat names)) >&2
	dpkg-deb -x "$debs"/busybox-static_*.deb "$debs/bb"
	for f in $i386_flavours; do
		lab_kernel=$debs/$f
		mkdir -p "$lab_kernel/modules"
		dpkg-deb -x "$debs"/linux-image-*-[0-9]*"-${f}_"*.deb \
		    "$lab_kernel/root"
		mv "$lab_kernel/root/lib" "$lab_kernel/modules/"
		ls "$lab_kernel/modules/lib/modules" >"$lab_kernel/version"
		depmod -b "$lab_kernel/modules" "$(cat "$lab_kernel/version")"
		cp "$debs/bb/bin/busybox" "$lab_kernel/"
		mv "$lab_kernel"/root/boot/vmlinuz-* "$out/vmlinuz-$f"
		# shellcheck disable=SC2154,SC2086 # build's, and words
		pack_initrd "$out/tiny-$f.cpio" "$here/tiny-init" \
		    -- $tiny_modules
		rm -rf "$lab_kernel"
	done
	rm -rf "$debs"
}
