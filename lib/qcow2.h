/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_H
#define LIB_QCOW2_H

/*
 * The header of a qcow2 image: decoding and judging it, apart from any use of
 * the image.  "qcow2 Image File Format": "Header", "Header extensions".
 *
 * An image is hostile input.  Nothing here follows what it says; a backing
 * file's name is a path and is never anything else.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vmconf.h"
#include "why.h"

#define QCOW2_BACKING_MAX      1023 /* bytes of a name, "Header" */
#define QCOW2_CLUSTER_BITS_MIN 9
#define QCOW2_CLUSTER_BITS_MAX 21

/* incompatible_features */
#define QCOW2_I_DIRTY	    (1ULL << 0)
#define QCOW2_I_CORRUPT	    (1ULL << 1)
#define QCOW2_I_DATA_FILE   (1ULL << 2)
#define QCOW2_I_COMPRESSION (1ULL << 3)
#define QCOW2_I_EXTENDED_L2 (1ULL << 4)
/* compatible_features */
#define QCOW2_C_LAZY_REFCOUNTS (1ULL << 0)

enum qcow2_compression { QCOW2_DEFLATE = 0, QCOW2_ZSTD = 1 };

struct qcow2_header {
	unsigned version; /* 2 or 3 */
	unsigned cluster_bits;
	uint64_t size; /* bytes of the disk */
	uint32_t l1_size; /* entries */
	uint64_t l1_offset;
	uint64_t refs_offset; /* refcount table */
	uint32_t refs_clusters;
	unsigned refcount_order; /* 1 << order bits */
	uint32_t nsnapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	unsigned header_length;
	enum qcow2_compression compression;
	uint64_t backing_offset; /* of the name */
	char backing[QCOW2_BACKING_MAX + 1]; /* "": none */
	bool backing_typed; /* the image says which format that has */
	char backing_format[16];
	/* beside the header */
	uint64_t file_size;
	bool blockdev;
};

/* Does the file begin like a qcow2 image?  1, 0 or -errno. */
int qcow2_probe(int fd);

/*
 * Reads and checks a header: 0, or -errno with *why.  Features that we do not
 * have, and a header that contradicts itself or its file, are refused.
 */
int qcow2_header_read(int fd, struct qcow2_header *, struct why *);
/* May the image be written?  0, or -errno with *why. */
int qcow2_header_writable(const struct qcow2_header *, struct why *);
/*
 * The format of the backing file: 0, or -errno with *why.  A format that the
 * image does not name is an error: guessing lets a guest choose it.
 */
int qcow2_backing_format(
    const struct qcow2_header *, enum vm_diskfmt *, struct why *);

static inline uint64_t
qcow2_cluster_size(const struct qcow2_header *h)
{
	return 1ULL << h->cluster_bits;
}

#endif
