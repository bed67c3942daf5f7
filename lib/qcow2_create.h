/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_CREATE_H
#define LIB_QCOW2_CREATE_H

/* New qcow2 images: version 3, clusters of 64 KiB, 16-bit refcounts. */
#include "qcow2.h"

struct qcow2_new {
	uint64_t size; /* bytes, whole sectors */
	const char *backing; /* NULL: none */
	enum vm_diskfmt backing_format;
};

/* Writes an empty image into an empty file.  0, or -errno with *why. */
int qcow2_create(int fd, const struct qcow2_new *, struct why *);

#endif
