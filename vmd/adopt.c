/* SPDX-License-Identifier: ISC */
/*
 * Adoption: see adopt.h.
 *
 * Invariants
 *  1. A VM is adopted with all that it needs to be controlled, or it ends:
 *     what is kept of it is dropped, and with it its channels.
 *  2. What was written by another version is not touched.
 *  3. netcfg is not adopted but killed, so that it cannot clean up: another
 *     one takes over, as when it crashes.
 */
#include <sys/pidfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "adopt.h"
#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "life_impl.h"
#include "log.h"
#include "msg.h"
#include "page.h"
#include "parent.h"
#include "record.h"
#include "run.h"

#define IMAGES	  (VM_DISKS_MAX * DISK_LAYERS_MAX)
#define NETCFG_MS 5000
#define FOUND_MAX 65536 /* VMs */

/* All that was kept of one VM; descriptors are -1 where there is none. */
struct found {
	TAILQ_ENTRY(found) entry;
	uint32_t id;
	bool known; /* name is filled in */
	struct record_id name;
	struct record_vm *rec; /* NULL: it does not run */
	struct vm *vm; /* in the registry */
	int tty[2 * VM_TTYS], medium;
	int image[IMAGES];
	int chan[RUN_CHILDREN], pid[RUN_CHILDREN], stats[RUN_CHILDREN];
};

struct adopt {
	TAILQ_HEAD(founds, found) all;
	unsigned n; /* of them */
	bool any; /* there was a keeper */
	int version; /* of the daemon's note: 0 or -errno; 1: none yet */
	struct record_daemon daemon;
};

static void
fill(int *fd, size_t n)
{
	while (n-- > 0)
		fd[n] = -1;
}

static struct found *
find(struct adopt *a, uint32_t id)
{
	struct found *f;

	TAILQ_FOREACH(f, &a->all, entry)
	{
		if (f->id == id)
			return f;
	}
	if (a->n == FOUND_MAX || (f = calloc(1, sizeof(*f))) == NULL)
		return NULL;
	a->n++;
	f->id = id;
	f->medium = -1;
	fill(f->tty, 2 * VM_TTYS);
	fill(f->image, IMAGES);
	fill(f->chan, RUN_CHILDREN);
	fill(f->pid, RUN_CHILDREN);
	fill(f->stats, RUN_CHILDREN);
	TAILQ_INSERT_TAIL(&a->all, f, entry);
	return f;
}

static void
close_all(int *fd, size_t n)
{
	while (n-- > 0)
		fd_close(&fd[n]);
}

static void
found_free(struct adopt *a, struct found *f)
{
	TAILQ_REMOVE(&a->all, f, entry);
	a->n--;
	fd_close(&f->medium);
	close_all(f->tty, 2 * VM_TTYS);
	close_all(f->image, IMAGES);
	close_all(f->chan, RUN_CHILDREN);
	close_all(f->pid, RUN_CHILDREN);
	close_all(f->stats, RUN_CHILDREN);
	free(f->rec);
	free(f);
}

static void
adopt_free(struct adopt *a)
{
	struct found *f;

	while ((f = TAILQ_FIRST(&a->all)) != NULL)
		found_free(a, f);
	free(a);
}

/* What the keeper has: keep.h. */

static void
damaged(const struct found *f)
{
	log_warnx("vm %u: what was kept of it is damaged", f->id);
}

static int
note_vm(struct found *f, struct ibuf *body)
{
	struct record_vm *rec;

	if (f->rec != NULL)
		return -EBADMSG;
	if ((rec = malloc(sizeof(*rec))) == NULL)
		return -ENOMEM;
	if (record_get_vm(body, rec) != 0) {
		damaged(f);
		free(rec);
		return 0;
	}
	f->rec = rec;
	return 0;
}

static int
on_note(void *arg, uint32_t vm, uint32_t what, struct ibuf *body)
{
	struct adopt *a = arg;
	struct found *f;

	a->any = true;
	if (vm == 0 && what == KEEP_DAEMON) {
		a->version = record_get_daemon(body, &a->daemon);
		return 0;
	}
	/* The daemon's is the first. */
	if (vm == 0 || a->version != 0)
		return 0;
	if ((f = find(a, vm)) == NULL)
		return -ENOMEM;
	if (what == KEEP_ID && f->known)
		return -EBADMSG;
	if (what == KEEP_ID)
		f->known = record_get_id(body, &f->name) == 0;
	else if (what == KEEP_VM)
		return note_vm(f, body);
	return 0;
}

static int *
slot(struct found *f, uint32_t what, uint32_t i)
{
	switch ((enum keep_what)what) {
	case KEEP_TTY:
		return i < 2 * VM_TTYS ? &f->tty[i] : NULL;
	case KEEP_MEDIUM:
		return i == 0 ? &f->medium : NULL;
	case KEEP_IMAGE:
		return i < IMAGES ? &f->image[i] : NULL;
	case KEEP_CHAN:
		return i < RUN_CHILDREN ? &f->chan[i] : NULL;
	case KEEP_PID:
		return i < RUN_CHILDREN ? &f->pid[i] : NULL;
	case KEEP_STATS:
		return i < RUN_CHILDREN ? &f->stats[i] : NULL;
	case KEEP_DAEMON:
	case KEEP_ID:
	case KEEP_VM:
	case KEEP_WHATS:
		break;
	}
	return NULL;
}

static bool
is_channel(int fd)
{
	socklen_t len = sizeof(int);
	int domain, type;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    domain == AF_UNIX && type == SOCK_SEQPACKET;
}

/*
 * Only of a pidfd waitid(2) says that its process is no child of ours, or has
 * not ended; a directory of /proc can be sent signals as well, but not be
 * waited for: pidfd_open(2), "Use cases for PID file descriptors".
 */
static bool
is_pidfd(int fd)
{
	siginfo_t si;

	return waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG | WNOWAIT) ==
	    0 ||
	    errno == ECHILD || errno == EAGAIN;
}

/* Where we are to wait for something, it must be there that it can come. */
static bool
fits(uint32_t what, int fd)
{
	if (what == KEEP_CHAN)
		return is_channel(fd);
	return what != KEEP_PID || is_pidfd(fd);
}

static int
on_fd(void *arg, uint32_t vm, uint32_t what, uint32_t index, int fd)
{
	struct adopt *a = arg;
	struct found *f = find(a, vm);
	int *to = f == NULL ? NULL : slot(f, what, index);

	a->any = true;
	if (to == NULL || *to != -1) {
		close(fd);
		return f == NULL ? -ENOMEM : -EBADMSG;
	}
	if (!fits(what, fd)) {
		damaged(f);
		close(fd);
		return 0;
	}
	*to = fd;
	return 0;
}

static const struct keep_ops found_ops = { on_note, on_fd };

/* Into the registry. */

static void
take_images(struct found *f)
{
	struct chain *c;
	unsigned i, n;

	for (i = 0; i < VM_DISKS_MAX; i++) {
		c = &f->vm->run.image[i];
		for (n = 0; n < DISK_LAYERS_MAX; n++) {
			int *fd = &f->image[i * DISK_LAYERS_MAX + n];

			if (*fd == -1)
				break;
			c->layer[c->n++].fd = fd_take(fd);
		}
	}
}

static void
take_children(struct found *f)
{
	struct child *ch;
	unsigned i;
	int fd;

	for (i = 0; i < RUN_CHILDREN; i++) {
		ch = run_child(&f->vm->run, i);
		if (f->pid[i] == -1)
			ch->pid = 0;
		else if (ch->pid != 0)
			ch->pidfd = fd_take(&f->pid[i]);
		if (f->stats[i] == -1)
			continue;
		fd = fcntl(f->stats[i], F_DUPFD_CLOEXEC, 0);
		if (fd != -1 && page_attach(fd, false, &ch->stats) == 0)
			ch->stats_fd = fd_take(&f->stats[i]);
	}
}

/* Is there all that a VM cannot be controlled without? */
static bool
complete(const struct found *f)
{
	unsigned i;

	if (f->rec == NULL || !f->known || f->chan[0] == -1 || f->pid[0] == -1)
		return false;
	for (i = 0; i < VM_TTYS; i++)
		if (vmconf_has_tty(&f->rec->conf, i) &&
		    (f->tty[2 * i] == -1 || f->tty[2 * i + 1] == -1))
			return false;
	return true;
}

static int
enter(struct parent *p, struct found *f)
{
	struct vm *vm;
	unsigned i;
	int error = vmreg_add(&p->reg, &f->rec->conf, &vm);

	if (error != 0)
		return error;
	if (vm->id != f->id) {
		vmreg_remove(&p->reg, vm);
		return -EEXIST;
	}
	f->vm = vm;
	record_apply(vm, f->rec);
	for (i = 0; i < VM_TTYS; i++) {
		vm->tty[i].master = fd_take(&f->tty[2 * i]);
		vm->tty[i].slave = fd_take(&f->tty[2 * i + 1]);
	}
	if (vm->medium.bytes != 0)
		vm->medium.fd = fd_take(&f->medium);
	take_images(f);
	take_children(f);
	return 0;
}

pid_t
adopt_keeper(pid_t pid, uid_t uid)
{
	char line[128];
	unsigned real = 0;
	bool known = false;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/status", (int)pid);
	if (pid <= 0 || (f = fopen(line, "re")) == NULL)
		return 0;
	while (!known && fgets(line, sizeof(line), f) != NULL)
		known = sscanf(line, "Uid: %u", &real) == 1;
	fclose(f);
	if (known && real == uid)
		return pid;
	log_warnx("keeper: process %d is none of ours", (int)pid);
	return 0;
}

/* The number that the last parent left; 0: there is no such process. */
static pid_t
keeper_of(const struct record_daemon *d)
{
	const struct passwd *pw = getpwnam("_vmd");

	return pw != NULL ? adopt_keeper(d->keeper, pw->pw_uid) : 0;
}

static void
enter_all(struct adopt *a, struct parent *p)
{
	struct found *f;
	int error;

	TAILQ_FOREACH(f, &a->all, entry)
	{
		if (f->known &&
		    vmreg_set_id(&p->reg, f->id, f->name.uid, f->name.name) !=
			0)
			f->known = false;
	}
	TAILQ_FOREACH(f, &a->all, entry)
	{
		if (!complete(f))
			continue;
		if ((error = enter(p, f)) != 0)
			log_warnx("%s: not adopted: %s", f->rec->conf.name,
			    strerror(-error));
	}
}

struct adopt *
adopt_find(struct parent *p, struct fail *why)
{
	struct adopt *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		fail_set(why, ENOMEM, "out of memory");
		return NULL;
	}
	TAILQ_INIT(&a->all);
	a->version = 1;
	if (keep_open(&p->keep, p->listener.path, &found_ops, a, why) != 0) {
		adopt_free(a);
		return NULL;
	}
	if (a->any && a->version != 0) {
		fail_set(why, EPROTO,
		    "guests of another version of vmd are running: use that "
		    "one, or end its process \"keeper\" and the guests with "
		    "it");
		adopt_free(a);
		return NULL;
	}
	p->net.have_prefix6 = a->daemon.have_prefix6;
	memcpy(p->net.prefix6, a->daemon.prefix6, sizeof(p->net.prefix6));
	p->keep.process = keeper_of(&a->daemon);
	enter_all(a, p);
	return a;
}

void
adopt_stopped(struct adopt *a, struct parent *p)
{
	const struct found *f;
	struct vm *vm;

	TAILQ_FOREACH(f, &a->all, entry)
	{
		if (!f->known || f->vm != NULL)
			continue;
		vm = vmreg_by_name(&p->reg, f->name.name);
		if (vm != NULL && vm->id == f->id && !vm_active(vm))
			vm->state = f->name.up ? VM_WAITING : VM_STOPPED;
	}
}

/* They go on. */

static void
on_end(int fd, short what, void *arg)
{
	struct child *ch = arg;

	child_unwatch(ch);
	life_child_gone(ch, CHILD_UNKNOWN);
}

static void
attach(struct parent *p, struct found *f, struct child *ch, int *chan)
{
	if (ch->pidfd != -1 && child_watch(ch, p->base, on_end) != 0)
		fatalx("%s: no events", f->vm->conf.name);
	if (*chan == -1)
		return;
	ch->chan =
	    chan_new(p->base, fd_take(chan), life_chan_ops(ch->kind), ch);
	if (ch->chan == NULL)
		fatal("%s: channel", f->vm->conf.name);
}

static void
go_on(struct parent *p, struct found *f)
{
	struct vm *vm = f->vm;
	struct fail why;
	unsigned i;

	if (life_own(&p->life, vm) != 0)
		fatalx("%s: out of memory", vm->conf.name);
	for (i = 0; i < RUN_CHILDREN; i++)
		attach(p, f, run_child(&vm->run, i), &f->chan[i]);
	for (i = 0; i < vm->conf.nnics; i++)
		if (p->net.last_key < vm->run.net[i].key)
			p->net.last_key = vm->run.net[i].key;
	vm->run.ready = vm->run.adopted = true;
	vm->run.asked = 1 + arc4random_uniform(UINT32_MAX);
	/* If it is gone, its channel and its pidfd will say so. */
	(void)chan_send(vm->run.vm.chan, VM_ASK, vm->run.asked, -1, NULL);
	log_info("%s: adopted (vm %u)", vm->conf.name, vm->id);
	if (f->rec->stopping &&
	    life_stop(&p->life, vm, f->rec->forced, &why) != 0)
		log_warnx("%s", why.text);
}

static void
end_netcfg(const struct found *f)
{
	struct pollfd pfd = { .fd = f->pid[0], .events = POLLIN };

	if (pfd.fd == -1 || pidfd_send_signal(pfd.fd, SIGKILL, NULL, 0) == -1)
		return;
	if (poll(&pfd, 1, NETCFG_MS) != 1)
		log_warnx("netcfg: the old process does not end");
}

void
adopt_running(struct adopt *a, struct parent *p)
{
	struct found *f;

	TAILQ_FOREACH(f, &a->all, entry)
	{
		if (f->id == 0)
			end_netcfg(f);
		else if (f->vm != NULL)
			go_on(p, f);
		else
			keep_drop(&p->keep, f->id);
	}
	adopt_free(a);
}
