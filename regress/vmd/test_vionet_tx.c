/* SPDX-License-Identifier: ISC */
/*
 * Network device: when a driver that sends hears of it, and of what it is
 * answered with.
 */
#include <pthread.h>

#include "../../vmd/vionet_impl.h"
#include "vionet_rig.h"

#define FRAME 1500
#define LARGE 9000
#define QUEUE 1 /* the first transmit queue */

/* Stage n frames that are all the same. */
static void
stage(struct rig *r, unsigned n)
{
	struct vbuf b[2] = { { RIG_TX, HDR, false },
		{ RIG_TX + HDR, FRAME, false } };

	for (; n > 0; n--)
		assert_true(vdrv_add(&r->q[QUEUE], b, 2, 0) >= 0);
}

static void *
sink(void *arg)
{
	int fd = *(int *)arg;
	static uint8_t buf[HDR + FRAME];
	struct pollfd p = { fd, POLLIN, 0 };

	while (poll(&p, 1, -1) == 1 && read(fd, buf, sizeof(buf)) > 1)
		;
	return NULL;
}

/* Take what is used; how many. */
static unsigned
reap(struct vdrv *d)
{
	uint32_t id, len;
	unsigned n = 0;

	while (vdrv_take(d, &id, &len))
		n++;
	return n;
}

/* Ask for an interrupt when three quarters of what is on its way are used.
 * True: they are. */
static bool
delayed(struct vdrv *d)
{
	uint16_t n =
	    (uint16_t)((uint16_t)(d->avail_idx - d->last_used) * 3 / 4);

	__atomic_store_n(
	    vdrv_used_event(d), (uint16_t)(d->last_used + n), __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return (uint16_t)(__atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE) -
		   d->last_used) > n;
}

/*
 * A driver that sends as Linux does: it reaps when it sends, wants a delayed
 * interrupt then and the next one when it has to wait, which it does with a
 * few frames on their way.  None of its waits is for ever.
 */
static void
test_no_lost_wakeup(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vdrv *d = &r->q[QUEUE];
	struct pollfd p = { r->call[QUEUE], POLLIN, 0 };
	const unsigned frames = 100000;
	unsigned sent, out = 0, window;
	pthread_t t;
	uint64_t n;

	rig_frame(rig_ptr(r, RIG_TX, HDR + FRAME), FRAME, rig_peer, rig_mac, 1);
	assert_int_equal(pthread_create(&t, NULL, sink, &r->link[0]), 0);
	for (sent = 0; sent < frames; sent++) {
		window = 1 + sent / 1000 % 12;
		while (out >= window) {
			if (poll(&p, 1, 5000) != 1)
				fail_msg("stalled after %u, window %u, out %u, "
					 "used event %u, used %u, taken %u",
				    sent, window, out, *vdrv_used_event(d),
				    d->used->idx, d->last_used);
			assert_int_equal(read(r->call[QUEUE], &n, 8), 8);
			do
				out -= reap(d);
			while (vdrv_want_used(d));
		}
		do {
			*(volatile uint16_t *)vdrv_used_event(d) = 0;
			out -= reap(d);
		} while (delayed(d));
		stage(r, 1);
		out++;
		rig_kick(r, QUEUE);
	}
	assert_int_equal(write(r->dfd[0], "", 1), 1);
	pthread_join(t, NULL);
	rig_free(r);
}

/* A frame from the link; does the guest have it within ms? */
static bool
answered(struct rig *r, int ms)
{
	uint32_t id, len;

	if (!rig_take(r, rxq(0), &id, &len, ms))
		return false;
	assert_int_equal(len, HDR + 60);
	return true;
}

static void
inject(struct rig *r)
{
	uint8_t f[HDR + 60];

	rig_frame(f, 60, rig_mac, rig_peer, 1);
	rig_inject(r, 0, f, sizeof(f));
}

/* Held back, a frame waits; it is there as soon as it is not any more.  So it
 * is with one that came before, and after a reset. */
static void
test_hold(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const struct vionet_rx *rx = &r->dev->rx[0];
	unsigned i;

	rig_fill(r, 0, 0, 100, 2048);
	for (i = 0; i < 3; i++) {
		inject(r);
		assert_true(answered(r, 5000));
		while (!__atomic_load_n(&rx->listening, __ATOMIC_RELAXED))
			usleep(1000);
		vionet_rx_hold(rx, true);
		inject(r);
		assert_false(answered(r, 100));
		inject(r);
		vionet_rx_hold(rx, false);
		assert_true(answered(r, 5000));
		assert_true(answered(r, 5000));
	}
	vionet_rx_hold(rx, true);
	rig_reset(r);
	rig_rings(r, VIONET_QUEUE_SIZE);
	assert_int_equal(rig_start(r), 0);
	rig_fill(r, 0, 0, 1, 2048);
	inject(r);
	assert_true(answered(r, 5000));
	rig_free(r);
}

/* Rounds of large frames hold back what answers them, each of which comes all
 * the same, and before anything else is sent. */
static void
test_answers_to_bulk(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	struct vbuf b[2] = { { RIG_TX, HDR, false },
		{ RIG_TX + HDR, LARGE, false } };
	uint8_t buf[HDR + LARGE];
	uint32_t id, len;
	unsigned i, n;

	rig_frame(rig_ptr(r, RIG_TX, HDR + LARGE), LARGE, rig_peer, rig_mac, 1);
	for (i = 0; i < 2000; i++) {
		if (i % 100 == 0)
			rig_fill(r, 0, 0, 100, 2048);
		for (n = 0; n < 3; n++)
			assert_true(vdrv_add(&r->q[QUEUE], b, 2, 0) >= 0);
		rig_kick(r, QUEUE);
		assert_int_equal(
		    rig_outward(r, 0, buf, sizeof(buf), 5000), sizeof(buf));
		inject(r);
		for (n = 1; n < 3; n++)
			assert_int_equal(
			    rig_outward(r, 0, buf, sizeof(buf), 5000),
			    sizeof(buf));
		assert_true(answered(r, 5000));
		for (n = 0; n < 3; n++)
			assert_true(rig_take(r, QUEUE, &id, &len, 5000));
	}
	assert_int_not_equal(r->dev->tx[0].bulk, 0);
	rig_free(r);
}

static void
send_one(struct rig *r, uint32_t len)
{
	struct vbuf b[2] = { { RIG_TX, HDR, false },
		{ RIG_TX + HDR, len, false } };
	uint8_t buf[HDR + LARGE];
	uint32_t id;

	assert_true(vdrv_add(&r->q[QUEUE], b, 2, 0) >= 0);
	rig_kick(r, QUEUE);
	assert_int_equal(
	    rig_outward(r, 0, buf, sizeof(buf), 5000), (int)(HDR + len));
	assert_true(rig_take(r, QUEUE, &id, &len, 5000));
}

/* Who makes large frames is not interrupted by who sends them; who makes others
 * is. */
static void
test_others_first(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const struct vionet_tx *q = &r->dev->tx[0];
	struct sched_param param;
	int i, policy;

	rig_frame(rig_ptr(r, RIG_TX, HDR + LARGE), LARGE, rig_peer, rig_mac, 1);
	send_one(r, 1000);
	assert_false(q->behind);
	send_one(r, LARGE);
	send_one(r, LARGE); /* the first one's round is over */
	assert_true(q->behind);
	assert_int_equal(
	    pthread_getschedparam(q->v.thread, &policy, &param), 0);
	assert_int_equal(policy, SCHED_BATCH);
	for (i = 0; i < VIONET_ROUNDS + 1; i++)
		send_one(r, 1000);
	assert_false(q->behind);
	rig_free(r);
}

static enum vionet_tx_state
state_of(const struct rig *r)
{
	return __atomic_load_n(&r->dev->tx[0].state, __ATOMIC_RELAXED);
}

/* A large frame from the link to the guest, in so many buffers. */
static void
receive_large(struct rig *r)
{
	static uint8_t f[HDR + LARGE];
	const unsigned n = (sizeof(f) + 2047) / 2048;
	uint32_t id, len;
	unsigned i;

	rig_fill(r, 0, 0, n, 2048);
	rig_frame(f, LARGE, rig_mac, rig_peer, 1);
	rig_inject(r, 0, f, sizeof(f));
	for (i = 0; i < n; i++)
		assert_true(rig_take(r, rxq(0), &id, &len, 5000));
}

static void
until_tended(struct rig *r)
{
	unsigned i;

	for (i = 0; i < 1000 && state_of(r) != TX_TENDED; i++)
		receive_large(r);
	assert_int_equal(state_of(r), TX_TENDED);
}

/* n frames in one go. */
static void
send_some(struct rig *r, unsigned n, uint32_t len)
{
	struct vbuf b[2] = { { RIG_TX, HDR, false },
		{ RIG_TX + HDR, len, false } };
	uint8_t buf[HDR + LARGE];
	uint32_t id, used;
	unsigned i;

	for (i = 0; i < n; i++)
		assert_true(vdrv_add(&r->q[QUEUE], b, 2, 0) >= 0);
	rig_kick(r, QUEUE);
	for (i = 0; i < n; i++)
		assert_int_equal(rig_outward(r, 0, buf, sizeof(buf), 5000),
		    (int)(HDR + len));
	for (i = 0; i < n; i++)
		assert_true(rig_take(r, QUEUE, &id, &used, 5000));
}

/* Whoever receives large frames has what it answers passed on by the thread that
 * brings them, until there is more to send than that. */
static void
test_tended(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	const struct vionet_rx *rx = &r->dev->rx[0];
	struct sched_param param;
	unsigned i;
	int policy;

	rig_frame(rig_ptr(r, RIG_TX, HDR + LARGE), LARGE, rig_peer, rig_mac, 1);
	send_one(r, 1000);
	assert_int_not_equal(state_of(r), TX_TENDED);
	for (i = 0; i < 3; i++) {
		until_tended(r);
		send_some(r, 3, 1000);
		assert_int_equal(state_of(r), TX_TENDED);
		send_one(r, LARGE);
		send_one(r, 1000);
		assert_int_not_equal(state_of(r), TX_TENDED);
		until_tended(r);
		send_some(r, VIONET_BATCH + 1, 100);
		assert_int_not_equal(state_of(r), TX_TENDED);
	}
	until_tended(r);
	assert_int_equal(
	    pthread_getschedparam(rx->v.thread, &policy, &param), 0);
	assert_int_equal(policy, SCHED_BATCH);
	rig_reset(r);
	assert_int_equal(state_of(r), TX_OFF);
	rig_rings(r, VIONET_QUEUE_SIZE);
	assert_int_equal(rig_start(r), 0);
	send_some(r, 3, 1000);
	until_tended(r);
	send_some(r, 3, 1000);
	/* Small ones alone are no stream any more. */
	rig_fill(r, 0, 0, 100, 2048);
	for (i = 0; i < 100; i++) {
		inject(r);
		assert_true(answered(r, 5000));
	}
	for (i = 0; i < 5000 && rx->behind; i++)
		usleep(1000);
	assert_false(rx->behind);
	rig_free(r);
}

/* Who looks after the queue changes all the time: nothing waits for ever. */
static void
test_tended_by_turns(void **state)
{
	struct rig *r = rig_new(&(struct rig_opt){ 0 });
	unsigned i, seed = 1;

	rig_frame(rig_ptr(r, RIG_TX, HDR + LARGE), LARGE, rig_peer, rig_mac, 1);
	for (i = 0; i < 20000; i++) {
		switch (rand_r(&seed) % 8) {
		case 0:
		case 1:
			receive_large(r);
			break;
		case 2:
			send_one(r, LARGE);
			break;
		case 3:
			send_some(r, (unsigned)rand_r(&seed) % 80, 100);
			break;
		default:
			send_one(r, 100);
			break;
		}
	}
	rig_free(r);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_lost_wakeup),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_answers_to_bulk),
		cmocka_unit_test(test_others_first),
		cmocka_unit_test(test_tended),
		cmocka_unit_test(test_tended_by_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
