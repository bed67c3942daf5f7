/* SPDX-License-Identifier: ISC */
/*
 * What of a disk is in no table of any layer: "Cluster mapping".  Only the L1
 * tables are looked at, which are in memory.
 */
#include "qcow2_impl.h"

/* The rest of what one L1 entry is for, when it has no L2 table. */
static uint64_t
without_table(const struct qc_layer *l, uint64_t off)
{
	unsigned span_bits = 2 * l->h.cluster_bits - 3;
	uint64_t span = 1ULL << span_bits, index = off >> span_bits;

	if (l->format == VM_DISK_RAW || index >= l->h.l1_size ||
	    (qc_table_get(&l->l1, index) & QE_OFFSET) != 0)
		return 0;
	return span - (off & (span - 1));
}

uint64_t
qc_hole(const struct disk *d, uint64_t off)
{
	const struct qcow2 *s = d->format;
	const struct qc_layer *l;
	uint64_t n = UINT64_MAX, part;
	unsigned i;

	/* Behind its end a layer hides what is below, and is zero. */
	for (i = 0; i < s->nlayers && off < s->layer[i].size; i++) {
		l = &s->layer[i];
		if ((part = without_table(l, off)) == 0)
			return 0;
		if (i > 0 && part > l->size - off)
			part = l->size - off;
		if (part < n)
			n = part;
	}
	return n;
}
