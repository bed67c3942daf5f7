/* SPDX-License-Identifier: ISC */
/*
 * The end of an interrupt by a word of the guest's memory (Linux "KVM-specific
 * MSRs", MSR_KVM_PV_EOI_EN).
 */
#include <sys/ioctl.h>
#include "kapi.h"

#define MSR_PV_EOI 0x4b564d04u
#define WORD	   DATA
#define SKIPPED_AT (DATA + 0x10) /* ends by the word */
#define WRITTEN_AT (DATA + 0x14) /* by the register */
#define ISR	   0x100 /* of the page */

#define X2APIC                                                     \
	"mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t" \
	"mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
/* To itself, all at once: they wait for the sti that follows. */
#define SEND(vector)                        \
	"mov $0x83f, %ecx\n\tmov $" #vector \
	", %eax\n\txor %edx, %edx\n\twrmsr\n\t"
#define END_IT                                                                \
	"btrl $0, (0xc000)\n\tjc 1f\n\tincl (0xc014)\n\tmov $0x80b, %ecx\n\t" \
	"xor %eax, %eax\n\txor %edx, %edx\n\twrmsr\n\tjmp 2f\n"               \
	"1:	incl (0xc010)\n2:	iretq"

GUEST(64, twice,
    X2APIC SEND(0x41) "sti\n\tnop\n\tcli\n\t" SEND(
	0x41) "sti\n\tnop\n\tcli\n\t" END);
GUEST(
    64, both, X2APIC SEND(0x41) SEND(0x61) "sti\n\tnop\n\tnop\n\tcli\n\t" END);
GUEST(64, waits, X2APIC PUT(1) "sti\n\tnop\n\tcli\n\t" END);
GUEST(64, plain, END_IT);
GUEST(64, with_exit, PUT(7) END_IT);
/* Knows nothing of the word. */
GUEST(64, deaf,
    "incl (0xc014)\n\tmov $0x80b, %ecx\n\txor %eax, %eax\n\t"
    "xor %edx, %edx\n\twrmsr\n\tiretq");
/* Ended by the word, the outer one lets the inner one in at once. */
GUEST(64, sends_another, SEND(0x61) "sti\n\tnop\n\tcli\n\t" END_IT);

static void
enable(const struct vcpu *v, uint64_t word)
{
	msr_set(v, MSR_PV_EOI, word | 1);
}

static void
start(struct vm *vm, struct vcpu *v, int dev, const struct guest *code,
    const struct guest *handler)
{
	guest(vm, v, dev, LONG64, code);
	vm_load(vm, CODE2, handler);
	vm_load(vm, CODE2 + 0x100, &plain);
	vm_gate(vm, LONG64, 0x41, CODE2);
	vm_gate(vm, LONG64, 0x61, CODE2 + 0x100);
	enable(v, WORD);
}

static bool
in_service(const struct vcpu *v, unsigned vector)
{
	struct kvm_lapic_state s;

	DO(v->fd, KVM_GET_LAPIC, &s);
	return (uint8_t)s.regs[ISR + vector / 32 * 16 + vector % 32 / 8] >>
	    vector % 8 &
	    1;
}

/* So many in all; the driver may want the register written, but not always. */
static void
ended(const struct vm *vm, unsigned n, unsigned by_word)
{
	EQ(vm_u32(vm, SKIPPED_AT) + vm_u32(vm, WRITTEN_AT), n);
	CHECK(vm_u32(vm, SKIPPED_AT) >= by_word, "%u by the word",
	    vm_u32(vm, SKIPPED_AT));
}

/* The second of a vector comes: the LAPIC knows of the first one's end. */
static void
ends(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &plain);
	run_done(&v);
	ended(&vm, 2, 1);
	EQ(vm_u32(&vm, WORD), 0);
	CHECK(!in_service(&v, 0x41), "in service");
}

static void
off(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &plain);
	msr_set(&v, MSR_PV_EOI, WORD);
	EQ(msr_get(&v, MSR_PV_EOI), WORD);
	run_done(&v);
	EQ(vm_u32(&vm, SKIPPED_AT), 0);
	EQ(vm_u32(&vm, WRITTEN_AT), 2);
}

/* While another waits the register is needed: it lets that one in. */
static void
another_waits(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &both, &plain);
	run_done(&v);
	EQ(vm_u32(&vm, SKIPPED_AT), 1);
	EQ(vm_u32(&vm, WRITTEN_AT), 1);
}

/* The word is that of the inner one; then the outer one's again. */
static void
nested(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &sends_another);
	run_done(&v);
	ended(&vm, 4, 1);
	CHECK(!in_service(&v, 0x41) && !in_service(&v, 0x61), "in service");
}

/* In the middle of a handler: in service, and the word is not set. */
static void
not_seen(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &with_exit);
	DO(v.fd, KVM_RUN, 0);
	CHECK(at_port(&v, MARK), "exit %u", v.run->exit_reason);
	EQ(vm_u32(&vm, WORD), 0);
	CHECK(in_service(&v, 0x41), "not in service");
	run_done(&v);
	ended(&vm, 2, 0);
	EQ(vm_u32(&vm, WORD), 0);
}

static void
written_anyway(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &deaf);
	run_done(&v);
	EQ(vm_u32(&vm, WRITTEN_AT), 2);
	EQ(vm_u32(&vm, WORD), 0);
	CHECK(!in_service(&v, 0x41), "in service");
}

static void
bad_values(int dev)
{
	static const uint64_t bad[] = { WORD | 3, WORD | 2, 3, MMIO | 1,
		1ull << 60 | 1, ~0ull };
	uint64_t val;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &twice);
	EQ(msr_get(&v, MSR_PV_EOI), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		val = bad[i];
		CHECK(!msr_try(&v, true, MSR_PV_EOI, &val), "%#llx",
		    (unsigned long long)bad[i]);
	}
	EQ(msr_get(&v, MSR_PV_EOI), 0);
	enable(&v, WORD);
	EQ(msr_get(&v, MSR_PV_EOI), WORD | 1);
	msr_set(&v, MSR_PV_EOI, 0);
}

/* Its memory goes: the register is as good as ever. */
static void
memory_gone(int dev)
{
	void *mem = pages(4096);
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &twice, &deaf);
	vm_slot(&vm, 5, 0, MMIO, mem, 4096);
	enable(&v, MMIO);
	vm_slot(&vm, 5, 0, MMIO, mem, 0);
	run_done(&v);
	EQ(vm_u32(&vm, WRITTEN_AT), 2);
	CHECK(!in_service(&v, 0x41), "in service");
}

/* A level of a pin: user space is told, which only the register does. */
static void
level(int dev)
{
	WITH_ROOM(struct kvm_irq_routing, struct kvm_irq_routing_entry, 1)
	t = { .head.nr = 1 };
	struct kvm_msi m = { .address_lo = APIC, .data = 0xc041 };
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &waits, &plain);
	t.head.entries[0] = (struct kvm_irq_routing_entry){ .gsi = 5,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = { .address_lo = APIC, .data = 0xc041 } };
	DO(vm.fd, KVM_SET_GSI_ROUTING, &t);
	DO(v.fd, KVM_RUN, 0); /* to the mark */
	CHECK(at_port(&v, MARK), "exit %u", v.run->exit_reason);
	EQ(DO(vm.fd, KVM_SIGNAL_MSI, &m), 1);
	run_to(&v, KVM_EXIT_IOAPIC_EOI);
	EQ(v.run->eoi.vector, 0x41);
	run_done(&v);
	EQ(vm_u32(&vm, SKIPPED_AT), 0);
	EQ(vm_u32(&vm, WRITTEN_AT), 1);
}

GUEST(64, sends_init,
    X2APIC "mov $0x830, %ecx\n\tmov $1, %edx\n\tmov $0x4500, %eax\n\t"
	   "wrmsr\n\t" END);

/* INIT forgets the word. */
static void
init(int dev)
{
	struct kvm_mp_state mp;
	struct vcpu v[2];
	struct vm vm;

	guest(&vm, &v[0], dev, LONG64, &sends_init);
	vcpu_open(&v[1], &vm, 1);
	set_cpuid(&v[1], dev);
	enable(&v[1], WORD);
	run_done(&v[0]);
	DO(v[1].fd, KVM_GET_MP_STATE, &mp);
	EQ(mp.mp_state, KVM_MP_STATE_INIT_RECEIVED);
	EQ(msr_get(&v[1], MSR_PV_EOI), 0);
}

/* It is told of (CPUID), and can be saved. */
static void
listed(int dev)
{
	WITH_ROOM(struct kvm_cpuid2, struct kvm_cpuid_entry2, 256)
	c = { .head.nent = 256 };
	WITH_ROOM(struct kvm_msr_list, uint32_t, 1000)
	l = { .head.nmsrs = 1000 };
	bool told = false, saved = false;
	unsigned i;

	DO(dev, KVM_GET_SUPPORTED_CPUID, &c);
	for (i = 0; i < c.head.nent; i++) {
		if (c.head.entries[i].function == 0x40000001)
			told = c.head.entries[i].eax >> 6 & 1;
	}
	DO(dev, KVM_GET_MSR_INDEX_LIST, &l);
	for (i = 0; i < l.head.nmsrs; i++)
		saved |= l.head.indices[i] == MSR_PV_EOI;
	CHECK(told && saved, "told %d, saved %d", told, saved);
}

TESTS(pveoi, T(ends), T(off), T(another_waits), T(nested), T(not_seen),
    T(written_anyway), T(bad_values), T(memory_gone), T(level), T(init),
    T(listed));
