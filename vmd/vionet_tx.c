/* SPDX-License-Identifier: ISC */
/*
 * One transmit queue of the network device and its thread: see vionet.h.
 *
 * A frame leaves by one writev(2) of the guest's own buffers.  Where it has
 * to be judged first, its head is copied, judged, and leaves as that copy.
 *
 * Large frames are data of a stream, which the other end acknowledges one by
 * one, often on this processor and before writev(2) is back.  So that each of
 * them does not cost a switch to the receive queue's thread and back, that one
 * sleeps until a round of such frames is over (bulk), which is then short.  And
 * so that there are several of them to a round, who makes them keeps its
 * processor when this thread is woken, as long as it has something to do.
 *
 * While large frames come in, what the guest sends are acknowledgements, one by
 * one: the receive queue's thread, which runs anyway, passes them on (TX_TENDED).
 * A kick would cost the guest an exit and a switch to this thread, on its own
 * processor often.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vionet_impl.h"

static struct vionet_tx *
tx_of(struct vdev_queue *v)
{
	return (void *)((char *)v - offsetof(struct vionet_tx, v));
}

/* The chain's first n bytes were copied: leave them out of the vector. */
static unsigned
skip(struct iovec *iov, unsigned niov, size_t n)
{
	unsigned i = 0;

	while (i < niov && n >= iov[i].iov_len)
		n -= iov[i++].iov_len;
	if (i < niov) {
		iov[i].iov_base = (uint8_t *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
	}
	memmove(iov, iov + i, (niov - i) * sizeof(*iov));
	return niov - i;
}

/* A question to ourselves: answered, or not, it does not go to the link. */
static void
answer(struct vionet_tx *q, size_t len)
{
	struct vionet *dev = q->dev;
	uint8_t out[LOCAL_FRAME_MAX];
	size_t n;

	q->stats.served++;
	len = vionet_copy_out(
	    q->chain.iov, q->chain.nread, q->dev->hdr, q->frame, len);
	n = local_answer(&dev->conf.local, q->frame, len, out, sizeof(out));
	if (n > 0)
		vionet_advertise(dev, out, n);
}

/*
 * Copy and judge the head of the frame; false: it does not go to the link.
 * The vector then begins with the copy.
 */
static bool
judge(struct vionet_tx *q)
{
	struct vionet *dev = q->dev;
	size_t n, frame = q->chain.read_len - q->dev->hdr;
	uint32_t len;
	const uint8_t *eth = q->head + q->dev->hdr;

	n = vionet_copy_out(
	    q->chain.iov, q->chain.nread, 0, q->head, sizeof(q->head));
	if (dev->conf.locked &&
	    memcmp(eth + ETH_ALEN, dev->conf.mac, ETH_ALEN) != 0) {
		q->stats.tx_forged++;
		log_limited(&q->rate,
		    "frame from %02x:%02x:%02x:%02x:%02x:%02x dropped: "
		    "lladdr is locked",
		    eth[6], eth[7], eth[8], eth[9], eth[10], eth[11]);
		return false;
	}
	if (dev->conf.serve && frame <= LOCAL_FRAME_MAX &&
	    local_wants(&dev->conf.local, eth, n - q->dev->hdr)) {
		answer(q, frame);
		return false;
	}
	q->niov = skip(q->chain.iov, q->chain.nread, n) + 1;
	q->first = 0;
	q->iov[0] = (struct iovec){ q->head, n };
	if (!dev->conf.stream)
		return true;
	/* Instead of the header its length, right before the frame. */
	q->iov[0].iov_base = q->head + q->dev->hdr - VIONET_LEN;
	q->iov[0].iov_len -= q->dev->hdr - VIONET_LEN;
	len = htonl((uint32_t)frame);
	memcpy(q->iov[0].iov_base, &len, sizeof(len));
	return true;
}

/* A stream took n bytes of a frame: the guest gets its buffers back. */
static void
keep_rest(struct vionet_tx *q, size_t n)
{
	q->left0 = 0;
	q->left1 = vionet_copy_out(
	    q->iov + q->first, q->niov, n, q->left, VIONET_BUF_MAX);
}

static enum vionet_next
send_rest(struct vionet_tx *q)
{
	ssize_t n = write(q->fd, q->left + q->left0, q->left1 - q->left0);

	q->stats.syscalls++;
	if (n == -1 && errno != EAGAIN)
		q->left0 = q->left1 = 0;
	if (n > 0)
		q->left0 += (size_t)n;
	return q->left0 == q->left1 ? NET_GO_ON : NET_WAIT_LINK;
}

/* The frame to the link. */
static enum vionet_next
transmit(struct vionet_tx *q)
{
	ssize_t n = writev(q->fd, q->iov + q->first, (int)q->niov);

	q->stats.syscalls++;
	q->blocked = n == -1 && errno == EAGAIN;
	if (q->blocked)
		return NET_WAIT_LINK;
	if (n == -1) {
		q->stats.tx_dropped++;
	} else {
		q->stats.tx_frames++;
		q->stats.tx_bytes += q->chain.read_len - q->dev->hdr;
		if (q->chain.read_len > VIONET_NEED_SMALL)
			q->large++;
		if (q->left != NULL)
			keep_rest(q, (size_t)n);
	}
	virtq_push(&q->v.vq, q->chain.head, 0);
	return NET_GO_ON;
}

static enum vionet_next
step(struct vionet_tx *q)
{
	const struct vionet_conf *conf = &q->dev->conf;
	int n;

	if (q->left0 != q->left1)
		return send_rest(q);
	if (q->blocked)
		return transmit(q);
	if (q->v.vq.broken)
		return NET_WAIT_BUFFER;
	if ((q->pause = vionet_pay(&q->dev->out, &q->owed)) != 0)
		return NET_WAIT_TIME;
	q->chain.iov = q->iov + 1;
	q->chain.iov_max = VIONET_QUEUE_SIZE;
	q->first = 1;
	n = virtq_pop(&q->v.vq, &q->chain);
	q->niov = q->chain.nread;
	if (n < 0)
		vdev_break(&q->v, "invalid virtqueue");
	if (n != 1)
		return NET_WAIT_BUFFER;
	if (q->chain.nwrite != 0 || q->chain.read_len < q->dev->hdr) {
		vdev_break(&q->v, "frame without a header");
		return NET_WAIT_BUFFER;
	}
	q->owed += q->chain.read_len;
	if (q->chain.read_len < q->dev->hdr + ETH_HLEN ||
	    q->chain.read_len > VIONET_BUF_MAX || vionet_unplugged(q->dev))
		q->stats.tx_dropped++;
	else if (!(conf->locked || conf->serve || conf->stream) || judge(q))
		return transmit(q);
	virtq_push(&q->v.vq, q->chain.head, 0);
	return NET_GO_ON;
}

static void
take_kick(struct vionet_tx *q)
{
	vionet_drain(q->v.kick);
	q->stats.kicks++;
}

static void
wait_for(struct vionet_tx *q, enum vionet_next what, bool kick)
{
	struct pollfd p[3] = {
		{ q->v.wake, POLLIN, 0 },
		{ kick ? q->v.kick : -1, POLLIN, 0 },
		{ what == NET_WAIT_LINK ? q->fd : -1, POLLOUT, 0 },
	};

	(void)poll(p, 3, vionet_timeout(what == NET_WAIT_TIME ? q->pause : 0));
	if ((p[0].revents & POLLIN) != 0)
		vionet_drain(q->v.wake);
	if ((p[1].revents & POLLIN) == 0)
		return;
	pthread_mutex_lock(&q->lock);
	/* Else it is the one that the other thread waits for by now. */
	if (q->state == TX_WAITS)
		take_kick(q);
	pthread_mutex_unlock(&q->lock);
}

enum vionet_next
vionet_tx_round(struct vionet_tx *q)
{
	const struct vionet_rx *rx = &q->dev->rx[q - q->dev->tx];
	enum vionet_next next = NET_GO_ON;
	bool held = q->bulk > 0;
	unsigned n, max = held ? VIONET_HOLD : VIONET_BATCH;

	q->large = 0;
	if (held)
		vionet_rx_hold(rx, true);
	for (n = 0; n < max && next == NET_GO_ON; n++)
		next = step(q);
	if (held) {
		vionet_rx_hold(rx, false);
		q->stats.syscalls += 2;
	}
	if (q->large > 1)
		q->bulk = VIONET_ROUNDS;
	else if (held)
		q->bulk--;
	if (q->large > 0)
		q->stream = VIONET_ROUNDS;
	else if (q->stream > 0)
		q->stream--;
	vionet_let_others_first(&q->behind, q->stream > 0, &q->stats);
	vionet_interrupt(&q->v, &q->stats);
	vionet_count(&q->v, &q->stats);
	return next;
}

static void
set_state(struct vionet_tx *q, enum vionet_tx_state state)
{
	__atomic_store_n(&q->state, state, __ATOMIC_RELAXED);
}

static void
kicks_off(struct vionet_tx *q)
{
	if (q->kicks)
		virtq_disable_kick(&q->v.vq);
	q->kicks = false;
}

/* false: there is something already. */
static bool
kicks_on(struct vionet_tx *q)
{
	q->kicks = true;
	if (!virtq_enable_kick(&q->v.vq))
		return true;
	kicks_off(q);
	return false;
}

static void
wake(const struct vionet_tx *q)
{
	const uint64_t one = 1;

	(void)!write(q->v.wake, &one, sizeof(one));
}

/* Of what the driver sends while it receives; false: there is more to do. */
static bool
pass_on(struct vionet_tx *q)
{
	enum vionet_next next = NET_GO_ON;
	unsigned n;

	q->large = 0;
	for (n = 0; n < VIONET_BATCH && next == NET_GO_ON && q->large == 0; n++)
		next = step(q);
	vionet_interrupt(&q->v, &q->stats);
	vionet_count(&q->v, &q->stats);
	return next == NET_WAIT_BUFFER;
}

bool
vionet_tx_tend(struct vionet_tx *q)
{
	bool tended;

	/* Its thread is at it, or only looks. */
	if (pthread_mutex_trylock(&q->lock) != 0)
		return __atomic_load_n(&q->state, __ATOMIC_RELAXED) ==
		    TX_TENDED;
	if (q->state == TX_WAITS) {
		set_state(q, TX_TENDED);
		wake(q); /* so that it waits for kicks no more */
	}
	if (q->state == TX_TENDED) {
		kicks_off(q);
		if (virtq_pending(&q->v.vq) && !pass_on(q)) {
			set_state(q, TX_BUSY);
			wake(q);
		}
	}
	tended = q->state == TX_TENDED;
	pthread_mutex_unlock(&q->lock);
	return tended;
}

bool
vionet_tx_watch(struct vionet_tx *q)
{
	bool on;

	pthread_mutex_lock(&q->lock);
	on = q->state == TX_TENDED && kicks_on(q);
	pthread_mutex_unlock(&q->lock);
	return on;
}

void
vionet_tx_kicked(struct vionet_tx *q)
{
	pthread_mutex_lock(&q->lock);
	if (q->state == TX_TENDED)
		take_kick(q);
	pthread_mutex_unlock(&q->lock);
}

static void
serve(struct vdev_queue *v)
{
	struct vionet_tx *q = tx_of(v);
	enum vionet_next next = NET_WAIT_BUFFER;
	bool waits;

	pthread_mutex_lock(&q->lock);
	if (q->state != TX_TENDED) {
		set_state(q, TX_BUSY);
		kicks_off(q);
		next = vionet_tx_round(q);
		if (next == NET_WAIT_BUFFER && !kicks_on(q))
			next = NET_GO_ON;
		if (next == NET_WAIT_BUFFER)
			set_state(q, TX_WAITS);
	}
	waits = q->state == TX_WAITS;
	if (next != NET_GO_ON)
		q->stats.syscalls++;
	pthread_mutex_unlock(&q->lock);
	if (next != NET_GO_ON)
		wait_for(q, next, waits);
}

void
vionet_tx_begin(struct vdev_queue *v, bool fresh)
{
	struct vionet_tx *q = tx_of(v);

	pthread_mutex_lock(&q->lock);
	if (fresh) {
		q->blocked = false;
		q->bulk = q->stream = 0;
		q->owed = 0;
	}
	virtq_disable_kick(&v->vq);
	q->kicks = false;
	set_state(q, TX_BUSY);
	pthread_mutex_unlock(&q->lock);
}

static void
idle(struct vdev_queue *v)
{
	struct vionet_tx *q = tx_of(v);

	pthread_mutex_lock(&q->lock);
	set_state(q, TX_OFF);
	pthread_mutex_unlock(&q->lock);
}

void *
vionet_tx_run(void *queue)
{
	static const struct vdev_loop loop = { vionet_tx_begin, serve, idle };

	vdev_loop(queue, &loop);
	return NULL;
}

int
vionet_tx_init(struct vionet_tx *q, struct vionet *dev, unsigned pair)
{
	q->dev = dev;
	q->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	q->fd = dev->conf.fd[pair];
	q->rate = (struct log_rate)LOG_RATE(5, 10);
	if (dev->conf.stream && (q->left = malloc(VIONET_BUF_MAX)) == NULL)
		return -ENOMEM;
	return vdev_add(&dev->vdev, &q->v);
}
