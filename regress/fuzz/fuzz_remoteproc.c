/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what the process that speaks to other hosts ("remote") and those that
 * become a user ("login") can say to the parent, and how they end.  Whatever it
 * is, the parent lives, keeps nothing of them, and answers no request twice.
 *
 * The input is records (record.h).  The two highest bits of a type are the
 * request's number, the two below choose between messages and other events.
 */
#include <sys/wait.h>

#include <dirent.h>
#include <stdbool.h>

#include "record.h"

/* The module itself: its start is there for nobody else. */
#include "../../vmd/remoteproc.c"

#define PID_BASE (1 << 30) /* no process has it */
#define PROCS	 64
#define IDS	 4
#define ID(type) ((type) >> 6)
#define EVENT	 0x20

enum { E_END, E_CLOSE, E_REAP, E_TIME, E_VM_ENDS, E_STOP, E_RECONFIGURE };

/* A child that is none; the first one is "remote". */
static struct proc {
	int sock; /* its end of the channel; -1 */
	bool there, remote;
} proc[PROCS];
static unsigned nprocs;

static struct parent p;
static struct conf conf;
static struct vm vm;
static unsigned asked[IDS], answered[IDS];
static bool counting; /* each request was one of ours */

int __wrap_kill(pid_t, int);
int __real_kill(pid_t, int);

int
__wrap_kill(pid_t pid, int sig)
{
	if (pid < PID_BASE || pid >= PID_BASE + (pid_t)nprocs)
		return __real_kill(pid, sig);
	check(proc[pid - PID_BASE].there);
	fd_close(&proc[pid - PID_BASE].sock);
	return 0;
}

int
start_child(struct event_base *base, struct child *ch, const char *role,
    const char *title, const char *tag, const struct chan_ops *chanops,
    struct fail *why)
{
	int pair[2];

	if (nprocs == PROCS)
		return fail_set(why, EAGAIN, "no process");
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	proc[nprocs] =
	    (struct proc){ pair[1], true, strcmp(role, "remote") == 0 };
	ch->pid = PID_BASE + (pid_t)nprocs++;
	ch->chan = chan_new(base, pair[0], chanops, ch);
	check(ch->chan != NULL);
	return 0;
}

int
reqsend_take(struct parent *parent, const char *ticket)
{
	return strcmp(ticket, "ticket") == 0 ? dup(STDERR_FILENO) : -1;
}

struct vm *
vmreg_by_name(const struct vmreg *reg, const char *name)
{
	return strcmp(name, "web") == 0 ? &vm : NULL;
}

struct vm *
vmreg_find(const struct vmreg *reg, const struct ctl_target *t)
{
	return t->id == 1 ? &vm : NULL;
}

const struct conf_remote *
conf_remote(const struct conf *c, const char *subject)
{
	return strcmp(subject, "CN=a") == 0 ? &c->remote[0] : NULL;
}

/* What a child hears: descriptors are lost, answers of "remote"'s counted. */
static void
hear(const struct proc *q)
{
	static struct {
		struct imsg_hdr h;
		uint8_t body[1 << 16];
	} m;
	ssize_t n;

	while (q->sock != -1 &&
	    (n = recv(q->sock, &m, sizeof(m), MSG_DONTWAIT)) > 0) {
		if (!q->remote || (size_t)n < sizeof(m.h) || m.h.peerid >= IDS)
			continue;
		if (m.h.type == REMOTE_OPENED || m.h.type == REMOTE_REFUSED)
			answered[m.h.peerid]++;
		check(!counting || answered[m.h.peerid] <= asked[m.h.peerid]);
	}
}

static void
turn(void)
{
	unsigned i;

	event_base_loop(p.base, EVLOOP_NONBLOCK);
	for (i = 0; i < nprocs; i++)
		hear(&proc[i]);
}

static void
reap(struct proc *q, int status)
{
	if (!q->there)
		return;
	q->there = false;
	check(remoteproc_reaped(&p, PID_BASE + (pid_t)(q - proc), status));
}

static void
time_is_up(void)
{
	struct login_child *l = TAILQ_FIRST(&p.remote.logins);

	if (p.remote.respawn != NULL && evtimer_pending(p.remote.respawn, NULL))
		event_active(p.remote.respawn, EV_TIMEOUT, 0);
	if (l != NULL && l->timer != NULL)
		event_active(l->timer, EV_TIMEOUT, 0);
}

static void
happen(unsigned what, struct proc *q, int status)
{
	switch (what) {
	case E_END:
	case E_CLOSE:
		fd_close(&q->sock);
		turn();
		if (what == E_END)
			reap(q, status);
		break;
	case E_REAP:
		reap(q, status);
		break;
	case E_TIME:
		time_is_up();
		break;
	case E_VM_ENDS:
		vm.tty[0].master = vm.tty[0].master == -1 ? 0 : -1;
		break;
	case E_STOP:
		remoteproc_stop(&p);
		break;
	case E_RECONFIGURE:
		remoteproc_configure(&p);
		break;
	}
}

static void
say(const struct record *rec, const uint8_t *body, size_t n, struct proc *q)
{
	static uint8_t packet[1 << 16];
	struct record raw = *rec;
	struct imsg_hdr h = {
		.type = REMOTE_READY + (rec->type & 15),
		.len = (uint32_t)(sizeof(h) + n),
		.peerid = ID(rec->type),
	};

	if (q->sock == -1)
		return;
	if ((rec->flags & F_RAW) != 0 || (q->remote && n > 1024)) {
		counting = false;
	} else {
		if (q->remote && h.type == REMOTE_WANTS)
			asked[h.peerid]++;
		raw.flags |= F_RAW;
		h.len |= (rec->flags & F_FD) != 0 ? 1U << 31 : 0;
		memcpy(packet, &h, sizeof(h));
		memcpy(packet + sizeof(h), body, n);
		body = packet;
		n += sizeof(h);
	}
	record_put(q->sock, 0, &raw, body, n, q->sock);
}

static unsigned
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	check(d != NULL);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
set_up(void)
{
	p.base = event_base_new();
	check(p.base != NULL);
	p.conf = &conf;
	snprintf(p.listener.path, sizeof(p.listener.path), "/run/vmd.sock");
	conf.nlistens = 1;
	snprintf(conf.listen[0].addr, sizeof(conf.listen[0].addr), "127.0.0.1");
	vm.id = 1;
	snprintf(vm.tty[0].name, sizeof(vm.tty[0].name), "/dev/pts/1");
	remoteproc_init(&p);
}

static void
end_all(void)
{
	unsigned i;

	p.ending = true;
	remoteproc_stop(&p);
	turn();
	for (i = 0; i < nprocs; i++) {
		fd_close(&proc[i].sock);
		turn();
		reap(&proc[i], 0);
	}
	turn();
	p.ending = false;
	check(p.remote.pid == 0 && p.remote.chan == NULL);
	check(p.remote.nlogins == 0 && TAILQ_EMPTY(&p.remote.logins));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body;
	struct record rec;
	struct proc *q;
	unsigned fds;
	size_t n;

	if (p.base == NULL)
		set_up();
	fds = open_fds();
	nprocs = 0;
	counting = true;
	memset(asked, 0, sizeof(asked));
	memset(answered, 0, sizeof(answered));
	vm.tty[0].master = 0;
	vm.tty[1].master = vm.tty[2].master = -1;
	remoteproc_configure(&p);
	while (record_next(&data, &len, &rec, &body, &n)) {
		q = &proc[F_WHICH(rec.flags) % nprocs];
		if ((rec.type & EVENT) != 0)
			happen(
			    rec.type & 15, q, n > 0 ? body[0] << 8 : SIGKILL);
		else
			say(&rec, body, n, q);
		turn();
	}
	end_all();
	check(open_fds() == fds);
	return 0;
}
