/* SPDX-License-Identifier: ISC */
/*
 * The ACPI tables as firmware takes them: etc/acpi/rsdp, etc/acpi/tables, and
 * etc/table-loader, which says where they may lie, which of their fields are
 * addresses and where their checksums are.
 *
 * Addresses in the files are offsets into etc/acpi/tables: the loader's
 * commands add the place that the firmware chose.  The commands are those of
 * QEMU's BiosLinkerLoaderEntry, which SeaBIOS and OVMF implement.
 */
#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <string.h>
#include "acpi_impl.h"
#include "fwcfg.h"

#define TABLES "etc/acpi/tables"
#define RSDP   "etc/acpi/rsdp"
#define LOADER "etc/table-loader"

#define ALLOCATE     1
#define ADD_POINTER  2
#define ADD_CHECKSUM 3

#define ZONE_HIGH 1
#define ZONE_FSEG 2 /* 0xf0000-0xfffff, where the RSDP is looked for */

#define FACS_ALIGN 64
#define RSDP_ALIGN 16
#define RSDP_FIRST 20 /* bytes that the first checksum of it covers */
#define RSDP_SUM   8
#define RSDP_SUM2  32

struct command {
	uint32_t command;
	union {
		struct {
			char file[FWCFG_NAME];
			uint32_t align;
			uint8_t zone;
		} __attribute__((packed)) allocate;
		struct {
			char file[FWCFG_NAME], to[FWCFG_NAME];
			uint32_t offset;
			uint8_t size;
		} __attribute__((packed)) pointer;
		struct {
			char file[FWCFG_NAME];
			uint32_t offset, start, length;
		} __attribute__((packed)) checksum;
		uint8_t all[124];
	};
} __attribute__((packed));
static_assert(sizeof(struct command) == 128, "BiosLinkerLoaderEntry");

#define COMMANDS (2 + ACPI_FIXES + ACPI_FIXES + 2)

struct script {
	unsigned n;
	struct command c[COMMANDS];
};

static struct command *
add(struct script *s, uint32_t command)
{
	struct command *c = &s->c[s->n++];

	memset(c, 0, sizeof(*c));
	c->command = htole32(command);
	return c;
}

static void
allocate(struct script *s, const char *file, uint32_t align, uint8_t zone)
{
	struct command *c = add(s, ALLOCATE);

	strcpy(c->allocate.file, file);
	c->allocate.align = htole32(align);
	c->allocate.zone = zone;
}

static void
add_pointer(struct script *s, const struct acpi_fix *f)
{
	struct command *c = add(s, ADD_POINTER);

	strcpy(c->pointer.file, f->at < ACPI_RSDP_LEN ? RSDP : TABLES);
	strcpy(c->pointer.to, TABLES);
	c->pointer.offset = htole32(f->at);
	c->pointer.size = (uint8_t)f->len;
}

static void
add_checksum(struct script *s, const char *file, uint32_t offset,
    uint32_t start, uint32_t length)
{
	struct command *c = add(s, ADD_CHECKSUM);

	strcpy(c->checksum.file, file);
	c->checksum.offset = htole32(offset);
	c->checksum.start = htole32(start);
	c->checksum.length = htole32(length);
}

/* Checksums last, for pointers change them. */
static void
write_script(struct script *s, const struct acpi_image *im)
{
	unsigned i;

	s->n = 0;
	allocate(s, TABLES, FACS_ALIGN, ZONE_HIGH);
	allocate(s, RSDP, RSDP_ALIGN, ZONE_FSEG);
	for (i = 0; i < im->npointers; i++)
		add_pointer(s, &im->pointer[i]);
	for (i = 0; i < im->ntables; i++)
		add_checksum(s, TABLES, im->table[i].at + ACPI_CHECKSUM_AT,
		    im->table[i].at, im->table[i].len);
	add_checksum(s, RSDP, RSDP_SUM, 0, RSDP_FIRST);
	add_checksum(s, RSDP, RSDP_SUM2, 0, ACPI_RSDP_LEN);
}

/* OVMF sums up what is there, the old sum among it; SeaBIOS takes that off. */
static void
clear_checksums(struct acpi_image *im)
{
	unsigned i;

	for (i = 0; i < im->ntables; i++)
		im->b[im->table[i].at + ACPI_CHECKSUM_AT] = 0;
	im->b[RSDP_SUM] = im->b[RSDP_SUM2] = 0;
}

int
acpi_fwcfg(struct fwcfg *f, const struct acpi_conf *conf)
{
	struct acpi_image im;
	struct script s;
	int r;

	if ((r = acpi_build(&im, conf, 0)) < 0)
		return r;
	write_script(&s, &im);
	clear_checksums(&im);
	if ((r = fwcfg_add_file(f, RSDP, im.b, ACPI_RSDP_LEN)) < 0)
		return r;
	/* Its place in the image stays, so that offsets are the image's. */
	memset(im.b, 0, ACPI_RSDP_LEN);
	if ((r = fwcfg_add_file(f, TABLES, im.b, (uint32_t)im.len)) < 0)
		return r;
	return fwcfg_add_file(f, LOADER, s.c, (uint32_t)(s.n * sizeof(s.c[0])));
}
