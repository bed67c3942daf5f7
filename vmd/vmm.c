/* SPDX-License-Identifier: ISC */
/*
 * The hypervisor.  Owns the VM descriptor, the vCPU descriptors and their run
 * pages, the copy of the GSI table and the supported CPUID leaves.  This is
 * the only file that calls KVM ioctls ("The Definitive KVM (Kernel-based
 * Virtual Machine) API Documentation").
 *
 * Invariants
 *  1. vCPU n's descriptor is number base + n with base a multiple of the next
 *     power of two of the number of vCPUs: a seccomp mask covers them all.
 *  2. The device is closed once the VM exists: a sealed process can make no
 *     second VM.
 *  3. gsi[] is what the driver was told at the last commit plus the changes
 *     since, if dirty says that there are any.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "vmm.h"
#include "vmm_impl.h"

#define VCPU_FD_BASE  128
#define VCPU_FD_LIMIT 1024
/* Intel's real-mode helpers: a page and three, where nothing else is. */
#define IDENTITY_GPA (GMEM_HIDDEN + 0x1000)
#define TSS_GPA	     (GMEM_HIDDEN + 0x2000)
#define CPUID_MAX    256
#define TSC_FAR	     (1ULL << 48) /* much more than a second */

static const struct {
	int cap;
	const char *what;
} required[] = {
	{ KVM_CAP_USER_MEMORY, "no user memory (KVM_CAP_USER_MEMORY)" },
	{ KVM_CAP_EXT_CPUID, "no CPUID control (KVM_CAP_EXT_CPUID)" },
	{ KVM_CAP_IRQFD, "no interrupt eventfds (KVM_CAP_IRQFD)" },
	{ KVM_CAP_IOEVENTFD, "no kick eventfds (KVM_CAP_IOEVENTFD)" },
	{ KVM_CAP_SIGNAL_MSI, "no message interrupts (KVM_CAP_SIGNAL_MSI)" },
	{ KVM_CAP_IRQ_ROUTING, "no GSI table (KVM_CAP_IRQ_ROUTING)" },
	{ KVM_CAP_SPLIT_IRQCHIP,
	    "no split interrupt controllers (KVM_CAP_SPLIT_IRQCHIP)" },
	{ KVM_CAP_IMMEDIATE_EXIT, "no KVM_CAP_IMMEDIATE_EXIT" },
};

int
vmm_call(int fd, unsigned long request, const void *arg)
{
	int r;

	r = ioctl(fd, request, arg);
	return r == -1 ? -errno : r;
}

static int
call_n(int fd, unsigned long request, unsigned long arg)
{
	int r;

	r = ioctl(fd, request, arg);
	return r == -1 ? -errno : r;
}

int
vmm_query(int devfd, struct vmm_info *info)
{
	struct vmm_info out = { 0 };
	size_t i;
	int n;

	if ((out.api = call_n(devfd, KVM_GET_API_VERSION, 0)) < 0)
		return out.api;
	n = call_n(devfd, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
	if (n <= 0)
		n = call_n(devfd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS);
	out.max_vcpus = n > 0 ? (unsigned)n : 4; /* "Check Extension" */
	for (i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		n = call_n(
		    devfd, KVM_CHECK_EXTENSION, (unsigned long)required[i].cap);
		if (n <= 0) {
			out.missing = required[i].what;
			break;
		}
	}
	*info = out;
	return 0;
}

/* The supported leaves; the driver says E2BIG until there is room. */
static int
read_cpuid(int devfd, struct kvm_cpuid2 **cpuid)
{
	struct kvm_cpuid2 *c;
	int r;

	c = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));
	if (c == NULL)
		return -ENOMEM;
	c->nent = CPUID_MAX;
	r = vmm_call(devfd, KVM_GET_SUPPORTED_CPUID, c);
	if (r >= 0 && c->nent > CPUID_MAX)
		r = -E2BIG;
	if (r < 0) {
		free(c);
		return r;
	}
	*cpuid = c;
	return 0;
}

/* An aligned run of free descriptor numbers (invariant 1). */
static int
find_span(unsigned span)
{
	int base, i;

	for (base = VCPU_FD_BASE; base < VCPU_FD_LIMIT; base += 64) {
		for (i = 0; i < (int)span; i++) {
			if (fcntl(base + i, F_GETFD) != -1)
				break;
		}
		if (i == (int)span)
			return base;
	}
	return -EMFILE;
}

static int
make_vcpu(struct vmm *v, unsigned cpu)
{
	void *run;
	int fd, want;

	if ((fd = call_n(v->fd, KVM_CREATE_VCPU, cpu)) < 0)
		return fd;
	want = v->vcpu_base + (int)cpu;
	if (fd != want) {
		if (dup3(fd, want, O_CLOEXEC) == -1) {
			want = -errno;
			close(fd);
			return want;
		}
		close(fd);
	}
	run =
	    mmap(NULL, v->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, want, 0);
	if (run == MAP_FAILED) {
		fd = -errno;
		close(want);
		return fd;
	}
	v->run[cpu] = run;
	return 0;
}

static int
make_vcpus(struct vmm *v)
{
	unsigned cpu;
	int r;

	for (v->vcpu_span = 1; v->vcpu_span < v->ncpus;)
		v->vcpu_span *= 2;
	if ((v->vcpu_base = find_span(v->vcpu_span)) < 0)
		return v->vcpu_base;
	for (cpu = 0; cpu < v->ncpus; cpu++) {
		if ((r = make_vcpu(v, cpu)) < 0)
			return r;
	}
	return 0;
}

/* What has to be set before the first vCPU exists. */
static int
set_up_vm(struct vmm *v)
{
	struct kvm_enable_cap cap = { .cap = KVM_CAP_SPLIT_IRQCHIP };
	uint64_t identity = IDENTITY_GPA;
	int r;

	/* An Intel host without unrestricted guest needs both; others accept
	 * or do not know them. */
	r = vmm_call(v->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	if (r < 0 && r != -ENOTTY)
		return r;
	r = call_n(v->fd, KVM_SET_TSS_ADDR, TSS_GPA);
	if (r < 0 && r != -ENOTTY)
		return r;
	cap.args[0] = VMM_GSI_PINS;
	return vmm_call(v->fd, KVM_ENABLE_CAP, &cap);
}

static int
make_vm(struct vmm *v, int devfd, const char **why)
{
	int r;

	*why = "the hypervisor does not make a VM";
	do
		v->fd = call_n(devfd, KVM_CREATE_VM, 0);
	while (v->fd == -EINTR);
	if (v->fd < 0)
		return v->fd;
	*why = "the hypervisor does not say how large a run page is";
	if ((r = call_n(devfd, KVM_GET_VCPU_MMAP_SIZE, 0)) < 0)
		return r;
	if ((v->run_len = (size_t)r) < sizeof(struct kvm_run))
		return -EPROTO;
	*why = "the hypervisor does not list its CPUID leaves";
	if ((r = read_cpuid(devfd, &v->cpuid)) < 0)
		return r;
	*why = "the hypervisor does not list its MSRs";
	if ((r = vmm_list_msrs(v, devfd)) < 0)
		return r;
	*why = "the hypervisor refuses split interrupt controllers";
	if ((r = set_up_vm(v)) < 0)
		return r;
	*why = "the hypervisor does not make that many vCPUs";
	return make_vcpus(v);
}

int
vmm_create(struct vmm **vmm, int devfd, unsigned ncpus, const char **why)
{
	struct vmm_info info;
	struct vmm *v;
	int r;

	*why = "a VM has 1 to 64 vCPUs";
	if (ncpus < 1 || ncpus > VM_CPUS_MAX)
		return -EINVAL;
	*why = "not a hypervisor device";
	if ((r = vmm_query(devfd, &info)) < 0)
		return r;
	*why = "the hypervisor's API version is not 12";
	if (info.api != KVM_API_VERSION)
		return -EPROTO;
	*why = info.missing;
	if (info.missing != NULL)
		return -EOPNOTSUPP;
	*why = "more vCPUs than the hypervisor allows";
	if (ncpus > info.max_vcpus)
		return -EINVAL;
	*why = "out of memory";
	if ((v = calloc(1, sizeof(*v))) == NULL)
		return -ENOMEM;
	v->fd = -1;
	v->ncpus = ncpus;
	pthread_mutex_init(&v->slots, NULL);
	v->tsc_deadline =
	    call_n(devfd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	if ((r = make_vm(v, devfd, why)) < 0) {
		vmm_destroy(v);
		return r;
	}
	close(devfd); /* invariant 2 */
	*why = NULL;
	*vmm = v;
	return 0;
}

void
vmm_destroy(struct vmm *v)
{
	unsigned cpu;

	if (v == NULL)
		return;
	for (cpu = 0; cpu < v->ncpus; cpu++) {
		if (v->run[cpu] == NULL)
			continue;
		munmap(v->run[cpu], v->run_len);
		close(v->vcpu_base + (int)cpu);
	}
	if (v->fd >= 0)
		close(v->fd);
	free(v->cpuid);
	free(v->log);
	pthread_mutex_destroy(&v->slots);
	free(v);
}

int
vmm_ioeventfd(struct vmm *v, int fd, uint64_t addr, unsigned len, bool pio,
    int64_t datamatch, bool assign)
{
	struct kvm_ioeventfd e = { .addr = addr, .len = len, .fd = fd };

	if (pio)
		e.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (!assign)
		e.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
	if (datamatch >= 0) {
		e.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
		e.datamatch = (uint64_t)datamatch;
	}
	return vmm_call(v->fd, KVM_IOEVENTFD, &e);
}

int
vmm_irqfd(struct vmm *v, int fd, unsigned gsi, bool assign)
{
	struct kvm_irqfd i = { .fd = (uint32_t)fd, .gsi = gsi };

	if (!assign)
		i.flags = KVM_IRQFD_FLAG_DEASSIGN;
	return vmm_call(v->fd, KVM_IRQFD, &i);
}

void
vmm_route_set(struct vmm *v, unsigned gsi, uint64_t addr, uint32_t data)
{
	struct vmm_gsi *g;

	if (gsi >= VMM_GSI_MAX)
		return;
	g = &v->gsi[gsi];
	if (g->used && g->addr == addr && g->data == data)
		return;
	*g = (struct vmm_gsi){ .used = true, .addr = addr, .data = data };
	v->dirty = true;
}

void
vmm_route_clear(struct vmm *v, unsigned gsi)
{
	if (gsi >= VMM_GSI_MAX || !v->gsi[gsi].used)
		return;
	v->gsi[gsi].used = false;
	v->dirty = true;
}

int
vmm_route_commit(struct vmm *v)
{
	union {
		struct kvm_irq_routing head;
		uint8_t room[sizeof(struct kvm_irq_routing) +
		    VMM_GSI_MAX * sizeof(struct kvm_irq_routing_entry)];
	} t;
	struct kvm_irq_routing_entry *e;
	unsigned i, n;
	int r;

	if (!v->dirty)
		return 0;
	for (i = n = 0; i < VMM_GSI_MAX; i++) {
		if (!v->gsi[i].used)
			continue;
		e = &t.head.entries[n++];
		memset(e, 0, sizeof(*e));
		e->gsi = i;
		e->type = KVM_IRQ_ROUTING_MSI;
		e->u.msi.address_lo = (uint32_t)v->gsi[i].addr;
		e->u.msi.address_hi = (uint32_t)(v->gsi[i].addr >> 32);
		e->u.msi.data = v->gsi[i].data;
	}
	t.head.nr = n;
	t.head.flags = 0;
	r = vmm_call(v->fd, KVM_SET_GSI_ROUTING, &t);
	if (r == 0)
		v->dirty = false;
	return r;
}

int
vmm_signal_msi(struct vmm *v, uint64_t addr, uint32_t data)
{
	struct kvm_msi m = {
		.address_lo = (uint32_t)addr,
		.address_hi = (uint32_t)(addr >> 32),
		.data = data,
	};
	int r;

	/* 0: no APIC took it; more: delivered. */
	r = vmm_call(v->fd, KVM_SIGNAL_MSI, &m);
	return r < 0 ? r : 0;
}

const struct kvm_cpuid2 *
vmm_cpuid(const struct vmm *v)
{
	return v->cpuid;
}

bool
vmm_tsc_deadline(const struct vmm *v)
{
	return v->tsc_deadline;
}

unsigned
vmm_ncpus(const struct vmm *v)
{
	return v->ncpus;
}

struct kvm_run *
vmm_vcpu_state(const struct vmm *v, unsigned cpu)
{
	return v->run[cpu];
}

int
vmm_vcpu_set_cpuid(struct vmm *v, unsigned cpu, const struct kvm_cpuid2 *c)
{
	vmm_remember_cpuid(v, c);
	return vmm_call(v->vcpu_base + (int)cpu, KVM_SET_CPUID2, c);
}

int
vmm_vcpu_set_mce(struct vmm *v, unsigned cpu, uint64_t cap)
{
	return vmm_call(v->vcpu_base + (int)cpu, KVM_X86_SETUP_MCE, &cap);
}

/* The result of the call is how many were done before one was refused. */
int
vmm_msrs_call(struct vmm *v, unsigned cpu, unsigned long request, union msrs *t)
{
	int r = vmm_call(v->vcpu_base + (int)cpu, request, t);

	if (r < 0)
		return r;
	return (uint32_t)r == t->head.nmsrs ? 0 : -EOPNOTSUPP;
}

int
vmm_vcpu_set_msrs(
    struct vmm *v, unsigned cpu, const struct vmm_msr *msr, size_t n)
{
	union msrs t;
	size_t i;

	if (n > MSRS_MAX)
		return -EINVAL;
	memset(&t, 0, sizeof(t));
	t.head.nmsrs = (uint32_t)n;
	for (i = 0; i < n; i++) {
		t.head.entries[i].index = msr[i].index;
		t.head.entries[i].data = msr[i].value;
	}
	return vmm_msrs_call(v, cpu, KVM_SET_MSRS, &t);
}

int
vmm_clock_stop(struct vmm *v)
{
	union msrs t;
	unsigned i;
	int r;

	for (i = 0; i < v->ncpus; i++) {
		memset(&t, 0, sizeof(t));
		t.head.nmsrs = v->tsc_deadline ? 2 : 1;
		t.head.entries[0].index = MSR_TSC;
		t.head.entries[1].index = MSR_TSC_DEADLINE;
		if ((r = vmm_msrs_call(v, i, KVM_GET_MSRS, &t)) != 0)
			return r;
		v->time[i].tsc = t.head.entries[0].data;
		v->time[i].deadline = t.head.entries[1].data;
	}
	if ((r = vmm_call(v->fd, KVM_GET_CLOCK, &v->clock)) == 0)
		v->stopped = true;
	return r;
}

int
vmm_clock_go(struct vmm *v)
{
	struct kvm_clock_data clock = { .clock = v->clock.clock };
	struct vmm_msr msr[2] = { { MSR_TSC, 0 }, { MSR_TSC_DEADLINE, 0 } };
	unsigned i;
	int r;

	if (!v->stopped)
		return 0;
	v->stopped = false;
	/*
	 * Values written within a second of each other put the TSCs of all
	 * vCPUs in step, as at their start.  So would the first one be put in
	 * step with what is there, if the guest stood still for less than a
	 * second, or was saved in its first one: it is moved far away before.
	 * A deadline is set anew for its timer to learn of the TSC.
	 */
	msr[0].value = v->time[0].tsc + TSC_FAR;
	if ((r = vmm_vcpu_set_msrs(v, 0, msr, 1)) != 0)
		return r;
	for (i = 0; i < v->ncpus; i++) {
		msr[0].value = v->time[i].tsc;
		msr[1].value = v->time[i].deadline;
		r = vmm_vcpu_set_msrs(v, i, msr, msr[1].value != 0 ? 2 : 1);
		if (r != 0)
			return r;
	}
	if ((r = vmm_call(v->fd, KVM_SET_CLOCK, &clock)) != 0)
		return r;
	/* Says that a watchdog should not bark; a guest without kvm-clock has
	 * nobody to tell. */
	for (i = 0; i < v->ncpus; i++)
		call_n(v->vcpu_base + (int)i, KVM_KVMCLOCK_CTRL, 0);
	return 0;
}

int
vmm_vcpu_get_regs(struct vmm *v, unsigned cpu, struct kvm_regs *r)
{
	return vmm_call(v->vcpu_base + (int)cpu, KVM_GET_REGS, r);
}

int
vmm_vcpu_set_regs(struct vmm *v, unsigned cpu, const struct kvm_regs *r)
{
	return vmm_call(v->vcpu_base + (int)cpu, KVM_SET_REGS, r);
}

int
vmm_vcpu_get_sregs(struct vmm *v, unsigned cpu, struct kvm_sregs *s)
{
	return vmm_call(v->vcpu_base + (int)cpu, KVM_GET_SREGS, s);
}

int
vmm_vcpu_set_sregs(struct vmm *v, unsigned cpu, const struct kvm_sregs *s)
{
	return vmm_call(v->vcpu_base + (int)cpu, KVM_SET_SREGS, s);
}

int
vmm_vcpu_run(struct vmm *v, unsigned cpu)
{
	return call_n(v->vcpu_base + (int)cpu, KVM_RUN, 0);
}

int
vmm_vcpu_interrupt(struct vmm *v, unsigned cpu, uint8_t vector)
{
	struct kvm_interrupt i = { .irq = vector };

	return vmm_call(v->vcpu_base + (int)cpu, KVM_INTERRUPT, &i);
}

size_t
vmm_seal_list(const struct vmm *v, struct sandbox_ioctl *list, size_t max)
{
	static const struct {
		unsigned long request;
		bool vcpu;
	} need[] = {
		{ KVM_RUN, true },
		{ KVM_INTERRUPT, true }, /* ExtINT of the 8259 */
		{ KVM_GET_REGS, true }, /* rip for the end's detail */
		{ KVM_SET_REGS, true }, /* the kernel is loaded sealed */
		{ KVM_GET_SREGS, true },
		{ KVM_SET_SREGS, true },
		/* what vmm_state() reads and writes */
		{ KVM_GET_XSAVE, true },
		{ KVM_SET_XSAVE, true },
		{ KVM_GET_XCRS, true },
		{ KVM_SET_XCRS, true },
		{ KVM_GET_LAPIC, true },
		{ KVM_SET_LAPIC, true },
		{ KVM_GET_MP_STATE, true },
		{ KVM_SET_MP_STATE, true },
		{ KVM_GET_DEBUGREGS, true },
		{ KVM_SET_DEBUGREGS, true },
		{ KVM_GET_VCPU_EVENTS, true },
		{ KVM_SET_VCPU_EVENTS, true },
		{ KVM_GET_MSRS, true }, /* clocks of a guest that is paused */
		{ KVM_SET_MSRS, true },
		{ KVM_KVMCLOCK_CTRL, true },
		{ KVM_GET_CLOCK, false },
		{ KVM_SET_CLOCK, false },
		{ KVM_IOEVENTFD, false }, /* BARs move, queues come and go */
		{ KVM_IRQFD, false }, /* vectors are masked and unmasked */
		{ KVM_SET_GSI_ROUTING, false },
		{ KVM_SIGNAL_MSI, false },
		/* shadow RAM, and a log of what the guest writes */
		{ KVM_SET_USER_MEMORY_REGION, false },
		{ KVM_GET_DIRTY_LOG, false },
	};
	size_t i, n = sizeof(need) / sizeof(need[0]);

	for (i = 0; i < n && i < max; i++) {
		list[i].request = need[i].request;
		list[i].fd = need[i].vcpu ? v->vcpu_base : v->fd;
		list[i].nfds = need[i].vcpu ? v->vcpu_span : 1;
	}
	return i;
}
