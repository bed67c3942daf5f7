/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "ctl.h"
#include "imsg.h"

static void
test_strings(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[8];
		size_t n;
		int error;
		const char *text;
	} rows[] = {
		{ "empty", { 0, 0 }, 2, 0, "" },
		{ "full", { 0, 3, 'a', 'b', 'c' }, 5, 0, "abc" },
		{ "no length", { 0 }, 1, -EBADMSG, NULL },
		{ "too short", { 0, 3, 'a', 'b' }, 4, -EBADMSG, NULL },
		{ "too long", { 0, 4, 'a', 'b', 'c', 'd' }, 6, -EBADMSG, NULL },
		{ "NUL inside", { 0, 3, 'a', 0, 'c' }, 5, -EBADMSG, NULL },
		{ "huge", { 0xff, 0xff, 'a' }, 3, -EBADMSG, NULL },
	};
	uint8_t copy[8];
	struct ibuf buf;
	char out[4];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].what);
		memcpy(copy, rows[i].bytes, sizeof(copy));
		ibuf_from_buffer(&buf, copy, rows[i].n);
		assert_int_equal(
		    ctl_get_str(&buf, out, sizeof(out)), rows[i].error);
		if (rows[i].error == 0) {
			assert_string_equal(out, rows[i].text);
			assert_int_equal(ibuf_size(&buf), 0);
		}
	}
}

static void
test_long_string(void **state)
{
	static char text[UINT16_MAX + 2];
	struct ibuf *buf = ibuf_dynamic(0, 1 << 20);

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(ctl_put_str(buf, text), -ENAMETOOLONG);
	assert_int_equal(ibuf_size(buf), 0);
	ibuf_free(buf);
}

static const struct ctl_vm sample = {
	.id = 7,
	.name = "web",
	.state = CTL_ST_RUNNING,
	.pid = 4711,
	.cpus = 2,
	.maxmem = 1ULL << 40,
	.curmem = 12345678901,
	.asked = 1ULL << 33,
	.given = 98765432101,
	.tty = "/dev/pts/3",
	.more = { "/dev/pts/4", "/dev/pts/5" },
	.uid = 1000,
	.gid = (uint32_t)-1,
	.cpu_us = 1ULL << 33,
	.restarts = 2,
	.problem = "vioblk0: needs reset",
};

static void
test_vm(void **state)
{
	struct ibuf *buf = ibuf_dynamic(0, 4096), view;
	struct ctl_vm vm, bad;
	size_t n, len;

	assert_int_equal(ctl_vm_put(buf, &sample), 0);
	len = ibuf_size(buf);
	memset(&vm, 0x5a, sizeof(vm));
	for (n = 0; n < len; n++) {
		ibuf_from_buffer(&view, ibuf_data(buf), n);
		assert_int_equal(ctl_vm_get(&view, &vm), -EBADMSG);
		assert_int_equal(vm.name[0], 0x5a);
	}
	assert_int_equal(ctl_vm_get(buf, &vm), 0);
	assert_int_equal(ibuf_size(buf), 0);
	assert_memory_equal(&vm, &sample, sizeof(vm));
	bad = sample;
	bad.state = CTL_ST_PAUSED + 1;
	assert_int_equal(ctl_vm_put(buf, &bad), 0);
	assert_int_equal(ctl_vm_get(buf, &vm), -EBADMSG);
	ibuf_free(buf);
}

static void
test_target(void **state)
{
	const struct ctl_target in = { 3, "web" };
	struct ibuf *buf = ibuf_dynamic(0, 4096);
	struct ctl_target out;

	assert_int_equal(ctl_target_put(buf, &in), 0);
	assert_int_equal(ctl_target_get(buf, &out), 0);
	assert_int_equal(out.id, 3);
	assert_string_equal(out.name, "web");
	assert_int_equal(ctl_target_get(buf, &out), -EBADMSG);
	ibuf_free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_long_string),
		cmocka_unit_test(test_vm),
		cmocka_unit_test(test_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
