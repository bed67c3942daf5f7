/* SPDX-License-Identifier: ISC */
/*
 * fw_cfg, after "QEMU Firmware Configuration (fw_cfg) Device": "Selector
 * (Control) Register", "Data Register", "Firmware Configuration Items",
 * "Guest-side DMA Interface".
 *
 * Invariants
 *  1. offset never exceeds the length of the selected item, and is 0 when
 *     there is no such item: it reads as zeros without end.
 *  2. A DMA descriptor is copied once; the copy is checked and used.  Its
 *     control word is written last, whatever the data overlaid.
 *
 * Nothing is writable.  One transfer has a limit, for the machine stands
 * still while it lasts; the longest item is far below it.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "fwcfg.h"

#define SELECTOR_PORT 0x510
#define DATA_PORT     0x511
#define DMA_PORT      0x514
#define DMA_LEN	      8

#define SELECT_WRITE 0x4000 /* bit 14: for writing, which nothing is */
#define FILE_FIRST   0x20
#define ID_PORTS     0x1
#define ID_DMA	     0x2

#define DMA_ERROR  0x01
#define DMA_READ   0x02
#define DMA_SKIP   0x04
#define DMA_SELECT 0x08
#define DMA_WRITE  0x10
#define DMA_MAX	   (16U << 20)

/* "Guest-side DMA Interface": all big-endian. */
struct dma {
	uint32_t control, length;
	uint64_t address;
};
static_assert(sizeof(struct dma) == 16, "FWCfgDmaAccess");

/* "File Directory": a count, then these; big-endian. */
struct file {
	uint32_t size;
	uint16_t key, reserved;
	char name[FWCFG_NAME];
};
static_assert(sizeof(struct file) == 64, "FWCfgFile");

/* ---- items ---- */

static struct fwcfg_item *
find_key(struct fwcfg *f, uint16_t key)
{
	for (unsigned i = 0; i < f->n; i++)
		if (f->item[i].key == key)
			return &f->item[i];
	return NULL;
}

static struct fwcfg_item *
find_name(struct fwcfg *f, const char *name)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->item[i].name, name) == 0)
			return &f->item[i];
	return NULL;
}

/* Adds the item or replaces its bytes, in place when there are as many. */
static int
set(struct fwcfg *f, uint16_t key, const void *data, uint32_t len,
    struct fwcfg_item **item)
{
	struct fwcfg_item *it = find_key(f, key);
	uint8_t *copy;

	*item = it;
	if (it != NULL && it->len == len) {
		memcpy(it->data, data, len);
		return 0;
	}
	if (it == NULL && f->n == FWCFG_ITEMS)
		return -ENOSPC;
	if ((copy = malloc(len == 0 ? 1 : len)) == NULL)
		return -ENOMEM;
	memcpy(copy, data, len);
	if (it == NULL) {
		it = &f->item[f->n++];
		*it = (struct fwcfg_item){ .key = key };
	}
	free(it->data);
	it->data = copy;
	it->len = len;
	if (f->selected == key && f->offset > len)
		f->offset = len;
	*item = it;
	return 0;
}

static int
make_directory(struct fwcfg *f)
{
	struct {
		uint32_t count;
		struct file file[FWCFG_ITEMS];
	} dir = { .count = htobe32(f->nfiles) };
	struct fwcfg_item *it;
	struct file *e = dir.file;

	for (unsigned i = 0; i < f->n; i++) {
		it = &f->item[i];
		if (it->name[0] == '\0')
			continue;
		e->size = htobe32(it->len);
		e->key = htobe16(it->key);
		memcpy(e->name, it->name, sizeof(e->name));
		e++;
	}
	return set(f, FWCFG_FILE_DIR, &dir,
	    (uint32_t)((const char *)e - (const char *)&dir), &it);
}

int
fwcfg_add(struct fwcfg *f, uint16_t key, const void *data, uint32_t len)
{
	struct fwcfg_item *it;

	if (key >= FWCFG_FILE_DIR)
		return -EINVAL;
	return set(f, key, data, len, &it);
}

int
fwcfg_add_file(
    struct fwcfg *f, const char *name, const void *data, uint32_t len)
{
	struct fwcfg_item *it;
	int r;

	if (name[0] == '\0' || strlen(name) >= FWCFG_NAME)
		return -EINVAL;
	if ((it = find_name(f, name)) != NULL)
		r = set(f, it->key, data, len, &it);
	else {
		r = set(f, (uint16_t)(FILE_FIRST + f->nfiles), data, len, &it);
		if (r == 0) {
			memcpy(it->name, name, strlen(name) + 1);
			f->nfiles++;
		}
	}
	return r < 0 ? r : make_directory(f);
}

int
fwcfg_init(struct fwcfg *f, const struct gmem *mem)
{
	uint32_t id = htole32(ID_PORTS | ID_DMA);
	int r;

	memset(f, 0, sizeof(*f));
	f->mem = mem;
	if ((r = fwcfg_add(f, FWCFG_SIGNATURE, "QEMU", 4)) < 0 ||
	    (r = fwcfg_add(f, FWCFG_ID, &id, sizeof(id))) < 0 ||
	    (r = make_directory(f)) < 0)
		fwcfg_free(f);
	return r;
}

void
fwcfg_free(struct fwcfg *f)
{
	for (unsigned i = 0; i < f->n; i++)
		free(f->item[i].data);
	f->n = 0;
}

/* The file at hand may be shorter than it was. */
void
fwcfg_restored(struct fwcfg *f)
{
	const struct fwcfg_item *it = find_key(f, f->selected);

	if (it == NULL)
		f->offset = 0;
	else if (f->offset > it->len)
		f->offset = it->len;
}

/* ---- what the guest does ---- */

static void
select_key(struct fwcfg *f, uint16_t key)
{
	f->selected = key & (uint16_t)~SELECT_WRITE;
	f->offset = 0;
}

/* The next bytes of the selected item, at most len; how many there are. */
static uint32_t
take(struct fwcfg *f, uint32_t len, const uint8_t **p)
{
	const struct fwcfg_item *it = find_key(f, f->selected);
	uint32_t left = it == NULL ? 0 : it->len - f->offset;

	if (len > left)
		len = left;
	*p = len == 0 ? NULL : it->data + f->offset;
	f->offset += len;
	return len;
}

/* Bytes past the end are zeros. */
static uint32_t
dma_read(struct fwcfg *f, const struct dma *d)
{
	const uint8_t *p;
	uint8_t *to;
	uint32_t n;

	if (d->length == 0)
		return 0;
	to = gmem_range(f->mem, (struct gpa){ d->address }, d->length);
	if (to == NULL)
		return DMA_ERROR;
	n = take(f, d->length, &p);
	if (n != 0)
		memcpy(to, p, n);
	memset(to + n, 0, d->length - n);
	gmem_wrote(f->mem, to, d->length);
	return 0;
}

static uint32_t
dma_run(struct fwcfg *f, const struct dma *d)
{
	const uint8_t *p;

	if ((d->control & DMA_SELECT) != 0)
		select_key(f, (uint16_t)(d->control >> 16));
	if ((d->control & DMA_READ) != 0)
		return d->length > DMA_MAX ? DMA_ERROR : dma_read(f, d);
	if ((d->control & DMA_WRITE) != 0)
		return DMA_ERROR;
	if ((d->control & DMA_SKIP) != 0)
		take(f, d->length, &p);
	return 0;
}

static void
dma_start(struct fwcfg *f, struct gpa at)
{
	struct dma d;
	uint32_t result;

	/* What cannot be read cannot be told of its error either. */
	if (gmem_read(f->mem, at, &d, sizeof(d)) < 0)
		return;
	d.control = be32toh(d.control);
	d.length = be32toh(d.length);
	d.address = be64toh(d.address);
	result = htobe32(dma_run(f, &d));
	gmem_write(f->mem, at, &result, sizeof(result));
}

/* ---- ports ---- */

static uint64_t
selector_read(void *arg, uint64_t off, unsigned size)
{
	return UINT64_MAX; /* write-only */
}

static void
selector_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	select_key(arg, (uint16_t)val);
}

static uint64_t
data_read(void *arg, uint64_t off, unsigned size)
{
	const uint8_t *p;

	return take(arg, 1, &p) == 1 ? *p : 0;
}

static void
data_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
}

static uint64_t
dma_port_read(void *arg, uint64_t off, unsigned size)
{
	static const char signature[DMA_LEN + 1] = "QEMU CFG";
	uint32_t val;

	memcpy(&val, signature + off, sizeof(val));
	return le32toh(val);
}

static void
dma_port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
	struct fwcfg *f = arg;
	uint32_t half = be32toh((uint32_t)val);
	uint64_t high = f->dma_high;

	if (off == 0) {
		f->dma_high = half;
		return;
	}
	/* The lower half starts the transfer and the register is 0 again. */
	f->dma_high = 0;
	dma_start(f, (struct gpa){ high << 32 | half });
}

static const struct bus_ops selector_ops = {
	.sizes = 2, .read = selector_read, .write = selector_write
};
static const struct bus_ops data_ops = {
	.sizes = 1, .read = data_read, .write = data_write
};
static const struct bus_ops dma_ops = {
	.sizes = 4, .read = dma_port_read, .write = dma_port_write
};

int
fwcfg_attach(struct fwcfg *f, struct bus *pio)
{
	int r;

	r = bus_add_exact(
	    pio, SELECTOR_PORT, 2, &selector_ops, f, "fw_cfg selector");
	if (r == 0)
		r = bus_add(pio, DATA_PORT, 1, &data_ops, f, "fw_cfg data");
	if (r == 0)
		r = bus_add(pio, DMA_PORT, DMA_LEN, &dma_ops, f, "fw_cfg dma");
	return r;
}
