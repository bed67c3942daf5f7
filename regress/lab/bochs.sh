# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# The lab on other processors: Bochs emulates VMX and SVM, of one CPU.  It has no
# virtio, so that what `run' gives to QEMU as disks and ports are files on a
# CD-ROM and serial ports here (sourced by run, after env.sh).

bochs_modules="ata_piix sr_mod isofs loop squashfs overlay"

# bochs_model NAME: Bochs's name for it.  Of AMD's: ryzen and turion (without NPT)
# end the emulator where a guest has a triple fault (exits/triple_fault: at the
# guest's UD2, with "exception(): 3rd (13) exception with no resolution", although
# SHUTDOWN is intercepted).  VMRUN does not load CR2 (regs/system_registers_seen);
# where #PF is intercepted our driver does, for KVM's guests nobody: on turion
# vmd says "unfit" of /dev/kvm.  An INT n that is injected comes by another vector
# (events/software_interrupts, events/real_mode), and an error code of a fault in a
# delivery has P set (faults/fault_in_delivery).  DR6 does not tell what was met, and
# a trap by TF ends the emulator (debug/, on ryzen events/trap_before_interrupt).  On
# ryzen io/string_faults misses CR2 and regs/xsave the upper half of a register.
# KVM fails in all of these on ryzen, and in others.  In priv/level_0 our driver leaves
# CR0 to the processor: PG without PE is no #GP here, and the emulator ends.
bochs_model() {
	case $1 in
	ivybridge) echo corei7_ivy_bridge_3770k ;;
	haswell) echo corei7_haswell_4770 ;;
	lynnfield) echo corei5_lynnfield_750 ;;
	penryn) echo core2_penryn_t9600 ;;
	ryzen) echo ryzen ;;
	turion) echo turion64_tyler ;;
	*)
		say "LAB is ivybridge, haswell, lynnfield, penryn, ryzen, turion, qemu" \
		    "or qemu-nonpt"
		return 1
		;;
	esac
}

bochs_kvm() { # NAME
	case $1 in
	ryzen | turion) echo kvm-amd ;;
	*) echo kvm-intel ;;
	esac
}

# The boot CD-ROM: kernel, initrd, root, payload, and of the guest images the
# kernels and what boots without a disk.
bochs_iso() { # DIR
	local d=$1/cd f
	mkdir -p "$d/isolinux"
	# shellcheck disable=SC2154 # of run
	if [[ -n $guest ]]; then
		mkdir "$d/files"
		for f in "$(dirname "$guest")"/files/{vmlinuz*,tiny*}; do
			ln -s "$f" "$d/files/"
		done
	fi
	cp /usr/lib/ISOLINUX/isolinux.bin \
	    /usr/lib/syslinux/modules/bios/ldlinux.c32 "$d/isolinux/"
	cp "${lab_kernel:?}/vmlinuz" "$d/isolinux/"
	# shellcheck disable=SC2086,SC2154 # words; here: of run
	pack_initrd "$1/initrd" "$here/initrd-init" "$here/lab-init" \
	    -- $bochs_modules "$(bochs_kvm "$LAB")"
	gzip -1 <"$1/initrd" >"$d/isolinux/initrd"
	ln "$1/payload" "$d/payload" # both below $tmp
	ln -s "${lab_root:?}" "$d/root"
	# Bochs's MWAITX, by which Linux waits on ryzen, knows no timer.
	cat >"$d/isolinux/isolinux.cfg" <<-X
		SERIAL 0 115200
		DEFAULT lab
		PROMPT 0
		TIMEOUT 1
		LABEL lab
		 KERNEL vmlinuz
		 INITRD initrd
		 APPEND console=ttyS0,115200 quiet loglevel=4 panic=-1 tsc=reliable no_timer_check mitigations=off nokaslr cryptomgr.notests 8250.nr_uarts=4 clearcpuid=mwaitx
	X
	xorriso -as mkisofs -quiet -f -R -o "$1/lab.iso" \
	    -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot \
	    -boot-load-size 4 -boot-info-table "$d" 2>/dev/null
	rm -rf "$d" "$1/initrd"
}

# bochs_prepare DIR MODEL MEMORY CONSOLE: DIR/bochsrc, for a `run' whose files
# are in DIR.  Bochs writes messages of its speed that can block it, hence the
# ignored ones; it waits in its debugger until it is told to go.  LAB_TRACE=N
# has it write, from the first XCHG BX, BX on, after as many others N instructions.
bochs_prepare() {
	bochs_iso "$1"
	echo c >"$1/bochs.go"
	[[ -z ${LAB_TRACE:-} ]] || printf '%s\n' "s $LAB_TRACE" "trace on" \
	    "s $LAB_TRACE" "trace off" c >>"$1/bochs.go"
	cat >"$1/bochsrc" <<-X
		plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=0, parallel=0, serial=1
		config_interface: textconfig
		display_library: rfb, options="timeout=0"
		cpu: model=$2, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1, cpuid_limit_winnt=0
		memory: guest=$3, host=$3
		romimage: file=/usr/share/bochs/BIOS-bochs-latest
		vgaromimage: file=/usr/share/vgabios/vgabios.bin
		clock: sync=none, time0=utc
		pci: enabled=1, chipset=i440fx
		magic_break: enabled=$((${LAB_TRACE:-0} != 0))
		ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
		ata0-master: type=cdrom, path=$1/lab.iso, status=inserted
		boot: cdrom
		com1: enabled=1, mode=file, dev=$4
		com2: enabled=1, mode=file, dev=$1/out.out
		com3: enabled=1, mode=file, dev=$1/rc
		com4: enabled=1, mode=file, dev=$1/files
		log: ${4%.console}.bochs
		panic: action=fatal
		error: action=ignore
		info: action=ignore
		debug: action=ignore
	X
}
