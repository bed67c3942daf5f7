/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what the parent hears before it has clients.  The keeper of an
 * earlier parent, in a stranger's hands: notes, descriptors of any kind where
 * others belong, more than once, in any order, or nothing; then what the
 * processes of VMs say that were adopted so, what keepers say that were only to
 * listen, and how all of them end.  And the probe.  Whatever it is, the parent
 * starts, or ends with a line that says why; each VM that it has adopted can be
 * ended; nothing is left of them.
 *
 * The first byte of the input is what is there.  Then come records (record.h):
 * until the first one with a type from ACTS on, what the keeper has; then what
 * happens.
 */
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "adopt.h"
#include "log.h"
#include "msg.h"
#include "page.h"
#include "parent.h"
#include "record.h"
#include "run.h"
#include "spawn.h"

#include "../../vmd/parent.h"
#include "../../vmd/record.h"

#define ENDS 100 /* turns until all is gone */
#define VMS  4 /* ids, with the daemon's */

/* The first byte. */
enum {
	K_PROBE = 1, /* it alone is asked */
	K_NONE = 2, /* no keeper is there */
	K_SILENT = 4, /* says no more, but lives; else its channel ends */
};

/* Types of records. */
enum {
	M_DAEMON = 0x80, /* a note as an honest keeper has it, */
	M_ID,
	M_VM, /* but for some bytes: each three offset and value */
	M_FD, /* vm, what, index */
	ACTS = 0xf0,
	A_SAY = ACTS, /* a process: its first byte is the type */
	A_END, /* of one: its channel */
	A_GONE, /* the watched process of a child: it ends */
	A_REAP, /* a keeper of our own */
	A_TIME, /* is up */
	A_STOP, /* a VM */
};

/* Descriptors that a keeper has. */
enum {
	FD_CHAN, /* a new one */
	FD_PROCESS, /* a pidfd, */
	FD_DEAD, /* or one of a process that is gone */
	FD_MASTER,
	FD_SLAVE,
	FD_PAGE,
	FD_FILE,
	FD_NULL,
	FD_STREAM,
	FDS
};

static struct parent p;
static struct options options;
static char dir[] = "/tmp/fuzz_adopt.XXXXXX";
static char sock[64], kernel[64], disk[64], cdrom[64];
static int fd[FDS];
static uint8_t kind;
static const uint8_t *input; /* from here on */
static size_t left;
static struct vm template;

pid_t __wrap_spawn_child(const struct spawn *, int *);
int __wrap_connect(int, const struct sockaddr *, socklen_t);
int __wrap_poll(struct pollfd *, nfds_t, int);
int __real_poll(struct pollfd *, nfds_t, int);
int __wrap_pidfd_send_signal(int, int, siginfo_t *, unsigned);
int __real_pidfd_send_signal(int, int, siginfo_t *, unsigned);
int __wrap_statedir_open(const struct life *, bool);

/* Nobody is waited for. */
int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return __real_poll(fds, n, 0);
}

/* The process whose descriptor it is has done nothing. */
int
__wrap_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	return __real_pidfd_send_signal(pidfd, 0, info, flags);
}

int
__wrap_statedir_open(const struct life *l, bool make)
{
	return -ENOENT;
}

/* What is kept. */

static void
give(const struct proc *q, uint32_t type, uint32_t vm, struct ibuf *body,
    int given)
{
	const struct record rec = { .flags = given != -1 ? F_FD : 0 };

	proc_say(q, &rec, type, vm, ibuf_data(body), ibuf_size(body), given);
	ibuf_free(body);
}

static struct ibuf *
key(uint32_t what, uint32_t index)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);

	check(b != NULL);
	check(ibuf_add_n32(b, what) == 0 && ibuf_add_n32(b, index) == 0);
	return b;
}

static void
mutate(struct ibuf *b, const uint8_t *body, size_t n)
{
	uint8_t *bytes = ibuf_data(b);
	size_t at;

	for (; n >= 3; n -= 3, body += 3) {
		at = body[0] << 8 | body[1];
		bytes[at % ibuf_size(b)] = body[2];
	}
}

static void
note(const struct proc *q, unsigned what, const uint8_t *body, size_t n)
{
	const struct record_daemon d = { .version = MSG_VERSION,
		.keeper = getpid() };
	uint8_t id = n > 0 ? body[0] % VMS : 0;
	struct ibuf *b;

	template.state = VM_RUNNING;
	snprintf(template.conf.name, sizeof(template.conf.name), "vm%u", id);
	b = key(what == M_DAEMON ? KEEP_DAEMON
		: what == M_ID	 ? KEEP_ID
				 : KEEP_VM,
	    0);
	if (what == M_DAEMON)
		check(record_put_daemon(b, &d) == 0);
	else if (what == M_ID)
		check(record_put_id(b, &template) == 0);
	else
		check(record_put_vm(b, &template) == 0);
	if (n > 1)
		mutate(b, body + 1, n - 1);
	give(q, KEEP_NOTE, what == M_DAEMON ? 0 : id, b, -1);
}

static void
descriptor(const struct proc *q, const struct record *rec, const uint8_t *body,
    size_t n)
{
	unsigned which = F_WHICH(rec->flags) % FDS;
	int given = fd[which];

	if (n < 3)
		return;
	if (which == FD_CHAN && proc_new("vm", &given) < 0)
		return;
	give(q, KEEP_FD, body[0] % VMS, key(body[1], body[2]), given);
	if (which == FD_CHAN)
		close(given);
}

/* A keeper's word; the first byte is the VM's id. */
static void
keeper_says(const struct proc *q, const struct record *rec, const uint8_t *body,
    size_t n)
{
	switch (rec->type) {
	case M_DAEMON:
	case M_ID:
	case M_VM:
		note(q, rec->type, body, n);
		break;
	case M_FD:
		descriptor(q, rec, body, n);
		break;
	default:
		if (n > 0)
			proc_say(q, rec, KEEP_FD + rec->type % 16,
			    body[0] % VMS, body + 1, n - 1, fd[FD_NULL]);
	}
}

/* All that the keeper of the earlier parent has, at once. */
static void
kept(struct proc *q)
{
	const uint8_t *body, *data = input;
	struct record rec;
	size_t n, len = left;

	while (record_next(&data, &len, &rec, &body, &n) && rec.type < ACTS) {
		keeper_says(q, &rec, body, n);
		input = data;
		left = len;
	}
	if ((kind & K_SILENT) == 0)
		shutdown(q->sock, SHUT_WR);
}

int
__wrap_connect(int s, const struct sockaddr *sa, socklen_t len)
{
	int end;

	if ((kind & K_NONE) != 0) {
		errno = ECONNREFUSED;
		return -1;
	}
	check(proc_new("kept", &end) >= 0);
	check(dup3(end, s, O_CLOEXEC) == s);
	close(end);
	kept(&proc[nprocs - 1]);
	return 0;
}

/* The probe. */

static void
probe_says(struct proc *q)
{
	const uint8_t *body;
	struct record rec;
	size_t n;

	while (record_next(&input, &left, &rec, &body, &n))
		proc_say(q, &rec, PROBE_REPORT + (rec.type & 3), 0, body, n,
		    fd[FD_NULL]);
	if ((kind & K_SILENT) == 0)
		shutdown(q->sock, SHUT_WR);
}

pid_t
__wrap_spawn_child(const struct spawn *s, int *to)
{
	pid_t pid = proc_new(s->role, to);

	if (pid > 0 && strcmp(s->role, "probe") == 0)
		probe_says(&proc[pid - PID_BASE]);
	return pid;
}

static void
ask_probe(void)
{
	struct hostcheck hc;
	struct fail why = { 0 };
	const char *s;

	if (hostcheck_run("/dev/null", &hc, &why) != 0) {
		check(why.code != 0 && why.text[0] != '\0');
		return;
	}
	check(hc.done);
	for (s = hc.text; *s != '\0'; s++)
		check(*s == '\n' || ((uint8_t)*s >= ' ' && *s != 0x7f));
	check(proc[0].killed);
}

/* Set-up. */

static void
make_file(char path[64], const char *name, off_t size)
{
	int f;

	snprintf(path, 64, "%s/%s", dir, name);
	f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(f != -1 && ftruncate(f, size) == 0);
	close(f);
}

static void
remove_files(void)
{
	unlink(kernel);
	unlink(disk);
	unlink(cdrom);
	rmdir(dir);
}

static int
process(bool alive)
{
	pid_t pid = fork();
	int pidfd, status;

	check(pid != -1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (alive)
			pause();
		_exit(0);
	}
	pidfd = pidfd_open(pid, 0);
	if (!alive)
		check(waitpid(pid, &status, 0) == pid);
	return pidfd;
}

static void
open_all(void)
{
	struct tty tty = { .master = -1, .slave = -1 };
	struct fail why;
	void *page;
	int pair[2];
	unsigned i;

	fd[FD_PROCESS] = process(true);
	fd[FD_DEAD] = process(false);
	check(tty_open(&tty, getuid(), getgid(), &why) == 0);
	fd[FD_MASTER] = tty.master;
	fd[FD_SLAVE] = tty.slave;
	check(page_create(&fd[FD_PAGE], true, &page) == 0);
	fd[FD_FILE] = open(disk, O_RDWR | O_CLOEXEC);
	fd[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	fd[FD_STREAM] = pair[0];
	for (i = 0; i < FDS; i++)
		check(fd[i] != -1);
}

static void
make_template(void)
{
	struct vmconf *c = &template.conf;
	struct child *ch;
	unsigned i;

	vmconf_init(c);
	snprintf(c->kernel, sizeof(c->kernel), "%s", kernel);
	snprintf(c->disk[0].path, sizeof(c->disk[0].path), "%s", disk);
	snprintf(c->cdrom, sizeof(c->cdrom), "%s", cdrom);
	c->ndisks = 1;
	c->nnics = 1;
	c->nic[0].flags = VM_NIC_USER;
	c->memory = 64 << 20;
	c->uid = getuid();
	c->gid = getgid();
	snprintf(
	    template.tty[0].name, sizeof(template.tty[0].name), "/dev/pts/1");
	for (i = 0; (ch = run_child(&template.run, i)) != NULL; i++)
		ch->pid = getpid();
}

static void
set_up(void)
{
	check(mkdtemp(dir) != NULL);
	atexit(remove_files);
	snprintf(sock, sizeof(sock), "%s/sock", dir);
	make_file(kernel, "kernel", 4096);
	make_file(disk, "disk", 1 << 20);
	make_file(cdrom, "cdrom", 1 << 20);
	open_all();
	make_template();
	options.socket = sock;
	p.opts = &options;
	p.base = event_base_new();
	check(p.base != NULL);
	p.life.base = p.net.base = p.base;
	p.life.reg = p.net.reg = p.keep.reg = &p.reg;
	p.life.socket = sock;
	p.life.ops = &answer_life_ops;
	p.life.arg = &p;
	p.life.limits = life_limits_dflt;
	p.life.net = p.keep.net = &p.net;
	snprintf(p.life.hypervisor, sizeof(p.life.hypervisor), "/dev/null");
	p.net.ops = &life_net_ops;
	p.net.arg = &p.life;
	p.net.keep = &p.keep;
	snprintf(p.listener.path, sizeof(p.listener.path), "%s", sock);
	clients_init(&p.clients);
	TAILQ_INIT(&p.waits);
}

/* What happens. */

static void
turn(void)
{
	static struct heard lost;
	unsigned i;

	event_base_loop(p.base, EVLOOP_NONBLOCK);
	for (i = 0; i < nprocs; i++)
		while (proc_hear(&proc[i], &lost))
			;
}

static void
time_is_up(void)
{
	const struct vm *vm;

	timer_due(p.keep.respawn);
	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	timer_due(vm->timer);
}

/* One of an earlier parent's. */
static void
gone(struct vm *vm, unsigned i)
{
	const struct child *ch = run_child(&vm->run, i);

	if (ch != NULL && ch->watch != NULL)
		event_active(ch->watch, EV_READ, 0);
}

static struct vm *
the_vm(unsigned n)
{
	const struct ctl_target t = { .id = 1 + n % (VMS - 1) };

	return vmreg_find(&p.reg, &t);
}

static void
reap(struct proc *q, int status)
{
	if (!q->there || strcmp(q->role, "kept") == 0 ||
	    strcmp(q->role, "vm") == 0)
		return;
	if (keep_reaped(&p.keep, proc_pid(q), status) ||
	    life_reaped(&p.life, proc_pid(q), status))
		q->there = false;
}

static void
happen(const struct record *rec, const uint8_t *body, size_t n)
{
	struct proc *q = &proc[F_WHICH(rec->flags) % nprocs];
	struct vm *vm = the_vm(F_WHICH(rec->flags));
	struct fail why;

	switch (rec->type) {
	case A_SAY:
		if (n > 0)
			proc_say(q, rec, VMD_MSG_BASE + body[0], 0, body + 1,
			    n - 1, fd[FD_NULL]);
		break;
	case A_END:
		fd_close(&q->sock);
		break;
	case A_GONE:
		if (vm != NULL && n > 0)
			gone(vm, body[0]);
		break;
	case A_REAP:
		reap(q, 0);
		break;
	case A_TIME:
		time_is_up();
		break;
	case A_STOP:
		if (vm != NULL)
			(void)life_stop(&p.life, vm, n > 0, &why);
		break;
	default:
		keeper_says(q, rec, body, n);
	}
}

static void
end(void)
{
	struct vm *vm, *next;
	unsigned i, k;

	p.ending = p.life.ending = true;
	for (k = 0; k == 0 || (k < ENDS && !life_idle(&p.life)); k++) {
		for (i = 0; i < nprocs; i++) {
			fd_close(&proc[i].sock);
			turn();
			reap(&proc[i], 0);
		}
		for (vm = TAILQ_FIRST(&p.reg.vms); vm != NULL; vm = next) {
			next = TAILQ_NEXT(vm, entry);
			for (i = 0; i < RUN_CHILDREN; i++)
				gone(vm, i);
		}
		turn();
	}
	check(life_idle(&p.life));
	keep_end(&p.keep);
	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	check(!vm_active(vm) && vm->timer == NULL);
	vmreg_clear(&p.reg);
	for (i = 0; i < nprocs; i++)
		fd_close(&proc[i].sock);
	turn();
}

/* As parent_run() does. */
static void
adopt_all(void)
{
	const uint8_t *body;
	struct record rec;
	struct fail why = { 0 };
	const struct vm *vm;
	size_t n;
	unsigned i;

	p.adopt = adopt_find(&p, &why);
	if (p.adopt == NULL) {
		check(why.code != 0 && why.text[0] != '\0');
		keep_leave(&p.keep);
		vmreg_clear(&p.reg);
		for (i = 0; i < nprocs; i++)
			fd_close(&proc[i].sock);
		return;
	}
	adopt_stopped(p.adopt, &p);
	p.keep.base = p.base;
	adopt_running(p.adopt, &p);
	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	check(!vm_active(vm) || (vm->life == &p.life && vm->timer != NULL));
	keep_start(&p.keep);
	turn();
	while (record_next(&input, &left, &rec, &body, &n)) {
		happen(&rec, body, n);
		turn();
	}
	end();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned fds;

	if (p.base == NULL)
		set_up();
	if (len == 0)
		return 0;
	fds = open_fds();
	nprocs = 0;
	kind = data[0];
	input = data + 1;
	left = len - 1;
	p.ending = p.life.ending = p.keep.ending = false;
	p.keep.base = NULL;
	p.keep.pid = p.keep.process = 0;
	p.keep.next_id = 0;
	vmreg_init(&p.reg);
	if ((kind & K_PROBE) != 0)
		ask_probe();
	else
		adopt_all();
	for (unsigned i = 0; i < nprocs; i++)
		fd_close(&proc[i].sock);
	check(open_fds() == fds);
	return 0;
}
