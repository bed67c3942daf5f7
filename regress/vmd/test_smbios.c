/* SPDX-License-Identifier: ISC */
/*
 * SMBIOS, read as an operating system does: the entry point by its checksums,
 * the structures one behind the other ("Structure header format").
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bus.h"
#include "fwcfg.h"
#include "smbios.h"

#define LOW  (64ULL << 20)
#define ALL  "0 1 3 4 16 17 19 32 127 "
#define MORE "1 3 4 16 17 19 19 32 127 "

static uint64_t
le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

static uint8_t
sum(const uint8_t *p, size_t n)
{
	uint8_t s = 0;

	while (n-- > 0)
		s += *p++;
	return s;
}

static const char *
string(const uint8_t *s, unsigned n)
{
	const char *p = (const char *)s + s[1];

	assert_true(n > 0);
	while (--n > 0)
		p += strlen(p) + 1;
	return p;
}

/* The types in their order, and the last structure of the one that is asked
 * for. */
static const uint8_t *
walk(const uint8_t *t, size_t len, unsigned count, char *types, unsigned want)
{
	const uint8_t *found = NULL;
	size_t off = 0, end;

	for (; count > 0; count--) {
		assert_true(len - off >= 4 && t[off + 1] >= 4);
		types += sprintf(types, "%u ", t[off]);
		if (t[off] == want)
			found = t + off;
		end = off + t[off + 1];
		while (assert_true(end + 2 <= len), t[end] || t[end + 1])
			end++;
		off = end + 2;
	}
	assert_int_equal(off, len);
	return found;
}

static void
check_entry(const uint8_t *e)
{
	assert_memory_equal(e, "_SM_", 4);
	assert_int_equal(e[5], 31);
	assert_int_equal(sum(e, 31), 0);
	assert_memory_equal(e + 16, "_DMI_", 5);
	assert_int_equal(sum(e + 16, 15), 0);
}

static void
test_memory(void **state)
{
	struct gmem mem;
	const uint8_t *e, *t, *s;
	char types[64];

	assert_int_equal(gmem_create(&mem, LOW), 0);
	assert_int_equal(smbios_memory(&mem, "web", 4), 0);
	e = gmem_range(&mem, (struct gpa){ SMBIOS_GPA }, SMBIOS_LEN);
	check_entry(e);
	assert_in_range(le(e + 24, 4), SMBIOS_GPA + 31,
	    SMBIOS_GPA + SMBIOS_LEN - le(e + 22, 2));
	t = e + (le(e + 24, 4) - SMBIOS_GPA);
	s = walk(t, le(e + 22, 2), (unsigned)le(e + 28, 2), types, 1);
	assert_string_equal(types, ALL);
	assert_string_equal(string(s, s[7]), "web");
	assert_int_equal(s[0x0f] >> 4, 8); /* little-endian: the version */
	assert_int_equal(s[0x10] >> 6, 2);
	s = walk(t, le(e + 22, 2), (unsigned)le(e + 28, 2), types, 4);
	assert_int_equal(s[0x23], 4);
	s = walk(t, le(e + 22, 2), (unsigned)le(e + 28, 2), types, 17);
	assert_int_equal(le(s + 0x0c, 2), 64);
	s = walk(t, le(e + 22, 2), (unsigned)le(e + 28, 2), types, 19);
	assert_int_equal(le(s + 4, 4), 0);
	assert_int_equal(le(s + 8, 4), (LOW >> 10) - 1);
	gmem_destroy(&mem);
}

static const struct fwcfg_item *
file(const struct fwcfg *f, const char *name)
{
	for (unsigned i = 0; i < f->n; i++)
		if (strcmp(f->item[i].name, name) == 0)
			return &f->item[i];
	fail_msg("no %s", name);
	return NULL;
}

/* More than 32 GiB, on both sides of the PCI hole, beyond 4 TiB: the fields
 * that the first versions have are too small. */
static void
test_firmware(void **state)
{
	struct gmem mem = {
		.size = 5ULL << 40,
		.nregions = 2,
		.region = { { .gpa = 0, .len = 3ULL << 30 },
		    { .gpa = 4ULL << 30, .len = (5ULL << 40) - (3ULL << 30) } }
	};
	const struct fwcfg_item *e, *t;
	const uint8_t *s;
	struct fwcfg f;
	char types[64];

	assert_int_equal(fwcfg_init(&f, &mem), 0);
	assert_int_equal(smbios_fwcfg(&f, &mem, "web", 64), 0);
	e = file(&f, "etc/smbios/smbios-anchor");
	t = file(&f, "etc/smbios/smbios-tables");
	assert_int_equal(e->len, 31);
	check_entry(e->data);
	assert_int_equal(le(e->data + 22, 2), t->len);
	assert_int_equal(le(e->data + 24, 4), 0);
	s = walk(t->data, t->len, (unsigned)le(e->data + 28, 2), types, 17);
	assert_string_equal(types, MORE);
	assert_int_equal(le(s + 0x0c, 2), 0x7fff);
	assert_int_equal(le(s + 0x1c, 4), 5 << 20);
	s = walk(t->data, t->len, (unsigned)le(e->data + 28, 2), types, 16);
	assert_int_equal(le(s + 0x07, 4), 0x80000000);
	assert_int_equal(le(s + 0x0f, 8), 5ULL << 40);
	s = walk(t->data, t->len, (unsigned)le(e->data + 28, 2), types, 19);
	assert_int_equal(le(s + 4, 4), UINT32_MAX);
	assert_int_equal(le(s + 0x0f, 8), 4ULL << 30);
	assert_int_equal(le(s + 0x17, 8), (5ULL << 40) + (1ULL << 30) - 1);
	fwcfg_free(&f);
}

/* The longest structure is in the entry point; a name is no danger. */
static void
test_names(void **state)
{
	struct gmem mem;
	char name[SMBIOS_LEN];
	const uint8_t *e;

	assert_int_equal(gmem_create(&mem, LOW), 0);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(smbios_memory(&mem, name, 1), -ENOSPC);
	name[64] = '\0';
	assert_int_equal(smbios_memory(&mem, name, 1), 0);
	e = gmem_range(&mem, (struct gpa){ SMBIOS_GPA }, SMBIOS_LEN);
	check_entry(e);
	assert_in_range(le(e + 8, 2), 64 + 0x1b, 200);
	gmem_destroy(&mem);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_firmware),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
