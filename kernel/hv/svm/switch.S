/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
/*
 * void svm_switch(u64 *gpr, u64 vmcb_pa, u64 host_pa,
 *     const struct svm_spec *)
 *
 * The world switch: APM vol. 2 "VMRUN Instruction", "VMSAVE and VMLOAD
 * Instructions".  Called with GIF 0 and IF 0.  IF is set just before VMRUN so
 * that a physical interrupt ends the guest (V_INTR_MASKING takes the host's
 * IF for that); GIF 0 keeps the host itself undisturbed.
 *
 * gpr[] is indexed as in instructions; RAX and RSP are in the VMCB.  Between
 * VMRUN and VMLOAD of the host's state GS is the guest's: no per-CPU data.
 * SPEC_CTRL is the guest's from the last branch before VMRUN to the first
 * after it.
 */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>

#define GPR(n)	    (8 * (n))
#define SPEC_GUEST  0
#define SPEC_HOST   8
#define MSR_SPEC    0x48
#define HOST_PA	    16 /* on the stack, at VMRUN */

/* Kernels before 6.2 have the barrier, but not as a part of a macro. */
.macro FIRST_BRANCH_IS_OURS
#ifdef UNTRAIN_RET_VM
	UNTRAIN_RET_VM
#else
	UNTRAIN_RET
	ALTERNATIVE "", "call entry_ibpb", X86_FEATURE_IBPB_ON_VMEXIT
#endif
.endm

	.text
SYM_FUNC_START(svm_switch)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rdi
	test	%rcx, %rcx
	jz	1f
	mov	SPEC_GUEST(%rcx), %eax
	mov	SPEC_GUEST + 4(%rcx), %edx
	mov	$MSR_SPEC, %ecx
	wrmsr
1:
	mov	%rsi, %rax
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
#ifdef VM_CLEAR_CPU_BUFFERS
	VM_CLEAR_CPU_BUFFERS
#endif
	vmload	%rax
	sti
	vmrun	%rax
	cli
	vmsave	%rax
	mov	HOST_PA(%rsp), %rax
	vmload	%rax

	/*
	 * No RET before the return stack is ours again; where the kernel
	 * accounts for call depth, filling it writes per-CPU data.
	 */
	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RETPOLINE
	pop	%rax
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
	pop	%rcx
	test	%rcx, %rcx
	jz	2f
	mov	SPEC_HOST(%rcx), %eax
	mov	SPEC_HOST + 4(%rcx), %edx
	mov	$MSR_SPEC, %ecx
	wrmsr
2:
	pop	%rax
	FIRST_BRANCH_IS_OURS

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
SYM_FUNC_END(svm_switch)
