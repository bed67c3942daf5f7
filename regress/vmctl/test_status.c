/* SPDX-License-Identifier: ISC */
/* The table and the JSON of vmctl status, byte by byte. */
#include <jansson.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "args.h"
#include "status.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

static const struct ctl_vm web = { .id = 1,
	.name = "web",
	.state = CTL_ST_RUNNING,
	.pid = 4711,
	.cpus = 2,
	.maxmem = 512ULL << 20,
	.curmem = 141ULL << 20,
	.asked = 256ULL << 20,
	.given = 128ULL << 20,
	.cpu_us = 1500000,
	.restarts = 3,
	.tty = "/dev/pts/3",
	.more = { "", "/dev/pts/8" },
	.uid = 0,
	.gid = VM_NOGID };

static const struct ctl_vm idle = { .id = 2,
	.name = "idle",
	.state = CTL_ST_STOPPED,
	.cpus = 1,
	.maxmem = 1ULL << 30,
	.curmem = 77,
	.tty = "/dev/pts/4",
	.uid = 1000,
	.gid = 100,
	.problem = "vioblk0: needs reset: I/O error" };

static void
test_state(void **state)
{
	assert_string_equal(status_state(CTL_ST_STOPPED), "stopped");
	assert_string_equal(status_state(CTL_ST_WAITING), "waiting");
	assert_string_equal(status_state(CTL_ST_RUNNING), "running");
	assert_string_equal(status_state(CTL_ST_STOPPING), "stopping");
	assert_string_equal(status_state(CTL_ST_PAUSED), "paused");
	assert_string_equal(status_state(99), "unknown");
}

static void
test_owner(void **state)
{
	static const struct {
		uint32_t uid, gid;
		const char *user, *group, *want;
	} rows[] = {
		{ 0, VM_NOGID, "root", NULL, "root" },
		{ 1000, VM_NOGID, "alice", NULL, "alice" },
		{ 1000, 100, "alice", "users", "alice:users" },
		{ 0, 100, "root", "users", ":users" },
		{ 1000, VM_NOGID, NULL, NULL, "1000" },
		{ 1000, 100, NULL, NULL, "1000:100" },
		{ 4294967294, 4294967294, NULL, NULL, "4294967294:42949" },
		{ 1, 2, "a-user-of-exactly", "g", "a-user-of-exactl" },
		{ 1, 2, "sixteen-letters_", "g", "sixteen-letters_" },
	};
	char out[STATUS_OWNER_MAX + 1];
	struct ctl_vm vm = web;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		vm.uid = rows[i].uid;
		vm.gid = rows[i].gid;
		status_owner(&vm, rows[i].user, rows[i].group, out);
		assert_string_equal(out, rows[i].want);
	}
}

static void
test_table(void **state)
{
	struct ctl_vm wide = web;
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	assert_non_null(fp);
	wide.id = wide.pid = UINT32_MAX;
	wide.cpus = 64;
	wide.maxmem = 3584ULL << 20;
	wide.state = CTL_ST_STOPPING;
	wide.tty[0] = '\0';
	memset(wide.name, 'w', sizeof(wide.name) - 1);
	status_header(fp);
	status_row(fp, &web, "root");
	status_row(fp, &idle, "alice:users");
	status_row(fp, &wide, "sixteen-letters_");
	fclose(fp);
	assert_string_equal(text,
	    "   ID   PID VCPUS  MAXMEM  CURMEM     TTY        OWNER    STATE "
	    "NAME\n"
	    "    1  4711     2    512M    141M   pts/3         root  running "
	    "web\n"
	    "    2     -     1    1.0G       -       -  alice:users  stopped "
	    "idle\n"
	    "4294967295 4294967295    64    3.5G    141M       - "
	    "sixteen-letters_ stopping "
	    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"
	    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwww\n");
	free(text);
}

static void
test_match(void **state)
{
	struct target by_id = { .id = 1 }, by_name = { .name = "web" };

	assert_true(status_match(&web, &by_id));
	assert_true(status_match(&web, &by_name));
	assert_false(status_match(&idle, &by_id));
	assert_false(status_match(&idle, &by_name));
	assert_true(status_running(&web));
	assert_false(status_running(&idle));
}

static json_t *
dump(const struct ctl_vm *vms, size_t n)
{
	json_error_t error;
	json_t *j;
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	assert_non_null(fp);
	assert_int_equal(status_json(fp, vms, n), 0);
	fclose(fp);
	j = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(j);
	assert_int_equal(text[len - 1], '\n');
	free(text);
	return j;
}

static const struct ctl_dev counted = {
	.name = "vioblk0",
	.n = { 1, 2, 3, 4, 5, 6 },
};
static const struct ctl_dev nic = {
	.name = "vionet0",
	.is_nic = 1,
	.nic = { "tap3", { 0xfe, 0xe1, 0xbb, 1, 2, 3 }, 1, 0x0a4d0103,
	    { 0xfd, [15] = 2 } },
};
static const struct ctl_dev user_nic = {
	.name = "vionet1",
	.is_nic = 1,
	.nic = { .lladdr = { 2 } },
};

static void
test_devices(void **state)
{
	struct ctl_vm vm = web;
	char *text = NULL;
	size_t len;
	FILE *fp = open_memstream(&text, &len);

	vm.asked = vm.maxmem;
	vm.given = 0;
	status_devices(fp, &vm); /* none: nothing */
	vm.asked = web.asked;
	vm.given = web.given;
	vm.ndevs = 3;
	vm.dev[0] = counted;
	vm.dev[1] = nic;
	vm.dev[2] = user_nic;
	status_devices(fp, &vm);
	fclose(fp);
	assert_string_equal(text,
	    "web                 memory keeps 384M of 512M, asked to keep 256M\n"
	    "web                 device     requests     bytes_in    bytes_out"
	    "       errors        kicks   interrupts\n"
	    "                   vioblk0            1            2            3"
	    "            4            5            6\n"
	    "                   vionet0            0            0            0"
	    "            0            0            0\n"
	    "                           fe:e1:bb:01:02:03 link up interface tap3"
	    " address 10.77.1.3 address fd00::2\n"
	    "                   vionet1            0            0            0"
	    "            0            0            0\n"
	    "                           02:00:00:00:00:00 link down\n");
	free(text);
}

/* Names and order are an interface: see vmctl(8). */
static const char *const names[] = { "id", "name", "state", "pid", "cpus",
	"memory", "memory_resident", "tty", "owner", "uid", "group", "gid",
	"problem", "devices", "cpu_seconds", "restarts", "memory_asked",
	"memory_given", "tty_serial2", "tty_virtio" };

static void
test_json(void **state)
{
	struct ctl_vm vms[2] = { web, idle };
	json_t *j, *o, *value;
	const char *key;
	size_t i = 0;

	vms[0].ndevs = 2;
	vms[0].dev[0] = counted;
	vms[0].dev[1] = nic;
	j = dump(vms, 2);
	assert_int_equal(json_array_size(j), 2);
	o = json_array_get(j, 0);
	json_object_foreach(o, key, value)
	{
		assert_true(i < NROWS(names));
		assert_string_equal(key, names[i++]);
	}
	assert_int_equal(i, NROWS(names));
	assert_int_equal(json_integer_value(json_object_get(o, "id")), 1);
	assert_string_equal(
	    json_string_value(json_object_get(o, "name")), "web");
	assert_string_equal(
	    json_string_value(json_object_get(o, "state")), "running");
	assert_int_equal(json_integer_value(json_object_get(o, "pid")), 4711);
	assert_int_equal(
	    json_integer_value(json_object_get(o, "memory")), 512 << 20);
	assert_int_equal(
	    json_integer_value(json_object_get(o, "memory_resident")),
	    141 << 20);
	assert_string_equal(
	    json_string_value(json_object_get(o, "tty")), "/dev/pts/3");
	assert_true(json_is_null(json_object_get(o, "tty_serial2")));
	assert_string_equal(
	    json_string_value(json_object_get(o, "tty_virtio")), "/dev/pts/8");
	assert_string_equal(
	    json_string_value(json_object_get(o, "owner")), "root");
	assert_true(json_is_null(json_object_get(o, "group")));
	assert_true(json_is_null(json_object_get(o, "gid")));
	assert_true(json_real_value(json_object_get(o, "cpu_seconds")) == 1.5);
	assert_int_equal(json_integer_value(json_object_get(o, "restarts")), 3);
	assert_int_equal(
	    json_integer_value(json_object_get(o, "memory_asked")), 256 << 20);
	assert_int_equal(
	    json_integer_value(json_object_get(o, "memory_given")), 128 << 20);
	assert_true(json_is_null(json_object_get(o, "problem")));

	value = json_array_get(json_object_get(o, "devices"), 1);
	assert_string_equal(
	    json_string_value(json_object_get(value, "interface")), "tap3");
	assert_string_equal(
	    json_string_value(json_object_get(value, "address")), "10.77.1.3");
	assert_string_equal(
	    json_string_value(json_object_get(value, "address6")), "fd00::2");
	assert_string_equal(
	    json_string_value(json_object_get(value, "link")), "up");
	o = json_array_get(json_object_get(o, "devices"), 0);
	assert_string_equal(
	    json_string_value(json_object_get(o, "name")), "vioblk0");
	assert_int_equal(json_integer_value(json_object_get(o, "requests")), 1);
	assert_int_equal(json_integer_value(json_object_get(o, "bytes_in")), 2);
	assert_int_equal(
	    json_integer_value(json_object_get(o, "interrupts")), 6);

	o = json_array_get(j, 1);
	assert_int_equal(json_array_size(json_object_get(o, "devices")), 0);
	assert_true(json_is_null(json_object_get(o, "pid")));
	assert_true(json_is_null(json_object_get(o, "memory_resident")));
	assert_true(json_is_null(json_object_get(o, "memory_asked")));
	assert_true(json_is_null(json_object_get(o, "memory_given")));
	assert_true(json_is_null(json_object_get(o, "tty")));
	assert_true(json_is_null(json_object_get(o, "cpu_seconds")));
	assert_int_equal(json_integer_value(json_object_get(o, "gid")), 100);
	assert_string_equal(json_string_value(json_object_get(o, "problem")),
	    "vioblk0: needs reset: I/O error");
	json_decref(j);
}

static void
test_json_limits(void **state)
{
	struct ctl_vm vm = web;
	json_t *j, *o;

	j = dump(NULL, 0);
	assert_true(json_is_array(j));
	assert_int_equal(json_array_size(j), 0);
	json_decref(j);

	vm.maxmem = UINT64_MAX;
	vm.uid = UINT32_MAX - 1;
	snprintf(vm.problem, sizeof(vm.problem), "\"quoted\\\" \xc3\xbc");
	j = dump(&vm, 1);
	o = json_array_get(j, 0);
	assert_true(
	    json_integer_value(json_object_get(o, "memory")) == INT64_MAX);
	assert_true(json_is_null(json_object_get(o, "owner")));
	assert_string_equal(json_string_value(json_object_get(o, "problem")),
	    "\"quoted\\\" \xc3\xbc");
	json_decref(j);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_owner),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
