/* SPDX-License-Identifier: ISC */
/*
 * vCPU threads: the KVM_RUN loop, exits, ExtINT injection ("The kvm_run
 * structure" of the KVM API documentation).
 *
 * Invariants
 *  1. A kick is never lost: the kicker signals the thread, the handler sets
 *     immediate_exit in the run page, the loop clears immediate_exit before
 *     it looks at what a kick may be about.
 *  2. Exits are served under the machine lock only; KVM_RUN never is.
 *  3. After stop is set a thread serves the exit at hand and enters the guest
 *     no more.
 *  4. Only vCPU 0 is kicked by other threads than the main thread, and it is
 *     joined last: nobody kicks a thread that is gone.
 */
#include <linux/kvm.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cpuid.h"
#include "log.h"
#include "machine.h"
#include "vcpu.h"

#define KICK_SIGNAL SIGUSR1
#define STACK_SIZE  (64 * 1024)

/* Intel SDM volume 4; AMD64 APM volume 2, "MTRRs". */
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_ENABLE	  (1U << 11)
#define MTRR_WRITEBACK	  6

#define CR0_PE	 (1U << 0)
#define CR0_ET	 (1U << 4)
#define CR0_PG	 (1U << 31)
#define CR4_PAE	 (1U << 5)
#define EFER_LME (1U << 8)
#define EFER_LMA (1U << 10)

struct vcpu {
	struct vcpus *all;
	struct kvm_run *run;
	unsigned id;
	pthread_t thread;
	bool made;
};

struct vcpus {
	struct vmm *vmm;
	struct machine *machine;
	const struct vcpu_ops *ops;
	void *arg;
	unsigned n;
	pthread_mutex_t lock; /* (l) */
	pthread_cond_t cond;
	bool go; /* (l) */
	atomic_bool stop;
	struct vcpu v[VM_CPUS_MAX];
};

/* The run page of the calling thread, for the kick handler. */
static _Thread_local struct kvm_run *volatile current_run;

static void
on_kick(int sig)
{
	if (current_run != NULL)
		current_run->immediate_exit = 1; /* invariant 1 */
}

int
vcpu_set_up(struct vmm *vmm)
{
	/* As firmware leaves it: all memory write-back. */
	static const struct vmm_msr msrs[] = {
		{ MSR_MTRR_DEF_TYPE, MTRR_ENABLE | MTRR_WRITEBACK },
	};
	struct kvm_cpuid2 *c;
	unsigned i;
	int r = 0;

	c = cpuid_build(vmm_cpuid(vmm), vmm_ncpus(vmm), vmm_tsc_deadline(vmm));
	if (c == NULL)
		return -errno;
	for (i = 0; r == 0 && i < vmm_ncpus(vmm); i++) {
		cpuid_for(c, i);
		r = vmm_vcpu_set_cpuid(vmm, i, c);
		if (r == 0)
			r = vmm_vcpu_set_msrs(
			    vmm, i, msrs, sizeof(msrs) / sizeof(msrs[0]));
	}
	free(c);
	return r;
}

/* Flat segments; type 11 code, 3 data, 11 busy TSS (SDM, "Descriptors"). */
static struct kvm_segment
flat(uint16_t selector, uint8_t type, bool lm)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = !lm,
		.l = lm,
	};
}

/* The same segments in a GDT, for a kernel that reloads them. */
static int
write_gdt(const struct gmem *mem, bool lm)
{
	const uint64_t gdt[] = {
		0,
		0,
		lm ? 0x00af9b000000ffffULL : 0x00cf9b000000ffffULL,
		0x00cf93000000ffffULL,
		0x00008b0000000067ULL | LOAD_TSS_GPA << 16,
	};

	return gmem_write(mem, (struct gpa){ LOAD_GDT_GPA }, gdt, sizeof(gdt));
}

int
vcpu_boot(struct vmm *vmm, const struct gmem *mem, const struct load_out *o)
{
	struct kvm_regs regs = {
		.rip = o->rip,
		.rbx = o->rbx,
		.rsi = o->rsi,
		.rflags = 2,
	};
	struct kvm_sregs s;
	bool lm = o->mode == LOAD_LONG;
	int r;

	if ((r = write_gdt(mem, lm)) < 0 ||
	    (r = vmm_vcpu_get_sregs(vmm, 0, &s)) < 0)
		return r;
	s.cs = flat(LOAD_CS, 11, lm);
	s.ds = s.es = s.fs = s.gs = s.ss = flat(LOAD_DS, 3, false);
	s.tr = (struct kvm_segment){
		.base = LOAD_TSS_GPA,
		.limit = 0x67,
		.selector = LOAD_TR,
		.type = 11,
		.present = 1,
	};
	s.gdt.base = LOAD_GDT_GPA;
	s.gdt.limit = 5 * 8 - 1;
	s.idt.base = 0;
	s.idt.limit = 0;
	s.cr0 = CR0_PE | CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	if (lm) {
		s.cr0 |= CR0_PG;
		s.cr3 = o->cr3;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	if ((r = vmm_vcpu_set_sregs(vmm, 0, &s)) < 0)
		return r;
	return vmm_vcpu_set_regs(vmm, 0, &regs);
}

static void
end(struct vcpu *v, enum vm_end how, const char *detail)
{
	struct vcpus *all = v->all;

	if (atomic_exchange(&all->stop, true))
		return; /* the first end counts */
	all->ops->ended(all->arg, how, detail);
}

/* An end that is the hypervisor's or our fault, with where the guest was. */
static void
end_error(struct vcpu *v, const char *what, uint64_t code)
{
	struct kvm_regs regs = { 0 };
	char detail[160];

	if (vmm_vcpu_get_regs(v->all->vmm, v->id, &regs) < 0)
		regs.rip = 0;
	snprintf(detail, sizeof(detail), "vcpu%u: %s %#llx at rip %#llx", v->id,
	    what, (unsigned long long)code, (unsigned long long)regs.rip);
	end(v, VM_END_ERROR, detail);
}

static void
serve_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	machine_pio(v->all->machine, run->io.port, run->io.size, run->io.count,
	    run->io.direction == KVM_EXIT_IO_OUT, data);
}

static void
serve_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		end(v, VM_END_POWEROFF, "");
		return;
	case KVM_SYSTEM_EVENT_RESET:
		end(v, VM_END_RESET, "");
		return;
	default:
		end_error(v, "system event", v->run->system_event.type);
	}
}

static void
serve_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		serve_io(v);
		return;
	case KVM_EXIT_MMIO:
		machine_mmio(v->all->machine, run->mmio.phys_addr,
		    run->mmio.len, run->mmio.is_write, run->mmio.data);
		return;
	case KVM_EXIT_IOAPIC_EOI:
		machine_eoi(v->all->machine, run->eoi.vector);
		return;
	case KVM_EXIT_IRQ_WINDOW_OPEN: /* the loop injects */
	case KVM_EXIT_INTR:
	case KVM_EXIT_HLT: /* the in-kernel APIC sleeps itself */
		return;
	case KVM_EXIT_SHUTDOWN:
		end(v, VM_END_TRIPLE, "triple fault");
		return;
	case KVM_EXIT_SYSTEM_EVENT:
		serve_event(v);
		return;
	case KVM_EXIT_FAIL_ENTRY:
		end_error(v, "guest state refused, hardware reason",
		    run->fail_entry.hardware_entry_failure_reason);
		return;
	case KVM_EXIT_INTERNAL_ERROR:
		end_error(v,
		    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
			? "instruction not emulated, error"
			: "hypervisor internal error",
		    run->internal.suberror);
		return;
	default:
		end_error(v, "unexpected exit", run->exit_reason);
	}
}

/*
 * The 8259's INTR line, boot processor only.  The driver takes one ExtINT
 * when it is ready; otherwise it is asked to say when.
 */
static int
inject(struct vcpu *v)
{
	struct machine *m = v->all->machine;
	struct kvm_run *run = v->run;
	int vector, r;

	if (v->id != 0)
		return 0;
	run->request_interrupt_window = 0;
	if (!machine_extint(m))
		return 0;
	if (run->ready_for_interrupt_injection) {
		if ((vector = machine_extint_ack(m)) < 0)
			return 0;
		r = vmm_vcpu_interrupt(v->all->vmm, 0, (uint8_t)vector);
		if (r < 0)
			return r;
		run->ready_for_interrupt_injection = 0;
	}
	run->request_interrupt_window = machine_extint(m);
	return 0;
}

static bool
wait_go(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	while (!all->go && !atomic_load(&all->stop))
		pthread_cond_wait(&all->cond, &all->lock);
	pthread_mutex_unlock(&all->lock);
	return !atomic_load(&all->stop);
}

static void *
vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vcpus *all = v->all;
	int r;

	current_run = v->run;
	if (!wait_go(all))
		return NULL;
	for (;;) {
		v->run->immediate_exit = 0;
		atomic_signal_fence(memory_order_seq_cst);
		if (atomic_load(&all->stop))
			break;
		if ((r = inject(v)) < 0) {
			end_error(v, "interrupt refused, errno", -r);
			break;
		}
		r = vmm_vcpu_run(all->vmm, v->id);
		if (r == 0)
			serve_exit(v);
		else if (r != -EINTR && r != -EAGAIN)
			end_error(v, "KVM_RUN failed, errno", -r);
	}
	return NULL;
}

static int
install_kick(void)
{
	struct sigaction sa = { .sa_handler = on_kick };

	sigemptyset(&sa.sa_mask);
	return sigaction(KICK_SIGNAL, &sa, NULL) == -1 ? -errno : 0;
}

/* Threads take no signal but the kick: the rest is the main thread's. */
static int
make_threads(struct vcpus *all)
{
	sigset_t block, old;
	pthread_attr_t attr;
	unsigned i;
	int r;

	sigfillset(&block);
	sigdelset(&block, KICK_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &block, &old);
	pthread_attr_init(&attr);
	r = pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (i = 0; r == 0 && i < all->n; i++) {
		r = pthread_create(
		    &all->v[i].thread, &attr, vcpu_thread, &all->v[i]);
		all->v[i].made = r == 0;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

int
vcpu_create(struct vcpus **vcpus, struct vmm *vmm, struct machine *machine,
    const struct vcpu_ops *ops, void *arg)
{
	struct vcpus *all;
	unsigned i;
	int r;

	if ((r = install_kick()) < 0)
		return r;
	if ((all = calloc(1, sizeof(*all))) == NULL)
		return -ENOMEM;
	all->vmm = vmm;
	all->machine = machine;
	all->ops = ops;
	all->arg = arg;
	all->n = vmm_ncpus(vmm);
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->cond, NULL);
	for (i = 0; i < all->n; i++) {
		all->v[i].all = all;
		all->v[i].id = i;
		all->v[i].run = vmm_vcpu_state(vmm, i);
	}
	if ((r = make_threads(all)) < 0) {
		vcpu_free(all);
		return r;
	}
	*vcpus = all;
	return 0;
}

void
vcpu_go(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	all->go = true;
	pthread_cond_broadcast(&all->cond);
	pthread_mutex_unlock(&all->lock);
}

void
vcpu_kick(struct vcpus *all, unsigned cpu)
{
	if (cpu < all->n && all->v[cpu].made &&
	    !pthread_equal(all->v[cpu].thread, pthread_self()))
		pthread_kill(all->v[cpu].thread, KICK_SIGNAL);
}

void
vcpu_quit(struct vcpus *all)
{
	atomic_store(&all->stop, true);
}

void
vcpu_stop(struct vcpus *all)
{
	unsigned i;

	if (all == NULL)
		return;
	pthread_mutex_lock(&all->lock);
	atomic_store(&all->stop, true);
	pthread_cond_broadcast(&all->cond);
	pthread_mutex_unlock(&all->lock);
	for (i = 0; i < all->n; i++)
		vcpu_kick(all, i);
	for (i = all->n; i-- > 0;) { /* invariant 4 */
		if (all->v[i].made)
			pthread_join(all->v[i].thread, NULL);
		all->v[i].made = false;
	}
}

void
vcpu_free(struct vcpus *all)
{
	if (all == NULL)
		return;
	vcpu_stop(all);
	pthread_cond_destroy(&all->cond);
	pthread_mutex_destroy(&all->lock);
	free(all);
}
