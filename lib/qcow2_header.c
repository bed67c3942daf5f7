/* SPDX-License-Identifier: ISC */
/*
 * Headers of qcow2 images: see qcow2.h.
 */
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/fs.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qcow2.h"
#include "qcow2_format.h"

/* Header and extensions: more is no header but an attack. */
#define HEAD_MAX 65536U

/* Bytes read, fewer at the end of the file only; or -errno. */
static ssize_t
read_at(int fd, void *buf, size_t len, uint64_t off)
{
	size_t n = 0;
	ssize_t rc;

	while (n < len) {
		rc = pread(fd, (char *)buf + n, len - n, (off_t)(off + n));
		if (rc == -1 && errno == EINTR)
			continue;
		if (rc == -1)
			return -errno;
		if (rc == 0)
			break;
		n += (size_t)rc;
	}
	return (ssize_t)n;
}

int
qcow2_probe(int fd)
{
	uint8_t magic[4];
	ssize_t n = read_at(fd, magic, sizeof(magic), 0);

	if (n < 0)
		return (int)n;
	return n == sizeof(magic) && qcow2_get32(magic) == QCOW2_MAGIC;
}

static int
file_size(int fd, struct qcow2_header *h, struct why *why)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return why_set(why, -errno, "cannot look at the image");
	h->blockdev = S_ISBLK(st.st_mode);
	if (S_ISREG(st.st_mode))
		h->file_size = (uint64_t)st.st_size;
	else if (!h->blockdev)
		return why_set(why, -ENOTBLK,
		    "image is neither a file nor a block device");
	else if (ioctl(fd, BLKGETSIZE64, &h->file_size) == -1)
		return why_set(why, -errno, "cannot get the image's size");
	return 0;
}

static void
decode(const uint8_t *p, struct qcow2_header *h)
{
	h->version = qcow2_get32(p + QH_VERSION);
	h->backing_offset = qcow2_get64(p + QH_BACKING_OFFSET);
	h->cluster_bits = qcow2_get32(p + QH_CLUSTER_BITS);
	h->size = qcow2_get64(p + QH_SIZE);
	h->l1_size = qcow2_get32(p + QH_L1_SIZE);
	h->l1_offset = qcow2_get64(p + QH_L1_OFFSET);
	h->refs_offset = qcow2_get64(p + QH_REFS_OFFSET);
	h->refs_clusters = qcow2_get32(p + QH_REFS_CLUSTERS);
	h->nsnapshots = qcow2_get32(p + QH_NSNAPSHOTS);
	h->snapshots_offset = qcow2_get64(p + QH_SNAPSHOTS_OFFSET);
	h->refcount_order = 4;
	h->header_length = QH_LENGTH_V2;
	if (h->version < 3)
		return;
	h->incompatible = qcow2_get64(p + QH_INCOMPATIBLE);
	h->compatible = qcow2_get64(p + QH_COMPATIBLE);
	h->autoclear = qcow2_get64(p + QH_AUTOCLEAR);
	h->refcount_order = qcow2_get32(p + QH_REFCOUNT_ORDER);
	h->header_length = qcow2_get32(p + QH_HEADER_LENGTH);
	if (h->header_length > QH_COMPRESSION)
		h->compression = p[QH_COMPRESSION];
}

/* What we do not have, by its name. */
static int
check_features(const uint8_t *p, const struct qcow2_header *h, struct why *why)
{
	uint32_t crypt = qcow2_get32(p + QH_CRYPT);
	uint64_t unknown = h->incompatible &
	    ~(QCOW2_I_DIRTY | QCOW2_I_CORRUPT | QCOW2_I_DATA_FILE |
		QCOW2_I_COMPRESSION | QCOW2_I_EXTENDED_L2);
	bool typed = (h->incompatible & QCOW2_I_COMPRESSION) != 0;

	if (crypt != 0)
		return why_set(
		    why, -ENOTSUP, "encrypted images are not supported");
	if ((h->incompatible & QCOW2_I_DATA_FILE) != 0)
		return why_set(
		    why, -ENOTSUP, "external data files are not supported");
	if ((h->incompatible & QCOW2_I_EXTENDED_L2) != 0)
		return why_set(
		    why, -ENOTSUP, "extended L2 entries are not supported");
	if (unknown != 0)
		return why_set(why, -ENOTSUP,
		    "unknown incompatible features 0x%llx",
		    (unsigned long long)unknown);
	if (h->compression != QCOW2_DEFLATE && h->compression != QCOW2_ZSTD)
		return why_set(why, -ENOTSUP, "unknown compression type %u",
		    (unsigned)h->compression);
	if (typed != (h->compression != QCOW2_DEFLATE))
		return why_set(why, -EINVAL,
		    "compression type and its feature bit disagree");
	return 0;
}

/* [off, off + len) lies in the file, at a cluster of its own. */
static int
check_table(const struct qcow2_header *h, const char *what, uint64_t off,
    uint64_t len, struct why *why)
{
	if (off % qcow2_cluster_size(h) != 0)
		return why_set(why, -EINVAL, "%s is not aligned", what);
	if (off < qcow2_cluster_size(h))
		return why_set(why, -EINVAL, "%s overlaps the header", what);
	if (off > h->file_size || len > h->file_size - off)
		return why_set(why, -EINVAL,
		    "%s is beyond the end of the file: image is truncated",
		    what);
	return 0;
}

static bool
overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
	return alen > 0 && blen > 0 && a < b + blen && b < a + alen;
}

static int
check_tables(const struct qcow2_header *h, struct why *why)
{
	uint64_t l1 = (uint64_t)h->l1_size * 8;
	uint64_t refs = (uint64_t)h->refs_clusters << h->cluster_bits;
	uint64_t span = 1ULL << (2 * h->cluster_bits - 3), need;
	int error = 0;

	need = h->size / span + (h->size % span != 0);
	if (l1 > QCOW2_L1_BYTES_MAX)
		return why_set(why, -EFBIG, "L1 table is too large");
	if (h->l1_size < need)
		return why_set(why, -EINVAL, "L1 table is too small");
	if (h->refs_clusters == 0)
		return why_set(why, -EINVAL, "no refcount table");
	if (refs > QCOW2_REFS_BYTES_MAX)
		return why_set(why, -EFBIG, "refcount table is too large");
	if (l1 > 0)
		error = check_table(h, "L1 table", h->l1_offset, l1, why);
	if (error == 0)
		error =
		    check_table(h, "refcount table", h->refs_offset, refs, why);
	if (error != 0)
		return error;
	if (h->nsnapshots > QCOW2_SNAPSHOTS_MAX)
		return why_set(why, -EFBIG, "too many snapshots");
	if (h->nsnapshots > 0)
		error = check_table(
		    h, "snapshot table", h->snapshots_offset, 40, why);
	if (error != 0)
		return error;
	if (overlap(h->l1_offset, l1, h->refs_offset, refs))
		return why_set(
		    why, -EINVAL, "L1 table and refcount table overlap");
	if (h->nsnapshots > 0 &&
	    (overlap(h->snapshots_offset, 40, h->l1_offset, l1) ||
		overlap(h->snapshots_offset, 40, h->refs_offset, refs)))
		return why_set(
		    why, -EINVAL, "snapshot table overlaps another table");
	return 0;
}

static int
check(const uint8_t *p, const struct qcow2_header *h, struct why *why)
{
	int error;

	if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
	    h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return why_set(why, -EINVAL,
		    "cluster size of 2^%u bytes: not from 512 to 2M",
		    h->cluster_bits);
	if (h->version == 3 &&
	    (h->header_length < QH_LENGTH_MIN ||
		h->header_length > qcow2_cluster_size(h) ||
		h->header_length > HEAD_MAX || h->header_length % 8 != 0))
		return why_set(
		    why, -EINVAL, "invalid header length %u", h->header_length);
	if ((error = check_features(p, h, why)) != 0)
		return error;
	if (h->refcount_order > 6)
		return why_set(why, -EINVAL,
		    "refcount width of 2^%u bits: more than 64",
		    h->refcount_order);
	if (h->size < 512 || h->size > INT64_MAX)
		return why_set(why, -EINVAL, "unusable disk size %llu",
		    (unsigned long long)h->size);
	return check_tables(h, why);
}

static int
get_name(char *to, size_t size, const uint8_t *p, size_t len)
{
	if (len >= size || memchr(p, '\0', len) != NULL)
		return -EINVAL;
	memcpy(to, p, len);
	to[len] = '\0';
	return 0;
}

/* Extensions lie between header and backing file name. */
static int
read_extensions(
    const uint8_t *p, size_t len, struct qcow2_header *h, struct why *why)
{
	size_t at = h->header_length, end = len;
	uint32_t type, size;

	if (h->backing_offset != 0 && h->backing_offset < end)
		end = (size_t)h->backing_offset;
	while (at + 8 <= end) {
		type = qcow2_get32(p + at);
		size = qcow2_get32(p + at + 4);
		at += 8;
		if (type == QX_END)
			return 0;
		if (size > end - at)
			return why_set(
			    why, -EINVAL, "header extension is too long");
		if (type == QX_BACKING_FORMAT) {
			if (get_name(h->backing_format,
				sizeof(h->backing_format), p + at, size) != 0)
				return why_set(why, -EINVAL,
				    "invalid format name of a backing file");
			h->backing_typed = true;
		}
		at += ((size_t)size + 7) & ~(size_t)7;
	}
	return 0;
}

static int
read_backing(int fd, const uint8_t *p, struct qcow2_header *h, struct why *why)
{
	uint32_t len = qcow2_get32(p + QH_BACKING_SIZE);
	uint8_t name[QCOW2_BACKING_MAX];

	if (h->backing_offset == 0)
		return 0;
	if (len == 0 || len > QCOW2_BACKING_MAX)
		return why_set(why, -EINVAL,
		    "backing file name of %u bytes: not from 1 to %d", len,
		    QCOW2_BACKING_MAX);
	if (h->backing_offset < h->header_length ||
	    h->backing_offset > qcow2_cluster_size(h) - len)
		return why_set(
		    why, -EINVAL, "backing file name outside of the header");
	if (read_at(fd, name, len, h->backing_offset) != (ssize_t)len)
		return why_set(why, -EIO, "cannot read the backing file name");
	if (get_name(h->backing, sizeof(h->backing), name, len) != 0 ||
	    !vmconf_path_ok(h->backing))
		return why_set(
		    why, -EINVAL, "backing file name with control characters");
	return 0;
}

int
qcow2_header_read(int fd, struct qcow2_header *out, struct why *why)
{
	struct qcow2_header *h;
	uint8_t *p;
	ssize_t n;
	int error;

	p = calloc(1, HEAD_MAX + sizeof(*h));
	if (p == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	h = (struct qcow2_header *)(p + HEAD_MAX);
	if ((error = file_size(fd, h, why)) != 0)
		goto free_it;
	n = read_at(fd, p, HEAD_MAX, 0);
	error = -EINVAL;
	if (n < 0)
		error = why_set(why, (int)n, "cannot read the header");
	else if (n < 4 || qcow2_get32(p) != QCOW2_MAGIC)
		why_set(why, error, "not a qcow2 image");
	else if (n < QH_LENGTH_V2)
		why_set(why, error, "header is truncated");
	else
		error = 0;
	if (error != 0)
		goto free_it;
	decode(p, h);
	if (h->version != 2 && h->version != 3)
		error = why_set(why, -ENOTSUP,
		    "qcow2 version %u is not supported", h->version);
	else if (h->version == 3 && n < QH_LENGTH_MIN)
		error = why_set(why, -EINVAL, "header is truncated");
	if (error != 0 || (error = check(p, h, why)) != 0)
		goto free_it;
	if ((size_t)n > qcow2_cluster_size(h))
		n = (ssize_t)qcow2_cluster_size(h);
	if ((error = read_extensions(p, (size_t)n, h, why)) == 0)
		error = read_backing(fd, p, h, why);
	if (error == 0)
		*out = *h;
free_it:
	free(p);
	return error;
}

int
qcow2_header_writable(const struct qcow2_header *h, struct why *why)
{
	if ((h->incompatible & QCOW2_I_CORRUPT) != 0)
		return why_set(why, -EUCLEAN,
		    "image is marked corrupt: it can only be read");
	return 0;
}

int
qcow2_backing_format(
    const struct qcow2_header *h, enum vm_diskfmt *fmt, struct why *why)
{
	if (!h->backing_typed)
		return why_set(why, -EINVAL,
		    "image does not name its backing file's format");
	if (strcmp(h->backing_format, "raw") == 0 ||
	    strcmp(h->backing_format, "host_device") == 0)
		*fmt = VM_DISK_RAW;
	else if (strcmp(h->backing_format, "qcow2") == 0)
		*fmt = VM_DISK_QCOW2;
	else
		return why_set(why, -ENOTSUP,
		    "backing file of unsupported format %s", h->backing_format);
	return 0;
}
