// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * See native.h.  The registers go through a fixed area (STATE) that a few
 * lines of assembly, copied below 4 GiB, load and store by absolute address.
 * An instruction that does not fall through to the way back ends in a signal,
 * whose handler takes the registers from its frame.
 */
#include <asm/ldt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "native.h"
#include "cpu.h"
#include "x86.h"

#define STATE 0x1f000000
#define BLOB  0x1f004000

struct area {
	u64 gpr[16];
	u64 rflags; /* 128 */
	u64 host_rsp; /* 136 */
	u64 vectors; /* 144 */
	u64 load_gs_base; /* 152 */
	u16 ds, es, ss, gs; /* 160 */
	u64 gs_base; /* 168 */
	u32 target; /* 176, with the next a far pointer */
	u16 target_sel;
	u16 pad[5];
	u8 ymm[16][32]; /* 192 */
};
static struct area *const area = (struct area *)STATE;

static struct native_end *ending;
static u64 end_rip;
static u16 end_cs;
static volatile bool running, faulted;
static bool can16, can32;

const struct native_segment native_ldt[LDT_COUNT] = {
	[LDT_CODE16] = { NATIVE_CODE, 0xffff, 0x0fb },
	[LDT_DATA16] = { NATIVE_DATA, 0xffff, 0x0f3 },
	[LDT_SMALL] = { NATIVE_DATA, 0x7fe, 0x4f3 },
	[LDT_DOWN] = { NATIVE_DATA, 0xfff, 0x4f7 },
	[LDT_DOWN16] = { NATIVE_DATA, 0xfff, 0x0f7 },
	[LDT_READ] = { NATIVE_DATA, 0xffff, 0x4f1 },
};

extern const u8 native_blob[], native_leave[], native_leave_fault[],
    native_blob_end[];

#define S "0x1f000000"
asm(".pushsection .rodata\n"
    ".globl native_blob, native_leave, native_leave_fault, native_blob_end\n"
    "native_blob:\n"
    "	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "	mov %rsp, " S "+136\n"
    "	cmpq $0, " S "+144\n"
    "	je 1f\n"
    "	.set n, 0\n"
    "	.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "	vmovdqu " S "+192+32*\\r, %ymm\\r\n"
    "	.endr\n"
    "1:	mov " S "+160, %ax; mov %ax, %ds\n"
    "	mov " S "+162, %ax; mov %ax, %es\n"
    "	mov " S "+166, %ax; mov %ax, %gs\n"
    "	mov " S "+164, %ax; mov %ax, %ss\n"
    "	cmpq $0, " S "+152\n"
    "	je 3f\n"
    "	mov " S "+168, %rax\n"
    "	wrgsbase %rax\n"
    "3:	pushq " S "+128\n"
    "	popfq\n"
    "	mov " S "+0, %rax; mov " S "+8, %rcx\n"
    "	mov " S "+16, %rdx; mov " S "+24, %rbx\n"
    "	mov " S "+32, %rsp; mov " S "+40, %rbp\n"
    "	mov " S "+48, %rsi; mov " S "+56, %rdi\n"
    "	mov " S "+64, %r8; mov " S "+72, %r9\n"
    "	mov " S "+80, %r10; mov " S "+88, %r11\n"
    "	mov " S "+96, %r12; mov " S "+104, %r13\n"
    "	mov " S "+112, %r14; mov " S "+120, %r15\n"
    "	ljmpl *" S "+176\n"
    "native_leave:\n"
    "	mov %ds, " S "+160; mov %es, " S "+162\n"
    "	mov %ss, " S "+164; mov %gs, " S "+166\n"
    "	mov %rax, " S "+0; mov %rcx, " S "+8\n"
    "	mov %rdx, " S "+16; mov %rbx, " S "+24\n"
    "	mov %rsp, " S "+32; mov %rbp, " S "+40\n"
    "	mov %rsi, " S "+48; mov %rdi, " S "+56\n"
    "	mov %r8, " S "+64; mov %r9, " S "+72\n"
    "	mov %r10, " S "+80; mov %r11, " S "+88\n"
    "	mov %r12, " S "+96; mov %r13, " S "+104\n"
    "	mov %r14, " S "+112; mov %r15, " S "+120\n"
    "	mov " S "+136, %rsp\n"
    "	pushfq\n"
    "	popq " S "+128\n"
    "native_leave_fault:\n"
    "	mov " S "+136, %rsp\n"
    "	pushq $0x202\n"
    "	popfq\n"
    "	mov $0x2b, %eax\n"
    "	mov %eax, %ss\n"
    "	cmpq $0, " S "+144\n"
    "	je 4f\n"
    "	.irp r,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
    "	vmovdqu %ymm\\r, " S "+192+32*\\r\n"
    "	.endr\n"
    "	vzeroupper\n"
    "4:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "	ret\n"
    "native_blob_end:\n"
    ".popsection\n");

/* Registers of a frame, in our order. */
static const int frame_order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX,
	REG_RSP, REG_RBP, REG_RSI, REG_RDI, REG_R8, REG_R9, REG_R10, REG_R11,
	REG_R12, REG_R13, REG_R14, REG_R15 };

static void
on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;
	unsigned i;

	/* The instruction's AC is still set. */
	asm volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::
			 : "memory", "cc");
	if (!running) {
		signal(sig, SIG_DFL);
		return;
	}
	running = false;
	faulted = true;
	for (i = 0; i < 16; i++)
		area->gpr[i] = (u64)g[frame_order[i]];
	area->rflags = (u64)g[REG_EFL];
	end_rip = (u64)g[REG_RIP];
	end_cs = (u16)g[REG_CSGSFS];
	area->ss = (u16)((u64)g[REG_CSGSFS] >> 48);
	asm volatile("mov %%ds, %0; mov %%es, %1; mov %%gs, %2"
		     : "=m"(area->ds), "=m"(area->es), "=m"(area->gs));
	ending->vector = (u8)g[REG_TRAPNO];
	ending->error = (u32)g[REG_ERR];
	ending->cr2 = (u64)g[REG_CR2];
	g[REG_RIP] = BLOB + (native_leave_fault - native_blob);
	g[REG_CSGSFS] = (greg_t)(USER_CS | (u64)USER_DS << 48);
	g[REG_EFL] = 0x202;
}

static void *
map(u64 at, size_t len, int prot)
{
	void *p = mmap((void *)at, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (p != (void *)at) {
		perror("mmap below 4 GiB");
		exit(1);
	}
	memset(p, 0, len);
	if (mprotect(p, len, prot) == -1)
		exit(1);
	return p;
}

static int
set_ldt(unsigned n)
{
	const struct native_segment *s = &native_ldt[n];
	struct user_desc d = {
		.entry_number = n,
		.base_addr = (unsigned)s->base,
		.limit = s->limit,
		.seg_32bit = (s->attr & SEG_DB) != 0,
		.contents = (s->attr >> 2) & 3,
		.read_exec_only = !(s->attr & 2),
	};

	return (int)syscall(SYS_modify_ldt, 0x11, &d, sizeof(d));
}

void
native_catch(void)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	static u8 stack[1 << 16];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};
	unsigned i;

	sigaltstack(&ss, NULL);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
}

/* One NOP: does code of this size run at all? */
static bool
probe(u16 cs, u16 data)
{
	struct native_state s = { .rip = 0x100, .rflags = 0x202, .cs = cs };
	struct native_end end;

	if (!is_ldt(cs))
		s.rip += NATIVE_CODE;
	s.ds = s.es = s.ss = data;
	native_run((const u8 *)"\x90", 1, &s, &end);
	return !end.fault && (s.rip & 0xfff) == 0x101;
}

/* One of the segments says which CPU this is: stay there. */
static void
stay(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int
native_init(void)
{
	unsigned i;

	stay();

	map(NATIVE_CODE, NATIVE_CODE_LEN, PROT_READ | PROT_WRITE | PROT_EXEC);
	memset((void *)NATIVE_CODE, 0xcc, NATIVE_CODE_LEN);
	map(NATIVE_DATA, NATIVE_RW_LEN, PROT_READ | PROT_WRITE);
	map(NATIVE_RO, NATIVE_RO_LEN, PROT_READ);
	map(STATE, 0x1000, PROT_READ | PROT_WRITE);
	memcpy(map(BLOB, 0x1000, PROT_READ | PROT_WRITE), native_blob,
	    (size_t)(native_blob_end - native_blob));
	if (mprotect((void *)BLOB, 0x1000, PROT_READ | PROT_EXEC) == -1)
		return -errno;
	native_catch();
	can16 = can32 = true;
	for (i = 1; i < LDT_COUNT; i++)
		if (set_ldt(i) != 0)
			can16 = false;
	if (!probe(USER_CS, USER_DS))
		return -ENOTSUP;
	can32 = probe(USER32_CS, USER_DS);
	can16 = can16 && probe(LDT_SEL(LDT_CODE16), LDT_SEL(LDT_DATA16));
	return 0;
}

bool
native_can(unsigned bits)
{
	return bits == 64 || (bits == 32 ? can32 : can16);
}

/* The way back behind the instruction: a far jump that suits its mode. */
static unsigned
put_way_back(u16 cs, u8 *p)
{
	u32 to = BLOB + (u32)(native_leave - native_blob);
	unsigned n = 0;
	u64 wide = to;

	if (cs == USER_CS) {
		memcpy(p, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
		memcpy(p + 6, &wide, 8);
		return 14;
	}
	if (cs != USER32_CS)
		p[n++] = 0x66;
	p[n++] = 0xea;
	memcpy(p + n, &to, 4);
	p[n + 4] = USER_CS;
	p[n + 5] = 0;
	return n + 6;
}

static void
load(const struct native_state *s)
{
	memcpy(area->gpr, s->gpr, sizeof(area->gpr));
	area->rflags = s->rflags;
	area->vectors = s->vectors;
	if (s->vectors)
		memcpy(area->ymm, s->ymm, sizeof(area->ymm));
	area->load_gs_base = s->cs == USER_CS;
	area->ds = s->ds;
	area->es = s->es;
	area->ss = s->ss;
	area->gs = s->gs;
	area->gs_base = s->gs_base;
	area->target = (u32)s->rip;
	area->target_sel = s->cs;
}

static void
store(struct native_state *s)
{
	memcpy(s->gpr, area->gpr, sizeof(s->gpr));
	s->rflags = area->rflags;
	s->ds = area->ds;
	s->es = area->es;
	s->ss = area->ss;
	s->gs = area->gs;
	if (s->vectors)
		memcpy(s->ymm, area->ymm, sizeof(s->ymm));
}

void
native_run(const u8 *code, unsigned len, struct native_state *s,
    struct native_end *end)
{
	u64 start = s->rip + (is_ldt(s->cs) ? NATIVE_CODE : 0);
	unsigned all = len;
	u8 *at = (u8 *)start;

	memcpy(at, code, len);
	if (NATIVE_CODE + NATIVE_CODE_LEN - start - len >= 14)
		all += put_way_back(s->cs, at + len);
	load(s);
	*end = (struct native_end){ 0 };
	ending = end;
	faulted = false;
	running = true;
	asm volatile("" ::: "memory");
	((void (*)(void))BLOB)();
	asm volatile("" ::: "memory");
	running = false;
	store(s);
	if (!faulted) {
		s->rip += len;
	} else {
		if (end->vector == X86_BP)
			end_rip--;
		/* Stopped elsewhere: the instruction itself is complete. */
		end->fault = end_rip == s->rip && end_cs == s->cs;
		s->rip = end_rip;
		s->cs = end_cs;
	}
	memset(at, 0xcc, all);
}
