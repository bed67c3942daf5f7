/* SPDX-License-Identifier: ISC */
/* Printable strings and sizes. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "text.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

static void
test_scaled(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} rows[] = {
		{ 0, "0B" },
		{ 1, "1B" },
		{ 1023, "1023B" },
		{ 1024, "1.0K" },
		{ 1536, "1.5K" },
		{ 10 * 1024, "10.0K" },
		{ 100 * 1024, "100K" },
		{ 100 * 1024 + 512, "101K" },
		{ 16ULL << 20, "16.0M" },
		{ 512ULL << 20, "512M" },
		{ (1ULL << 20) - 1, "1024K" },
		{ 1ULL << 30, "1.0G" },
		{ 3584ULL << 20, "3.5G" },
		{ (2ULL << 30) - 1, "2.0G" },
		{ 1ULL << 63, "8.0E" },
		{ UINT64_MAX, "16.0E" },
	};
	char out[TEXT_SCALED];
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		text_scaled(rows[i].bytes, out);
		assert_string_equal(out, rows[i].want);
	}
}

static void
test_clean(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ "web", "web" },
		{ "a b", "a b" },
		{ "\033[31mred\033[0m", "?[31mred?[0m" },
		{ "bell\a\b\t\r\n\177", "bell??????" },
		{ "\xc3\xbc", "\xc3\xbc" }, /* u umlaut */
		{ "\xe2\x82\xac", "\xe2\x82\xac" }, /* euro */
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xc2\x9b"
		  "31m",
		    "??31m" }, /* CSI as a C1 control */
		{ "\x9b"
		  "31m",
		    "?31m" }, /* the same as a bare byte */
		{ "\xe2\x80\xae"
		  "gnp",
		    "???gnp" }, /* right-to-left override */
		{ "\xe2\x81\xa6x", "???x" }, /* isolate */
		{ "\xe2\x80\xa8x", "???x" }, /* line separator */
		{ "\xc0\xaf", "??" }, /* overlong */
		{ "\xe0\x80\xaf", "???" },
		{ "\xf0\x80\x80\xaf", "????" },
		{ "\xed\xa0\x80", "???" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "????" }, /* beyond the last */
		{ "\xf8\x88\x80\x80\x80", "?????" },
		{ "cut\xe2\x82", "cut??" },
		{ "cut\xe2", "cut?" },
	};
	char buf[64];
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		snprintf(buf, sizeof(buf), "%s", rows[i].in);
		text_clean(buf);
		assert_string_equal(buf, rows[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scaled),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
