/* SPDX-License-Identifier: ISC */
/*
 * Running a vCPU and looking at it.
 */
#include <sys/ioctl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "kapi.h"

const char *
reason_name(uint32_t reason)
{
	static const char *const names[] = { "unknown", "exception", "io",
		"hypercall", "debug", "hlt", "mmio", "irq window", "shutdown",
		"fail entry", "intr", "set tpr", "tpr access", "s390", "s390",
		"dcr", "nmi", "internal error" };

	if (reason == KVM_EXIT_IOAPIC_EOI)
		return "ioapic eoi";
	if (reason == KVM_EXIT_SYSTEM_EVENT)
		return "system event";
	return reason < sizeof(names) / sizeof(names[0]) ? names[reason]
							 : "another";
}

bool
at_port(const struct vcpu *v, uint16_t port)
{
	return v->run->exit_reason == KVM_EXIT_IO &&
	    v->run->io.direction == KVM_EXIT_IO_OUT && v->run->io.port == port;
}

static bool
mark(struct vcpu *v)
{
	if (!at_port(v, MARK))
		return false;
	if (v->nmarks + 1 < sizeof(v->marks))
		v->marks[v->nmarks++] =
		    ((const char *)v->run)[v->run->io.data_offset];
	return true;
}

int
run_errno(struct vcpu *v)
{
	int r;

	do {
		/* What INIT wakes comes back first. */
		do
			r = ioctl(v->fd, KVM_RUN, 0);
		while (r < 0 && errno == EAGAIN);
		if (r < 0)
			return errno;
	} while (mark(v));
	return 0;
}

uint32_t
run(struct vcpu *v)
{
	int error = run_errno(v);

	if (error != 0)
		fail("KVM_RUN: %s at rip %#llx", strerror(error),
		    (unsigned long long)rip_of(v));
	return v->run->exit_reason;
}

static void
read_trap(const struct vcpu *v, struct trap *t)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	uint8_t *sp;
	size_t w;

	regs_get(v, &r);
	sregs_get(v, &s);
	memset(t, 0, sizeof(*t));
	t->vector = (unsigned)(r.rip - STUBS) / STUB_LEN;
	w = s.efer & 0x400 ? 8 : s.cr0 & 1 ? 4 : 2;
	if (r.rsp >= v->vm->size - 64)
		fail("stack pointer %#llx in a handler",
		    (unsigned long long)r.rsp);
	sp = v->vm->mem + r.rsp;
	if (w > 2 &&
	    (t->vector == DF || (t->vector >= TS && t->vector <= PF) ||
		t->vector == AC)) {
		memcpy(&t->error, sp, w);
		sp += w;
	}
	memcpy(&t->rip, sp, w);
	memcpy(&t->cs, sp + w, w);
	memcpy(&t->flags, sp + 2 * w, w);
}

/* Says what else it was. */
static void
unexpected(struct vcpu *v, const char *wanted)
{
	struct kvm_run *r = v->run;
	struct kvm_regs regs;
	struct trap t;

	if (at_port(v, TRAP)) {
		read_trap(v, &t);
		fail("vector %u, error %#llx at %#llx:%#llx, flags %#llx "
		     "instead of %s",
		    t.vector, (unsigned long long)t.error,
		    (unsigned long long)t.cs, (unsigned long long)t.rip,
		    (unsigned long long)t.flags, wanted);
	}
	regs_get(v, &regs);
	if (r->exit_reason == KVM_EXIT_IO)
		fail("port %#x (%s, size %u) at rip %#llx instead of %s",
		    r->io.port, r->io.direction ? "out" : "in", r->io.size,
		    (unsigned long long)regs.rip, wanted);
	if (r->exit_reason == KVM_EXIT_MMIO)
		fail("mmio %#llx (%s %u) at rip %#llx instead of %s",
		    (unsigned long long)r->mmio.phys_addr,
		    r->mmio.is_write ? "write" : "read", r->mmio.len,
		    (unsigned long long)regs.rip, wanted);
	fail("exit %u (%s, %#llx) at rip %#llx instead of %s", r->exit_reason,
	    reason_name(r->exit_reason),
	    (unsigned long long)r->hw.hardware_exit_reason,
	    (unsigned long long)regs.rip, wanted);
}

void
run_to(struct vcpu *v, uint32_t reason)
{
	if (run(v) != reason || at_port(v, TRAP))
		unexpected(v, reason_name(reason));
}

void
run_done(struct vcpu *v)
{
	run(v);
	if (!at_port(v, DONE))
		unexpected(v, "the guest's end");
}

void
run_trap(struct vcpu *v, struct trap *t)
{
	run(v);
	if (!at_port(v, TRAP))
		unexpected(v, "a trap");
	read_trap(v, t);
}

void
expect_trap(struct vcpu *v, unsigned vector)
{
	char wanted[32];
	struct trap t;

	snprintf(wanted, sizeof(wanted), "vector %u", vector);
	run(v);
	if (!at_port(v, TRAP))
		unexpected(v, wanted);
	read_trap(v, &t);
	if (t.vector != vector)
		unexpected(v, wanted);
}

bool
serve(struct vcpu *v, uint64_t base, uint8_t *page, size_t len)
{
	struct kvm_run *r = v->run;
	uint64_t off = r->mmio.phys_addr - base;

	if (r->exit_reason != KVM_EXIT_MMIO || off >= len ||
	    r->mmio.len > len - off || r->mmio.len > 8)
		return false;
	if (r->mmio.is_write)
		memcpy(page + off, r->mmio.data, r->mmio.len);
	else
		memcpy(r->mmio.data, page + off, r->mmio.len);
	return true;
}

void
regs_get(const struct vcpu *v, struct kvm_regs *r)
{
	DO(v->fd, KVM_GET_REGS, r);
}

void
regs_set(const struct vcpu *v, const struct kvm_regs *r)
{
	DO(v->fd, KVM_SET_REGS, r);
}

void
sregs_get(const struct vcpu *v, struct kvm_sregs *s)
{
	DO(v->fd, KVM_GET_SREGS, s);
}

void
sregs_set(const struct vcpu *v, const struct kvm_sregs *s)
{
	DO(v->fd, KVM_SET_SREGS, s);
}

uint64_t
rip_of(const struct vcpu *v)
{
	struct kvm_regs r;

	regs_get(v, &r);
	return r.rip;
}

uint64_t
rax_of(const struct vcpu *v)
{
	struct kvm_regs r;

	regs_get(v, &r);
	return r.rax;
}

bool
msr_try(const struct vcpu *v, bool write, uint32_t index, uint64_t *value)
{
	WITH_ROOM(struct kvm_msrs, struct kvm_msr_entry, 1)
	m = { .head.nmsrs = 1 };
	int n;

	m.head.entries[0].index = index;
	m.head.entries[0].data = *value;
	n = ioctl(v->fd, write ? KVM_SET_MSRS : KVM_GET_MSRS, &m);
	if (n < 0)
		fail("MSR %#x: %s", index, strerror(errno));
	*value = m.head.entries[0].data;
	return n == 1;
}

uint64_t
msr_get(const struct vcpu *v, uint32_t index)
{
	uint64_t value = 0;

	if (!msr_try(v, false, index, &value))
		fail("MSR %#x is not readable", index);
	return value;
}

void
msr_set(const struct vcpu *v, uint32_t index, uint64_t value)
{
	if (!msr_try(v, true, index, &value))
		fail("MSR %#x does not take %#llx", index,
		    (unsigned long long)value);
}

static void
nothing(int sig)
{
}

static void *
runner_main(void *arg)
{
	struct runner *r = arg;

	r->error = run_errno(r->v);
	r->reason = r->v->run->exit_reason;
	return NULL;
}

void
interruptible(const struct vcpu *v)
{
	struct kvm_regs r;

	if (!__builtin_cpu_is("intel"))
		return;
	regs_get(v, &r);
	r.rflags |= RFLAGS_IF;
	regs_set(v, &r);
}

void
runner_start(struct runner *r, struct vcpu *v)
{
	struct sigaction sa = { .sa_handler = nothing };

	memset(r, 0, sizeof(*r));
	r->v = v;
	interruptible(v);
	sigaction(SIGUSR1, &sa, NULL);
	if (pthread_create(&r->thread, NULL, runner_main, r) != 0)
		fail("pthread_create");
}

void
runner_kick(const struct runner *r)
{
	pthread_kill(r->thread, SIGUSR1);
}

void
runner_join(struct runner *r, unsigned seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	if (pthread_timedjoin_np(r->thread, NULL, &until) != 0)
		fail("a vCPU does not come back within %u s", seconds);
}

/* Waits until a guest has counted so far. */
void
wait_u32(const struct vm *vm, uint64_t gpa, uint32_t at_least)
{
	unsigned n;

	for (n = 0; vm_u32(vm, gpa) < at_least; n++) {
		if (n > 20000)
			fail("the guest's counter at %#llx stays at %u",
			    (unsigned long long)gpa, vm_u32(vm, gpa));
		usleep(1000);
	}
}
