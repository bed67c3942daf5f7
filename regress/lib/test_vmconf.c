/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "imsg.h"
#include "vmconf.h"

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "web", true },
		{ "0", true },
		{ "a.b-c_d", true },
		{ "", false },
		{ ".web", false },
		{ "-web", false },
		{ "_web", false },
		{ "a/b", false },
		{ "a b", false },
		{ "a\nb", false },
		{ "\xc3\xa4", false },
		{ "..", false },
	};
	char name[VM_NAME_MAX + 2];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(vmconf_name_ok(rows[i].name), rows[i].ok);
	memset(name, 'n', sizeof(name));
	name[VM_NAME_MAX] = '\0';
	assert_true(vmconf_name_ok(name));
	name[VM_NAME_MAX] = 'n';
	name[VM_NAME_MAX + 1] = '\0';
	assert_false(vmconf_name_ok(name));
}

static void
test_interface_names(void **state)
{
	static const struct {
		const char *name;
		bool ok, group;
	} rows[] = {
		{ "tap0", true, false },
		{ "vms", true, true },
		{ "br-lan.7a", true, true },
		{ "fifteen-letters", true, true },
		{ "sixteen--letters", false, false },
		{ "", false, false },
		{ ".", false, false },
		{ "..", false, false },
		{ "a/b", false, false },
		{ "a:b", false, false },
		{ "tap%d", false, false },
		{ "a b", false, false },
		{ "a\n", false, false },
		{ "\xc3\xa4", false, false },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(vmconf_ifname_ok(rows[i].name), rows[i].ok);
		assert_int_equal(vmconf_group_ok(rows[i].name), rows[i].group);
	}
}

static void
test_lladdr(void **state)
{
	static const char *const bad[] = { "", "fe:e1:ba:d0:00",
		"fe:e1:ba:d0:00:0", "fe:e1:ba:d0:00:000", "fe:e1:ba:d0:00:0g",
		"fe-e1-ba-d0-00-01", "fe:e1:ba:d0:00:01:", "01:00:00:00:00:01",
		"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", ":e1:ba:d0:00:011" };
	uint8_t a[6] = { 0 };
	size_t i;

	assert_int_equal(vmconf_lladdr("fe:E1:ba:d0:00:01", a), 0);
	assert_memory_equal(a, "\xfe\xe1\xba\xd0\x00\x01", 6);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vmconf_lladdr(bad[i], a), -EINVAL);
	assert_memory_equal(a, "\xfe\xe1\xba\xd0\x00\x01", 6);
}

/* An interface that crosses a channel with one thing wrong. */
static void
test_interface_wire(void **state)
{
	static const struct {
		const char *name;
		struct vm_nicconf nic;
		int error;
	} rows[] = {
		{ "plain", { 0 }, 0 },
		{ "all",
		    { VM_NIC_LOCAL | VM_NIC_LOCKED | VM_NIC_LLADDR, "tap3",
			"lan", "vms", 255, { 2, 0, 0, 0, 0, 1 },
			{ 1 << 20, 4096 } },
		    0 },
		{ "flag", { .flags = 1 << 5 }, -EBADMSG },
		{ "rdomain", { .rdomain = 256 }, -EBADMSG },
		{ "ifname", { .ifname = "a/b" }, -EBADMSG },
		{ "switch", { .sw = "a\nb" }, -EBADMSG },
		{ "group", { .group = "vm0" }, -EBADMSG },
		{ "burst without a rate", { .bandwidth = { 0, 1 } }, -EBADMSG },
		{ "rate without a burst", { .bandwidth = { 1, 0 } }, -EBADMSG },
		{ "multicast", { .lladdr = { 1 } }, -EBADMSG },
	};
	struct vmconf *c = malloc(sizeof(*c)), *out = malloc(sizeof(*out));
	struct ibuf *b;
	size_t i;

	assert_non_null(c);
	assert_non_null(out);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vmconf_init(c);
		strcpy(c->name, "web");
		c->nnics = 2;
		c->nic[1] = rows[i].nic;
		b = ibuf_dynamic(0, 65536);
		assert_int_equal(vmconf_put(b, c), 0);
		if (vmconf_get(b, out) != rows[i].error)
			fail_msg("%s", rows[i].name);
		if (rows[i].error == 0) {
			assert_int_equal(out->nnics, 2);
			assert_memory_equal(
			    &out->nic[1], &rows[i].nic, sizeof(rows[i].nic));
		}
		ibuf_free(b);
	}
	c->nnics = VM_NICS_MAX + 1;
	b = ibuf_dynamic(0, 65536);
	assert_int_equal(vmconf_put(b, c), -EINVAL);
	ibuf_free(b);
	free(c);
	free(out);
}

/* Each from its least to its most, and 0, which is none. */
static void
test_quotas(void **state)
{
	struct vmconf *c = malloc(sizeof(*c)), *out = malloc(sizeof(*out));
	const struct vm_quota_row *row;
	struct ibuf *b;
	unsigned i, k;

	assert_non_null(c);
	assert_non_null(out);
	for (i = 0; i < VM_QUOTAS; i++) {
		row = &vm_quota_rows[i];
		const uint64_t values[] = { 0, row->min, row->max, row->min - 1,
			row->max + 1 };

		for (k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
			vmconf_init(c);
			strcpy(c->name, "web");
			assert_false(vmconf_limited(c));
			c->quota[i] = values[k];
			assert_int_equal(vmconf_limited(c), values[k] != 0);
			b = ibuf_dynamic(0, 65536);
			assert_int_equal(vmconf_put(b, c), 0);
			assert_int_equal(vmconf_get(b, out),
			    values[k] == 0 || k == 1 || k == 2 ? 0 : -EBADMSG);
			ibuf_free(b);
		}
	}
	free(c);
	free(out);
}

static void
test_sizes(void **state)
{
	static const struct {
		const char *s;
		int error;
		uint64_t bytes;
	} rows[] = {
		{ "0", 0, 0 },
		{ "1048576", 0, 1048576 },
		{ "512B", 0, 512 },
		{ "1k", 0, 1024 },
		{ "512M", 0, 512ULL << 20 },
		{ "1.5g", 0, 3ULL << 29 },
		{ ".5K", 0, 512 },
		{ "0.0000000000000000001E", 0, 0 },
		{ "1.999999999999999999999999K", 0, 2047 },
		{ "7E", 0, 7ULL << 60 },
		{ "8E", -ERANGE, 0 },
		{ "17592186044416M", -ERANGE, 0 },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999999999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ ".", -EINVAL, 0 },
		{ "M", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 M", -EINVAL, 0 },
		{ "1MB", -EINVAL, 0 },
		{ "1Q", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
		{ "1..5M", -EINVAL, 0 },
	};
	uint64_t bytes;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bytes = 12345;
		assert_int_equal(vmconf_size(rows[i].s, &bytes), rows[i].error);
		assert_int_equal(
		    bytes, rows[i].error == 0 ? rows[i].bytes : 12345);
	}
}

static void
fill(struct vmconf *c)
{
	uint32_t i;

	vmconf_init(c);
	strcpy(c->name, "web");
	c->flags = VM_F_DISABLED;
	c->memory = 64 << 20;
	c->cpus = 4;
	c->cpu = VM_CPU_V2;
	c->uid = 1000;
	c->gid = 100;
	strcpy(c->kernel, "/boot/vmlinuz");
	strcpy(c->initrd, "/boot/initrd");
	strcpy(c->cmdline, "console=ttyS0");
	strcpy(c->floppy, "/srv/a.img");
	strcpy(c->efivars, "/srv/a.fd");
	strcpy(c->cdrom, "/srv/a.iso");
	strcpy(c->seed.user_data, "/srv/user");
	strcpy(c->seed.network_config, "/srv/net");
	strcpy(c->seed.ssh_key, "/srv/key");
	strcpy(c->seed.hostname, "web.example.org");
	strcpy(c->parent, "template");
	c->given = VM_I_MEMORY;
	c->allow = (struct vm_allow){ VM_I_DISK | VM_I_OWNER, 1001, 101 };
	for (i = 0; i < VM_QUOTAS; i++)
		c->quota[i] = vm_quota_rows[i].min + i;
	c->ndisks = VM_DISKS_MAX;
	for (i = 0; i < c->ndisks; i++) {
		snprintf(
		    c->disk[i].path, sizeof(c->disk[i].path), "/srv/disk%u", i);
		c->disk[i].readonly = i % 2;
		strcpy(c->disk[i].base, "/srv/base");
	}
}

static void
test_hostname(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
		{ "web", true },
		{ "1", true },
		{ "a-b.c-d.E9", true },
		{ "", false },
		{ ".", false },
		{ "a.", false },
		{ ".a", false },
		{ "a..b", false },
		{ "-a", false },
		{ "a-", false },
		{ "a.-b", false },
		{ "a-.b", false },
		{ "a_b", false },
		{ "a b", false },
		{ "\xc3\xbc", false },
	};
	char name[VM_HOSTNAME_MAX + 2];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(vmconf_hostname_ok(rows[i].name), rows[i].ok);
	for (i = 0; i < VM_HOSTNAME_MAX; i++)
		name[i] = i % 64 == 63 ? '.' : 'a';
	name[i] = '\0';
	assert_true(vmconf_hostname_ok(name));
	memcpy(name + i, "a", 2);
	assert_false(vmconf_hostname_ok(name));
	memset(name, 'a', 64);
	name[63] = '\0';
	assert_true(vmconf_hostname_ok(name));
	memcpy(name + 63, "a", 2);
	assert_false(vmconf_hostname_ok(name));
}

static void
test_round_trip(void **state)
{
	struct ibuf *buf = ibuf_dynamic(0, 65536);
	struct vmconf *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));
	uint32_t i;

	fill(a);
	assert_int_equal(vmconf_put(buf, a), 0);
	assert_int_equal(vmconf_get(buf, b), 0);
	assert_int_equal(ibuf_size(buf), 0);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->memory, b->memory);
	assert_int_equal(a->cpus, b->cpus);
	assert_int_equal(a->cpu, b->cpu);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_string_equal(a->kernel, b->kernel);
	assert_string_equal(a->initrd, b->initrd);
	assert_string_equal(a->cmdline, b->cmdline);
	assert_string_equal(a->floppy, b->floppy);
	assert_string_equal(a->efivars, b->efivars);
	assert_string_equal(a->cdrom, b->cdrom);
	assert_string_equal(a->seed.user_data, b->seed.user_data);
	assert_string_equal(a->seed.network_config, b->seed.network_config);
	assert_string_equal(a->seed.ssh_key, b->seed.ssh_key);
	assert_string_equal(a->seed.hostname, b->seed.hostname);
	assert_string_equal(a->parent, b->parent);
	assert_int_equal(a->given, b->given);
	assert_int_equal(a->allow.items, b->allow.items);
	assert_int_equal(a->allow.uid, b->allow.uid);
	assert_int_equal(a->allow.gid, b->allow.gid);
	assert_memory_equal(a->quota, b->quota, sizeof(a->quota));
	assert_int_equal(a->ndisks, b->ndisks);
	for (i = 0; i < a->ndisks; i++) {
		assert_string_equal(a->disk[i].path, b->disk[i].path);
		assert_string_equal(a->disk[i].base, b->disk[i].base);
		assert_int_equal(a->disk[i].readonly, b->disk[i].readonly);
	}
	ibuf_free(buf);
	free(a);
	free(b);
}

/* The largest configuration there can be fits one message. */
static void
test_largest(void **state)
{
	struct ibuf *buf =
	    ibuf_dynamic(0, CHAN_MSG_MAX - sizeof(struct imsg_hdr));
	struct vmconf *c = malloc(sizeof(*c));
	uint32_t i;

	fill(c);
	memset(c->name, 'n', VM_NAME_MAX);
	memset(c->kernel + 1, 'k', VM_PATH_MAX - 1);
	memset(c->initrd + 1, 'i', VM_PATH_MAX - 1);
	memset(c->cmdline, 'c', VM_CMDLINE_MAX);
	memset(c->seed.user_data + 1, 'u', VM_PATH_MAX - 1);
	memset(c->seed.network_config + 1, 'n', VM_PATH_MAX - 1);
	memset(c->seed.ssh_key + 1, 's', VM_PATH_MAX - 1);
	memset(c->disk[0].base + 1, 'b', VM_PATH_MAX - 1);
	for (i = 0; i < c->ndisks; i++)
		memset(c->disk[i].path + 1, 'd', VM_PATH_MAX - 1);
	assert_int_equal(vmconf_put(buf, c), 0);
	assert_int_equal(vmconf_get(buf, c), 0);
	ibuf_free(buf);
	free(c);
}

/* Cut anywhere, it is refused, and the output is untouched. */
static void
test_truncated(void **state)
{
	struct ibuf *buf = ibuf_dynamic(0, 65536), view;
	struct vmconf *c = malloc(sizeof(*c));
	size_t len, n;

	fill(c);
	assert_int_equal(vmconf_put(buf, c), 0);
	len = ibuf_size(buf);
	memset(c, 0x5a, sizeof(*c));
	for (n = 0; n < len; n++) {
		ibuf_from_buffer(&view, ibuf_data(buf), n);
		assert_int_equal(vmconf_get(&view, c), -EBADMSG);
		assert_int_equal(c->name[0], 0x5a);
	}
	ibuf_free(buf);
	free(c);
}

enum spoil {
	NAME,
	NAME_EMPTY,
	FLAGS,
	MEMORY_SMALL,
	MEMORY_LARGE,
	MEMORY_ODD,
	CPUS_ZERO,
	CPUS_MANY,
	CPU_UNKNOWN,
	PATH_CONTROL,
	DISK_RELATIVE,
	DISK_EMPTY,
	DISK_FORMAT,
	SPOILS
};

static void
spoil(struct vmconf *c, enum spoil how)
{
	switch (how) {
	case NAME:
		strcpy(c->name, "a/b");
		break;
	case NAME_EMPTY:
		c->name[0] = '\0';
		break;
	case FLAGS:
		c->flags = 1u << 31;
		break;
	case MEMORY_SMALL:
		c->memory = 1 << 20;
		break;
	case MEMORY_LARGE:
		c->memory = UINT64_MAX & ~0xfffffULL;
		break;
	case MEMORY_ODD:
		c->memory++;
		break;
	case CPUS_ZERO:
		c->cpus = 0;
		break;
	case CPUS_MANY:
		c->cpus = VM_CPUS_MAX + 1;
		break;
	case CPU_UNKNOWN:
		c->cpu = VM_CPU_V3 + 1;
		break;
	case PATH_CONTROL:
		strcpy(c->kernel, "/boot/a\nb");
		break;
	case DISK_RELATIVE:
		strcpy(c->disk[0].path, "disk");
		break;
	case DISK_EMPTY:
		c->disk[0].path[0] = '\0';
		break;
	case DISK_FORMAT:
		c->disk[0].format = 77;
		break;
	case SPOILS:
		break;
	}
}

static void
test_out_of_range(void **state)
{
	struct vmconf *c = malloc(sizeof(*c));
	struct ibuf *buf;
	int how;

	for (how = 0; how < SPOILS; how++) {
		buf = ibuf_dynamic(0, 65536);
		fill(c);
		spoil(c, (enum spoil)how);
		assert_int_equal(vmconf_put(buf, c), 0);
		assert_int_equal(vmconf_get(buf, c), -EBADMSG);
		ibuf_free(buf);
	}
	free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_interface_names),
		cmocka_unit_test(test_lladdr),
		cmocka_unit_test(test_interface_wire),
		cmocka_unit_test(test_quotas),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_hostname),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
