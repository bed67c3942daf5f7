/* SPDX-License-Identifier: ISC */
#ifndef VMD_FWCFG_H
#define VMD_FWCFG_H

/*
 * fw_cfg: what firmware is told, as numbered items and named files, read by
 * ports 0x510 (selector), 0x511 (data) and 0x514-0x51b (DMA).  Items belong
 * to the device and are read-only.  Caller holds the machine lock.
 */
#include <stdint.h>
#include "bus.h"
#include "gmem.h"

#define FWCFG_NAME  56 /* of a file, with its NUL */
#define FWCFG_ITEMS 32

/* Keys that are not files. */
#define FWCFG_SIGNATURE 0x00
#define FWCFG_ID	0x01
#define FWCFG_RAM_SIZE	0x03
#define FWCFG_NB_CPUS	0x05
#define FWCFG_MAX_CPUS	0x0f
#define FWCFG_FILE_DIR	0x19

struct fwcfg_item {
	uint16_t key;
	char name[FWCFG_NAME]; /* empty: not in the directory */
	uint8_t *data;
	uint32_t len;
};

struct fwcfg {
	const struct gmem *mem;
	unsigned n;
	struct fwcfg_item item[FWCFG_ITEMS];
	unsigned nfiles;
	/* The guest's side. */
	uint16_t selected;
	uint32_t offset; /* in the selected item, at most its length */
	uint32_t dma_high;
};

/* With the items that say what this is. 0 or -errno. */
int fwcfg_init(struct fwcfg *, const struct gmem *);
void fwcfg_free(struct fwcfg *);
/* A copy of the bytes; 0, -ENOMEM, -ENOSPC, or -EINVAL for a key of files. */
int fwcfg_add(struct fwcfg *, uint16_t key, const void *, uint32_t len);
/* The same by name.  A file of that name is replaced: while the guest runs
 * only by as many bytes, which allocates nothing. */
int
fwcfg_add_file(struct fwcfg *, const char *name, const void *, uint32_t len);
/* The guest's side was set: it is made one that there can be. */
void fwcfg_restored(struct fwcfg *);
/* The three windows on the port bus. 0 or -errno. */
int fwcfg_attach(struct fwcfg *, struct bus *pio);

#endif
