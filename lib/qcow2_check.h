/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_CHECK_H
#define LIB_QCOW2_CHECK_H

/*
 * Is an image consistent?  Counts what refers to each cluster of the file and
 * compares that with the refcounts.
 */
#include "qcow2.h"

struct qcow2_report {
	uint64_t corruptions; /* data are or may be lost */
	uint64_t leaks; /* clusters: space is lost, no more */
	uint64_t clusters; /* of the disk */
	uint64_t allocated, compressed, zero; /* of them */
	uint64_t end; /* byte behind the last cluster in use */
};

/* What nothing refers to yet, but the header soon will: see qcow2_snap.c. */
struct qcow2_more {
	uint64_t l1_offset;
	uint32_t l1_size; /* entries; 0: none */
	bool l1_active; /* it will be the disk's */
	uint64_t off, len; /* bytes of a table that refers to nothing */
};

struct qcow2_check {
	int fd;
	const struct qcow2_header *h;
	/* Each problem, at most QCOW2_CHECK_LINES of them; may be NULL. */
	void (*say)(void *, const char *line);
	void *arg;
	/* Write the right refcounts and COPIED flags where they are wrong; and
	 * give the space back of what turns out to be free. */
	bool repair, punch;
	/* Counted too: refcounts become large enough, and COPIED flags are
	 * cleared.  Nothing is made smaller. */
	const struct qcow2_more *more;
	/* Receives the references to each cluster of the file, to be freed. */
	uint32_t **refs;
	uint64_t *nrefs;
};

#define QCOW2_CHECK_LINES 64

/* 0: *report says what there is.  -errno: could not be checked. */
int
qcow2_check(const struct qcow2_check *, struct qcow2_report *, struct why *);

#endif
