/* SPDX-License-Identifier: ISC */
/*
 * The host probe: runs the guest of probe_guest.c under a time limit and
 * compares what it reports with script[].  Also the role "probe": gets the
 * device by descriptor, confines and seals itself, answers once.
 *
 * Invariant: the run ends.  A timer sets immediate_exit and interrupts
 * KVM_RUN again and again; a driver that cannot be interrupted at all is the
 * parent's time limit.
 */
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <linux/kvm.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "chan.h"
#include "cpuid.h"
#include "ctl.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "probe.h"
#include "probe_guest.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#include "vcpu.h"
#include "vmconf.h"
#include "vmm.h"

#define SETUP_MS  5000
#define FLUSH_MS  1000
#define SEAL_MAX  32
#define AGAIN_MS  50 /* between signals once the time is up */
#define PATH_SHOW 256

struct probe {
	struct vmm *vmm;
	struct gmem mem;
};

/* What the guest must do, in this order. */
static const struct event {
	uint16_t port;
	uint32_t value;
} script[] = {
	{ PROBE_PORT_STEP, PROBE_REAL },
	{ PROBE_PORT_STEP, PROBE_PROTECTED },
	{ PROBE_PORT_STEP, PROBE_LONG },
	{ PROBE_PORT_STEP, PROBE_FAULT },
	{ PROBE_PORT_VALUE, PROBE_FAULT_ADDR },
	{ PROBE_PORT_VALUE, PROBE_FAULT_CODE },
	{ PROBE_PORT_STEP, PROBE_IRQ },
	{ PROBE_PORT_VALUE, PROBE_IRQ_VECTOR },
	{ PROBE_PORT_STEP, PROBE_SYSCALL },
	{ PROBE_PORT_VALUE, PROBE_USER_CS },
	{ PROBE_PORT_STEP, PROBE_INT },
	{ PROBE_PORT_VALUE, PROBE_USER_CS },
	{ PROBE_PORT_STEP, PROBE_DONE },
};
#define EVENTS (sizeof(script) / sizeof(script[0]))

/* How far it got, in words. */
static const char *const reached[] = {
	[PROBE_START] = "at its first instruction",
	[PROBE_REAL] = "in real mode",
	[PROBE_PROTECTED] = "on the way from protected to long mode",
	[PROBE_LONG] = "at a page fault in long mode",
	[PROBE_FAULT] = "at an interrupt in long mode",
	[PROBE_IRQ] = "at the way to ring 3 and a system call",
	[PROBE_SYSCALL] = "at the way back to ring 3",
	[PROBE_INT] = "at its end",
	[PROBE_DONE] = "nowhere",
};

static struct kvm_run *volatile alarm_run;
static volatile sig_atomic_t alarmed;

static void __attribute__((format(printf, 2, 3)))
say(struct probe_report *rep, const char *fmt, ...)
{
	size_t len = strlen(rep->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(rep->text + len, sizeof(rep->text) - len, fmt, ap);
	va_end(ap);
}

static void
on_alarm(int sig)
{
	alarmed = 1;
	if (alarm_run != NULL)
		alarm_run->immediate_exit = 1;
}

static int
start_alarm(struct kvm_run *run)
{
	const struct itimerval it = {
		.it_value = { PROBE_MS / 1000, PROBE_MS % 1000 * 1000 },
		.it_interval = { 0, AGAIN_MS * 1000 },
	};
	struct sigaction sa = { .sa_handler = on_alarm };

	alarmed = 0;
	alarm_run = run;
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGALRM, &sa, NULL) == -1 ||
	    setitimer(ITIMER_REAL, &it, NULL) == -1)
		return -errno;
	return 0;
}

static void
stop_alarm(void)
{
	const struct itimerval off = { 0 };

	setitimer(ITIMER_REAL, &off, NULL);
	alarm_run = NULL;
}

/* The processor as this machine has it; a VM of a nested cloud may hide it. */
static void
say_processor(struct probe_report *rep)
{
	struct cpuid_regs r;
	char vendor[13] = "unknown";
	const char *virt = "none", *paging = "unknown";

	if (cpuid_host(0, &r)) {
		memcpy(vendor, &r.ebx, 4);
		memcpy(vendor + 4, &r.edx, 4);
		memcpy(vendor + 8, &r.ecx, 4);
		vendor[12] = '\0';
	}
	if (cpuid_host(1, &r) && (r.ecx & 1U << 5) != 0)
		virt = "VMX";
	if (cpuid_host(0x80000001, &r) && (r.ecx & 1U << 2) != 0) {
		virt = "SVM";
		if (cpuid_host(0x8000000a, &r))
			paging = (r.edx & 1) != 0 ? "yes" : "no";
	}
	say(rep, "processor: %s, virtualization: %s\n", vendor, virt);
	say(rep, "nested paging: %s\n", paging);
}

static void
say_limits(struct probe_report *rep, const struct vmm_info *info)
{
	struct sysinfo si;

	say(rep, "API version: %d\nvCPUs: at most %u\n", info->api,
	    info->max_vcpus < VM_CPUS_MAX ? info->max_vcpus : VM_CPUS_MAX);
	if (sysinfo(&si) == 0)
		say(rep, "memory: %llu MiB\n",
		    (unsigned long long)si.totalram * si.mem_unit >> 20);
}

static void
say_features(struct probe_report *rep, const struct vmm *vmm)
{
	const struct kvm_cpuid2 *c = vmm_cpuid(vmm);
	bool clock = false, gb = false, xsave = false;
	uint32_t i;

	for (i = 0; i < c->nent; i++) {
		if (c->entries[i].function == 0x40000001)
			clock = (c->entries[i].eax & 1U << 3) != 0;
		if (c->entries[i].function == 0x80000001)
			gb = (c->entries[i].edx & 1U << 26) != 0;
		if (c->entries[i].function == 1)
			xsave = (c->entries[i].ecx & 1U << 26) != 0;
	}
	say(rep, "features: split-irqchip%s%s%s%s\n",
	    vmm_tsc_deadline(vmm) ? " tsc-deadline" : "",
	    clock ? " kvm-clock" : "", gb ? " 1g-pages" : "",
	    xsave ? " xsave" : "");
}

static void __attribute__((format(printf, 2, 3)))
unfit(struct probe_report *rep, const char *fmt, ...)
{
	char why[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	rep->fit = false;
	say(rep, "unfit: %s\n", why);
}

/* Real mode at PROBE_ENTRY: CS base 0, so that addresses are linear. */
static int
set_start(struct vmm *vmm)
{
	struct kvm_regs regs = { .rip = PROBE_ENTRY, .rflags = 2 };
	struct kvm_sregs s;
	int r;

	if ((r = vmm_vcpu_get_sregs(vmm, 0, &s)) < 0)
		return r;
	s.cs.base = 0;
	s.cs.selector = 0;
	if ((r = vmm_vcpu_set_sregs(vmm, 0, &s)) < 0)
		return r;
	return vmm_vcpu_set_regs(vmm, 0, &regs);
}

static int
make_guest(struct probe *p)
{
	const char *missing;
	uint8_t *ram;
	int r;

	if ((r = gmem_create(&p->mem, PROBE_RAM)) < 0)
		return r;
	ram = gmem_range(&p->mem, (struct gpa){ 0 }, PROBE_RAM);
	if (ram == NULL)
		return -ENOMEM;
	probe_guest(ram);
	if ((r = vmm_set_memory(p->vmm, &p->mem)) < 0 ||
	    (r = vcpu_set_up(p->vmm, VM_CPU_HOST, &missing)) < 0)
		return r;
	return set_start(p->vmm);
}

void
probe_prepare(
    struct probe **probe, int devfd, const char *path, struct probe_report *rep)
{
	struct vmm_info info;
	const char *why;
	struct probe *p;
	int r;

	*probe = NULL;
	memset(rep, 0, sizeof(*rep));
	say(rep, "device: %.*s\n", PATH_SHOW, path);
	say_processor(rep);
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		unfit(rep, "out of memory");
		close(devfd);
		return;
	}
	p->mem.fd = -1;
	if (vmm_query(devfd, &info) == 0)
		say_limits(rep, &info);
	if ((r = vmm_create(&p->vmm, devfd, 1, &why)) < 0) {
		unfit(rep, "%s (%s)", why, strerrordesc_np(-r));
		close(devfd);
		probe_free(p);
		return;
	}
	say_features(rep, p->vmm);
	if ((r = make_guest(p)) < 0) {
		unfit(rep, "a guest cannot be set up: %s", strerrordesc_np(-r));
		probe_free(p);
		return;
	}
	*probe = p;
}

size_t
probe_seal_list(const struct probe *p, struct sandbox_ioctl *list, size_t max)
{
	return vmm_seal_list(p->vmm, list, max);
}

/* One port write against the script: the next event, or -1. */
static int
match(const struct kvm_run *run, unsigned at)
{
	const uint8_t *data = (const uint8_t *)run + run->io.data_offset;
	uint32_t value = 0;

	if (run->io.direction != KVM_EXIT_IO_OUT || run->io.count != 1 ||
	    run->io.size > sizeof(value) || at >= EVENTS)
		return -1;
	memcpy(&value, data, run->io.size);
	if (run->io.port != script[at].port || value != script[at].value)
		return -1;
	return (int)at + 1;
}

static const char *
exit_words(uint32_t reason)
{
	switch (reason) {
	case KVM_EXIT_SHUTDOWN:
		return "triple fault";
	case KVM_EXIT_INTERNAL_ERROR:
		return "instruction not emulated";
	case KVM_EXIT_FAIL_ENTRY:
		return "state refused";
	case KVM_EXIT_HLT:
		return "stopped";
	default:
		return "unexpected";
	}
}

static const char *
place_of(unsigned at)
{
	unsigned step = PROBE_START;

	while (at-- > 0) {
		if (script[at].port == PROBE_PORT_STEP) {
			step = script[at].value;
			break;
		}
	}
	return reached[step];
}

void
probe_execute(struct probe *p, struct probe_report *rep)
{
	struct kvm_run *run = vmm_vcpu_state(p->vmm, 0);
	unsigned at = 0;
	int r, next;

	while (at < EVENTS) {
		if (alarmed) {
			unfit(rep, "a guest hangs %s", place_of(at));
			return;
		}
		r = vmm_vcpu_run(p->vmm, 0);
		if (r == -EINTR || r == -EAGAIN)
			continue;
		if (r < 0) {
			unfit(rep, "a guest cannot run %s: %s", place_of(at),
			    strerrordesc_np(-r));
			return;
		}
		if (run->exit_reason == KVM_EXIT_INTR)
			continue;
		if (run->exit_reason != KVM_EXIT_IO) {
			unfit(rep, "a guest fails %s: %s, exit %u",
			    place_of(at), exit_words(run->exit_reason),
			    run->exit_reason);
			return;
		}
		if ((next = match(run, at)) < 0) {
			unfit(rep, "a guest goes wrong %s", place_of(at));
			return;
		}
		at = (unsigned)next;
	}
	rep->fit = true;
	say(rep, "fit\n");
}

void
probe_free(struct probe *p)
{
	if (p == NULL)
		return;
	vmm_destroy(p->vmm);
	gmem_destroy(&p->mem);
	free(p);
}

int
probe_run(int devfd, const char *path, struct probe_report *rep)
{
	struct probe *p;
	int r;

	probe_prepare(&p, devfd, path, rep);
	if (p == NULL)
		return -ENODEV;
	if ((r = start_alarm(vmm_vcpu_state(p->vmm, 0))) < 0)
		unfit(rep, "no timer: %s", strerrordesc_np(-r));
	else
		probe_execute(p, rep);
	stop_alarm();
	probe_free(p);
	return rep->fit ? 0 : -ENODEV;
}

/* The role */

struct probe_role {
	int fd; /* the device */
	char path[PATH_SHOW];
};

static int
on_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct probe_role *role = arg;

	if (role->fd != -1 ||
	    ctl_get_str(body, role->path, sizeof(role->path)) < 0) {
		close(fd);
		return -EBADMSG;
	}
	role->fd = fd;
	return 0;
}

static const struct chan_row rows[] = {
	{ PROBE_FD, "PROBE_FD", CHAN_FD, on_fd },
};

static const struct chan_ops role_ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
};

static void
seal(struct probe *p)
{
	struct sandbox_ioctl list[SEAL_MAX];
	size_t n;

	n = p == NULL ? 0 : probe_seal_list(p, list, SEAL_MAX);
	sandbox_seal("stdio " /* the answer, the log */
		     "vmm", /* run the one vCPU */
	    list, n);
}

int
probe_main(void)
{
	static const struct sandbox box = { .user = "_vmd", .nofile = 256 };
	struct probe_role role = { .fd = -1 };
	struct probe_report rep;
	struct probe *p;
	struct chan *parent;
	struct ibuf *body;
	int r;

	if ((parent = chan_new(NULL, SPAWN_FD, &role_ops, &role)) == NULL ||
	    (r = chan_recv(parent, SETUP_MS)) < 0) {
		log_warnx("no device to probe");
		return 1;
	}
	sandbox_confine(&box);
	probe_prepare(&p, role.fd, role.path, &rep);
	if (p != NULL && start_alarm(vmm_vcpu_state(p->vmm, 0)) < 0)
		fatal("timer");
	chan_forbid_fds(parent);
	seal(p);
	if (p != NULL)
		probe_execute(p, &rep);
	body = chan_body();
	if (ibuf_add_n32(body, rep.fit) == -1 ||
	    ctl_put_str(body, rep.text) < 0)
		fatalx("report too long");
	chan_send(parent, PROBE_REPORT, 0, -1, body);
	return chan_flush(parent, FLUSH_MS) < 0;
}
