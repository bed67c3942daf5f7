/* SPDX-License-Identifier: ISC */
/*
 * The atom: a guest that is there at once, for tests of many VMs and of many
 * lives of one.  It says so on COM1, waits for the power button and turns
 * itself off; or turns itself off at once, when its command line begins with
 * "off".
 *
 * After: "x86/HVM direct boot ABI" (entered in flat protected mode, ebx the
 * start info); ACPI, "PM1 Event Grouping", "PM1 Control Grouping"; "82093AA
 * I/O APIC"; Intel SDM volume 3, "Advanced Programmable Interrupt Controller".
 * Where the ACPI registers are and what S5 is: vmd/acpi.h.
 */
#define ENTRY_NOTE   18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define INFO_CMDLINE 24 /* of the start info */
#define CODE	     0x08
#define DATA	     0x10
#define VEC_SCI	     0x31
#define VEC_SPURIOUS 0xff
#define LAPIC_SVR    0xfee000f0
#define IOAPIC	     0xfec00000
#define SCI	     9
#define LEVEL	     0x8000
#define PM1_STATUS   0xb000
#define PM1_ENABLE   0xb002
#define PM1_CONTROL  0xb004
#define PWRBTN	     0x0100
#define S5	     0x3400 /* SLP_TYP 5, SLP_EN */
#define COM1	     0x3f8
#define COM1_LSR     0x3fd
#define THR_EMPTY    0x20

	.section .note.entry, "a", @note
	.long	4, 4, ENTRY_NOTE
	.asciz	"Xen"
	.long	start

	.section .note.GNU-stack, "", @progbits

	.text
	.globl	start
start:
	cli
	movl	$stack, %esp
	movl	INFO_CMDLINE(%ebx), %esi
	lgdt	gdtr
	ljmp	$CODE, $1f
1:	movl	$DATA, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	testl	%esi, %esi
	jz	wait
	cmpw	$0x666f, (%esi)		/* "of" */
	jne	wait
	cmpb	$0x66, 2(%esi)		/* "f" */
	jne	wait
	movl	$text_end, %esi
	call	say
	jmp	off

/* Level-triggered by the button, through the I/O APIC to our own. */
wait:
	movl	$pressed, %eax
	movl	$idt + VEC_SCI * 8, %edi
	movw	%ax, (%edi)
	movw	$CODE, 2(%edi)
	movw	$0x8e00, 4(%edi)	/* present, 32-bit interrupt gate */
	shrl	$16, %eax
	movw	%ax, 6(%edi)
	lidt	idtr
	movl	$0x100 | VEC_SPURIOUS, LAPIC_SVR
	movl	$0x11 + SCI * 2, IOAPIC
	movl	$0, IOAPIC + 0x10	/* for APIC 0 */
	movl	$0x10 + SCI * 2, IOAPIC
	movl	$LEVEL | VEC_SCI, IOAPIC + 0x10
	movw	$PM1_ENABLE, %dx
	movw	$PWRBTN, %ax
	outw	%ax, %dx
	movl	$text_idle, %esi
	call	say
	sti
1:	hlt
	jmp	1b

pressed:
	movw	$PM1_STATUS, %dx
	movw	$PWRBTN, %ax
	outw	%ax, %dx
	movl	$text_end, %esi
	call	say
off:
	movw	$PM1_CONTROL, %dx
	movw	$S5, %ax
	outw	%ax, %dx
1:	hlt
	jmp	1b

/* The text at esi. */
say:
	movw	$COM1_LSR, %dx
1:	inb	%dx, %al
	testb	$THR_EMPTY, %al
	jz	1b
	lodsb
	testb	%al, %al
	jz	2f
	movw	$COM1, %dx
	outb	%al, %dx
	jmp	say
2:	ret

	.section .rodata
text_idle:
	.asciz	"tiny: idle\r\n"
text_end:
	.asciz	"tiny: end\r\n"
	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff	/* all of it, code */
	.quad	0x00cf92000000ffff	/* all of it, data */
gdtr:
	.word	. - gdt - 1
	.long	gdt
idtr:
	.word	256 * 8 - 1
	.long	idt

	.bss
	.balign	8
idt:
	.skip	256 * 8
	.skip	1024
stack:
