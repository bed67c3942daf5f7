/* SPDX-License-Identifier: ISC */
/*
 * Signals and KVM_RUN: immediate_exit, interruption in the guest and in a
 * halt, the mask of KVM_SET_SIGNAL_MASK.
 */
#include <sys/ioctl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

GUEST(64, loop, "movl $1, (0xc010)\n1:	incl (0xc000)\n\tjmp 1b\n\t");
GUEST(64, halted, "movl $1, (0xc010)\n\tsti\n\thlt\n\t" END);
GUEST(64, in_port, "in $0x60, %al\n\tmov %al, %bl\n\t" END);

static void
immediate_exit(int dev)
{
	struct kvm_regs r;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &in_port);
	v.run->immediate_exit = 1;
	EQ(run_errno(&v), EINTR);
	v.run->immediate_exit = 0;
	run_to(&v, KVM_EXIT_IO);
	((uint8_t *)v.run)[v.run->io.data_offset] = 0x5a;
	/* The way to complete an instruction without running on. */
	v.run->immediate_exit = 1;
	EQ(run_errno(&v), EINTR);
	regs_get(&v, &r);
	EQ(r.rax & 0xff, 0x5a);
	EQ(r.rip, CODE + 2);
	v.run->immediate_exit = 0;
	run_done(&v);
	regs_get(&v, &r);
	EQ(r.rbx & 0xff, 0x5a);
}

static void
interrupted(struct vcpu *v, struct vm *vm, uint64_t counter, uint32_t until)
{
	struct runner r;

	runner_start(&r, v);
	wait_u32(vm, counter, until);
	usleep(20000);
	runner_kick(&r);
	runner_join(&r, 20);
	EQ(r.error, EINTR);
	EQ(r.reason, KVM_EXIT_INTR);
}

static void
in_the_guest(int dev)
{
	struct vcpu v;
	struct vm vm;
	uint32_t n;

	guest(&vm, &v, dev, LONG64, &loop);
	interrupted(&v, &vm, DATA, 1);
	n = vm_u32(&vm, DATA);
	/* It goes on where it was. */
	interrupted(&v, &vm, DATA, n + 1);
	EQ(vm_u32(&vm, DATA + 16), 1);
}

static void
in_a_halt(int dev)
{
	struct kvm_mp_state m;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &halted);
	interrupted(&v, &vm, DATA + 16, 1);
	DO(v.fd, KVM_GET_MP_STATE, &m);
	EQ(m.mp_state, KVM_MP_STATE_HALTED);
	/* Still halted: again, and then woken. */
	interrupted(&v, &vm, DATA + 16, 1);
	DO(v.fd, KVM_NMI, 0);
	expect_trap(&v, NMI);
	run_done(&v);
}

/* Many kicks at any moment: each run ends, nothing of the guest is lost. */
static void
many(int dev)
{
	struct runner r;
	struct vcpu v;
	struct vm vm;
	unsigned i;

	guest(&vm, &v, dev, LONG64, &loop);
	for (i = 0; i < 300; i++) {
		runner_start(&r, &v);
		if (i % 3 != 0)
			usleep(i % 7 * 50);
		do
			runner_kick(&r);
		while (pthread_tryjoin_np(r.thread, NULL) == EBUSY &&
		    usleep(2000) == 0);
		EQ(r.error, EINTR);
	}
}

static void
nothing(int sig)
{
}

/* The kernel's mask of one word, in a buffer of its own. */
static void
set_mask(const struct vcpu *v, uint64_t mask)
{
	struct kvm_signal_mask *m = calloc(1, sizeof(*m) + 8);

	m->len = 8;
	memcpy(m->sigset, &mask, 8);
	DO(v->fd, KVM_SET_SIGNAL_MASK, m);
	free(m);
}

/* Blocked in the thread, open in KVM_RUN: pending, it ends the run at once and
 * stays pending; the other way round it does not end it. */
static void
signal_mask(int dev)
{
	struct sigaction sa = { .sa_handler = nothing };
	struct kvm_signal_mask bad = { .len = 4 };
	sigset_t set;
	struct vcpu v;
	struct vm vm;

	guest(&vm, &v, dev, LONG64, &in_port);
	ERR(v.fd, KVM_SET_SIGNAL_MASK, &bad, EINVAL);
	sigaction(SIGUSR1, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	raise(SIGUSR1);
	set_mask(&v, 0);
	EQ(run_errno(&v), EINTR);
	sigpending(&set);
	CHECK(sigismember(&set, SIGUSR1), "the signal was taken");
	set_mask(&v, 1ull << (SIGUSR1 - 1));
	run_to(&v, KVM_EXIT_IO);
	/* None: the thread's own. */
	DO(v.fd, KVM_SET_SIGNAL_MASK, NULL);
	run_done(&v);
}

TESTS(signals, T(immediate_exit), T(in_the_guest), T(in_a_halt), T(many),
    T(signal_mask));
