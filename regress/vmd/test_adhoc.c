/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/sysinfo.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adhoc.h"
#include "efivars.h"

static const struct cred user = { .uid = 1000 }, other = { .uid = 1001 },
			 root = { .uid = 0 };
static struct vmreg reg;
static struct conf *all; /* one VM: "template" */
static struct vmconf *template;
static struct vmconf c, got;
static struct fail why;
static uint64_t half;

static int
set_up(void **state)
{
	struct sysinfo si;

	if (sysinfo(&si) == -1)
		return -1;
	half = (uint64_t)si.totalram * si.mem_unit / 2 & ~((1ULL << 20) - 1);
	struct conf_vm *cv = calloc(1, sizeof(*cv));

	if ((all = conf_new()) == NULL || cv == NULL)
		return -1;
	TAILQ_INSERT_TAIL(&all->vms, cv, entry);
	template = &cv->conf;
	vmconf_init(template);
	strcpy(template->name, "template");
	strcpy(template->kernel, "/boot/vmlinuz");
	template->allow.items = VM_I_OWNER | VM_I_INTERFACE | VM_I_MEMORY;
	template->allow.uid = user.uid;
	template->allow.gid = VM_NOGID;
	vmreg_init(&reg);
	vmconf_init(&c);
	c.memory = 64 << 20;
	return 0;
}

static int
tear_down(void **state)
{
	vmreg_clear(&reg);
	conf_free(all);
	return 0;
}

static int
ask(const struct cred *who)
{
	static const struct adhoc_files files = { .kernel = true };

	return adhoc_check(&reg, all, who, &files, &c, &why);
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

static int
ask_instance(const struct cred *who)
{
	static const struct adhoc_files none;

	got = c;
	strcpy(got.parent, "template");
	return adhoc_check(&reg, all, who, &none, &got, &why);
}

/* Marks of the configuration come from here, never from the client. */
static void
test_marks(void **state)
{
	c.flags = VM_F_ADHOC | VM_F_CONF_BOOT | VM_F_CONF_CDROM;
	c.allow.items = VM_I_ALL;
	strcpy(c.kernel, "/tmp/kernel");
	assert_int_equal(ask(&user), 0);
	assert_int_equal(c.flags, VM_F_ADHOC);
	assert_int_equal(c.allow.items, 0);
	c.kernel[0] = '\0';
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(
	    got.flags, VM_F_ADHOC | VM_F_CONF_BOOT | VM_F_CONF_CDROM);
	assert_string_equal(got.kernel, "/boot/vmlinuz");
	template->allow.items |= VM_I_BOOT | VM_I_CDROM;
	strcpy(c.kernel, "/tmp/kernel");
	strcpy(c.cdrom, "/tmp/iso");
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(got.flags, VM_F_ADHOC);
	assert_int_equal(ask_instance(&other), -EPERM);
}

/* Nobody gets out of the template's limits by what his client says. */
static void
test_instance_quota(void **state)
{
	template->quota[VM_Q_CPU] = 50;
	c.given = VM_I_LIMIT;
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(got.quota[VM_Q_CPU], 50);
	c.quota[VM_Q_CPU] = 200;
	c.given = 0;
	assert_int_equal(ask_instance(&user), -EPERM);
	assert_int_equal(ask_instance(&root), -EPERM);
	template->allow.items |= VM_I_LIMIT;
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(got.quota[VM_Q_CPU], 200);
}

/* A floppy disk comes from the template alone: root's rights open it. */
static void
test_floppy(void **state)
{
	static const struct adhoc_files none;

	strcpy(c.floppy, "/etc/shadow");
	assert_int_equal(ask(&user), 0);
	assert_string_equal(c.floppy, "");
	strcpy(c.floppy, "/etc/shadow");
	assert_int_equal(
	    adhoc_check(&reg, all, &user, &none, &c, &why), -CTL_E_FIRMWARE);
	strcpy(template->floppy, "/srv/a.img");
	strcpy(c.floppy, "/etc/shadow");
	assert_int_equal(ask_instance(&user), 0);
	assert_string_equal(got.floppy, "/srv/a.img");
	assert_int_equal(got.flags & VM_F_CONF_BOOT, VM_F_CONF_BOOT);
	/* It goes with the template's firmware. */
	template->allow.items |= VM_I_BOOT;
	strcpy(c.kernel, "/tmp/kernel");
	assert_int_equal(ask_instance(&user), 0);
	assert_string_equal(got.floppy, "");
	assert_int_equal(got.flags & VM_F_CONF_BOOT, 0);
}

/* Nobody but vm.conf names a file for variables; its firmware is the
 * template's. */
static void
test_efivars(void **state)
{
	strcpy(c.efivars, "/etc/shadow");
	assert_int_equal(ask(&user), 0);
	assert_string_equal(c.efivars, "");
	strcpy(c.efivars, "/etc/shadow");
	assert_int_equal(ask(&root), 0);
	assert_string_equal(c.efivars, "");
	strcpy(template->efivars, "/srv/a.fd");
	memset(template->kernel, 0, sizeof(template->kernel));
	strcpy(c.efivars, "/etc/shadow");
	assert_int_equal(ask_instance(&user), 0);
	assert_string_equal(got.efivars, "");
	assert_string_equal(got.kernel, EFIVARS_FIRMWARE);
	assert_int_equal(got.flags & VM_F_CONF_BOOT, VM_F_CONF_BOOT);
}

/* What cloud-init is told comes from the template alone. */
static void
test_seed(void **state)
{
	strcpy(c.name, "web");
	c.flags = VM_F_SEED;
	strcpy(c.seed.user_data, "/etc/shadow");
	assert_int_equal(ask(&user), 0);
	assert_int_equal(c.flags & VM_F_SEED, 0);
	assert_string_equal(c.seed.user_data, "");
	c.flags = VM_F_SEED;
	strcpy(c.seed.user_data, "/etc/shadow");
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(got.flags & VM_F_SEED, 0);
	assert_string_equal(got.seed.user_data, "");
	template->flags |= VM_F_SEED;
	template->allow.items |= VM_I_SEED;
	strcpy(template->seed.user_data, "/srv/user");
	strcpy(c.seed.hostname, "mine");
	assert_int_equal(ask_instance(&user), 0);
	assert_int_equal(got.flags & VM_F_SEED, VM_F_SEED);
	assert_string_equal(got.seed.user_data, "/srv/user");
	assert_string_equal(got.seed.hostname, "");
	strcpy(c.name, "a_b");
	assert_int_equal(ask_instance(&user), -EINVAL);
	assert_non_null(strstr(why.text, "name of a host"));
}

/* What belongs together comes together. */
static void
test_instance_files(void **state)
{
	static const struct adhoc_files kernel = { .kernel = true },
					initrd = { .initrd = true };

	template->allow.items |= VM_I_BOOT;
	strcpy(c.parent, "template");
	got = c;
	assert_int_equal(
	    adhoc_check(&reg, all, &user, &kernel, &got, &why), -EINVAL);
	got = c;
	assert_int_equal(
	    adhoc_check(&reg, all, &user, &initrd, &got, &why), -EINVAL);
	got = c;
	strcpy(got.kernel, "/tmp/kernel");
	assert_int_equal(adhoc_check(&reg, all, &user, &kernel, &got, &why), 0);
	assert_string_equal(got.initrd, "");
}

/* The limits are those of all VMs of a user that are in no file. */
static void
test_instance_limits(void **state)
{
	unsigned i;

	template->memory = half + (2 << 20);
	assert_int_equal(ask_instance(&user), -EDQUOT);
	assert_int_equal(ask_instance(&root), 0);
	template->memory = 16 << 20;
	for (i = 0; i < ADHOC_MAX; i++)
		have(&user, 1 << 20);
	assert_int_equal(ask_instance(&user), -EDQUOT);
}

/* Where interfaces are allowed: not by the name or address of others. */
static void
test_instance_network(void **state)
{
	c.nnics = 1;
	strcpy(c.nic[0].sw, "lan");
	assert_int_equal(ask_instance(&user), 0);
	strcpy(c.nic[0].ifname, "tap7");
	assert_int_equal(ask_instance(&user), -EPERM);
	c.nic[0].ifname[0] = '\0';
	c.nic[0].rdomain = 1;
	assert_int_equal(ask_instance(&user), -EPERM);
	c.nic[0].rdomain = 0;
	c.nic[0].flags = VM_NIC_LLADDR;
	assert_int_equal(ask_instance(&user), -EPERM);
	assert_int_equal(ask_instance(&root), 0);
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
		T(test_marks),
		T(test_instance_quota),
		T(test_floppy),
		T(test_efivars),
		T(test_seed),
		T(test_instance_files),
		T(test_instance_limits),
		T(test_instance_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
