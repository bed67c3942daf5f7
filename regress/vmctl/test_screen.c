/* SPDX-License-Identifier: ISC */
/* vmctl screen and vmctl key; names of keys; code page 437. */
#include "fakevmd.h"

#include <iconv.h>
#include "cp437.h"
#include "keyname.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))
#define ROWS_24	 "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
#define GAP_37	 "                                     "

static void
test_commands(void **state)
{
	static const struct {
		const char *args[FAKE_ARGS];
		const char *script, *requests, *err;
		int status;
		const char *out;
	} rows[] = {
		{ { "screen", "web" }, "cells:1:login ok:3:", "SCREEN 0 web\n",
		    "", 0, "login" GAP_37 GAP_37 "\342\230\272\n" ROWS_24 },
		{ { "screen", "3" }, "cells:0: ok:3:", "SCREEN 3 \n", "", 0,
		    "(the screen is off)\n" },
		{ { "screen", "web" }, "cells:2: ok:3:", "SCREEN 0 web\n", "",
		    0, "(graphics, not shown)\n" },
		{ { "screen", "-fj", "web" }, "cells:2: ok:3:",
		    "SCREEN 0 web\n", "vmctl: vmd closed the connection\n", 1,
		    "{\"mode\":\"graphics\",\"columns\":0,\"rows\":0,"
		    "\"cursor\":null,\"lines\":[]}\n" },
		{ { "screen", "web" }, "fail:1004:vm_web_is_not_running",
		    "SCREEN 0 web\n",
		    "vmctl: screen command failed: vm web is not running\n", 1,
		    "" },
		{ { "screen", "web" }, "ok:3:", "SCREEN 0 web\n",
		    "vmctl: screen command failed: unexpected answer\n", 1,
		    "" },
		{ { "key", "web", "ctrl-alt-delete" }, "ok:3:",
		    "KEY 0 web 1d 38 153 8153 8038 801d\n", "", 0, "" },
		{ { "key", "-t", "3", "A" },
		    "ok:3:", "KEY 3  2a 1e 801e 802a\n", "", 0, "" },
		{ { "key", "web", "ret" }, "fail:1:", "KEY 0 web 1c 801c\n",
		    "vmctl: key command failed: Operation not permitted\n", 1,
		    "" },
		{ { "key", "web", "a", "enter" }, "", "",
		    "vmctl: unknown key: enter\n", 1, "" },
		{ { "key", "-t", "web", "\303\244" }, "", "",
		    "vmctl: no key for a character of: \\303\\244\n", 1, "" },
	};
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(f, rows[i].args, rows[i].script);
		assert_string_equal(f->err, rows[i].err);
		assert_string_equal(f->out, rows[i].out);
		assert_string_equal(f->requests, rows[i].requests);
		assert_int_equal(f->status, rows[i].status);
	}
}

static void
test_json(void **state)
{
	static const char *const args[FAKE_ARGS] = { "screen", "-j", "web" };
	struct fake *f = *state;

	fake_run(f, args, "cells:1:login ok:3:");
	assert_int_equal(f->status, 0);
	assert_non_null(strstr(f->out, "\"mode\": \"text\""));
	assert_non_null(strstr(f->out, "\"columns\": 80"));
	assert_non_null(strstr(f->out, "\"row\": 1"));
	assert_non_null(strstr(f->out, "\"column\": 3"));
	assert_non_null(strstr(f->out, "\"login "));
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		uint32_t n, key[4];
	} rows[] = {
		{ "a", 2, { 0x1e, 0x801e } },
		{ "0", 2, { 0x0b, 0x800b } },
		{ "-", 2, { 0x0c, 0x800c } },
		{ "f12", 2, { 0x58, 0x8058 } },
		{ "up", 2, { 0x148, 0x8148 } },
		{ "shift", 2, { 0x2a, 0x802a } },
		{ "alt-f2", 4, { 0x38, 0x3c, 0x803c, 0x8038 } },
		{ "ctrl--", 4, { 0x1d, 0x0c, 0x800c, 0x801d } },
		{ "ctrl-minus", 4, { 0x1d, 0x0c, 0x800c, 0x801d } },
		{ "", 0, { 0 } },
		{ "A", 0, { 0 } },
		{ "f13", 0, { 0 } },
		{ "a-b", 0, { 0 } },
		{ "ctrl-", 0, { 0 } },
		{ "-ctrl", 0, { 0 } },
		{ "ctr", 0, { 0 } },
		{ "ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-ctrl-a", 0, { 0 } },
	};
	uint32_t key[SCREEN_KEYS_MAX], n;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		n = 0;
		assert_int_equal(
		    keyname_parse(rows[i].name, key, &n) == 0, rows[i].n != 0);
		assert_int_equal(n, rows[i].n);
		assert_memory_equal(key, rows[i].key, 4 * n);
	}
	/* All of what a keyboard with the US layout has. */
	for (i = ' '; i < 0x7f; i++)
		assert_int_equal(keyname_char((char)i, key, &n), 0);
	assert_true(keyname_char('\0', key, &n) < 0);
	assert_true(keyname_char('\177', key, &n) < 0);
}

/* As the C library has it, but for what it takes for control characters. */
static void
test_cp437(void **state)
{
	iconv_t cd = iconv_open("UTF-8", "CP437");
	char out[CP437_MAX], want[8], in, *from, *to;
	size_t nin, nout;
	int i;

	for (i = 0; i < 256; i++) {
		cp437_utf8((uint8_t)i, out);
		assert_true((uint8_t)out[0] >= 0x20 && out[0] != 0x7f);
		if (i < 0x20 || i == 0x7f || cd == (iconv_t)-1)
			continue;
		in = (char)i;
		from = &in;
		to = want;
		nin = 1;
		nout = sizeof(want);
		assert_int_equal(iconv(cd, &from, &nin, &to, &nout), 0);
		*to = '\0';
		assert_string_equal(out, want);
	}
	if (cd != (iconv_t)-1)
		iconv_close(cd);
}

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

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_cp437),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
