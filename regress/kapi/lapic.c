/* SPDX-License-Identifier: ISC */
/*
 * The local APIC as the guest sees it: registers, modes, priorities, IPIs.
 */
#include <unistd.h>
#include "kapi.h"

#define READY  (DATA + 0x200)
#define COUNT  (DATA + 0x240) /* per APIC id */
#define ORDER  (DATA + 0x280) /* commands, 8 bytes per APIC id */
#define NNMI   (DATA + 0x2c0) /* per APIC id */
#define NVCPUS 3u

/* rbx is the number: commands are ICR values, -1 ends. */
GUEST(64, node_x2apic,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "lock incl (0xc200)\n\tsti\n"
    "1:	pause\n\tmov 0xc280(,%rbx,8), %rax\n\ttest %rax, %rax\n\tjz 1b\n\t"
    "cmp $-1, %rax\n\tje 2f\n\tmov %rax, %rdx\n\tshr $32, %rdx\n\t"
    "mov $0x830, %ecx\n\twrmsr\n\tmovq $0, 0xc280(,%rbx,8)\n\tjmp 1b\n"
    "2:	cli\n\t" END);
GUEST(64, node_xapic,
    "mov $0xfee00000, %esi\n\tmovl $0x1ff, 0xf0(%rsi)\n\t"
    "mov %ebx, %ecx\n\tmov $0x1000000, %eax\n\tshl %cl, %eax\n\t"
    "movl $0xffffffff, 0xe0(%rsi)\n\tmov %eax, 0xd0(%rsi)\n\t"
    "lock incl (0xc200)\n\tsti\n"
    "1:	pause\n\tmov 0xc280(,%rbx,8), %rax\n\ttest %rax, %rax\n\tjz 1b\n\t"
    "cmp $-1, %rax\n\tje 2f\n\tmov %rax, %rdx\n\tshr $32, %rdx\n\t"
    "mov %edx, 0x310(%rsi)\n\tmov %eax, 0x300(%rsi)\n\t"
    "movq $0, 0xc280(,%rbx,8)\n\tjmp 1b\n"
    "2:	cli\n\t" END);
GUEST(64, count_x2apic,
    "push %rax\n\tpush %rcx\n\tpush %rdx\n\tincl 0xc240(,%rbx,4)\n\t"
    "mov $0x80b, %ecx\n\txor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq");
GUEST(64, count_xapic, "incl 0xc240(,%rbx,4)\n\tmovl $0, 0xb0(%rsi)\n\tiretq");
GUEST(64, count_nmi, "incl 0xc2c0(,%rbx,4)\n\tiretq");

struct nodes {
	struct vm vm;
	struct vcpu v[NVCPUS];
	struct runner r[NVCPUS];
};

static void
nodes_start(struct nodes *n, int dev, const struct guest *code,
    const struct guest *handler)
{
	struct kvm_regs r;
	unsigned i;

	guest(&n->vm, &n->v[0], dev, LONG64, code);
	for (i = 1; i < NVCPUS; i++) {
		vcpu_open(&n->v[i], &n->vm, i);
		set_cpuid(&n->v[i], dev);
		vcpu_mode(&n->v[i], LONG64);
		DO(n->v[i].fd, KVM_SET_MP_STATE,
		    &(struct kvm_mp_state){ KVM_MP_STATE_RUNNABLE });
	}
	vm_load(&n->vm, CODE2, handler);
	vm_gate(&n->vm, LONG64, 0x41, CODE2);
	vm_load(&n->vm, CODE2 + 0x100, &count_nmi);
	vm_gate(&n->vm, LONG64, NMI, CODE2 + 0x100);
	for (i = 0; i < NVCPUS; i++) {
		regs_get(&n->v[i], &r);
		r.rbx = i;
		r.rsp = FREE + (i + 1) * 0x1000;
		regs_set(&n->v[i], &r);
		runner_start(&n->r[i], &n->v[i]);
	}
	wait_u32(&n->vm, READY, NVCPUS);
}

static void
order(const struct nodes *n, unsigned who, uint64_t icr)
{
	volatile uint64_t *slot =
	    (volatile uint64_t *)(void *)(n->vm.mem + ORDER) + who;
	unsigned tries;

	*slot = icr;
	for (tries = 0; icr != -1ull && *slot != 0; tries++) {
		CHECK(tries < 20000, "vCPU %u does not answer", who);
		usleep(500);
	}
}

static void
nodes_stop(struct nodes *n)
{
	unsigned i;

	for (i = 0; i < NVCPUS; i++)
		order(n, i, -1ull);
	for (i = 0; i < NVCPUS; i++) {
		runner_join(&n->r[i], 20);
		EQ(n->r[i].error, 0);
		CHECK(at_port(&n->v[i], DONE), "vCPU %u: exit %u", i,
		    n->r[i].reason);
	}
}

struct ipi {
	const char *name;
	unsigned from;
	uint64_t icr;
	uint8_t mask; /* receivers */
	bool one; /* of them only */
	bool nmi;
};
#define TO(n) ((uint64_t)(n) << 32)

static void
send_all(struct nodes *n, const struct ipi *row, unsigned rows)
{
	uint32_t got[NVCPUS], want[NVCPUS] = { 0 }, sum, tries;
	unsigned i, k;
	bool same;

	for (i = 0; i < rows; i++, row++) {
		uint32_t base = row->nmi ? NNMI : COUNT;

		for (k = 0; k < NVCPUS; k++)
			want[k] =
			    vm_u32(&n->vm, base + k * 4) + (row->mask >> k & 1);
		order(n, row->from, row->icr);
		for (tries = 0; tries < 4000; tries++) {
			same = true;
			sum = 0;
			for (k = 0; k < NVCPUS; k++) {
				got[k] = vm_u32(&n->vm, base + k * 4);
				same = same && got[k] == want[k];
				sum += want[k] - got[k];
			}
			if (same || (row->one && sum == 1))
				break;
			usleep(500);
		}
		CHECK(tries < 4000, "%s: %u %u %u, not %u %u %u", row->name,
		    got[0], got[1], got[2], want[0], want[1], want[2]);
	}
}

static void
ipis_x2apic(int dev)
{
	static const struct ipi rows[] = {
		{ "physical 1", 0, TO(1) | 0x41, 2, false, false },
		{ "physical 0 from 2", 2, TO(0) | 0x41, 1, false, false },
		{ "physical, to itself", 1, TO(1) | 0x41, 2, false, false },
		{ "broadcast", 0, TO(0xffffffff) | 0x41, 7, false, false },
		{ "self", 2, 0x40041, 4, false, false },
		{ "all", 1, 0x80041, 7, false, false },
		{ "all but self", 1, 0xc0041, 5, false, false },
		{ "logical 1 and 2", 0, TO(6) | 0x841, 6, false, false },
		{ "logical, another cluster", 0, TO(0x10001) | 0x841, 0, false,
		    false },
		{ "lowest priority", 0, TO(7) | 0x941, 7, true, false },
		{ "NMI to 1", 0, TO(1) | 0x400, 2, false, true },
		{ "NMI to the others", 2, 0xc0400, 3, false, true },
	};
	struct nodes n;

	nodes_start(&n, dev, &node_x2apic, &count_x2apic);
	/* One receiver of three: two are short of what all would be. */
	send_all(&n, rows, 9);
	order(&n, 0, rows[9].icr);
	usleep(20000);
	send_all(&n, rows + 10, 2);
	EQ(vm_u32(&n.vm, COUNT) + vm_u32(&n.vm, COUNT + 4) +
		vm_u32(&n.vm, COUNT + 8),
	    1 + 1 + 1 + 3 + 1 + 3 + 2 + 2 + 1);
	nodes_stop(&n);
}

static void
ipis_xapic(int dev)
{
#undef TO
#define TO(n) ((uint64_t)(n) << 56)
	static const struct ipi rows[] = {
		{ "physical 1", 0, TO(1) | 0x41, 2, false, false },
		{ "physical 0 from 2", 2, TO(0) | 0x41, 1, false, false },
		{ "broadcast", 0, TO(0xff) | 0x41, 7, false, false },
		{ "self", 2, 0x40041, 4, false, false },
		{ "all", 1, 0x80041, 7, false, false },
		{ "all but self", 1, 0xc0041, 5, false, false },
		{ "flat 1 and 2", 0, TO(6) | 0x841, 6, false, false },
		{ "flat, nobody", 0, TO(0x40) | 0x841, 0, false, false },
		{ "NMI to 1", 0, TO(1) | 0x400, 2, false, true },
		{ "NMI to the others", 2, 0xc0400, 3, false, true },
	};
	struct nodes n;

	nodes_start(&n, dev, &node_xapic, &count_xapic);
	send_all(&n, rows, sizeof(rows) / sizeof(rows[0]));
	nodes_stop(&n);
}

GUEST(64, registers,
    "mov $0xfee00000, %esi\n\tmov 0x20(%rsi), %eax\n\tmov %eax, (0xc000)\n\t"
    "mov 0x30(%rsi), %eax\n\tmov %eax, (0xc004)\n\t"
    "movl $0x1ff, 0xf0(%rsi)\n\tmovl $0x20, 0x80(%rsi)\n\t"
    "mov 0xa0(%rsi), %eax\n\tmov %eax, (0xc008)\n\tmov %cr8, %rax\n\t"
    "mov %eax, (0xc00c)\n\tmov $5, %eax\n\tmov %rax, %cr8\n\t"
    "mov 0x80(%rsi), %eax\n\tmov %eax, (0xc010)\n\t"
    "movl $0x12000000, 0xd0(%rsi)\n\tmov 0xd0(%rsi), %eax\n\t"
    "mov %eax, (0xc014)\n\txor %eax, %eax\n\tmov %rax, %cr8\n\t"
    "mov %eax, 0x310(%rsi)\n\tmovl $0x4000a, 0x300(%rsi)\n\t"
    "mov %eax, 0x280(%rsi)\n\tmov 0x280(%rsi), %eax\n\t"
    "mov %eax, (0xc018)\n\t" END);

static void
xapic_registers(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &registers);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 0);
	CHECK((vm_u32(&vm, DATA + 4) & 0xff) >= 0x10, "version");
	EQ(vm_u32(&vm, DATA + 8), 0x20); /* PPR */
	EQ(vm_u32(&vm, DATA + 12), 2); /* CR8 */
	EQ(vm_u32(&vm, DATA + 16), 0x50); /* TPR by CR8 */
	EQ(vm_u32(&vm, DATA + 20), 0x12000000);
	EQ(v.run->cr8, 0);
}

GUEST(64, tpr,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "mov $4, %eax\n\tmov %rax, %cr8\n\tsti\n\t"
    "mov $0x83f, %ecx\n\tmov $0x41, %eax\n\twrmsr\n\t" /* self */
    "mov $0x51, %eax\n\twrmsr\n\tnop\n\t" PUT(
	1) "mov $3, %eax\n\tmov %rax, %cr8\n\tnop\n\t" PUT(2) "cli\n\t" END);
GUEST(64, mark_51,
    "push %rax\n\tmov $0x51, %al\n\tout %al, $0xf6\n\t"
    "push %rcx\n\tpush %rdx\n\tmov $0x80b, %ecx\n\txor %eax, %eax\n\t"
    "xor %edx, %edx\n\twrmsr\n\tpop %rdx\n\tpop %rcx\n\t"
    "pop %rax\n\tiretq");
GUEST(64, mark_41,
    "push %rax\n\tmov $0x41, %al\n\tout %al, $0xf6\n\t"
    "push %rcx\n\tpush %rdx\n\tmov $0x80b, %ecx\n\txor %eax, %eax\n\t"
    "xor %edx, %edx\n\twrmsr\n\tpop %rdx\n\tpop %rcx\n\t"
    "pop %rax\n\tiretq");

/* CR8 of 4 holds vector 0x41 back and not 0x51; lowered, it comes at once. */
static void
task_priority(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &tpr);
	vm_load(&vm, CODE2, &mark_41);
	vm_load(&vm, CODE2 + 0x100, &mark_51);
	vm_gate(&vm, LONG64, 0x41, CODE2);
	vm_gate(&vm, LONG64, 0x51, CODE2 + 0x100);
	run_done(&v);
	v.marks[v.nmarks] = 0;
	CHECK(v.nmarks == 4 && memcmp(v.marks, "\x51\1\x41\2", 4) == 0,
	    "order: %#x %#x %#x %#x", v.marks[0], v.marks[1], v.marks[2],
	    v.marks[3]);
	EQ(v.run->cr8, 3);
}

/* In a handler the same class waits, a higher one does not. */
GUEST(64, nest_code,
    "mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
    "sti\n\tmov $0x83f, %ecx\n\tmov $0x45, %eax\n\twrmsr\n\tnop\n\t" PUT(
	9) "cli\n\t" END);
GUEST(64, nest_outer,
    "sti\n\t" PUT(
	1) "mov $0x83f, %ecx\n\txor %edx, %edx\n\tmov $0x41, %eax\n\t"
	   "wrmsr\n\tnop\n\tmov $0x51, %eax\n\twrmsr\n\tnop\n\t" PUT(
	       2) "cli\n\tmov $0x80b, %ecx\n\txor %eax, %eax\n\twrmsr\n\t" PUT(3) "iretq");

static void
nested_interrupts(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &nest_code);
	vm_load(&vm, CODE2, &mark_41);
	vm_load(&vm, CODE2 + 0x100, &mark_51);
	vm_load(&vm, CODE2 + 0x200, &nest_outer);
	vm_gate(&vm, LONG64, 0x41, CODE2);
	vm_gate(&vm, LONG64, 0x51, CODE2 + 0x100);
	vm_gate(&vm, LONG64, 0x45, CODE2 + 0x200);
	run_done(&v);
	CHECK(v.nmarks == 6 && memcmp(v.marks, "\1\x51\2\3\x41\x9", 6) == 0,
	    "%u: %#x %#x %#x %#x %#x %#x", v.nmarks, v.marks[0], v.marks[1],
	    v.marks[2], v.marks[3], v.marks[4], v.marks[5]);
}

/* rcx is the MSR; what happens in x2APIC mode. */
GUEST(64, enable_read,
    "mov %ecx, %ebx\n\tmov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov %ebx, %ecx\n\trdmsr\n\t" END);
GUEST(64, enable_write,
    "mov %ecx, %ebx\n\tmov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t"
    "mov %ebx, %ecx\n\tmov %edi, %eax\n\tmov %esi, %edx\n\twrmsr\n\t" END);

static void
x2apic_reserved(int dev)
{
	static const struct {
		uint32_t index;
		bool write;
		uint32_t low, high;
		bool fault;
	} rows[] = {
		{ 0x802, false, 0, 0, false },
		{ 0x803, false, 0, 0, false },
		{ 0x808, true, 0x20, 0, false },
		{ 0x80d, false, 0, 0, false },
		{ 0x80d, true, 1, 0, true }, /* LDR: read only */
		{ 0x802, true, 1, 0, true },
		{ 0x801, false, 0, 0, true },
		{ 0x80e, false, 0, 0, true }, /* no DFR */
		{ 0x831, false, 0, 0, true }, /* no ICR2 */
		{ 0x808, true, 0, 1, true }, /* upper half */
		{ 0x83f, false, 0, 0, true }, /* self IPI: write only */
		{ 0x8ff, false, 0, 0, true },
	};
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &enable_read);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vcpu_mode(&v, LONG64);
		vm_load(
		    &vm, CODE, rows[i].write ? &enable_write : &enable_read);
		regs_get(&v, &r);
		r.rcx = rows[i].index;
		r.rdi = rows[i].low;
		r.rsi = rows[i].high;
		regs_set(&v, &r);
		run(&v);
		CHECK(at_port(&v, rows[i].fault ? TRAP : DONE),
		    "row %u: MSR %#x, %s: port %#x", i, rows[i].index,
		    rows[i].write ? "write" : "read", v.run->io.port);
	}
}

/* Disabled to x2APIC in one step is not allowed, nor back to xAPIC. */
GUEST(64, base_code, "wrmsr\n\t" END);

static void
base_transitions(int dev)
{
	static const struct {
		uint64_t value;
		bool fault;
	} rows[] = {
		{ 0xfee00900, false },
		{ 0xfee00500, true },
		{ 0xfee00d00, false },
		{ 0xfee00900, true },
		{ 0xfee00100, false },
		{ 0xfee00d00, true },
		{ 0xfee00900, false },
		{ 0xfee00d00, false },
	};
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &base_code);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		regs_get(&v, &r);
		r.rip = CODE;
		r.rsp = STACK;
		r.rcx = 0x1b;
		r.rax = rows[i].value;
		r.rdx = 0;
		regs_set(&v, &r);
		run(&v);
		CHECK(at_port(&v, rows[i].fault ? TRAP : DONE),
		    "row %u: %#llx: port %#x", i,
		    (unsigned long long)rows[i].value, v.run->io.port);
	}
}

/* Disabled, the page reads as all ones and takes nothing. */
static void
disabled_page(int dev)
{
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &registers);
	msr_set(&v, 0x1b, 0xfee00100);
	run_done(&v);
	EQ(vm_u32(&vm, DATA), 0xffffffff);
	EQ(vm_u32(&vm, DATA + 20), 0xffffffff);
}

TESTS(lapic, T(ipis_x2apic), T(ipis_xapic), T(xapic_registers),
    T(task_priority), T(nested_interrupts), T(x2apic_reserved),
    T(base_transitions), T(disabled_page));
