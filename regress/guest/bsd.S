/* SPDX-License-Identifier: ISC */
/*
 * Where bsd.c begins: what the loader left in the registers is kept before
 * anything changes it.  32-bit code, in long mode as well.
 */
#define EFER 0xc0000080

	.section .note.GNU-stack, "", @progbits

	.section .openbsd.randomdata, "aw", @progbits
	.globl	random, random_end
random:
	.skip	64
random_end:

	.text
	.globl	start
start:
	movl	%esp, regs
	pushfl
	popl	regs + 4
	movl	%cr0, %eax
	movl	%eax, regs + 8
	movl	%cr3, %eax
	movl	%eax, regs + 12
	movl	%cr4, %eax
	movl	%eax, regs + 16
	movl	$EFER, %ecx
	rdmsr
	movl	%eax, regs + 20
	movw	%cs, regs + 24
	movw	%ds, regs + 28
	movw	%es, regs + 32
	movw	%fs, regs + 36
	movw	%gs, regs + 40
	movw	%ss, regs + 44
	sgdt	gdtr
	movl	$stack, %esp
	call	bsd
1:	hlt
	jmp	1b

	.bss
	.balign	16
	.skip	4096
stack:
