/* SPDX-License-Identifier: ISC */
/*
 * libFuzzer: bytes are a qcow2 image; it is opened, read, written, zeroed,
 * discarded, flushed, closed and checked.  A first byte says how.
 */
#include <sys/mman.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "aio_sync.h"
#include "disk.h"
#include "qcow2_check.h"
#include "qcow2_snap.h"

/* Larger disks make slow inputs, not new paths. */
#define SIZE_MAX_OF_DISK (1ULL << 32)
#define OPS		 24

struct req {
	struct disk_req r; /* first */
	bool done;
};

static void
done(struct disk_req *r, int error)
{
	((struct req *)r)->done = true;
}

static void
use(struct disk *d, uint64_t seed)
{
	static uint8_t buf[65536];
	struct aio_conf conf = { 0 };
	struct iovec iov;
	struct aio *a;
	struct req q;
	unsigned i;

	disk_aio(d, &conf);
	if (aio_sync_new(&a, &conf) != 0)
		return;
	for (i = 0; i < OPS; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		memset(&q, 0, sizeof(q));
		q.r.op = (enum disk_op)(seed >> 33) % (DISK_ZERO_UNMAP + 1);
		q.r.len = (seed >> 40) % sizeof(buf) / 512 * 512 + 512;
		q.r.off = (seed >> 20) % disk_size(d) / 512 * 512;
		if (q.r.len > disk_size(d) - q.r.off)
			q.r.len = disk_size(d) - q.r.off;
		iov = (struct iovec){ buf, q.r.len };
		q.r.iov = &iov;
		q.r.niov = 1;
		q.r.done = done;
		if (disk_start(d, a, &q.r) != 0)
			continue;
		while (!q.done)
			aio_run(a, false);
	}
	while (aio_inflight(a) > 0)
		aio_run(a, false);
	aio_free(a);
}

static void
check(int fd)
{
	struct qcow2_report r;
	struct qcow2_header h;
	struct qcow2_check c = { .fd = fd, .h = &h, .repair = true };
	struct why why;

	if (qcow2_header_read(fd, &h, &why) == 0)
		(void)qcow2_check(&c, &r, &why);
}

static int
see(void *arg, const struct qcow2_snap_info *info)
{
	return 0;
}

/* Snapshots that are there, and one of ours. */
static void
snapshots(int fd, uint8_t how)
{
	static const char *const tag[] = { "1", "x", "x", "2", "x" };
	static const enum qcow2_snap_op op[] = { QCOW2_SNAP_REVERT,
		QCOW2_SNAP_CREATE, QCOW2_SNAP_REVERT, QCOW2_SNAP_DELETE,
		QCOW2_SNAP_DELETE };
	const struct timespec now = { 1, 2 };
	struct qcow2_header h;
	struct qcow2_snap *s;
	struct why why;
	unsigned i;

	if (qcow2_header_read(fd, &h, &why) == 0)
		(void)qcow2_snap_list(fd, &h, see, NULL, &why);
	for (i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
		if (qcow2_snap_prepare(&s, fd, op[i], tag[i], now, &why) != 0)
			continue;
		if ((how >> i & 0x10) != 0)
			qcow2_snap_abort(s);
		else
			(void)qcow2_snap_commit(s, &why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct qcow2_header h;
	struct disk *d;
	struct why why;
	uint8_t how;
	int fd;

	if (len < 2)
		return 0;
	how = data[0];
	fd = memfd_create("image", MFD_CLOEXEC);
	if (fd == -1 || write(fd, data + 1, len - 1) != (ssize_t)(len - 1))
		return 0;
	if (qcow2_header_read(fd, &h, &why) == 0 &&
	    h.size <= SIZE_MAX_OF_DISK) {
		if ((how & 2) != 0)
			check(fd);
		if (disk_open(&d, VM_DISK_QCOW2, dup(fd), (how & 1) != 0) ==
		    0) {
			use(d, how);
			disk_close(d);
		}
		check(fd);
		if ((how & 4) != 0)
			snapshots(fd, how);
	}
	close(fd);
	return 0;
}
