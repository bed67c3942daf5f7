/* SPDX-License-Identifier: ISC */
/*
 * Where mb2.c begins, with a header of "Multiboot2 Specification" 2.0.  FLAT:
 * with addresses in it, for an image that is no ELF file; else one that could
 * be moved.
 */
#define MAGIC 0xe85250d6
#define LEN   (header_end - header)

	.section .note.GNU-stack, "", @progbits

	.section .header, "a", @progbits
	.balign	8
header:
	.long	MAGIC, 0, LEN, -(MAGIC + LEN)
	/* information request */
	.word	1, 0
	.long	32, 1, 2, 4, 6, 14, 15
	/* module alignment */
	.word	6, 0
	.long	8
#ifdef FLAT
	.word	2, 0
	.long	24, header, text_start, data_end, kernel_end
	.word	3, 0
	.long	12, start, 0
#else
	/* relocatable, where it is rather than elsewhere */
	.word	10, 0
	.long	24, 0x100000, 0xffffffff, 4096, 0
#endif
	.word	0, 0
	.long	8
header_end:

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
	call	mb2
1:	hlt
	jmp	1b

	.bss
	.balign	16
	.skip	4096
stack:
