/* SPDX-License-Identifier: ISC */
/*
 * qcow2 against a model in memory and against qemu-img's own reading: random
 * requests in flight at once, over an engine that reorders them.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "qcow2_create.h"
#include "qcow2_rig.h"

#define SIZE	 (8ULL << 20)
#define INFLIGHT 12

static char dir[32];

struct flight {
	struct disk_req r;
	bool busy;
	uint8_t *buf;
	struct iovec iov[5];
	uint64_t off, len;
	enum disk_op op;
	uint8_t *expect;
};

struct model {
	struct rig g;
	uint8_t *mem;
	bool *any; /* per sector: discarded, anything may be there */
	struct flight f[INFLIGHT];
	uint64_t rng, size;
};

static struct model *current_model;

static void
took(struct disk_req *r, int error)
{
	struct flight *f = (struct flight *)r;
	struct model *m = current_model;
	uint64_t i;

	assert_true(f->busy);
	assert_int_equal(error, 0);
	f->busy = false;
	if (f->op != DISK_READ)
		return;
	for (i = 0; i < f->len; i++)
		if (!m->any[(f->off + i) / 512] && f->buf[i] != f->expect[i])
			fail_msg("read at %llu: %02x instead of %02x",
			    (unsigned long long)(f->off + i), f->buf[i],
			    f->expect[i]);
}

static bool
overlaps(const struct model *m, uint64_t off, uint64_t len)
{
	unsigned i;

	for (i = 0; i < INFLIGHT; i++)
		if (m->f[i].busy && off < m->f[i].off + m->f[i].len &&
		    m->f[i].off < off + len)
			return true;
	return false;
}

static void
split(struct flight *f, uint64_t *rng)
{
	uint64_t at = 0, part;
	unsigned n = 0;

	while (at < f->len) {
		part = n == 4 ? f->len - at : rig_random(rng) % f->len + 1;
		if (part > f->len - at)
			part = f->len - at;
		f->iov[n++] = (struct iovec){ f->buf + at, part };
		at += part;
	}
	f->r.iov = f->iov;
	f->r.niov = n;
}

static void
apply(struct model *m, struct flight *f)
{
	uint64_t i;

	memcpy(f->expect, m->mem + f->off, f->len);
	switch (f->op) {
	case DISK_WRITE:
		memcpy(m->mem + f->off, f->buf, f->len);
		break;
	case DISK_ZERO:
	case DISK_ZERO_UNMAP:
		memset(m->mem + f->off, 0, f->len);
		break;
	default:
		break;
	}
	for (i = f->off / 512; i < (f->off + f->len) / 512; i++) {
		if (f->op == DISK_DISCARD)
			m->any[i] = true;
		else if (f->op != DISK_READ && f->op != DISK_FLUSH)
			m->any[i] = false;
	}
}

static enum disk_op
some_op(uint64_t r)
{
	r %= 100;
	if (r < 50)
		return DISK_WRITE;
	if (r < 75)
		return DISK_READ;
	if (r < 82)
		return DISK_DISCARD;
	if (r < 89)
		return DISK_ZERO_UNMAP;
	if (r < 95)
		return DISK_ZERO;
	return DISK_FLUSH;
}

static void
launch(struct model *m, struct flight *f)
{
	uint64_t i, max = rig_random(&m->rng) % 4 == 0 ? 600 : 20;

	do {
		f->off = rig_random(&m->rng) % (m->size / 512) * 512;
		f->len = (rig_random(&m->rng) % max + 1) * 512;
		if (f->len > m->size - f->off)
			f->len = m->size - f->off;
	} while (overlaps(m, f->off, f->len));
	f->op = some_op(rig_random(&m->rng));
	if (f->op == DISK_FLUSH)
		f->off = f->len = 0;
	for (i = 0; i < f->len; i += 8)
		*(uint64_t *)(f->buf + i) = rig_random(&m->rng);
	memset(&f->r, 0, sizeof(f->r));
	f->r.op = f->op;
	f->r.off = f->off;
	f->r.len = f->len;
	f->r.durable = rig_random(&m->rng) % 50 == 0;
	f->r.done = took;
	if (f->op == DISK_READ || f->op == DISK_WRITE)
		split(f, &m->rng);
	apply(m, f);
	f->busy = true;
	assert_int_equal(disk_start(m->g.d, &m->g.a, &f->r), 0);
}

static void
run_random(struct model *m, unsigned n)
{
	unsigned i;

	while (n > 0) {
		i = (unsigned)(rig_random(&m->rng) % INFLIGHT);
		if (!m->f[i].busy) {
			launch(m, &m->f[i]);
			n--;
		}
		if (rig_random(&m->rng) % 3 != 0)
			aio_run(&m->g.a, false);
	}
	rig_settle(&m->g);
	for (i = 0; i < INFLIGHT; i++)
		assert_false(m->f[i].busy);
}

static void
compare_file(const struct model *m, const char *raw)
{
	uint8_t *got = malloc(m->size);
	int fd = rig_open(raw, O_RDONLY);
	uint64_t i;

	assert_int_equal(pread(fd, got, m->size, 0), m->size);
	for (i = 0; i < m->size; i++)
		if (!m->any[i / 512] && got[i] != m->mem[i])
			fail_msg("%s: byte %llu is %02x, not %02x", raw,
			    (unsigned long long)i, got[i], m->mem[i]);
	close(fd);
	free(got);
}

static struct model *
model_new(uint64_t size, uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));
	unsigned i;

	m->size = size;
	m->mem = calloc(1, size);
	m->any = calloc(size / 512, 1);
	m->rng = seed * 7919 + 17;
	for (i = 0; i < INFLIGHT; i++) {
		m->f[i].buf = malloc(600 * 512);
		m->f[i].expect = malloc(600 * 512);
	}
	current_model = m;
	return m;
}

static void
model_free(struct model *m)
{
	unsigned i;

	for (i = 0; i < INFLIGHT; i++) {
		free(m->f[i].buf);
		free(m->f[i].expect);
	}
	free(m->mem);
	free(m->any);
	free(m);
}

static struct disk *
open_disk(
    const char *path, const char *base, enum vm_diskfmt basefmt, bool later)
{
	struct disk_layer l[2] = { { rig_open(path, O_RDWR), VM_DISK_QCOW2 } };
	struct disk *d;
	struct why why;

	if (base != NULL)
		l[1] = (struct disk_layer){ rig_open(base, O_RDONLY), basefmt };
	if ((later ? disk_open_later : disk_open_chain)(
		&d, l, base != NULL ? 2 : 1, false, &why) != 0)
		fail_msg("%s: %s", path, why.text);
	return d;
}

struct kind {
	const char *options;
	const char *base; /* options of a base image, "raw", or NULL */
};

/* A base of patterns, shorter than the disk, or none. */
static void
make_images(const struct kind *k, struct model *m, char *img, char *base)
{
	uint64_t n = m->size * 3 / 4 + 1024, i;
	char raw[64];
	int fd;

	sprintf(img, "%s/top.qcow2", dir);
	sprintf(base, "%s/base.img", dir);
	sprintf(raw, "%s/base.raw", dir);
	unlink(img);
	unlink(base);
	if (k->base == NULL) {
		assert_int_equal(
		    rig_sh("qemu-img create -q -f qcow2 -o %s %s "
			   "%llu",
			k->options, img, (unsigned long long)m->size),
		    0);
		return;
	}
	for (i = 0; i < n; i++)
		m->mem[i] = i / 65536 % 3 == 0 ? 0 : (uint8_t)(i / 512 + i);
	fd = rig_open(raw, O_RDWR | O_CREAT | O_TRUNC);
	assert_int_equal(pwrite(fd, m->mem, n, 0), n);
	close(fd);
	if (strcmp(k->base, "raw") == 0)
		rig_sh("cp %s %s", raw, base);
	else
		assert_int_equal(rig_sh("qemu-img convert -q -f raw -O qcow2 "
					"%s %s %s",
				     k->base, raw, base),
		    0);
	assert_int_equal(
	    rig_sh("qemu-img create -q -f qcow2 -F %s -b %s -o %s %s %llu",
		strcmp(k->base, "raw") == 0 ? "raw" : "qcow2", base, k->options,
		img, (unsigned long long)m->size),
	    0);
}

static void
run_kind(const struct kind *k, uint64_t seed, unsigned n)
{
	struct model *m = model_new(SIZE - 1536, seed);
	char img[64], base[64], raw[64];
	struct disk *d;
	unsigned round;
	bool is_raw = k->base != NULL && strcmp(k->base, "raw") == 0;

	make_images(k, m, img, base);
	sprintf(raw, "%s/out.raw", dir);
	for (round = 0; round < 2; round++) {
		d = open_disk(img, k->base == NULL ? NULL : base,
		    is_raw ? VM_DISK_RAW : VM_DISK_QCOW2, false);
		rig_attach(&m->g, d, seed + round);
		run_random(m, n);
		rig_close(&m->g);
		assert_int_equal(
		    rig_sh("qemu-img check -q -f qcow2 %s", img), 0);
		assert_int_equal(
		    rig_sh("qemu-img convert -f qcow2 -O raw %s %s", img, raw),
		    0);
		compare_file(m, raw);
	}
	model_free(m);
}

static const struct kind kinds[] = {
	{ "compat=1.1", NULL },
	{ "compat=0.10", NULL },
	{ "compat=1.1,cluster_size=512", NULL },
	{ "compat=1.1,cluster_size=2M", NULL },
	{ "compat=1.1,cluster_size=4k,refcount_bits=1", NULL },
	{ "compat=1.1,cluster_size=1k,refcount_bits=2", "raw" },
	{ "compat=1.1,cluster_size=8k,refcount_bits=4", "-o compat=0.10" },
	{ "compat=1.1,cluster_size=16k,refcount_bits=8", "-c" },
	{ "compat=1.1,cluster_size=512,refcount_bits=64", "raw" },
	{ "compat=1.1,cluster_size=32k,refcount_bits=32", "raw" },
	{ "compat=0.10,cluster_size=64k", "raw" },
	{ "compat=0.10,cluster_size=4k", "-c -o cluster_size=512" },
	{ "compat=1.1,lazy_refcounts=on", "-c -o compression_type=zstd" },
	{ "compat=1.1,preallocation=metadata", NULL },
	{ "compat=1.1,cluster_size=128k", "-o cluster_size=2M" },
};

static unsigned
seeds(void)
{
	const char *more = getenv("QCOW2_SEEDS");

	return more != NULL ? (unsigned)atoi(more) : 1;
}

static void
test_differential(void **state)
{
	unsigned i, s;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (s = 0; s < seeds(); s++) {
			if (getenv("QCOW2_TRACE"))
				fprintf(stderr, "%s %s seed %u\n",
				    kinds[i].options,
				    kinds[i].base ? kinds[i].base : "", s);
			run_kind(&kinds[i], s * 100 + i + 1, 600);
		}
}

static void
judge_image(const struct model *m, const char *img)
{
	char raw[64];

	sprintf(raw, "%s/out.raw", dir);
	assert_int_equal(rig_sh("qemu-img check -q -f qcow2 %s", img), 0);
	assert_int_equal(
	    rig_sh("qemu-img convert -f qcow2 -O raw %s %s", img, raw), 0);
	compare_file(m, raw);
}

/* Two that use an image in turn, as of two hosts: both have it open. */
static void
run_handover(const struct kind *k, uint64_t seed)
{
	struct model *m = model_new(SIZE - 1536, seed);
	char img[64], base[64], sector[512];
	struct disk *d[2];
	unsigned i;
	bool is_raw = k->base != NULL && strcmp(k->base, "raw") == 0;

	make_images(k, m, img, base);
	for (i = 0; i < 2; i++)
		d[i] = open_disk(img, k->base == NULL ? NULL : base,
		    is_raw ? VM_DISK_RAW : VM_DISK_QCOW2, i == 1);
	assert_int_equal(disk_size(d[0]), disk_size(d[1]));
	for (i = 0; i < 5; i++) {
		assert_int_equal(disk_load(d[i % 2], NULL), 0);
		rig_attach(&m->g, d[i % 2], seed + i);
		run_random(m, 100);
		assert_int_equal(disk_store(d[i % 2]), 0);
		assert_int_equal(
		    rig_do(&m->g, DISK_READ, sector, 0, sizeof(sector)), -EIO);
		judge_image(m, img);
	}
	/* Nobody writes any more as it ends. */
	disk_close(d[1]);
	disk_close(d[0]);
	judge_image(m, img);
	model_free(m);
}

static void
test_handover(void **state)
{
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		run_handover(&kinds[i], i + 1);
}

/*
 * As OpenBSD's vioscribble: the same writes to a raw and to a qcow2 image,
 * through real engines, many in flight, each in a zone of its own.
 */
#define SCRIBBLES 2048 /* times QCOW2_SEEDS: 8 make 16384 */
#define ZONES	  32
#define ZONE	  (4ULL << 20)

struct engine {
	struct disk *d;
	struct aio *a;
	unsigned busy;
};

struct scribble {
	struct disk_req r; /* first */
	struct engine *e;
	struct iovec iov;
	uint8_t *buf;
};

static void
engine_new(struct engine *e, const char *path, enum vm_diskfmt fmt,
    enum aio_engine kind)
{
	struct aio_conf c = { .engine = kind, .depth = 2 * ZONES + 64 };

	e->busy = 0;
	assert_int_equal(
	    disk_open(&e->d, fmt, rig_open(path, O_RDWR), false), 0);
	disk_aio(e->d, &c);
	c.kick = eventfd(0, EFD_CLOEXEC);
	c.wake = eventfd(0, EFD_CLOEXEC);
	c.call = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(aio_new(&e->a, &c), 0);
	assert_int_equal(aio_bind(e->a), 0);
}

static void
engine_wait(struct engine *e)
{
	while (e->busy > 0 || aio_inflight(e->a) > 0)
		if (aio_run(e->a, false) == 0 && aio_inflight(e->a) > 0)
			aio_run(e->a, true);
}

static void
engine_end(struct engine *e)
{
	engine_wait(e);
	aio_free(e->a);
	disk_close(e->d);
}

static void
scribbled(struct disk_req *r, int error)
{
	struct scribble *s = (struct scribble *)r;

	assert_int_equal(error, 0);
	s->e->busy--;
}

static void
begin(struct engine *e, struct scribble *s, enum disk_op op, uint64_t off,
    uint64_t len)
{
	s->e = e;
	s->iov = (struct iovec){ s->buf, len };
	s->r = (struct disk_req){ .op = op,
		.iov = &s->iov,
		.niov = 1,
		.off = off,
		.len = len,
		.done = scribbled };
	e->busy++;
	assert_int_equal(disk_start(e->d, e->a, &s->r), 0);
}

static void
scribble(struct engine *e, struct scribble (*s)[ZONES], unsigned rounds)
{
	uint64_t rng = 123, off[ZONES], len[ZONES], i;
	unsigned n, z, k;

	for (n = 0; n < rounds; n++) {
		for (z = 0; z < ZONES; z++) {
			len[z] = (rig_random(&rng) % 128 + 1) * 512;
			off[z] = z * ZONE +
			    rig_random(&rng) % (ZONE - len[z]) / 512 * 512;
			for (i = 0; i < len[z]; i += 8)
				*(uint64_t *)(s[0][z].buf + i) =
				    rig_random(&rng);
			memcpy(s[1][z].buf, s[0][z].buf, len[z]);
			for (k = 0; k < 2; k++)
				begin(&e[k], &s[k][z], DISK_WRITE, off[z],
				    len[z]);
		}
		engine_wait(&e[0]);
		engine_wait(&e[1]);
		for (z = 0; n % 16 == 0 && z < ZONES; z++)
			for (k = 0; k < 2; k++)
				begin(
				    &e[k], &s[k][z], DISK_READ, off[z], len[z]);
		engine_wait(&e[0]);
		engine_wait(&e[1]);
		for (z = 0; n % 16 == 0 && z < ZONES; z++)
			assert_memory_equal(s[0][z].buf, s[1][z].buf, len[z]);
	}
}

static void
scribble_by(enum aio_engine kind)
{
	struct scribble s[2][ZONES];
	struct engine e[2];
	char raw[64], img[64];
	unsigned k, z;

	/* Where operations are not all done at once. */
	sprintf(raw, "/tmp/vmm-scribble-%d.raw", (int)getpid());
	sprintf(img, "/tmp/vmm-scribble-%d.qcow2", (int)getpid());
	assert_int_equal(
	    rig_sh("truncate -s 128M %s && qemu-img create -q -f qcow2 %s 128M",
		raw, img),
	    0);
	for (k = 0; k < 2; k++) {
		engine_new(&e[k], k == 0 ? raw : img,
		    k == 0 ? VM_DISK_RAW : VM_DISK_QCOW2, kind);
		for (z = 0; z < ZONES; z++)
			s[k][z].buf = malloc(65536);
	}
	scribble(e, s, SCRIBBLES / ZONES * seeds());
	for (k = 0; k < 2; k++) {
		engine_end(&e[k]);
		for (z = 0; z < ZONES; z++)
			free(s[k][z].buf);
	}
	assert_int_equal(rig_sh("qemu-img check -q %s && qemu-img compare -q "
				"-f raw -F qcow2 %s %s",
			     img, raw, img),
	    0);
	assert_int_equal(rig_sh("rm %s %s", raw, img), 0);
}

static void
test_scribble(void **state)
{
	scribble_by(AIO_AUTO);
}

static int
empty_image(const char *name, uint64_t size, const char *backing)
{
	const struct qcow2_new n = { size, backing, VM_DISK_QCOW2 };
	int fd = memfd_create(name, MFD_CLOEXEC);
	struct why why;

	assert_int_equal(qcow2_create(fd, &n, &why), 0);
	return fd;
}

/* 64 KiB are written at off: 600 MiB is what the second L2 table is for. */
static void
write_at(int image, uint64_t off)
{
	static uint8_t buf[65536] = "data";
	struct engine e;
	struct scribble s = { .buf = buf };
	struct aio_conf c = { .depth = 64 };

	assert_int_equal(disk_open(&e.d, VM_DISK_QCOW2, dup(image), false), 0);
	e.busy = 0;
	disk_aio(e.d, &c);
	c.kick = c.wake = c.call = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(aio_new(&e.a, &c), 0);
	assert_int_equal(aio_bind(e.a), 0);
	begin(&e, &s, DISK_WRITE, off, sizeof(buf));
	engine_end(&e);
	close(c.call);
}

/* What no table is for, of no layer. */
static void
test_hole(void **state)
{
	const uint64_t mib = 1ULL << 20;
	const struct {
		uint64_t off, alone, based;
	} rows[] = {
		{ 0, 512 * mib, 0 },
		{ 512 * mib - 512, 512, 0 },
		{ 512 * mib, 0, 512 * mib },
		{ 700 * mib, 0, 324 * mib },
		{ 1024 * mib, 512 * mib, 76 * mib },
		{ 1100 * mib, 436 * mib, 436 * mib },
		{ 1600 * mib - 512, 512, 512 },
		{ 1600 * mib, 0, 0 },
	};
	int base = empty_image("base", 1100 * mib, NULL);
	int top = empty_image("top", 1600 * mib, NULL);
	int over = empty_image("over", 1600 * mib, "base");
	struct disk_layer l[2] = { { -1, VM_DISK_QCOW2 },
		{ -1, VM_DISK_QCOW2 } };
	struct disk *alone, *based;
	struct why why;
	unsigned i;

	write_at(base, 0);
	write_at(top, 600 * mib);
	assert_int_equal(disk_open(&alone, VM_DISK_QCOW2, dup(top), false), 0);
	l[0].fd = over;
	l[1].fd = base;
	assert_int_equal(disk_open_chain(&based, l, 2, true, &why), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(disk_hole(alone, rows[i].off), rows[i].alone);
		assert_int_equal(disk_hole(based, rows[i].off), rows[i].based);
	}
	disk_close(alone);
	disk_close(based);
	close(top);
}

static int
setup(void **state)
{
	return rig_mkdir(dir);
}

static int
teardown(void **state)
{
	return rig_sh("rm -rf %s", dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differential),
		cmocka_unit_test(test_handover),
		cmocka_unit_test(test_scribble),
		cmocka_unit_test(test_hole),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
