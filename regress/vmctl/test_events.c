/* SPDX-License-Identifier: ISC */
/* vmctl events: what is printed for what vmd tells. */
#include <jansson.h>
#include <time.h>

#include "fakevmd.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

#define LOST "vmctl: vmd closed the connection\n"
#define T0   "1970-01-01 00:00:01 "

static int
setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	setenv("TZ", "UTC", 1);
	tzset();
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
test_lines(void **state)
{
	static const struct {
		const char *args[5], *script, *out, *err;
	} rows[] = {
		{ { "events" }, "event:1:3:web: event:2:3:web:",
		    T0 "web (vm 3): starting\n" T0 "web (vm 3): running\n",
		    LOST },
		{ { "ev" }, "event:7:3:web:powered_off",
		    T0 "web (vm 3): stopped: powered off\n", LOST },
		/* one's name, another one's number */
		{ { "events", "db" },
		    "event:1:3:web: event:1:4:db: event:2:3:web:",
		    T0 "db (vm 4): starting\n", LOST },
		{ { "events", "3" }, "event:1:3:web: event:1:4:db:",
		    T0 "web (vm 3): starting\n", LOST },
		{ { "events" }, "event:8:3:w\033[2J:a\nb",
		    T0 "w?[2J (vm 3): problem: a?b\n", LOST },
		{ { "events" }, "event:0:3:web: fail:105:some_are_lost",
		    T0 "web (vm 3): waiting\n",
		    "vmctl: events: some are lost\n" },
		{ { "events" }, "fail:1:", "",
		    "vmctl: events: Operation not permitted\n" },
		{ { "events" }, "ok:0:", "",
		    "vmctl: events: unexpected answer\n" },
		{ { "events" }, "", "", LOST },
		{ { "events", "-j" }, "event:7/1:3:web:why event:6:3:web:",
		    "{\"time\":\"1970-01-01T00:00:01.500Z\","
		    "\"event\":\"stopped\",\"id\":3,\"name\":\"web\","
		    "\"text\":\"why\",\"outcome\":\"off\"}\n"
		    "{\"time\":\"1970-01-01T00:00:01.500Z\","
		    "\"event\":\"restarting\",\"id\":3,\"name\":\"web\","
		    "\"text\":null,\"outcome\":null}\n",
		    LOST },
	};
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(f, rows[i].args, rows[i].script);
		assert_string_equal(f->out, rows[i].out);
		assert_string_equal(f->err, rows[i].err);
		assert_string_equal(f->requests, "EVENTS\n");
		assert_int_equal(f->status, 1);
	}
}

/* What is no event is not taken for one. */
static void
test_broken(void **state)
{
	static const char *const args[] = { "events", NULL };
	static const char *const scripts[] = { "event:9:3:web:", "junk", "type",
		"fd" };
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(scripts); i++) {
		fake_run(f, args, scripts[i]);
		assert_string_equal(f->out, "");
		assert_non_null(strstr(f->err, "not understood"));
		assert_int_equal(f->status, 1);
	}
}

static void
test_usage(void **state)
{
	static const struct {
		const char *args[5], *err;
	} rows[] = {
		{ { "events", "-x" }, "vmctl: unknown option: -x\nusage: " },
		{ { "events", "a", "b" },
		    "usage: vmctl [-v] [-s socket] events [-j] [id]\n" },
		{ { "events", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "events", "0" }, "vmctl: invalid id: 0\n" },
	};
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(f, rows[i].args, "unread");
		assert_memory_equal(f->err, rows[i].err, strlen(rows[i].err));
		assert_string_equal(f->requests, "");
		assert_int_equal(f->status, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
