/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "efivars.h"
#include "instance.h"

static struct vmconf parent, c;
static struct fail why;

/* A parent that says everything and allows everything. */
static int
set_up(void **state)
{
	vmconf_init(&parent);
	vmconf_init(&c);
	strcpy(parent.name, "template");
	parent.memory = 256 << 20;
	parent.cpus = 3;
	parent.cpu = VM_CPU_V2;
	strcpy(parent.kernel, "/boot/vmlinuz");
	strcpy(parent.initrd, "/boot/initrd");
	strcpy(parent.cmdline, "quiet");
	strcpy(parent.floppy, "/srv/a.img");
	strcpy(parent.efivars, "/srv/a.fd");
	strcpy(parent.cdrom, "/srv/a.iso");
	parent.flags = VM_F_SEED;
	strcpy(parent.seed.user_data, "/srv/user");
	strcpy(parent.seed.ssh_key, "/srv/key");
	strcpy(parent.seed.hostname, "parent");
	parent.ndisks = 1;
	strcpy(parent.disk[0].path, "/srv/disk");
	parent.nnics = 2;
	strcpy(parent.nic[0].sw, "lan");
	parent.nic[1].flags = VM_NIC_LLADDR | VM_NIC_LOCKED;
	parent.nic[1].lladdr[5] = 7;
	strcpy(parent.nic[1].ifname, "tap7");
	parent.allow.items = VM_I_ALL;
	parent.allow.uid = 1000;
	parent.allow.gid = 100;
	parent.quota[VM_Q_CPU] = 150;
	parent.quota[VM_Q_MEMORY] = 512 << 20;
	strcpy(c.name, "web");
	strcpy(c.parent, "template");
	return 0;
}

static void
test_inherits(void **state)
{
	static const uint8_t none[6];

	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_int_equal(c.memory, 256 << 20);
	assert_int_equal(c.cpus, 3);
	assert_int_equal(c.cpu, VM_CPU_V2);
	assert_string_equal(c.kernel, "/boot/vmlinuz");
	assert_string_equal(c.initrd, "/boot/initrd");
	assert_string_equal(c.cmdline, "quiet");
	assert_string_equal(c.floppy, "/srv/a.img");
	assert_string_equal(c.cdrom, "/srv/a.iso");
	assert_int_equal(c.uid, 1000);
	assert_int_equal(c.gid, 100);
	assert_memory_equal(c.quota, parent.quota, sizeof(c.quota));
	assert_int_equal(c.flags, VM_F_SEED);
	assert_string_equal(c.seed.user_data, "/srv/user");
	assert_string_equal(c.seed.ssh_key, "/srv/key");
	/* What only one VM can have. */
	assert_string_equal(c.seed.hostname, "");
	assert_string_equal(vmconf_hostname(&c), "web");
	assert_string_equal(c.efivars, "");
	assert_int_equal(c.ndisks, 0);
	assert_int_equal(c.nnics, 2);
	assert_string_equal(c.nic[0].sw, "lan");
	assert_int_equal(c.nic[1].flags, VM_NIC_LOCKED);
	assert_memory_equal(c.nic[1].lladdr, none, sizeof(none));
	assert_string_equal(c.nic[1].ifname, "");
}

/* Two VMs do not share variables; firmware they do. */
static void
test_efivars(void **state)
{
	memset(parent.kernel, 0, sizeof(parent.kernel));
	strcpy(c.efivars, "/srv/a.fd");
	c.given = VM_I_DISK;
	assert_int_equal(instance_merge(&parent, &c, &why), -EBUSY);
	assert_string_equal(why.text, "efivars are those of vm \"template\"");
	strcpy(c.efivars, "/srv/b.fd");
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_string_equal(c.efivars, "/srv/b.fd");
	assert_string_equal(c.kernel, EFIVARS_FIRMWARE);
}

static void
test_says(void **state)
{
	c.given = VM_I_MEMORY | VM_I_CPUS | VM_I_CDROM | VM_I_BOOT |
	    VM_I_INTERFACE | VM_I_LIMIT | VM_I_SEED;
	c.quota[VM_Q_CPU] = 50;
	strcpy(c.seed.hostname, "mine");
	c.memory = 64 << 20;
	c.cpus = 1;
	strcpy(c.cdrom, "/srv/b.iso");
	strcpy(c.kernel, "/boot/other");
	c.nnics = 1;
	strcpy(c.nic[0].sw, "dmz");
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_int_equal(c.memory, 64 << 20);
	assert_int_equal(c.cpus, 1);
	assert_string_equal(c.cdrom, "/srv/b.iso");
	assert_string_equal(c.kernel, "/boot/other");
	assert_string_equal(c.initrd, "");
	assert_string_equal(c.cmdline, "");
	assert_string_equal(c.floppy, "");
	assert_int_equal(c.nnics, 2);
	assert_string_equal(c.nic[0].sw, "dmz");
	/* A limit is said as a whole. */
	assert_int_equal(c.quota[VM_Q_CPU], 50);
	assert_int_equal(c.quota[VM_Q_MEMORY], 0);
	assert_string_equal(c.seed.hostname, "mine");
	assert_string_equal(c.seed.user_data, "/srv/user");
}

/* Files of its own: none of the parent's come with them. */
static void
test_own_seed(void **state)
{
	c.given = VM_I_SEED;
	c.flags = VM_F_SEED;
	strcpy(c.seed.ssh_key, "/srv/mine");
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_string_equal(c.seed.ssh_key, "/srv/mine");
	assert_string_equal(c.seed.user_data, "");
	parent.flags = 0;
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_int_equal(c.flags, VM_F_SEED);
	assert_string_equal(c.seed.ssh_key, "/srv/mine");
}

static void
test_refused(void **state)
{
	static const struct {
		enum vm_item item;
		const char *name;
	} rows[] = {
		{ VM_I_BOOT, "boot" },
		{ VM_I_CDROM, "cdrom" },
		{ VM_I_CPU, "cpu" },
		{ VM_I_CPUS, "cpus" },
		{ VM_I_SEED, "cloud-init" },
		{ VM_I_DISK, "disk" },
		{ VM_I_INTERFACE, "interface" },
		{ VM_I_LIMIT, "limit" },
		{ VM_I_MEMORY, "memory" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		parent.allow.items = VM_I_ALL & ~(uint32_t)rows[i].item;
		c.given = rows[i].item;
		assert_int_equal(instance_merge(&parent, &c, &why), -EPERM);
		assert_non_null(strstr(why.text, "template"));
		assert_non_null(strstr(why.text, rows[i].name));
	}
}

/* Permissions become fewer from one generation to the next, never more. */
static void
test_permissions(void **state)
{
	parent.allow.items = VM_I_INSTANCE | VM_I_MEMORY;
	c.given = VM_I_INSTANCE;
	c.allow.items = VM_I_MEMORY;
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_int_equal(c.allow.items, VM_I_MEMORY);
	c.allow.items = VM_I_MEMORY | VM_I_CPUS;
	assert_int_equal(instance_merge(&parent, &c, &why), -EPERM);
	parent.allow.items = VM_I_MEMORY;
	c.given = 0;
	assert_int_equal(instance_merge(&parent, &c, &why), 0);
	assert_int_equal(c.allow.items, 0);
}

static void
test_taken(void **state)
{
	c.given = VM_I_DISK;
	c.ndisks = 1;
	strcpy(c.disk[0].path, "/srv/disk");
	assert_int_equal(instance_merge(&parent, &c, &why), -EBUSY);
	strcpy(c.disk[0].path, "/srv/mine");
	c.given |= VM_I_INTERFACE;
	c.nnics = 1;
	c.nic[0] = parent.nic[1];
	assert_int_equal(instance_merge(&parent, &c, &why), -EBUSY);
	memset(&c.nic[0], 0, sizeof(c.nic[0]));
	strcpy(c.nic[0].ifname, "tap7");
	assert_int_equal(instance_merge(&parent, &c, &why), -EBUSY);
	c.given = VM_I_OWNER;
	c.ndisks = c.nnics = 0;
	c.uid = 1001;
	c.gid = VM_NOGID;
	assert_int_equal(instance_merge(&parent, &c, &why), -EPERM);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_inherits, set_up),
		cmocka_unit_test_setup(test_efivars, set_up),
		cmocka_unit_test_setup(test_says, set_up),
		cmocka_unit_test_setup(test_own_seed, set_up),
		cmocka_unit_test_setup(test_refused, set_up),
		cmocka_unit_test_setup(test_permissions, set_up),
		cmocka_unit_test_setup(test_taken, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
