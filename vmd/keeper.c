/* SPDX-License-Identifier: ISC */
/*
 * The keeper: it holds what a parent needs to know and to have so that guests
 * outlive it, and gives all of it to the next one.  It understands nothing of
 * what it holds and does nothing else.
 *
 * Invariants
 *  1. As long as it holds a process's channel, that process sees no end of
 *     it, whatever becomes of the parent.
 *  2. One parent at a time, root's: its channel is closed before another is
 *     listened to.
 *  3. Without a parent and without a VM there is nothing to keep: it ends.
 */
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

#define LISTEN_MS 10000
#define NOFILE	  65536

struct item {
	TAILQ_ENTRY(item) entry;
	uint32_t what, index;
	int fd; /* -1: a note */
	size_t len;
	uint8_t *bytes;
};

/* All of one VM. */
struct kept {
	TAILQ_ENTRY(kept) entry;
	uint32_t vm;
	TAILQ_HEAD(items, item) items;
};

struct keeper {
	struct event_base *base;
	struct chan *parent; /* NULL: none at the moment */
	int listener;
	struct event *accept;
	TAILQ_HEAD(, kept) all;
	struct kept *at; /* what KEEP_NEXT tells next, */
	unsigned pos; /* the number of the item */
	bool end; /* KEEP_END */
};

static struct kept *
find(struct keeper *k, uint32_t vm)
{
	struct kept *g;

	TAILQ_FOREACH(g, &k->all, entry)
	{
		if (g->vm == vm)
			return g;
	}
	return NULL;
}

static struct kept *
find_or_make(struct keeper *k, uint32_t vm)
{
	struct kept *g = find(k, vm);

	if (g != NULL || (g = calloc(1, sizeof(*g))) == NULL)
		return g;
	g->vm = vm;
	TAILQ_INIT(&g->items);
	TAILQ_INSERT_TAIL(&k->all, g, entry);
	return g;
}

static void
item_clear(struct item *i)
{
	fd_close(&i->fd);
	free(i->bytes);
	i->bytes = NULL;
	i->len = 0;
}

static struct item *
item_find(struct kept *g, uint32_t what, uint32_t index)
{
	struct item *i;

	TAILQ_FOREACH(i, &g->items, entry)
	{
		if (i->what == what && i->index == index)
			return i;
	}
	return NULL;
}

static struct item *
item_for(struct keeper *k, uint32_t vm, uint32_t what, uint32_t index)
{
	struct kept *g = find_or_make(k, vm);
	struct item *i;

	if (g == NULL)
		return NULL;
	if ((i = item_find(g, what, index)) != NULL) {
		item_clear(i);
		return i;
	}
	if ((i = calloc(1, sizeof(*i))) == NULL)
		return NULL;
	i->what = what;
	i->index = index;
	i->fd = -1;
	TAILQ_INSERT_TAIL(&g->items, i, entry);
	return i;
}

static void
item_free(struct kept *g, struct item *i)
{
	item_clear(i);
	TAILQ_REMOVE(&g->items, i, entry);
	free(i);
}

/* Those that are a VM's id, or those that are not. */
static void
drop(struct keeper *k, struct kept *g, bool ids)
{
	struct item *i, *next;

	for (i = TAILQ_FIRST(&g->items); i != NULL; i = next) {
		next = TAILQ_NEXT(i, entry);
		if ((i->what == KEEP_ID) == ids)
			item_free(g, i);
	}
	if (!TAILQ_EMPTY(&g->items))
		return;
	if (k->at == g)
		k->at = TAILQ_NEXT(g, entry);
	TAILQ_REMOVE(&k->all, g, entry);
	free(g);
}

/* The parent: msg.h, KEEP_REQUESTS. */

static int
on_listen(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct keeper *k = arg;

	if (k->listener != -1) {
		close(fd);
		return -EPROTO;
	}
	k->listener = fd;
	return 0;
}

static int
get_key(struct ibuf *body, uint32_t *what, uint32_t *index)
{
	if (ibuf_get_n32(body, what) == -1 || ibuf_get_n32(body, index) == -1 ||
	    *what >= KEEP_WHATS)
		return -EBADMSG;
	return 0;
}

static int
on_fd(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t what, index;
	struct item *i = NULL;

	if (get_key(body, &what, &index) != 0) {
		close(fd);
		return -EBADMSG;
	}
	if ((i = item_for(arg, id, what, index)) == NULL) {
		close(fd);
		return -ENOMEM;
	}
	i->fd = fd;
	return 0;
}

static int
on_note(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	size_t len;
	uint32_t what, index;
	uint8_t *bytes;
	struct item *i;

	if (get_key(body, &what, &index) != 0 || (len = ibuf_size(body)) == 0)
		return -EBADMSG;
	if ((bytes = malloc(len)) == NULL)
		return -ENOMEM;
	if (ibuf_get(body, bytes, len) == -1 ||
	    (i = item_for(arg, id, what, index)) == NULL) {
		free(bytes);
		return -ENOMEM;
	}
	i->bytes = bytes;
	i->len = len;
	return 0;
}

static int
on_clear(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct kept *g = find(arg, id);
	uint32_t what, index;
	struct item *i;

	if (get_key(body, &what, &index) != 0)
		return -EBADMSG;
	if (g != NULL && (i = item_find(g, what, index)) != NULL)
		item_free(g, i);
	return 0;
}

static int
on_drop(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct kept *g = find(arg, id);

	if (g != NULL)
		drop(arg, g, false);
	return 0;
}

static int
on_forget(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct keeper *k = arg;
	struct kept *g, *next;

	for (g = TAILQ_FIRST(&k->all); g != NULL; g = next) {
		next = TAILQ_NEXT(g, entry);
		drop(k, g, true);
	}
	return 0;
}

static const struct item *
next_item(struct keeper *k, uint32_t *vm)
{
	const struct item *i;
	unsigned n;

	for (; k->at != NULL; k->at = TAILQ_NEXT(k->at, entry), k->pos = 0) {
		n = k->pos;
		i = TAILQ_FIRST(&k->at->items);
		while (i != NULL && n-- > 0)
			i = TAILQ_NEXT(i, entry);
		if (i == NULL)
			continue;
		k->pos++;
		*vm = k->at->vm;
		return i;
	}
	return NULL;
}

static int
on_next(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct keeper *k = arg;
	uint32_t vm = 0;
	const struct item *i = next_item(k, &vm);
	struct ibuf *b;
	int copy = -1;

	if (i == NULL)
		return chan_send(k->parent, KEEP_DONE, 0, -1, NULL);
	if (i->fd != -1 && (copy = fcntl(i->fd, F_DUPFD_CLOEXEC, 0)) == -1)
		return -errno;
	b = chan_body();
	if (ibuf_add_n32(b, i->what) == -1 || ibuf_add_n32(b, i->index) == -1 ||
	    (i->len > 0 && ibuf_add(b, i->bytes, i->len) == -1)) {
		ibuf_free(b);
		fd_close(&copy);
		return -ENOMEM;
	}
	return chan_send(
	    k->parent, copy != -1 ? KEEP_FD : KEEP_NOTE, vm, copy, b);
}

static int
on_end(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct keeper *k = arg;

	k->end = true;
	event_base_loopbreak(k->base);
	return 0;
}

static const struct chan_row rows[] = {
	{ KEEP_LISTEN, "KEEP_LISTEN", CHAN_FD, on_listen },
	{ KEEP_FD, "KEEP_FD", CHAN_FD, on_fd },
	{ KEEP_NOTE, "KEEP_NOTE", CHAN_NOFD, on_note },
	{ KEEP_CLEAR, "KEEP_CLEAR", CHAN_NOFD, on_clear },
	{ KEEP_DROP, "KEEP_DROP", CHAN_NOFD, on_drop },
	{ KEEP_FORGET, "KEEP_FORGET", CHAN_NOFD, on_forget },
	{ KEEP_NEXT, "KEEP_NEXT", CHAN_NOFD, on_next },
	{ KEEP_END, "KEEP_END", CHAN_NOFD, on_end },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

/* Invariant 3. */
static unsigned
guests(const struct keeper *k)
{
	struct kept *g;
	unsigned n = 0;

	TAILQ_FOREACH(g, &k->all, entry)
	n += item_find(g, KEEP_VM, 0) != NULL;
	return n;
}

static void
on_closed(void *arg, const char *why)
{
	struct keeper *k = arg;
	unsigned n = guests(k);

	if (why[0] != '\0')
		log_warnx("parent: %s", why);
	chan_free(k->parent);
	k->parent = NULL;
	if (n == 0) {
		event_base_loopbreak(k->base);
		return;
	}
	log_warnx("vmd is gone; %u guests go on without it until it is "
		  "started again",
	    n);
	if (event_add(k->accept, NULL) == -1)
		fatalx("event_add failed");
}

static const struct chan_ops ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
	.closed = on_closed,
};

static void
on_accept(int listener, short what, void *arg)
{
	struct keeper *k = arg;
	struct ucred uc;
	socklen_t len = sizeof(uc);
	int sock;

	sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (sock == -1)
		return;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &uc, &len) == -1 ||
	    uc.uid != 0) {
		close(sock);
		return;
	}
	k->parent = chan_new(k->base, sock, &ops, k);
	if (k->parent == NULL)
		return;
	event_del(k->accept);
	k->at = TAILQ_FIRST(&k->all);
	k->pos = 0;
}

static void
set_up(struct keeper *k)
{
	struct sandbox box = { .user = "_vmd", .nofile = NOFILE };
	struct rlimit rl;

	/* As many as the parent may have, which are no more. */
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_max < NOFILE)
		box.nofile = (unsigned)rl.rlim_max;
	sandbox_confine(&box);
	if ((k->base = event_base_new()) == NULL ||
	    (k->accept = event_new(k->base, k->listener, EV_READ | EV_PERSIST,
		 on_accept, k)) == NULL ||
	    chan_attach(k->parent, k->base) != 0)
		fatalx("event loop");
	/*
	 * stdio:  channel, log, notes
	 * recvfd: what is to be kept
	 * sendfd: and given back
	 * unix:   the next parent
	 */
	sandbox_seal("stdio recvfd sendfd unix", NULL, 0);
}

int
keeper_main(void)
{
	struct keeper k = { .listener = -1 };

	TAILQ_INIT(&k.all);
	k.parent = chan_new(NULL, SPAWN_FD, &ops, &k);
	if (k.parent == NULL)
		fatal("channel");
	while (k.listener == -1)
		if (chan_recv(k.parent, LISTEN_MS) != 0)
			return 1;
	set_up(&k);
	event_base_dispatch(k.base);
	return 0;
}
