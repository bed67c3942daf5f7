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
 *  4. A thread counts as running from leaving wait_go() to its end or the
 *     next wait there: what vcpu_park() waits for is that none does.
 *  5. Only vCPU 0 is kicked by other threads than the main thread, and it is
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
#include "log.h"
#include "machine.h"
#include "thread.h"
#include "vcpu.h"

#define KICK_SIGNAL SIGUSR1

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
	unsigned holds; /* (l) vcpu_hold() */
	unsigned running; /* (l) */
	atomic_bool wait; /* !may_run(), for a look without the lock */
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
	char detail[256];

	if (vmm_vcpu_get_regs(v->all->vmm, v->id, &regs) < 0)
		regs.rip = 0;
	snprintf(detail, sizeof(detail), "vcpu%u: %s %#llx at rip %#llx", v->id,
	    what, (unsigned long long)code, (unsigned long long)regs.rip);
	end(v, VM_END_ERROR, detail);
}

/* What the hypervisor says beside its own error's number. */
static void
end_internal(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	char what[128];
	size_t len;
	uint32_t i;

	len = (size_t)snprintf(what, sizeof(what), "%s",
	    run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
		? "instruction not emulated"
		: "hypervisor internal error");
	for (i = 0; i < run->internal.ndata && i < 4; i++)
		len += (size_t)snprintf(what + len, sizeof(what) - len,
		    "%s%#llx", i == 0 ? " (" : " ",
		    (unsigned long long)run->internal.data[i]);
	if (i > 0)
		snprintf(what + len, sizeof(what) - len, ")");
	end_error(v, what, run->internal.suberror);
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
		end_internal(v);
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

/* The calling thread does not run any more. */
static void
leave(struct vcpus *all)
{
	pthread_mutex_lock(&all->lock);
	all->running--;
	pthread_cond_broadcast(&all->cond);
	pthread_mutex_unlock(&all->lock);
}

static bool
may_run(const struct vcpus *all) /* (l) */
{
	return all->go && all->holds == 0;
}

static void
changed(struct vcpus *all) /* (l) */
{
	atomic_store(&all->wait, !may_run(all));
	pthread_cond_broadcast(&all->cond);
}

/* Parked until it may run; false: it is over. */
static bool
wait_go(struct vcpus *all)
{
	bool go;

	pthread_mutex_lock(&all->lock);
	while (!may_run(all) && !atomic_load(&all->stop))
		pthread_cond_wait(&all->cond, &all->lock);
	go = !atomic_load(&all->stop);
	all->running += go;
	pthread_mutex_unlock(&all->lock);
	return go;
}

/* In and out of the guest, until it is to park or it is over. */
static void
run(struct vcpu *v)
{
	struct vcpus *all = v->all;
	int r;

	for (;;) {
		v->run->immediate_exit = 0;
		atomic_signal_fence(memory_order_seq_cst);
		if (atomic_load(&all->stop) || atomic_load(&all->wait))
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
}

static void *
vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	sigset_t kick;

	current_run = v->run;
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	while (wait_go(v->all)) {
		run(v);
		leave(v->all);
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

static int
make_threads(struct vcpus *all)
{
	char name[16];
	unsigned i;
	int r;

	for (i = 0; i < all->n; i++) {
		snprintf(name, sizeof(name), "vcpu%u", i);
		r = thread_new(
		    &all->v[i].thread, name, vcpu_thread, &all->v[i]);
		if (r < 0)
			return r;
		all->v[i].made = true;
	}
	return 0;
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
	changed(all);
	pthread_mutex_unlock(&all->lock);
}

void
vcpu_park(struct vcpus *all)
{
	unsigned i;

	pthread_mutex_lock(&all->lock);
	all->go = false;
	changed(all);
	pthread_mutex_unlock(&all->lock);
	for (i = 0; i < all->n; i++)
		vcpu_kick(all, i);
	pthread_mutex_lock(&all->lock);
	while (all->running > 0)
		pthread_cond_wait(&all->cond, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

void
vcpu_settle(struct vcpus *all)
{
	struct vcpu *v;
	unsigned i;

	for (i = 0; i < all->n; i++) {
		v = &all->v[i];
		do /* a string instruction may have more */
			v->run->immediate_exit = 1;
		while (!atomic_load(&all->stop) &&
		    vmm_vcpu_run(all->vmm, i) == 0 && (serve_exit(v), true));
	}
}

void
vcpu_hold(struct vcpus *all, bool on)
{
	pthread_mutex_lock(&all->lock);
	if (on)
		all->holds++;
	else
		all->holds--;
	changed(all);
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
	for (i = all->n; i-- > 0;) { /* invariant 5 */
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
