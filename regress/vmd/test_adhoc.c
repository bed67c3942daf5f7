/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/sysinfo.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adhoc.h"

static const struct cred user = { .uid = 1000 }, other = { .uid = 1001 },
			 root = { .uid = 0 };
static struct vmreg reg;
static struct vmconf c;
static struct fail why;
static uint64_t half;

static int
set_up(void **state)
{
	struct sysinfo si;

	if (sysinfo(&si) == -1)
		return -1;
	half = (uint64_t)si.totalram * si.mem_unit / 2 & ~((1ULL << 20) - 1);
	vmreg_init(&reg);
	vmconf_init(&c);
	c.memory = 64 << 20;
	return 0;
}

static int
tear_down(void **state)
{
	vmreg_clear(&reg);
	return 0;
}

static int
ask(const struct cred *who)
{
	return adhoc_check(&reg, who, true, &c, &why);
}

/* One more VM of who, with what c says. */
static void
have(const struct cred *who, uint64_t memory)
{
	static unsigned n;
	struct vmconf one = c;
	struct vm *vm;

	snprintf(one.name, sizeof(one.name), "vm%u", n++);
	one.uid = who->uid;
	one.flags |= VM_F_ADHOC;
	one.memory = memory;
	assert_int_equal(vmreg_add(&reg, &one, &vm), 0);
}

static void
test_number(void **state)
{
	unsigned i;

	for (i = 0; i < ADHOC_MAX; i++) {
		assert_int_equal(ask(&user), 0);
		have(&user, 1 << 20);
	}
	assert_int_equal(ask(&user), -EDQUOT);
	assert_int_equal(ask(&other), 0);
	assert_int_equal(ask(&root), 0);
}

static void
test_memory(void **state)
{
	have(&other, half);
	have(&root, half);
	c.memory = half;
	assert_int_equal(ask(&user), 0);
	c.memory = half + (2 << 20);
	assert_int_equal(ask(&user), -EDQUOT);
	assert_non_null(strstr(why.text, "a half of the host's"));
	assert_int_equal(ask(&root), 0);
	have(&user, half - (64 << 20));
	c.memory = 64 << 20;
	assert_int_equal(ask(&user), 0);
	c.memory = 66 << 20;
	assert_int_equal(ask(&user), -EDQUOT);
	c.memory = UINT64_MAX;
	assert_int_equal(ask(&user), -EDQUOT);
}

static void
test_network(void **state)
{
	c.nnics = 1;
	assert_int_equal(ask(&user), -EPERM);
	c.nic[0].flags = VM_NIC_USER;
	assert_int_equal(ask(&user), 0);
	strcpy(c.nic[0].sw, "lan");
	assert_int_equal(ask(&user), -EPERM);
	assert_int_equal(ask(&root), 0);
}

static void
test_becomes_his(void **state)
{
	c.uid = 0;
	c.gid = 0;
	assert_int_equal(ask(&user), 0);
	assert_int_equal(c.uid, user.uid);
	assert_int_equal(c.gid, VM_NOGID);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_number),
		T(test_memory),
		T(test_network),
		T(test_becomes_his),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
