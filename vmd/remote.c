/* SPDX-License-Identifier: ISC */
/*
 * The process "remote": speaks TLS with vmctl(8) on other hosts.  It holds the
 * sockets, the keys and its clients' bytes, and nothing else: who a client is
 * the parent decides by the subject of its certificate, and what a client wants
 * is opened as that user by "login".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "remote_impl.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#include "tlslib.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define SETUP_MS 10000
#define NOFILE	 1024
#define FILE_MAX (1U << 20) /* bytes of a certificate, key or list */

struct blob {
	uint8_t *data;
	size_t len;
};

/* What the parent is describing, until it says GO. */
struct draft {
	int fd;
	struct blob file[CONF_TLS_FILES];
};

struct process {
	struct remote r;
	struct draft draft[CONF_LISTENS_MAX];
	bool configured;
};

static struct log_rate rate = LOG_RATE(10, 60);

static void
blob_free(struct blob *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->len);
	free(b->data);
	b->data = NULL;
	b->len = 0;
}

static void
draft_clear(struct draft *d)
{
	int i;

	fd_close(&d->fd);
	for (i = 0; i < CONF_TLS_FILES; i++)
		blob_free(&d->file[i]);
}

/* 0 or -errno. */
static int
blob_read(struct blob *b, int fd)
{
	ssize_t n;

	blob_free(b);
	if ((b->data = malloc(FILE_MAX)) == NULL)
		return -ENOMEM;
	do {
		n = read(fd, b->data + b->len, FILE_MAX - b->len);
		if (n == -1)
			return -errno;
		b->len += (size_t)n;
	} while (n > 0 && b->len < FILE_MAX);
	return n > 0 ? -EFBIG : 0;
}

/* Whatever says "NULL or a configuration" also says why. */

static int
set_files(struct tls_config *tc, const struct blob *f, const char **why)
{
	const struct {
		enum conf_tls file;
		int (*set)(struct tls_config *, const uint8_t *, size_t);
	} rows[] = {
		{ CONF_TLS_CA, tlslib.tls_config_set_ca_mem },
		{ CONF_TLS_CERT, tlslib.tls_config_set_cert_mem },
		{ CONF_TLS_KEY, tlslib.tls_config_set_key_mem },
		{ CONF_TLS_CRL, tlslib.tls_config_set_crl_mem },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*why = conf_tls_name(rows[i].file);
		if (f[rows[i].file].len == 0) {
			if (rows[i].file == CONF_TLS_CRL)
				continue;
			return -1;
		}
		if (rows[i].set(
			tc, f[rows[i].file].data, f[rows[i].file].len) != 0)
			return -1;
	}
	return 0;
}

/* A server that wants certificates, or NULL after saying why not. */
static struct tls *
make_server(const struct draft *d, unsigned id)
{
	struct tls_config *tc = tlslib.tls_config_new();
	struct tls *tls = NULL;
	const char *why;

	if (tc == NULL)
		fatalx("tls_config_new: out of memory");
	if (set_files(tc, d->file, &why) != 0)
		log_warnx("listener %u: no good %s%s%s", id + 1, why,
		    tlslib.tls_config_error(tc) != NULL ? ": " : "",
		    tlslib.tls_config_error(tc) != NULL
			? tlslib.tls_config_error(tc)
			: "");
	else {
		tlslib.tls_config_verify_client(tc);
		if (tlslib.tls_config_set_protocols(
			tc, TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3) != 0 ||
		    (tls = tlslib.tls_server()) == NULL)
			fatalx("tls: out of memory");
		if (tlslib.tls_configure(tls, tc) != 0) {
			log_warnx(
			    "listener %u: %s", id + 1, tlslib.tls_error(tls));
			tlslib.tls_free(tls);
			tls = NULL;
		}
	}
	tlslib.tls_config_free(tc);
	return tls;
}

static void
listener_clear(struct remote_listener *l)
{
	if (l->accept != NULL)
		event_free(l->accept);
	l->accept = NULL;
	tlslib.tls_free(l->tls);
	l->tls = NULL;
	fd_close(&l->fd);
}

static void
on_resume(int fd, short what, void *arg)
{
	struct remote *r = arg;
	unsigned i;

	for (i = 0; i < CONF_LISTENS_MAX; i++) {
		if (r->listener[i].accept != NULL &&
		    event_add(r->listener[i].accept, NULL) == -1)
			fatalx("event_add failed");
	}
}

/* No descriptor left: a listener would be ready for ever. */
static void
pause_accept(struct remote *r)
{
	static const struct timeval tv = { 1, 0 };
	unsigned i;

	for (i = 0; i < CONF_LISTENS_MAX; i++) {
		if (r->listener[i].accept != NULL)
			event_del(r->listener[i].accept);
	}
	if (evtimer_add(r->resume, &tv) == -1)
		fatalx("evtimer_add failed");
}

/* Finds peers that vanished, so that they do not hold what is limited. */
static void
keepalive(int fd)
{
	int on = 1, idle = 60, every = 20, times = 3;

	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) ==
		-1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every)) ==
		-1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times)) ==
		-1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1)
		log_limited(&rate, "setsockopt: %s", strerror(errno));
}

/* As getnameinfo(3), which asks the system about some. */
static void
address(const struct sockaddr_storage *ss, char *s, socklen_t len)
{
	struct sockaddr_in6 sin6;
	struct sockaddr_in sin;
	const char *r;

	if (ss->ss_family == AF_INET) {
		memcpy(&sin, ss, sizeof(sin));
		r = inet_ntop(AF_INET, &sin.sin_addr, s, len);
	} else {
		memcpy(&sin6, ss, sizeof(sin6));
		r = inet_ntop(AF_INET6, &sin6.sin6_addr, s, len);
	}
	if (r == NULL)
		snprintf(s, len, "?");
}

static void
on_accept(int listener, short what, void *arg)
{
	struct remote *r = arg;
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	struct remote_listener *l;
	struct source *source;
	struct tls *tls;
	char from[INET6_ADDRSTRLEN];
	int fd;

	for (l = r->listener; l->fd != listener; l++)
		;
	fd = accept4(listener, (struct sockaddr *)&ss, &len,
	    SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_accept(r);
		return;
	}
	address(&ss, from, sizeof(from));
	source = r->nclients < REMOTE_CLIENTS_MAX
	    ? source_take(&r->sources, &ss, fd_now_ms())
	    : NULL;
	if (source == NULL) {
		log_limited(&rate, "client from %s refused: too many", from);
		fd_close(&fd);
		return;
	}
	keepalive(fd);
	if (tlslib.tls_accept_fds(l->tls, &tls, fd, fd) != 0) {
		log_limited(&rate, "client from %s refused: %s", from,
		    tlslib.tls_error(l->tls));
		fd_close(&fd);
		source_give(source);
		return;
	}
	remote_client_new(r, tls, fd, source, from);
}

/* Messages of the parent */

static int
on_listen(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct process *p = arg;

	if (id >= CONF_LISTENS_MAX) {
		fd_close(&fd);
		return -EBADMSG;
	}
	draft_clear(&p->draft[id]);
	p->draft[id].fd = fd;
	return 0;
}

static int
on_file(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct process *p = arg;
	uint32_t kind;
	int error;

	if (id >= CONF_LISTENS_MAX || ibuf_get_n32(body, &kind) == -1 ||
	    kind >= CONF_TLS_FILES) {
		fd_close(&fd);
		return -EBADMSG;
	}
	error = blob_read(&p->draft[id].file[kind], fd);
	fd_close(&fd);
	if (error == 0)
		return 0;
	log_warnx("listener %u: %s: %s", id + 1,
	    conf_tls_name((enum conf_tls)kind), strerror(-error));
	blob_free(&p->draft[id].file[kind]);
	return error == -ENOMEM ? error : 0;
}

static void
listener_watch(struct remote *r, struct remote_listener *l)
{
	l->accept =
	    event_new(r->base, l->fd, EV_READ | EV_PERSIST, on_accept, r);
	if (l->accept == NULL || event_add(l->accept, NULL) == -1)
		fatalx("event_add failed");
}

/* One that is in error is not listened on: its clients wait, or time out. */
static int
on_go(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct process *p = arg;
	struct remote_listener *l;
	uint32_t verbose;
	unsigned i;

	if (ibuf_get_n32(body, &verbose) == -1)
		return -EBADMSG;
	log_setverbose((int)verbose);
	for (i = 0; i < CONF_LISTENS_MAX; i++) {
		l = &p->r.listener[i];
		listener_clear(l);
		if (p->draft[i].fd != -1 &&
		    (l->tls = make_server(&p->draft[i], i)) != NULL) {
			l->fd = fd_take(&p->draft[i].fd);
			listener_watch(&p->r, l);
		}
		draft_clear(&p->draft[i]);
	}
	p->configured = true;
	return 0;
}

static int
on_opened(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct process *p = arg;
	struct remote_client *c = remote_client_find(&p->r, id);

	if (c == NULL)
		fd_close(&fd);
	else
		remote_client_opened(c, fd);
	return 0;
}

static int
on_refused(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct process *p = arg;
	struct remote_client *c = remote_client_find(&p->r, id);
	char why[512];

	if (ctl_get_str(body, why, sizeof(why)) != 0)
		return -EBADMSG;
	if (c != NULL)
		remote_client_refused(c, why);
	return 0;
}

static void
on_parent_closed(void *arg, const char *why)
{
	struct process *p = arg;

	if (why[0] != '\0')
		log_warnx("parent: %s", why);
	event_base_loopbreak(p->r.base);
}

static const struct chan_row rows[] = {
	{ REMOTE_LISTEN, "REMOTE_LISTEN", CHAN_FD, on_listen },
	{ REMOTE_FILE, "REMOTE_FILE", CHAN_FD, on_file },
	{ REMOTE_GO, "REMOTE_GO", CHAN_NOFD, on_go },
	{ REMOTE_OPENED, "REMOTE_OPENED", CHAN_FD, on_opened },
	{ REMOTE_REFUSED, "REMOTE_REFUSED", CHAN_NOFD, on_refused },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_parent_closed,
};

static void
setup(struct process *p)
{
	const char *why;
	unsigned i;

	for (i = 0; i < CONF_LISTENS_MAX; i++)
		p->r.listener[i].fd = p->draft[i].fd = -1;
	TAILQ_INIT(&p->r.sources);
	TAILQ_INIT(&p->r.clients);
	if ((why = tlslib_load()) != NULL)
		fatalx("%s", why);
	if ((p->r.base = event_base_new()) == NULL ||
	    (p->r.resume = evtimer_new(p->r.base, on_resume, &p->r)) == NULL)
		fatalx("events: out of memory");
	if ((p->r.parent = chan_new(NULL, SPAWN_FD, &ops, p)) == NULL)
		fatal("channel");
	while (!p->configured) {
		if (chan_recv(p->r.parent, SETUP_MS) != 0)
			fatalx("no configuration from the parent");
	}
	if (chan_attach(p->r.parent, p->r.base) != 0)
		fatalx("events: out of memory");
}

int
remote_main(void)
{
	static const struct sandbox sb = {
		.user = "_vmd",
		.nofile = NOFILE,
	};
	struct process *p = calloc(1, sizeof(*p));

	if (p == NULL)
		fatalx("out of memory");
	setup(p);
	sandbox_confine(&sb);
	if (chan_only_receive_fds(p->r.parent) != 0)
		fatalx("channel: descriptors are queued");
	sandbox_seal("stdio " /* the loop, reading and writing */
		     "inet " /* accept clients, find those that vanished */
		     "recvfd", /* what they wanted, new certificates */
	    NULL, 0);
	chan_send(p->r.parent, REMOTE_READY, 0, -1, NULL);
	event_base_dispatch(p->r.base);
	return 0;
}
