/* SPDX-License-Identifier: ISC */
/*
 * The vCPUs' part of a saved state.  What the hypervisor says of a vCPU is
 * bytes to us: structures of the KVM API ("The Definitive KVM API
 * Documentation"), which both of our hypervisors have.
 *
 * The order is that of the table: the MSRs follow sregs, which has the APIC's
 * base, and mp_state comes last.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"
#include "vmm_impl.h"

static const struct part {
	const char *name;
	unsigned long get, set;
	size_t len;
} before[] = {
	{ "sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs) },
	{ "xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs) },
	{ "xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave) },
	{ "regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs) },
}, after[] = {
	{ "lapic", KVM_GET_LAPIC, KVM_SET_LAPIC,
	    sizeof(struct kvm_lapic_state) },
	{ "debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS,
	    sizeof(struct kvm_debugregs) },
	{ "events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
	    sizeof(struct kvm_vcpu_events) },
	{ "mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE,
	    sizeof(struct kvm_mp_state) },
};

#define PARTS(a) (sizeof(a) / sizeof((a)[0]))

/* Intel SDM, "CPUID"; AMD64 APM volume 3, "Obtaining Processor Information
 * Via the CPUID Instruction". */
static const struct {
	uint32_t leaf;
	uint8_t reg; /* 0: eax ... 3: edx */
} features[VMM_FEATURES] = {
	{ 1, 2 },
	{ 1, 3 },
	{ 7, 1 },
	{ 7, 2 },
	{ 7, 3 },
	{ 0xd, 0 },
	{ 0x80000001, 2 },
	{ 0x80000001, 3 },
};

/* Bits that say what the system did, not what the processor has: OSXSAVE, and
 * OSPKE. */
static const uint32_t not_features[VMM_FEATURES] = {
	[0] = 1U << 27,
	[3] = 1U << 4,
};

void
vmm_remember_cpuid(struct vmm *v, const struct kvm_cpuid2 *c)
{
	const struct kvm_cpuid_entry2 *e;
	unsigned i;
	uint32_t n;

	memset(v->feature, 0, sizeof(v->feature));
	for (n = 0; n < c->nent; n++) {
		e = &c->entries[n];
		for (i = 0; i < VMM_FEATURES; i++) {
			const uint32_t r[] = { e->eax, e->ebx, e->ecx, e->edx };

			if (e->function == features[i].leaf && e->index == 0)
				v->feature[i] =
				    r[features[i].reg] & ~not_features[i];
		}
	}
}

int
vmm_list_msrs(struct vmm *v, int devfd)
{
	struct kvm_msr_list *l;
	int r;

	l = calloc(1, sizeof(*l) + sizeof(v->msr));
	if (l == NULL)
		return -ENOMEM;
	l->nmsrs = MSR_LIST_MAX;
	r = vmm_call(devfd, KVM_GET_MSR_INDEX_LIST, l);
	if (r >= 0 && l->nmsrs <= MSR_LIST_MAX) {
		v->nmsrs = l->nmsrs;
		memcpy(v->msr, l->indices, l->nmsrs * sizeof(v->msr[0]));
	}
	free(l);
	return r < 0 ? r : 0;
}

static void
state_features(struct vmm *v, struct state *s)
{
	static const char *const reg[] = { "eax", "ebx", "ecx", "edx" };
	uint64_t f;
	uint32_t lost;
	unsigned i;

	for (i = 0; i < VMM_FEATURES; i++) {
		f = v->feature[i];
		state_number(s, &f, UINT32_MAX);
		lost = (uint32_t)f & ~v->feature[i];
		if (s->error == 0 && !s->writing && lost != 0)
			state_fail(s, -ENOTSUP,
			    "the guest has a processor feature that is not "
			    "here: CPUID %#x %s bit %d",
			    features[i].leaf, reg[features[i].reg],
			    __builtin_ctz(lost));
	}
}

static void
state_parts(struct vmm *v, unsigned cpu, struct state *s, const struct part *p,
    size_t n)
{
	uint8_t bytes[sizeof(struct kvm_xsave)];
	int r = 0, fd = v->vcpu_base + (int)cpu;
	size_t i;

	for (i = 0; i < n && s->error == 0; i++) {
		memset(bytes, 0, sizeof(bytes));
		if (s->writing && (r = vmm_call(fd, p[i].get, bytes)) < 0)
			state_fail(s, r, "vCPU %u: %s: %s", cpu, p[i].name,
			    strerrordesc_np(-r));
		state_bytes(s, bytes, p[i].len);
		if (s->error == 0 && !s->writing &&
		    (r = vmm_call(fd, p[i].set, bytes)) < 0)
			state_fail(s, r, "vCPU %u: %s refused: %s", cpu,
			    p[i].name, strerrordesc_np(-r));
	}
}

static int
one_msr(struct vmm *v, unsigned cpu, unsigned long request, uint32_t index,
    uint64_t *value)
{
	union msrs t;
	int r;

	memset(&t, 0, sizeof(t));
	t.head.nmsrs = 1;
	t.head.entries[0].index = index;
	t.head.entries[0].data = *value;
	if ((r = vmm_msrs_call(v, cpu, request, &t)) == 0)
		*value = t.head.entries[0].data;
	return r;
}

/* The clocks' are vmm_clock_stop()'s. */
static bool
is_clock(uint32_t index)
{
	return index == MSR_TSC || index == MSR_TSC_DEADLINE;
}

static void
write_msrs(struct vmm *v, unsigned cpu, struct state *s)
{
	uint64_t index, value, none = UINT64_MAX;
	unsigned i;

	for (i = 0; i < v->nmsrs; i++) {
		index = v->msr[i];
		value = 0;
		/* Some are listed and not there. */
		if (is_clock(v->msr[i]) ||
		    one_msr(v, cpu, KVM_GET_MSRS, v->msr[i], &value) != 0)
			continue;
		state_number(s, &index, UINT32_MAX);
		state_number(s, &value, UINT64_MAX);
	}
	state_number(s, &none, UINT64_MAX);
}

/* MSRs of a state, some at once: what they shall be, and what they are before the
 * first of them is written: two that are one, by two numbers, have one value. */
struct batch {
	uint32_t n;
	struct kvm_msr_entry want[MSRS_MAX];
	uint64_t is[MSRS_MAX];
	bool known[MSRS_MAX];
};

/* A call ends at the first one that is not there. */
static void
read_batch(struct vmm *v, unsigned cpu, struct batch *b)
{
	union msrs t;
	uint32_t at = 0, i;
	int n;

	memset(b->known, 0, sizeof(b->known));
	memset(b->is, 0, sizeof(b->is));
	while (at < b->n) {
		memset(&t, 0, sizeof(t));
		t.head.nmsrs = b->n - at;
		memcpy(t.head.entries, &b->want[at],
		    t.head.nmsrs * sizeof(b->want[0]));
		n = vmm_call(v->vcpu_base + (int)cpu, KVM_GET_MSRS, &t);
		for (i = 0; n > 0 && i < (uint32_t)n && at < b->n; i++, at++) {
			b->is[at] = t.head.entries[i].data;
			b->known[at] = true;
		}
		at++;
	}
}

/*
 * What has that value already need not be writable.  A bit that only tells what
 * the processor is like, which a guest reads as it boots, need not be there:
 * not every hypervisor shows it.
 */
static bool
set_msr(struct vmm *v, unsigned cpu, const struct batch *b, uint32_t i)
{
	uint32_t index = b->want[i].index;
	uint64_t value = b->want[i].data;
	uint64_t is = b->is[i], less = value & ~TSC_FREQ_SEL;

	if (b->known[i] && is == value)
		return true;
	if (one_msr(v, cpu, KVM_SET_MSRS, index, &value) == 0 || value == 0)
		return true;
	return index == MSR_HWCR &&
	    (is == less || one_msr(v, cpu, KVM_SET_MSRS, index, &less) == 0);
}

static void
set_batch(struct vmm *v, unsigned cpu, struct batch *b, struct state *s)
{
	const struct kvm_msr_entry *e = b->want;
	uint32_t i;

	read_batch(v, cpu, b);
	for (i = 0; i < b->n && s->error == 0; i++)
		if (!set_msr(v, cpu, b, i))
			state_fail(s, -ENOTSUP,
			    "vCPU %u: MSR %#x cannot be %#llx here", cpu,
			    e[i].index, (unsigned long long)e[i].data);
	b->n = 0;
}

static void
read_msrs(struct vmm *v, unsigned cpu, struct state *s)
{
	struct batch b;
	uint64_t index, value;

	memset(&b, 0, sizeof(b));
	for (;;) {
		index = value = 0;
		state_number(s, &index, UINT64_MAX);
		if (s->error != 0)
			return;
		if (index == UINT64_MAX || b.n == MSRS_MAX)
			set_batch(v, cpu, &b, s);
		if (index == UINT64_MAX)
			return;
		state_number(s, &value, UINT64_MAX);
		if (s->error != 0)
			return;
		if (index > UINT32_MAX || is_clock((uint32_t)index)) {
			state_fail(s, -EINVAL, "no MSR: %#llx",
			    (unsigned long long)index);
			return;
		}
		b.want[b.n].index = (uint32_t)index;
		b.want[b.n].data = value;
		b.n++;
	}
}

static void
state_vcpu(struct vmm *v, unsigned cpu, struct state *s)
{
	char name[17];

	snprintf(name, sizeof(name), "vcpu%u", cpu);
	if (state_begin(s, name, 1) != 0)
		return;
	state_parts(v, cpu, s, before, PARTS(before));
	if (s->writing)
		write_msrs(v, cpu, s);
	else
		read_msrs(v, cpu, s);
	state_parts(v, cpu, s, after, PARTS(after));
	state_number(s, &v->time[cpu].tsc, UINT64_MAX);
	state_number(s, &v->time[cpu].deadline, UINT64_MAX);
	(void)state_end(s);
}

void
vmm_state(struct vmm *v, struct state *s)
{
	uint64_t clock = v->clock.clock, tsc_deadline = v->tsc_deadline;
	unsigned cpu;

	if (state_begin(s, "processor", 1) != 0)
		return;
	state_features(v, s);
	state_number(s, &tsc_deadline, 1);
	if (s->error == 0 && tsc_deadline > v->tsc_deadline)
		state_fail(s, -ENOTSUP, "no TSC deadline timers here");
	state_number(s, &clock, INT64_MAX);
	if (state_end(s) != 0)
		return;
	for (cpu = 0; cpu < v->ncpus && s->error == 0; cpu++)
		state_vcpu(v, cpu, s);
	if (s->error == 0 && !s->writing) {
		v->clock.clock = clock;
		v->stopped = true;
	}
}
