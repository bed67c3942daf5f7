/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "imsg.h"
#include "screen.h"

static const struct {
	const char *name;
	uint32_t mode, cols, rows, cursor;
	int ok;
} rows[] = {
	{ "80 by 25", SCREEN_TEXT, 80, 25, 1999, 1 },
	{ "no cursor", SCREEN_TEXT, 80, 25, SCREEN_NOCURSOR, 1 },
	{ "one cell", SCREEN_TEXT, 1, 1, 0, 1 },
	{ "off", SCREEN_OFF, 0, 0, SCREEN_NOCURSOR, 1 },
	{ "graphics", SCREEN_GRAPHICS, 0, 0, SCREEN_NOCURSOR, 1 },
	{ "mode", 3, 80, 25, 0, 0 },
	{ "too many cells", SCREEN_TEXT, 80, 26, 0, 0 },
	{ "product wraps", SCREEN_TEXT, 0x10000, 0x10000, 0, 0 },
	{ "no cells", SCREEN_TEXT, 0, 25, SCREEN_NOCURSOR, 0 },
	{ "cursor outside", SCREEN_TEXT, 80, 25, 2000, 0 },
	{ "off, with cells", SCREEN_OFF, 1, 1, SCREEN_NOCURSOR, 0 },
};

static void
test_screens(void **state)
{
	struct screen s, got;
	struct ibuf *b;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&s, 0, sizeof(s));
		s.mode = rows[i].mode;
		s.cols = rows[i].cols;
		s.rows = rows[i].rows;
		s.cursor = rows[i].cursor;
		s.cell[0] = rows[i].ok && s.cols > 0 ? 0x1f41 : 0;
		assert_non_null(b = ibuf_dynamic(0, 65536));
		assert_int_equal(screen_put(b, &s) == 0, rows[i].ok);
		if (!rows[i].ok) {
			ibuf_add_n32(b, s.mode);
			ibuf_add_n32(b, s.cols);
			ibuf_add_n32(b, s.rows);
			ibuf_add_n32(b, s.cursor);
			ibuf_add_zero(b, 8000);
		}
		assert_int_equal(screen_get(b, &got) == 0, rows[i].ok);
		if (rows[i].ok) {
			assert_memory_equal(&got, &s, sizeof(s));
			assert_int_equal(ibuf_size(b), 0);
		}
		ibuf_free(b);
	}
}

static void
test_truncated(void **state)
{
	struct screen got;
	struct ibuf *b;

	assert_non_null(b = ibuf_dynamic(0, 65536));
	ibuf_add_n32(b, SCREEN_TEXT);
	ibuf_add_n32(b, 80);
	ibuf_add_n32(b, 25);
	ibuf_add_n32(b, 0);
	ibuf_add_zero(b, 3999);
	assert_true(screen_get(b, &got) < 0);
	ibuf_free(b);
}

static void
test_keys(void **state)
{
	static const struct {
		uint32_t said, key[2];
		int ok;
	} keys[] = {
		{ 0, { 0 }, 1 },
		{ 2, { 0x1e, 0x1e | SCREEN_KEY_UP }, 1 },
		{ 1, { 0x53 | SCREEN_KEY_EXT | SCREEN_KEY_UP }, 1 },
		{ 1, { 0 }, 0 },
		{ 1, { 0x80 }, 0 },
		{ 1, { 0x1001e }, 0 },
		{ 3, { 1, 2 }, 0 },
		{ SCREEN_KEYS_MAX + 1, { 1, 2 }, 0 },
		{ UINT32_MAX, { 1, 2 }, 0 },
	};
	uint32_t key[SCREEN_KEYS_MAX], n, k;
	struct ibuf *b;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_non_null(b = ibuf_dynamic(0, 65536));
		ibuf_add_n32(b, keys[i].said);
		for (k = 0; k < 2 && k < keys[i].said; k++)
			ibuf_add_n32(b, keys[i].key[k]);
		assert_int_equal(screen_get_keys(b, key, &n) == 0, keys[i].ok);
		if (keys[i].ok) {
			assert_int_equal(n, keys[i].said);
			assert_memory_equal(key, keys[i].key, 4 * n);
		}
		ibuf_free(b);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_screens),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
