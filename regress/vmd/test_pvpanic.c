/* SPDX-License-Identifier: ISC */

/* The port by which a guest says that it panicked (vmd/pvpanic.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "pvpanic.h"

static unsigned panics, handleds;

static void
panicked(void *arg, bool handled)
{
	panics++;
	handleds += handled;
}

static void
test_events(void **state)
{
	static const struct {
		const char *what;
		uint8_t write[3];
		unsigned panics, handled;
	} rows[] = {
		{ "nothing", { 0 }, 0, 0 },
		{ "unknown bits", { 0xfc, 0x80 }, 0, 0 },
		{ "a panic", { 1 }, 1, 0 },
		{ "by a crash kernel", { 2 }, 1, 1 },
		{ "both", { 3 }, 1, 0 },
		{ "all bits", { 0xff }, 1, 0 },
		{ "again and again", { 1, 1, 1 }, 1, 0 },
		{ "one, then the other", { 2, 1, 2 }, 1, 1 },
	};
	struct pvpanic p;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		panics = handleds = 0;
		pvpanic_init(&p, panicked, NULL);
		for (unsigned j = 0; j < 3; j++)
			pvpanic_write(&p, rows[i].write[j]);
		if (panics != rows[i].panics || handleds != rows[i].handled)
			fail_msg("%s: %u %u", rows[i].what, panics, handleds);
		assert_int_equal(pvpanic_read(&p), 3);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
