/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "vmreg.h"

static struct vm *
add(struct vmreg *r, const char *name, uid_t uid)
{
	struct vmconf c;
	struct vm *vm;

	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "%s", name);
	c.uid = uid;
	return vmreg_add(r, &c, &vm) == 0 ? vm : NULL;
}

static void
test_ids(void **state)
{
	struct vmreg r;
	struct vm *a, *b;

	vmreg_init(&r);
	a = add(&r, "a", 0);
	b = add(&r, "b", 0);
	assert_int_equal(a->id, 1);
	assert_int_equal(b->id, 2);
	/* The same name and owner: the same id again. */
	vmreg_remove(&r, a);
	a = add(&r, "a", 0);
	assert_int_equal(a->id, 1);
	/* Another owner's VM of that name is another VM. */
	vmreg_remove(&r, a);
	a = add(&r, "a", 1000);
	assert_int_equal(a->id, 3);
	vmreg_remove(&r, a);
	a = add(&r, "a", 0);
	assert_int_equal(a->id, 1);
	vmreg_clear(&r);
}

static void
test_lookup(void **state)
{
	struct vmreg r;
	struct vm *a;
	const struct ctl_target by_id = { 1, "" }, by_name = { 0, "a" },
				both = { 1, "other" }, none = { 0, "" },
				other = { 9, "a" };

	vmreg_init(&r);
	a = add(&r, "a", 0);
	assert_null(add(&r, "a", 0));
	assert_null(add(&r, "a", 5));
	assert_ptr_equal(vmreg_find(&r, &by_id), a);
	assert_ptr_equal(vmreg_find(&r, &by_name), a);
	assert_ptr_equal(vmreg_find(&r, &both), a);
	assert_null(vmreg_find(&r, &none));
	assert_null(vmreg_find(&r, &other));
	vmreg_clear(&r);
}

static void
test_full(void **state)
{
	struct vmreg r;
	char name[16];
	unsigned i;

	vmreg_init(&r);
	for (i = 0; i < VMREG_MAX; i++) {
		snprintf(name, sizeof(name), "vm%u", i);
		assert_non_null(add(&r, name, 0));
	}
	assert_null(add(&r, "one-more", 0));
	vmreg_clear(&r);
}

static void
test_states(void **state)
{
	static const struct {
		enum vm_state state;
		enum ctl_state shown;
		bool active;
	} rows[] = {
		{ VM_STOPPED, CTL_ST_STOPPED, false },
		{ VM_WAITING, CTL_ST_WAITING, false },
		{ VM_STARTING, CTL_ST_RUNNING, true },
		{ VM_RUNNING, CTL_ST_RUNNING, true },
		{ VM_STOPPING, CTL_ST_STOPPING, true },
		{ VM_ENDING, CTL_ST_STOPPING, true },
	};
	struct vmreg r;
	struct vm *a;
	size_t i;

	vmreg_init(&r);
	a = add(&r, "a", 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		a->state = rows[i].state;
		assert_int_equal(vm_ctl_state(a), rows[i].shown);
		assert_int_equal(vm_active(a), rows[i].active);
	}
	vmreg_clear(&r);
}

static void
test_describe(void **state)
{
	static const struct cgroups none = { .mount = -1, .dir = -1 };
	struct ctl_vm row;
	struct vmreg r;
	struct vm *a;

	vmreg_init(&r);
	a = add(&r, "a", 1000);
	strcpy(a->problem, "vioblk0: broken");
	vm_describe(a, &none, &row);
	assert_int_equal(row.id, a->id);
	assert_string_equal(row.name, "a");
	assert_int_equal(row.pid, 0);
	assert_int_equal(row.curmem, 0);
	assert_int_equal(row.uid, 1000);
	assert_string_equal(row.problem, "vioblk0: broken");
	/* We are as good a process as any. */
	a->run.vm.pid = getpid();
	vm_describe(a, &none, &row);
	assert_int_equal(row.pid, getpid());
	assert_in_range(row.curmem, 4096, 1ULL << 30);
	vmreg_clear(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
