/* SPDX-License-Identifier: ISC */
/*
 * Plain access to images: see qcow2_sync.h.
 */
#include <errno.h>
#include <unistd.h>

#include "qcow2_format.h"
#include "qcow2_sync.h"

int
qcow2_read_at(int fd, void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	while (len > 0) {
		n = pread(fd, buf, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : -errno;
		buf = (char *)buf + n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int
qcow2_write_at(int fd, const void *buf, size_t len, uint64_t off)
{
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, buf, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : -errno;
		buf = (const char *)buf + n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int
qcow2_snapshots(int fd, const struct qcow2_header *h,
    int (*each)(void *, const struct qcow2_snapshot *), void *arg,
    uint64_t *bytes, struct why *why)
{
	uint64_t csize = qcow2_cluster_size(h), at = 0;
	struct qcow2_snapshot sn;
	uint8_t row[SN_FIXED];
	uint32_t i;
	int error;

	for (i = 0; i < h->nsnapshots; i++) {
		error = qcow2_read_at(
		    fd, row, sizeof(row), h->snapshots_offset + at);
		if (error != 0)
			return why_set(
			    why, error, "cannot read the snapshot table");
		sn.l1_offset = qcow2_get64(row + SN_L1_OFFSET);
		sn.l1_size = qcow2_get32(row + SN_L1_SIZE);
		if (sn.l1_offset % csize != 0 || sn.l1_offset < csize ||
		    sn.l1_offset > h->file_size ||
		    (uint64_t)sn.l1_size * 8 > QCOW2_L1_BYTES_MAX ||
		    (uint64_t)sn.l1_size * 8 > h->file_size - sn.l1_offset)
			return why_set(why, -EINVAL,
			    "L1 table of snapshot %u is invalid", i);
		sn.at = at;
		sn.len = SN_FIXED + (uint64_t)qcow2_get32(row + SN_EXTRA_LEN) +
		    qcow2_get16(row + SN_ID_LEN) +
		    qcow2_get16(row + SN_NAME_LEN);
		at += (sn.len + 7) & ~7ULL;
		if (at > QCOW2_SNAPSHOT_BYTES_MAX)
			return why_set(
			    why, -EFBIG, "snapshot table is too large");
		error = each(arg, &sn);
		if (error != 0)
			return error;
	}
	*bytes = at;
	return 0;
}

int
qcow2_autoclear(int fd, struct qcow2_header *h, struct why *why)
{
	uint8_t zero[8] = { 0 };
	int error;

	if (h->version < 3 || h->autoclear == 0)
		return 0;
	error = qcow2_write_at(fd, zero, sizeof(zero), QH_AUTOCLEAR);
	if (error == 0 && fdatasync(fd) == -1)
		error = -errno;
	if (error != 0)
		return why_set(why, error, "cannot change the header");
	h->autoclear = 0;
	return 0;
}
