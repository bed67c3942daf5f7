/* SPDX-License-Identifier: ISC */
/*
 * The calls that kvmtool makes at its start, in its order, with a guest that it
 * could have loaded: real mode, the 8254's ticks through the 8259.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

#define SELECTOR 0x1000u
#define SERIAL	 0x3f8

/* The program counts three ticks in its handler, then the interrupts of a
 * serial port, says so at each, and ends by a reset through port 0x64. */
#define OUT(port, val) "mov $" #val ", %al\n\tout %al, $" #port "\n\t"
GUEST(16, program,
    "cli\n\txor %ax, %ax\n\tmov %ax, %ds\n\tmovw $on_tick - guest_program, "
    "(0x20*4)\n\tmov %cs, (0x20*4+2)\n\tmovw $on_serial - guest_program, "
    "(0x24*4)\n\tmov %cs, (0x24*4+2)\n\txor %bx, %bx\n\t" OUT(0x20, 0x11) OUT(
	0x21, 0x20) OUT(0x21, 4) OUT(0x21, 1) OUT(0xa0, 0x11) OUT(0xa1,
	0x28) OUT(0xa1, 2) OUT(0xa1, 1) OUT(0x21, 0xee) OUT(0xa1,
	0xff) OUT(0x43, 0x34) OUT(0x40, 0x9c) OUT(0x40,
	0x2e) "1:	sti\n\thlt\n\tcli\n\tcmp $3, %bx\n\tjb 1b\n\t" OUT(0x21,
	0xef) "mov $0x3f8, %dx\n\tmov $'t', %al\n\tout %al, %dx\n"
	      "1:	sti\n\thlt\n\tcli\n\tcmp $0x103, %bx\n\tjb 1b\n\t"
	      "mov $0x3f8, %dx\n\tmov $'s', %al\n\tout %al, %dx\n\t" OUT(0x64,
		  0xfe) "hlt\n"
			"on_tick: push %ax\n\tinc %bl\n\t" OUT(0x20,
			    0x20) "pop %ax\n\tiret\n"
				  "on_serial: push %ax\n\tinc %bh\n\t" OUT(
				      0x20, 0x20) "pop %ax\n\tiret\n\t");

static const struct {
	unsigned cap;
	const char *name;
} required[] = {
	{ KVM_CAP_COALESCED_MMIO, "COALESCED_MMIO" },
	{ KVM_CAP_SET_TSS_ADDR, "SET_TSS_ADDR" },
	{ KVM_CAP_PIT2, "PIT2" },
	{ KVM_CAP_USER_MEMORY, "USER_MEMORY" },
	{ KVM_CAP_IRQ_ROUTING, "IRQ_ROUTING" },
	{ KVM_CAP_IRQCHIP, "IRQCHIP" },
	{ KVM_CAP_HLT, "HLT" },
	{ KVM_CAP_IRQ_INJECT_STATUS, "IRQ_INJECT_STATUS" },
	{ KVM_CAP_EXT_CPUID, "EXT_CPUID" },
};

static void
machine(struct vm *vm, int dev)
{
	struct kvm_pit_config pit = { .flags = 0 };
	unsigned i;

	EQ(DO(dev, KVM_GET_API_VERSION, 0), 12);
	vm_open_bare(vm, dev);
	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		CHECK(have_cap(dev, required[i].cap), "%s", required[i].name);
	DO(vm->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
	/* The timer comes first there, and is in order after the chips too. */
	DO(vm->fd, KVM_CREATE_PIT2, &pit);
	vm->size = MEMORY;
	vm->mem = pages(MEMORY);
	madvise(vm->mem, MEMORY, MADV_MERGEABLE);
	DO(vm->fd, KVM_CREATE_IRQCHIP, 0);
	vm_slot(vm, 0, 0, 0, vm->mem, MEMORY);
}

static void
route(struct kvm_irq_routing *t, unsigned gsi, unsigned chip, unsigned pin)
{
	struct kvm_irq_routing_entry *e = &t->entries[t->nr++];

	e->gsi = gsi;
	e->type = KVM_IRQ_ROUTING_IRQCHIP;
	e->u.irqchip.irqchip = chip;
	e->u.irqchip.pin = pin;
}

static void
routes(const struct vm *vm)
{
	struct kvm_irq_routing *t =
	    calloc(1, sizeof(*t) + 48 * sizeof(t->entries[0]));
	unsigned i;

	for (i = 0; i < 16; i++)
		if (i != 2)
			route(t, i, i / 8, i % 8);
	for (i = 0; i < 24; i++)
		if (i != 2)
			route(t, i, KVM_IRQCHIP_IOAPIC, i == 0 ? 2 : i);
	DO(vm->fd, KVM_SET_GSI_ROUTING, t);
	free(t);
}

/* LINT0 to the 8259, LINT1 to NMI. */
static void
lints(const struct vcpu *v)
{
	struct kvm_lapic_state l;
	uint32_t lint;

	DO(v->fd, KVM_GET_LAPIC, &l);
	lint = 7u << 8;
	memcpy(l.regs + 0x350, &lint, 4);
	lint = 4u << 8;
	memcpy(l.regs + 0x360, &lint, 4);
	DO(v->fd, KVM_SET_LAPIC, &l);
}

static struct kvm_coalesced_mmio_ring *
cpu(struct vcpu *v, struct vm *vm, int dev)
{
	int size = DO(dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	int offset;

	memset(v, 0, sizeof(*v));
	v->vm = vm;
	v->fd = DO(vm->fd, KVM_CREATE_VCPU, 0);
	v->run_size = (size_t)size;
	v->run = mmap(
	    NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	CHECK(v->run != MAP_FAILED, "%s", strerror(errno));
	offset = DO(dev, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
	CHECK((offset + 1) * 4096 <= size, "%d", offset);
	lints(v);
	return (void *)((uint8_t *)v->run + offset * 4096);
}

static void
reset(const struct vcpu *v, int dev)
{
	struct kvm_regs r = {
		.rflags = 2, .rip = 0, .rsp = 0x8000, .rbp = 0x8000
	};
	WITH_ROOM(struct kvm_msrs, struct kvm_msr_entry, 10) m;
	static const uint32_t msrs[] = { 0x174, 0x175, 0x176, 0xc0000081,
		0xc0000083, 0xc0000102, 0xc0000084, 0xc0000082, 0x10, 0x1a0 };
	struct kvm_fpu f = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_segment *s[6];
	struct kvm_sregs sregs;
	unsigned i;

	set_cpuid(v, dev);
	sregs_get(v, &sregs);
	s[0] = &sregs.cs;
	s[1] = &sregs.ss;
	s[2] = &sregs.ds;
	s[3] = &sregs.es;
	s[4] = &sregs.fs;
	s[5] = &sregs.gs;
	for (i = 0; i < 6; i++) {
		s[i]->selector = SELECTOR;
		s[i]->base = SELECTOR * 16;
	}
	sregs_set(v, &sregs);
	regs_set(v, &r);
	DO(v->fd, KVM_SET_FPU, &f);
	memset(&m, 0, sizeof(m));
	m.head.nmsrs = 10;
	for (i = 0; i < 10; i++)
		m.head.entries[i].index = msrs[i];
	m.head.entries[9].data = 1; /* fast strings */
	DO(v->fd, KVM_SET_MSRS, &m);
}

static uint8_t
serial(struct vcpu *v)
{
	run_to(v, KVM_EXIT_IO);
	CHECK(at_port(v, SERIAL), "port 0x%x", v->run->io.port);
	return *((uint8_t *)v->run + v->run->io.data_offset);
}

static void
starts(int dev)
{
	struct kvm_irq_level l = { .irq = 4 };
	struct kvm_coalesced_mmio_ring *ring;
	struct vcpu v;
	struct vm vm;

	machine(&vm, dev);
	vm_load(&vm, SELECTOR * 16, &program);
	routes(&vm);
	ring = cpu(&v, &vm, dev);
	reset(&v, dev);
	EQ(serial(&v), 't');
	for (l.level = 1; l.level != 2; l.level = l.level ? 0 : 2)
		DO(vm.fd, KVM_IRQ_LINE, &l);
	EQ(serial(&v), 's');
	run_to(&v, KVM_EXIT_IO);
	CHECK(at_port(&v, 0x64), "port 0x%x", v.run->io.port);
	EQ(ring->first, ring->last);
}

TESTS(kvmtool, T(starts));
