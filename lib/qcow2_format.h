/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_FORMAT_H
#define LIB_QCOW2_FORMAT_H

/*
 * The on-disk form: "qcow2 Image File Format", big-endian throughout.
 */
#include <endian.h>
#include <stdint.h>
#include <string.h>

#define QCOW2_MAGIC 0x514649fbU /* "QFI\xfb" */

/* "Header": offsets of its fields */
enum {
	QH_MAGIC = 0,
	QH_VERSION = 4,
	QH_BACKING_OFFSET = 8,
	QH_BACKING_SIZE = 16,
	QH_CLUSTER_BITS = 20,
	QH_SIZE = 24,
	QH_CRYPT = 32,
	QH_L1_SIZE = 36,
	QH_L1_OFFSET = 40,
	QH_REFS_OFFSET = 48,
	QH_REFS_CLUSTERS = 56,
	QH_NSNAPSHOTS = 60,
	QH_SNAPSHOTS_OFFSET = 64,
	QH_LENGTH_V2 = 72,
	QH_INCOMPATIBLE = 72,
	QH_COMPATIBLE = 80,
	QH_AUTOCLEAR = 88,
	QH_REFCOUNT_ORDER = 96,
	QH_HEADER_LENGTH = 100,
	QH_COMPRESSION = 104,
	QH_LENGTH_MIN = 104,
	QH_LENGTH_OURS = 112,
};

/* "Header extensions": types */
#define QX_END		  0x00000000U
#define QX_BACKING_FORMAT 0xe2792acaU
#define QX_FEATURE_NAMES  0x6803f857U

/* "L1 table entry", "L2 table entry" */
#define QE_OFFSET     0x00fffffffffffe00ULL
#define QE_COPIED     (1ULL << 63)
#define QE_COMPRESSED (1ULL << 62)
#define QE_ZERO	      (1ULL << 0) /* version 3 */
/* "Refcount table entry" */
#define QR_OFFSET 0xfffffffffffffe00ULL

/* "Snapshots": offsets in a row of their table */
enum {
	SN_L1_OFFSET = 0,
	SN_L1_SIZE = 8,
	SN_ID_LEN = 12,
	SN_NAME_LEN = 14,
	SN_SEC = 16,
	SN_NSEC = 20,
	SN_CLOCK = 24,
	SN_STATE_SIZE = 32,
	SN_EXTRA_LEN = 36,
	SN_FIXED = 40,
	/* extra data */
	SN_STATE_SIZE64 = 40,
	SN_DISK_SIZE = 48,
	SN_FIXED_V3 = 56,
};

/* Limits that other implementations keep too. */
#define QCOW2_L1_BYTES_MAX	 (32ULL << 20)
#define QCOW2_REFS_BYTES_MAX	 (8ULL << 20)
#define QCOW2_SNAPSHOTS_MAX	 65536U
#define QCOW2_SNAPSHOT_BYTES_MAX (64ULL << 20)

static inline uint16_t
qcow2_get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t
qcow2_get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t
qcow2_get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void
qcow2_put16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
qcow2_put32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void
qcow2_put64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

/*
 * "Compressed Clusters Descriptor": where the data are, in bytes.  The end is
 * that of a sector, the data may stop before it.
 */
static inline void
qcow2_compressed(
    unsigned cluster_bits, uint64_t entry, uint64_t *off, uint64_t *len)
{
	unsigned x = 62 - (cluster_bits - 8);
	uint64_t sectors = (entry & ~(QE_COPIED | QE_COMPRESSED)) >> x;

	*off = entry & ((1ULL << x) - 1);
	*len = (sectors + 1) * 512 - (*off & 511);
}

/* "Refcount block": the i-th count of a block. */
static inline uint64_t
qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t i)
{
	unsigned bits = 1U << order;
	uint16_t v16;

	switch (order) {
	case 0:
	case 1:
	case 2:
		return block[i * bits / 8] >> (i * bits % 8) &
		    ((1U << bits) - 1);
	case 3:
		return block[i];
	case 4:
		memcpy(&v16, block + 2 * i, 2);
		return be16toh(v16);
	case 5:
		return qcow2_get32(block + 4 * i);
	default:
		return qcow2_get64(block + 8 * i);
	}
}

static inline void
qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t i, uint64_t v)
{
	unsigned bits = 1U << order, shift = (unsigned)(i * bits % 8);
	uint8_t *p = block + i * bits / 8;
	uint16_t v16;

	switch (order) {
	case 0:
	case 1:
	case 2:
		*p = (uint8_t)((*p & ~(((1U << bits) - 1) << shift)) |
		    v << shift);
		break;
	case 3:
		*p = (uint8_t)v;
		break;
	case 4:
		v16 = htobe16((uint16_t)v);
		memcpy(p, &v16, 2);
		break;
	case 5:
		qcow2_put32(p, (uint32_t)v);
		break;
	default:
		qcow2_put64(p, v);
		break;
	}
}

#endif
