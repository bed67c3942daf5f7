/* SPDX-License-Identifier: ISC */
/*
 * Interrupt controllers and the timer in the kernel: KVM_CREATE_IRQCHIP,
 * KVM_CREATE_PIT2 and what goes with them.
 */
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "kapi.h"

#define DEVICE 0xf1 /* the handler is in service, the device may stop */

#define OUT(port, val) "mov $" #val ", %al\n\tout %al, $" #port "\n\t"
/* Vectors 0x20 and 0x28, all open. */
#define PIC_INIT        \
	OUT(0x20, 0x11) \
	OUT(0x21, 0x20) \
	OUT(0x21, 4)    \
	OUT(0x21, 1)    \
	OUT(0xa0, 0x11) \
	OUT(0xa1, 0x28) OUT(0xa1, 2) OUT(0xa1, 1) OUT(0x21, 0) OUT(0xa1, 0)
#define X2APIC                                                     \
	OUT(0x21, 0xff)                                            \
	OUT(0xa1, 0xff)                                            \
	"mov $0x1b, %ecx\n\trdmsr\n\tor $0xc00, %eax\n\twrmsr\n\t" \
	"mov $0x80f, %ecx\n\tmov $0x1ff, %eax\n\txor %edx, %edx\n\twrmsr\n\t"
/* Halted until DATA counts what ebx says. */
#define WAIT                                                        \
	"movl $1, (0xc010)\n"                                       \
	"1:	cli\n\tcmpl %ebx, (0xc000)\n\tjae 2f\n\tsti\n\thlt\n\t" \
	"jmp 1b\n2:	" END
#define COUNT(n)                         \
	"mov (0xc000), %eax\n\t"         \
	"movb $" #n ", 0xc100(%rax)\n\t" \
	"lock incl (0xc000)\n\t"

#define PIC_HANDLER(n)                                                    \
	GUEST(64, pic_##n,                                                \
	    "push %rax\n\t" COUNT(n) "out %al, $0xf1\n\t" OUT(0xa0, 0x20) \
		OUT(0x20, 0x20) "pop %rax\n\tiretq")
PIC_HANDLER(0x20);
PIC_HANDLER(0x25);
PIC_HANDLER(0x2a);
#define APIC_HANDLER(n)                                                       \
	GUEST(64, apic_##n,                                                   \
	    "push %rax\n\tpush %rcx\n\tpush %rdx\n\t" COUNT(                  \
		n) "out %al, $0xf1\n\tmov $0x80b, %ecx\n\txor %eax, %eax\n\t" \
		   "xor %edx, %edx\n\twrmsr\n\t"                              \
		   "pop %rdx\n\tpop %rcx\n\tpop %rax\n\tiretq")
APIC_HANDLER(0x41);
APIC_HANDLER(0x42);

/* IRQ 10 by its level, the others by edges. */
GUEST(64, pic_waiter,
    PIC_INIT "mov $0x4d1, %edx\n\tmov $4, %al\n\tout %al, %dx\n\t" WAIT);
GUEST(
    64, pic_timer, PIC_INIT OUT(0x43, 0x34) OUT(0x40, 0x52) OUT(0x40, 9) WAIT);
#define REDIR(pin, low, high)                                                  \
	"movl $0x11 + 2 * " #pin ", (%rsi)\n\tmovl $" #high ", 0x10(%rsi)\n\t" \
	"movl $0x10 + 2 * " #pin ", (%rsi)\n\tmovl $" #low ", 0x10(%rsi)\n\t"
GUEST(64, io_waiter,
    X2APIC "mov $0xfec00000, %esi\n\t" REDIR(5, 0x41, 0) REDIR(10, 0x8042, 0)
	WAIT);
/* The second CPU's. */
GUEST(64, io_other,
    X2APIC "mov $0xfec00000, %esi\n\t" REDIR(5, 0x41, 0x1000000) WAIT);
GUEST(64, io_timer,
    X2APIC "mov $0xfec00000, %esi\n\t" REDIR(2, 0x41, 0) OUT(0x43, 0x34)
	OUT(0x40, 0x52) OUT(0x40, 9) WAIT);

static void
handler(const struct vm *vm, unsigned vector, const struct guest *g)
{
	uint64_t at = CODE2 + vector * 0x80;

	vm_load(vm, at, g);
	vm_gate(vm, LONG64, vector, at);
}

static void
vcpu_with(struct vcpu *v, struct vm *vm, int dev, unsigned id,
    const struct guest *code, unsigned count)
{
	struct kvm_regs r;

	vcpu_open(v, vm, id);
	set_cpuid(v, dev);
	vcpu_mode(v, LONG64);
	vm_load(vm, CODE, code);
	handler(vm, 0x20, &pic_0x20);
	handler(vm, 0x25, &pic_0x25);
	handler(vm, 0x2a, &pic_0x2a);
	handler(vm, 0x41, &apic_0x41);
	handler(vm, 0x42, &apic_0x42);
	regs_get(v, &r);
	r.rbx = count;
	regs_set(v, &r);
}

static void
start(struct vm *vm, struct vcpu *v, int dev, const struct guest *code,
    unsigned count)
{
	vm_open_chips(vm, dev);
	vcpu_with(v, vm, dev, 0, code, count);
}

static void
line(const struct vm *vm, unsigned irq, unsigned level)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };

	DO(vm->fd, KVM_IRQ_LINE, &l);
}

static int
line_status(const struct vm *vm, unsigned irq, unsigned level)
{
	struct kvm_irq_level l = { .irq = irq, .level = level };

	DO(vm->fd, KVM_IRQ_LINE_STATUS, &l);
	return (int)l.status;
}

/* A vCPU whose handlers' devices have nothing to say. */
struct served {
	struct vcpu *v;
	pthread_t thread;
	unsigned devices;
};

static void *
serve_it(void *arg)
{
	struct served *s = arg;

	for (;;) {
		run_to(s->v, KVM_EXIT_IO);
		if (at_port(s->v, DONE))
			return NULL;
		CHECK(at_port(s->v, DEVICE), "a port");
		s->devices++;
	}
}

static void
served_start(struct served *s, struct vcpu *v)
{
	*s = (struct served){ .v = v };
	pthread_create(&s->thread, NULL, serve_it, s);
}

/* Until the handler of the next interrupt is at its device. */
static void
to_device(struct vcpu *v)
{
	run_to(v, KVM_EXIT_IO);
	CHECK(at_port(v, DEVICE), "port");
}

static void
create(int dev)
{
	struct kvm_enable_cap split = { .cap = KVM_CAP_SPLIT_IRQCHIP,
		.args = { 24 } };
	struct kvm_interrupt intr = { 0x20 };
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct kvm_irq_level l = { .irq = 5, .level = 1 };
	struct vcpu v;
	struct vm vm;

	CHECK(have_cap(dev, KVM_CAP_IRQCHIP), "capability");
	vm_open_bare(&vm, dev);
	ERR(vm.fd, KVM_GET_IRQCHIP, &chip, ENXIO);
	ERR(vm.fd, KVM_SET_IRQCHIP, &chip, ENXIO);
	ERR(vm.fd, KVM_IRQ_LINE, &l, ENXIO);
	DO(vm.fd, KVM_CREATE_IRQCHIP, 0);
	ERR(vm.fd, KVM_CREATE_IRQCHIP, 0, EEXIST);
	ERR(vm.fd, KVM_ENABLE_CAP, &split, EEXIST);
	DO(vm.fd, KVM_GET_IRQCHIP, &chip);
	chip.chip_id = 3;
	ERR(vm.fd, KVM_GET_IRQCHIP, &chip, EINVAL);
	ERR(vm.fd, KVM_SET_IRQCHIP, &chip, EINVAL);
	ERR(vm.fd, KVM_GET_IRQCHIP, NULL, EFAULT);
	ERR(vm.fd, KVM_SET_IRQCHIP, NULL, EFAULT);
	ERR(vm.fd, KVM_IRQ_LINE, NULL, EFAULT);
	vcpu_open(&v, &vm, 0);
	ERR(v.fd, KVM_INTERRUPT, &intr, ENXIO);
	close(vm.fd);

	vm_open_bare(&vm, dev);
	vcpu_open(&v, &vm, 0);
	ERR(vm.fd, KVM_CREATE_IRQCHIP, 0, EINVAL);
	close(vm.fd);

	vm_open_bare(&vm, dev);
	DO(vm.fd, KVM_ENABLE_CAP, &split);
	ERR(vm.fd, KVM_CREATE_IRQCHIP, 0, EEXIST);
	ERR(vm.fd, KVM_GET_IRQCHIP, &chip, ENXIO);
}

static void
create_pit(int dev)
{
	struct kvm_reinject_control r = { .pit_reinject = 0 };
	struct kvm_pit_config c = { .flags = 0 };
	struct kvm_pit_state2 s2;
	struct kvm_pit_state s;
	struct vm vm;

	CHECK(have_cap(dev, KVM_CAP_PIT2), "capability");
	CHECK(have_cap(dev, KVM_CAP_PIT_STATE2), "capability");
	CHECK(have_cap(dev, KVM_CAP_REINJECT_CONTROL), "capability");
	vm_open_bare(&vm, dev);
	DO(vm.fd, KVM_CREATE_IRQCHIP, 0);
	memset(&s, 0, sizeof(s));
	memset(&s2, 0, sizeof(s2));
	ERR(vm.fd, KVM_GET_PIT, &s, ENXIO);
	ERR(vm.fd, KVM_SET_PIT, &s, ENXIO);
	ERR(vm.fd, KVM_GET_PIT2, &s2, ENXIO);
	ERR(vm.fd, KVM_SET_PIT2, &s2, ENXIO);
	ERR(vm.fd, KVM_REINJECT_CONTROL, &r, ENXIO);
	ERR(vm.fd, KVM_CREATE_PIT2, NULL, EFAULT);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	ERR(vm.fd, KVM_CREATE_PIT2, &c, EEXIST);
	ERR(vm.fd, KVM_CREATE_PIT, 0, EEXIST);
	DO(vm.fd, KVM_REINJECT_CONTROL, &r);
	DO(vm.fd, KVM_GET_PIT, &s);
	DO(vm.fd, KVM_GET_PIT2, &s2);
	EQ(s2.channels[0].count, 0x10000);
	EQ(s2.channels[0].gate, 1);
	EQ(s2.channels[2].gate, 0);
	ERR(vm.fd, KVM_GET_PIT2, NULL, EFAULT);
	ERR(vm.fd, KVM_SET_PIT2, NULL, EFAULT);
	close(vm.fd);
	vm_open_bare(&vm, dev);
	DO(vm.fd, KVM_CREATE_IRQCHIP, 0);
	DO(vm.fd, KVM_CREATE_PIT, 0);
	DO(vm.fd, KVM_GET_PIT, &s);
}

/* The line is pulsed while the guest waits in HLT, then held. */
static void
pic_edges(int dev)
{
	struct served s;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	start(&vm, &v, dev, &pic_waiter, 20);
	served_start(&s, &v);
	wait_u32(&vm, DATA + 16, 1);
	for (i = 0; i < 19; i++) {
		line(&vm, 5, 1);
		line(&vm, 5, 0);
		wait_u32(&vm, DATA, i + 1);
	}
	line(&vm, 5, 1);
	pthread_join(s.thread, NULL);
	usleep(20000);
	EQ(vm_u32(&vm, DATA), 20);
	EQ(vm.mem[DATA + 0x100], 0x25);
	EQ(vm.mem[DATA + 0x113], 0x25);
}

/* IRQ 10's input high, and a level before the guest says so: initialisation
 * forgets edges. */
static void
slave_level(const struct vm *vm)
{
	struct kvm_irqchip chip = { .chip_id = 1 };

	DO(vm->fd, KVM_GET_IRQCHIP, &chip);
	chip.chip.pic.elcr = 4;
	DO(vm->fd, KVM_SET_IRQCHIP, &chip);
	line(vm, 10, 1);
}

/* As long as it is high, through the slave. */
static void
pic_level(int dev)
{
	struct kvm_irqchip chip = { .chip_id = 1 };
	struct vcpu v;
	struct vm vm;
	unsigned i;

	start(&vm, &v, dev, &pic_waiter, 3);
	slave_level(&vm);
	for (i = 0; i < 3; i++) {
		to_device(&v);
		DO(vm.fd, KVM_GET_IRQCHIP, &chip);
		EQ(chip.chip.pic.isr, 4);
		EQ(chip.chip.pic.irr, 4);
		EQ(chip.chip.pic.elcr, 4);
		if (i == 2)
			line(&vm, 10, 0);
	}
	run_done(&v);
	DO(vm.fd, KVM_GET_IRQCHIP, &chip);
	EQ(chip.chip.pic.isr | chip.chip.pic.irr, 0);
	EQ(vm_u32(&vm, DATA), 3);
	EQ(vm.mem[DATA + 0x100], 0x2a);
	EQ(vm.mem[DATA + 0x102], 0x2a);
}

static void
line_results(int dev)
{
	struct kvm_irqchip chip = { .chip_id = 0 };
	struct vm vm;

	vm_open_chips(&vm, dev);
	/* The IOAPIC's pins are masked, the 8259's open. */
	EQ(line_status(&vm, 5, 1), 1);
	EQ(line_status(&vm, 5, 0), 1 + 1);
	EQ(line_status(&vm, 5, 1), 0); /* it waits still */
	DO(vm.fd, KVM_GET_IRQCHIP, &chip);
	EQ(chip.chip.pic.irr, 0x20);
	EQ(chip.chip.pic.last_irr, 0x20);
	chip.chip.pic.imr = 0xff;
	DO(vm.fd, KVM_SET_IRQCHIP, &chip);
	EQ(line_status(&vm, 20, 1), -1); /* masked in the only one */
	EQ(line_status(&vm, 4000, 1), -1); /* no route */
}

static void
ioapic_edges(int dev)
{
	struct served s;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	start(&vm, &v, dev, &io_waiter, 20);
	served_start(&s, &v);
	wait_u32(&vm, DATA + 16, 1);
	for (i = 0; i < 19; i++) {
		line(&vm, 5, 1);
		line(&vm, 5, 0);
		wait_u32(&vm, DATA, i + 1);
	}
	line(&vm, 5, 1);
	pthread_join(s.thread, NULL);
	usleep(20000);
	EQ(vm_u32(&vm, DATA), 20);
	EQ(vm.mem[DATA + 0x100], 0x41);
}

/* Again after each EOI as long as it is high; remote IRR meanwhile. */
static void
ioapic_level(int dev)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct vcpu v;
	struct vm vm;
	unsigned i;

	start(&vm, &v, dev, &io_waiter, 3);
	/* The guest's first words unmask it. */
	line(&vm, 10, 1);
	for (i = 0; i < 3; i++) {
		to_device(&v);
		DO(vm.fd, KVM_GET_IRQCHIP, &chip);
		EQ(chip.chip.ioapic.redirtbl[10].bits, 0xc042);
		EQ(chip.chip.ioapic.irr & 1u << 10, 1u << 10);
		if (i == 2)
			line(&vm, 10, 0);
	}
	run_done(&v);
	DO(vm.fd, KVM_GET_IRQCHIP, &chip);
	EQ(chip.chip.ioapic.redirtbl[10].bits, 0x8042);
	EQ(chip.chip.ioapic.irr, 0);
	EQ(vm_u32(&vm, DATA), 3);
	EQ(vm.mem[DATA + 0x102], 0x42);
}

/* Physical destination 1. */
static void
ioapic_other_cpu(int dev)
{
	struct kvm_mp_state m = { KVM_MP_STATE_RUNNABLE };
	struct served s;
	struct vcpu v[2];
	struct vm vm;
	unsigned i;

	vm_open_chips(&vm, dev);
	vcpu_open(&v[0], &vm, 0);
	vcpu_with(&v[1], &vm, dev, 1, &io_other, 10);
	DO(v[1].fd, KVM_SET_MP_STATE, &m);
	served_start(&s, &v[1]);
	wait_u32(&vm, DATA + 16, 1);
	for (i = 0; i < 10; i++) {
		line(&vm, 5, 1);
		line(&vm, 5, 0);
		wait_u32(&vm, DATA, i + 1);
	}
	pthread_join(s.thread, NULL);
	EQ(s.devices, 10);
}

/* GSI 0 is the IOAPIC's pin 2, as on a PC with ACPI and in kvmtool. */
static void
pc_routes(const struct vm *vm)
{
	struct kvm_irq_routing *t =
	    calloc(1, sizeof(*t) + 48 * sizeof(t->entries[0]));
	struct kvm_irq_routing_entry *e = t->entries;
	unsigned i;

	for (i = 0; i < 16; i++) {
		if (i == 2)
			continue;
		e->gsi = i;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = i / 8;
		e->u.irqchip.pin = i % 8;
		e++;
	}
	for (i = 0; i < 24; i++) {
		if (i == 2)
			continue;
		e->gsi = i;
		e->type = KVM_IRQ_ROUTING_IRQCHIP;
		e->u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
		e->u.irqchip.pin = i == 0 ? 2 : i;
		e++;
	}
	t->nr = (uint32_t)(e - t->entries);
	DO(vm->fd, KVM_SET_GSI_ROUTING, t);
	free(t);
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Ten ticks of 2 ms. */
static void
ticks(int dev, const struct guest *g, unsigned vector)
{
	struct kvm_pit_config c = { .flags = 0 };
	struct served s;
	struct vcpu v;
	struct vm vm;
	uint64_t since;

	start(&vm, &v, dev, g, 10);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	pc_routes(&vm);
	since = now_ms();
	served_start(&s, &v);
	pthread_join(s.thread, NULL);
	CHECK(now_ms() - since >= 15, "%u ms", (unsigned)(now_ms() - since));
	EQ(vm.mem[DATA + 0x100], vector);
	EQ(vm.mem[DATA + 0x109], vector);
}

static void
pit_through_pic(int dev)
{
	ticks(dev, &pic_timer, 0x20);
}

static void
pit_through_ioapic(int dev)
{
	ticks(dev, &io_timer, 0x41);
}

/* Gate and OUT of channel 2, 10 ms in mode 0. */
GUEST(64, speaker,
    OUT(0x61, 0) OUT(0x43, 0xb0) OUT(0x42, 0x9c)
	OUT(0x42, 0x2e) "in $0x61, %al\n\tmov %al, (0xc020)\n\t" OUT(0x61, 1)
	    OUT(0x42, 0x9c) OUT(0x42,
		0x2e) "1:	in $0x61, %al\n\ttest $0x20, %al\n\tjz 1b\n\t"
		      "mov %al, (0xc021)\n\t" END);

static void
pit_speaker(int dev)
{
	struct kvm_pit_config c = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vcpu v;
	struct vm vm;
	uint64_t since;

	start(&vm, &v, dev, &speaker, 0);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	since = now_ms();
	run_done(&v);
	CHECK(now_ms() - since >= 9, "%u ms", (unsigned)(now_ms() - since));
	EQ(vm.mem[DATA + 0x20] & 0x23, 0);
	EQ(vm.mem[DATA + 0x21] & 0x23, 0x21);
	close(vm.fd);
	/* Without the flag the port is user space's. */
	c.flags = 0;
	start(&vm, &v, dev, &speaker, 0);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	run_to(&v, KVM_EXIT_IO);
	CHECK(at_port(&v, 0x61), "port");
}

/* A count of two is no 600,000 interrupts a second. */
GUEST(64, fast_timer,
    PIC_INIT OUT(0x43, 0x34) OUT(0x40, 2) OUT(0x40,
	0) "sti\n1:	pause\n\tcmpl $0, (0xc030)\n\tje 1b\n\tcli\n\t" END);
GUEST(64, quiet_handler,
    "push %rax\n\tlock incl (0xc000)\n\t" OUT(0x20, 0x20) "pop %rax\n\tiretq");

static void
pit_is_bounded(int dev)
{
	struct kvm_pit_config c = { .flags = 0 };
	struct runner r;
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &fast_timer, 0);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	handler(&vm, 0x20, &quiet_handler);
	runner_start(&r, &v);
	wait_u32(&vm, DATA, 10);
	usleep(200000);
	vm.mem[DATA + 0x30] = 1;
	runner_join(&r, 20);
	CHECK(vm_u32(&vm, DATA) < 20000, "%u in 0.2 s", vm_u32(&vm, DATA));
}

static void
attach(const struct vm *vm, int fd, int resample, uint32_t gsi, uint32_t flags)
{
	struct kvm_irqfd q = { .fd = (uint32_t)fd,
		.gsi = gsi,
		.flags = flags | (resample >= 0 ? KVM_IRQFD_FLAG_RESAMPLE : 0),
		.resamplefd = (uint32_t)resample };

	DO(vm->fd, KVM_IRQFD, &q);
}

static void
irqfd_pins(int dev)
{
	struct served s;
	struct vcpu v;
	struct vm vm;
	int a = event_fd();
	unsigned i;

	start(&vm, &v, dev, &io_waiter, 50);
	attach(&vm, a, -1, 5, 0);
	served_start(&s, &v);
	wait_u32(&vm, DATA + 16, 1);
	for (i = 0; i < 50; i++) {
		poke(a);
		wait_u32(&vm, DATA, i + 1);
	}
	pthread_join(s.thread, NULL);
	EQ(s.devices, 50);
	EQ(vm.mem[DATA + 0x100], 0x41);
}

static void
wait_event(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, 20000) != 1)
		fail("no resampling");
	if (read(fd, &n, 8) != 8)
		fail("eventfd: %s", strerror(errno));
	EQ(n, 1);
}

/* Each signal raises the pin until the end of its interrupt. */
static void
resample(int dev, const struct guest *g)
{
	struct served s;
	struct vcpu v;
	struct vm vm;
	int a = event_fd(), b = event_fd();
	unsigned i;

	CHECK(have_cap(dev, KVM_CAP_IRQFD_RESAMPLE), "capability");
	start(&vm, &v, dev, g, 50);
	attach(&vm, a, b, 10, 0);
	served_start(&s, &v);
	wait_u32(&vm, DATA + 16, 1);
	for (i = 0; i < 50; i++) {
		poke(a);
		wait_event(b);
		EQ(vm_u32(&vm, DATA), i + 1);
	}
	pthread_join(s.thread, NULL);
	EQ(s.devices, 50);
}

static void
resample_ioapic(int dev)
{
	resample(dev, &io_waiter);
}

static void
resample_pic(int dev)
{
	resample(dev, &pic_waiter);
}

/* A signal's way to the pin may lead through a work queue, as KVM's does. */
static void
wait_irr(const struct vm *vm, uint32_t irr)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	unsigned i;

	for (i = 0; i < 20000; i++) {
		DO(vm->fd, KVM_GET_IRQCHIP, &chip);
		if (chip.chip.ioapic.irr == irr)
			return;
		usleep(1000);
	}
	fail("IRR is %#x, not %#x, after 20 s", chip.chip.ioapic.irr, irr);
}

/* The pin falls with the last of them, at once. */
static void
resample_removed(int dev)
{
	struct kvm_irqfd bad = { .gsi = 10, .flags = KVM_IRQFD_FLAG_RESAMPLE };
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	int a = event_fd(), b = event_fd();
	struct vm vm;

	vm_open_chips(&vm, dev);
	bad.fd = (uint32_t)a;
	bad.resamplefd = 1000;
	ERR(vm.fd, KVM_IRQFD, &bad, EBADF);
	attach(&vm, a, b, 20, 0);
	poke(a);
	wait_irr(&vm, 1u << 20);
	attach(&vm, a, -1, 20, KVM_IRQFD_FLAG_DEASSIGN);
	DO(vm.fd, KVM_GET_IRQCHIP, &chip);
	EQ(chip.chip.ioapic.irr, 0);
}

static void
routing(int dev)
{
	WITH_ROOM(struct kvm_irq_routing, struct kvm_irq_routing_entry, 3) t;
	struct kvm_irq_routing_entry *e = t.head.entries;
	struct vm vm;
	unsigned i;

	vm_open_chips(&vm, dev);
	memset(&t, 0, sizeof(t));
	for (i = 0; i < 3; i++) {
		e[i].gsi = 3;
		e[i].type = KVM_IRQ_ROUTING_IRQCHIP;
		e[i].u.irqchip.irqchip = i;
	}
	t.head.nr = 3;
	DO(vm.fd, KVM_SET_GSI_ROUTING, &t); /* one pin of each chip */
	e[2].u.irqchip.irqchip = 1;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL); /* two of one */
	e[2].u.irqchip.irqchip = 3;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL);
	e[2].u.irqchip.irqchip = 2;
	e[2].u.irqchip.pin = 24;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL);
	e[2].u.irqchip.pin = 23;
	DO(vm.fd, KVM_SET_GSI_ROUTING, &t);
	e[1].u.irqchip.pin = 8;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL);
	e[1].u.irqchip.pin = 7;
	e[0].flags = 1;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL);
	e[0].flags = 0;
	e[1].type = KVM_IRQ_ROUTING_MSI;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL); /* pins and a message */
	e[1].gsi = 4;
	DO(vm.fd, KVM_SET_GSI_ROUTING, &t);
	close(vm.fd);
	/* There are no pins where the chips are not. */
	vm_open(&vm, dev);
	t.head.nr = 1;
	ERR(vm.fd, KVM_SET_GSI_ROUTING, &t, EINVAL);
}

/* Values that differ in each member. */
static void
pic_state(int dev)
{
	struct kvm_irqchip set, got;
	struct vm vm;
	unsigned i;

	vm_open_chips(&vm, dev);
	for (i = 0; i < 2; i++) {
		memset(&set, 0, sizeof(set));
		set.chip_id = i;
		set.chip.pic = (struct kvm_pic_state){ .last_irr = 0x30,
			.irr = 0x30,
			.imr = 0xf5,
			.isr = 0x40,
			.priority_add = 3,
			.irq_base = 0x70,
			.read_reg_select = 1,
			.special_mask = 1,
			.init_state = i ? 2 : 0,
			.auto_eoi = 1,
			.rotate_on_auto_eoi = 1,
			.init4 = 1,
			.elcr = 0x10,
			.elcr_mask = i ? 0xde : 0xf8 };
		DO(vm.fd, KVM_SET_IRQCHIP, &set);
		memset(&got, 0xff, sizeof(got));
		got.chip_id = i;
		DO(vm.fd, KVM_GET_IRQCHIP, &got);
		if (memcmp(&got.chip.pic, &set.chip.pic, sizeof(got.chip.pic)))
			fail("chip %u: registers differ", i);
	}
}

static void
ioapic_state(int dev)
{
	struct kvm_irqchip set, got;
	struct vm vm;
	unsigned i;

	vm_open_chips(&vm, dev);
	memset(&got, 0, sizeof(got));
	got.chip_id = KVM_IRQCHIP_IOAPIC;
	DO(vm.fd, KVM_GET_IRQCHIP, &got);
	EQ(got.chip.ioapic.base_address, 0xfec00000);
	EQ(got.chip.ioapic.id, 0);
	EQ(got.chip.ioapic.redirtbl[23].bits, 0x10000);
	set = got;
	set.chip.ioapic.ioregsel = 0x12;
	set.chip.ioapic.id = 5;
	for (i = 0; i < 24; i++)
		set.chip.ioapic.redirtbl[i].bits =
		    0x10000 | (0x30 + i) | (uint64_t)i << 56;
	set.chip.ioapic.redirtbl[7].bits |= 0xe900; /* level, in service */
	DO(vm.fd, KVM_SET_IRQCHIP, &set);
	DO(vm.fd, KVM_GET_IRQCHIP, &got);
	EQ(got.chip.ioapic.ioregsel, 0x12);
	EQ(got.chip.ioapic.id, 5);
	for (i = 0; i < 24; i++)
		EQ(got.chip.ioapic.redirtbl[i].bits,
		    set.chip.ioapic.redirtbl[i].bits);
}

static void
pit_state(int dev)
{
	struct kvm_pit_config c = { .flags = 0 };
	struct kvm_pit_channel_state *s;
	struct kvm_pit_state2 set, got;
	struct kvm_pit_state old;
	struct vm vm;
	unsigned i;

	vm_open_chips(&vm, dev);
	DO(vm.fd, KVM_CREATE_PIT2, &c);
	memset(&set, 0, sizeof(set));
	for (i = 0; i < 3; i++) {
		s = &set.channels[i];
		s->count = i == 1 ? 0x10000 : 0x1234 + i;
		s->mode = (uint8_t)(i + 2);
		s->rw_mode = s->read_state = s->write_state = 3;
		s->gate = 1;
		s->latched_count = 0x5678;
		s->count_latched = 3;
		s->status_latched = i == 2;
		s->status = 0xb4;
		s->write_latch = 0x9a;
	}
	DO(vm.fd, KVM_SET_PIT2, &set);
	memset(&got, 0xff, sizeof(got));
	DO(vm.fd, KVM_GET_PIT2, &got);
	memset(&old, 0xff, sizeof(old));
	DO(vm.fd, KVM_GET_PIT, &old);
	for (i = 0; i < 3; i++) {
		got.channels[i].count_load_time = 0;
		old.channels[i].count_load_time = 0;
	}
	CHECK(memcmp(&got, &set, sizeof(got)) == 0, "registers differ");
	CHECK(memcmp(&old, set.channels, sizeof(old)) == 0, "PIT differs");
	/* What is not in range does no harm. */
	memset(&set, 0xff, sizeof(set));
	set.flags = 0;
	DO(vm.fd, KVM_SET_PIT2, &set);
	DO(vm.fd, KVM_GET_PIT2, &got);
}

static void
boot_cpu(int dev)
{
	struct kvm_mp_state m;
	struct kvm_sregs s;
	struct vcpu v[2];
	struct vm vm;
	unsigned i;

	CHECK(have_cap(dev, KVM_CAP_SET_BOOT_CPU_ID), "capability");
	vm_open_bare(&vm, dev);
	DO(vm.fd, KVM_CREATE_IRQCHIP, 0);
	DO(vm.fd, KVM_SET_BOOT_CPU_ID, 1);
	for (i = 0; i < 2; i++) {
		vcpu_open(&v[i], &vm, i);
		DO(v[i].fd, KVM_GET_MP_STATE, &m);
		EQ(m.mp_state,
		    i ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED);
		sregs_get(&v[i], &s);
		EQ(s.apic_base, APIC | 0x800 | (i ? 0x100 : 0));
	}
	ERR(vm.fd, KVM_SET_BOOT_CPU_ID, 0, EBUSY);
}

/* The run page: nothing is injected from outside. */
static void
run_page(int dev)
{
	struct vcpu v;
	struct vm vm;

	start(&vm, &v, dev, &pic_waiter, 0);
	v.run->request_interrupt_window = 1;
	run_done(&v);
	EQ(v.run->ready_for_interrupt_injection, 1);
}

TESTS(chips, T(create), T(create_pit), T(pic_edges), T(pic_level),
    T(line_results), T(ioapic_edges), T(ioapic_level), T(ioapic_other_cpu),
    T(pit_through_pic), T(pit_through_ioapic), T(pit_speaker),
    T(pit_is_bounded), T(irqfd_pins), T(resample_ioapic), T(resample_pic),
    T(resample_removed), T(routing), T(pic_state), T(ioapic_state),
    T(pit_state), T(boot_cpu), T(run_page));
