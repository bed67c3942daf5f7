/* SPDX-License-Identifier: ISC */
/*
 * Power cuts: every operation on the image's file is recorded while a random
 * workload runs.  Then, for every prefix of the record, the file is made as
 * it may be after a crash there: what was synced, and any part of what was
 * not.  Our checker and, for a sample, qemu-img have to find it clean or
 * leaking, and what it reads as has to be what was flushed or newer.
 *
 * Each sector of a write holds the write's number.
 */
#include "qcow2_check.h"
#include "qcow2_rig.h"

#define SECTORS	 1024
#define SIZE	 (SECTORS * 512ULL)
#define REQUESTS 120
#define INFLIGHT 8
#define LOG_MAX	 8000

static char dir[32];

struct entry {
	enum aio_op op;
	uint64_t off, len;
	uint8_t *data;
};

/* A request's life, in positions of the log. */
struct life {
	enum disk_op op;
	unsigned start, end;
	uint64_t sector, n;
	bool zero;
};

struct crash {
	struct rig g;
	uint64_t rng;
	struct entry log[LOG_MAX];
	unsigned nlog;
	struct life life[REQUESTS];
	unsigned nlife;
	struct slot {
		struct disk_req r;
		struct iovec iov;
		bool busy;
		unsigned life;
		uint8_t buf[64 * 512];
	} slot[INFLIGHT];
	uint8_t *base; /* the file before */
	uint64_t base_len;
};

static struct crash *current;

static bool
record(struct rig *g, const struct aio_req *r)
{
	struct crash *c = (struct crash *)g;
	struct entry *e = &c->log[c->nlog];
	unsigned i;

	if (r->op == AIO_READ || r->op == AIO_NOP)
		return true;
	assert_true(c->nlog < LOG_MAX);
	c->nlog++;
	*e = (struct entry){ r->op, r->off, r->len, NULL };
	if (r->op != AIO_WRITE)
		return true;
	e->len = 0;
	for (i = 0; i < r->niov; i++)
		e->len += r->iov[i].iov_len;
	e->data = malloc(e->len);
	for (e->len = 0, i = 0; i < r->niov; i++) {
		memcpy(e->data + e->len, r->iov[i].iov_base, r->iov[i].iov_len);
		e->len += r->iov[i].iov_len;
	}
	return true;
}

static void
finished(struct disk_req *r, int error)
{
	struct slot *s = (struct slot *)r;

	assert_int_equal(error, 0);
	s->busy = false;
	current->life[s->life].end = current->nlog;
}

static bool
free_range(const struct crash *c, uint64_t sector, uint64_t n)
{
	const struct life *l;
	unsigned i;

	for (i = 0; i < INFLIGHT; i++) {
		l = &c->life[c->slot[i].life];
		if (c->slot[i].busy && sector < l->sector + l->n &&
		    l->sector < sector + n)
			return false;
	}
	return true;
}

static void
start(struct crash *c, struct slot *s)
{
	struct life *l = &c->life[c->nlife];
	uint64_t k, x = rig_random(&c->rng) % 100;

	do {
		l->sector = rig_random(&c->rng) % SECTORS;
		l->n = rig_random(&c->rng) % (x % 5 == 0 ? 60 : 9) + 1;
		if (l->n > SECTORS - l->sector)
			l->n = SECTORS - l->sector;
	} while (!free_range(c, l->sector, l->n));
	l->op = x < 65 ? DISK_WRITE : x < 80 ? DISK_ZERO_UNMAP : DISK_FLUSH;
	if (l->op == DISK_FLUSH)
		l->n = 0;
	l->zero = l->op == DISK_ZERO_UNMAP;
	l->start = c->nlog;
	l->end = UINT32_MAX;
	for (k = 0; k < l->n * 64; k++)
		((uint64_t *)s->buf)[k] = c->nlife + 1;
	s->life = c->nlife++;
	s->busy = true;
	s->iov = (struct iovec){ s->buf, l->n * 512 };
	memset(&s->r, 0, sizeof(s->r));
	s->r.op = l->op;
	s->r.iov = &s->iov;
	s->r.niov = 1;
	s->r.off = l->op == DISK_FLUSH ? 0 : l->sector * 512;
	s->r.len = l->n * 512;
	s->r.done = finished;
	assert_int_equal(disk_start(c->g.d, &c->g.a, &s->r), 0);
}

static void
workload(struct crash *c)
{
	unsigned i;

	while (c->nlife < REQUESTS) {
		i = (unsigned)(rig_random(&c->rng) % INFLIGHT);
		if (!c->slot[i].busy)
			start(c, &c->slot[i]);
		while (rig_random(&c->rng) % 4 != 0)
			aio_run(&c->g.a, false);
	}
	rig_settle(&c->g);
}

static void
replay(int fd, const struct entry *e)
{
	/* A file in memory: as fallocate(2) punches. */
	if (e->op == AIO_WRITE)
		assert_int_equal(
		    pwrite(fd, e->data, e->len, (off_t)e->off), e->len);
	else if (e->op == AIO_PUNCH)
		assert_int_equal(
		    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			(off_t)e->off, (off_t)e->len),
		    0);
}

/* how: 0 nothing that was not synced, 1 all of it, 2 a part. */
static void
make_file(struct crash *c, int fd, unsigned cut, unsigned how)
{
	unsigned i, synced = 0;

	for (i = 0; i < cut; i++)
		if (c->log[i].op == AIO_SYNC)
			synced = i;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, c->base, c->base_len, 0), c->base_len);
	for (i = 0; i < cut; i++)
		if (i < synced || how == 1 ||
		    (how == 2 && rig_random(&c->rng) % 2 == 0))
			replay(fd, &c->log[i]);
}

/* Where the last flush began that had ended before a cut. */
static unsigned
last_flush(const struct crash *c, unsigned cut)
{
	unsigned flush = 0, i;

	for (i = 0; i < c->nlife; i++)
		if (c->life[i].op == DISK_FLUSH && c->life[i].end < cut &&
		    c->life[i].start > flush)
			flush = c->life[i].start;
	return flush;
}

/* May the sector read as value after a cut there? */
static bool
allowed(const struct crash *c, unsigned cut, unsigned flush, uint64_t sector,
    uint64_t value)
{
	const struct life *l;
	bool ok = value == 0;
	unsigned i;

	for (i = 0; i < c->nlife; i++) {
		l = &c->life[i];
		if (sector < l->sector || sector >= l->sector + l->n ||
		    l->start > cut)
			continue;
		if (l->end < flush)
			ok = false; /* what was before is over */
		ok |= value == (l->zero ? 0 : i + 1);
	}
	return ok;
}

static void
judge_data(struct crash *c, const char *path, unsigned cut, unsigned how,
    const uint64_t *data)
{
	unsigned flush = last_flush(c, cut);
	uint64_t i, k;
	bool ok;

	for (i = 0; i < SECTORS; i++, data += 64) {
		ok = allowed(c, cut, flush, i, data[0]);
		for (k = 1; k < 64; k++)
			ok &= data[k] == data[0];
		if (ok)
			continue;
		fail_msg("cut at %u/%u: sector %llu holds %llu", cut, how,
		    (unsigned long long)i, (unsigned long long)data[0]);
	}
}

static void
judge(struct crash *c, const char *path, unsigned cut, unsigned how)
{
	struct qcow2_report report;
	struct qcow2_header h;
	struct qcow2_check check = { .h = &h };
	struct why why = { "" };
	static uint64_t data[SIZE / 8];
	struct rig g;

	check.fd = rig_open(path, O_RDONLY);
	if (qcow2_header_read(check.fd, &h, &why) != 0 ||
	    qcow2_check(&check, &report, &why) != 0)
		fail_msg("cut at %u/%u: %s", cut, how, why.text);
	if (report.corruptions != 0)
		fail_msg("cut at %u/%u: corrupt", cut, how);
	assert_int_equal(disk_open(&g.d, VM_DISK_QCOW2, check.fd, true), 0);
	rig_attach(&g, g.d, 1);
	assert_int_equal(rig_do(&g, DISK_READ, data, 0, SIZE), 0);
	rig_close(&g);
	judge_data(c, path, cut, how, data);
	if (cut % 97 == 0)
		assert_true(rig_sh("qemu-img check -q -f qcow2 %s "
				   ">/dev/null 2>&1",
				path) %
			3 ==
		    0); /* 0: clean, 3: leaks */
}

static void
run_case(const char *options, uint64_t seed)
{
	struct crash *c = calloc(1, sizeof(*c));
	char img[64], cutimg[64];
	unsigned cut, how;
	int fd;

	current = c;
	sprintf(img, "%s/a.qcow2", dir);
	sprintf(cutimg, "%s/cut.qcow2", dir);
	unlink(img);
	assert_int_equal(rig_sh("qemu-img create -q -f qcow2 -o %s %s %llu",
			     options, img, SIZE),
	    0);
	assert_int_equal(
	    disk_open(&c->g.d, VM_DISK_QCOW2, rig_open(img, O_RDWR), false), 0);
	fd = rig_open(img, O_RDONLY);
	c->base_len = (uint64_t)lseek(fd, 0, SEEK_END);
	c->base = malloc(c->base_len);
	assert_int_equal(pread(fd, c->base, c->base_len, 0), c->base_len);
	close(fd);
	rig_attach(&c->g, c->g.d, seed);
	c->g.before = record;
	c->rng = seed * 31337 + 5;
	workload(c);
	c->g.before = NULL;
	rig_close(&c->g);
	fd = rig_open(cutimg, O_RDWR | O_CREAT);
	for (cut = 0; cut <= c->nlog; cut++)
		for (how = 0; how < 3; how++) {
			make_file(c, fd, cut, how);
			judge(c, cutimg, cut, how);
		}
	close(fd);
	for (cut = 0; cut < c->nlog; cut++)
		free(c->log[cut].data);
	free(c->base);
	free(c);
}

static void
test_power_cuts(void **state)
{
	static const char *const options[] = {
		"cluster_size=64k",
		"cluster_size=4k",
		"cluster_size=512",
		"cluster_size=512,refcount_bits=64",
		"cluster_size=1k,refcount_bits=1",
	};
	const char *more = getenv("QCOW2_SEEDS");
	unsigned i, s, seeds = more != NULL ? (unsigned)atoi(more) : 1;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		for (s = 0; s < seeds; s++)
			run_case(options[i], s * 10 + i + 1);
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
		cmocka_unit_test(test_power_cuts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
