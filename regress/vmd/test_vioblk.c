/* SPDX-License-Identifier: ISC */
/*
 * Block device: each request type, limits, and a long random comparison with
 * a model in memory, by every engine.
 */
#include "vioblk_impl.h"
#include "aio_sync.h"
#include "vioblk_rig.h"

#include <sys/syscall.h>

#define IMAGE	(4ull << 20)
#define SECTORS (IMAGE / 512)

static struct rig_kind kinds[] = {
	{ AIO_URING, false },
	{ AIO_URING, true },
	{ AIO_THREADS, false },
	{ AIO_THREADS, true },
};

static struct rig *
open_rig(void **state, struct rig_opt o)
{
	o.kind = *(struct rig_kind *)*state;
	if (o.bytes == 0)
		o.bytes = IMAGE;
	return rig_new(&o);
}

static void
fill(uint8_t *p, size_t n, unsigned seed)
{
	size_t i;

	for (i = 0; i < n; i++) {
		seed = seed * 1103515245 + 12345;
		p[i] = (uint8_t)(seed >> 16);
	}
}

static void
test_read_write(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint8_t *data = rig_ptr(r, RIG_DATA, 0x20000), buf[4096], want[4096];
	uint32_t used;

	fill(want, 4096, 1);
	memcpy(data, want, 4096);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, 9, RIG_DATA, 4096, &used), 0);
	assert_int_equal(used, 1);
	assert_int_equal(pread(r->image, buf, 4096, 9 * 512), 4096);
	assert_memory_equal(buf, want, 4096);
	memset(data, 0, 4096);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 9, RIG_DATA, 4096, &used), 0);
	assert_int_equal(used, 4097);
	assert_memory_equal(data, want, 4096);
	/* Not from memory: the image changed. */
	fill(buf, 512, 2);
	assert_int_equal(pwrite(r->image, buf, 512, 10 * 512), 512);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 10, RIG_DATA, 512, NULL), 0);
	assert_memory_equal(data, buf, 512);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, &used), 0);
	assert_int_equal(used, 1);
	rig_free(r);
}

static void
test_get_id(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	char *data = rig_ptr(r, RIG_DATA, 64);
	uint32_t used;

	memset(data, '#', 64);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_GET_ID, 0, RIG_DATA, 20, &used), 0);
	assert_int_equal(used, 21);
	assert_memory_equal(data, "serial-0123456789xyz####", 24);
	/* More and less room than the field has. */
	memset(data, '#', 64);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_GET_ID, 0, RIG_DATA, 40, NULL), 0);
	assert_memory_equal(data, "serial-0123456789xyz####", 24);
	memset(data, '#', 64);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_GET_ID, 0, RIG_DATA, 3, NULL), 0);
	assert_memory_equal(data, "ser###", 6);
	rig_free(r);
}

struct limit_row {
	const char *name;
	uint32_t type;
	uint64_t sector;
	uint32_t len;
	uint8_t status;
};

static const struct limit_row limit_rows[] = {
	{ "last sector", VIRTIO_BLK_T_IN, SECTORS - 1, 512, 0 },
	{ "one beyond", VIRTIO_BLK_T_IN, SECTORS, 512, 1 },
	{ "crosses end", VIRTIO_BLK_T_IN, SECTORS - 1, 1024, 1 },
	{ "write crosses end", VIRTIO_BLK_T_OUT, SECTORS - 1, 1024, 1 },
	{ "write beyond", VIRTIO_BLK_T_OUT, SECTORS, 512, 1 },
	{ "sector wraps bytes", VIRTIO_BLK_T_OUT, 1ull << 55, 512, 1 },
	{ "sector wraps to 0", VIRTIO_BLK_T_OUT, 0x80000000000000ull, 512, 1 },
	{ "sector max", VIRTIO_BLK_T_OUT, UINT64_MAX, 512, 1 },
	{ "sector + n wraps", VIRTIO_BLK_T_IN, UINT64_MAX, 1024, 1 },
	{ "half a sector", VIRTIO_BLK_T_IN, 0, 256, 1 },
	{ "sector and a half", VIRTIO_BLK_T_OUT, 0, 768, 1 },
	{ "no data", VIRTIO_BLK_T_IN, 0, 0, 0 },
	{ "no data at the end", VIRTIO_BLK_T_IN, SECTORS, 0, 0 },
	{ "no data beyond", VIRTIO_BLK_T_IN, SECTORS + 1, 0, 1 },
	{ "SCSI command", 2, 0, 512, 2 },
	{ "SCSI command out", 3, 0, 512, 2 },
	{ "legacy barrier", 0x80000000, 0, 512, 2 },
	{ "lifetime", 10, 0, 512, 2 },
	{ "secure erase", 14, 0, 16, 2 },
	{ "zone report", 16, 0, 512, 2 },
	{ "unknown", 0xffffffff, 0, 512, 2 },
};

static void
test_limits(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	const struct limit_row *row;
	uint8_t *before = malloc(IMAGE), *after = malloc(IMAGE), st;
	unsigned i;

	fill(before, IMAGE, 3);
	assert_int_equal(pwrite(r->image, before, IMAGE, 0), IMAGE);
	for (i = 0; i < sizeof(limit_rows) / sizeof(limit_rows[0]); i++) {
		row = &limit_rows[i];
		st =
		    rig_io(r, row->type, row->sector, RIG_DATA, row->len, NULL);
		if (st != row->status)
			fail_msg("%s: status %u", row->name, st);
	}
	assert_int_equal(pread(r->image, after, IMAGE, 0), IMAGE);
	assert_memory_equal(before, after, IMAGE);
	free(before);
	free(after);
	rig_free(r);
}

static void
test_readonly(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ .readonly = true });
	uint64_t f = vioblk_vdev(r->dev)->offered;
	uint8_t b[512], zero[512] = { 0 };

	assert_true(f & F(VIRTIO_BLK_F_RO));
	assert_false(f & F(VIRTIO_BLK_F_DISCARD));
	assert_false(f & F(VIRTIO_BLK_F_WRITE_ZEROES));
	memset(rig_ptr(r, RIG_DATA, 512), 0x5a, 512);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, 1, RIG_DATA, 512, NULL), 1);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_DISCARD, 0, RIG_DATA, 16, NULL), 1);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_WRITE_ZEROES, 0, RIG_DATA, 16, NULL), 1);
	assert_int_equal(pread(r->image, b, 512, 512), 512);
	assert_memory_equal(b, zero, 512);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, 1, RIG_DATA, 512, NULL), 0);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), 0);
	rig_free(r);
}

struct range_row {
	const char *name;
	uint32_t type;
	uint64_t sector;
	uint32_t sectors, flags;
	uint32_t len; /* of the data, when not one range */
	uint8_t status;
};

#define DI VIRTIO_BLK_T_DISCARD
#define WZ VIRTIO_BLK_T_WRITE_ZEROES
static const struct range_row range_rows[] = {
	{ "discard", DI, 8, 8, 0, 0, 0 },
	{ "discard one sector", DI, 3, 1, 0, 0, 0 },
	{ "discard with unmap", DI, 8, 8, 1, 0, 2 },
	{ "discard reserved flag", DI, 8, 8, 0x80000000, 0, 2 },
	{ "discard beyond", DI, SECTORS, 1, 0, 0, 1 },
	{ "discard wraps", DI, UINT64_MAX, 2, 0, 0, 1 },
	{ "discard count huge", DI, 0, UINT32_MAX, 0, 0, 1 },
	{ "discard count 0", DI, 0, 0, 0, 0, 1 },
	{ "discard no range", DI, 0, 0, 0, UINT32_MAX, 1 },
	{ "discard 15 bytes", DI, 8, 8, 0, 15, 1 },
	{ "discard 24 bytes", DI, 8, 8, 0, 24, 1 },
	{ "discard 9 ranges", DI, 8, 8, 0, 9 * 16, 1 },
	{ "zeroes", WZ, 16, 8, 0, 0, 0 },
	{ "zeroes one sector", WZ, 33, 1, 0, 0, 0 },
	{ "zeroes with unmap", WZ, 40, 8, 1, 0, 0 },
	{ "zeroes large", WZ, 64, 4001, 0, 0, 0 },
	{ "zeroes unknown flag", WZ, 16, 8, 2, 0, 2 },
	{ "zeroes beyond", WZ, SECTORS - 1, 2, 0, 0, 1 },
	{ "zeroes wraps", WZ, 0x7fffffffffffff, 2, 0, 0, 1 },
	{ "zeroes count 0", WZ, 0, 0, 1, 0, 1 },
};

static void
test_ranges(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	struct virtio_blk_discard_write_zeroes *z = rig_ptr(r, RIG_DATA, 256);
	uint8_t *model = malloc(IMAGE), *image = malloc(IMAGE), st;
	const struct range_row *row;
	unsigned i, k;
	uint32_t len;

	fill(model, IMAGE, 4);
	assert_int_equal(pwrite(r->image, model, IMAGE, 0), IMAGE);
	for (i = 0; i < sizeof(range_rows) / sizeof(range_rows[0]); i++) {
		row = &range_rows[i];
		for (k = 0; k < 16; k++) {
			z[k].sector = row->sector;
			z[k].num_sectors = row->sectors;
			z[k].flags = row->flags;
		}
		len = row->len == 0 ? 16 : row->len;
		st = rig_io(r, row->type, 0, RIG_DATA,
		    len == UINT32_MAX ? 0 : len, NULL);
		if (st != row->status)
			fail_msg("%s: status %u", row->name, st);
		if (st == 0)
			memset(
			    model + row->sector * 512, 0, row->sectors * 512ul);
	}
	/* Several ranges, the last one bad: nothing is done. */
	z[0].sector = 100;
	z[0].num_sectors = 8;
	z[0].flags = 0;
	z[1] = z[0];
	z[1].sector = SECTORS;
	assert_int_equal(rig_io(r, WZ, 0, RIG_DATA, 32, NULL), 1);
	z[1].sector = 4500;
	z[0].sector = 4600;
	assert_int_equal(rig_io(r, WZ, 0, RIG_DATA, 32, NULL), 0);
	memset(model + 4500 * 512, 0, 8 * 512);
	memset(model + 4600 * 512, 0, 8 * 512);
	assert_int_equal(pread(r->image, image, IMAGE, 0), IMAGE);
	assert_memory_equal(model, image, IMAGE);
	free(model);
	free(image);
	rig_free(r);
}

/* Discard and write-zeroes are refused when they were not negotiated. */
static void
test_not_negotiated(void **state)
{
	struct rig *r = open_rig(state,
	    (struct rig_opt){ .without = F(VIRTIO_BLK_F_DISCARD) |
		    F(VIRTIO_BLK_F_WRITE_ZEROES) | F(VIRTIO_BLK_F_FLUSH) });
	struct virtio_blk_discard_write_zeroes *z = rig_ptr(r, RIG_DATA, 16);

	z->sector = 0;
	z->num_sectors = 8;
	z->flags = 0;
	assert_int_equal(rig_io(r, DI, 0, RIG_DATA, 16, NULL), 2);
	assert_int_equal(rig_io(r, WZ, 0, RIG_DATA, 16, NULL), 2);
	/* Write-through mode still writes. */
	memset(rig_ptr(r, RIG_DATA, 512), 0x77, 512);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, 0, RIG_DATA, 512, NULL), 0);
	rig_free(r);
}

/* An image that shrinks under us gives errors, and heals when it grows. */
static void
test_truncated(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });

	assert_int_equal(ftruncate(r->image, 1024), 0);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 1024, NULL), 0);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 1, RIG_DATA, 1024, NULL), 1);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 100, RIG_DATA, 4096, NULL), 1);
	assert_int_equal(ftruncate(r->image, IMAGE), 0);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 100, RIG_DATA, 4096, NULL), 0);
	rig_free(r);
}

static void
test_config(void **state)
{
	struct rig *r = open_rig(
	    state, (struct rig_opt){ .bytes = 10 * 512 + 17, .vcpus = 3 });
	const struct virtio_blk_config *c;
	size_t len;

	c = vioblk_config(r->dev, &len);
	assert_int_equal(len, 60);
	assert_int_equal(c->capacity, 10);
	assert_int_equal(c->seg_max, 254);
	assert_int_equal(c->blk_size, 512);
	assert_int_equal(c->num_queues, 3);
	assert_int_equal(vioblk_vdev(r->dev)->nqueues, 3);
	assert_false(vioblk_vdev(r->dev)->offered & F(VIRTIO_BLK_F_SCSI));
	assert_true(vioblk_vdev(r->dev)->offered & F(VIRTIO_BLK_F_CONFIG_WCE));
	assert_int_equal(c->geometry.cylinders, 0);
	assert_int_equal(c->geometry.heads, 16);
	assert_int_equal(c->geometry.sectors, 63);
	/* The bytes after the last whole sector are out of reach. */
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 10, RIG_DATA, 512, NULL), 1);
	rig_free(r);
}

static void
test_bad_images(void **state)
{
	struct vioblk_conf conf = { .vcpus = 1 };
	struct vioblk *v;
	struct disk_layer l = { .format = VM_DISK_RAW };
	struct why why;
	int p[2];

	conf.engine = ((struct rig_kind *)*state)->engine;
	l.fd = rig_image(true, 0);
	assert_int_equal(vioblk_new(&v, &conf, &l, 1, &why), -EINVAL);
	assert_non_null(strstr(why.text, "empty"));
	l.fd = rig_image(true, 511);
	assert_int_equal(vioblk_new(&v, &conf, &l, 1, &why), -EINVAL);
	assert_int_equal(pipe(p), 0);
	l.fd = p[0];
	assert_int_equal(vioblk_new(&v, &conf, &l, 1, &why), -ENOTBLK);
	close(p[1]);
}

/* The comparison: batches of requests in zones of their own. */
enum { ZONES = 8, ZONE = IMAGE / ZONES / 512 /* sectors */, BATCHES = 512 };

struct op {
	uint32_t type;
	uint64_t sector;
	uint32_t sectors;
	uint64_t data; /* guest address */
	int head;
	bool can;
};

static uint32_t
rnd(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return (uint32_t)(*s >> 32);
}

/* Cut [gpa, gpa + len) into odd pieces. */
static unsigned
pieces(struct vbuf *b, uint64_t gpa, uint32_t len, bool write, uint64_t *seed)
{
	uint32_t part;
	unsigned n = 0;

	while (len > 0) {
		part = 1 + rnd(seed) % (len < 5000 ? len : 5000);
		if (n == 40)
			part = len;
		b[n++] = (struct vbuf){ gpa, part, write };
		gpa += part;
		len -= part;
		/* A piece of no length now and then. */
		if (rnd(seed) % 8 == 0)
			b[n++] = (struct vbuf){ gpa, 0, write };
	}
	return n;
}

static void
stage(struct rig *r, struct op *o, unsigned zone, uint64_t *seed)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_IN, VIRTIO_BLK_T_IN,
		VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT, DI, WZ,
		VIRTIO_BLK_T_FLUSH };
	uint64_t h, tail, indirect = 0;
	struct virtio_blk_discard_write_zeroes z;
	struct vbuf b[128];
	unsigned n;
	uint32_t len = 0;
	bool in;

	o->type = types[rnd(seed) % 8];
	o->sectors = 1 + rnd(seed) % 64;
	o->sector = zone * (uint64_t)ZONE + rnd(seed) % (ZONE - 64);
	o->data = RIG_DATA + zone * 0x10000ull + rnd(seed) % 512;
	in = o->type == VIRTIO_BLK_T_IN;
	h = rig_hdr(r, zone, o->type, o->sector);
	tail = h + 16;
	n = pieces(b, h, 16, false, seed);
	if (in || o->type == VIRTIO_BLK_T_OUT)
		len = o->sectors * 512;
	if (o->type == VIRTIO_BLK_T_OUT)
		fill(rig_ptr(r, o->data, len), len, rnd(seed));
	if (o->type == DI || o->type == WZ) {
		len = 16;
		z.sector = o->sector;
		z.num_sectors = o->sectors;
		z.flags = o->type == WZ ? rnd(seed) & 1 : 0;
		memcpy(rig_ptr(r, o->data, 16), &z, 16);
	}
	n += pieces(b + n, o->data, len, in, seed);
	b[n++] = (struct vbuf){ tail, 1, true };
	if (rnd(seed) % 2 == 0)
		indirect = 0x200000 + zone * 0x1000ull;
	o->head = vdrv_add(&r->q[0], b, n, indirect);
	if (o->head < 0)
		o->head = vdrv_add(&r->q[0], b, n, 0x200000 + zone * 0x1000ull);
	assert_true(o->head >= 0);
}

static void
check(struct rig *r, const struct op *o, unsigned zone, uint8_t *model)
{
	uint8_t st = rig_status(r, zone), *m = model + o->sector * 512;
	size_t len = o->sectors * 512ul;

	if (o->type == DI && st == VIRTIO_BLK_S_UNSUPP)
		return;
	assert_int_equal(st, 0);
	if (o->type == VIRTIO_BLK_T_IN)
		assert_memory_equal(rig_ptr(r, o->data, len), m, len);
	else if (o->type == VIRTIO_BLK_T_OUT)
		memcpy(m, rig_ptr(r, o->data, len), len);
	else if (o->type != VIRTIO_BLK_T_FLUSH)
		memset(m, 0, len);
}

static void
test_random(void **state)
{
	struct rig *r = open_rig(state, (struct rig_opt){ 0 });
	uint8_t *model = calloc(1, IMAGE), *image = malloc(IMAGE);
	uint64_t seed = 0x123456789abcdefull;
	struct op ops[ZONES];
	unsigned batch, i, k;
	uint32_t id, len;

	for (batch = 0; batch < BATCHES; batch++) {
		for (i = 0; i < ZONES; i++)
			stage(r, &ops[i], i, &seed);
		rig_kick(r, 0);
		for (k = 0; k < ZONES; k++) {
			id = rig_used(r, 0, &len);
			for (i = 0; i < ZONES; i++)
				if (ops[i].head == (int)id)
					break;
			assert_int_not_equal(i, ZONES);
			check(r, &ops[i], i, model);
		}
	}
	assert_int_equal(pread(r->image, image, IMAGE, 0), IMAGE);
	assert_memory_equal(model, image, IMAGE);
	free(model);
	free(image);
	rig_free(r);
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What 30 requests of 4 KiB take under the limits. */
static int64_t
take_30(struct rig *r)
{
	int64_t start = now_ms();
	unsigned i;

	for (i = 0; i < 30; i++)
		assert_int_equal(
		    rig_io(r, i % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, i,
			RIG_DATA, 4096, NULL),
		    0);
	return now_ms() - start;
}

static void
written(struct disk_req *q, int error)
{
	assert_int_equal(error, 0);
	q->len = 0;
}

/* Another process with the same image. */
static void
somebody_writes(int image, uint64_t off)
{
	char data[4096];
	struct iovec iov = { data, sizeof(data) };
	struct disk_req q = {
		.op = DISK_WRITE,
		.iov = &iov,
		.niov = 1,
		.off = off,
		.len = sizeof(data),
		.done = written,
	};
	struct aio_conf conf = { 0 };
	struct disk *d;
	struct aio *a;

	memset(data, 0x5a, sizeof(data));
	assert_int_equal(disk_open(&d, VM_DISK_QCOW2, dup(image), false), 0);
	disk_aio(d, &conf);
	assert_int_equal(aio_sync_new(&a, &conf), 0);
	assert_int_equal(disk_start(d, a, &q), 0);
	while (q.len > 0)
		aio_run(a, false);
	disk_close(d);
	aio_free(a);
}

/* A qcow2 image behind the device, and what it holds in the end. */
static void
test_qcow2(void **state)
{
	const uint64_t bytes = 64 << 20;
	struct rig *r = open_rig(state,
	    (struct rig_opt){ .bytes = bytes, .qcow2 = true, .vcpus = 4 });
	uint8_t *data = rig_ptr(r, RIG_DATA, 0x10000);
	const char *why;
	uint64_t sector;
	unsigned i, round;

	/* Metadata are one thread's. */
	assert_int_equal(vioblk_vdev(r->dev)->nqueues, 1);
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 300; i++) {
			sector = i * 7919 * 8 % (bytes / 512 - 128);
			memset(data, round == 0 ? (int)i : 0, 0x10000);
			assert_int_equal(
			    rig_io(r,
				round == 0 ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
				sector, RIG_DATA, 4096, NULL),
			    0);
			assert_int_equal(data[4095], i & 0xff);
			if (i % 50 == 0)
				assert_int_equal(rig_io(r, VIRTIO_BLK_T_FLUSH,
						     0, 0, 0, NULL),
				    0);
		}
	}
	rig_reset(r);
	/* Its image goes to somebody else, and comes back. */
	assert_int_equal(vioblk_store(r->dev), 0);
	somebody_writes(r->image, bytes - 4096);
	rig_rings(r, vioblk_vdev(r->dev)->offered, VIOBLK_QUEUE_SIZE);
	assert_int_equal(rig_start(r, vioblk_vdev(r->dev)->offered), 0);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, (bytes - 4096) / 512,
			     RIG_DATA, 4096, NULL),
	    0);
	assert_int_equal(data[4095], 0x5a);
	/* What it makes of it is no image any more: the device says so. */
	rig_reset(r);
	assert_int_equal(vioblk_store(r->dev), 0);
	assert_int_equal(pwrite(r->image, "QXX", 3, 0), 3);
	rig_rings(r, vioblk_vdev(r->dev)->offered, VIOBLK_QUEUE_SIZE);
	assert_int_equal(rig_start(r, vioblk_vdev(r->dev)->offered), 0);
	assert_true(rig_report(r, VDEV_BROKEN, &why, 5000) & VDEV_BROKEN);
	assert_string_equal(why, "not a qcow2 image");
	rig_free(r);
}

/* What the driver writes of the configuration, as the vm process shares it. */
static uint8_t *
config_page(struct rig *r)
{
	void *page;
	int fd;

	assert_int_equal(page_create(&fd, true, &page), 0);
	assert_int_equal(vdev_set_config(vioblk_vdev(r->dev), fd), 0);
	return page;
}

/* Who decides whether a write is durable before it is done. */
static void
test_cache(void **state)
{
	const unsigned off = offsetof(struct virtio_blk_config, wce);
	struct rig *r;
	uint8_t *page;

	r = open_rig(state, (struct rig_opt){ 0 });
	page = config_page(r);
	page[off] = 1;
	assert_false(vioblk_durable(r->dev));
	page[off] = 0;
	assert_true(vioblk_durable(r->dev));
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, 0, RIG_DATA, 4096, NULL), 0);
	page[off + 1] = 1; /* another field */
	assert_true(vioblk_durable(r->dev));
	page_detach(page);
	rig_free(r);
	/* Nobody writes any. */
	r = open_rig(state, (struct rig_opt){ 0 });
	assert_false(vioblk_durable(r->dev));
	rig_free(r);
	/* Not negotiated: not the driver's to say. */
	r = open_rig(
	    state, (struct rig_opt){ .without = F(VIRTIO_BLK_F_CONFIG_WCE) });
	page = config_page(r);
	assert_false(vioblk_durable(r->dev));
	page_detach(page);
	rig_free(r);
	r = open_rig(state,
	    (struct rig_opt){ .without = F(VIRTIO_BLK_F_CONFIG_WCE) |
		    F(VIRTIO_BLK_F_FLUSH) });
	assert_true(vioblk_durable(r->dev));
	rig_free(r);
}

/* The flags of the last write. */
static _Atomic int write_flags;

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
	write_flags = flags;
	return syscall(SYS_pwritev2, fd, iov, n, (long)off, 0L, flags);
}

/*
 * A driver writes the mode and makes a request available in the very next
 * instruction, a thousand times: the request is done as the mode says.
 */
static void
test_cache_mode_holds_at_once(void **state)
{
	const unsigned off = offsetof(struct virtio_blk_config, wce);
	struct rig_kind kind = { AIO_THREADS, false }, *k = &kind;
	struct rig *r = open_rig((void **)&k, (struct rig_opt){ 0 });
	volatile uint8_t *page = config_page(r);
	unsigned i;

	for (i = 0; i < 1000; i++) {
		page[off] = i & 1;
		assert_int_equal(
		    rig_io(r, VIRTIO_BLK_T_OUT, 0, RIG_DATA, 4096, NULL), 0);
		assert_int_equal((write_flags & RWF_DSYNC) != 0, (i & 1) == 0);
	}
	page_detach((void *)page);
	rig_free(r);
}

/* A burst at once, then one at a time; a flush never waits. */
static void
test_rates(void **state)
{
	struct rig *r;

	r = open_rig(state, (struct rig_opt){ .iops = { 100, 10 } });
	assert_in_range(take_30(r), 190, 5000);
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_FLUSH, 0, 0, 0, NULL), 0);
	rig_free(r);
	r = open_rig(state, (struct rig_opt){ .bandwidth = { 409600, 40960 } });
	assert_in_range(take_30(r), 190, 5000);
	rig_free(r);
}

/* A request larger than the bucket passes, and is paid for. */
static void
test_large_request(void **state)
{
	struct rig *r;
	int64_t start;

	r = open_rig(state, (struct rig_opt){ .bandwidth = { 100000, 4096 } });
	start = now_ms();
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 20480, NULL), 0);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 4096, NULL), 0);
	assert_in_range(now_ms() - start, 190, 5000);
	rig_free(r);
}

/* Reset while a request waits for its time. */
static void
test_reset_held(void **state)
{
	struct rig *r;
	uint64_t h;
	struct vbuf b[3];
	int64_t start = now_ms();

	r = open_rig(state, (struct rig_opt){ .iops = { 1, 1 } });
	assert_int_equal(rig_io(r, VIRTIO_BLK_T_IN, 0, RIG_DATA, 512, NULL), 0);
	h = rig_hdr(r, 1, VIRTIO_BLK_T_IN, 0);
	b[0] = (struct vbuf){ h, 16, false };
	b[1] = (struct vbuf){ RIG_DATA, 512, true };
	b[2] = (struct vbuf){ h + 16, 1, true };
	vdrv_add(&r->q[0], b, 3, false);
	rig_kick(r, 0);
	rig_reset(r);
	assert_in_range(now_ms() - start, 0, 900);
	rig_free(r);
}

/* The buckets themselves, by a clock of our own. */
static void
test_buckets(void **state)
{
	const struct vm_limit ten = { 10, 5 }, bytes = { 1000, 1000 };
	const struct vm_limit none = { 0, 0 }, huge = { 1, INT64_MAX };
	const uint64_t ms = 1000000, t = 1000 * ms;
	struct limit l;
	unsigned i;

	limit_init(&l, &ten, &bytes);
	for (i = 0; i < 5; i++)
		assert_int_equal(limit_take(&l, 1, 0, t), 0);
	assert_int_equal(limit_take(&l, 1, 0, t), 100 * ms);
	assert_int_equal(limit_take(&l, 1, 0, t + 99 * ms), ms);
	assert_int_equal(limit_take(&l, 1, 0, t + 100 * ms), 0);
	/* After a pause no more than the burst. */
	for (i = 0; i < 5; i++)
		assert_int_equal(limit_take(&l, 1, 0, 90 * t), 0);
	assert_int_not_equal(limit_take(&l, 1, 0, 90 * t), 0);
	/* The one that is short counts, and nothing is taken meanwhile. */
	assert_int_equal(limit_take(&l, 1, 1000, 100 * t), 0);
	assert_int_equal(limit_take(&l, 1, 500, 100 * t), 500 * ms);
	assert_int_equal(limit_take(&l, 4, 0, 100 * t), 0);
	limit_init(&l, &none, &none);
	assert_int_equal(limit_take(&l, UINT64_MAX, UINT64_MAX, t), 0);
	/* Nothing wraps. */
	limit_init(&l, &huge, &huge);
	for (i = 0; i < 100; i++)
		assert_true(
		    limit_take(&l, 1, 1ULL << 40, t) <= 3600 * 1000 * ms);
}

#define ALL(f)                                       \
	cmocka_unit_test_prestate(f, &kinds[0]),     \
	    cmocka_unit_test_prestate(f, &kinds[1]), \
	    cmocka_unit_test_prestate(f, &kinds[2]), \
	    cmocka_unit_test_prestate(f, &kinds[3])

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ALL(test_read_write),
		ALL(test_get_id),
		ALL(test_limits),
		ALL(test_readonly),
		ALL(test_ranges),
		ALL(test_not_negotiated),
		ALL(test_truncated),
		ALL(test_config),
		ALL(test_bad_images),
		ALL(test_random),
		ALL(test_qcow2),
		ALL(test_cache),
		cmocka_unit_test(test_cache_mode_holds_at_once),
		ALL(test_rates),
		ALL(test_large_request),
		ALL(test_reset_held),
		cmocka_unit_test(test_buckets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
