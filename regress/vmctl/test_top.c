/* SPDX-License-Identifier: ISC */
/* The table of vmctl top, from two lists, byte by byte. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "top.h"

#define HEAD                                                             \
	"   ID   %CPU  CURMEM  MAXMEM  READ/S WRITE/S NETIN/S NETOUT/S " \
	"NAME\n"

static struct ctl_vm
vm(uint32_t id, uint32_t pid, uint64_t cpu_us, uint64_t disk, uint64_t net)
{
	struct ctl_vm v = { .id = id,
		.pid = pid,
		.maxmem = 512ULL << 20,
		.curmem = 128ULL << 20,
		.cpu_us = cpu_us,
		.ndevs = 3,
		.dev = { { .name = "vioblk0", .n = { .in = disk } },
		    { .name = "vioblk1", .n = { .in = disk, .out = 2 * disk } },
		    { .name = "vionet0",
			.is_nic = 1,
			.n = { .in = net, .out = 3 * net } } } };

	snprintf(v.name, sizeof(v.name), "v%u", id);
	return v;
}

static void
prints(const struct top_sample *before, const struct top_sample *now,
    size_t lines, const char *want)
{
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	assert_non_null(fp);
	assert_int_equal(top_print(fp, before, now, lines), 0);
	fclose(fp);
	assert_string_equal(text, want);
	free(text);
}

/* Two seconds: rates are halves; the busiest is first. */
static void
test_rates(void **state)
{
	struct ctl_vm a[] = { vm(1, 10, 500000, 1024, 0), vm(2, 11, 0, 0, 0),
		vm(3, 0, 0, 0, 0) };
	struct ctl_vm b[] = { vm(1, 10, 600000, 5120, 0),
		vm(2, 11, 3000000, 0, 2048), vm(3, 0, 0, 0, 0) };
	struct top_sample before = { a, 3, 1000000 }, now = { b, 3, 3000000 };

	prints(&before, &now, SIZE_MAX,
	    HEAD
	    "    2  150.0    128M    512M      0B      0B    1.0K     3.0K v2\n"
	    "    1    5.0    128M    512M    4.0K    4.0K      0B       0B v1\n");
	prints(&before, &now, 2,
	    HEAD
	    "    2  150.0    128M    512M      0B      0B    1.0K     3.0K v2\n");
}

/* More than fits into a counter, in no time. */
static void
test_limit(void **state)
{
	struct ctl_vm a[] = { vm(1, 10, 0, 0, 0) };
	struct ctl_vm b[] = { vm(1, 10, 0, UINT64_MAX, 0) };
	struct top_sample before = { a, 1, 0 }, now = { b, 1, 1 };

	b[0].ndevs = 1;
	b[0].dev[0].n.out = 0;
	prints(&before, &now, SIZE_MAX,
	    HEAD
	    "    1    0.0    128M    512M   16.0E      0B      0B       0B v1\n");
}

/* What is new, or was started again, has no figures; a reset counts on. */
static void
test_beginnings(void **state)
{
	struct ctl_vm a[] = { vm(1, 10, 9, 9, 9), vm(3, 12, 0, 4096, 0) };
	struct ctl_vm b[] = { vm(1, 20, 1, 1, 1), vm(2, 11, 5, 5, 5),
		vm(3, 12, 0, 1024, 0) };
	struct top_sample before = { a, 2, 0 }, now = { b, 3, 1000000 };
	struct top_sample none = { NULL, 0, 0 };

	prints(&before, &now, SIZE_MAX,
	    HEAD
	    "    1      -    128M    512M       -       -       -        - v1\n"
	    "    2      -    128M    512M       -       -       -        - v2\n"
	    "    3    0.0    128M    512M    2.0K    2.0K      0B       0B v3\n");
	prints(&now, &none, SIZE_MAX, HEAD);
	/* The clock did not move. */
	now.us = before.us;
	prints(&before, &none, 1, HEAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_beginnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
