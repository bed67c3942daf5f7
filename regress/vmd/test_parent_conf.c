/* SPDX-License-Identifier: ISC */
/* A second configuration, and none at all: load and reset. */
#include "parent_rig.h"

#define CONF(name, more) \
	"vm " name " {\n\tboot \"/nix\"\n\tmemory 64M\n\tdisable\n" more "}\n"
#define SWITCH(name) "switch " name " {\n\tinterface br9\n}\n"

static char more[80], included[80];

static void
write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int
files_setup(void **state)
{
	int error = setup(state);

	snprintf(more, sizeof(more), "%s/more", dir);
	snprintf(included, sizeof(included), "%s/included", dir);
	return error;
}

static int
files_teardown(void **state)
{
	unlink(more);
	unlink(included);
	return teardown(state);
}

/* The code of the answer; want is in what is told, a failure's text included */
static int
request_says(uint32_t type, const char *path, const char *want)
{
	struct session s;
	int code;

	hello(&s);
	code = ask(&s, type, load_of(path));
	if (code != 0)
		strlcat(s.lines, s.text, sizeof(s.lines));
	if (strstr(s.lines, want) == NULL)
		fail_msg("said: %s, not: %s", s.lines, want);
	bye(&s);
	return code;
}

static int
load_says(const char *path, const char *want)
{
	return request_says(CTL_LOAD, path, want);
}

static int
start_says(const char *path, const char *want)
{
	return request_says(CTL_START_FILE, path, want);
}

static void
test_load(void **state)
{
	struct ctl_vm before;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	before = row_of("twice");
	write_file(more,
	    "m = 96M\n"
	    "vm late {\n\tboot \"/nix\"\n\tmemory $m\n\tdisable\n"
	    "\tallow instance memory\n}\n"
	    "vm late instance child {\n\tmemory $m\n\tdisable\n}\n" SWITCH("s"),
	    0644);
	assert_int_equal(load_says(more,
			     "switch s: added\nvm late: added\n"
			     "vm child: added\n"),
	    0);
	assert_int_equal(row_of("late").maxmem, 96 << 20);
	assert_int_equal(row_of("twice").pid, before.pid);
	assert_int_equal(state_of("hers"), CTL_ST_STOPPED);
	/* What is there stays. */
	write_file(more, CONF("late", "") CONF("hers", "\tcpus 2\n"), 0644);
	assert_int_equal(load_says(more, "late\" defined before, skipped"), 0);
	assert_int_equal(load_says(more, "hers\" defined before, skipped"), 0);
	assert_int_equal(row_of("late").maxmem, 96 << 20);
	assert_int_equal(row_of("hers").cpus, 1);
	/* An instance of what another file said. */
	write_file(more,
	    "vm late instance third {\n\tmemory 128M\n\tdisable\n}\n", 0600);
	assert_int_equal(load_says(more, "vm third: added\n"), 0);
	assert_int_equal(row_of("third").maxmem, 128 << 20);
	/* vm.conf alone. */
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("late"), -1);
	assert_int_equal(state_of("third"), -1);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

/* More to say than anybody reads: the first of it is said. */
static void
test_load_warns(void **state)
{
	struct session s;
	FILE *f;
	int i;

	NEED_VMD();
	f = fopen(more, "we");
	assert_non_null(f);
	for (i = 0; i < 50000; i++)
		fputs("vm hers { cpus 1 }\n", f);
	fclose(f);
	assert_int_equal(chmod(more, 0644), 0);
	hello(&s);
	assert_int_equal(ask(&s, CTL_LOAD, load_of(more)), 0);
	assert_int_equal(s.nlines, 100);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	bye(&s);
}

/* A VM that was stopped by hand stays so; a new one starts. */
static void
test_load_starts(void **state)
{
	char text[256];

	NEED_VMD();
	write_conf("vm first {\n\tboot $k\n\tmemory 64M\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	becomes("first", CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("first", 1)), 0);
	becomes("first", CTL_ST_STOPPED);
	snprintf(text, sizeof(text),
	    "vm also {\n\tboot \"%s\"\n\tmemory 64M\n}\n", kernel);
	write_file(more, text, 0644);
	assert_int_equal(load_says(more, "vm also: added\n"), 0);
	becomes("also", CTL_ST_RUNNING);
	assert_int_equal(state_of("first"), CTL_ST_STOPPED);
	/* vm.conf does not have it; it runs, and here it is again. */
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("also"), CTL_ST_RUNNING);
	assert_int_equal(load_says(more, "vm also: added, takes effect"), 0);
	assert_int_equal(once(CTL_STOP, target("also", 1)), 0);
	becomes("also", CTL_ST_STOPPED);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("also"), -1);
}

/* What a file declares runs, is in no configuration, and is then forgotten. */
static void
test_start_file(void **state)
{
	char text[512];

	NEED_VMD();
	snprintf(text, sizeof(text),
	    "m = 64M\nvm once {\n\tdisable\n\tboot \"%s\"\n\tmemory $m\n"
	    "\towner %d\n}\n",
	    kernel, ALICE);
	write_file(more, text, 0644);
	assert_int_equal(start_says(more, ""), 0);
	assert_int_equal(state_of("once"), CTL_ST_RUNNING);
	assert_int_equal(row_of("once").uid, ALICE);
	assert_int_equal(
	    start_says(more, "vm \"once\" exists already"), EEXIST);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("once"), CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("once", 1)), 0);
	becomes("once", -1);
	/* Once more; and now vm.conf gets one of that name. */
	assert_int_equal(start_says(more, ""), 0);
	write_conf(CONF("once", ""));
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("once"), CTL_ST_RUNNING);
	assert_int_equal(once(CTL_STOP, target("once", 1)), 0);
	becomes("once", CTL_ST_STOPPED);
	assert_int_equal(
	    start_says(more, "vm \"once\" defined before"), EINVAL);
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("once"), -1);
}

static void
test_start_file_refused(void **state)
{
	static const struct {
		const char *text, *want;
		int code;
	} bad[] = {
		{ "", "declares 0 vms, not one", EINVAL },
		{ CONF("a", "") CONF("b", ""), "declares 2 vms, not one",
		    EINVAL },
		{ CONF("hers", ""), "vm \"hers\" defined before", EINVAL },
		{ CONF("a", "") SWITCH("s"), "declares switch \"s\"", EINVAL },
		{ CONF("a", "\tcpus 65\n"), "cpus", EINVAL },
		{ CONF("a", "") "bogus\n", ":6: syntax error", EINVAL },
		{ "vm a {\n\tboot \"/nix\"\n}\n", "/nix: No such file",
		    ENOENT },
		{ "vm a {\n\tmemory 64M\n}\n", "", CTL_E_FIRMWARE },
	};
	size_t i;

	NEED_VMD();
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file(more, bad[i].text, 0644);
		assert_int_equal(start_says(more, bad[i].want), bad[i].code);
		assert_int_equal(state_of("a"), -1);
	}
	write_file(more, CONF("a", ""), 0664);
	assert_int_equal(
	    start_says(more, "not a regular file of root's"), EINVAL);
	unlink(more);
	assert_int_equal(start_says(more, "No such file"), EINVAL);
}

/* Root reads it and does what it says: it has to be root's own. */
static void
test_load_refused(void **state)
{
	static const char not [] = "not a regular file of root's";
	char text[256];

	NEED_VMD();
	write_file(more, CONF("x", ""), 0664);
	assert_int_equal(load_says(more, not ), EINVAL);
	write_file(more, CONF("x", ""), 0646);
	assert_int_equal(load_says(more, not ), EINVAL);
	write_file(more, CONF("x", ""), 0644);
	assert_int_equal(chown(more, ALICE, 0), 0);
	assert_int_equal(load_says(more, not ), EINVAL);
	unlink(more);
	assert_int_equal(mkfifo(more, 0600), 0);
	assert_int_equal(load_says(more, not ), EINVAL);
	unlink(more);
	assert_int_equal(load_says(more, "No such file"), EINVAL);
	assert_int_equal(load_says(dir, "Is a directory"), EINVAL);
	/* Nor what it includes. */
	snprintf(text, sizeof(text), "include \"%s\"\n", included);
	write_file(more, text, 0644);
	write_file(included, CONF("x", ""), 0666);
	assert_int_equal(load_says(more, not ), EINVAL);
	assert_int_equal(state_of("x"), -1);
	write_file(included, CONF("x", ""), 0644);
	assert_int_equal(load_says(more, "vm x: added"), 0);
	/* All or nothing. */
	write_file(more, CONF("y", "") "bogus\n", 0644);
	assert_int_equal(load_says(more, ":6: syntax error"), EINVAL);
	assert_int_equal(state_of("y"), -1);
	assert_int_equal(state_of("x"), CTL_ST_STOPPED);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
}

static void
test_reset(void **state)
{
	struct session s, w;

	NEED_VMD();
	write_conf(SWITCH("s"));
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_int_equal(once(CTL_RESET, reset_of(CTL_RESET_SWITCHES)), 0);
	assert_int_equal(state_of("twice"), CTL_ST_RUNNING);
	hello(&w);
	post(&w, CTL_WAIT, -1, target("hers", -1));
	/* When it is answered, they are gone. */
	assert_int_equal(once(CTL_RESET, reset_of(CTL_RESET_VMS)), 0);
	assert_int_equal(answer(&w), 0);
	assert_int_equal(w.nended, 1);
	bye(&w);
	hello(&s);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	assert_int_equal(s.nvms, 0);
	bye(&s);
	assert_int_equal(once(CTL_START, target("twice", -1)), ENOENT);
	assert_int_equal(once(CTL_RESET, reset_of(CTL_RESET_ALL)), 0);
	hello(&s);
	assert_int_equal(ask(&s, CTL_RELOAD, NULL), 0);
	assert_non_null(strstr(s.lines, "switch s: added\nvm hers: added\n"));
	bye(&s);
	assert_int_equal(row_of("hers").id, 1);
	assert_int_equal(row_of("twice").id, 4);
}

/* VMs that start, that start again and again, that do not want to end. */
static void
test_reset_midway(void **state)
{
	struct session s;

	NEED_VMD();
	write_conf("vm again {\n\tboot $k\n\tcmdline reset\n\tdisable\n}\n"
		   "vm deaf {\n\tboot $k\n\tcmdline deaf\n\tdisable\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	hello(&s);
	post(&s, CTL_START, -1, target("silent", -1));
	assert_int_equal(once(CTL_START, target("again", -1)), 0);
	assert_int_equal(once(CTL_START, target("deaf", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("deaf", 0)), 0);
	assert_int_equal(once(CTL_RESET, reset_of(CTL_RESET_ALL)), 0);
	assert_int_equal(answer(&s), ECANCELED);
	assert_int_equal(ask(&s, CTL_LIST, NULL), 0);
	assert_int_equal(s.nvms, 0);
	bye(&s);
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_load),
		T(test_load_warns),
		T(test_load_starts),
		T(test_load_refused),
		T(test_start_file),
		T(test_start_file_refused),
		T(test_reset),
		T(test_reset_midway),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
