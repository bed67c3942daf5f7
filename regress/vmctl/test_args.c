/* SPDX-License-Identifier: ISC */
/* Words of the command line: accepted and refused values. */
#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "args.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))
#define MIB	 (1ULL << 20)
#define NAME_63                           \
	"n234567890123456789012345678901" \
	"23456789012345678901234567890123"

static void
test_target(void **state)
{
	static const struct {
		const char *word;
		int error;
		uint32_t id;
		const char *name;
	} rows[] = {
		{ "1", 0, 1, "" },
		{ "4294967295", 0, UINT32_MAX, "" },
		{ "007", 0, 7, "" },
		{ "web", 0, 0, "web" },
		{ "3com", 0, 0, "3com" },
		{ "a.b-c_d", 0, 0, "a.b-c_d" },
		{ NAME_63, 0, 0, NAME_63 },
		{ NAME_63 "4", -ENAMETOOLONG, 0, NULL },
		{ "0", -EINVAL, 0, NULL },
		{ "4294967296", -EINVAL, 0, NULL },
		{ "18446744073709551617", -EINVAL, 0, NULL },
		{ "99999999999999999999999999", -EINVAL, 0, NULL },
		{ "", -EINVAL, 0, NULL },
		{ "-1", -EINVAL, 0, NULL },
		{ "-web", -EINVAL, 0, NULL },
		{ ".web", -EINVAL, 0, NULL },
		{ "_web", -EINVAL, 0, NULL },
		{ "a/b", -EINVAL, 0, NULL },
		{ "../etc", -EINVAL, 0, NULL },
		{ "a b", -EINVAL, 0, NULL },
		{ " 1", -EINVAL, 0, NULL },
		{ "w\xc3\xa9"
		  "b",
		    -EINVAL, 0, NULL },
		{ "a\033[2J", -EINVAL, 0, NULL },
	};
	struct target t;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		memset(&t, 0x55, sizeof(t));
		assert_int_equal(args_target(rows[i].word, &t), rows[i].error);
		if (rows[i].error != 0) {
			assert_int_equal(t.id, 0x55555555);
			continue;
		}
		assert_int_equal(t.id, rows[i].id);
		assert_string_equal(t.name, rows[i].name);
	}
}

static void
test_memory(void **state)
{
	static const struct {
		const char *word;
		int error;
		uint64_t bytes;
	} rows[] = {
		{ "16M", 0, 16 * MIB },
		{ "512m", 0, 512 * MIB },
		{ "3.5G", 0, 3584 * MIB },
		{ "16777216", 0, 16 * MIB },
		{ "16777217", 0, 16 * MIB },
		{ "1.001G", 0, 1025 * MIB },
		{ "4T", 0, 4096 * 1024 * MIB },
		{ "15M", -ERANGE, 0 },
		{ "0", -ERANGE, 0 },
		{ "16777215", -ERANGE, 0 },
		{ "5T", -ERANGE, 0 },
		{ "1E", -ERANGE, 0 },
		/* 64-bit arithmetic must not wrap to something small */
		{ "16E", -ERANGE, 0 },
		{ "17592186044416M", -ERANGE, 0 },
		{ "18446744073726328832", -ERANGE, 0 },
		{ "18446744073709551616M", -ERANGE, 0 },
		{ "99999999999999999999999999999999999999999G", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "-1G", -EINVAL, 0 },
		{ "512MB", -EINVAL, 0 },
		{ "512 M", -EINVAL, 0 },
		{ "0x1000000", -EINVAL, 0 },
		{ "1Q", -EINVAL, 0 },
	};
	uint64_t bytes;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		bytes = 42;
		assert_int_equal(
		    args_memory(rows[i].word, &bytes), rows[i].error);
		assert_true(bytes == (rows[i].error ? 42 : rows[i].bytes));
	}
}

static void
test_cpus(void **state)
{
	static const struct {
		const char *word;
		int error;
		uint32_t n;
	} rows[] = {
		{ "1", 0, 1 },
		{ "64", 0, 64 },
		{ "65", -ERANGE, 0 },
		{ "0", -ERANGE, 0 },
		{ "4294967297", -ERANGE, 0 },
		{ "18446744073709551617", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ "2x", -EINVAL, 0 },
		{ "two", -EINVAL, 0 },
	};
	uint32_t n;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		n = 42;
		assert_int_equal(args_cpus(rows[i].word, &n), rows[i].error);
		assert_int_equal(n, rows[i].error ? 42 : rows[i].n);
	}
}

static void
test_path(void **state)
{
	char dir[] = "/tmp/vmctl.XXXXXX", cwd[256], want[512], out[64];
	char lots[8192];

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(args_path("a/b", out, sizeof(out)), 0);
	snprintf(want, sizeof(want), "%s/a/b", dir);
	assert_string_equal(out, want);
	assert_int_equal(args_path("/k", out, sizeof(out)), 0);
	assert_string_equal(out, "/k");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(args_path("k", out, sizeof(out)), 0);
	assert_string_equal(out, "/k");
	assert_int_equal(args_path("", out, sizeof(out)), -EINVAL);
	assert_int_equal(args_path("/a\nb", out, sizeof(out)), -EINVAL);
	memset(lots, 'x', 64);
	lots[0] = '/';
	lots[64] = '\0';
	assert_int_equal(args_path(lots, out, 64), -ENAMETOOLONG);
	lots[63] = '\0';
	assert_int_equal(args_path(lots, out, 64), 0);
	memset(lots, 'x', sizeof(lots));
	lots[sizeof(lots) - 1] = '\0';
	assert_int_equal(args_path(lots, out, sizeof(out)), -EINVAL);

	/* The directory is gone: no absolute path can be made. */
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(args_path("k", out, sizeof(out)), -ENOENT);
	assert_int_equal(chdir(cwd), 0);
}

static void
test_disk(void **state)
{
	struct vmconf conf;

	vmconf_init(&conf);
	assert_int_equal(args_disk("/d/0", &conf), 0);
	assert_int_equal(args_disk("raw:/d/1", &conf), 0);
	assert_int_equal(args_disk("qcow2:", &conf), -EINVAL);
	assert_int_equal(args_disk("raw:", &conf), -EINVAL);
	assert_int_equal(args_disk("", &conf), -EINVAL);
	assert_int_equal(conf.ndisks, 2);
	assert_int_equal(args_disk("/d/raw:2", &conf), 0);
	assert_int_equal(args_disk("qcow2:/d/3", &conf), 0);
	assert_int_equal(args_disk("/d/4", &conf), -ERANGE);
	assert_int_equal(conf.ndisks, 4);
	assert_string_equal(conf.disk[0].path, "/d/0");
	assert_string_equal(conf.disk[1].path, "/d/1");
	assert_string_equal(conf.disk[2].path, "/d/raw:2");
	assert_string_equal(conf.disk[3].path, "/d/3");
	assert_int_equal(conf.disk[0].format, VM_DISK_ANY);
	assert_int_equal(conf.disk[1].format, VM_DISK_RAW);
	assert_int_equal(conf.disk[2].format, VM_DISK_ANY);
	assert_int_equal(conf.disk[3].format, VM_DISK_QCOW2);
}

static void
test_keyword(void **state)
{
	static const char *const words[] = { "start", "status", "stop", "st" };
	static const struct {
		const char *word;
		bool ignore_case;
		int want;
	} rows[] = {
		{ "start", false, 0 },
		{ "star", false, 0 },
		{ "stat", false, 1 },
		{ "st", false, 3 }, /* all of it: no prefix any more */
		{ "sto", false, 2 },
		{ "sta", false, -EEXIST },
		{ "s", false, -EEXIST },
		{ "", false, -ENOENT },
		{ "x", false, -ENOENT },
		{ "starts", false, -ENOENT },
		{ "STOP", false, -ENOENT },
		{ "STO", true, 2 },
		{ "StOp", true, 2 },
	};
	size_t i;

	for (i = 0; i < NROWS(rows); i++)
		assert_int_equal(args_keyword(rows[i].word, words, NROWS(words),
				     rows[i].ignore_case),
		    rows[i].want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_keyword),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
