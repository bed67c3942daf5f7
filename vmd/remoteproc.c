/* SPDX-License-Identifier: ISC */
/*
 * See remoteproc.h.
 *
 * Invariants
 *  1. Which user a client is depends on the configuration and on the subject
 *     that "remote" names, on nothing else that it says.
 *  2. A client's request is answered once: by what its login opened, or by the
 *     end of that process.
 *  3. A new "remote" takes the sockets that are there, so that a reload or a
 *     crash refuses nobody.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "requests.h"
#include "start.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define RESPAWN_MS 500
#define LOGIN_S	   5
#define BACKLOG	   64

struct login_child {
	TAILQ_ENTRY(login_child) entry;
	struct parent *p;
	struct child ch;
	uint32_t client; /* of remote */
	uint32_t vm; /* whose console, by id; 0: control */
	unsigned console; /* which */
	char tty[32];
	bool answered;
	struct event *timer;
};

static int start(struct parent *);

/* Logins */

static void
answer_refused(struct parent *p, uint32_t client, const char *why)
{
	struct ibuf *body;

	if (p->remote.chan == NULL)
		return;
	body = chan_body();
	if (ctl_put_str(body, why) != 0) {
		ibuf_free(body);
		return;
	}
	chan_send(p->remote.chan, REMOTE_REFUSED, client, -1, body);
}

static void
login_free(struct login_child *l)
{
	TAILQ_REMOVE(&l->p->remote.logins, l, entry);
	l->p->remote.nlogins--;
	free(l);
}

/* It is over; what is left of its process waits to be reaped. */
static void
login_end(struct login_child *l)
{
	if (!l->answered)
		answer_refused(l->p, l->client, "vmd: cannot serve this now");
	l->answered = true;
	chan_free(l->ch.chan);
	l->ch.chan = NULL;
	if (l->timer != NULL)
		event_free(l->timer);
	l->timer = NULL;
	if (l->ch.pid > 0)
		kill(l->ch.pid, SIGKILL);
	else
		login_free(l);
}

static void
on_login_late(int fd, short what, void *arg)
{
	struct login_child *l = arg;

	log_warnx("login: process %d takes too long", (int)l->ch.pid);
	login_end(l);
}

static void
on_login_closed(void *arg, const char *why)
{
	if (why[0] != '\0')
		log_warnx("login: %s", why);
	login_end(arg);
}

/* The line was looked up some time ago: is it still that VM's? */
static bool
still_its(const struct login_child *l)
{
	const struct ctl_target t = { .id = l->vm };
	const struct vm *vm;

	if (l->vm == 0)
		return true;
	vm = vmreg_find(&l->p->reg, &t);
	return vm != NULL && vm->tty[l->console].master != -1 &&
	    strcmp(vm->tty[l->console].name, l->tty) == 0;
}

static int
on_opened(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct login_child *l = arg;

	if (l->answered) { /* invariant 2 */
		fd_close(&fd);
		return -EPROTO;
	}
	l->answered = true;
	if (l->p->remote.chan == NULL) {
		fd_close(&fd);
	} else if (!still_its(l)) {
		fd_close(&fd);
		answer_refused(l->p, l->client, "the vm ended");
	} else
		chan_send(
		    l->p->remote.chan, REMOTE_OPENED, l->client, fd, NULL);
	return 0;
}

static int
on_refused(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct login_child *l = arg;
	uint32_t error;
	char text[128];

	if (l->answered)
		return -EPROTO;
	if (ibuf_get_n32(body, &error) == -1)
		return -EBADMSG;
	l->answered = true;
	if (error == EBUSY)
		snprintf(text, sizeof(text), "console is in use");
	else
		snprintf(text, sizeof(text), "%s: %s",
		    l->vm != 0 ? "console" : "control socket",
		    strerror((int)error));
	answer_refused(l->p, l->client, text);
	return 0;
}

static const struct chan_row login_rows[] = {
	{ LOGIN_OPENED, "LOGIN_OPENED", CHAN_FD, on_opened },
	{ LOGIN_REFUSED, "LOGIN_REFUSED", CHAN_NOFD, on_refused },
};
static const struct chan_ops login_ops = {
	login_rows,
	sizeof(login_rows) / sizeof(login_rows[0]),
	on_login_closed,
};

static int
login_ask(struct login_child *l, uid_t uid, uint32_t what, const char *path)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, uid) == -1 || ibuf_add_n32(body, what) == -1 ||
	    ctl_put_str(body, path) != 0) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(l->ch.chan, LOGIN_OPEN, 0, -1, body);
}

static void
login_new(struct parent *p, uint32_t client, uid_t uid, const struct vm *vm,
    unsigned console)
{
	static const struct timeval tv = { LOGIN_S, 0 };
	struct login_child *l;
	struct fail why;

	if (p->remote.nlogins == REMOTE_LOGINS_MAX ||
	    (l = calloc(1, sizeof(*l))) == NULL) {
		answer_refused(p, client, "vmd: too busy");
		return;
	}
	l->p = p;
	l->client = client;
	if (vm != NULL) {
		l->vm = vm->id;
		l->console = console;
		snprintf(l->tty, sizeof(l->tty), "%s", vm->tty[console].name);
	}
	TAILQ_INSERT_TAIL(&p->remote.logins, l, entry);
	p->remote.nlogins++;
	if (start_child(p->base, &l->ch, "login", "login", "login", &login_ops,
		&why) != 0) {
		log_warnx("login: %s", why.text);
		login_end(l);
		return;
	}
	chan_set_arg(l->ch.chan, l);
	l->timer = evtimer_new(p->base, on_login_late, l);
	if (l->timer == NULL || evtimer_add(l->timer, &tv) == -1 ||
	    login_ask(l, uid, vm != NULL ? REMOTE_CONSOLE : REMOTE_CONTROL,
		vm != NULL ? l->tty : p->listener.path) != 0)
		login_end(l);
}

/* Which console of a VM that is, or VM_TTYS. */
static unsigned
console_of(uint32_t what)
{
	switch (what) {
	case REMOTE_CONSOLE:
		return VM_TTY_SERIAL;
	case REMOTE_SERIAL2:
		return VM_TTY_SERIAL2;
	case REMOTE_VIRTIO:
		return VM_TTY_VIRTIO;
	}
	return VM_TTYS;
}

static void
login_console(struct parent *p, uint32_t client, uid_t uid, const char *name,
    unsigned console)
{
	const struct vm *vm = vmreg_by_name(&p->reg, name);

	if (vm == NULL)
		answer_refused(p, client, "vm not found");
	else if (vm->tty[console].master == -1)
		answer_refused(p, client, "console not found");
	else
		login_new(p, client, uid, vm, console);
}

/* What "remote" says */

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
#ifdef VMD_CONFINE_TEST
	confine_ask(((struct parent *)arg)->remote.chan, "remote");
#endif
	return 0;
}

static int
on_wants(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	char subject[CONF_SUBJECT_MAX + 1], name[VM_NAME_MAX + 1];
	const struct conf_remote *r;
	uint32_t what;
	int stream;

	if (ctl_get_str(body, subject, sizeof(subject)) != 0 ||
	    ibuf_get_n32(body, &what) == -1 ||
	    ctl_get_str(body, name, sizeof(name)) != 0 || what > REMOTE_VIRTIO)
		return -EBADMSG;
	if ((r = conf_remote(p->conf, subject)) == NULL) {
		log_info("remote: client %s is not in vm.conf", subject);
		answer_refused(p, id, "vmd: your certificate is not allowed");
		return 0;
	}
	if (what == REMOTE_STREAM) {
		if ((stream = reqsend_take(p, name)) == -1)
			answer_refused(p, id, "no vm waits for that");
		else
			chan_send(
			    p->remote.chan, REMOTE_OPENED, id, stream, NULL);
		return 0;
	}
	log_debug("remote: client %s is user %u", subject, (unsigned)r->uid);
	if (what == REMOTE_CONTROL)
		login_new(p, id, r->uid, NULL, 0);
	else
		login_console(p, id, r->uid, name, console_of(what));
	return 0;
}

static void
on_respawn(int fd, short what, void *arg)
{
	if (start(arg) != 0)
		log_warnx("remote process not started");
}

static void
retry(struct parent *p)
{
	struct timeval tv = { 0, RESPAWN_MS * 1000 };

	if (p->ending || p->remote.nsockets == 0)
		return;
	if (p->remote.respawn == NULL)
		p->remote.respawn = evtimer_new(p->base, on_respawn, p);
	if (p->remote.respawn == NULL ||
	    evtimer_add(p->remote.respawn, &tv) == -1)
		fatalx("no timer for the remote process");
}

static void
on_closed(void *arg, const char *why)
{
	struct parent *p = arg;

	log_warnx("remote: %s", why[0] != '\0' ? why : "channel closed");
	chan_free(p->remote.chan);
	p->remote.chan = NULL;
	if (p->remote.pid != 0)
		kill(p->remote.pid, SIGKILL);
	else
		retry(p);
}

static const struct chan_row rows[] = {
	{ REMOTE_READY, "REMOTE_READY", CHAN_NOFD, on_ready },
	{ REMOTE_WANTS, "REMOTE_WANTS", CHAN_NOFD, on_wants },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

/* Its sockets */

/* The address need not be there yet, nor its network when the host boots. */
static bool
set_options(int fd, bool v6)
{
	int one = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1)
		return false;
	if (!v6)
		return setsockopt(
			   fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) == 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) ==
	    0 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &one, sizeof(one)) == 0;
}

/* A listening socket or -errno. */
static int
listen_on(const struct conf_listen *l)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(l->port) };
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons(l->port) };
	bool v6 = strchr(l->addr, ':') != NULL;
	int error, fd;

	inet_pton(v6 ? AF_INET6 : AF_INET, l->addr,
	    v6 ? (void *)&sin6.sin6_addr : (void *)&sin.sin_addr);
	fd = socket(v6 ? AF_INET6 : AF_INET,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -errno;
	if (set_options(fd, v6) &&
	    bind(fd, v6 ? (void *)&sin6 : (void *)&sin,
		v6 ? sizeof(sin6) : sizeof(sin)) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	error = -errno;
	fd_close(&fd);
	return error;
}

/* Those that are there already stay. */
static void
open_sockets(struct remoteproc *r, const struct conf *conf)
{
	struct remote_socket old[CONF_LISTENS_MAX], *s;
	unsigned i, k, nold = r->nsockets;

	memcpy(old, r->socket, sizeof(old));
	r->nsockets = conf->nlistens;
	for (i = 0; i < conf->nlistens; i++) {
		s = &r->socket[i];
		s->fd = -1;
		memcpy(s->addr, conf->listen[i].addr, sizeof(s->addr));
		s->port = conf->listen[i].port;
		for (k = 0; k < nold; k++) {
			if (old[k].fd != -1 && old[k].port == s->port &&
			    strcmp(old[k].addr, s->addr) == 0)
				s->fd = fd_take(&old[k].fd);
		}
	}
	for (k = 0; k < nold; k++)
		fd_close(&old[k].fd);
	for (i = 0; i < r->nsockets; i++) {
		s = &r->socket[i];
		if (s->fd == -1 && (s->fd = listen_on(&conf->listen[i])) < 0) {
			log_warnx("listen on %s port %u: %s", s->addr, s->port,
			    strerror(-s->fd));
			s->fd = -1;
		}
	}
}

static int
send_file(struct chan *chan, uint32_t id, enum conf_tls kind, const char *path)
{
	struct ibuf *body;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd == -1) {
		log_warn("%s", path);
		return -errno;
	}
	body = chan_body();
	if (ibuf_add_n32(body, kind) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	return chan_send(chan, REMOTE_FILE, id, fd, body);
}

static int
send_listener(struct chan *chan, uint32_t id, const struct conf_listen *l,
    const struct remote_socket *s)
{
	int error, fd, i;

	if (s->fd == -1)
		return 0;
	if ((fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -errno;
	if ((error = chan_send(chan, REMOTE_LISTEN, id, fd, NULL)) != 0)
		return error;
	for (i = 0; i < CONF_TLS_FILES; i++) {
		if (l->file[i][0] == '\0')
			continue;
		/* "remote" says which one is missing. */
		error = send_file(chan, id, (enum conf_tls)i, l->file[i]);
		if (error == -ENOMEM)
			return error;
	}
	return 0;
}

static int
send_all(struct parent *p)
{
	struct ibuf *body;
	unsigned i;
	int error;

	for (i = 0; i < p->remote.nsockets; i++) {
		error = send_listener(p->remote.chan, i, &p->conf->listen[i],
		    &p->remote.socket[i]);
		if (error != 0)
			return error;
	}
	body = chan_body();
	if (ibuf_add_n32(body, (uint32_t)log_getverbose()) == -1) {
		ibuf_free(body);
		return -ENOMEM;
	}
	return chan_send(p->remote.chan, REMOTE_GO, 0, -1, body);
}

static int
start(struct parent *p)
{
	struct remoteproc *r = &p->remote;
	struct child ch = { .pid = 0 };
	struct fail why;
	int error;

	/* A reload may come before it: there is to be one process. */
	if (r->respawn != NULL)
		evtimer_del(r->respawn);
	error =
	    start_child(p->base, &ch, "remote", "remote", "remote", &ops, &why);
	if (error != 0)
		log_warnx("remote: %s", why.text);
	r->pid = ch.pid;
	if (ch.chan == NULL) {
		if (ch.pid > 0)
			kill(ch.pid, SIGKILL);
		else
			retry(p);
		return error;
	}
	r->chan = ch.chan;
	chan_set_arg(ch.chan, p);
	if ((error = send_all(p)) != 0)
		kill(ch.pid, SIGKILL);
	return error;
}

void
remoteproc_init(struct parent *p)
{
	TAILQ_INIT(&p->remote.logins);
}

void
remoteproc_configure(struct parent *p)
{
	struct remoteproc *r = &p->remote;

	open_sockets(r, p->conf);
	if (r->nsockets == 0)
		remoteproc_stop(p);
	else if (r->chan != NULL) {
		if (send_all(p) != 0)
			log_warnx("remote: not configured anew");
	} else if (r->pid == 0)
		start(p);
}

void
remoteproc_stop(struct parent *p)
{
	struct remoteproc *r = &p->remote;
	struct login_child *l, *next;
	unsigned i;

	if (r->respawn != NULL)
		event_free(r->respawn);
	r->respawn = NULL;
	for (i = 0; i < r->nsockets; i++)
		fd_close(&r->socket[i].fd);
	r->nsockets = 0;
	chan_free(r->chan);
	r->chan = NULL;
	for (l = TAILQ_FIRST(&r->logins); l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		login_end(l);
	}
	if (r->pid > 0)
		kill(r->pid, SIGKILL);
}

static bool
login_reaped(struct remoteproc *r, pid_t pid)
{
	struct login_child *l;

	TAILQ_FOREACH(l, &r->logins, entry)
	{
		if (l->ch.pid != pid)
			continue;
		l->ch.pid = 0; /* what it said is in its channel */
		if (l->ch.chan == NULL)
			login_free(l);
		return true;
	}
	return false;
}

bool
remoteproc_reaped(struct parent *p, pid_t pid, int status)
{
	struct remoteproc *r = &p->remote;

	if (pid != r->pid)
		return login_reaped(r, pid);
	r->pid = 0;
	if (!p->ending && r->nsockets > 0)
		log_warnx("remote: process ended (%s %d)",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	if (r->chan == NULL)
		retry(p);
	return true;
}
