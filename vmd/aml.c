/* SPDX-License-Identifier: ISC */

/*
 * ACPI Machine Language writer.
 * After: ACPI specification, "ACPI Machine Language (AML) Specification"
 * (sections "Name Objects Encoding", "Package Length Encoding", "Term Objects
 * Encoding") and "Resource Data Types for ACPI".
 *
 * A block's length is known when it is closed; then its contents move up to
 * make room for the shortest encoding of it.
 */
#include <string.h>
#include "aml.h"

#define OP_ZERO	   0x00
#define OP_ONE	   0x01
#define OP_NAME	   0x08
#define OP_BYTE	   0x0a
#define OP_WORD	   0x0b
#define OP_DWORD   0x0c
#define OP_STRING  0x0d
#define OP_QWORD   0x0e
#define OP_SCOPE   0x10
#define OP_BUFFER  0x11
#define OP_PACKAGE 0x12
#define OP_METHOD  0x14
#define OP_NOTIFY  0x86
#define DUAL_NAME  0x2e /* two segments follow */
#define OP_EXT	   0x5b
#define OP_DEVICE  0x82 /* after OP_EXT */

#define RES_IRQ	  0x22 /* small, no flags: edge, active high */
#define RES_IO	  0x47
#define RES_END	  0x79
#define RES_DWORD 0x87
#define RES_WORD  0x88
#define RES_MEM	  0
#define RES_PORTS 1
#define RES_BUS	  2
/* "General Flags": both ends fixed, positive decode, producer. */
#define RES_FIXED 0x0c
#define MEM_UC_RW 0x01 /* not cacheable, read and write */
#define PORTS_ALL 0x03 /* ISA and non-ISA ranges */

static void
put(struct aml *a, const void *src, size_t len)
{
	if (a->failed || len > a->size - a->len) {
		a->failed = true;
		return;
	}
	memcpy(a->buf + a->len, src, len);
	a->len += len;
}

static void
put_le(struct aml *a, uint64_t val, size_t len)
{
	uint8_t b[8];
	size_t i;

	for (i = 0; i < len; i++)
		b[i] = (uint8_t)(val >> i * 8);
	put(a, b, len);
}

static void
put8(struct aml *a, uint8_t val)
{
	put(a, &val, 1);
}

void
aml_init(struct aml *a, uint8_t *buf, size_t size)
{
	memset(a, 0, sizeof(*a));
	a->buf = buf;
	a->size = size;
}

bool
aml_error(const struct aml *a)
{
	return a->failed || a->depth != 0;
}

static void
open_block(struct aml *a, bool buffer)
{
	if (a->depth == AML_DEPTH) {
		a->failed = true;
		return;
	}
	a->buffer[a->depth] = buffer;
	a->open[a->depth++] = a->len;
}

static void
put_name(struct aml *a, const char *name)
{
	put(a, name, name[0] == '\\' ? 5 : 4);
}

void
aml_scope(struct aml *a, const char *name)
{
	put8(a, OP_SCOPE);
	open_block(a, false);
	put_name(a, name);
}

void
aml_device(struct aml *a, const char *name)
{
	put8(a, OP_EXT);
	put8(a, OP_DEVICE);
	open_block(a, false);
	put_name(a, name);
}

void
aml_method(struct aml *a, const char *name)
{
	put8(a, OP_METHOD);
	open_block(a, false);
	put_name(a, name);
	put8(a, 0); /* arguments, not serialized */
}

void
aml_notify(struct aml *a, const char *device, uint8_t val)
{
	put8(a, OP_NOTIFY);
	put8(a, '\\');
	put8(a, DUAL_NAME);
	put_name(a, "_SB_");
	put_name(a, device);
	aml_int(a, val);
}

void
aml_package(struct aml *a, uint8_t elements)
{
	put8(a, OP_PACKAGE);
	open_block(a, false);
	put8(a, elements);
}

/* Put n bytes before what was written since start. */
static void
insert(struct aml *a, size_t start, const uint8_t *src, size_t n)
{
	if (a->failed || n > a->size - a->len) {
		a->failed = true;
		return;
	}
	memmove(a->buf + start + n, a->buf + start, a->len - start);
	memcpy(a->buf + start, src, n);
	a->len += n;
}

/* "Package Length Encoding": the length counts its own bytes. */
static void
insert_pkglength(struct aml *a, size_t start)
{
	size_t body = a->len - start, n, i;
	uint8_t b[4];

	if (body + 1 < 0x40) {
		b[0] = (uint8_t)(body + 1);
		insert(a, start, b, 1);
		return;
	}
	for (n = 2; n < 4 && body + n >= (size_t)1 << (8 * n - 4); n++)
		;
	b[0] = (uint8_t)((n - 1) << 6 | ((body + n) & 0x0f));
	for (i = 1; i < n; i++)
		b[i] = (uint8_t)((body + n) >> (8 * i - 4));
	insert(a, start, b, n);
}

void
aml_close(struct aml *a)
{
	size_t start, body;
	uint8_t size[3] = { OP_WORD, 0, 0 };

	if (a->depth == 0) {
		a->failed = true;
		return;
	}
	start = a->open[--a->depth];
	if (a->buffer[a->depth]) {
		/* "End Tag": a checksum of zero counts as correct. */
		put_le(a, RES_END, 2);
		body = a->len - start;
		size[1] = (uint8_t)body;
		size[2] = (uint8_t)(body >> 8);
		if (body > 0xff)
			insert(a, start, size, 3);
		else {
			size[0] = OP_BYTE;
			insert(a, start, size, 2);
		}
	}
	insert_pkglength(a, start);
}

void
aml_name(struct aml *a, const char *name)
{
	put8(a, OP_NAME);
	put_name(a, name);
}

void
aml_int(struct aml *a, uint64_t val)
{
	if (val <= 1)
		put8(a, val ? OP_ONE : OP_ZERO);
	else if (val <= UINT8_MAX) {
		put8(a, OP_BYTE);
		put_le(a, val, 1);
	} else if (val <= UINT16_MAX) {
		put8(a, OP_WORD);
		put_le(a, val, 2);
	} else if (val <= UINT32_MAX) {
		put8(a, OP_DWORD);
		put_le(a, val, 4);
	} else {
		put8(a, OP_QWORD);
		put_le(a, val, 8);
	}
}

static unsigned
hex(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'A' + 10);
}

/* "String" of "Data Objects Encoding": its characters and a zero. */
void
aml_string(struct aml *a, const char *s)
{
	put8(a, OP_STRING);
	put(a, s, strlen(s) + 1);
}

/* "EISAID": three letters of five bits and four digits, big-endian. */
void
aml_eisaid(struct aml *a, const char *id)
{
	uint32_t v = (uint32_t)(id[0] - '@') << 26 |
	    (uint32_t)(id[1] - '@') << 21 | (uint32_t)(id[2] - '@') << 16 |
	    hex(id[3]) << 12 | hex(id[4]) << 8 | hex(id[5]) << 4 | hex(id[6]);

	put8(a, OP_DWORD);
	put_le(a, __builtin_bswap32(v), 4);
}

void
aml_resources(struct aml *a)
{
	put8(a, OP_BUFFER);
	open_block(a, true);
}

void
aml_res_io(struct aml *a, uint16_t base, uint8_t len)
{
	put8(a, RES_IO);
	put8(a, 1); /* 16-bit decode */
	put_le(a, base, 2);
	put_le(a, base, 2);
	put8(a, 1); /* alignment */
	put8(a, len);
}

void
aml_res_irq(struct aml *a, unsigned irq)
{
	put8(a, RES_IRQ);
	put_le(a, 1u << irq, 2);
}

/* "Address Space Resource Descriptors" of width bytes per field. */
static void
address_space(struct aml *a, uint8_t type, uint8_t flags, size_t width,
    uint64_t first, uint64_t last)
{
	put8(a, width == 2 ? RES_WORD : RES_DWORD);
	put_le(a, 3 + 5 * width, 2);
	put8(a, type);
	put8(a, RES_FIXED);
	put8(a, flags);
	put_le(a, 0, width); /* granularity */
	put_le(a, first, width);
	put_le(a, last, width);
	put_le(a, 0, width); /* translation */
	put_le(a, last - first + 1, width);
}

void
aml_res_bus(struct aml *a, uint16_t first, uint16_t last)
{
	address_space(a, RES_BUS, 0, 2, first, last);
}

void
aml_res_io_window(struct aml *a, uint16_t base, uint16_t len)
{
	address_space(a, RES_PORTS, PORTS_ALL, 2, base, base + len - 1u);
}

void
aml_res_mem_window(struct aml *a, uint32_t base, uint32_t len)
{
	address_space(a, RES_MEM, MEM_UC_RW, 4, base, (uint64_t)base + len - 1);
}
