/* SPDX-License-Identifier: ISC */
/*
 * VMs and vCPUs of the tests: memory, descriptor and page tables, the standard
 * handlers, the modes.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

#define PML4   TABLES
#define PDPT   (TABLES + 0x1000)
#define PD     (TABLES + 0x2000) /* four of them */
#define PAGE   4096u
#define P_RWU  7ull
#define P_BIG  0x80ull
#define CR0_PE 1u
#define CR0_ET 0x10u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_PG 0x80000000u

bool
have_cap(int dev, unsigned cap)
{
	return ioctl(dev, KVM_CHECK_EXTENSION, cap) > 0;
}

/* For what KVM leaves open and we do not. */
bool
is_kvm(int dev)
{
	char link[64], target[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", dev);
	n = readlink(link, target, sizeof(target));
	return n == 8 && memcmp(target, "/dev/kvm", 8) == 0;
}

/* What the module that has the device says of it. */
int
event_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		fail("eventfd: %s", strerror(errno));
	return fd;
}

void
poke(int fd)
{
	if (write(fd, &(uint64_t){ 1 }, 8) != 8)
		fail("eventfd: %s", strerror(errno));
}

bool
shadows(int dev)
{
	static const char *const where[] = {
		"/sys/module/vmm/parameters/nested_paging",
		"/sys/module/kvm_amd/parameters/npt",
		"/sys/module/kvm_intel/parameters/ept",
	};
	unsigned i;
	FILE *f;
	int c;

	for (i = is_kvm(dev) ? 1 : 0; i < 3; i++) {
		f = fopen(where[i], "re");
		if (!f)
			continue;
		c = getc(f);
		fclose(f);
		return c == 'N' || c == '0';
	}
	return false;
}

void *
pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap: %s", strerror(errno));
	return p;
}

void
vm_slot(const struct vm *vm, unsigned slot, unsigned flags, uint64_t gpa,
    void *hva, uint64_t size)
{
	struct kvm_userspace_memory_region r = { slot, flags, gpa, size,
		(uintptr_t)hva };

	DO(vm->fd, KVM_SET_USER_MEMORY_REGION, &r);
}

static void
put64(const struct vm *vm, uint64_t gpa, uint64_t value)
{
	memcpy(vm->mem + gpa, &value, sizeof(value));
}

/* Real mode has a table of far pointers, the others gates of 8 or 16 bytes. */
void
vm_gate(const struct vm *vm, enum mode mode, unsigned vector, uint64_t handler)
{
	uint64_t low = (handler & 0xffff) | 0x8e0000000000ull |
	    (handler & 0xffff0000) << 32;

	switch (mode) {
	case REAL16:
		memcpy(vm->mem + IDT + vector * 4, &(uint32_t){ handler }, 4);
		break;
	case PROT32:
	case PAGED32:
	case PAE32:
	case USER32:
		put64(vm, IDT + vector * 8, low | SEL_CODE32 << 16);
		break;
	case LONG64:
	case USER64:
		put64(vm, IDT + vector * 16, low | SEL_CODE64 << 16);
		put64(vm, IDT + vector * 16 + 8, 0);
		break;
	}
	/* int3 and into are for everybody. */
	if ((vector == BP || vector == OF) && mode == USER64)
		vm->mem[IDT + vector * 16 + 5] |= 0x60;
	else if ((vector == BP || vector == OF) && mode == USER32)
		vm->mem[IDT + vector * 8 + 5] |= 0x60;
}

static bool
pushes_error(unsigned vector)
{
	return vector == DF || (vector >= TS && vector <= PF) || vector == AC;
}

/* out $TRAP, drop the error code, return. */
static void
stubs(const struct vm *vm, enum mode mode)
{
	static const uint8_t out[] = { 0xe6, TRAP };
	static const uint8_t drop64[] = { 0x48, 0x83, 0xc4, 0x08 };
	static const uint8_t drop32[] = { 0x83, 0xc4, 0x04 };
	static const uint8_t iret64[] = { 0x48, 0xcf }, iret[] = { 0xcf };
	bool is64 = mode == LONG64 || mode == USER64;
	unsigned i;
	uint8_t *p;

	for (i = 0; i < 256; i++) {
		p = vm->mem + STUBS + i * STUB_LEN;
		p = mempcpy(p, out, sizeof(out));
		if (pushes_error(i) && is64)
			p = mempcpy(p, drop64, sizeof(drop64));
		else if (pushes_error(i) && mode != REAL16)
			p = mempcpy(p, drop32, sizeof(drop32));
		if (is64)
			memcpy(p, iret64, sizeof(iret64));
		else
			memcpy(p, iret, sizeof(iret));
		vm_gate(vm, mode, i, STUBS + i * STUB_LEN);
	}
}

static void
descriptors(const struct vm *vm, bool is64)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff,
		0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00affb000000ffff,
		0x00cff3000000ffff, 0x00cffb000000ffff,
		0x00008900000000ff | (uint64_t)TSS << 16, 0, 0x00009b000000ffff,
		0x000093000000ffff };
	uint32_t esp0 = STACK0, ss0 = SEL_DATA;

	memcpy(vm->mem + GDT, gdt, sizeof(gdt));
	memset(vm->mem + TSS, 0, 0x68);
	if (is64) {
		put64(vm, TSS + 4, STACK0);
		put64(vm, TSS + 36, IST1);
	} else {
		memcpy(vm->mem + TSS + 4, &esp0, 4);
		memcpy(vm->mem + TSS + 8, &ss0, 4);
	}
	/* The permission bitmap is beyond the limit. */
	memcpy(vm->mem + TSS + 102, &(uint16_t){ 0x100 }, 2);
}

uint64_t *
vm_pte(const struct vm *vm, uint64_t gpa)
{
	return (uint64_t *)(void *)(vm->mem + PT) + gpa / PAGE;
}

/* 4 GiB of themselves; the first 2 MiB in small pages. */
static void
paging_pae(const struct vm *vm, bool is64)
{
	unsigned i;

	put64(vm, PML4, PDPT | P_RWU);
	for (i = 0; i < 4; i++)
		put64(vm, PDPT + i * 8, (PD + i * PAGE) | (is64 ? P_RWU : 1));
	for (i = 0; i < 2048; i++)
		put64(vm, PD + i * 8, ((uint64_t)i << 21) | P_RWU | P_BIG);
	put64(vm, PD, PT | P_RWU);
	for (i = 0; i < 512; i++)
		*vm_pte(vm, i * PAGE) = i * PAGE | P_RWU;
}

static void
paging_32(const struct vm *vm)
{
	uint32_t i, e;

	for (i = 0; i < 1024; i++) {
		e = i << 22 | P_RWU | P_BIG;
		memcpy(vm->mem + PML4 + i * 4, &e, 4);
	}
}

void
vm_open_bare(struct vm *vm, int dev)
{
	memset(vm, 0, sizeof(*vm));
	vm->fd = DO(dev, KVM_CREATE_VM, 0);
}

static void
low_memory(struct vm *vm)
{
	vm->size = MEMORY;
	vm->mem = pages(MEMORY);
	vm_slot(vm, 0, 0, 0, vm->mem, MEMORY);
}

void
vm_open(struct vm *vm, int dev)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { 24 } };

	vm_open_bare(vm, dev);
	DO(vm->fd, KVM_ENABLE_CAP, &split);
	low_memory(vm);
}

void
vm_open_chips(struct vm *vm, int dev)
{
	vm_open_bare(vm, dev);
	DO(vm->fd, KVM_CREATE_IRQCHIP, 0);
	low_memory(vm);
}

void
vm_load(const struct vm *vm, uint64_t gpa, const struct guest *g)
{
	size_t n = (size_t)(g->end - g->start);
	uint8_t *p;

	memcpy(vm->mem + gpa, g->start, n);
	/* Guests are written with AMD's VMMCALL; Intel's is VMCALL. */
	if (!__builtin_cpu_is("intel"))
		return;
	for (p = vm->mem + gpa; n >= 3; p++, n--)
		if (memcmp(p, "\x0f\x01\xd9", 3) == 0)
			p[2] = 0xc1;
}

uint64_t
vm_u64(const struct vm *vm, uint64_t gpa)
{
	return *(volatile uint64_t *)(void *)(vm->mem + gpa);
}

uint32_t
vm_u32(const struct vm *vm, uint64_t gpa)
{
	return *(volatile uint32_t *)(void *)(vm->mem + gpa);
}

/* What the host supports, and the deadline timer, which has a capability of its
 * own; as user space that knows no better sets it. */
void
set_cpuid(const struct vcpu *v, int dev)
{
	unsigned i;
	struct kvm_cpuid2 *c =
	    calloc(1, sizeof(*c) + 256 * sizeof(struct kvm_cpuid_entry2));

	c->nent = 256;
	DO(dev, KVM_GET_SUPPORTED_CPUID, c);
	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == 1 &&
		    have_cap(dev, KVM_CAP_TSC_DEADLINE_TIMER))
			c->entries[i].ecx |= 1u << 24;
	DO(v->fd, KVM_SET_CPUID2, c);
	free(c);
}

void
vcpu_open(struct vcpu *v, struct vm *vm, unsigned id)
{
	memset(v, 0, sizeof(*v));
	v->vm = vm;
	v->fd = DO(vm->fd, KVM_CREATE_VCPU, id);
	/* Two pages on every x86 KVM: the run structure and port data. */
	v->run_size = 2 * PAGE;
	v->run = mmap(
	    NULL, v->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		fail("mmap of the run page: %s", strerror(errno));
}

static struct kvm_segment
segment(unsigned sel, unsigned type, unsigned dpl, unsigned bits)
{
	return (struct kvm_segment){ .limit = bits == 16 ? 0xffff : 0xffffffff,
		.selector = (uint16_t)sel,
		.type = (uint8_t)type,
		.present = 1,
		.dpl = (uint8_t)dpl,
		.db = bits == 32,
		.s = 1,
		.l = bits == 64,
		.g = bits != 16 };
}

static void
segments(struct kvm_sregs *s, enum mode mode)
{
	struct kvm_segment data = segment(SEL_DATA, 3, 0, 32);

	switch (mode) {
	case REAL16:
		s->cs = segment(0, 0xb, 0, 16);
		data = segment(0, 3, 0, 16);
		break;
	case PROT32:
	case PAGED32:
	case PAE32:
		s->cs = segment(SEL_CODE32, 0xb, 0, 32);
		break;
	case LONG64:
		s->cs = segment(SEL_CODE64, 0xb, 0, 64);
		break;
	case USER32:
		s->cs = segment(SEL_USER32, 0xb, 3, 32);
		data = segment(SEL_UDATA, 3, 3, 32);
		break;
	case USER64:
		s->cs = segment(SEL_USER64, 0xb, 3, 64);
		data = segment(SEL_UDATA, 3, 3, 32);
		break;
	}
	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->tr = (struct kvm_segment){ .base = TSS,
		.limit = 0x67,
		.selector = SEL_TSS,
		.type = 0xb,
		.present = 1 };
	s->gdt.base = GDT;
	s->gdt.limit = 0x57;
	s->idt.base = IDT;
	s->idt.limit = 0xfff;
}

static void
paging(struct kvm_sregs *s, const struct vm *vm, enum mode mode)
{
	s->cr3 = PML4;
	s->cr4 = 0x600; /* OSFXSR, OSXMMEXCPT */
	s->efer = 0;
	s->cr0 = CR0_ET | CR0_NE | (mode == REAL16 ? 0 : CR0_PE);
	switch (mode) {
	case REAL16:
	case PROT32:
		return;
	case PAGED32:
		paging_32(vm);
		s->cr4 |= 0x10;
		break;
	case PAE32:
	case USER32:
		paging_pae(vm, false);
		s->cr3 = PDPT;
		s->cr4 |= 0x20;
		break;
	case LONG64:
	case USER64:
		paging_pae(vm, true);
		s->cr4 |= 0x20;
		s->efer = 0xd00; /* LME, LMA, NXE */
		break;
	}
	s->cr0 |= CR0_PG | CR0_WP;
}

void
mode_sregs(const struct vcpu *v, enum mode mode, struct kvm_sregs *s)
{
	sregs_get(v, s);
	if (mode != REAL16)
		descriptors(v->vm, mode == LONG64 || mode == USER64);
	stubs(v->vm, mode);
	segments(s, mode);
	paging(s, v->vm, mode);
}

void
vcpu_mode(const struct vcpu *v, enum mode mode)
{
	struct kvm_regs r = { .rip = CODE, .rflags = 2 };
	struct kvm_sregs s;

	mode_sregs(v, mode, &s);
	sregs_set(v, &s);
	r.rsp = mode == USER32 || mode == USER64 ? STACK3 : STACK;
	regs_set(v, &r);
}

/* rbx: the flags of level 3. */
GUEST(64, to_user64,
    "mov $0x38, %eax\n\tltr %ax\n\tpush $0x2b\n\tpush $0x8000\n\t"
    "push %rbx\n\tpush $0x23\n\tpush $0x8000\n\tiretq");
GUEST(32, to_user32,
    "mov $0x38, %eax\n\tltr %ax\n\tpush $0x2b\n\tpush $0x8000\n\t"
    "push %ebx\n\tpush $0x33\n\tpush $0x8000\n\tiret");

/*
 * For what looks into the TSS at level 3: the lab's emulated processor wants TR
 * as its own LTR leaves it, so the guest loads it and goes to CODE by IRET.
 */
void
vcpu_enter_user(const struct vcpu *v, enum mode mode, uint64_t flags)
{
	struct kvm_regs r;

	vcpu_mode(v, mode == USER64 ? LONG64 : PAE32);
	vm_load(v->vm, CODE2, mode == USER64 ? &to_user64 : &to_user32);
	regs_get(v, &r);
	r.rip = CODE2;
	r.rbx = flags;
	regs_set(v, &r);
}

void
guest(struct vm *vm, struct vcpu *v, int dev, enum mode mode,
    const struct guest *code)
{
	vm_open(vm, dev);
	vcpu_open(v, vm, 0);
	set_cpuid(v, dev);
	vcpu_mode(v, mode);
	vm_load(vm, CODE, code);
}
