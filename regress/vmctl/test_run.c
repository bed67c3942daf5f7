/* SPDX-License-Identifier: ISC */
/* vmctl run: what it asks for, and what its exit status says. */
#include "fakevmd.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

#define STARTED "vmctl: started vm 3 successfully\n"

static int
setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fake_init(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fake_done(*state);
	free(*state);
	return 0;
}

static void
test_outcomes(void **state)
{
	static const struct {
		const char *script, *err;
		int status;
	} rows[] = {
		{ "event:7/1:3:web:powered_off", "", 0 },
		{ "event:7/2:3:web:", "", 0 },
		{ "event:7/3:3:web:", "vmctl: web: forced\n", 11 },
		{ "event:7/4:3:web:restarted_too_quickly",
		    "vmctl: web: restarted too quickly\n", 10 },
		{ "event:7/5:3:web:vm_process_killed",
		    "vmctl: web: vm process killed\n", 12 },
		{ "event:7/0:3:web:", "vmctl: web: \n", 12 },
		{ "event:7/6:3:web:no_memory", "vmctl: web: no memory\n", 1 },
		/* Another one's end, and what is none. */
		{ "event:7/5:4:db: event:1:3:web: event:2:3:web: event:6:3:web: "
		  "event:8:3:web:disk event:7/1:3:web:",
		    "", 0 },
	};
	struct fake *f = *state;
	const char *const args[] = { "run", "web", NULL };
	char script[256], err[256];

	for (size_t i = 0; i < NROWS(rows); i++) {
		snprintf(script, sizeof(script), "%s | ok:3:", rows[i].script);
		snprintf(err, sizeof(err), STARTED "%s", rows[i].err);
		fake_run(f, args, script);
		assert_string_equal(f->err, err);
		assert_string_equal(f->requests, "EVENTS\nSTART 0 web\n");
		assert_int_equal(f->status, rows[i].status);
	}
}

static void
test_not_started(void **state)
{
	static const struct {
		const char *args[4], *script, *requests;
	} rows[] = {
		{ { "run", "web" }, "| fail:2:", "EVENTS\nSTART 0 web\n" },
		{ { "run", "web" },
		    "fail:1: | fail:2:", "EVENTS\nSTART 0 web\n" },
		{ { "run", "-c", "web" }, "", "EVENTS\n" },
		{ { "run" }, "", "EVENTS\n" },
	};
	struct fake *f = *state;

	for (size_t i = 0; i < NROWS(rows); i++) {
		fake_run(f, rows[i].args, rows[i].script);
		assert_string_equal(f->requests, rows[i].requests);
		assert_int_equal(f->status, 1);
	}
}

/* It runs already: with -q that one is waited for, by its name. */
static void
test_runs_already(void **state)
{
	struct fake *f = *state;
	const char *const args[] = { "run", "-q", "web", NULL };

	fake_run(f, args, "event:7/1:9:db: event:7/4:3:web:often | fail:114:");
	assert_string_equal(f->err, "vmctl: web: often\n");
	assert_int_equal(f->status, 10);
	/* And when events are refused, there is nothing to wait for. */
	fake_run(f, args, "fail:1: | fail:114: | unread | unread");
	assert_int_equal(f->status, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(test_outcomes),
		TEST(test_not_started),
		TEST(test_runs_already),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
