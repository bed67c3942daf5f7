/* SPDX-License-Identifier: ISC */
/*
 * The netcfg process: the host's side of guests' networks (net.h) on behalf of
 * the parent, the only one that it listens to.
 *
 * It lives in the host's network namespace with CAP_NET_ADMIN and nothing
 * else: its two netlink sockets are there before it seals itself, and
 * descriptors of /dev/net/tun come with each request.  When the parent is
 * gone it takes down what it made and ends.
 */
#include <event2/event.h>
#include <linux/capability.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "netmsg.h"
#include "nettap.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#ifdef VMD_CONFINE_TEST
#include "confine.h"
#endif

struct netcfg {
	struct event_base *base;
	struct chan *parent;
	struct net net;
	int queue[NET_QUEUES_MAX]; /* for the next tap */
	unsigned nqueues;
};

/* Fields that do not fit a message are our own mistake. */
static void
must(int rc)
{
	if (rc != 0)
		fatal("message");
}

static void
warn_parent(struct netcfg *c, const struct fail *why)
{
	struct ibuf *b = chan_body();

	must(ctl_put_str(b, why->text));
	must(chan_send(c->parent, NETCFG_WARN, 0, -1, b));
}

static void
drop_queues(struct netcfg *c)
{
	while (c->nqueues > 0)
		fd_close(&c->queue[--c->nqueues]);
}

static int
on_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;
	struct nft_range r;

	if (netmsg_get_range(body, &r) != 0)
		return -EBADMSG;
	net_begin(&c->net, &r);
	return 0;
}

static int
on_switch(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;
	struct net_switch s = { .create = false };
	struct fail why;

	if (netmsg_get_switch(body, &s) != 0)
		return -EBADMSG;
	if (net_switch(&c->net, &s, &why) != 0)
		warn_parent(c, &why);
	return 0;
}

static int
on_apply(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;
	struct fail why;

	if (net_apply(&c->net, &why) != 0)
		warn_parent(c, &why);
	return 0;
}

static int
on_queue(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;

	if (c->nqueues == NET_QUEUES_MAX) {
		close(fd);
		return -EPROTO;
	}
	c->queue[c->nqueues++] = fd;
	return 0;
}

static int
on_tap(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;
	struct net_tap t = { .key = id };
	struct net_result res = { .queues = 0 };
	struct fail why;
	struct ibuf *b;
	int error;

	if (netmsg_get_tap(body, &t) != 0 || c->nqueues == 0)
		return -EBADMSG;
	error = net_tap(&c->net, &t, c->queue, c->nqueues, &res, &why);
	/* The tap lives by the parent's descriptors now. */
	drop_queues(c);
	b = chan_body();
	if (error == 0) {
		must(netmsg_put_result(b, &res));
		must(chan_send(c->parent, NETCFG_DONE, id, -1, b));
		return 0;
	}
	must(ibuf_add_n32(b, (uint64_t)why.code));
	must(ctl_put_str(b, why.text));
	must(chan_send(c->parent, NETCFG_FAIL, id, -1, b));
	return 0;
}

static int
on_adopt(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;
	struct net_tap t = { .key = id };
	struct fail why;

	if (netmsg_get_tap(body, &t) != 0)
		return -EBADMSG;
	if (net_adopt(&c->net, &t, &why) != 0)
		warn_parent(c, &why);
	return 0;
}

static int
on_forget(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct netcfg *c = arg;

	net_forget(&c->net, id);
	return 0;
}

static const struct chan_row rows[] = {
	{ NETCFG_CONF, "NETCFG_CONF", CHAN_NOFD, on_conf },
	{ NETCFG_SWITCH, "NETCFG_SWITCH", CHAN_NOFD, on_switch },
	{ NETCFG_APPLY, "NETCFG_APPLY", CHAN_NOFD, on_apply },
	{ NETCFG_QUEUE, "NETCFG_QUEUE", CHAN_FD, on_queue },
	{ NETCFG_TAP, "NETCFG_TAP", CHAN_NOFD, on_tap },
	{ NETCFG_ADOPT, "NETCFG_ADOPT", CHAN_NOFD, on_adopt },
	{ NETCFG_FORGET, "NETCFG_FORGET", CHAN_NOFD, on_forget },
#ifdef VMD_CONFINE_TEST
	CONFINE_ROW,
#endif
};

static void
on_closed(void *arg, const char *why)
{
	struct netcfg *c = arg;

	if (why[0] != '\0')
		log_warnx("parent: %s", why);
	event_base_loopbreak(c->base);
}

static const struct chan_ops ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
	.closed = on_closed,
};

static void
confine(void)
{
	static const struct sandbox box = {
		.user = "_vmd",
		.keepcaps = 1ULL << CAP_NET_ADMIN,
		.nofile = 64, /* as in nettap_config_ioctls */
	};

	sandbox_confine(&box);
}

static void
seal(void)
{
	/*
	 * stdio:  channel, log
	 * recvfd: queues of taps, from the parent
	 * sendfd: sendmsg, which a channel that takes descriptors uses
	 * tap:    what makes a tap of such a descriptor
	 * netcfg: requests on the two netlink sockets, and their answers
	 */
	sandbox_seal("stdio recvfd sendfd tap netcfg", nettap_config_ioctls,
	    NETTAP_CONFIG_IOCTLS);
}

int
netcfg_main(void)
{
	struct netcfg c = { .nqueues = 0 };
	int error = net_open(&c.net);

	if (error != 0) {
		errno = -error;
		fatal("netlink");
	}
	confine();
	c.base = event_base_new();
	if (c.base == NULL)
		fatalx("event_base_new failed");
	c.parent = chan_new(c.base, SPAWN_FD, &ops, &c);
	if (c.parent == NULL)
		fatal("channel");
	seal();
	must(chan_send(c.parent, NETCFG_READY, 0, -1, NULL));
	event_base_dispatch(c.base);
	drop_queues(&c);
	net_close(&c.net);
	return 0;
}
