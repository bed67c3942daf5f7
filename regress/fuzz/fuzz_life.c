/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what the processes of a VM, which a guest may own, and netcfg can say
 * to the parent, and how they can end: any message of any channel by any of
 * them, before the guest runs and after, while people stop, pause and start it,
 * and time limits pass.  Whatever it is, the parent lives, and when they are
 * gone the VM is stopped and nothing is left of it.
 *
 * The first byte of the input is what kind of a VM it is.  Then come records
 * (record.h): of a process, or, with a type from ACTS on, what else happens.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "balloon.h"
#include "life.h"
#include "log.h"
#include "msg.h"
#include "netproc.h"
#include "parent.h"
#include "pause.h"
#include "spawn.h"

#define ENDS 100 /* turns until all is gone */

/* The first byte. */
enum { K_ADHOC = 1, K_CDROM = 2, K_USER = 4, K_SEED = 8, K_LOCAL = 16 };

/* A flag of a message's: its id is 1, not 0. */
#define F_ANSWER 0x80

/* Types of records. */
enum {
	ACTS = 0xf0,
	A_END = ACTS, /* of a process: its channel, then it; first byte: how */
	A_CLOSE, /* its channel alone */
	A_REAP, /* it, while its channel is open */
	A_START,
	A_STOP,
	A_KILL,
	A_PAUSE,
	A_GO_ON,
	A_MEMORY,
	A_TIME, /* is up */
};

static struct life life;
static struct netproc net;
static struct conf conf;
static struct vmreg reg;
static char dir[] = "/tmp/fuzz_life.XXXXXX";
static char kernel[64], disk[64], cdrom[64], seed[64];

pid_t __wrap_spawn_child(const struct spawn *, int *fd);

pid_t
__wrap_spawn_child(const struct spawn *s, int *fd)
{
	return proc_new(s->role, fd);
}

static void
reap(struct proc *p, int status)
{
	if (!p->there)
		return;
	p->there = false;
	check(netproc_reaped(&net, proc_pid(p), status) ||
	    life_reaped(&life, proc_pid(p), status));
}

/* Whose record it is. */
static struct proc *
which(const struct record *rec)
{
	return &proc[F_WHICH(rec->flags & ~F_ANSWER) % nprocs];
}

/* What the parent says is not heard. */
static void
turn(void)
{
	static struct heard lost;
	unsigned i;

	event_base_loop(life.base, EVLOOP_NONBLOCK);
	for (i = 0; i < nprocs; i++)
		while (proc_hear(&proc[i], &lost))
			;
}

static void
nothing(void *arg, struct vm *vm)
{
}

static void
failed(void *arg, struct vm *vm, const struct fail *why)
{
	check(why->code != 0 && why->text[0] != '\0');
}

static void
changed(void *arg, struct vm *vm, uint32_t error)
{
}

static void
saved(void *arg, struct vm *vm, const struct fail *why)
{
}

static void
progress(void *arg, struct vm *vm, const char *line)
{
}

static const struct life_ops ops = { nothing, failed, nothing, changed, saved,
	progress, nothing, nothing, nothing };

static void
make_file(char *path, const char *name, off_t size)
{
	int fd;

	snprintf(path, sizeof(kernel), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd != -1 && ftruncate(fd, size) == 0);
	close(fd);
}

static void
remove_files(void)
{
	unlink(kernel);
	unlink(disk);
	unlink(cdrom);
	unlink(seed);
	rmdir(dir);
}

static void
set_up(void)
{
	check(mkdtemp(dir) != NULL);
	atexit(remove_files);
	make_file(kernel, "kernel", 4096);
	make_file(disk, "disk", 1 << 20);
	make_file(cdrom, "cdrom", 1 << 20);
	make_file(seed, "seed", 100);
	life.base = event_base_new();
	check(life.base != NULL);
	life.reg = &reg;
	life.ops = &ops;
	life.limits = life_limits_dflt;
	TAILQ_INIT(&conf.switches);
	conf.local =
	    (struct conf_local){ .prefix = 100U << 24 | 64U << 16, .len = 10 };
	net.base = life.base;
	net.reg = &reg;
	net.ops = &life_net_ops;
	net.arg = &life;
	snprintf(life.hypervisor, sizeof(life.hypervisor), "/dev/null");
	life.socket = dir;
}

static void
make_vm(uint8_t kind)
{
	struct vmconf c;
	struct vm *vm;

	vmreg_init(&reg);
	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "web");
	snprintf(c.kernel, sizeof(c.kernel), "%s", kernel);
	snprintf(c.disk[0].path, sizeof(c.disk[0].path), "%s", disk);
	c.ndisks = 1;
	c.memory = 64 << 20;
	c.uid = getuid();
	c.gid = getgid();
	if ((kind & K_ADHOC) != 0)
		c.flags |= VM_F_ADHOC;
	if ((kind & K_CDROM) != 0)
		snprintf(c.cdrom, sizeof(c.cdrom), "%s", cdrom);
	if ((kind & K_USER) != 0)
		c.nic[c.nnics++].flags = VM_NIC_USER;
	/* Its queues are opened before netcfg makes it. */
	if ((kind & K_LOCAL) != 0 && access("/dev/net/tun", R_OK | W_OK) == 0)
		c.nic[c.nnics++].flags = VM_NIC_LOCAL;
	if ((kind & K_SEED) != 0) {
		c.flags |= VM_F_SEED;
		snprintf(
		    c.seed.user_data, sizeof(c.seed.user_data), "%s", seed);
	}
	check(vmreg_add(&reg, &c, &vm) == 0);
}

static struct vm *
the_vm(void)
{
	return TAILQ_FIRST(&reg.vms);
}

static void
act(const struct record *rec, const uint8_t *body, size_t n)
{
	struct vm *vm;
	struct fail why;
	struct proc *p = which(rec);

	if (rec->type == A_END || rec->type == A_CLOSE)
		fd_close(&p->sock);
	if (rec->type == A_END)
		turn();
	if (rec->type == A_END || rec->type == A_REAP)
		reap(p, n > 0 ? body[0] << 8 : SIGKILL);
	/* An ad-hoc VM may be gone by now. */
	if ((vm = the_vm()) == NULL)
		return;
	switch (rec->type) {
	case A_START:
		(void)life_start(&life, vm, NULL, &why);
		break;
	case A_STOP:
	case A_KILL:
		(void)life_stop(&life, vm, rec->type == A_KILL, &why);
		break;
	case A_PAUSE:
	case A_GO_ON:
		(void)pause_ask(vm, rec->type == A_PAUSE, &why);
		break;
	case A_MEMORY:
		(void)balloon_set(vm, 32 << 20, &why);
		break;
	case A_TIME:
		timer_due(vm->timer);
		timer_due(net.respawn);
		break;
	}
}

static void
start_netcfg(void)
{
	net.last_key = 0;
	net.ending = false;
	life.net = &net;
	check(netproc_start(&net) == 0);
	netproc_configure(&net, &conf);
}

/* All processes end, those too that a guest's reset makes. */
static void
end_all(void)
{
	struct vm *vm;
	unsigned i, k;

	life.ending = true;
	netproc_stop(&net);
	for (k = 0; k == 0 || (k < ENDS && !life_idle(&life)); k++) {
		for (i = 0; i < nprocs; i++) {
			fd_close(&proc[i].sock);
			reap(&proc[i], 0);
		}
		turn();
	}
	check(life_idle(&life) && net.pid == 0 && net.respawn == NULL);
	life.ending = false;
	if ((vm = the_vm()) != NULL) {
		check(vm->state == VM_STOPPED && vm->timer == NULL);
		check(vm->tty[0].master == -1 && vm->run.vm.chan == NULL);
	}
	vmreg_clear(&reg);
	turn();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body;
	struct record rec;
	struct fail why;
	unsigned fds;
	size_t n;

	if (life.base == NULL)
		set_up();
	if (len == 0)
		return 0;
	fds = open_fds();
	nprocs = 0;
	start_netcfg();
	make_vm(data[0]);
	data++;
	len--;
	check(life_start(&life, the_vm(), NULL, &why) == 0);
	while (record_next(&data, &len, &rec, &body, &n)) {
		if (rec.type >= ACTS)
			act(&rec, body, n);
		else
			proc_say(which(&rec), &rec, VMD_MSG_BASE + rec.type,
			    (rec.flags & F_ANSWER) != 0, body, n,
			    which(&rec)->sock);
		turn();
	}
	end_all();
	check(open_fds() == fds);
	return 0;
}
