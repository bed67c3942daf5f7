/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
/*
 * int vmx_switch(u64 *gpr, bool launched, const struct vmx_spec *, u64 *rsp)
 *
 * The world switch: SDM vol. 3 "VMLAUNCH/VMRESUME", "Loading Host State".
 * Called with IRQs off.  gpr[] is indexed as in instructions; RSP is in the
 * VMCS.  SPEC_CTRL is the guest's from the last branch before the entry to
 * the first after the exit.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/unwind_hints.h>

#define GPR(n)	       (8 * (n))
#define SPEC_GUEST     0
#define SPEC_HOST      8
#define MSR_SPEC       0x48
#define FIELD_HOST_RSP 0x6c14

	.text
SYM_FUNC_START(vmx_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdx
	push	%rdi
	cmp	%rsp, (%rcx)		/* mostly as at the last entry */
	je	6f
	mov	%rsp, (%rcx)
	mov	$FIELD_HOST_RSP, %eax
	vmwrite	%rsp, %rax
6:
	test	%rdx, %rdx
	jz	1f
	mov	%rdx, %r8
	mov	SPEC_GUEST(%r8), %eax
	mov	SPEC_GUEST + 4(%r8), %edx
	mov	$MSR_SPEC, %ecx
	wrmsr
1:
	bt	$0, %esi		/* CF: launched, to the jump below */
	mov	GPR(0)(%rdi), %rax
	mov	GPR(1)(%rdi), %rcx
	mov	GPR(2)(%rdi), %rdx
	mov	GPR(3)(%rdi), %rbx
	mov	GPR(5)(%rdi), %rbp
	mov	GPR(6)(%rdi), %rsi
	mov	GPR(8)(%rdi), %r8
	mov	GPR(9)(%rdi), %r9
	mov	GPR(10)(%rdi), %r10
	mov	GPR(11)(%rdi), %r11
	mov	GPR(12)(%rdi), %r12
	mov	GPR(13)(%rdi), %r13
	mov	GPR(14)(%rdi), %r14
	mov	GPR(15)(%rdi), %r15
	mov	GPR(7)(%rdi), %rdi
	/* VERW changes ZF alone. */
#ifdef VM_CLEAR_CPU_BUFFERS
	VM_CLEAR_CPU_BUFFERS
#elif defined(CLEAR_CPU_BUFFERS)
	CLEAR_CPU_BUFFERS
#endif
	UNWIND_HINT_SAVE
	jnc	2f
	vmresume
	jmp	3f
2:
	vmlaunch
3:
	/* The instruction failed: nothing was loaded. */
	pop	%rdi
	mov	$1, %ebp
	jmp	4f

SYM_INNER_LABEL(vmx_exit_to, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rax
	mov	8(%rsp), %rax
	mov	%rcx, GPR(1)(%rax)
	mov	%rdx, GPR(2)(%rax)
	mov	%rbx, GPR(3)(%rax)
	mov	%rbp, GPR(5)(%rax)
	mov	%rsi, GPR(6)(%rax)
	mov	%rdi, GPR(7)(%rax)
	mov	%r8, GPR(8)(%rax)
	mov	%r9, GPR(9)(%rax)
	mov	%r10, GPR(10)(%rax)
	mov	%r11, GPR(11)(%rax)
	mov	%r12, GPR(12)(%rax)
	mov	%r13, GPR(13)(%rax)
	mov	%r14, GPR(14)(%rax)
	mov	%r15, GPR(15)(%rax)
	pop	GPR(0)(%rax)
	pop	%rdi
	xor	%ebp, %ebp
4:
	/* No RET before the return stack is ours again. */
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, \
	    X86_FEATURE_RSB_VMEXIT, X86_FEATURE_RSB_VMEXIT_LITE
	pop	%r8
	test	%r8, %r8
	jz	5f
	mov	SPEC_HOST(%r8), %eax
	mov	SPEC_HOST + 4(%r8), %edx
	mov	$MSR_SPEC, %ecx
	wrmsr
5:
	lfence
	CLEAR_BRANCH_HISTORY_VMEXIT
	mov	%ebp, %eax
	/* Nothing of the guest's for speculation to use. */
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%edi, %edi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET
SYM_FUNC_END(vmx_switch)
