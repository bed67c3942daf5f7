// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The host's CPUs: on while there is a VM, through hotplug and suspend, and
 * off before a reboot or kexec.
 *
 * Invariants
 *  1. users > 0 means that every online CPU is enabled, from cpuhp's online
 *     callback on, but for one that a suspend or reboot has turned off:
 *     changes are made under cpus_read_lock and lock.
 *  2. A CPU that is off enters no guest: the backend looks with IRQs off, and
 *     it is turned off by an IPI or with IRQs off itself.
 *
 * A crash needs nothing of us: what stops the other CPUs is an NMI, which is
 * taken with GIF 1, and only GIF 0 would keep a CPU from being started again.
 */
#include <linux/cpuhotplug.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>
#include <asm/msr.h>
#include "clock.h"
#include "dev.h"
#include "power.h"
#include "vcpu.h"

static DEFINE_MUTEX(lock);
static unsigned users; /* VMs; lock, and resume, which is alone */
static enum cpuhp_state state; /* lock */

int
dev_enable(void)
{
	int err = 0;

	mutex_lock(&lock);
	if (users == 0) {
		/* Calls online() on every CPU, undoes it on failure. */
		err = cpuhp_setup_state(
		    CPUHP_AP_ONLINE_DYN, "vmm:online", power_on, power_off);
		if (err >= 0) {
			state = err;
			err = 0;
			preempt_notifier_inc();
		}
	}
	if (!err)
		users++;
	mutex_unlock(&lock);
	return err;
}

void
dev_disable(void)
{
	mutex_lock(&lock);
	if (--users == 0) {
		preempt_notifier_dec();
		cpuhp_remove_state(state);
	}
	mutex_unlock(&lock);
}

int
power_on(unsigned cpu)
{
	int err;

	preempt_disable();
	err = hv->cpu_enable();
	preempt_enable();
	return err;
}

int
power_off(unsigned cpu)
{
	preempt_disable();
	hv->cpu_disable();
	preempt_enable();
	return 0;
}

static void
off(void *arg)
{
	hv->cpu_disable();
}

static int
reboot(struct notifier_block *nb, unsigned long event, void *arg)
{
	on_each_cpu(off, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block reboot_nb = { .notifier_call = reboot };

/* The last CPU goes to sleep; the others went by hotplug.  IRQs are off. */
static u64 tsc_asleep;

static int
suspend(void)
{
	tsc_asleep = rdtsc();
	hv->cpu_disable();
	return 0;
}

static void
resume(void)
{
	clock_resume(tsc_asleep);
	if (READ_ONCE(users) && hv->cpu_enable())
		pr_err("vmm: no %s after the suspend\n", hv->name);
}

static struct syscore_ops syscore = { .suspend = suspend, .resume = resume };

int
power_init(void)
{
	int err = register_reboot_notifier(&reboot_nb);

	if (!err)
		register_syscore_ops(&syscore);
	return err;
}

void
power_exit(void)
{
	unregister_syscore_ops(&syscore);
	unregister_reboot_notifier(&reboot_nb);
}
