/* SPDX-License-Identifier: ISC */
/*
 * Images made to hurt, and files that fail: ATTACKS.md, part C.
 */
#include "qcow2_check.h"
#include "qcow2_format.h"
#include "qcow2_rig.h"

static char dir[32];
static char img[64];

static void
create(const char *options, const char *size)
{
	sprintf(img, "%s/h.qcow2", dir);
	unlink(img);
	assert_int_equal(rig_sh("qemu-img create -q -f qcow2 -o %s %s %s",
			     options, img, size),
	    0);
}

static void
patch(uint64_t off, uint64_t value, unsigned bytes)
{
	uint8_t be[8];
	int fd = rig_open(img, O_RDWR);

	qcow2_put64(be, value);
	assert_int_equal(pwrite(fd, be + 8 - bytes, bytes, (off_t)off), bytes);
	close(fd);
}

static int
try_open(bool readonly, struct disk **d, struct why *why)
{
	struct disk_layer l = { rig_open(img, readonly ? O_RDONLY : O_RDWR),
		VM_DISK_QCOW2 };

	why->text[0] = '\0';
	return disk_open_chain(d, &l, 1, readonly, why);
}

static const struct bad_header {
	const char *name;
	uint64_t off, value;
	unsigned bytes;
	const char *why;
} bad_headers[] = {
	{ "magic", QH_MAGIC, 0x514649fa, 4, "not a qcow2 image" },
	{ "version 1", QH_VERSION, 1, 4, "version 1 is not supported" },
	{ "version 4", QH_VERSION, 4, 4, "version 4 is not supported" },
	{ "cluster bits 8", QH_CLUSTER_BITS, 8, 4, "cluster size of 2^8" },
	{ "cluster bits 22", QH_CLUSTER_BITS, 22, 4, "cluster size of 2^22" },
	{ "cluster bits max", QH_CLUSTER_BITS, UINT32_MAX, 4,
	    "cluster size of" },
	{ "size 0", QH_SIZE, 0, 8, "unusable disk size" },
	{ "size negative", QH_SIZE, 1ULL << 63, 8, "unusable disk size" },
	{ "size beyond L1", QH_SIZE, 1ULL << 50, 8, "L1 table is too small" },
	{ "size all ones", QH_SIZE, INT64_MAX, 8, "L1 table is too small" },
	{ "aes", QH_CRYPT, 1, 4, "encrypted" },
	{ "luks", QH_CRYPT, 2, 4, "encrypted" },
	{ "L1 empty", QH_L1_SIZE, 0, 4, "L1 table is too small" },
	{ "L1 huge", QH_L1_SIZE, 1 << 23, 4, "L1 table is too large" },
	{ "L1 wraps", QH_L1_SIZE, UINT32_MAX, 4, "L1 table is too large" },
	{ "L1 unaligned", QH_L1_OFFSET, 0x10001, 8, "L1 table is not aligned" },
	{ "L1 on header", QH_L1_OFFSET, 0, 8, "overlaps the header" },
	{ "L1 beyond file", QH_L1_OFFSET, 1ULL << 40, 8, "truncated" },
	{ "L1 wraps the file", QH_L1_OFFSET, ~0xffffULL, 8, "truncated" },
	{ "L1 on refcounts", QH_L1_OFFSET, 0x10000, 8, "overlap" },
	{ "refcounts at 0", QH_REFS_OFFSET, 0, 8, "overlaps the header" },
	{ "no refcounts", QH_REFS_CLUSTERS, 0, 4, "no refcount table" },
	{ "refcounts huge", QH_REFS_CLUSTERS, 1 << 20, 4,
	    "refcount table is too large" },
	{ "refcounts wrap", QH_REFS_CLUSTERS, UINT32_MAX, 4,
	    "refcount table is too large" },
	{ "refcounts on L1", QH_REFS_OFFSET, 0x30000, 8, "truncated" },
	{ "snapshots many", QH_NSNAPSHOTS, UINT32_MAX, 4,
	    "too many snapshots" },
	{ "snapshots at 0", QH_NSNAPSHOTS, 1, 4, "overlaps the header" },
	{ "corrupt bit", QH_INCOMPATIBLE, QCOW2_I_CORRUPT, 8,
	    "marked corrupt" },
	{ "data file", QH_INCOMPATIBLE, QCOW2_I_DATA_FILE, 8,
	    "external data files" },
	{ "extended L2", QH_INCOMPATIBLE, QCOW2_I_EXTENDED_L2, 8,
	    "extended L2" },
	{ "unknown bit", QH_INCOMPATIBLE, 1ULL << 40, 8,
	    "unknown incompatible features 0x10000000000" },
	{ "compression bit", QH_INCOMPATIBLE, QCOW2_I_COMPRESSION, 8,
	    "disagree" },
	{ "compression type", QH_COMPRESSION, 7, 1, "compression type 7" },
	{ "refcount width", QH_REFCOUNT_ORDER, 7, 4, "refcount width" },
	{ "refcount width max", QH_REFCOUNT_ORDER, UINT32_MAX, 4,
	    "refcount width" },
	{ "header short", QH_HEADER_LENGTH, 72, 4, "header length" },
	{ "header long", QH_HEADER_LENGTH, 1 << 20, 4, "header length" },
	{ "header odd", QH_HEADER_LENGTH, 105, 4, "header length" },
	{ "extension long", QH_LENGTH_OURS + 4, UINT32_MAX, 4,
	    "extension is too long" },
	{ "backing name in header", QH_BACKING_OFFSET, 8, 8,
	    "backing file name" },
	{ "backing name far", QH_BACKING_OFFSET, 1ULL << 40, 8,
	    "backing file name" },
	{ "backing name wraps", QH_BACKING_OFFSET, UINT64_MAX, 8,
	    "backing file name" },
	{ "backing name long", QH_BACKING_SIZE, 1024, 4, NULL },
};

static void
test_headers(void **state)
{
	const struct bad_header *b;
	struct disk *d;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(bad_headers) / sizeof(bad_headers[0]); i++) {
		b = &bad_headers[i];
		create("compat=1.1", "64M");
		if (b->why != NULL && strncmp(b->why, "backing", 7) == 0)
			patch(QH_BACKING_SIZE, 5, 4);
		patch(b->off, b->value, b->bytes);
		if (b->why == NULL) {
			/* No offset: there is no name. */
			assert_int_equal(try_open(false, &d, &why), 0);
			disk_close(d);
			continue;
		}
		if (try_open(false, &d, &why) == 0)
			fail_msg("%s: opened", b->name);
		if (strstr(why.text, b->why) == NULL ||
		    strchr(why.text, '\n') != NULL)
			fail_msg("%s: %s", b->name, why.text);
	}
}

/* Only writing needs what these lack. */
static void
test_readable(void **state)
{
	struct disk *d;
	struct why why;

	create("compat=1.1", "64M");
	patch(QH_INCOMPATIBLE, QCOW2_I_DIRTY | QCOW2_I_CORRUPT, 8);
	assert_int_equal(try_open(true, &d, &why), 0);
	disk_close(d);
}

static void
test_cut_off(void **state)
{
	static const unsigned lengths[] = { 0, 3, 4, 71, 72, 103, 104, 65535,
		65536, 131072, 196608 };
	struct disk *d;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		create("compat=1.1", "64M");
		assert_int_equal(truncate(img, lengths[i]), 0);
		assert_int_not_equal(try_open(false, &d, &why), 0);
		assert_int_not_equal(why.text[0], '\0');
	}
}

/* Metadata without refcount, or on each other: nothing would be safe. */
static const struct bad_table {
	const char *name;
	uint64_t off, value;
	const char *why;
} bad_tables[] = {
	{ "no block", 0x10000, 0, "refcount of 0" },
	{ "block on header", 0x10000, 0x200, "refcount block 0 is invalid" },
	{ "block on table", 0x10000, 0x10000, "corrupt" },
	{ "block far", 0x10000, 1ULL << 60, "refcount block 0 is invalid" },
	{ "block twice", 0x10008, 0x20000, "overlaps other metadata" },
	{ "L2 on L1", 0x30000, 0x30000, "overlaps other metadata" },
	{ "L2 without refcount", 0x30000, 0x90000, "refcount of 0" },
	{ "L2 unaligned", 0x30000, 0x40200, "not aligned" },
};

static void
test_tables(void **state)
{
	const struct bad_table *b;
	struct disk *d;
	struct why why;
	size_t i;

	for (i = 0; i < sizeof(bad_tables) / sizeof(bad_tables[0]); i++) {
		b = &bad_tables[i];
		create("compat=1.1", "64M");
		patch(b->off, b->value, 8);
		if (try_open(false, &d, &why) == 0)
			fail_msg("%s: opened", b->name);
		if (strstr(why.text, b->why) == NULL)
			fail_msg("%s: %s", b->name, why.text);
	}
}

/* An L2 entry that leads to metadata: the guest may not write there. */
static void
test_entry_to_header(void **state)
{
	uint8_t sector[512] = { 1 };
	struct disk *d;
	struct rig g;
	struct why why;

	create("compat=1.1,preallocation=metadata", "64M");
	/* The first L2 table is the cluster after L1's. */
	patch(0x40000, QE_COPIED | 0x10000, 8);
	patch(0x40008, QE_COPIED | 1ULL << 50, 8);
	patch(0x40010, QE_COPIED | 0x50200, 8);
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), -EIO);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 65536, 512), -EIO);
	assert_int_equal(rig_do(&g, DISK_READ, sector, 131072, 512), -EIO);
	/* Once that is known, nothing is written. */
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 1 << 20, 512), -EIO);
	rig_close(&g);
}

/* Compressed clusters that are none, or too long. */
static void
test_bombs(void **state)
{
	static const uint64_t entries[] = {
		QE_COMPRESSED | 0x50000, /* zeroes */
		QE_COMPRESSED | 0x50007 | 255ULL << 54, /* and long */
		QE_COMPRESSED | ((1ULL << 54) - 1), /* far outside */
		QE_COMPRESSED | QE_COPIED | 0,
	};
	uint8_t sector[512];
	struct disk *d;
	struct rig g;
	struct why why;
	size_t i;

	for (i = 0; i < 2 * sizeof(entries) / sizeof(entries[0]); i++) {
		create(i % 2 == 0 ? "compat=1.1,preallocation=metadata"
				  : "compat=1.1,preallocation=metadata,"
				    "compression_type=zstd",
		    "1M");
		patch(0x40000, entries[i / 2], 8);
		assert_int_equal(try_open(true, &d, &why), 0);
		rig_attach(&g, d, 1);
		assert_int_equal(rig_do(&g, DISK_READ, sector, 0, 512), -EIO);
		rig_close(&g);
	}
}

/* The chain says one thing and the image another. */
static void
test_chains(void **state)
{
	struct disk_layer l[DISK_LAYERS_MAX + 1];
	struct disk *d;
	struct why why;
	char base[80];
	unsigned i;

	create("compat=1.1", "1M");
	for (i = 0; i <= DISK_LAYERS_MAX; i++)
		l[i] = (struct disk_layer){ rig_open(img, O_RDONLY),
			VM_DISK_QCOW2 };
	assert_int_equal(
	    disk_open_chain(&d, l, DISK_LAYERS_MAX + 1, true, &why), -EINVAL);
	for (i = 0; i < 2; i++)
		l[i].fd = rig_open(img, O_RDONLY);
	assert_int_equal(disk_open_chain(&d, l, 2, true, &why), -EINVAL);
	assert_non_null(strstr(why.text, "no backing file"));
	sprintf(base, "%s/base", dir);
	assert_int_equal(rig_sh("cp %s %s && qemu-img create -q -f qcow2 -F "
				"qcow2 -b %s %s",
			     img, base, base, img),
	    0);
	assert_int_equal(try_open(true, &d, &why), -EINVAL);
	assert_non_null(strstr(why.text, "missing"));
	/* A raw image has nothing beneath. */
	for (i = 0; i < 2; i++)
		l[i] =
		    (struct disk_layer){ rig_open(img, O_RDONLY), VM_DISK_RAW };
	assert_int_equal(disk_open_chain(&d, l, 2, true, &why), -EINVAL);
}

static void
write_some(struct rig *g, uint64_t *rng, uint64_t size, unsigned n)
{
	static uint8_t buf[65536];
	uint64_t off, len;

	while (n-- > 0) {
		memset(buf, (int)n, sizeof(buf));
		off = rig_random(rng) % (size / 512) * 512;
		len = (rig_random(rng) % 128 + 1) * 512;
		if (len > size - off)
			len = size - off;
		(void)rig_do(g,
		    (enum disk_op)(rig_random(rng) % (DISK_ZERO_UNMAP + 1)),
		    buf, off, len);
	}
}

/* Bytes at random, in the metadata mostly: nothing but errors may come. */
static void
test_random_damage(void **state)
{
	const char *more = getenv("QCOW2_SEEDS");
	unsigned n, i, rounds = 60 * (more != NULL ? (unsigned)atoi(more) : 1);
	uint64_t rng = 4711, size;
	struct disk *d;
	struct rig g;
	struct why why;
	int fd;

	create("compat=1.1,cluster_size=512", "256k");
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	write_some(&g, &rng, 256 << 10, 40);
	rig_close(&g);
	assert_int_equal(rig_sh("qemu-img snapshot -c s %s", img), 0);
	assert_int_equal(rig_sh("cp %s %s/good", img, dir), 0);
	for (n = 0; n < rounds; n++) {
		assert_int_equal(rig_sh("cp %s/good %s", dir, img), 0);
		fd = rig_open(img, O_RDWR);
		size = (uint64_t)lseek(fd, 0, SEEK_END);
		close(fd);
		for (i = 0; i < 20; i++)
			patch(rig_random(&rng) %
				    (i < 3	     ? 112
					    : i < 12 ? 8192
						     : size - 8) &
				~7ULL,
			    rig_random(&rng) % 3 == 0
				? rig_random(&rng)
				: rig_random(&rng) % (size / 512) * 512 |
				    (rig_random(&rng) & 3) << 62,
			    8);
		patch(QH_MAGIC, QCOW2_MAGIC, 4);
		patch(QH_VERSION, 3, 4);
		if (n % 2 == 0) /* only tables */
			assert_int_equal(
			    rig_sh("dd if=%s/good of=%s bs=112 count=1 "
				   "conv=notrunc 2>/dev/null",
				dir, img),
			    0);
		if (try_open(n % 3 == 0, &d, &why) != 0) {
			assert_int_not_equal(why.text[0], '\0');
			continue;
		}
		rig_attach(&g, d, n);
		write_some(&g, &rng, disk_size(d), 60);
		rig_close(&g);
	}
}

/* The checker has to survive them as well. */
static void
test_check_damaged(void **state)
{
	struct qcow2_report r;
	struct qcow2_header h;
	struct qcow2_check c = { .h = &h };
	struct why why;

	create("compat=1.1,preallocation=metadata", "64M");
	patch(0x40000, QE_COPIED | 0x10000, 8); /* into the refcount table */
	patch(0x40008, QE_COPIED | 1ULL << 50, 8); /* outside */
	patch(0x40010, QE_COPIED | 0x50200, 8); /* unaligned */
	c.fd = rig_open(img, O_RDONLY);
	assert_int_equal(qcow2_header_read(c.fd, &h, &why), 0);
	assert_int_equal(qcow2_check(&c, &r, &why), 0);
	/* ... a second reference, COPIED, and 3 clusters that leak */
	assert_true(r.corruptions >= 4);
	assert_int_equal(r.leaks, 3);
	close(c.fd);
}

static bool
some_fail(struct rig *g, const struct aio_req *r)
{
	uint64_t *left = g->arg;

	return r->op == AIO_SYNC || (r->op == AIO_READ && *left > 100) ||
	    --*left % 4 != 0;
}

/* Writes fail now and then: the guest hears of it, the image stays sound. */
static void
test_write_errors(void **state)
{
	static const char *const options[] = { "cluster_size=512",
		"cluster_size=64k", "cluster_size=4k,refcount_bits=1" };
	struct qcow2_report report;
	struct qcow2_header h;
	struct qcow2_check c = { .h = &h };
	uint64_t rng = 99, left;
	struct disk *d;
	struct rig g;
	struct why why;
	unsigned i;

	for (i = 0; i < 9; i++) {
		create(options[i % 3], "1M");
		assert_int_equal(try_open(false, &d, &why), 0);
		rig_attach(&g, d, i);
		left = 1000;
		g.arg = &left;
		g.before = some_fail;
		write_some(&g, &rng, 1 << 20, 80);
		g.before = NULL;
		write_some(&g, &rng, 1 << 20, 20);
		assert_int_equal(rig_do(&g, DISK_FLUSH, NULL, 0, 0), 0);
		rig_close(&g);
		c.fd = rig_open(img, O_RDONLY);
		assert_int_equal(qcow2_header_read(c.fd, &h, &why), 0);
		assert_int_equal(qcow2_check(&c, &report, &why), 0);
		assert_int_equal(report.corruptions, 0);
		close(c.fd);
	}
}

static bool
syncs_fail(struct rig *g, const struct aio_req *r)
{
	return r->op != AIO_SYNC;
}

static void
test_sync_error(void **state)
{
	uint8_t sector[512] = { 1 };
	struct disk *d;
	struct rig g;
	struct why why;

	create("compat=1.1", "1M");
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), 0);
	g.before = syncs_fail;
	assert_int_equal(rig_do(&g, DISK_FLUSH, NULL, 0, 0), -EIO);
	g.before = NULL;
	/* What was lost then is still lost. */
	assert_int_equal(rig_do(&g, DISK_FLUSH, NULL, 0, 0), -EIO);
	assert_int_equal(rig_do(&g, DISK_READ, sector, 0, 512), 0);
	rig_close(&g);
	/* So nothing that refers to it was written: leaks at most. */
	assert_int_equal(
	    rig_sh("qemu-img check -q %s 2>/dev/null", img) % 3, 0);
}

/* Cut off while it is in use. */
static void
test_cut_off_later(void **state)
{
	uint8_t sector[512] = { 1 };
	struct disk *d;
	struct rig g;
	struct why why;

	create("compat=1.1", "1M");
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), 0);
	assert_int_equal(rig_do(&g, DISK_FLUSH, NULL, 0, 0), 0);
	assert_int_equal(truncate(img, 65536), 0);
	assert_int_equal(rig_do(&g, DISK_READ, sector, 0, 512), -EIO);
	rig_close(&g);
}

/* What snapshots use is not changed. */
static void
test_snapshots(void **state)
{
	static const char *const options[] = { "cluster_size=512",
		"cluster_size=64k", "compat=0.10,cluster_size=4k" };
	uint64_t rng = 5;
	struct disk *d;
	struct rig g;
	struct why why;
	unsigned i, round;

	for (i = 0; i < 3; i++) {
		create(options[i], "4M");
		for (round = 0; round < 4; round++) {
			assert_int_equal(try_open(false, &d, &why), 0);
			rig_attach(&g, d, i);
			write_some(&g, &rng, 4 << 20, 100);
			rig_close(&g);
			assert_int_equal(
			    rig_sh("qemu-img check -q %s && qemu-img snapshot "
				   "-c s%u %s && qemu-img convert -O raw %s "
				   "%s/s%u.raw",
				img, round, img, img, dir, round),
			    0);
		}
		for (round = 0; round < 4; round++)
			assert_int_equal(
			    rig_sh("qemu-img convert -l s%u -O raw %s "
				   "%s/now.raw && cmp %s/now.raw %s/s%u.raw",
				round, img, dir, dir, dir, round),
			    0);
		assert_int_equal(rig_sh("qemu-img snapshot -d s1 %s && "
					"qemu-img check -q %s",
				     img, img),
		    0);
	}
}

/* More than 4 GiB and 2 TiB: nothing is cut to 32 bits. */
static void
test_far(void **state)
{
	static const uint64_t places[] = { 0, (4ULL << 30) - 512, 4ULL << 30,
		(2ULL << 40) - 512, 2ULL << 40, (6ULL << 40) - 512 };
	uint64_t data[64], i, k;
	struct disk *d;
	struct rig g;
	struct why why;
	unsigned n = sizeof(places) / sizeof(places[0]), round;

	create("compat=1.1", "6T");
	for (round = 0; round < 2; round++) {
		assert_int_equal(try_open(false, &d, &why), 0);
		rig_attach(&g, d, 1);
		for (i = 0; i < n; i++) {
			if (round == 0) {
				for (k = 0; k < 64; k++)
					data[k] = i + 1;
				assert_int_equal(rig_do(&g, DISK_WRITE, data,
						     places[i], 512),
				    0);
				continue;
			}
			assert_int_equal(
			    rig_do(&g, DISK_READ, data, places[i], 512), 0);
			for (k = 0; k < 64; k++)
				assert_int_equal(data[k], i + 1);
		}
		rig_close(&g);
	}
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
}

/* Closed by nobody, with counts that were not written: lazy refcounts. */
static void
test_dirty(void **state)
{
	uint8_t sector[512] = { 5 };
	struct disk *d;
	struct rig g;
	struct why why;

	create("compat=1.1,lazy_refcounts=on", "4M");
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), 0);
	rig_close(&g);
	/* The counts of the L2 table and of the data. */
	patch(0x20000 + 2 * 4, 0, 4);
	patch(QH_INCOMPATIBLE, QCOW2_I_DIRTY, 8);
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 1 << 20, 512), 0);
	rig_close(&g);
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
	/* With errors it is refused. */
	patch(0x30000, QE_COPIED | 1ULL << 40, 8);
	patch(QH_INCOMPATIBLE, QCOW2_I_DIRTY, 8);
	assert_int_equal(try_open(false, &d, &why), -EUCLEAN);
	assert_non_null(strstr(why.text, "cannot be repaired"));
}

/* A discarded disk gives its space back. */
static void
test_discard_frees(void **state)
{
	static uint8_t buf[1 << 20];
	struct disk *d;
	struct rig g;
	struct why why;
	unsigned i;

	create("compat=1.1", "32M");
	memset(buf, 7, sizeof(buf));
	assert_int_equal(try_open(false, &d, &why), 0);
	rig_attach(&g, d, 1);
	for (i = 0; i < 32; i++)
		assert_int_equal(
		    rig_do(&g, DISK_WRITE, buf, (uint64_t)i << 20, 1 << 20), 0);
	assert_int_equal(rig_do(&g, DISK_DISCARD, NULL, 0, 32 << 20), 0);
	rig_close(&g);
	assert_int_equal(rig_sh("qemu-img check -q %s && test $(du -k %s | "
				"cut -f1) -lt 2048",
			     img, img),
	    0);
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
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_readable),
		cmocka_unit_test(test_cut_off),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_entry_to_header),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_chains),
		cmocka_unit_test(test_random_damage),
		cmocka_unit_test(test_check_damaged),
		cmocka_unit_test(test_write_errors),
		cmocka_unit_test(test_sync_error),
		cmocka_unit_test(test_cut_off_later),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_dirty),
		cmocka_unit_test(test_discard_frees),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
