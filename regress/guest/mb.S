/* SPDX-License-Identifier: ISC */
/*
 * Where mb.c begins, with a header of "Multiboot Specification" 0.6.96.  FLAT:
 * with addresses in it, for an image that is no ELF file.
 */
#define MAGIC 0x1badb002
#ifdef FLAT
#define FLAGS 0x10003
#else
#define FLAGS 0x00003
#endif

	.section .note.GNU-stack, "", @progbits

	.section .header, "a", @progbits
	.balign	4
header:
	.long	MAGIC, FLAGS, -(MAGIC + FLAGS)
#ifdef FLAT
	.long	header, text_start, data_end, kernel_end, start
#endif

	.text
	.globl	start
start:
	movl	%eax, regs
	movl	%ebx, regs + 4
	movl	%cr0, %eax
	movl	%eax, regs + 8
	movw	%cs, regs + 12
	movw	%ds, regs + 16
	movw	%es, regs + 20
	movw	%fs, regs + 24
	movw	%gs, regs + 28
	movw	%ss, regs + 32
	movl	$stack, %esp
	pushfl
	popl	regs + 36
	call	mb
1:	hlt
	jmp	1b

	.bss
	.balign	16
	.skip	4096
stack:
