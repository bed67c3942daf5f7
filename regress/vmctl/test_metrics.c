/* SPDX-License-Identifier: ISC */
/* vmctl metrics: its text byte by byte, and the rules of the format. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "metrics.h"
#include "vmconf.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

static const struct ctl_vm vms[] = {
	{ .id = 1,
	    .name = "web",
	    .state = CTL_ST_RUNNING,
	    .pid = 4711,
	    .cpus = 2,
	    .maxmem = 512ULL << 20,
	    .curmem = 141ULL << 20,
	    .asked = 256ULL << 20,
	    .given = 128ULL << 20,
	    .cpu_us = 61000042,
	    .restarts = 3,
	    .gid = VM_NOGID,
	    .ndevs = 2,
	    .dev = { { .name = "vioblk0", .n = { 1, 2, 3, 4, 5, 6 } },
		{ .name = "vionet0",
		    .n = { UINT64_MAX, 0, 0, 0, 0, 0 },
		    .is_nic = 1 } } },
	{ .id = 2,
	    .name = "i\\d\"l\ne",
	    .cpus = 1,
	    .maxmem = 1ULL << 30,
	    .curmem = 77,
	    .cpu_us = 88,
	    .gid = VM_NOGID,
	    .problem = "vioblk0: needs reset" },
};

static char *
print(const struct ctl_vm *list, size_t n)
{
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	assert_non_null(fp);
	metrics_print(fp, list, n);
	fclose(fp);
	return text;
}

/* Names are an interface: see vmctl(8). */
static void
test_samples(void **state)
{
	static const char *const lines[] = {
		"# TYPE vmd_vm_state gauge",
		"vmd_vm_state{vm=\"web\",state=\"running\"} 1",
		"vmd_vm_state{vm=\"web\",state=\"stopped\"} 0",
		"vmd_vm_state{vm=\"i\\\\d\\\"l\\ne\",state=\"stopped\"} 1",
		"vmd_vm_problem{vm=\"web\"} 0",
		"vmd_vm_problem{vm=\"i\\\\d\\\"l\\ne\"} 1",
		"vmd_vm_cpus{vm=\"web\"} 2",
		"vmd_vm_memory_bytes{vm=\"web\"} 536870912",
		"vmd_vm_memory_bytes{vm=\"i\\\\d\\\"l\\ne\"} 1073741824",
		"vmd_vm_resident_bytes{vm=\"web\"} 147849216",
		"vmd_vm_asked_bytes{vm=\"web\"} 268435456",
		"vmd_vm_given_bytes{vm=\"web\"} 134217728",
		"# TYPE vmd_vm_cpu_seconds counter",
		"vmd_vm_cpu_seconds_total{vm=\"web\"} 61.000042",
		"vmd_vm_restarts_total{vm=\"web\"} 3",
		"vmd_device_requests_total{vm=\"web\",device=\"vioblk0\"} 1",
		("vmd_device_requests_total{vm=\"web\",device=\"vionet0\"} "
		 "18446744073709551615"),
		"vmd_device_bytes_in_total{vm=\"web\",device=\"vioblk0\"} 2",
		"vmd_device_bytes_out_total{vm=\"web\",device=\"vioblk0\"} 3",
		"vmd_device_errors_total{vm=\"web\",device=\"vioblk0\"} 4",
		"vmd_device_kicks_total{vm=\"web\",device=\"vioblk0\"} 5",
		"vmd_device_interrupts_total{vm=\"web\",device=\"vioblk0\"} 6",
	};
	char *text = print(vms, NROWS(vms)), line[128];
	size_t i;

	for (i = 0; i < NROWS(lines); i++) {
		snprintf(
		    line, sizeof(line), "%s%s\n", i == 0 ? "" : "\n", lines[i]);
		if (strstr(text, line) == NULL)
			fail_msg("not there: %s", lines[i]);
	}
	/* What does not run has none. */
	assert_null(strstr(text, "vmd_vm_resident_bytes{vm=\"i"));
	assert_null(strstr(text, "vmd_vm_asked_bytes{vm=\"i"));
	assert_null(strstr(text, "vmd_vm_given_bytes{vm=\"i"));
	assert_null(strstr(text, "vmd_vm_cpu_seconds_total{vm=\"i"));
	free(text);
}

/* OpenMetrics, "Text Format": the rest of a sample behind its name. */
static void
check_sample(const char *s)
{
	bool quoted = false;

	assert_int_equal(*s++, '{');
	for (; quoted || *s != '}'; s++) {
		assert_int_not_equal(*s, '\0');
		if (*s == '\\') {
			assert_true(quoted);
			assert_non_null(strchr("\\\"n", *++s));
		} else if (*s == '"')
			quoted = !quoted;
	}
	assert_int_equal(s[1], ' ');
	s += 2;
	assert_true(*s >= '0' && *s <= '9');
	assert_int_equal(s[strspn(s, "0123456789.")], '\0');
}

/*
 * A family begins with its type and help, once; its samples follow, those of
 * a counter end in _total; the end is marked, and nothing comes after it.
 */
static void
check_format(char *text)
{
	char family[64] = "", kind[16] = "", name[80], *line, *all = text;
	char seen[4096] = "", mark[80];
	bool ended = false;

	assert_int_equal(text[strlen(text) - 1], '\n');
	while ((line = strsep(&all, "\n")) != NULL && all != NULL) {
		assert_false(ended);
		if (strcmp(line, "# EOF") == 0) {
			ended = true;
		} else if (strncmp(line, "# TYPE ", 7) == 0) {
			assert_int_equal(
			    sscanf(line, "# TYPE %63s %15s", family, kind), 2);
			assert_true(strcmp(kind, "gauge") == 0 ||
			    strcmp(kind, "counter") == 0);
			snprintf(mark, sizeof(mark), " %s ", family);
			assert_null(strstr(seen, mark));
			strcat(seen, mark);
		} else if (*line == '#') {
			snprintf(name, sizeof(name), "# HELP %s ", family);
			assert_memory_equal(line, name, strlen(name));
			assert_null(strpbrk(line, "\\\""));
		} else {
			snprintf(name, sizeof(name), "%s%s", family,
			    *kind == 'c' ? "_total" : "");
			assert_memory_equal(line, name, strlen(name));
			check_sample(line + strlen(name));
		}
	}
	assert_true(ended);
}

static void
test_format(void **state)
{
	char *text = print(vms, NROWS(vms));

	check_format(text);
	free(text);
	text = print(NULL, 0);
	check_format(text);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
