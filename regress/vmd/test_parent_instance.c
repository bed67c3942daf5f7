/* SPDX-License-Identifier: ISC */
/*
 * Instances that a client starts of a VM of vm.conf: who may, what they are,
 * with whose rights their files are opened.
 */
#include "parent_rig.h"

#define TEMPLATE(name, more) \
	"vm " name " {\n\tboot $k\n\tmemory 64M\n\tdisable\n" more "\n}\n"
#define S_(n) #n
#define S(n)  S_(n)

static const char templates[] =
    TEMPLATE("mem", "\tallow instance { memory, owner " S(ALICE) " }") TEMPLATE(
	"ours", "\tallow instance { cpus, boot, owner \":" S(OPS) "\" }")
	TEMPLATE("closed", "\tallow instance { memory, cpus, boot, disk }")
	    TEMPLATE("plain", "");

/* An instance that says nothing, for tests to say more. */
static struct vmconf
like(const char *template, const char *name)
{
	struct vmconf c;

	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "%s", name);
	snprintf(c.parent, sizeof(c.parent), "%s", template);
	return c;
}

static struct ibuf *
packed(const struct vmconf *c)
{
	struct ibuf *body = chan_body();

	vmconf_put(body, c);
	return body;
}

/* In a child process, and of its result: WANT(). */
#define START(c, want) WANT(CTL_START_ADHOC, packed(&(c)), want)

static void
alice_starts(void)
{
	struct vmconf c = like("mem", "i1");
	struct ctl_vm row;

	c.memory = 96 << 20;
	START(c, 0);
	c = like("mem", "i2");
	c.memory = 96 << 20;
	c.given = VM_I_MEMORY;
	START(c, 0);
	/* The kernel is root's own, and nobody else may read it. */
	if (access(kernel, R_OK) == 0)
		_exit(1);
	row = row_of("i1");
	if (row.uid != ALICE || row.gid != VM_NOGID || row.maxmem != 64 << 20)
		_exit(2);
	row = row_of("i2");
	if (row.maxmem != 96 << 20)
		_exit(3);
	WANT(CTL_START_ADHOC, packed(&c), EEXIST);
	WANT(CTL_STOP, target("i1", 1), 0);
	WANT(CTL_STOP, target("i2", 1), 0);
	becomes("i1", -1);
	becomes("i2", -1);
}

/* What is there counts, whatever the client says of it. */
static void
alice_is_refused(void)
{
	struct vmconf c = like("mem", "x");

	c.given = VM_I_CPUS;
	START(c, EPERM);
	c.given = 0;
	snprintf(c.kernel, sizeof(c.kernel), "%s", kernel);
	START(c, EPERM);
	c = like("mem", "x");
	snprintf(c.cmdline, sizeof(c.cmdline), "x");
	START(c, EPERM);
	c = like("mem", "x");
	snprintf(c.cdrom, sizeof(c.cdrom), "/etc/shadow");
	START(c, EPERM);
	c = like("mem", "x");
	c.ndisks = 1;
	snprintf(c.disk[0].path, sizeof(c.disk[0].path), "/dev/sda");
	START(c, EPERM);
	c = like("mem", "x");
	c.nnics = 1;
	START(c, EPERM);
	c = like("ours", "x");
	START(c, EPERM);
	c = like("closed", "x");
	START(c, EPERM);
	c = like("plain", "x");
	START(c, EPERM);
	c = like("nothing", "x");
	START(c, CTL_E_PARENT);
}

/* Of the group; with files of his own, which are opened as he may. */
static void
bob_starts(void)
{
	struct vmconf c = like("ours", "b1");
	struct ctl_vm row;

	snprintf(c.cmdline, sizeof(c.cmdline), "of his own");
	START(c, 0);
	row = row_of("b1");
	if (row.uid != BOB || row.gid != OPS)
		_exit(1);
	/* No instance of an instance. */
	c = like("b1", "b2");
	START(c, CTL_E_PARENT);
	WANT(CTL_STOP, target("b1", 1), 0);
	becomes("b1", -1);
	/* Root's kernel by its name, and an initrd for the template's. */
	c = like("ours", "b2");
	snprintf(c.kernel, sizeof(c.kernel), "%s", kernel);
	START(c, EACCES);
	c = like("ours", "b2");
	snprintf(c.initrd, sizeof(c.initrd), "%s", kernel);
	START(c, EINVAL);
}

static void
eve_is_refused(void)
{
	struct vmconf c = like("mem", "x");

	START(c, EPERM);
	c = like("plain", "x");
	START(c, EPERM);
}

static void
test_users(void **state)
{
	NEED_VMD();
	write_conf(templates);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	as_user(ALICE, ALICE, alice_starts);
	as_user(ALICE, ALICE, alice_is_refused);
	as_user(BOB, OPS, bob_starts);
	as_user(EVE, EVE, eve_is_refused);
	assert_int_equal(state_of("x"), -1);
}

/* Root: as the template says, and no more either. */
static void
test_root(void **state)
{
	struct vmconf c = like("closed", "r1");

	NEED_VMD();
	assert_int_equal(once(CTL_START_ADHOC, packed(&c)), 0);
	assert_int_equal(row_of("r1").uid, 0);
	assert_int_equal(once(CTL_STOP, target("r1", 1)), 0);
	becomes("r1", -1);
	c = like("mem", "r1");
	assert_int_equal(once(CTL_START_ADHOC, packed(&c)), 0);
	assert_int_equal(row_of("r1").uid, ALICE);
	assert_int_equal(once(CTL_STOP, target("r1", 1)), 0);
	becomes("r1", -1);
	c.given = VM_I_CPUS;
	assert_int_equal(once(CTL_START_ADHOC, packed(&c)), EPERM);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_users),
		T(test_root),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
