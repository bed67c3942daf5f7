/* SPDX-License-Identifier: ISC */
/*
 * SMBIOS structures, after the "System Management BIOS (SMBIOS) Reference
 * Specification" (DMTF, DSP0134), version 2.8: "SMBIOS 2.1 (32-bit) Entry
 * Point", "Structure header format", "Text strings", and a section for each
 * type.
 *
 * Invariant: len never exceeds the room; what did not fit is left out as a
 * whole, and full says so.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "fwcfg.h"
#include "smbios.h"

#define MAJOR 2
#define MINOR 8

#define MANUFACTURER "vmm"
#define PRODUCT	     "vmd virtual machine"

#define HANDLE_ARRAY 0x1000 /* of the memory, which others refer to */
#define NO_HANDLE    0xffff
#define NO_ERROR     0xfffe
#define TABLES_AT    0x20 /* behind the entry point, without firmware */
#define ROOM	     (SMBIOS_LEN - TABLES_AT)

struct entry {
	char anchor[4];
	uint8_t checksum, length, major, minor;
	uint16_t longest;
	uint8_t revision, formatted[5];
	char dmi[5];
	uint8_t dmi_checksum;
	uint16_t tables_len;
	uint32_t tables;
	uint16_t count;
	uint8_t bcd;
} __attribute__((packed));
static_assert(sizeof(struct entry) == 31, "SMBIOS 2.1 Entry Point");

struct tables {
	uint8_t b[ROOM];
	size_t len, longest;
	uint16_t count;
	bool full;
	uint8_t none[256]; /* what a structure that does not fit is */
};

static void
put(uint8_t *at, unsigned n, uint64_t val)
{
	for (; n > 0; n--, val >>= 8)
		*at++ = (uint8_t)val;
}

/*
 * Adds a structure whose formatted area is len bytes of zeros, and its
 * strings, which are numbered from 1 on: they are followed by an empty one,
 * and are two NULs if there is none.
 */
static uint8_t *
add(struct tables *t, uint8_t type, uint8_t len, uint16_t handle,
    const char *const *strings)
{
	size_t n = len, i;
	uint8_t *at = t->b + t->len, *p = at + len;

	for (i = 0; strings != NULL && strings[i] != NULL; i++)
		n += strlen(strings[i]) + 1;
	n += n == len ? 2 : 1;
	if (t->full || n > ROOM - t->len) {
		t->full = true;
		return t->none;
	}
	memset(at, 0, n);
	at[0] = type;
	at[1] = len;
	put(at + 2, 2, handle);
	for (i = 0; strings != NULL && strings[i] != NULL; i++) {
		memcpy(p, strings[i], strlen(strings[i]));
		p += strlen(strings[i]) + 1;
	}
	t->len += n;
	t->count++;
	if (n > t->longest)
		t->longest = n;
	return at;
}

/* "BIOS Information (Type 0)" */
static void
add_bios(struct tables *t)
{
	static const char *const strings[] = { MANUFACTURER, "1", "01/01/2024",
		NULL };
	uint8_t *p = add(t, 0, 0x18, 0, strings);

	p[0x04] = 1; /* vendor */
	p[0x05] = 2; /* version */
	put(p + 0x06, 2, 0xf000); /* segment */
	p[0x08] = 3; /* release date */
	put(p + 0x0a, 8, 1 << 3); /* characteristics are not supported */
	p[0x13] = 1 << 4; /* a virtual machine */
	memset(p + 0x14, 0xff, 4); /* no releases */
}

/* RFC 9562, "UUID Version 8", in the byte order of "System - UUID". */
static void
put_uuid(uint8_t *at, const char *name)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11,
		12, 13, 14, 15 };
	uint8_t sum[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;
	unsigned i;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)"uuid", 4);
	SHA256Update(&ctx, (const uint8_t *)name, strlen(name));
	SHA256Final(sum, &ctx);
	sum[6] = (sum[6] & 0x0f) | 0x80;
	sum[8] = (sum[8] & 0x3f) | 0x80;
	for (i = 0; i < sizeof(order); i++)
		at[i] = sum[order[i]];
}

/* "System Information (Type 1)", "System Enclosure or Chassis (Type 3)" */
static void
add_system(struct tables *t, const char *name)
{
	const char *const strings[] = { MANUFACTURER, PRODUCT, name, NULL };
	uint8_t *p = add(t, 1, 0x1b, 0x100, strings);

	p[0x04] = 1; /* manufacturer */
	p[0x05] = 2; /* product */
	p[0x07] = 3; /* serial number */
	put_uuid(p + 0x08, name);
	p[0x18] = 6; /* woken by the power switch */
	p = add(t, 3, 0x16, 0x300, strings);
	p[0x04] = 1;
	p[0x05] = 1; /* other */
	p[0x07] = 3;
	p[0x09] = p[0x0a] = p[0x0b] = 3; /* states: safe */
	p[0x0c] = 2; /* security: unknown */
}

/* "Processor Information (Type 4)": one with that many cores. */
static void
add_processor(struct tables *t, unsigned cpus)
{
	static const char *const strings[] = { "CPU 0", MANUFACTURER, NULL };
	uint8_t *p = add(t, 4, 0x2a, 0x400, strings),
		n = cpus > 0xff ? 0xff : (uint8_t)cpus;

	p[0x04] = 1; /* socket */
	p[0x05] = 3; /* central processor */
	p[0x06] = 1; /* family: other */
	p[0x07] = 2; /* manufacturer */
	p[0x18] = 0x41; /* there and enabled */
	p[0x19] = 1; /* upgrade: other */
	put(p + 0x1a, 2, NO_HANDLE); /* caches */
	put(p + 0x1c, 2, NO_HANDLE);
	put(p + 0x1e, 2, NO_HANDLE);
	p[0x23] = p[0x24] = p[0x25] = n; /* cores, enabled, threads */
	put(p + 0x26, 2, 1 << 2); /* 64-bit */
	put(p + 0x28, 2, 1);
}

/* "Physical Memory Array (Type 16)", "Memory Device (Type 17)": one. */
static void
add_memory(struct tables *t, uint64_t bytes)
{
	static const char *const strings[] = { "DIMM 0", MANUFACTURER, NULL };
	uint8_t *p = add(t, 16, 0x17, HANDLE_ARRAY, NULL);
	uint64_t kib = bytes >> 10, mib = bytes >> 20;

	p[0x04] = 1; /* location: other */
	p[0x05] = 3; /* system memory */
	p[0x06] = 3; /* no error correction */
	put(p + 0x07, 4, kib < 0x80000000 ? kib : 0x80000000);
	put(p + 0x0b, 2, NO_ERROR);
	put(p + 0x0d, 2, 1); /* devices */
	if (kib >= 0x80000000)
		put(p + 0x0f, 8, bytes);
	p = add(t, 17, 0x28, 0x1100, strings);
	put(p + 0x04, 2, HANDLE_ARRAY);
	put(p + 0x06, 2, NO_ERROR);
	put(p + 0x08, 2, 0xffff); /* widths are unknown */
	put(p + 0x0a, 2, 0xffff);
	put(p + 0x0c, 2, mib < 0x7fff ? mib : 0x7fff);
	p[0x0e] = 9; /* DIMM */
	p[0x10] = 1; /* locator */
	p[0x12] = 7; /* RAM */
	put(p + 0x13, 2, 1 << 1); /* other */
	p[0x17] = 2; /* manufacturer */
	if (mib >= 0x7fff)
		put(p + 0x1c, 4, mib);
}

/* "Memory Array Mapped Address (Type 19)" */
static void
add_region(struct tables *t, unsigned n, const struct gmem_region *r)
{
	uint8_t *p = add(t, 19, 0x1f, (uint16_t)(0x1300 + n), NULL);
	uint64_t first = r->gpa >> 10, last = ((r->gpa + r->len) >> 10) - 1;
	bool fits = last < UINT32_MAX;

	put(p + 0x04, 4, fits ? first : UINT32_MAX);
	put(p + 0x08, 4, fits ? last : UINT32_MAX);
	put(p + 0x0c, 2, HANDLE_ARRAY);
	p[0x0e] = 1; /* device in a row */
	if (!fits) {
		put(p + 0x0f, 8, r->gpa);
		put(p + 0x17, 8, r->gpa + r->len - 1);
	}
}

static int
build(struct tables *t, const struct gmem *mem, const char *name, unsigned cpus,
    bool bios)
{
	unsigned i;

	memset(t, 0, sizeof(*t));
	if (bios)
		add_bios(t);
	add_system(t, name);
	add_processor(t, cpus);
	add_memory(t, mem->size);
	for (i = 0; i < mem->nregions; i++)
		add_region(t, i, &mem->region[i]);
	add(t, 32, 0x0b, 0x2000, NULL); /* no errors at the start */
	add(t, 127, 0x04, 0x7f00, NULL);
	return t->full ? -ENOSPC : 0;
}

static uint8_t
checksum(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len-- > 0)
		sum += *b++;
	return (uint8_t)-sum;
}

static void
make_entry(struct entry *e, const struct tables *t, uint32_t at)
{
	const size_t dmi = offsetof(struct entry, dmi);

	*e = (struct entry){
		.anchor = "_SM_",
		.length = sizeof(*e),
		.major = MAJOR,
		.minor = MINOR,
		.longest = htole16((uint16_t)t->longest),
		.dmi = "_DMI_",
		.tables_len = htole16((uint16_t)t->len),
		.tables = htole32(at),
		.count = htole16(t->count),
		.bcd = MAJOR << 4 | MINOR,
	};
	e->dmi_checksum = checksum((uint8_t *)e + dmi, sizeof(*e) - dmi);
	e->checksum = checksum(e, sizeof(*e));
}

int
smbios_memory(const struct gmem *mem, const char *name, unsigned cpus)
{
	struct tables t;
	struct entry e;
	int r;

	if ((r = build(&t, mem, name, cpus, true)) < 0)
		return r;
	make_entry(&e, &t, SMBIOS_GPA + TABLES_AT);
	r = gmem_write(mem, (struct gpa){ SMBIOS_GPA }, &e, sizeof(e));
	return r < 0 ? r
		     : gmem_write(mem, (struct gpa){ SMBIOS_GPA + TABLES_AT },
			   t.b, t.len);
}

int
smbios_fwcfg(
    struct fwcfg *f, const struct gmem *mem, const char *name, unsigned cpus)
{
	struct tables t;
	struct entry e;
	int r;

	if ((r = build(&t, mem, name, cpus, false)) < 0)
		return r;
	make_entry(&e, &t, 0);
	r = fwcfg_add_file(f, "etc/smbios/smbios-anchor", &e, sizeof(e));
	return r < 0 ? r
		     : fwcfg_add_file(
			   f, "etc/smbios/smbios-tables", t.b, (uint32_t)t.len);
}
