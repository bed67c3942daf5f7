/* SPDX-License-Identifier: ISC */
/*
 * The host probe.  Which verdict is right depends on the machine; that there
 * is one, in time, and that it is whole, does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "probe.h"
#include "probe_guest.h"

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
not_a_device(void **state)
{
	static const char *const files[] = { "/dev/null", "/dev/zero",
		"/etc/passwd" };
	struct probe_report rep;
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		assert_int_not_equal(
		    probe_run(
			open(files[i], O_RDONLY | O_CLOEXEC), files[i], &rep),
		    0);
		assert_false(rep.fit);
		assert_non_null(strstr(rep.text, files[i]));
		assert_non_null(
		    strstr(rep.text, "unfit: not a hypervisor device"));
	}
}

/* Whatever this machine's device is: a verdict, and soon. */
static void
this_machine(void **state)
{
	struct probe_report rep;
	double start = now();
	int fd;

	fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd == -1)
		skip();
	(void)probe_run(fd, "/dev/kvm", &rep);
	print_message("%s", rep.text);
	assert_true(now() - start < 3);
	assert_non_null(strstr(rep.text, "device: /dev/kvm\n"));
	assert_non_null(strstr(rep.text, "API version: 12\n"));
	if (rep.fit)
		assert_non_null(strstr(rep.text, "\nfit\n"));
	else
		assert_non_null(strstr(rep.text, "\nunfit: "));
}

/* The guest's memory: code at its entry, tables where the code says. */
static void
guest_image(void **state)
{
	static uint8_t ram[PROBE_RAM];
	uint64_t v;

	probe_guest(ram);
	assert_int_equal(ram[PROBE_ENTRY], 0xfa); /* cli */
	memcpy(&v, ram + 0x7000 + 8 * (PROBE_FAULT_ADDR >> 12), sizeof(v));
	assert_int_equal(v, 0); /* the hole */
	memcpy(&v, ram + 0x7000 + 8, sizeof(v));
	assert_int_equal(v, PROBE_ENTRY | 7);
	memcpy(&v, ram + 0x9000 + 16 * PROBE_IRQ_VECTOR, sizeof(v));
	assert_int_equal(v >> 40 & 0xff, 0x8e);
	assert_in_range(v & 0xffff, PROBE_ENTRY, PROBE_ENTRY + 0x400);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_a_device),
		cmocka_unit_test(this_machine),
		cmocka_unit_test(guest_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
