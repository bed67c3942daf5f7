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

#include "parent.h"

/* The module itself: its start is there for nobody else. */
#include "../../vmd/remoteproc.c"

#define IDS	 4
#define ID(type) ((type) >> 6)
#define EVENT	 0x20

enum { E_END, E_CLOSE, E_REAP, E_TIME, E_VM_ENDS, E_STOP, E_RECONFIGURE };

static struct parent p;
static struct conf conf;
static struct vm vm;
static unsigned asked[IDS], answered[IDS];
static bool counting; /* each request was one of ours */

int
start_child(struct event_base *base, struct child *ch, const char *role,
    const char *title, const char *tag, const struct chan_ops *chanops,
    struct fail *why)
{
	int fd = -1;

	if ((ch->pid = proc_new(role, &fd)) < 0)
		return fail_set(why, -ch->pid, "no process");
	ch->chan = chan_new(base, fd, chanops, ch);
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

static bool
is_remote(const struct proc *q)
{
	return strcmp(q->role, "remote") == 0;
}

/* What a child hears: answers of "remote"'s are counted. */
static void
hear(const struct proc *q)
{
	static struct heard m;

	while (proc_hear(q, &m)) {
		if (!is_remote(q) || m.h.peerid >= IDS)
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
	check(remoteproc_reaped(&p, proc_pid(q), status));
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
	uint32_t type = REMOTE_READY + (rec->type & 15);

	if (q->sock == -1)
		return;
	if ((rec->flags & F_RAW) != 0 || (is_remote(q) && n > 1024))
		counting = false;
	else if (is_remote(q) && type == REMOTE_WANTS)
		asked[ID(rec->type)]++;
	proc_say(q, rec, type, ID(rec->type), body, n, q->sock);
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
