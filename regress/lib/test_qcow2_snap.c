/* SPDX-License-Identifier: ISC */
/*
 * Internal snapshots: what we make is what qemu-img makes and understands;
 * power cuts and failing writes at every place leave what was there.
 *
 * pwrite(), fdatasync() and fallocate() are ours here: they are recorded, and
 * fail where a test wants them to.
 */
#include <sys/syscall.h>

#include "qcow2_check.h"
#include "qcow2_format.h"
#include "qcow2_rig.h"
#include "qcow2_snap.h"

#define SIZE	(1ULL << 20)
#define LOG_MAX 20000

enum what { WRITE, SYNC, PUNCH };

struct entry {
	enum what what;
	uint64_t off, len;
	uint8_t *data;
};

static char dir[32], img[64];
static bool recording;
static struct entry record[LOG_MAX];
static unsigned nrecord, fail_at = UINT32_MAX;
static int fail_with;

static bool
take_down(enum what what, const void *data, uint64_t off, uint64_t len)
{
	struct entry *e = &record[nrecord];

	if (!recording)
		return true;
	assert_true(nrecord < LOG_MAX);
	if (nrecord++ == fail_at) {
		errno = fail_with;
		e->what = SYNC;
		return false;
	}
	*e = (struct entry){ what, off, len, NULL };
	if (what == WRITE) {
		e->data = malloc(len);
		memcpy(e->data, data, len);
	}
	return true;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t off)
{
	if (!take_down(WRITE, data, (uint64_t)off, len))
		return -1;
	return syscall(SYS_pwrite64, fd, data, len, off);
}

int
fdatasync(int fd)
{
	return take_down(SYNC, NULL, 0, 0) ? (int)syscall(SYS_fdatasync, fd)
					   : -1;
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	if (!take_down(PUNCH, NULL, (uint64_t)off, (uint64_t)len))
		return -1;
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

static void
forget(void)
{
	while (nrecord > 0) {
		free(record[--nrecord].data);
		record[nrecord].data = NULL;
	}
}

static void
create(const char *options)
{
	unlink(img);
	assert_int_equal(rig_sh("qemu-img create -q -f qcow2 -o %s %s %llu",
			     options, img, SIZE),
	    0);
}

static void
write_some(uint64_t *rng, unsigned n)
{
	static uint8_t buf[64 * 512];
	struct disk *d;
	struct rig g;
	uint64_t off, len;
	unsigned i;

	assert_int_equal(
	    disk_open(&d, VM_DISK_QCOW2, rig_open(img, O_RDWR), false), 0);
	rig_attach(&g, d, 1);
	for (i = 0; i < n; i++) {
		memset(buf, (int)rig_random(rng), sizeof(buf));
		off = rig_random(rng) % (SIZE / 512) * 512;
		len = rig_random(rng) % 64 * 512 + 512;
		if (len > SIZE - off)
			len = SIZE - off;
		assert_int_equal(
		    rig_do(&g, i % 5 == 4 ? DISK_ZERO_UNMAP : DISK_WRITE, buf,
			off, len),
		    0);
	}
	rig_close(&g);
}

static int
change(
    const char *path, enum qcow2_snap_op op, const char *tag, struct why *why)
{
	const struct timespec when = { 1700000000, 5 };
	int fd = rig_open(path, O_RDWR), error;
	struct qcow2_snap *s;

	error = qcow2_snap_prepare(&s, fd, op, tag, when, why);
	if (error == 0)
		error = qcow2_snap_commit(s, why);
	close(fd);
	return error;
}

static void
does(enum qcow2_snap_op op, const char *tag)
{
	struct why why = { "" };

	if (change(img, op, tag, &why) != 0)
		fail_msg("%s: %s", tag, why.text);
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
}

static void
refuses(enum qcow2_snap_op op, const char *tag, int error, const char *text)
{
	struct why why = { "" };

	assert_int_equal(rig_sh("cp %s %s/before", img, dir), 0);
	assert_int_equal(change(img, op, tag, &why), error);
	if (strstr(why.text, text) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", text, why.text);
	assert_int_equal(rig_sh("cmp %s %s/before", img, dir), 0);
}

/* The disk, or a snapshot of it, is what was kept in a raw file. */
static void
reads_as(const char *path, const char *snapshot, const char *raw)
{
	assert_int_equal(rig_sh("qemu-img convert %s %s -O raw %s %s/now.raw "
				"&& cmp %s/now.raw %s/%s",
			     snapshot[0] != '\0' ? "-l" : "", snapshot, path,
			     dir, dir, dir, raw),
	    0);
}

static void
keep_as(const char *raw)
{
	assert_int_equal(
	    rig_sh("qemu-img convert -O raw %s %s/%s", img, dir, raw), 0);
}

static const char *const layouts[] = {
	"cluster_size=64k",
	"cluster_size=4k",
	"cluster_size=512",
	"cluster_size=512,refcount_bits=64",
	"cluster_size=1k,refcount_bits=4",
	"cluster_size=4k,compat=0.10",
	"cluster_size=2M,refcount_bits=32",
};

#define NLAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static void
test_as_qemu(void **state)
{
	uint64_t rng = 99;
	unsigned i, k;
	char name[8], raw[16];

	for (i = 0; i < NLAYOUTS; i++) {
		create(layouts[i]);
		for (k = 0; k < 4; k++) {
			write_some(&rng, 30);
			sprintf(name, "s%u", k);
			sprintf(raw, "s%u.raw", k);
			keep_as(raw);
			/* Of ours and of theirs. */
			if (k == 2)
				assert_int_equal(
				    rig_sh("qemu-img snapshot -c %s %s", name,
					img),
				    0);
			else
				does(QCOW2_SNAP_CREATE, name);
		}
		write_some(&rng, 30);
		keep_as("last.raw");
		for (k = 0; k < 4; k++) {
			sprintf(name, "s%u", k);
			sprintf(raw, "s%u.raw", k);
			reads_as(img, name, raw);
		}
		assert_int_equal(
		    rig_sh("test \"$(qemu-img snapshot -l %s | awk 'NR > 2 "
			   "{ printf \"%%s:%%s \", $1, $2 }')\" = "
			   "'1:s0 2:s1 3:s2 4:s3 '",
			img),
		    0);
		reads_as(img, "", "last.raw");
		does(QCOW2_SNAP_DELETE, "s1");
		does(QCOW2_SNAP_REVERT, "s2");
		reads_as(img, "", "s2.raw");
		write_some(&rng, 30);
		reads_as(img, "s2", "s2.raw");
		does(QCOW2_SNAP_DELETE, "3"); /* its id */
		does(QCOW2_SNAP_REVERT, "s0");
		reads_as(img, "", "s0.raw");
		reads_as(img, "s3", "s3.raw");
		assert_int_equal(
		    rig_sh("qemu-img snapshot -a s3 %s && qemu-img check -q "
			   "%s && qemu-img snapshot -d s3 %s && qemu-img "
			   "check -q %s",
			img, img, img, img),
		    0);
		reads_as(img, "", "s3.raw");
		does(QCOW2_SNAP_DELETE, "s0");
		reads_as(img, "", "s3.raw");
	}
}

static int
first(void *arg, const struct qcow2_snap_info *info)
{
	struct qcow2_snap_info *out = arg;

	*out = *info;
	return 0;
}

static void
test_list(void **state)
{
	struct qcow2_snap_info info = { .sec = 0 };
	struct qcow2_header h;
	struct why why;
	int fd;

	create("cluster_size=64k");
	does(QCOW2_SNAP_CREATE, "one");
	fd = rig_open(img, O_RDONLY);
	assert_int_equal(qcow2_header_read(fd, &h, &why), 0);
	assert_int_equal(h.nsnapshots, 1);
	assert_int_equal(qcow2_snap_list(fd, &h, first, &info, &why), 0);
	close(fd);
	assert_string_equal(info.id, "1");
	assert_string_equal(info.name, "one");
	assert_int_equal(info.sec, 1700000000);
	assert_int_equal(info.nsec, 5);
	assert_int_equal(info.state_size, 0);
	assert_int_equal(info.disk_size, SIZE);
}

static void
test_refused(void **state)
{
	uint64_t rng = 4;
	int fd;

	create("cluster_size=4k");
	write_some(&rng, 10);
	does(QCOW2_SNAP_CREATE, "a");
	refuses(QCOW2_SNAP_CREATE, "a", -EEXIST, "has a snapshot \"a\"");
	refuses(QCOW2_SNAP_CREATE, "12", -EINVAL, "not digits alone");
	refuses(QCOW2_SNAP_CREATE, "", -EINVAL, "invalid name");
	refuses(QCOW2_SNAP_CREATE, "a/b", -EINVAL, "invalid name");
	refuses(QCOW2_SNAP_DELETE, "b", -ENOENT, "has no snapshot \"b\"");
	refuses(QCOW2_SNAP_REVERT, "2", -ENOENT, "has no snapshot \"2\"");
	assert_int_equal(rig_sh("qemu-img resize -q %s 2M", img), 0);
	refuses(QCOW2_SNAP_REVERT, "a", -ENOTSUP, "the disk had 1048576 bytes");
	does(QCOW2_SNAP_DELETE, "a");
	assert_int_equal(rig_sh("for i in 1 2; do qemu-img snapshot -c dup "
				"%s; done",
			     img),
	    0);
	refuses(QCOW2_SNAP_DELETE, "dup", -ENOTUNIQ, "more than one");
	does(QCOW2_SNAP_DELETE, "1");
	does(QCOW2_SNAP_DELETE, "dup");
	/* A refcount that is too small. */
	fd = rig_open(img, O_RDWR);
	assert_int_equal(pwrite(fd, "\0\0", 2, 2 * 4096), 2);
	close(fd);
	refuses(QCOW2_SNAP_CREATE, "a", -EUCLEAN, "has errors");
}

/* Nothing is left of what did not fit. */
static void
test_narrow(void **state)
{
	struct why why = { "" };
	uint64_t rng = 5;
	unsigned i;

	create("cluster_size=4k,refcount_bits=1");
	write_some(&rng, 10);
	keep_as("a.raw");
	assert_int_equal(change(img, QCOW2_SNAP_CREATE, "a", &why), -EOVERFLOW);
	assert_non_null(strstr(why.text, "refcounts of 1 bits"));
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
	reads_as(img, "", "a.raw");
	/* One for the disk, and at most 2 snapshots. */
	create("cluster_size=4k,refcount_bits=2");
	write_some(&rng, 10);
	does(QCOW2_SNAP_CREATE, "a");
	does(QCOW2_SNAP_CREATE, "b");
	for (i = 0; i < 2; i++)
		assert_int_equal(
		    change(img, QCOW2_SNAP_CREATE, "c", &why), -EOVERFLOW);
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
}

/* Of a disk that was opened: only while it is stored. */
static void
test_of_a_disk(void **state)
{
	const struct timespec when = { 1, 2 };
	uint8_t sector[512] = { 1 }, back[512];
	struct why why = { "" };
	struct disk *d;
	struct rig g;
	int fd;

	create("cluster_size=4k");
	assert_int_equal(
	    disk_open(&d, VM_DISK_QCOW2, rig_open(img, O_RDWR), false), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "a", when, &why), -EBUSY);
	assert_int_equal(disk_snap_commit(d, &why), -EINVAL);
	disk_snap_abort(d);
	rig_settle(&g);
	assert_int_equal(disk_store(d), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "a", when, &why), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "b", when, &why), -EBUSY);
	assert_int_equal(disk_snap_commit(d, &why), 0);
	assert_int_equal(disk_load(d, &why), 0);
	sector[0] = 2;
	assert_int_equal(rig_do(&g, DISK_WRITE, sector, 0, 512), 0);
	rig_settle(&g);
	assert_int_equal(disk_store(d), 0);
	/* What nobody commits is given up by who reads the image again. */
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "b", when, &why), 0);
	assert_int_equal(disk_load(d, &why), 0);
	assert_int_equal(disk_store(d), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_REVERT, "b", when, &why), -ENOENT);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_REVERT, "a", when, &why), 0);
	assert_int_equal(disk_snap_commit(d, &why), 0);
	assert_int_equal(disk_load(d, &why), 0);
	assert_int_equal(rig_do(&g, DISK_READ, back, 0, 512), 0);
	assert_int_equal(back[0], 1);
	rig_close(&g);
	assert_int_equal(rig_sh("qemu-img check -q %s", img), 0);
	/* Those that have none. */
	fd = rig_open(img, O_RDONLY);
	assert_int_equal(disk_open(&d, VM_DISK_QCOW2, fd, true), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "c", when, &why), -EROFS);
	disk_close(d);
	fd = rig_open(img, O_RDWR);
	assert_int_equal(disk_open(&d, VM_DISK_RAW, fd, false), 0);
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_CREATE, "c", when, &why), -ENOTSUP);
	assert_string_equal(why.text, "a raw image has no snapshots");
	/* It is in nobody's way. */
	assert_int_equal(
	    disk_snap_prepare(d, QCOW2_SNAP_DELETE, "c", when, &why), -ENOENT);
	disk_close(d);
}

/* Power cuts. */

static uint8_t *base;
static uint64_t base_len;

static void
replay(int fd, const struct entry *e)
{
	if (e->what == WRITE)
		assert_int_equal(
		    pwrite(fd, e->data, e->len, (off_t)e->off), e->len);
	else if (e->what == PUNCH)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		    (off_t)e->off, (off_t)e->len);
}

/* how: 0 nothing that was not synced, 1 all of it, 2 a part. */
static void
make_file(int fd, unsigned cut, unsigned how, uint64_t *rng)
{
	unsigned i, synced = 0;

	for (i = 0; i < cut; i++)
		if (record[i].what == SYNC)
			synced = i;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, base, base_len, 0), base_len);
	for (i = 0; i < cut; i++)
		if (i < synced || how == 1 ||
		    (how == 2 && rig_random(rng) % 2 == 0))
			replay(fd, &record[i]);
}

static void
read_all(const char *path, uint8_t *to)
{
	struct disk *d;
	struct rig g;

	assert_int_equal(
	    disk_open(&d, VM_DISK_QCOW2, rig_open(path, O_RDONLY), true), 0);
	rig_attach(&g, d, 1);
	assert_int_equal(rig_do(&g, DISK_READ, to, 0, SIZE), 0);
	rig_close(&g);
}

static struct qcow2_report
check(const char *path, unsigned cut, unsigned how)
{
	int fd = rig_open(path, O_RDONLY);
	struct qcow2_report r;
	struct qcow2_header h;
	struct qcow2_check c = { .fd = fd, .h = &h };
	struct why why = { "" };

	if (qcow2_header_read(fd, &h, &why) != 0 ||
	    qcow2_check(&c, &r, &why) != 0)
		fail_msg("cut at %u/%u: %s", cut, how, why.text);
	close(fd);
	if (r.corruptions != 0)
		fail_msg("cut at %u/%u: corrupt", cut, how);
	return r;
}

static void
load_raw(const char *name, uint8_t *to)
{
	char path[64];
	int fd;

	sprintf(path, "%s/%s", dir, name);
	fd = rig_open(path, O_RDONLY);
	assert_int_equal(pread(fd, to, SIZE, 0), SIZE);
	close(fd);
}

/* Before or after, and whoever opens it to write finds all in order. */
static void
judge(const char *path, unsigned cut, unsigned how, const uint8_t *before,
    const uint8_t *after, bool v3)
{
	static uint8_t now[SIZE];
	struct disk *d;

	(void)check(path, cut, how);
	read_all(path, now);
	if (memcmp(now, before, SIZE) != 0 && memcmp(now, after, SIZE) != 0)
		fail_msg("cut at %u/%u: neither before nor after", cut, how);
	if (cut % 31 == 0)
		reads_as(path, "s0", "s0.raw");
	assert_int_equal(
	    disk_open(&d, VM_DISK_QCOW2, rig_open(path, O_RDWR), false), 0);
	disk_close(d);
	if (check(path, cut, how).leaks != 0 && v3)
		fail_msg("cut at %u/%u: leaks", cut, how);
	if (cut % 31 == 0 && v3)
		assert_int_equal(rig_sh("qemu-img check -q %s", path), 0);
	if (cut % 31 == 0)
		reads_as(path, "s0", "s0.raw");
}

static void
cut_everywhere(enum qcow2_snap_op op, const char *tag, bool v3, uint64_t *rng)
{
	static uint8_t before[SIZE], after[SIZE];
	struct why why = { "" };
	char path[64];
	unsigned cut, how;
	int fd;

	read_all(img, before);
	fd = rig_open(img, O_RDONLY);
	base_len = (uint64_t)lseek(fd, 0, SEEK_END);
	base = malloc(base_len);
	assert_int_equal(pread(fd, base, base_len, 0), base_len);
	close(fd);
	recording = true;
	if (change(img, op, tag, &why) != 0)
		fail_msg("%s: %s", tag, why.text);
	recording = false;
	read_all(img, after);
	sprintf(path, "%s/cut.qcow2", dir);
	fd = rig_open(path, O_RDWR | O_CREAT);
	for (cut = 0; cut <= nrecord; cut++)
		for (how = 0; how < 3; how++) {
			make_file(fd, cut, how, rng);
			judge(path, cut, how, before, after, v3);
		}
	close(fd);
	free(base);
	forget();
}

static void
test_power_cuts(void **state)
{
	static const char *const options[] = {
		"cluster_size=512,refcount_bits=64",
		"cluster_size=4k",
		"cluster_size=4k,compat=0.10",
	};
	static uint8_t s0[SIZE], now[SIZE];
	uint64_t rng = 17;
	unsigned i;
	bool v3;

	for (i = 0; i < 3; i++) {
		v3 = strstr(options[i], "compat") == NULL;
		create(options[i]);
		write_some(&rng, 12);
		keep_as("s0.raw");
		does(QCOW2_SNAP_CREATE, "s0");
		write_some(&rng, 12);
		cut_everywhere(QCOW2_SNAP_CREATE, "s1", v3, &rng);
		write_some(&rng, 12);
		cut_everywhere(QCOW2_SNAP_REVERT, "s0", v3, &rng);
		load_raw("s0.raw", s0);
		read_all(img, now);
		assert_memory_equal(s0, now, SIZE);
		write_some(&rng, 12);
		cut_everywhere(QCOW2_SNAP_DELETE, "s1", v3, &rng);
	}
}

/* One write, or one sync, fails: it is done, or nothing is. */
static void
test_errors(void **state)
{
	static uint8_t before[SIZE], now[SIZE];
	static const enum qcow2_snap_op ops[] = { QCOW2_SNAP_CREATE,
		QCOW2_SNAP_REVERT, QCOW2_SNAP_DELETE };
	struct why why;
	uint64_t rng = 23;
	unsigned i, n;
	int error;

	create("cluster_size=4k");
	write_some(&rng, 12);
	keep_as("s0.raw");
	does(QCOW2_SNAP_CREATE, "s0");
	does(QCOW2_SNAP_CREATE, "s1");
	write_some(&rng, 12);
	assert_int_equal(rig_sh("cp %s %s/good", img, dir), 0);
	read_all(img, before);
	for (i = 0; i < 3; i++)
		for (n = 0, error = -1; n < LOG_MAX; n++) {
			assert_int_equal(rig_sh("cp %s/good %s", dir, img), 0);
			fail_with = n % 2 == 0 ? EIO : ENOSPC;
			fail_at = n;
			recording = true;
			error = change(img, ops[i], i == 0 ? "x" : "s1", &why);
			recording = false;
			if (nrecord <= n)
				break; /* all was well */
			forget();
			(void)check(img, n, i);
			read_all(img, now);
			if (error != 0 || ops[i] != QCOW2_SNAP_REVERT)
				assert_memory_equal(now, before, SIZE);
			write_some(&rng, 1); /* opens it */
			if (n % 6 != 0)
				continue;
			assert_int_equal(
			    rig_sh("qemu-img check -q %s", img), 0);
			reads_as(img, "s0", "s0.raw");
		}
	assert_int_equal(error, 0);
	forget();
	fail_at = UINT32_MAX;
}

static int
setup(void **state)
{
	if (rig_mkdir(dir) != 0)
		return -1;
	sprintf(img, "%s/a.qcow2", dir);
	return 0;
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
		cmocka_unit_test(test_as_qemu),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_of_a_disk),
		cmocka_unit_test(test_power_cuts),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
