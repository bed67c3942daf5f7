/* SPDX-License-Identifier: ISC */
/*
 * The guest of the host probe: from real mode to long mode, a page fault, an
 * interrupt through the local APIC, ring 3 and back by SYSCALL and by IRETQ
 * and an interrupt gate; every step writes its number to a port.
 * Intel SDM volume 3, "Initializing IA-32e Mode", "Interrupt and Exception
 * Handling", "Extended XAPIC (x2APIC)"; volume 2, SYSCALL.
 *
 * Memory
 *   1000 code        4000 PML4   5000 PDPT   6000 PD   7000 page table
 *   8000 GDT         8800 TSS    9000 IDT
 *   a000 top of the user stack   b000 top of the kernel stack
 *   f000 not present
 */
#include <assert.h>
#include <string.h>
#include "probe.h"
#include "probe_guest.h"

#define PML4 0x4000
#define PDPT 0x5000
#define PD   0x6000
#define PT   0x7000
#define GDT  0x8000
#define TSS  0x8800
#define IDT  0x9000
#define HOLE 0xf000
#define RSP0 0xb000

#define SEL_CODE64 0x18
#define SEL_TSS	   0x40
#define VEC_FAULT  14
#define VEC_INT	   0x42

extern const uint8_t probe_code[], probe_code_end[], probe_on_fault[],
    probe_on_irq[], probe_on_int[];

/*
 * A(x) is x's address in the guest.  STEP n and VALUE write to the ports
 * above; both clobber dx, STEP al.
 */
__asm__(".pushsection .rodata, \"a\"\n"
	".macro STEP n\n"
	"	movw $0x500, %dx\n"
	"	movb $\\n, %al\n"
	"	outb %al, %dx\n"
	".endm\n"
	".macro VALUE\n"
	"	movw $0x504, %dx\n"
	"	outl %eax, %dx\n"
	".endm\n"
	".macro SETMSR n, lo, hi=0\n"
	"	movl $\\n, %ecx\n"
	"	movl $\\lo, %eax\n"
	"	movl $\\hi, %edx\n"
	"	wrmsr\n"
	".endm\n"
	".globl probe_code, probe_code_end\n"
	".globl probe_on_fault, probe_on_irq, probe_on_int\n"
	".hidden probe_code, probe_code_end\n"
	".hidden probe_on_fault, probe_on_irq, probe_on_int\n"

	".code16\n"
	"probe_code:\n"
	"	cli\n"
	"	STEP 1\n"
	"	lgdtl (0x1000 + 9f - probe_code)\n"
	"	movl %cr0, %eax\n"
	"	orl $1, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x08, $(0x1000 + 1f - probe_code)\n"

	".code32\n"
	"1:	movl $0x10, %eax\n"
	"	movl %eax, %ds\n"
	"	movl %eax, %es\n"
	"	movl %eax, %ss\n"
	"	movl $0xb000, %esp\n"
	"	STEP 2\n"
	"	movl %cr4, %eax\n"
	"	orl $0x20, %eax\n" /* PAE */
	"	movl %eax, %cr4\n"
	"	movl $0x4000, %eax\n"
	"	movl %eax, %cr3\n"
	"	movl $0xc0000080, %ecx\n" /* EFER: LME, SCE */
	"	rdmsr\n"
	"	orl $0x101, %eax\n"
	"	wrmsr\n"
	"	movl %cr0, %eax\n"
	"	orl $0x80000000, %eax\n"
	"	movl %eax, %cr0\n"
	"	ljmpl $0x18, $(0x1000 + 2f - probe_code)\n"

	".code64\n"
	"2:	movl $0x20, %eax\n"
	"	movl %eax, %ds\n"
	"	movl %eax, %es\n"
	"	movl %eax, %ss\n"
	"	movl $0xb000, %esp\n"
	"	STEP 3\n"
	"	lidt 8f(%rip)\n"
	"	movl $0x40, %eax\n"
	"	ltr %ax\n"
	/* a write to the hole */
	"	movl $0xf123, %edi\n"
	"	movb $1, (%rdi)\n"
	/* x2APIC on, software enable, lowest priority, IPI to itself */
	"3:	movl $0x1b, %ecx\n"
	"	rdmsr\n"
	"	orl $0xc00, %eax\n"
	"	wrmsr\n"
	"	SETMSR 0x80f, 0x1ff\n"
	"	SETMSR 0x808, 0\n"
	"	SETMSR 0x83f, 0x41\n"
	"	sti\n"
	"	movl $1000000, %ecx\n"
	"4:	cmpb $0, 7f(%rip)\n"
	"	jne 5f\n"
	"	pause\n"
	"	decl %ecx\n"
	"	jnz 4b\n"
	"5:	cli\n"
	/* ring 3 */
	"	SETMSR 0xc0000081, 0, 0x00280018\n" /* STAR */
	"	SETMSR 0xc0000082, (0x1000 + 6f - probe_code)\n" /* LSTAR */
	"	SETMSR 0xc0000084, 0x200\n" /* FMASK: IF */
	"	pushq $0x33\n"
	"	pushq $0xa000\n"
	"	pushq $2\n"
	"	pushq $0x3b\n"
	"	leaq 1f(%rip), %rax\n"
	"	pushq %rax\n"
	"	iretq\n"
	"1:	movl %cs, %ebx\n"
	"	syscall\n"
	"	int $0x42\n"
	"	ud2\n"
	/* the system call: back by IRETQ */
	"6:	movl $0xb000, %esp\n"
	"	STEP 6\n"
	"	movl %ebx, %eax\n"
	"	VALUE\n"
	"	pushq $0x33\n"
	"	pushq $0xa000\n"
	"	pushq $2\n"
	"	pushq $0x3b\n"
	"	pushq %rcx\n"
	"	iretq\n"

	"probe_on_fault:\n"
	"	popq %rbx\n" /* error code */
	"	STEP 4\n"
	"	movq %cr2, %rax\n"
	"	VALUE\n"
	"	movl %ebx, %eax\n"
	"	VALUE\n"
	"	leaq 3b(%rip), %rax\n"
	"	movq %rax, (%rsp)\n"
	"	iretq\n"

	"probe_on_irq:\n"
	"	STEP 5\n"
	"	movl $0x41, %eax\n"
	"	VALUE\n"
	"	SETMSR 0x80b, 0\n" /* EOI */
	"	incb 7f(%rip)\n"
	"	iretq\n"

	"probe_on_int:\n"
	"	STEP 7\n"
	"	movq 8(%rsp), %rax\n" /* CS of the interrupted code */
	"	VALUE\n"
	"	STEP 8\n"
	"1:	hlt\n"
	"	jmp 1b\n"

	"7:	.byte 0\n" /* interrupts taken */
	"8:	.word 0xfff\n" /* IDT */
	"	.quad 0x9000\n"
	"9:	.word 0x4f\n" /* GDT */
	"	.long 0x8000\n"
	"probe_code_end:\n"
	".purgem STEP\n"
	".purgem VALUE\n"
	".purgem SETMSR\n"
	".popsection\n");

static void
put64(uint8_t *ram, size_t at, uint64_t v)
{
	memcpy(ram + at, &v, sizeof(v));
}

static void
make_gdt(uint8_t *ram)
{
	static const uint64_t gdt[] = {
		0,
		0x00cf9b000000ffff, /* 08 code, 32 bits */
		0x00cf93000000ffff, /* 10 data */
		0x00af9b000000ffff, /* 18 code, 64 bits */
		0x00cf93000000ffff, /* 20 data */
		0x00cffb000000ffff, /* 28 user code, 32 bits: SYSRET's base */
		0x00cff3000000ffff, /* 30 user data */
		0x00affb000000ffff, /* 38 user code, 64 bits */
		0x0000890000000067 | (uint64_t)TSS << 16, /* 40 TSS */
		0,
	};

	static_assert(sizeof(gdt) == 0x50, "the GDT's limit is in the code");
	memcpy(ram + GDT, gdt, sizeof(gdt));
	put64(ram, TSS + 4, RSP0);
}

static void
make_gate(uint8_t *ram, unsigned vector, const uint8_t *handler, unsigned dpl)
{
	uint64_t at = PROBE_ENTRY + (uint64_t)(handler - probe_code);

	/* 64-bit interrupt gate, present; all handlers are below 64 KiB */
	put64(ram, IDT + vector * 16,
	    at | SEL_CODE64 << 16 | (uint64_t)(0x8e00 | dpl << 13) << 32);
}

/* One to one, user accessible, all but the hole. */
static void
make_pages(uint8_t *ram)
{
	uint64_t gpa;

	put64(ram, PML4, PDPT | 7);
	put64(ram, PDPT, PD | 7);
	put64(ram, PD, PT | 7);
	for (gpa = 0; gpa < PROBE_RAM; gpa += 4096) {
		if (gpa != HOLE)
			put64(ram, PT + gpa / 4096 * 8, gpa | 7);
	}
}

void
probe_guest(uint8_t ram[PROBE_RAM])
{
	memset(ram, 0, PROBE_RAM);
	memcpy(ram + PROBE_ENTRY, probe_code,
	    (size_t)(probe_code_end - probe_code));
	make_gdt(ram);
	make_gate(ram, VEC_FAULT, probe_on_fault, 0);
	make_gate(ram, PROBE_IRQ_VECTOR, probe_on_irq, 0);
	make_gate(ram, VEC_INT, probe_on_int, 3);
	make_pages(ram);
}
