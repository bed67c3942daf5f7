/* SPDX-License-Identifier: ISC */
/*
 * See vm_mirror.h.
 *
 * Invariants
 *  1. No more than MIRROR_WINDOW pieces are under way, of one disk, so a stream
 *     that goes out slowly makes its disks wait.
 *  2. Answers to what an earlier one had asked have another tag.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"
#include "virtio_chan.h"
#include "vm_impl.h"
#include "vm_mirror.h"

#define WAIT_MS	    60000 /* for a disk to do something */
#define FLUSH_BYTES (64ULL << 20) /* then it is made durable meanwhile */

static uint32_t
next_tag(struct vm *vm)
{
	/* 0 is nobody's. */
	if (++vm->mirror_tag == 0)
		vm->mirror_tag = 1;
	return vm->mirror_tag;
}

/* ---- of a guest that is sent ---- */

enum step { PIECES, COUNT, OVER };

struct vm_mirror {
	struct vm *vm;
	struct state *to;
	void (*news)(void *);
	void *arg;
	struct mirror_disk disk[VM_DISKS_MAX];
	enum step step;
	unsigned at; /* the disk that is read */
	bool ended; /* it has no more */
	unsigned asked; /* without an answer */
	uint32_t tag;
	uint64_t left;
	int error;
	char why[MIRROR_WHY_MAX];
};

static void __attribute__((format(printf, 3, 4)))
set_failed(struct vm_mirror *m, int error, const char *fmt, ...)
{
	va_list ap;

	if (m->error != 0)
		return;
	m->error = error;
	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
}

/* 0 or -errno. */
static int
ask(struct vm_mirror *m, unsigned disk, enum mirror_do what)
{
	const struct mirror_msg msg = { .what = what, .tag = m->tag };
	int e = virtio_chan_mirror(m->vm->disk[disk].front, &msg);

	if (e == 0)
		m->asked++;
	/* What an earlier one has asked is on its way back. */
	else if (e != -EAGAIN || what != MIRROR_NEXT)
		set_failed(m, e, "disk %u: %s", disk,
		    e == -EPIPE ? "its process ended" : strerrordesc_np(-e));
	return e;
}

static void
ask_all(struct vm_mirror *m, enum mirror_do what)
{
	unsigned i;

	for (i = 0; i < m->vm->conf.ndisks; i++)
		if (m->disk[i].size != 0)
			(void)ask(m, i, what);
}

int
vm_mirror_begin(struct vm_mirror **out, struct vm *vm, struct state *to,
    void (*news)(void *arg), void *arg)
{
	struct vm_mirror *m = calloc(1, sizeof(*m));
	unsigned i;
	int e;

	if (m == NULL)
		return -ENOMEM;
	m->vm = vm;
	m->to = to;
	m->news = news;
	m->arg = arg;
	m->step = OVER;
	m->tag = next_tag(vm);
	for (i = 0; i < vm->conf.ndisks; i++)
		if (!vm->conf.disk[i].readonly)
			m->disk[i].size =
			    virtio_chan_disk_size(vm->disk[i].front);
	ask_all(m, MIRROR_FROM);
	if ((e = m->error) != 0) {
		free(m);
		return e;
	}
	vm->mirror = m;
	mirror_write_disks(to, m->disk, vm->conf.ndisks);
	*out = m;
	return 0;
}

void
vm_mirror_end(struct vm_mirror *m)
{
	if (m == NULL)
		return;
	/* One that does not hear it is gone, or told so the next time. */
	ask_all(m, MIRROR_END);
	m->vm->mirror = NULL;
	free(m);
}

void
vm_mirror_pass(struct vm_mirror *m)
{
	m->step = PIECES;
	m->at = 0;
	m->ended = m->disk[0].size == 0;
	m->tag = next_tag(m->vm);
	m->left = 0;
	m->asked = 0;
}

/* The disk has no more, and none of it is under way. */
static void
next_disk(struct vm_mirror *m)
{
	if (++m->at < m->vm->conf.ndisks) {
		m->ended = m->disk[m->at].size == 0;
		return;
	}
	m->step = COUNT;
	ask_all(m, MIRROR_LEFT);
}

bool
vm_mirror_more(struct vm_mirror *m)
{
	while (m->error == 0 && m->step == PIECES) {
		while (!m->ended && m->asked < MIRROR_WINDOW &&
		    ask(m, m->at, MIRROR_NEXT) == 0)
			;
		if (m->error == 0 && (m->asked > 0 || !m->ended))
			return false;
		next_disk(m);
	}
	if (m->error == 0 && m->step == COUNT && m->asked > 0)
		return false;
	m->step = OVER;
	return true;
}

int
vm_mirror_failed(const struct vm_mirror *m, const char **why)
{
	*why = m->why;
	return m->error;
}

uint64_t
vm_mirror_left(const struct vm_mirror *m)
{
	return m->left;
}

static void
piece(struct vm_mirror *m, unsigned disk, const struct mirror_msg *msg)
{
	m->asked--;
	if (msg->len == 0)
		m->ended = true;
	else if (mirror_piece_ok(msg, m->disk[disk].size))
		mirror_write(m->to, disk, msg);
	else
		set_failed(m, -EPROTO,
		    "disk %u: its process sent no piece of "
		    "it",
		    disk);
}

/* msg NULL: its process is gone. */
static void
source_heard(struct vm_mirror *m, unsigned disk, const struct mirror_msg *msg)
{
	if (msg == NULL) {
		set_failed(m, -EIO, "disk %u: its process ended", disk);
	} else if (msg->tag != m->tag && msg->what != MIRROR_FROM) {
		; /* there is room now */
	} else if (msg->error != 0) {
		set_failed(m, -(int)msg->error, "disk %u, byte %llu: %s", disk,
		    (unsigned long long)msg->off,
		    strerrordesc_np((int)msg->error));
	} else if (msg->what == MIRROR_NEXT && m->step == PIECES &&
	    disk == m->at && m->asked > 0) {
		piece(m, disk, msg);
	} else if (msg->what == MIRROR_LEFT && m->step == COUNT &&
	    m->asked > 0) {
		m->asked--;
		m->left += msg->left <= m->disk[disk].size + MIRROR_PIECE
		    ? msg->left
		    : m->disk[disk].size;
	}
	m->news(m->arg);
}

/* ---- of one that is received ---- */

static void
copy_heard(struct vm_copy *c, unsigned disk, const struct mirror_msg *msg)
{
	if (msg == NULL) {
		c->error[disk] = c->error[disk] == 0 ? -EPIPE : c->error[disk];
		return;
	}
	if (msg->tag != c->tag || c->asked[disk] == 0)
		return;
	c->asked[disk]--;
	if (msg->error != 0 && c->error[disk] == 0)
		c->error[disk] = -(int)msg->error;
}

static int
say(int error, unsigned disk, char why[MIRROR_WHY_MAX])
{
	if (error < 0)
		snprintf(why, MIRROR_WHY_MAX, "disk %u: %s", disk,
		    error == -EPIPE ? "its process ended"
				    : strerrordesc_np(-error));
	return error;
}

/* Until no more than so many requests are under way. */
static int
wait_for(struct vm *vm, unsigned disk, unsigned most, char why[MIRROR_WHY_MAX])
{
	const struct vm_copy *c = vm->copy;
	int e = c->error[disk];

	while (e == 0 && c->asked[disk] > most) {
		e = virtio_chan_wait(vm->disk[disk].front, WAIT_MS);
		if (e == 0)
			e = c->error[disk];
	}
	return say(e, disk, why);
}

static int
request(struct vm *vm, unsigned disk, const struct mirror_msg *m,
    char why[MIRROR_WHY_MAX])
{
	struct mirror_msg msg = *m;
	int e;

	if ((e = wait_for(vm, disk, MIRROR_WINDOW - 1, why)) < 0)
		return e;
	msg.tag = vm->copy->tag;
	if ((e = virtio_chan_mirror(vm->disk[disk].front, &msg)) < 0)
		return say(e, disk, why);
	vm->copy->asked[disk]++;
	return 0;
}

static int
put(void *arg, unsigned disk, const struct mirror_msg *m,
    char why[MIRROR_WHY_MAX])
{
	static const struct mirror_msg flush = { .what = MIRROR_PUT };
	struct vm *vm = arg;
	struct vm_copy *c = vm->copy;
	int e = request(vm, disk, m, why);

	/* Not all of it at the end, while the guest stands still. */
	c->unflushed[disk] += m->len;
	if (e < 0 || c->unflushed[disk] < FLUSH_BYTES)
		return e;
	c->unflushed[disk] = 0;
	return request(vm, disk, &flush, why);
}

static int
copy_begin(void *arg, char why[MIRROR_WHY_MAX])
{
	static const struct mirror_msg to = { .what = MIRROR_TO };
	struct vm *vm = arg;
	unsigned i;
	int e;

	if ((e = vm_lock_images(vm)) < 0) {
		snprintf(why, MIRROR_WHY_MAX, "disks: %s",
		    e == -EAGAIN || e == -EACCES
			? "locked by another process; what both hosts use is "
			  "sent without -d"
			: strerrordesc_np(-e));
		return e;
	}
	for (i = 0; i < vm->conf.ndisks; i++)
		if (vm->copy->to->copied[i] &&
		    ((e = request(vm, i, &to, why)) < 0 ||
			(e = wait_for(vm, i, 0, why)) < 0))
			return e;
	return 0;
}

int
vm_copy_finish(struct mirror_to *to, char why[MIRROR_WHY_MAX])
{
	static const struct mirror_msg flush = { .what = MIRROR_PUT },
				       end = { .what = MIRROR_END };
	struct vm *vm = to->arg;
	unsigned i;
	int e = 0;

	for (i = 0; i < vm->conf.ndisks && e == 0; i++)
		if (to->copied[i])
			e = request(vm, i, &flush, why);
	for (i = 0; i < vm->conf.ndisks && e == 0; i++)
		if (to->copied[i] && (e = wait_for(vm, i, 0, why)) == 0)
			e = request(vm, i, &end, why);
	return e;
}

void
vm_copy_init(struct mirror_to *to, struct vm *vm, struct vm_copy *c)
{
	unsigned i;

	*to = (struct mirror_to){
		.conf = &vm->conf,
		.begin = copy_begin,
		.put = put,
		.arg = vm,
	};
	*c = (struct vm_copy){ .to = to, .tag = next_tag(vm) };
	for (i = 0; i < vm->conf.ndisks; i++)
		to->disk[i].size = virtio_chan_disk_size(vm->disk[i].front);
	vm->copy = c;
}

void
vm_mirrored(void *arg, const struct mirror_msg *m)
{
	struct vm_dev *d = arg;
	struct vm *vm = d->vm;

	/* index is that of the disk: VM_DEVSTATE. */
	if (d->index >= vm->conf.ndisks)
		return;
	if (vm->mirror != NULL && vm->mirror->disk[d->index].size != 0)
		source_heard(vm->mirror, d->index, m);
	else if (vm->copy != NULL)
		copy_heard(vm->copy, d->index, m);
}
