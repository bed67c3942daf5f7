/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what a client may write to the control process, which is the channel
 * that strangers reach: framing, descriptors, and the fields of all requests.
 * Whatever it is, the parent gets nothing but whole, well-formed messages of
 * this client and, in the end, the news that it left.
 *
 * The input is records (record.h).
 */
#include <stdbool.h>

#include "record.h"

/* The process itself, as its peers are its own. */
#include "../../vmd/control.c"

static struct rig {
	struct control ctl;
	struct chan *parent; /* its end */
	unsigned connected, gone;
	int spare; /* a descriptor to be sent */
} r;

/* What the parent gets. */

static int
request(void *arg, uint32_t id, int fd, struct ibuf *body, uint32_t type)
{
	struct ibuf *copy = chan_body();

	check(id == 1 && r.connected == 1 && r.gone == 0);
	check(copy_fields(type, body, copy) == 0 && ibuf_size(body) == 0);
	ibuf_free(copy);
	fd_close(&fd);
	return 0;
}

#define X(name, right, hasfd, fields)                          \
	static int get_##name(                                 \
	    void *arg, uint32_t id, int fd, struct ibuf *body) \
	{                                                      \
		return request(arg, id, fd, body, CTL_##name); \
	}
CTL_REQUESTS(X)
#undef X

static int
connected(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	check(id == 1 && r.connected++ == 0);
	fd_close(&fd);
	return 0;
}

static int
gone(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	check(id == 1 && r.gone++ == 0);
	return 0;
}

static void
closed(void *arg, const char *why)
{
	abort();
}

static const struct chan_row rows[] = {
	{ CONTROL_CONNECT, "CONTROL_CONNECT", CHAN_FD, connected },
	{ CONTROL_GONE, "CONTROL_GONE", CHAN_NOFD, gone },
#define X(name, right, hasfd, fields) \
	{ CTL_##name, "CTL_" #name, (hasfd) ? CHAN_FD : CHAN_NOFD, get_##name },
	CTL_REQUESTS(X)
#undef X
};
static const struct chan_ops ops = { rows, sizeof(rows) / sizeof(rows[0]),
	closed };

static void
set_up(void)
{
	int pair[2];

	r.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	check(r.spare != -1);
	r.ctl.listener = -1;
	TAILQ_INIT(&r.ctl.peers);
	r.ctl.base = event_base_new();
	check(r.ctl.base != NULL);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	r.ctl.parent = chan_new(r.ctl.base, pair[0], &parent_ops, &r.ctl);
	r.parent = chan_new(r.ctl.base, pair[1], &ops, NULL);
	check(r.ctl.parent != NULL && r.parent != NULL);
}

static void
loop(void)
{
	event_base_loop(r.ctl.base, EVLOOP_NONBLOCK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body;
	struct record rec;
	int pair[2];
	size_t n;
	unsigned i;

	if (r.parent == NULL)
		set_up();
	r.ctl.next_id = 1;
	r.connected = r.gone = 0;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	peer_new(&r.ctl, pair[0], 1000);
	while (record_next(&data, &len, &rec, &body, &n)) {
		record_put(
		    pair[1], CTL_NONE + rec.type, &rec, body, n, r.spare);
		loop();
	}
	fd_close(&pair[1]);
	for (i = 0; i < 1000 && r.gone == 0; i++)
		loop();
	check(r.connected == 1 && r.gone == 1 && r.ctl.npeers == 0);
	return 0;
}
