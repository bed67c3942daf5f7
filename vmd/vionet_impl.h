/* SPDX-License-Identifier: ISC */
#ifndef VMD_VIONET_IMPL_H
#define VMD_VIONET_IMPL_H

/*
 * Between the parts of the network device: vionet_dev.c (device, main
 * thread), vionet_ctrl.c (control queue), vionet_filter.c (which frames the
 * guest gets), vionet_rx.c and vionet_tx.c (queue threads).
 */
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <sys/uio.h>

#include <assert.h>
#include <pthread.h>

#include "limit.h"
#include "log.h"
#include "vionet.h"

#define VIONET_HDR 12 /* struct virtio_net_hdr_v1 */
/* "Legacy Interface: Device Operation": without num_buffers. */
#define VIONET_HDR_LEGACY 10
/* The largest frame: an IP packet of 64 KiB less one, with a VLAN tag. */
#define VIONET_FRAME_MAX (65535 + 18)
#define VIONET_BUF_MAX	 (VIONET_HDR + VIONET_FRAME_MAX)
/* Before each frame of a stream: its length. */
#define VIONET_LEN 4
/* Room for two of the largest, so that a whole one always fits. */
#define VIONET_STREAM_MAX (2 * (VIONET_HDR + VIONET_FRAME_MAX))
/* Frames in one round, before the thread looks at anything else. */
#define VIONET_BATCH 64
/*
 * Large ones, while what they are answered with is held back.  With more, a guest
 * that waits for its answers has nothing ready when they have left.
 */
#define VIONET_HOLD 4
/* Rounds with fewer than two large ones, until nothing is held back, and with
 * none, until the thread does not let others go first any more. */
#define VIONET_ROUNDS 4
/* Enough for a frame of the usual size at once. */
#define VIONET_NEED_SMALL 2048
#define VIONET_IOV	  1024 /* IOV_MAX */
#define VIONET_HELD	  VIONET_QUEUE_SIZE
#define VIONET_MACS	  64 /* in each table of the filter */
#define VIONET_ADS	  8 /* frames to the guest that wait, power of two */

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20 /* linux/if_tun.h since Linux 6.2 */
#define TUN_F_USO6 0x40
#endif

/* "Reserved Feature Bits" and "Feature bits", beyond linux/virtio_net.h. */
#define VIONET_F_GUEST_USO4 54
#define VIONET_F_GUEST_USO6 55
#define VIONET_F_HOST_USO   56

/* Which frames the guest gets: "Packet Receive Filtering". */
struct vionet_filter {
	pthread_mutex_t lock; /* (l) */
	bool active; /* atomic; false: everything */
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast; /* (l) */
	uint8_t mac[ETH_ALEN]; /* (l) */
	bool vlans; /* (l) filter by VLAN */
	uint8_t vlan[4096 / 8]; /* (l) */
	unsigned nuni, nmulti; /* (l) */
	uint8_t uni[VIONET_MACS][ETH_ALEN]; /* (l) */
	uint8_t multi[VIONET_MACS][ETH_ALEN]; /* (l) */
};

/* One receive buffer that was taken and has no frame yet. */
struct vionet_held {
	uint16_t head, niov;
	uint32_t len;
};

struct vionet_rx {
	struct vdev_queue v;
	struct vionet *dev;
	int fd;
	int ep; /* epoll: the queue's wake and, when listening, fd */
	bool listening;
	bool gone; /* the link is: nothing more to read */
	uint64_t owed, pause; /* bytes to be paid for; ns until they are */
	struct vionet_held held[VIONET_HELD];
	unsigned h0, h1; /* held[h0 .. h1) */
	struct iovec iov[VIONET_IOV]; /* theirs: iov[i0 .. i1), one spare */
	unsigned i0, i1;
	uint64_t cap; /* bytes in held */
	unsigned small; /* frames in a row that were, see gather() */
	bool stream; /* large ones come: the thread lets others go first */
	bool behind; /* it does */
	bool tends; /* the transmit queue as well, see vionet_tx.c */
	bool watches; /* that one's kick, in ep */
	/* A frame for which the buffers do not suffice yet: done bytes are in
	 * them, the rest is at rest, in spill or in. */
	bool pending;
	size_t total, done;
	const uint8_t *rest;
	uint8_t *spill; /* VIONET_BUF_MAX */
	/* Of a stream: in[in0 .. in1) was read and not taken.  There is always
	 * room for a header before in0. */
	uint8_t *in; /* VIONET_STREAM_MAX; NULL: no stream */
	size_t in0, in1;
	struct vionet_stats stats;
};

/* Who looks after a transmit queue. */
enum vionet_tx_state {
	TX_OFF, /* nobody may */
	TX_BUSY, /* its thread */
	TX_WAITS, /* its thread, when it is kicked */
	TX_TENDED, /* the receive queue's thread, kicks too */
};

/* All but what is said to be the thread's own belongs to who has the lock. */
struct vionet_tx {
	struct vdev_queue v;
	pthread_mutex_t lock;
	enum vionet_tx_state state;
	bool kicks; /* the driver kicks */
	struct vionet *dev;
	int fd;
	bool blocked; /* the link takes no more; chain waits */
	unsigned bulk; /* rounds taken for those of large frames; own */
	unsigned large; /* frames of this round that are */
	unsigned stream; /* rounds that the thread lets others go first; own */
	bool behind; /* it does; the thread's own */
	uint64_t owed, pause; /* as of the receive queue */
	struct virtq_chain chain;
	struct iovec iov[VIONET_QUEUE_SIZE + 1]; /* iov[0]: copied head */
	unsigned first, niov; /* what is to be sent of it */
	/* Of a stream: left[left0 .. left1) of a frame that is used already
	 * is still to be sent, whatever happens to the guest. */
	uint8_t *left; /* VIONET_BUF_MAX; NULL: no stream */
	size_t left0, left1;
	uint8_t head[VIONET_HDR + LOCAL_HEAD];
	uint8_t frame[VIONET_HDR + LOCAL_FRAME_MAX];
	struct log_rate rate;
	struct vionet_stats stats;
};

/* Frames of our own to the guest, from the threads that answer to pair 0. */
struct vionet_ads {
	pthread_mutex_t lock; /* (a) */
	unsigned n, first; /* (a); n is also read without, atomic */
	struct {
		uint16_t len;
		uint8_t frame[LOCAL_FRAME_MAX];
	} ad[VIONET_ADS]; /* (a) */
};

struct event;

struct vionet {
	struct vdev vdev;
	struct vionet_conf conf;
	struct virtio_net_config config;
	size_t config_len;
	struct vionet_rx *rx; /* npairs */
	struct vionet_tx *tx;
	struct vdev_queue control;
	struct event **kicks; /* per queue; the control queue's one is added */
	struct vdev_queue *ctrl; /* which one that is; NULL: none */
	unsigned active; /* pairs */
	struct vionet_filter filter;
	uint64_t guest_offload; /* features, as last asked for */
	struct vionet_ads ads;
	bool unplugged; /* atomic; main thread writes */
	struct limit in, out;
	struct event *announce; /* timer */
	struct event *advertise; /* timer; NULL: nothing to advertise */
	/* written while all queues are idle */
	bool mergeable;
	size_t hdr; /* bytes before each frame, VIONET_HDR or _LEGACY */
	size_t need; /* bytes of receive buffers to gather for a frame */
};

static_assert(
    sizeof(struct virtio_net_hdr_v1) == VIONET_HDR, "\"Device Operation\"");
static_assert(sizeof(struct virtio_net_hdr_mrg_rxbuf) == VIONET_HDR,
    "\"Device Operation\"");

/* What a queue's thread does after a round. */
enum vionet_next {
	NET_GO_ON,
	NET_WAIT_BUFFER, /* for the driver */
	NET_WAIT_LINK, /* for a frame, or for room for one */
	NET_WAIT_TIME, /* for the bandwidth */
};

/* vionet_rx.c */
int vionet_rx_init(struct vionet_rx *, struct vionet *, unsigned pair);
void *vionet_rx_run(void *queue);
/* Of the thread, or of a test in its place: vdev_loop.begin, and what can be
 * done without waiting. */
void vionet_rx_begin(struct vdev_queue *, bool fresh);
enum vionet_next vionet_rx_round(struct vionet_rx *);
/* (of the transmit queue's thread) While on, a frame from the link does not wake
 * the thread; those that came do so at the end. */
void vionet_rx_hold(const struct vionet_rx *, bool on);
/* A frame of our own to the guest; any thread.  Dropped when there are many. */
void vionet_advertise(struct vionet *, const uint8_t *frame, size_t len);

/* vionet_stream.c: frames of a stream of bytes.  The length of the next one,
 * whose header and data are at *frame; 0: none yet, errno is EAGAIN while the
 * stream is alive. */
size_t vionet_stream_next(struct vionet_rx *, const uint8_t **frame);
void vionet_stream_reset(struct vionet_rx *);

/* vionet_tx.c */
int vionet_tx_init(struct vionet_tx *, struct vionet *, unsigned pair);
void *vionet_tx_run(void *queue);
void vionet_tx_begin(struct vdev_queue *, bool fresh);
/* With the lock. */
enum vionet_next vionet_tx_round(struct vionet_tx *);
/*
 * (of the receive queue's thread) Pass on the small frames that are there, and
 * have the driver kick for none until vionet_tx_watch().  A queue with more to
 * do is given back to its thread, or left to it: false.
 */
bool vionet_tx_tend(struct vionet_tx *);
/* The same thread is about to sleep, and will wait for a kick of this queue as
 * well.  false: there is something already, or the queue is not tended. */
bool vionet_tx_watch(struct vionet_tx *);
/* The kick that it waited for. */
void vionet_tx_kicked(struct vionet_tx *);

/* vionet_ctrl.c: a kick of the control queue, on the main thread. */
void vionet_ctrl_kick(int fd, short what, void *dev);
/* Take the link's part in what the guest negotiated or asked for. */
int vionet_set_offload(struct vionet *, uint64_t guest_features);
/* Let n pairs run.  0 or -errno. */
int vionet_set_pairs(struct vionet *, unsigned n);

/* The driver knows that others have to learn of its address again. */
void vionet_announced(struct vionet *);

/* vionet_filter.c */
void
vionet_filter_reset(struct vionet_filter *, const uint8_t *mac, bool vlans);
/* head: the first 18 bytes of a frame, or what there is of it. */
bool
vionet_filter_wants(struct vionet_filter *, const uint8_t *head, size_t len);

/* Common to the queue threads. */
/* Pay for frames that passed.  0, or ns until that is possible. */
uint64_t vionet_pay(struct limit *, uint64_t *owed);
/* What poll(2) takes for so many ns; 0 ns: for ever. */
int vionet_timeout(uint64_t ns);
static inline bool
vionet_unplugged(const struct vionet *dev)
{
	return __atomic_load_n(&dev->unplugged, __ATOMIC_RELAXED);
}
uint64_t vionet_drain(int eventfd);
/* sched(7), "SCHED_BATCH": the calling thread preempts nobody when it wakes.
 * *behind: it is so. */
void vionet_let_others_first(bool *behind, bool yes, struct vionet_stats *);
void vionet_interrupt(struct vdev_queue *, struct vionet_stats *);
void vionet_count(const struct vdev_queue *, const struct vionet_stats *);
/* Bytes [off, off + len) of a vector, as far as it goes; how many. */
size_t vionet_copy_out(
    const struct iovec *, unsigned niov, size_t off, void *, size_t len);
size_t vionet_copy_in(
    const struct iovec *, unsigned niov, size_t off, const void *, size_t len);

#endif
