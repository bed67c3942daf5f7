/* SPDX-License-Identifier: ISC */
/*
 * The vm process sends its guest to another host, by a socket whose other end
 * a client holds: send.h has what goes both ways.
 *
 *   COPY     the guest runs; rounds of its memory go out
 *   DRAIN    it stands still; its devices end what they have begun
 *   UNLOCK   the parent lets go of the images
 *   LAST     the rest of its memory, then all other state
 *   ASKED    all is out: READY will come
 *   HANDED   COMMIT is out: it is not ours any more, until DONE has come
 *   RELOCK   it failed before that: when the images are locked, it goes on
 *
 * Disks that are copied (vm_mirror.h) follow memory in each round, and in LAST;
 * then nobody unlocks their images here: DRAIN leads to LAST, and a failure to
 * where it goes on.
 *
 * Invariants
 *  1. After the first byte of COMMIT nothing here lets the guest go on.
 *  2. The guest goes on with its images locked, or not at all.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <event2/event.h>
#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "limit.h"
#include "log.h"
#include "pager.h"
#include "save.h"
#include "send.h"
#include "throttle.h"
#include "vm_impl.h"
#include "vm_mirror.h"
#include "vmm.h"

#define CHUNK	  (256U << 10)
#define STALL_S	  30 /* it takes nothing */
#define ANSWER_MS 60000 /* until READY */
#define DONE_MS	  10000
#define RETRY_MS  200
#define RETRIES	  100
#define BURSTS	  10 /* this part of a second may be sent at once */
#define MIB	  (1ULL << 20)
#define PAGE	  4096ULL

enum phase { COPY, DRAIN, UNLOCK, LAST, FLUSH, ASKED, HANDED, RELOCK };

struct sending {
	struct vm *vm;
	int fd;
	struct event *rd, *wr, *timer;
	enum phase phase;
	struct send d;
	size_t at; /* bytes of d.s.out that are out */
	unsigned limit_ms; /* that it may stand still */
	struct limit limit; /* while it runs */
	uint64_t unpaid; /* bytes that are out, and not taken from it */
	struct throttle *throttle;
	unsigned slow, slow_most; /* percent */
	struct send_trend trend;
	uint64_t round_began, stopped; /* ms */
	uint64_t bytes, round_bytes, speed;
	unsigned retries;
	struct vm_mirror *mirror; /* of its disks, or NULL: they are shared */
	struct send_words words;
	int error; /* the first one */
	char why[WHY_MAX];
};

static void arm_write(struct sending *);
static void pace(struct sending *);

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t
now_ms(void)
{
	return now_ns() / 1000000;
}

static void
arm(struct sending *x, uint64_t ms)
{
	struct timeval tv = { (time_t)(ms / 1000),
		(suseconds_t)(ms % 1000 * 1000) };

	if (event_add(x->timer, &tv) == -1)
		fatalx("event_add failed");
}

static void
tell_lock(struct vm *vm, bool on)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, on) == -1)
		fatalx("out of memory");
	chan_send(vm->parent, VM_LOCK, vm->id, -1, body);
}

static void __attribute__((format(printf, 2, 3)))
progress(struct sending *x, const char *fmt, ...)
{
	struct ibuf *body = chan_body();
	char line[WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (ctl_put_str(body, line) < 0) {
		ibuf_free(body);
		return;
	}
	chan_send(x->vm->parent, VM_PROGRESS, x->vm->id, -1, body);
}

/* The other side sees the end of it. */
static void
hang_up(struct sending *x)
{
	if (x->rd != NULL)
		event_free(x->rd);
	if (x->wr != NULL)
		event_free(x->wr);
	x->rd = x->wr = NULL;
	if (x->timer != NULL)
		event_del(x->timer);
	if (x->fd != -1)
		close(fd_take(&x->fd));
}

static void
sending_free(struct sending *x)
{
	hang_up(x);
	if (x->timer != NULL)
		event_free(x->timer);
	throttle_free(x->throttle);
	vm_mirror_end(x->mirror);
	send_free(&x->d);
	x->vm->sending = NULL;
	free(x);
}

/* It stays here, as it was before. */
static void
stays(struct sending *x)
{
	struct vm *vm = x->vm;
	bool go_on = x->phase != COPY && !vm->save_was_paused;
	int e = vmm_log(vm->vmm, &vm->mem, false);

	if (e < 0)
		log_warnx("log of written pages: %s", strerrordesc_np(-e));
	vm_report(vm, VM_SAVED, (uint32_t)-x->error, x->why);
	sending_free(x);
	if (go_on)
		vm_set_paused(vm, false);
}

/* Only a person knows where it runs. */
static void
uncertain(struct sending *x, const char *why)
{
	struct vm *vm = x->vm;

	vm->handed = true;
	if (!vm->save_was_paused)
		vm_report_paused(vm);
	vm_report(vm, VM_SAVED, EOWNERDEAD, why);
	sending_free(x);
}

static void __attribute__((format(printf, 3, 4)))
failed(struct sending *x, int error, const char *fmt, ...)
{
	va_list ap;

	if (x->error != 0)
		return;
	x->error = error;
	va_start(ap, fmt);
	vsnprintf(x->why, sizeof(x->why), fmt, ap);
	va_end(ap);
	hang_up(x);
	throttle_set(x->throttle, 0);
	switch (x->phase) {
	case COPY:
		stays(x);
		break;
	case DRAIN: /* what is under way comes back here */
	case UNLOCK:
	case RELOCK:
		break;
	case LAST:
	case FLUSH:
	case ASKED:
		if (x->mirror != NULL) {
			stays(x); /* nobody has unlocked its images */
			break;
		}
		x->phase = RELOCK;
		tell_lock(x->vm, true);
		break;
	case HANDED:
		uncertain(x,
		    "the connection ended before the other host had answered: "
		    "it runs there, or is paused here");
		break;
	}
}

static int
logged(void *arg, uint64_t *bits)
{
	return vmm_logged(arg, bits);
}

static int64_t
next_round(struct sending *x)
{
	int64_t n = send_round(&x->d, logged, x->vm->vmm);

	if (n < 0) {
		failed(x, (int)n, "log of written pages: %s",
		    strerrordesc_np((int)-n));
		return n;
	}
	if (x->mirror != NULL) {
		n += (int64_t)(vm_mirror_left(x->mirror) / PAGE);
		vm_mirror_pass(x->mirror);
	}
	return n;
}

/* A round that was short says little about the speed. */
static void
measure(struct sending *x)
{
	uint64_t ms = now_ms() - x->round_began;

	if (x->speed == 0 || x->round_bytes >= MIB)
		x->speed = x->round_bytes * 1000 / (ms > 0 ? ms : 1);
	x->round_began += ms;
	x->round_bytes = 0;
}

/* It writes about as much as is sent. */
static void
slow_down(struct sending *x, uint64_t pages, uint64_t before)
{
	unsigned slow = x->slow;

	/* The first round has all of its memory. */
	if (x->d.round > 3)
		slow = send_slow(x->slow, x->slow_most, pages, before);
	if (slow == x->slow)
		return;
	x->slow = slow;
	throttle_set(x->throttle, slow);
	progress(x, "round %u: the guest is slowed down by %u %%",
	    x->d.round - 1, slow);
}

static void
round_over(struct sending *x)
{
	uint64_t before = x->trend.left;
	int64_t n;

	measure(x);
	if ((n = next_round(x)) < 0)
		return;
	progress(x, "round %u: %llu MiB sent, %llu MiB/s, %llu KiB to go",
	    x->d.round - 1, (unsigned long long)(x->bytes / MIB),
	    (unsigned long long)(x->speed / MIB), (unsigned long long)n * 4);
	switch (send_judge(
	    &x->trend, (uint64_t)n, x->speed, x->d.round - 1, x->limit_ms)) {
	case SEND_GO_ON:
		slow_down(x, (uint64_t)n, before);
		arm_write(x);
		return;
	case SEND_NEVER:
		failed(x, -EBUSY,
		    "its guest writes %s faster than it is sent: "
		    "%llu MiB are left after %u rounds at %llu MiB/s%s",
		    x->mirror == NULL ? "memory" : "memory and disks",
		    (unsigned long long)n * PAGE / MIB, x->d.round - 1,
		    (unsigned long long)(x->speed / MIB),
		    x->slow == 0 ? "" : ", slowed down");
		return;
	case SEND_STOP:
		break;
	}
	x->phase = DRAIN;
	event_del(x->timer);
	throttle_set(x->throttle, 0);
	x->stopped = now_ms();
	vm_stand_still(x->vm);
}

void
vm_send_drained(struct vm *vm)
{
	struct sending *x = vm->sending;

	if (vm->save_lost)
		failed(x, -EIO, "a device process ended");
	if (x->error == 0 && x->mirror != NULL)
		(void)next_round(x);
	if (x->error != 0) {
		stays(x);
		return;
	}
	if (x->mirror != NULL) {
		x->phase = LAST;
		arm_write(x);
		return;
	}
	x->phase = UNLOCK;
	tell_lock(vm, false);
}

static void
unlocked(struct sending *x, int error)
{
	if (error != 0)
		failed(x, -error, "disks: %s", strerrordesc_np(error));
	else if (x->error == 0)
		(void)next_round(x);
	x->phase = x->error != 0 ? RELOCK : LAST;
	if (x->error != 0)
		tell_lock(x->vm, true);
	else
		arm_write(x);
}

static void
locked(struct sending *x, int error)
{
	if (error == 0)
		stays(x);
	else if (x->retries++ < RETRIES)
		arm(x, RETRY_MS);
	else
		uncertain(x, "its disks are used by another process");
}

void
vm_send_locked(struct vm *vm, int error)
{
	struct sending *x = vm->sending;

	if (x != NULL && x->phase == UNLOCK)
		unlocked(x, error);
	else if (x != NULL && x->phase == RELOCK)
		locked(x, error);
}

static void
commit(struct sending *x)
{
	uint8_t word[2 + SEND_TEXT_MAX];
	size_t n = send_word_put(word, SEND_COMMIT, "");

	x->phase = HANDED;
	arm(x, DONE_MS);
	/* Nothing else is in the socket's way: READY came after all of it. */
	if (write(x->fd, word, n) != (ssize_t)n)
		failed(x, -EPIPE, "commit");
}

static void
done(struct sending *x)
{
	struct vm *vm = x->vm;

	progress(x, "stood still for %llu ms, %llu MiB in %u rounds",
	    (unsigned long long)(now_ms() - x->stopped),
	    (unsigned long long)(x->bytes / MIB), x->d.round);
	vm_report(vm, VM_SAVED, 0, "");
	vm->handed = true;
	sending_free(x);
	vm_set_end(vm, VM_END_POWEROFF, "it was sent to another host");
}

/* x may be gone afterwards. */
static void
heard(struct sending *x, int word, const char *text)
{
	if (word == SEND_READY && x->phase == ASKED)
		commit(x);
	else if (word == SEND_DONE && x->phase == HANDED)
		done(x);
	else if (word == SEND_NO)
		failed(x, -ECONNREFUSED, "the other host: %s", text);
	else
		failed(x, -EPROTO, "the other host's answer is not understood");
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct sending *x = arg;
	char text[SEND_TEXT_MAX + 1];
	uint8_t in[64];
	ssize_t n = read(x->fd, in, sizeof(in));
	size_t used, at = 0;
	char *p;
	int word;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		failed(x, -EPIPE, "the other host has gone");
		return;
	}
	while (at < (size_t)n) {
		word =
		    send_words(&x->words, in + at, (size_t)n - at, &used, text);
		at += used;
		if (word == 0)
			continue;
		for (p = text; *p != '\0'; p++)
			if (*p < ' ' || *p > '~')
				*p = '?';
		heard(x, word, text);
		return; /* nothing follows without a word of ours */
	}
}

/* Something of a disk came, or it failed. */
static void
on_mirror(void *arg)
{
	struct sending *x = arg;

	if (x->fd != -1 && (x->phase == COPY || x->phase == LAST))
		pace(x);
}

/* All of its disks is out that is of this round: true; false: more will come,
 * or it failed. */
static bool
disks_over(struct sending *x)
{
	const char *why;
	int e;

	if (x->mirror == NULL)
		return true;
	if (!vm_mirror_more(x->mirror)) {
		if (x->phase == LAST)
			arm(x, ANSWER_MS);
		return false;
	}
	if ((e = vm_mirror_failed(x->mirror, &why)) == 0)
		return true;
	failed(x, e, "%s", why);
	return false;
}

/* There is more to go out; false: not by this. */
static bool
fill(struct sending *x)
{
	bool over = false;
	struct save s;

	x->d.s.nout = x->at = 0;
	if (x->phase == COPY || x->phase == LAST)
		over = send_more(&x->d, CHUNK) && x->d.s.nout == 0;
	if (over && x->d.s.error == 0 && !disks_over(x))
		return false;
	if (x->d.s.error == 0 && over && x->phase == COPY) {
		round_over(x);
		return false;
	}
	if (over && x->phase == LAST) {
		vm_parts(x->vm, &s);
		save_end(&s, &x->d.s);
		x->phase = FLUSH;
	}
	if (x->d.s.error != 0) {
		failed(x, x->d.s.error, "%s", x->d.s.why);
		return false;
	}
	if (x->d.s.nout > 0)
		return true;
	x->phase = ASKED;
	arm(x, ANSWER_MS);
	return false;
}

static void
pace(struct sending *x)
{
	uint64_t wait = 0;

	if (x->phase == COPY)
		wait = limit_take(&x->limit, 0, x->unpaid, now_ns());
	if (wait > 0) {
		arm(x, wait / 1000000 + 1);
		return;
	}
	x->unpaid = 0;
	arm_write(x);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct sending *x = arg;
	ssize_t n;

	if ((what & EV_TIMEOUT) != 0) {
		failed(x, -ETIMEDOUT, "the other host takes nothing");
		return;
	}
	if (x->at == x->d.s.nout && !fill(x))
		return;
	n = write(x->fd, x->d.s.out + x->at, x->d.s.nout - x->at);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		failed(x, -errno, "%s", strerrordesc_np(errno));
		return;
	}
	if (n > 0) {
		x->at += (size_t)n;
		x->bytes += (uint64_t)n;
		x->unpaid += (uint64_t)n;
		x->round_bytes += (uint64_t)n;
	}
	pace(x);
}

static void
arm_write(struct sending *x)
{
	static const struct timeval tv = { .tv_sec = STALL_S };

	if (event_add(x->wr, &tv) == -1)
		fatalx("event_add failed");
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sending *x = arg;

	switch (x->phase) {
	case COPY:
		pace(x);
		break;
	case RELOCK:
		tell_lock(x->vm, true);
		break;
	case LAST:
		failed(x, -ETIMEDOUT, "a disk does not answer");
		break;
	case ASKED:
	case HANDED:
		failed(x, -ETIMEDOUT, "the other host does not answer");
		break;
	case DRAIN:
	case UNLOCK:
	case FLUSH:
		break;
	}
}

static int
begin(struct sending *x, bool disks)
{
	struct vm *vm = x->vm;
	struct save s;
	int e;

	x->rd =
	    event_new(vm->base, x->fd, EV_READ | EV_PERSIST, on_readable, x);
	x->wr = event_new(vm->base, x->fd, EV_WRITE, on_writable, x);
	x->timer = evtimer_new(vm->base, on_timer, x);
	if (x->rd == NULL || x->wr == NULL || x->timer == NULL ||
	    event_add(x->rd, NULL) == -1)
		return -ENOMEM;
	if ((e = vmm_log(vm->vmm, &vm->mem, true)) < 0 ||
	    (e = send_begin(&x->d, &vm->mem, vm->conf.name)) < 0)
		return e;
	vm_parts(vm, &s);
	save_begin(&s, &x->d.s);
	if (disks) {
		e = vm_mirror_begin(&x->mirror, vm, &x->d.s, on_mirror, x);
		if (e < 0)
			return e;
		vm_mirror_pass(x->mirror);
	}
	x->round_began = now_ms();
	arm_write(x);
	return 0;
}

const char *
vm_send_cannot(const struct vm *vm)
{
	const struct vmconf *c = &vm->conf;
	uint32_t i;

	/* Its connections would stay behind. */
	for (i = 0; i < c->nnics; i++)
		if ((c->nic[i].flags & VM_NIC_USER) != 0)
			return "its user interface";
	return save_cannot(c);
}

static void
refuse(struct vm *vm, int fd, int error, const char *why)
{
	close(fd);
	vm_report(vm, VM_SAVED, (uint32_t)-error, why);
}

int
vm_on_send(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	static const struct vm_limit none;
	struct vm *vm = arg;
	char line[WHY_MAX];
	struct sending *x;
	const char *what;
	uint32_t limit, slow, disks;
	uint64_t rate;
	int e;

	if (ibuf_get_n32(body, &limit) == -1 ||
	    ibuf_get_n64(body, &rate) == -1 ||
	    ibuf_get_n32(body, &slow) == -1 ||
	    ibuf_get_n32(body, &disks) == -1 || disks > 1 ||
	    vm->vcpus == NULL) {
		close(fd);
		return -EBADMSG;
	}
	if (!vm_idle(vm)) {
		refuse(vm, fd, -EBUSY, strerrordesc_np(EBUSY));
		return 0;
	}
	if ((what = vm_send_cannot(vm)) != NULL) {
		snprintf(line, sizeof(line), "%s cannot be sent", what);
		refuse(vm, fd, -EOPNOTSUPP, line);
		return 0;
	}
	if ((x = calloc(1, sizeof(*x))) == NULL ||
	    (x->throttle = throttle_new(vm->base, vm->vcpus)) == NULL) {
		free(x);
		refuse(vm, fd, -ENOMEM, "out of memory");
		return 0;
	}
	x->vm = vm;
	x->fd = fd;
	x->limit_ms = limit;
	x->trend.left = UINT64_MAX; /* nothing has been sent */
	limit_init(&x->limit, &none, &(struct vm_limit){ rate, rate / BURSTS });
	x->slow_most = slow < THROTTLE_MAX ? slow : THROTTLE_MAX;
	vm->sending = x;
	/* Some of it may be in the file still that it was restored from. */
	e = vm->pager != NULL ? pager_wait(vm->pager) : 0;
	if (e == 0)
		e = begin(x, disks == 1);
	if (e < 0)
		failed(x, e, "%s", strerrordesc_np(-e));
	return 0;
}

int
vm_on_cancel(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct vm *vm = arg;
	struct sending *x = vm->sending;

	if (x != NULL && x->phase != HANDED)
		failed(x, -ECANCELED, "cancelled");
	return 0;
}

bool
vm_frozen(const struct vm *vm)
{
	return vm->save != -1 || vm->snap != NULL ||
	    (vm->sending != NULL && vm->sending->phase != COPY);
}
