/* SPDX-License-Identifier: ISC */
/*
 * The keeper as seen from the parent: see keep.h.
 *
 * Invariants
 *  1. The note of a VM is put after its descriptors and dropped before they
 *     are closed: where there is a note, everything is.
 *  2. The keeper's queue is empty when a VM counts as running: what a client
 *     was told outlives us.
 */
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "cgroup.h"
#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "keep.h"
#include "log.h"
#include "msg.h"
#include "netproc.h"
#include "record.h"
#include "start.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define SUFFIX	   ".keep"
#define ANSWER_MS  10000
#define READ_MS	   30000 /* all that was kept */
#define FLUSH_MS   1000
#define RESPAWN_MS 500

/* While reading what an earlier parent left. */
struct keep_reading {
	const struct keep_ops *ops;
	void *arg;
	bool any, done; /* something came; all of it did */
};

static void spawn(struct keep *);

/* Messages of the keeper. */

static int
on_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	const struct keep *k = arg;
	struct keep_reading *r = k->reading;
	uint32_t what, index;

	if (r != NULL)
		r->any = true;
	if (r == NULL || ibuf_get_n32(body, &what) == -1 ||
	    ibuf_get_n32(body, &index) == -1) {
		close(fd);
		return -EBADMSG;
	}
	return r->ops->fd(r->arg, id, what, index, fd);
}

static int
on_note(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	const struct keep *k = arg;
	struct keep_reading *r = k->reading;
	uint32_t what, index;
	struct ibuf view;

	if (r != NULL)
		r->any = true;
	if (r == NULL || ibuf_get_n32(body, &what) == -1 ||
	    ibuf_get_n32(body, &index) == -1 ||
	    ibuf_get_ibuf(body, ibuf_size(body), &view) == -1)
		return -EBADMSG;
	return r->ops->note(r->arg, id, what, &view);
}

static int
on_done(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct keep *k = arg;

	if (k->reading == NULL)
		return -EBADMSG;
	k->reading->any = k->reading->done = true;
	return 0;
}

static void
on_respawn(int fd, short what, void *arg)
{
	spawn(arg);
}

static void
retry(struct keep *k)
{
	struct timeval tv = { RESPAWN_MS / 1000, (RESPAWN_MS % 1000) * 1000 };

	if (k->ending || k->base == NULL)
		return;
	if (k->respawn == NULL)
		k->respawn = evtimer_new(k->base, on_respawn, k);
	if (k->respawn == NULL || evtimer_add(k->respawn, &tv) == -1)
		fatalx("no timer for the keeper");
}

static void
on_closed(void *arg, const char *why)
{
	struct keep *k = arg;

	log_warnx("keeper: %s", why[0] != '\0' ? why : "channel closed");
	chan_free(k->chan);
	k->chan = NULL;
	if (k->pid != 0)
		kill(k->pid, SIGKILL);
	else
		retry(k);
}

static const struct chan_row rows[] = {
	{ KEEP_FD, "KEEP_FD", CHAN_FD, on_fd },
	{ KEEP_NOTE, "KEEP_NOTE", CHAN_NOFD, on_note },
	{ KEEP_DONE, "KEEP_DONE", CHAN_NOFD, on_done },
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

/* To the keeper.  When a message is lost the keeper is, and gets all again. */

static void
send_item(struct keep *k, uint32_t type, uint32_t vm, int fd, struct ibuf *body)
{
	if (chan_send(k->chan, type, vm, fd, body) != 0)
		log_debug("keeper: message lost");
}

/* What is added to it is refused by chan_send() if it does not fit. */
static struct ibuf *
key(enum keep_what what, uint32_t index)
{
	struct ibuf *body = chan_body();

	(void)ibuf_add_n32(body, what);
	(void)ibuf_add_n32(body, index);
	return body;
}

/* A duplicate of fd, which may be -1: then there is nothing to be kept. */
static void
put_fd(struct keep *k, uint32_t vm, enum keep_what what, uint32_t index, int fd)
{
	int copy;

	if (fd == -1)
		return;
	if ((copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1) {
		log_warn("keeper");
		return;
	}
	send_item(k, KEEP_FD, vm, copy, key(what, index));
}

static void
put_daemon(struct keep *k)
{
	struct record_daemon d = { .version = MSG_VERSION,
		.keeper = k->process };
	struct ibuf *body = key(KEEP_DAEMON, 0);

	d.have_prefix6 = k->net->have_prefix6;
	memcpy(d.prefix6, k->net->prefix6, sizeof(d.prefix6));
	(void)record_put_daemon(body, &d);
	send_item(k, KEEP_NOTE, 0, -1, body);
}

static void
put_id(struct keep *k, const struct vm *vm)
{
	struct ibuf *body = key(KEEP_ID, 0);

	(void)record_put_id(body, vm);
	send_item(k, KEEP_NOTE, vm->id, -1, body);
}

/* By pidfd: its number may be another process's one day. */
static void
put_pid(struct keep *k, uint32_t vm, uint32_t index, pid_t pid, int pidfd)
{
	int fd = pidfd;

	if (pid == 0)
		return;
	if (fd == -1 && (fd = pidfd_open(pid, 0)) == -1) {
		log_warn("keeper: process %d", (int)pid);
		return;
	}
	put_fd(k, vm, KEEP_PID, index, fd);
	if (fd != pidfd)
		close(fd);
}

static void
put_chan(struct keep *k, uint32_t vm, uint32_t index, const struct chan *c)
{
	int fd;

	if (c == NULL)
		return;
	if ((fd = chan_dup(c)) < 0) {
		log_warnx("keeper: %s", strerror(-fd));
		return;
	}
	put_fd(k, vm, KEEP_CHAN, index, fd);
	close(fd);
}

static void
put_note(struct keep *k, const struct vm *vm)
{
	struct ibuf *body = key(KEEP_VM, 0);

	(void)record_put_vm(body, vm);
	send_item(k, KEEP_NOTE, vm->id, -1, body);
}

static void
put_images(struct keep *k, const struct vm *vm)
{
	const struct chain *c;
	unsigned i, n;

	for (i = 0; i < VM_DISKS_MAX; i++) {
		c = &vm->run.image[i];
		for (n = 0; n < c->n; n++)
			put_fd(k, vm->id, KEEP_IMAGE, i * DISK_LAYERS_MAX + n,
			    c->layer[n].fd);
	}
}

/* Invariants 1 and 2. */
static void
put_vm(struct keep *k, const struct vm *vm)
{
	const struct child *ch;
	unsigned i;

	for (i = 0; i < VM_TTYS; i++) {
		put_fd(k, vm->id, KEEP_TTY, 2 * i, vm->tty[i].master);
		put_fd(k, vm->id, KEEP_TTY, 2 * i + 1, vm->tty[i].slave);
	}
	put_fd(k, vm->id, KEEP_MEDIUM, 0, vm->medium.fd);
	put_images(k, vm);
	for (i = 0; i < RUN_CHILDREN; i++) {
		ch = run_child((struct vm_run *)&vm->run, i);
		put_chan(k, vm->id, i, ch->chan);
		put_pid(k, vm->id, i, ch->pid, ch->pidfd);
		put_fd(k, vm->id, KEEP_STATS, i, ch->stats_fd);
	}
	put_note(k, vm);
	if (chan_flush(k->chan, FLUSH_MS) != 0)
		log_warnx("keeper: does not take what it is given");
}

/* Has its processes, and has had its guest. */
static bool
lives(const struct vm *vm)
{
	return vm->run.ready &&
	    (vm->state == VM_RUNNING || vm->state == VM_STOPPING ||
		vm->state == VM_ENDING);
}

static void
put_everything(struct keep *k)
{
	const struct vm *vm;

	put_daemon(k);
	keep_ids(k);
	keep_netcfg(k);
	TAILQ_FOREACH(vm, &k->reg->vms, entry)
	{
		if (lives(vm))
			put_vm(k, vm);
	}
}

void
keep_ids(struct keep *k)
{
	const struct vm *vm;

	if (k->chan == NULL)
		return;
	/* They began at 1 again. */
	if (k->reg->next_id < k->next_id)
		send_item(k, KEEP_FORGET, 0, -1, NULL);
	k->next_id = k->reg->next_id;
	TAILQ_FOREACH(vm, &k->reg->vms, entry)
	put_id(k, vm);
}

void
keep_state(struct keep *k, const struct vm *vm)
{
	if (k->chan == NULL)
		return;
	if (k->reg->next_id < k->next_id)
		keep_ids(k);
	put_id(k, vm);
	switch (vm->state) {
	case VM_RUNNING:
		put_daemon(k);
		put_vm(k, vm);
		break;
	case VM_STOPPING:
	case VM_ENDING:
		if (lives(vm))
			put_note(k, vm);
		break;
	case VM_STOPPED:
	case VM_WAITING:
	case VM_STARTING:
		keep_drop(k, vm->id);
		break;
	}
}

void
keep_note(struct keep *k, const struct vm *vm)
{
	if (k->chan != NULL && lives(vm))
		put_note(k, vm);
}

/* What was taken out is let go of: its file system may be unmounted. */
void
keep_medium(struct keep *k, const struct vm *vm)
{
	if (k->chan == NULL || !lives(vm))
		return;
	send_item(k, KEEP_CLEAR, vm->id, -1, key(KEEP_MEDIUM, 0));
	put_fd(k, vm->id, KEEP_MEDIUM, 0, vm->medium.fd);
	put_note(k, vm);
}

void
keep_drop(struct keep *k, uint32_t vm)
{
	if (k->chan != NULL)
		send_item(k, KEEP_DROP, vm, -1, NULL);
}

void
keep_netcfg(struct keep *k)
{
	if (k->chan == NULL || k->net->chan == NULL)
		return;
	put_chan(k, 0, 0, k->net->chan);
	put_pid(k, 0, 0, k->net->pid, -1);
}

/* The process. */

static int
keep_socket(const struct keep *k, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, k->path, sizeof(sun->sun_path));
	return socket(
	    AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static void
unlink_path(const struct keep *k)
{
	struct stat st;

	if (lstat(k->path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(k->path);
}

/* For root only; an earlier keeper is gone.  Negative: -errno. */
static int
listen_path(const struct keep *k)
{
	struct sockaddr_un sun;
	int fd = keep_socket(k, &sun), error = 0;
	mode_t mask;

	if (fd == -1)
		return -errno;
	unlink_path(k);
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    listen(fd, 1) == -1)
		error = errno;
	umask(mask);
	if (error == 0)
		return fd;
	close(fd);
	return -error;
}

static void
spawn(struct keep *k)
{
	struct child ch = { .pid = 0 };
	struct fail why;
	int fd = listen_path(k);

	if (fd < 0) {
		log_warnx("%s: %s", k->path, strerror(-fd));
		retry(k);
		return;
	}
	if (start_child(
		k->base, &ch, "keeper", "keeper", "keeper", &ops, &why) != 0)
		log_warnx("keeper: %s", why.text);
	k->pid = k->process = ch.pid > 0 ? ch.pid : 0;
	if (ch.chan == NULL) {
		close(fd);
		if (k->pid > 0)
			kill(k->pid, SIGKILL);
		else
			retry(k);
		return;
	}
	chan_set_arg(ch.chan, k);
	k->chan = ch.chan;
	send_item(k, KEEP_LISTEN, 0, fd, NULL);
	if (k->groups != NULL)
		cgroup_keeper(k->groups, k->process);
#ifdef VMD_CONFINE_TEST
	confine_ask(ch.chan, "keeper");
#endif
	put_everything(k);
}

/* A keeper that root made listens there: 1, none: 0, or -errno. */
static int
find_keeper(const struct keep *k, int *out)
{
	struct sockaddr_un sun;
	struct ucred uc;
	socklen_t len = sizeof(uc);
	int fd = keep_socket(k, &sun), error;

	if (fd == -1)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
		error = errno == ECONNREFUSED || errno == ENOENT ? 0 : -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &uc, &len) == -1)
		error = -errno;
	else
		error = uc.uid == geteuid() ? 1 : -EPERM;
	if (error == 1)
		*out = fd;
	else
		close(fd);
	return error;
}

/*
 * A keeper without a guest ends when its parent does, perhaps between our
 * connecting and its accepting that.
 */
static bool
had_nothing(const struct keep *k, const struct keep_reading *r, int error)
{
	const char *why = chan_why(k->chan);

	return error == -EPIPE && !r->any && (why == NULL || why[0] == '\0');
}

/* 1: there is none any more. */
static int
read_all(struct keep *k, const struct keep_ops *read_ops, void *arg)
{
	struct keep_reading r = { .ops = read_ops, .arg = arg };
	long long until = fd_now_ms() + READ_MS;
	int error = 0;

	k->reading = &r;
	while (error == 0 && !r.done) {
		error = chan_send(k->chan, KEEP_NEXT, 0, -1, NULL);
		if (error == 0)
			error = chan_recv(k->chan, ANSWER_MS);
		if (error == 0 && !r.done && fd_now_ms() >= until)
			error = -ETIMEDOUT;
	}
	k->reading = NULL;
	return had_nothing(k, &r, error) ? 1 : error;
}

static void
cannot_read(const struct keep *k, int error, struct fail *why)
{
	const char *text = k->chan != NULL ? chan_why(k->chan) : NULL;

	fail_set(why, -error, "what an earlier vmd left at %s: %s", k->path,
	    text != NULL && text[0] != '\0' ? text : strerror(-error));
}

int
keep_open(struct keep *k, const char *sock, const struct keep_ops *read_ops,
    void *arg, struct fail *why)
{
	int fd = -1, n;

	if (strlen(sock) + sizeof(SUFFIX) > sizeof(k->path))
		return fail_set(
		    why, ENAMETOOLONG, "%s: socket path too long", sock);
	memset(k->path, 0, sizeof(k->path));
	snprintf(k->path, sizeof(k->path), "%s" SUFFIX, sock);
	if ((n = find_keeper(k, &fd)) < 0)
		return fail_set(why, -n, "%s: %s", k->path, strerror(-n));
	if (n == 0)
		return 0;
	k->chan = chan_new(NULL, fd, &ops, k);
	n = k->chan == NULL ? -errno : read_all(k, read_ops, arg);
	if (n == 0)
		return 0;
	if (n < 0)
		cannot_read(k, n, why);
	chan_free(k->chan);
	k->chan = NULL;
	return n > 0 ? 0 : n;
}

void
keep_start(struct keep *k)
{
	if (k->chan == NULL)
		spawn(k);
	else if (chan_attach(k->chan, k->base) != 0)
		fatalx("keeper: no events");
	else {
		if (k->groups != NULL)
			cgroup_keeper(k->groups, k->process);
		put_everything(k);
	}
}

bool
keep_ready(const struct keep *k)
{
	return k->chan != NULL && chan_flush(k->chan, FLUSH_MS) == 0;
}

bool
keep_reaped(struct keep *k, pid_t pid, int status)
{
	if (k->pid == 0 || pid != k->pid)
		return false;
	k->pid = 0;
	if (!k->ending)
		log_warnx("keeper: process ended (%s %d)",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	if (k->chan == NULL)
		retry(k);
	return true;
}

static void
stop(struct keep *k)
{
	k->ending = true;
	if (k->respawn != NULL)
		event_free(k->respawn);
	k->respawn = NULL;
	chan_free(k->chan);
	k->chan = NULL;
}

void
keep_end(struct keep *k)
{
	k->ending = true;
	if (k->chan != NULL && chan_send(k->chan, KEEP_END, 0, -1, NULL) == 0)
		/* It says nothing any more; its end is all that comes. */
		(void)chan_recv(k->chan, FLUSH_MS);
	if (k->path[0] != '\0')
		unlink_path(k);
	stop(k);
}

void
keep_leave(struct keep *k)
{
	stop(k);
}
