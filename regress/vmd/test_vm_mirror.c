/* SPDX-License-Identifier: ISC */
/*
 * The vm process between the processes of its disks and a stream
 * (vmd/vm_mirror.c), on both hosts: whatever order the answers have, the copies
 * are equal in the end; and what a process or a lock can do wrong is told.
 */
#include <sys/mman.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "state.h"
#include "virtio_chan.h"
#include "vm_impl.h"
#include "vm_mirror.h"

#define G     BLKMAP_GRANULE
#define SIZE  (20 * G + 1024ULL)
#define DISKS 3

/* The process of a disk, and what it was asked. */
struct virtio_chan {
	struct vm_dev *dev;
	uint8_t data[SIZE];
	struct blkmap map;
	uint64_t cursor;
	uint32_t pass;
	struct mirror_msg todo[MIRROR_SLOTS];
	uint8_t bytes[MIRROR_SLOTS][MIRROR_PIECE];
	unsigned ntodo;
	bool dead, copying, copied;
	int error; /* to everything */
	unsigned flushes, mute;
};

static uint32_t seed;
static int lock_error;
static unsigned locked, news;

static uint32_t
next(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

int
vm_lock_images(struct vm *vm)
{
	locked++;
	return lock_error;
}

uint64_t
virtio_chan_disk_size(const struct virtio_chan *vc)
{
	return SIZE;
}

int
virtio_chan_mirror(struct virtio_chan *vc, const struct mirror_msg *m)
{
	if (vc->dead)
		return -EPIPE;
	if (vc->ntodo == MIRROR_SLOTS)
		return -EAGAIN;
	vc->todo[vc->ntodo] = *m;
	if (m->bytes != NULL) {
		memcpy(vc->bytes[vc->ntodo], m->bytes, (size_t)m->len);
		vc->todo[vc->ntodo].bytes = vc->bytes[vc->ntodo];
	}
	vc->ntodo++;
	return 0;
}

static void
read_next(struct virtio_chan *vc, struct mirror_msg *m)
{
	if (vc->pass != m->tag) {
		vc->pass = m->tag;
		vc->cursor = 0;
	}
	m->len = 0;
	if (!blkmap_next(&vc->map, vc->cursor, &m->off)) {
		vc->cursor = SIZE;
		return;
	}
	m->len = SIZE - m->off < G ? SIZE - m->off : G;
	blkmap_take(&vc->map, m->off, m->len);
	vc->cursor = m->off + m->len;
	m->bytes = vc->data + m->off;
	if (m->bytes[0] == 0 &&
	    memcmp(m->bytes, m->bytes + 1, (size_t)m->len - 1) == 0)
		m->bytes = NULL;
}

/* It does the first thing that it was asked. */
static void
serve(struct virtio_chan *vc)
{
	struct mirror_msg m = vc->todo[0];
	uint8_t bytes[MIRROR_PIECE];
	unsigned i;

	if (m.bytes != NULL) {
		memcpy(bytes, m.bytes, (size_t)m.len);
		m.bytes = bytes;
	}
	vc->ntodo--;
	for (i = 0; i < vc->ntodo; i++) {
		vc->todo[i] = vc->todo[i + 1];
		if (vc->todo[i].bytes == NULL)
			continue;
		memcpy(vc->bytes[i], vc->bytes[i + 1], MIRROR_PIECE);
		vc->todo[i].bytes = vc->bytes[i];
	}
	m.error = (uint32_t)-vc->error;
	switch (m.what) {
	case MIRROR_FROM:
		vc->copying = true;
		blkmap_mark(&vc->map, 0, SIZE);
		break;
	case MIRROR_END:
		vc->copying = vc->copied = false;
		break;
	case MIRROR_NEXT:
		read_next(vc, &m);
		break;
	case MIRROR_LEFT:
		m.left = blkmap_left(&vc->map);
		break;
	case MIRROR_TO:
		assert_int_equal(locked, 1);
		vc->copied = true;
		break;
	case MIRROR_PUT:
		assert_true(vc->copied);
		if (m.len == 0)
			vc->flushes++;
		else if (m.bytes != NULL)
			memcpy(vc->data + m.off, m.bytes, (size_t)m.len);
		else
			memset(vc->data + m.off, 0, (size_t)m.len);
		break;
	}
	vm_mirrored(vc->dev, &m);
}

int
virtio_chan_wait(struct virtio_chan *vc, int timeout_ms)
{
	if (vc->dead)
		return -EPIPE;
	if (vc->ntodo == 0 || vc->mute)
		return -ETIMEDOUT;
	serve(vc);
	return 0;
}

static void
hear(void *arg)
{
	news++;
}

struct host {
	struct vm vm;
	struct virtio_chan disk[DISKS];
};

static void
set_up(struct host *h, uint8_t fill)
{
	unsigned i;

	memset(h, 0, sizeof(*h));
	h->vm.conf.ndisks = DISKS;
	h->vm.conf.disk[1].readonly = true;
	for (i = 0; i < DISKS; i++) {
		h->vm.disk[i].vm = &h->vm;
		h->vm.disk[i].index = i;
		h->vm.disk[i].front = &h->disk[i];
		h->disk[i].dev = &h->vm.disk[i];
		memset(h->disk[i].data, fill, SIZE);
		assert_int_equal(blkmap_init(&h->disk[i].map, SIZE), 0);
	}
	lock_error = 0;
	locked = 0;
}

static void
tear_down(struct host *h)
{
	unsigned i;

	for (i = 0; i < DISKS; i++)
		blkmap_free(&h->disk[i].map);
}

static void
scribble(struct host *h)
{
	struct virtio_chan *d = &h->disk[next() % 2 * 2];
	uint64_t off = next() % (SIZE / 512) * 512;

	memset(d->data + off, (int)(next() % 3), 512);
	blkmap_mark(&d->map, off, 512);
}

/* Until the pass is over. */
static void
pass(struct host *h, struct vm_mirror *m, bool busy)
{
	struct virtio_chan *d;
	unsigned i;

	vm_mirror_pass(m);
	while (!vm_mirror_more(m)) {
		if (busy && next() % 3 == 0)
			scribble(h);
		for (i = 0; i < 100; i++)
			if ((d = &h->disk[next() % DISKS])->ntodo > 0) {
				serve(d);
				break;
			}
	}
}

/* What was written is read on the other side. */
static void
receive(struct state *from, struct host *to, struct state *s, char *why)
{
	char name[STATE_NAME_MAX + 1];
	struct mirror_to disks;
	struct vm_copy copy;
	int fd = memfd_create("out", MFD_CLOEXEC);

	assert_int_equal(from->error, 0);
	assert_int_equal(write(fd, from->out, from->nout), (ssize_t)from->nout);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	vm_copy_init(&disks, &to->vm, &copy);
	assert_int_equal(state_read_head(s, fd, name), 0);
	mirror_read_disks(s, &disks);
	while (state_next(s, "disk"))
		mirror_read(s, &disks);
	if (s->error == -ENODATA)
		s->error = vm_copy_finish(&disks, why);
	to->vm.copy = NULL;
	close(fd);
	state_free(s);
	state_free(from);
}

static struct host from, to;

static void
test_copies(void **state)
{
	char why[MIRROR_WHY_MAX];
	struct state out, in;
	struct vm_mirror *m;
	const char *text;
	unsigned run, i;

	for (run = 0; run < 50; run++) {
		seed = run;
		set_up(&from, 0);
		set_up(&to, 0xee);
		for (i = 0; i < 20; i++)
			scribble(&from);
		assert_int_equal(state_write_head(&out, -1, "web"), 0);
		assert_int_equal(
		    vm_mirror_begin(&m, &from.vm, &out, hear, NULL), 0);
		for (i = 0; i < 4; i++)
			pass(&from, m, true);
		pass(&from, m, false);
		assert_int_equal(vm_mirror_failed(m, &text), 0);
		assert_int_equal(vm_mirror_left(m), 0);
		vm_mirror_end(m);
		while (from.disk[0].ntodo + from.disk[2].ntodo > 0)
			serve(&from.disk[from.disk[0].ntodo > 0 ? 0 : 2]);
		assert_false(from.disk[0].copying || from.disk[2].copying);
		receive(&out, &to, &in, why);
		assert_int_equal(in.error, 0);
		for (i = 0; i < DISKS; i += 2) {
			assert_memory_equal(
			    from.disk[i].data, to.disk[i].data, SIZE);
			assert_true(to.disk[i].flushes > 0);
		}
		assert_int_equal(to.disk[1].data[0], 0xee);
		tear_down(&from);
		tear_down(&to);
	}
}

/* What an earlier one had asked is nobody's. */
static void
test_again(void **state)
{
	struct state out;
	struct vm_mirror *m;
	const char *text;
	unsigned i;

	set_up(&from, 1);
	for (i = 0; i < 3; i++) {
		assert_int_equal(state_write_head(&out, -1, "web"), 0);
		assert_int_equal(
		    vm_mirror_begin(&m, &from.vm, &out, hear, NULL), 0);
		vm_mirror_pass(m);
		assert_false(vm_mirror_more(m));
		if (i < 2) {
			vm_mirror_end(m);
			while (from.disk[0].ntodo > 4)
				serve(&from.disk[0]);
		} else {
			while (!vm_mirror_more(m))
				serve(
				    &from.disk[from.disk[0].ntodo > 0 ? 0 : 2]);
			assert_int_equal(vm_mirror_failed(m, &text), 0);
			assert_int_equal(vm_mirror_left(m), 0);
			vm_mirror_end(m);
		}
		state_free(&out);
	}
	tear_down(&from);
}

static void
wrong(const struct mirror_msg *answer, unsigned disk, const char *want)
{
	struct mirror_msg a;
	struct state out;
	struct vm_mirror *m;
	const char *why;

	set_up(&from, 1);
	assert_int_equal(state_write_head(&out, -1, "web"), 0);
	assert_int_equal(vm_mirror_begin(&m, &from.vm, &out, hear, NULL), 0);
	vm_mirror_pass(m);
	assert_false(vm_mirror_more(m));
	if (answer != NULL) {
		a = *answer;
		a.tag = from.vm.mirror_tag;
	}
	news = 0;
	vm_mirrored(&from.vm.disk[disk], answer != NULL ? &a : NULL);
	if (want == NULL) {
		assert_int_equal(vm_mirror_failed(m, &why), 0);
		assert_false(vm_mirror_more(m));
	} else {
		assert_int_equal(news, 1);
		assert_true(vm_mirror_failed(m, &why) < 0);
		assert_string_equal(why, want);
		assert_true(vm_mirror_more(m));
	}
	vm_mirror_end(m);
	state_free(&out);
	tear_down(&from);
}

static void
test_wrong(void **state)
{
	static const uint8_t bytes[MIRROR_PIECE];
	struct mirror_msg a = { .what = MIRROR_NEXT, .len = 512, .off = SIZE };

	wrong(&a, 0, "disk 0: its process sent no piece of it");
	a = (struct mirror_msg){
		.what = MIRROR_NEXT, .error = EIO, .off = 512
	};
	wrong(&a, 0, "disk 0, byte 512: Input/output error");
	wrong(NULL, 0, "disk 0: its process ended");
	wrong(NULL, 2, "disk 2: its process ended");
	/* Another one speaks of what it was not asked. */
	a = (struct mirror_msg){ .what = MIRROR_NEXT };
	wrong(&a, 2, NULL);
	a = (struct mirror_msg){
		.what = MIRROR_NEXT, .len = 512, .bytes = bytes
	};
	wrong(&a, 2, NULL);
	a = (struct mirror_msg){ .what = MIRROR_LEFT };
	wrong(&a, 0, NULL);
	wrong(&a, 1, NULL);
}

static void
one_disk(struct state *out)
{
	static const struct mirror_disk disks[DISKS] = { { SIZE }, { 0 },
		{ SIZE } };
	const struct mirror_msg m = { .len = 512 };

	assert_int_equal(state_write_head(out, -1, "web"), 0);
	mirror_write_disks(out, disks, DISKS);
	mirror_write(out, 2, &m);
}

static void
test_target_fails(void **state)
{
	char why[MIRROR_WHY_MAX];
	struct state out, in;

	/* Those of a sender on the same host. */
	set_up(&to, 1);
	lock_error = -EAGAIN;
	one_disk(&out);
	receive(&out, &to, &in, why);
	assert_int_equal(in.error, -EAGAIN);
	assert_non_null(strstr(in.why,
	    "locked by another process; what both "
	    "hosts use is sent without -d"));
	assert_int_equal(to.disk[2].data[0], 1);
	tear_down(&to);

	set_up(&to, 1);
	to.disk[2].error = -ENOSPC;
	one_disk(&out);
	receive(&out, &to, &in, why);
	assert_int_equal(in.error, -ENOSPC);
	assert_non_null(strstr(in.why, "disk 2: No space left on device"));
	tear_down(&to);

	set_up(&to, 1);
	to.disk[0].mute = 1;
	one_disk(&out);
	receive(&out, &to, &in, why);
	assert_int_equal(in.error, -ETIMEDOUT);
	assert_non_null(strstr(in.why, "disk 0: "));
	tear_down(&to);

	set_up(&to, 1);
	to.disk[0].dead = true;
	one_disk(&out);
	receive(&out, &to, &in, why);
	assert_int_equal(in.error, -EPIPE);
	assert_non_null(strstr(in.why, "disk 0: its process ended"));
	tear_down(&to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_target_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
