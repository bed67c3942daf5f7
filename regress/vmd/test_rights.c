/* SPDX-License-Identifier: ISC */
/* Every request, by everybody. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "cred.h"
#include "ctl.h"
#include "rights.h"
#include "vmreg.h"

#define OWNER	1000
#define GROUP	2000
#define STARTER 1003

static gid_t in_group[] = { 5, GROUP };

static const struct person {
	const char *name;
	struct cred cred;
} people[] = {
	{ "root", { 0, 0, NULL, 0 } },
	{ "owner uid", { OWNER, OWNER, NULL, 0 } },
	{ "owner group", { 1001, 1001, in_group, 2 } },
	{ "owner primary group", { 1002, GROUP, NULL, 0 } },
	{ "starter", { STARTER, STARTER, NULL, 0 } },
	{ "stranger", { 1004, OWNER, in_group, 1 } },
	{ "nobody known", { (uid_t)-1, GROUP, in_group, 2 } },
};
#define NPEOPLE (sizeof(people) / sizeof(people[0]))

/*
 * One character per person, in the order above, y or n: for a VM that runs,
 * one that is stopped, and none.
 */
static const struct {
	uint32_t type;
	const char *running, *stopped, *none;
} rows[] = {
	{ CTL_LIST, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	{ CTL_START, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_START_KERNEL, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	{ CTL_START_INITRD, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	/* what they may describe: adhoc.h */
	{ CTL_START_ADHOC, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	{ CTL_START_FILE, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	{ CTL_STOP, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_CDROM, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_EJECT, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_LINK, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_MEMORY, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_PAUSE, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_UNPAUSE, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_SAVE, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_RESTORE, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_SEND, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_RECEIVE, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_SNAPSHOT, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_SNAPSHOTS, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_REVERT, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_SCREEN, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_KEY, "yyyyynn", "yyyynnn", "ynnnnnn" },
	{ CTL_WAIT, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	{ CTL_LOG, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	{ CTL_RELOAD, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	{ CTL_LOAD, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	{ CTL_RESET, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	/* of which VMs: test_told() */
	{ CTL_EVENTS, "yyyyyyn", "yyyyyyn", "yyyyyyn" },
	/* not requests */
	{ CTL_OK, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
	{ 0, "ynnnnnn", "ynnnnnn", "ynnnnnn" },
};

static void
check(uint32_t type, const struct vm *vm, const char *expect, const char *what)
{
	size_t i;

	for (i = 0; i < NPEOPLE; i++) {
		if (rights_ok(type, &people[i].cred, vm) != (expect[i] == 'y'))
			fail_msg("request %u, %s vm, %s: not %c", type, what,
			    people[i].name, expect[i]);
	}
}

static void
test_table(void **state)
{
	struct vm vm;
	size_t i;

	memset(&vm, 0, sizeof(vm));
	vm.conf.uid = OWNER;
	vm.conf.gid = GROUP;
	vm.starter = STARTER;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vm.state = VM_RUNNING;
		check(rows[i].type, &vm, rows[i].running, "running");
		vm.state = VM_STOPPED;
		check(rows[i].type, &vm, rows[i].stopped, "stopped");
		check(rows[i].type, NULL, rows[i].none, "no");
	}
}

/* Who hears of a VM, and of its end, at which nobody is its starter any more
 * but the one who was. */
static void
test_told(void **state)
{
	static const char told[] = "yyyyynn", not_started[] = "yyyynnn";
	struct vm vm;
	size_t i;

	memset(&vm, 0, sizeof(vm));
	vm.conf.uid = OWNER;
	vm.conf.gid = GROUP;
	for (i = 0; i < NPEOPLE; i++) {
		vm.starter = STARTER;
		vm.state = VM_STOPPED;
		assert_int_equal(
		    rights_told(&people[i].cred, &vm), told[i] == 'y');
		vm.state = VM_RUNNING;
		assert_int_equal(
		    rights_told(&people[i].cred, &vm), told[i] == 'y');
		vm.starter = (uid_t)-1;
		assert_int_equal(
		    rights_told(&people[i].cred, &vm), not_started[i] == 'y');
	}
}

/* "No group" and "no starter" are nobody's. */
static void
test_none(void **state)
{
	const struct cred c = { 1004, VM_NOGID, NULL, 0 };
	struct vm vm;

	memset(&vm, 0, sizeof(vm));
	vm.conf.uid = 0;
	vm.conf.gid = VM_NOGID;
	vm.starter = (uid_t)-1;
	vm.state = VM_RUNNING;
	assert_false(rights_ok(CTL_STOP, &c, &vm));
}

/* Each row of the protocol is in the table above. */
static void
test_complete(void **state)
{
	static const uint32_t types[] = {
#define X(name, right, fd, fields) CTL_##name,
		CTL_REQUESTS(X)
#undef X
	};
	size_t i, j;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
			if (rows[j].type == types[i])
				break;
		}
		assert_true(j < sizeof(rows) / sizeof(rows[0]));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
