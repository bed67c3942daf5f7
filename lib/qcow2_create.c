/* SPDX-License-Identifier: ISC */
/*
 * New images: see qcow2_create.h.  In this order: header, refcount table, one
 * refcount block, L1 table.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "qcow2_create.h"
#include "qcow2_format.h"
#include "qcow2_sync.h"

#define CLUSTER_BITS 16
#define CLUSTER	     (1ULL << CLUSTER_BITS)
/* "L1 table": what one L2 table maps. */
#define SPAN (1ULL << (2 * CLUSTER_BITS - 3))
/* Clusters that one refcount block counts. */
#define COUNTED (CLUSTER / 2)

struct layout {
	uint64_t l1_entries, l1_clusters, refs_clusters;
	uint64_t refs, block, l1; /* clusters */
	uint64_t end;
};

static uint64_t
up(uint64_t n, uint64_t unit)
{
	return n / unit + (n % unit != 0);
}

static int
lay_out(uint64_t size, struct layout *l, struct why *why)
{
	uint64_t clusters;

	l->l1_entries = up(size, SPAN);
	if (size == 0 || l->l1_entries * 8 > QCOW2_L1_BYTES_MAX)
		return why_set(why, -EFBIG,
		    "disk size: from 512 bytes to %llu TiB",
		    (unsigned long long)(QCOW2_L1_BYTES_MAX / 8 * SPAN >> 40));
	l->l1_clusters = up(l->l1_entries * 8, CLUSTER);
	/* Data, L2 tables, and 1 in 64 for all else. */
	clusters = up(size, CLUSTER) + l->l1_entries;
	clusters += clusters / 64 + 65536;
	l->refs_clusters = up(up(clusters, COUNTED) * 8, CLUSTER);
	if (l->refs_clusters * CLUSTER > QCOW2_REFS_BYTES_MAX)
		l->refs_clusters = QCOW2_REFS_BYTES_MAX / CLUSTER;
	l->refs = 1;
	l->block = l->refs + l->refs_clusters;
	l->l1 = l->block + 1;
	l->end = l->l1 + l->l1_clusters;
	return 0;
}

/* An extension, padded; the place behind it. */
static size_t
extension(uint8_t *p, size_t at, uint32_t type, const char *data)
{
	size_t len = strlen(data);

	qcow2_put32(p + at, type);
	qcow2_put32(p + at + 4, (uint32_t)len);
	memcpy(p + at + 8, data, len);
	return at + 8 + ((len + 7) & ~(size_t)7);
}

static void
fill_header(uint8_t *p, const struct qcow2_new *n, const struct layout *l)
{
	size_t at = QH_LENGTH_OURS, len;

	qcow2_put32(p + QH_MAGIC, QCOW2_MAGIC);
	qcow2_put32(p + QH_VERSION, 3);
	qcow2_put32(p + QH_CLUSTER_BITS, CLUSTER_BITS);
	qcow2_put64(p + QH_SIZE, n->size);
	qcow2_put32(p + QH_L1_SIZE, (uint32_t)l->l1_entries);
	qcow2_put64(p + QH_L1_OFFSET, l->l1 * CLUSTER);
	qcow2_put64(p + QH_REFS_OFFSET, l->refs * CLUSTER);
	qcow2_put32(p + QH_REFS_CLUSTERS, (uint32_t)l->refs_clusters);
	qcow2_put32(p + QH_REFCOUNT_ORDER, 4);
	qcow2_put32(p + QH_HEADER_LENGTH, QH_LENGTH_OURS);
	if (n->backing == NULL)
		return;
	at = extension(p, at, QX_BACKING_FORMAT,
	    n->backing_format == VM_DISK_RAW ? "raw" : "qcow2");
	at += 8; /* the end of the extensions */
	len = strlen(n->backing);
	qcow2_put64(p + QH_BACKING_OFFSET, at);
	qcow2_put32(p + QH_BACKING_SIZE, (uint32_t)len);
	memcpy(p + at, n->backing, len);
}

static int
write_all(int fd, const struct qcow2_new *n, const struct layout *l)
{
	uint8_t *p = calloc(1, CLUSTER);
	uint64_t i, size = l->end * CLUSTER;
	int error;

	if (p == NULL)
		return -ENOMEM;
	/* What is not written is zeroes: the file is new. */
	error = ftruncate(fd, (off_t)size) == -1 ? -errno : 0;
	for (i = 0; i < l->end; i++)
		qcow2_refcount_set(p, 4, i, 1);
	if (error == 0)
		error = qcow2_write_at(fd, p, CLUSTER, l->block * CLUSTER);
	memset(p, 0, CLUSTER);
	qcow2_put64(p, l->block * CLUSTER);
	if (error == 0)
		error = qcow2_write_at(fd, p, 8, l->refs * CLUSTER);
	memset(p, 0, CLUSTER);
	fill_header(p, n, l);
	if (error == 0)
		error = qcow2_write_at(fd, p, CLUSTER, 0);
	if (error == 0 && fdatasync(fd) == -1)
		error = -errno;
	free(p);
	return error;
}

int
qcow2_create(int fd, const struct qcow2_new *n, struct why *why)
{
	struct layout l = { 0 };
	int error;

	if (n->backing != NULL &&
	    (n->backing[0] == '\0' || strlen(n->backing) > QCOW2_BACKING_MAX))
		return why_set(why, -ENAMETOOLONG,
		    "name of the base image is empty or longer than %d bytes",
		    QCOW2_BACKING_MAX);
	if ((error = lay_out(n->size, &l, why)) != 0)
		return error;
	error = write_all(fd, n, &l);
	if (error != 0)
		return why_set(why, error, "cannot write the image");
	return 0;
}
