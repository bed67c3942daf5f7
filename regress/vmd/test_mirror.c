/* SPDX-License-Identifier: ISC */
/*
 * Disks that are sent with their guest: the map of what is still to be copied
 * (vmd/blkmap.c), the sections of the stream (vmd/mirror.c), and a block device
 * that is copied while its driver writes (vmd/vioblk_mirror.c).
 */
#include "mirror.h"
#include "msg.h"
#include "imsg.h"
#include "state.h"
#include "vioblk_impl.h"
#include "vioblk_rig.h"

#define G   BLKMAP_GRANULE
#define MIB (1ULL << 20)

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Against a byte for each granule. */
static void
test_map(void **state)
{
	static const uint64_t sizes[] = { 512, G, G + 512, 63 * G, 64 * G,
		65 * G + 1024, 300 * G };
	struct blkmap m;
	uint8_t twin[301];
	uint64_t off, len, at, want, left;
	uint32_t seed = 3;
	unsigned i, k, g, n;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(blkmap_init(&m, sizes[i]), 0);
		n = (unsigned)((sizes[i] + G - 1) / G);
		memset(twin, 0, sizeof(twin));
		for (k = 0; k < 2000; k++) {
			off = next(&seed) % (sizes[i] / 512) * 512;
			len =
			    512 + next(&seed) % ((sizes[i] - off) / 512) * 512;
			if (k % 2 == 0)
				blkmap_mark(&m, off, len);
			else
				blkmap_take(&m, off, len);
			for (g = (unsigned)(off / G); g * G < off + len; g++)
				twin[g] = k % 2 == 0;
			for (g = 0, left = 0; g < n; g++)
				left += twin[g] * G;
			assert_int_equal(blkmap_left(&m), left);
			off = next(&seed) % (n + 1) * (uint64_t)G;
			for (g = (unsigned)(off / G); g < n && !twin[g]; g++)
				;
			want = g * (uint64_t)G;
			assert_int_equal(blkmap_next(&m, off, &at), g < n);
			if (g < n)
				assert_int_equal(at, want);
		}
		blkmap_free(&m);
	}
}

static void
test_messages(void **state)
{
	struct mirror_msg m = { MIRROR_PUT, 7, 5, 512, 1024, 9, NULL }, got;
	uint8_t bytes[MIRROR_PIECE];
	struct ibuf *b = ibuf_dynamic(0, 65536);

	memset(bytes, 'x', sizeof(bytes));
	m.bytes = bytes;
	assert_int_equal(mirror_put(b, &m), 0);
	assert_int_equal(mirror_get(b, &got), 0);
	assert_int_equal(ibuf_size(b), 0);
	assert_int_equal(got.what, MIRROR_PUT);
	assert_int_equal(got.tag, 7);
	assert_int_equal(got.error, 5);
	assert_int_equal(got.left, 9);
	assert_memory_equal(got.bytes, bytes, 1024);
	/* More bytes than there are, more than there can be, an unknown one. */
	m.len = 1025;
	m.bytes = NULL;
	assert_int_equal(mirror_put(b, &m), 0);
	assert_int_equal(ibuf_set_n32(b, 36, 1), 0);
	assert_int_equal(mirror_get(b, &got), -EBADMSG);
	ibuf_free(b);
	b = ibuf_dynamic(0, 65536);
	m.len = MIRROR_PIECE + 512;
	assert_int_equal(mirror_put(b, &m), 0);
	assert_int_equal(ibuf_set_n32(b, 36, 1), 0);
	assert_int_equal(ibuf_add_zero(b, MIRROR_PIECE + 512), 0);
	assert_int_equal(mirror_get(b, &got), -EBADMSG);
	ibuf_free(b);
	b = ibuf_dynamic(0, 65536);
	m.what = (enum mirror_do)(MIRROR_PUT + 1);
	assert_int_equal(mirror_put(b, &m), 0);
	assert_int_equal(mirror_get(b, &got), -EBADMSG);
	ibuf_free(b);
}

/* What a stream says of disks, and what becomes of it. */
#define FIRST  (2 * MIB)
#define SECOND (1 * MIB + 512)
static uint8_t copy[2][FIRST];
static unsigned nputs, nbegins;

static int
begin(void *arg, char why[MIRROR_WHY_MAX])
{
	nbegins++;
	return 0;
}

static int
put(void *arg, unsigned disk, const struct mirror_msg *m,
    char why[MIRROR_WHY_MAX])
{
	assert_true(disk == 0 || disk == 2);
	assert_true(mirror_piece_ok(m, disk == 0 ? FIRST : SECOND));
	if (m->bytes != NULL)
		memcpy(copy[disk / 2] + m->off, m->bytes, (size_t)m->len);
	else
		memset(copy[disk / 2] + m->off, 0, (size_t)m->len);
	nputs++;
	return 0;
}

static struct vmconf conf;

static void
to_init(struct mirror_to *to)
{
	memset(&conf, 0, sizeof(conf));
	conf.ndisks = 3;
	conf.disk[1].readonly = true;
	*to = (struct mirror_to){
		.conf = &conf,
		.disk = { { FIRST }, { MIB }, { SECOND } },
		.begin = begin,
		.put = put,
	};
	nputs = nbegins = 0;
}

/* As another process would read it. */
static void
reread(struct state *s, struct state *from)
{
	char name[STATE_NAME_MAX + 1];
	int fd = memfd_create("out", MFD_CLOEXEC);

	assert_int_equal(from->error, 0);
	assert_int_equal(write(fd, from->out, from->nout), (ssize_t)from->nout);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_read_head(s, fd, name), 0);
	state_free(from);
}

static void
done(struct state *s)
{
	close(s->fd);
	state_free(s);
}

static void
test_sections(void **state)
{
	static const struct mirror_disk disks[3] = { { FIRST }, { 0 },
		{ SECOND } };
	uint8_t bytes[MIRROR_PIECE];
	struct mirror_msg m = { .off = G, .len = G, .bytes = bytes };
	struct mirror_to to;
	struct state w, s;

	memset(bytes, 0x5a, sizeof(bytes));
	memset(copy, 0xff, sizeof(copy));
	to_init(&to);
	assert_int_equal(state_write_head(&w, -1, "web"), 0);
	mirror_write_disks(&w, disks, 3);
	mirror_write(&w, 0, &m);
	m = (struct mirror_msg){ .off = MIB, .len = 512, .bytes = bytes };
	mirror_write(&w, 2, &m);
	m = (struct mirror_msg){ .off = 0, .len = FIRST / 2 };
	mirror_write(&w, 0, &m);
	reread(&s, &w);
	assert_true(state_next(&s, "disks"));
	assert_false(state_next(&s, "disk"));
	mirror_read_disks(&s, &to);
	assert_int_equal(nbegins, 1);
	while (state_next(&s, "disk"))
		mirror_read(&s, &to);
	/* The file ends here. */
	assert_int_equal(s.error, -ENODATA);
	assert_int_equal(nputs, 3);
	assert_int_equal(copy[0][0], 0);
	assert_int_equal(copy[0][FIRST / 2], 0xff);
	assert_int_equal(copy[1][MIB - 1], 0xff);
	assert_int_equal(copy[1][MIB], 0x5a);
	assert_int_equal(copy[1][MIB + 511], 0x5a);
	done(&s);
}

static const struct {
	const char *why;
	uint64_t disks[7]; /* how many, then index and size */
} disks_rows[] = {
	{ "disk 0 has 2097152 bytes here, and had 512",
	    { 2, 0, 512, 2, SECOND } },
	{ "disk 1 is read-only here, and was not",
	    { 3, 0, FIRST, 1, MIB, 2, SECOND } },
	{ "disk 2 is not read-only here, and was", { 1, 0, FIRST } },
	{ "disk 0 comes twice", { 2, 0, FIRST, 0, FIRST } },
	{ "number out of range: 3", { 1, 3, FIRST } },
	{ "number out of range: 4", { 4, 0, FIRST, 2, SECOND } },
};

static void
test_wrong_disks(void **state)
{
	struct mirror_to to;
	struct state w, s;
	uint64_t n;
	unsigned i, k;

	for (i = 0; i < sizeof(disks_rows) / sizeof(disks_rows[0]); i++) {
		to_init(&to);
		assert_int_equal(state_write_head(&w, -1, "web"), 0);
		assert_int_equal(state_begin(&w, "disks", 1), 0);
		for (k = 0; k < 7; k++) {
			n = disks_rows[i].disks[k];
			state_number(&w, &n, UINT64_MAX);
		}
		assert_int_equal(state_end(&w), 0);
		reread(&s, &w);
		mirror_read_disks(&s, &to);
		assert_true(s.error < 0);
		if (strstr(s.why, disks_rows[i].why) == NULL)
			fail_msg("%s, not %s", s.why, disks_rows[i].why);
		assert_int_equal(nbegins, 0);
		assert_false(to.on);
		done(&s);
	}
}

/* Of disks 0 and 2. */
static const struct {
	const char *why;
	uint64_t disk, off, len;
	uint32_t bytes;
} piece_rows[] = {
	{ "no disk 1 is to be copied", 1, 0, 512, 0 },
	{ "no disk 3 is to be copied", 3, 0, 512, 0 },
	{ "no disk 18446744073709551615", UINT64_MAX, 0, 512, 0 },
	{ "no piece of it: 1024 bytes at 1048576", 2, MIB, 1024, 1024 },
	{ "no piece of it", 2, UINT64_MAX - 511, 512, 0 },
	{ "no piece of it", 2, UINT64_MAX - 511, 1024, 0 },
	{ "no piece of it", 0, FIRST, 0, 0 },
	{ "no piece of it", 0, 256, 512, 512 },
	{ "no piece of it", 0, 0, 100, 100 },
	{ "no piece of it", 0, 0, G + 512, G + 512 },
	{ "no piece of it", 0, 0, FIRST + 512, 0 },
	{ "shorter than it has to be", 0, 0, 1024, 512 },
	{ "512 bytes are left over", 0, 0, 512, 1024 },
};

static void
test_wrong_pieces(void **state)
{
	static uint8_t bytes[2 * G];
	struct mirror_to to;
	struct state w, s;
	uint64_t n;
	unsigned i;

	for (i = 0; i < sizeof(piece_rows) / sizeof(piece_rows[0]); i++) {
		to_init(&to);
		to.on = to.copied[0] = to.copied[2] = true;
		assert_int_equal(state_write_head(&w, -1, "web"), 0);
		assert_int_equal(state_begin(&w, "disk", 1), 0);
		n = piece_rows[i].disk;
		state_number(&w, &n, UINT64_MAX);
		n = piece_rows[i].off;
		state_number(&w, &n, UINT64_MAX);
		n = piece_rows[i].len;
		state_number(&w, &n, UINT64_MAX);
		state_bytes(&w, bytes, piece_rows[i].bytes);
		assert_int_equal(state_end(&w), 0);
		reread(&s, &w);
		mirror_read(&s, &to);
		if (s.error == 0 || strstr(s.why, piece_rows[i].why) == NULL)
			fail_msg("%s, not %s", s.why, piece_rows[i].why);
		assert_int_equal(nputs, 0);
		done(&s);
	}
}

/* ---- the device ---- */

#define IMAGE (8 * MIB)

/* The next answer. */
static void
answer(struct rig *r, struct mirror_msg *m)
{
	struct pollfd p = { vioblk_vdev(r->dev)->report, POLLIN, 0 };
	const char *why;

	while (!vioblk_mirrored(r->dev, m)) {
		assert_int_equal(poll(&p, 1, 5000), 1);
		(void)vdev_report(vioblk_vdev(r->dev), &why);
	}
}

static void
ask(struct rig *r, enum mirror_do what, int error)
{
	struct mirror_msg m = { .what = what, .tag = 99 };

	assert_int_equal(vioblk_mirror(r->dev, &m), 0);
	answer(r, &m);
	assert_int_equal(m.what, what);
	assert_int_equal(m.tag, 99);
	assert_int_equal(m.error, error);
}

/* A write of the guest's, or zeroes, where it likes. */
static void
scribble(struct rig *r, uint32_t *seed, uint8_t *model)
{
	struct virtio_blk_discard_write_zeroes z = { .num_sectors = 0 };
	uint64_t sector = next(seed) % (IMAGE / 512 - 128);
	uint32_t len = (1 + next(seed) % 128) * 512, i;
	uint8_t *data = rig_ptr(r, RIG_DATA, 65536);

	if (next(seed) % 4 == 0) {
		z.sector = sector;
		z.num_sectors = len / 512;
		memcpy(data, &z, sizeof(z));
		memset(model + sector * 512, 0, len);
		assert_int_equal(rig_io(r, VIRTIO_BLK_T_WRITE_ZEROES, 0,
				     RIG_DATA, sizeof(z), NULL),
		    0);
		return;
	}
	for (i = 0; i < len; i++)
		data[i] = (uint8_t)next(seed);
	memcpy(model + sector * 512, data, len);
	assert_int_equal(
	    rig_io(r, VIRTIO_BLK_T_OUT, sector, RIG_DATA, len, NULL), 0);
}

/* One pass over the disk; the other device gets what comes. */
static unsigned
pass(struct rig *r, struct rig *to, uint32_t tag, uint32_t *seed,
    uint8_t *model, bool busy)
{
	struct mirror_msg m, n;
	unsigned asked = 0, pieces = 0;
	bool over = false;

	while (!over || asked > 0) {
		while (!over && asked < MIRROR_WINDOW) {
			m = (struct mirror_msg){ .what = MIRROR_NEXT,
				.tag = tag };
			assert_int_equal(vioblk_mirror(r->dev, &m), 0);
			asked++;
		}
		if (busy && next(seed) % 2 == 0)
			scribble(r, seed, model);
		answer(r, &m);
		asked--;
		assert_int_equal(m.error, 0);
		assert_int_equal(m.tag, tag);
		if (m.len == 0) {
			over = true;
			continue;
		}
		pieces++;
		assert_true(mirror_piece_ok(&m, IMAGE));
		m.what = MIRROR_PUT;
		assert_int_equal(vioblk_mirror(to->dev, &m), 0);
		answer(to, &n);
		assert_int_equal(n.error, 0);
	}
	return pieces;
}

/* Not started, as the guest is elsewhere. */
static struct rig *
target(const struct rig_kind *kind, bool qcow2)
{
	struct rig *r = calloc(1, sizeof(*r));
	struct vioblk_conf c = {
		.vcpus = 2, .later = true, .engine = kind->engine
	};
	struct disk_layer image = { .format =
					qcow2 ? VM_DISK_QCOW2 : VM_DISK_RAW };
	static uint8_t junk[65536];
	struct why why;
	unsigned i;

	assert_non_null(r);
	r->image = rig_image(kind->memory, IMAGE);
	memset(junk, 'j', sizeof(junk));
	for (i = 0; i < IMAGE / sizeof(junk) && !qcow2; i++)
		assert_int_equal(pwrite(r->image, junk, sizeof(junk),
				     (off_t)(i * sizeof(junk))),
		    sizeof(junk));
	if (qcow2) {
		assert_int_equal(ftruncate(r->image, 0), 0);
		assert_int_equal(
		    qcow2_create(
			r->image, &(struct qcow2_new){ .size = IMAGE }, &why),
		    0);
	}
	image.fd = dup(r->image);
	assert_int_equal(vioblk_new(&r->dev, &c, &image, 1, &why), 0);
	assert_int_equal(gmem_create(&r->mem, RIG_MEM), 0);
	r->nq = vioblk_vdev(r->dev)->nqueues;
	rig_connect(r);
	return r;
}

static void
copy_and_compare(struct rig *r, struct rig *to, uint8_t *model)
{
	struct mirror_msg flush = { .what = MIRROR_PUT };
	uint8_t *data;
	uint32_t seed = 11, tag;
	uint64_t off;

	for (tag = 0; tag < 20; tag++)
		scribble(r, &seed, model);
	ask(to, MIRROR_TO, 0);
	ask(r, MIRROR_FROM, 0);
	for (tag = 1; tag < 6; tag++)
		(void)pass(r, to, tag, &seed, model, true);
	/* The last one, while the guest stands still; then nothing is left. */
	assert_true(pass(r, to, 6, &seed, model, false) > 0);
	assert_int_equal(pass(r, to, 7, &seed, model, false), 0);
	assert_int_equal(vioblk_mirror(to->dev, &flush), 0);
	answer(to, &flush);
	assert_int_equal(flush.error, 0);
	ask(to, MIRROR_END, 0);
	ask(r, MIRROR_END, 0);
	/* The guest goes on there. */
	rig_rings(to, vioblk_vdev(to->dev)->offered, VIOBLK_QUEUE_SIZE);
	assert_int_equal(rig_start(to, vioblk_vdev(to->dev)->offered), 0);
	for (off = 0; off < IMAGE; off += 65536) {
		data = rig_ptr(to, RIG_DATA, 65536);
		assert_int_equal(rig_io(to, VIRTIO_BLK_T_IN, off / 512,
				     RIG_DATA, 65536, NULL),
		    0);
		assert_memory_equal(data, model + off, 65536);
	}
}

static void
test_device(void **state)
{
	static const struct {
		bool from, to;
	} formats[] = { { false, false }, { true, true }, { false, true },
		{ true, false } };
	static uint8_t model[IMAGE];
	struct rig_opt o = { .kind = *(struct rig_kind *)*state,
		.bytes = IMAGE };
	struct rig *r, *to;
	unsigned i;

	for (i = 0; i < 4; i++) {
		memset(model, 0, sizeof(model));
		o.qcow2 = formats[i].from;
		o.vcpus = 2;
		r = rig_new(&o);
		to = target(&o.kind, formats[i].to);
		copy_and_compare(r, to, model);
		rig_free(to);
		rig_free(r);
	}
}

/* What belongs to nothing that goes on, and more than there is room for. */
static void
test_order(void **state)
{
	struct rig_opt o = { .kind = *(struct rig_kind *)*state,
		.bytes = IMAGE };
	struct rig *r = rig_new(&o);
	struct mirror_msg next_one = { .what = MIRROR_NEXT, .tag = 1 },
			  left = { .what = MIRROR_LEFT },
			  piece = { .what = MIRROR_PUT, .len = 512 }, m;
	unsigned i, n;

	assert_int_equal(vioblk_mirror(r->dev, &next_one), -EBADMSG);
	assert_int_equal(vioblk_mirror(r->dev, &left), -EBADMSG);
	assert_int_equal(vioblk_mirror(r->dev, &piece), -EBADMSG);
	/* Its guest has run. */
	ask(r, MIRROR_TO, EBUSY);
	assert_int_equal(vioblk_mirror(r->dev, &piece), -EBADMSG);
	ask(r, MIRROR_FROM, 0);
	assert_int_equal(vioblk_mirror(r->dev, &left), 0);
	answer(r, &m);
	assert_int_equal(m.left, IMAGE);
	assert_int_equal(vioblk_mirror(r->dev, &piece), -EBADMSG);
	for (n = 0; vioblk_mirror(r->dev, &next_one) == 0; n++)
		;
	/* An answer that was taken is in use until the next is. */
	assert_true(n == MIRROR_SLOTS || n == MIRROR_SLOTS - 1);
	for (i = 0; i < n; i++) {
		answer(r, &m);
		assert_int_equal(m.what, MIRROR_NEXT);
	}
	ask(r, MIRROR_END, 0);
	assert_int_equal(vioblk_mirror(r->dev, &next_one), -EBADMSG);
	rig_free(r);
	r = target(&o.kind, false);
	ask(r, MIRROR_TO, 0);
	piece.off = IMAGE;
	assert_int_equal(vioblk_mirror(r->dev, &piece), -EBADMSG);
	piece.off = IMAGE - 512;
	assert_int_equal(vioblk_mirror(r->dev, &piece), 0);
	answer(r, &m);
	assert_int_equal(m.error, 0);
	rig_rings(r, vioblk_vdev(r->dev)->offered, VIOBLK_QUEUE_SIZE);
	assert_int_equal(rig_start(r, vioblk_vdev(r->dev)->offered), 0);
	assert_int_equal(vioblk_mirror(r->dev, &piece), -EBADMSG);
	rig_free(r);
	o.readonly = true;
	r = rig_new(&o);
	ask(r, MIRROR_FROM, EROFS);
	ask(r, MIRROR_TO, EROFS);
	rig_free(r);
}

static struct rig_kind kinds[] = {
	{ AIO_URING, false },
	{ AIO_THREADS, false },
};

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_wrong_disks),
		cmocka_unit_test(test_wrong_pieces),
		cmocka_unit_test_prestate(test_device, &kinds[0]),
		cmocka_unit_test_prestate(test_device, &kinds[1]),
		cmocka_unit_test_prestate(test_order, &kinds[0]),
		cmocka_unit_test_prestate(test_order, &kinds[1]),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
