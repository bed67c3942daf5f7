/* SPDX-License-Identifier: ISC */
/*
 * The control process: talks to clients so that the parent need not.  It
 * reads their messages, drops whoever breaks a rule, and passes what is well
 * formed on to the parent, which decides.
 *
 * Invariants
 *  1. Only the requests of CTL_REQUESTS pass, taken apart into their fields
 *     and put together again.
 *  2. Everything a client can hold is bounded: clients in all and per user,
 *     requests without an answer, bytes not yet read by it, silence.
 *  3. A client's number is used once.
 */
#include <sys/queue.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "chan.h"
#include "clients.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "sandbox.h"
#include "screen.h"
#include "spawn.h"
#include "vmconf.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define IDLE_S	     60 /* without a request under way */
#define QUEUE_MAX    (1 << 20) /* unread bytes of one client */
#define EVENTS_MAX   (1 << 16) /* ... when an event comes */
#define ROOT_RESERVE 32 /* of CLIENTS_MAX, for root only */
#define LISTEN_MS    10000
#define NOFILE	     1024

struct control;

struct peer {
	TAILQ_ENTRY(peer) entry;
	struct control *ctl;
	uint32_t id;
	uid_t uid;
	struct chan *chan;
	unsigned pending; /* requests without an answer */
	struct event *idle;
};

struct control {
	struct event_base *base;
	struct chan *parent;
	int listener;
	struct event *accept, *resume;
	TAILQ_HEAD(peers, peer) peers;
	unsigned npeers;
	uint32_t next_id;
};

static struct log_rate peer_rate = LOG_RATE(10, 60);

static void
to_parent(
    struct control *ctl, uint32_t type, uint32_t id, int fd, struct ibuf *body)
{
	/* Without a parent, or with one that does not read, we are useless. */
	if (chan_send(ctl->parent, type, id, fd, body) != 0)
		fatalx("parent does not take messages");
}

static void
peer_free(struct peer *peer)
{
	struct control *ctl = peer->ctl;

	TAILQ_REMOVE(&ctl->peers, peer, entry);
	ctl->npeers--;
	event_free(peer->idle);
	chan_free(peer->chan);
	free(peer);
}

static void
peer_drop(struct peer *peer, const char *why)
{
	if (why[0] != '\0')
		log_limited(&peer_rate, "client of uid %u dropped: %s",
		    (unsigned)peer->uid, why);
	to_parent(peer->ctl, CONTROL_GONE, peer->id, -1, NULL);
	peer_free(peer);
}

static struct peer *
peer_find(const struct control *ctl, uint32_t id)
{
	struct peer *peer;

	TAILQ_FOREACH(peer, &ctl->peers, entry)
	{
		if (peer->id == id)
			return peer;
	}
	return NULL;
}

static void
peer_idle(struct peer *peer)
{
	static const struct timeval tv = { IDLE_S, 0 };

	if (peer->pending > 0)
		evtimer_del(peer->idle);
	else if (evtimer_add(peer->idle, &tv) == -1)
		fatalx("evtimer_add failed");
}

static void
on_idle(int fd, short what, void *arg)
{
	peer_drop(arg, "idle");
}

static void
on_peer_closed(void *arg, const char *why)
{
	peer_drop(arg, why);
}

/* Requests of clients: decode, encode, pass on. */

static int
pass(struct peer *peer, uint32_t type, int fd, struct ibuf *body)
{
	if (type != CTL_START_KERNEL && type != CTL_START_INITRD) {
		if (peer->pending == CTL_PENDING_MAX) {
			ibuf_free(body);
			fd_close(&fd);
			return -EUSERS;
		}
		peer->pending++;
	}
	peer_idle(peer);
	to_parent(peer->ctl, type, peer->id, fd, body);
	return 0;
}

static int
copy_keys(struct ibuf *from, struct ibuf *to)
{
	struct ctl_target t;
	uint32_t key[SCREEN_KEYS_MAX], n;

	if (ctl_target_get(from, &t) != 0 ||
	    screen_get_keys(from, key, &n) != 0)
		return -EBADMSG;
	if (ctl_target_put(to, &t) != 0)
		return -ENOMEM;
	return screen_put_keys(to, key, n);
}

static int
copy_snapshot(uint32_t type, struct ibuf *from, struct ibuf *to)
{
	char tag[CTL_TAG_MAX];
	struct ctl_target t;
	uint32_t what = 0;

	if (ctl_target_get(from, &t) != 0 ||
	    (type == CTL_SNAPSHOT &&
		(ibuf_get_n32(from, &what) == -1 || what >= CTL_SNAP_END)) ||
	    ctl_get_str(from, tag, sizeof(tag)) != 0)
		return -EBADMSG;
	if (ctl_target_put(to, &t) != 0 ||
	    (type == CTL_SNAPSHOT && ibuf_add_n32(to, what) == -1))
		return -ENOMEM;
	return ctl_put_str(to, tag);
}

/* The fields of a request, from one buffer to the other. */
static int
copy_fields(uint32_t type, struct ibuf *from, struct ibuf *to)
{
	struct ctl_target t;
	char path[VM_PATH_MAX + 1];
	struct vmconf conf;
	uint64_t bytes;
	uint32_t n, slow, disks;

	switch (type) {
	case CTL_LIST:
	case CTL_START_KERNEL:
	case CTL_START_INITRD:
	case CTL_RELOAD:
	case CTL_EVENTS:
		return 0;
	case CTL_START:
	case CTL_WAIT:
	case CTL_PAUSE:
	case CTL_SCREEN:
	case CTL_UNPAUSE:
	case CTL_RESTORE:
	case CTL_RECEIVE:
	case CTL_SNAPSHOTS:
		if (ctl_target_get(from, &t) != 0)
			return -EBADMSG;
		return ctl_target_put(to, &t);
	case CTL_STOP:
	case CTL_CDROM:
	case CTL_EJECT:
	case CTL_SAVE:
	case CTL_LINK:
		if (ctl_target_get(from, &t) != 0)
			return -EBADMSG;
		if (ibuf_get_n32(from, &n) == -1 ||
		    n > (type == CTL_SAVE ? CTL_SAVE_FLAGS : 1U))
			return -EBADMSG;
		if (ctl_target_put(to, &t) != 0)
			return -ENOMEM;
		if (ibuf_add_n32(to, n) == -1)
			return -errno;
		if (type != CTL_LINK)
			return 0;
		if (ibuf_get_n32(from, &n) == -1)
			return -EBADMSG;
		return ibuf_add_n32(to, n) == -1 ? -errno : 0;
	case CTL_MEMORY:
		if (ctl_target_get(from, &t) != 0 ||
		    ibuf_get_n64(from, &bytes) == -1)
			return -EBADMSG;
		if (ctl_target_put(to, &t) != 0)
			return -ENOMEM;
		return ibuf_add_n64(to, bytes) == -1 ? -errno : 0;
	case CTL_SEND:
		if (ctl_target_get(from, &t) != 0 ||
		    ibuf_get_n32(from, &n) == -1 ||
		    ibuf_get_n64(from, &bytes) == -1 ||
		    ibuf_get_n32(from, &slow) == -1 ||
		    ibuf_get_n32(from, &disks) == -1)
			return -EBADMSG;
		if (ctl_target_put(to, &t) != 0)
			return -ENOMEM;
		return ibuf_add_n32(to, n) == -1 ||
			ibuf_add_n64(to, bytes) == -1 ||
			ibuf_add_n32(to, slow) == -1 ||
			ibuf_add_n32(to, disks) == -1
		    ? -errno
		    : 0;
	case CTL_SNAPSHOT:
	case CTL_REVERT:
		return copy_snapshot(type, from, to);
	case CTL_KEY:
		return copy_keys(from, to);
	case CTL_LOG:
		if (ibuf_get_n32(from, &n) == -1)
			return -EBADMSG;
		return ibuf_add_n32(to, n) == -1 ? -errno : 0;
	case CTL_LOAD:
	case CTL_START_FILE:
		if (ctl_get_str(from, path, sizeof(path)) != 0 ||
		    path[0] != '/' || !vmconf_path_ok(path))
			return -EBADMSG;
		return ctl_put_str(to, path);
	case CTL_RESET:
		if (ibuf_get_n32(from, &n) == -1 || n == 0 ||
		    (n & ~(uint32_t)CTL_RESET_ALL) != 0)
			return -EBADMSG;
		return ibuf_add_n32(to, n) == -1 ? -errno : 0;
	case CTL_START_ADHOC:
		if (vmconf_get(from, &conf) != 0)
			return -EBADMSG;
		return vmconf_put(to, &conf);
	}
	return -EBADMSG;
}

static int
forward(struct peer *peer, uint32_t type, int fd, struct ibuf *body)
{
	struct ibuf *copy = chan_body();
	int error = copy_fields(type, body, copy);

	/* Checked before anything is passed on, not after. */
	if (error == 0 && ibuf_size(body) != 0)
		error = -EBADMSG;
	if (error != 0) {
		ibuf_free(copy);
		fd_close(&fd);
		return error;
	}
	return pass(peer, type, fd, copy);
}

#define X(name, right, hasfd, fields)                          \
	static int on_##name(                                  \
	    void *arg, uint32_t id, int fd, struct ibuf *body) \
	{                                                      \
		return forward(arg, CTL_##name, fd, body);     \
	}
CTL_REQUESTS(X)
#undef X

static const struct chan_row peer_rows[] = {
#define X(name, right, hasfd, fields) \
	{ CTL_##name, "CTL_" #name, (hasfd) ? CHAN_FD : CHAN_NOFD, on_##name },
	CTL_REQUESTS(X)
#undef X
};
static const struct chan_ops peer_ops = {
	peer_rows,
	sizeof(peer_rows) / sizeof(peer_rows[0]),
	on_peer_closed,
};

/* New clients. */

static bool
room_for(const struct control *ctl, uid_t uid)
{
	const struct peer *peer;
	unsigned n = 0;

	if (uid == 0)
		return ctl->npeers < CLIENTS_MAX;
	if (ctl->npeers >= CLIENTS_MAX - ROOT_RESERVE)
		return false;
	TAILQ_FOREACH(peer, &ctl->peers, entry)
	n += peer->uid == uid;
	return n < CLIENTS_MAX_UID;
}

/* Takes sock. */
static void
peer_new(struct control *ctl, int sock, uid_t uid)
{
	struct peer *peer;
	int copy;

	if (ctl->next_id == 0)
		fatalx("client numbers used up");
	if ((peer = calloc(1, sizeof(*peer))) == NULL ||
	    (copy = fcntl(sock, F_DUPFD_CLOEXEC, 0)) == -1)
		goto close_sock;
	peer->ctl = ctl;
	peer->uid = uid;
	if ((peer->idle = evtimer_new(ctl->base, on_idle, peer)) == NULL)
		goto close_copy;
	peer->chan = chan_new(ctl->base, fd_take(&sock), &peer_ops, peer);
	if (peer->chan == NULL)
		goto close_copy;
	chan_set_limit(peer->chan, QUEUE_MAX);
	peer->id = ctl->next_id++;
	TAILQ_INSERT_TAIL(&ctl->peers, peer, entry);
	ctl->npeers++;
	peer_idle(peer);
	to_parent(ctl, CONTROL_CONNECT, peer->id, copy, NULL);
	return;

close_copy:
	fd_close(&copy);
	if (peer->idle != NULL)
		event_free(peer->idle);
close_sock:
	log_limited(&peer_rate, "client refused: out of memory");
	fd_close(&sock);
	free(peer);
}

/* No descriptor left: the listener would be ready for ever. */
static void
pause_accept(struct control *ctl)
{
	static const struct timeval tv = { 1, 0 };

	event_del(ctl->accept);
	if (evtimer_add(ctl->resume, &tv) == -1)
		fatalx("evtimer_add failed");
}

static void
on_resume(int fd, short what, void *arg)
{
	struct control *ctl = arg;

	if (event_add(ctl->accept, NULL) == -1)
		fatalx("event_add failed");
}

static void
on_accept(int listener, short what, void *arg)
{
	struct control *ctl = arg;
	struct ucred uc;
	socklen_t len = sizeof(uc);
	int sock;

	sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock == -1) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_accept(ctl);
		return;
	}
	/* For our limits only: the parent asks the kernel itself. */
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &uc, &len) == -1) {
		fd_close(&sock);
		return;
	}
	if (!room_for(ctl, uc.uid)) {
		log_limited(&peer_rate, "client of uid %u refused: too many",
		    (unsigned)uc.uid);
		fd_close(&sock);
		return;
	}
	peer_new(ctl, sock, uc.uid);
}

/* Messages of the parent. */

static int
on_answer(struct control *ctl, uint32_t type, uint32_t id, struct ibuf *body)
{
	struct peer *peer = peer_find(ctl, id);
	struct ibuf *copy;

	if (peer != NULL && type == CTL_EVENT &&
	    chan_queued(peer->chan) > EVENTS_MAX) {
		peer_drop(peer, "does not read what it asked to be told");
		peer = NULL;
	}
	if (peer == NULL)
		return ibuf_skip(body, ibuf_size(body)) == -1 ? -EBADMSG : 0;
	copy = chan_body();
	if (ibuf_add(copy, ibuf_data(body), ibuf_size(body)) == -1 ||
	    ibuf_skip(body, ibuf_size(body)) == -1) {
		ibuf_free(copy);
		return -ENOMEM;
	}
	if ((type == CTL_OK || type == CTL_FAIL) && peer->pending > 0) {
		peer->pending--;
		peer_idle(peer);
	}
	/* Too much unread ends its channel: on_peer_closed(). */
	chan_send(peer->chan, type, 0, -1, copy);
	return 0;
}

#define X(name, fields)                                        \
	static int on_##name(                                  \
	    void *arg, uint32_t id, int fd, struct ibuf *body) \
	{                                                      \
		return on_answer(arg, CTL_##name, id, body);   \
	}
CTL_ANSWERS(X)
#undef X

static int
on_listen(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct control *ctl = arg;
	uint32_t verbose;

	if (ctl->listener != -1 || ibuf_get_n32(body, &verbose) == -1) {
		fd_close(&fd);
		return -EBADMSG;
	}
	ctl->listener = fd;
	log_setverbose((int)verbose);
	return 0;
}

static int
on_drop(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct peer *peer = peer_find(arg, id);

	if (peer != NULL)
		peer_drop(peer, "refused by the parent");
	return 0;
}

static int
on_verbose(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t verbose;

	if (ibuf_get_n32(body, &verbose) == -1)
		return -EBADMSG;
	log_setverbose((int)verbose);
	return 0;
}

static void
on_parent_closed(void *arg, const char *why)
{
	struct control *ctl = arg;

	if (why[0] != '\0')
		log_warnx("parent: %s", why);
	event_base_loopbreak(ctl->base);
}

static const struct chan_row parent_rows[] = {
	{ CONTROL_LISTEN, "CONTROL_LISTEN", CHAN_FD, on_listen },
	{ CONTROL_DROP, "CONTROL_DROP", CHAN_NOFD, on_drop },
	{ CONTROL_VERBOSE, "CONTROL_VERBOSE", CHAN_NOFD, on_verbose },
#define X(name, fields) { CTL_##name, "CTL_" #name, CHAN_NOFD, on_##name },
	CTL_ANSWERS(X)
#undef X
#ifdef VMD_CONFINE_TEST
	    CONFINE_ROW,
#endif
};
static const struct chan_ops parent_ops = {
	parent_rows,
	sizeof(parent_rows) / sizeof(parent_rows[0]),
	on_parent_closed,
};

static void
setup(struct control *ctl)
{
	int error;

	memset(ctl, 0, sizeof(*ctl));
	ctl->listener = -1;
	ctl->next_id = 1;
	TAILQ_INIT(&ctl->peers);
	if ((ctl->base = event_base_new()) == NULL)
		fatalx("event_base_new failed");
	ctl->parent = chan_new(NULL, SPAWN_FD, &parent_ops, ctl);
	if (ctl->parent == NULL)
		fatal("channel");
	if ((error = chan_recv(ctl->parent, LISTEN_MS)) != 0 ||
	    ctl->listener == -1)
		fatalx("no socket from the parent: %s", strerror(-error));
	ctl->accept = event_new(
	    ctl->base, ctl->listener, EV_READ | EV_PERSIST, on_accept, ctl);
	ctl->resume = evtimer_new(ctl->base, on_resume, ctl);
	if (ctl->accept == NULL || ctl->resume == NULL ||
	    event_add(ctl->accept, NULL) == -1 ||
	    chan_attach(ctl->parent, ctl->base) != 0)
		fatalx("events: out of memory");
}

static void
seal(void)
{
	sandbox_seal("stdio " /* the loop, reading and writing */
		     "unix " /* accept clients and see their uid */
		     "recvfd " /* kernels and media that vmctl opened */
		     "sendfd", /* those, and the clients' sockets */
	    NULL, 0);
}

int
control_main(void)
{
	static const struct sandbox sb = {
		.user = "_vmd",
		.nofile = NOFILE,
	};
	struct control ctl;

	setup(&ctl);
	sandbox_confine(&sb);
	seal();
	event_base_dispatch(ctl.base);
	return 0;
}
