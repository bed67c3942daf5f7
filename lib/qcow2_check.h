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

struct qcow2_check {
	int fd;
	const struct qcow2_header *h;
	/* Each problem, at most QCOW2_CHECK_LINES of them; may be NULL. */
	void (*say)(void *, const char *line);
	void *arg;
	/* Write the right refcounts where they are wrong. */
	bool repair;
};

#define QCOW2_CHECK_LINES 64

/* 0: *report says what there is.  -errno: could not be checked. */
int
qcow2_check(const struct qcow2_check *, struct qcow2_report *, struct why *);

#endif
