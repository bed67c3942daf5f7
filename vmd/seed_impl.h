/* SPDX-License-Identifier: ISC */
#ifndef VMD_SEED_IMPL_H
#define VMD_SEED_IMPL_H

/*
 * What the process NAME/seed0 is made of: the texts of a seed disk
 * (seed_text.c) and its file system (seed_iso.c).
 */
#include <stddef.h>
#include <stdint.h>
#include "msg.h"
#include "vmconf.h"
#include "why.h"

struct ibuf;

struct seed_data {
	char name[VM_NAME_MAX + 1]; /* of the VM */
	char hostname[VM_HOSTNAME_MAX + 1];
	/* As they were read; data NULL: there is none. */
	struct seed_text {
		char *data;
		size_t len;
	} file[SEED_FILES];
};

/*
 * The file meta-data, onto the end of the buffer.  Its instance-id stays the
 * same as long as nothing in *data changes, and no longer: cloud-init does
 * its work once for each.  0 or -errno with *why filled.
 */
int seed_meta(const struct seed_data *data, struct ibuf *, struct why *);

/*
 * An ISO 9660 image with Rock Ridge and Joliet, volume CIDATA, by libarchive,
 * which needs files, tables of characters and a temporary file for that.
 * It has all of them when seed_iso_open() is done; everything else works after
 * the seal.  So the first file, of which that needs the name and the length,
 * is begun there and its content follows.
 * 0 or -errno with *why filled.
 */
struct seed_iso;

int seed_iso_open(
    struct seed_iso **, int fd, const char *name, size_t len, struct why *);
/* The first file's content. */
int
seed_iso_first(struct seed_iso *, const void *data, size_t len, struct why *);
int seed_iso_add(struct seed_iso *, const char *name, const void *data,
    size_t len, struct why *);
/* Writes the image. */
int seed_iso_finish(struct seed_iso *, struct why *);
void seed_iso_free(struct seed_iso *);

#endif
