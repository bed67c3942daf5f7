/* SPDX-License-Identifier: ISC */
/*
 * Messages between parent and netcfg, and the addresses of local interfaces.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "imsg.h"
#include "localnet.h"
#include "netmsg.h"

static const struct net_tap tap = {
	.ifname = "tap3",
	.alias = "vm1-if0-web",
	.bridge = "br0",
	.down = true,
	.group = 7,
	.rdomain = 3,
	.lladdr = { 2, 1, 2, 3, 4, 5 },
	.local = true,
	.addr = { .host = 1,
	    .guest = 2,
	    .inet6 = true,
	    .host6 = { 3 },
	    .guest6 = { 4 } },
};

static void
test_round_trip(void **state)
{
	struct nft_range range = { 0x0a000000, 8, true, { 0xfd }, 64, 53 }, r2;
	struct net_switch sw = { "lan", "br0", true, false, 3, 4 }, s2;
	struct net_result res = { "tap9", 4, 31, 1500 }, e2;
	struct ibuf *b = ibuf_dynamic(0, 65536);
	struct net_tap t2 = { .key = 0 };

	memset(&r2, 0, sizeof(r2));
	memset(&s2, 0, sizeof(s2));
	memset(&e2, 0, sizeof(e2));
	assert_int_equal(netmsg_put_range(b, &range), 0);
	assert_int_equal(netmsg_put_switch(b, &sw), 0);
	assert_int_equal(netmsg_put_tap(b, &tap), 0);
	assert_int_equal(netmsg_put_result(b, &res), 0);
	assert_int_equal(netmsg_get_range(b, &r2), 0);
	assert_int_equal(netmsg_get_switch(b, &s2), 0);
	assert_int_equal(netmsg_get_tap(b, &t2), 0);
	assert_int_equal(netmsg_get_result(b, &e2), 0);
	assert_int_equal(ibuf_size(b), 0);
	assert_int_equal(r2.prefix, range.prefix);
	assert_int_equal(r2.len6, 64);
	assert_int_equal(r2.dns, 53);
	assert_string_equal(s2.bridge, "br0");
	assert_true(s2.create);
	assert_int_equal(s2.rdomain, 4);
	assert_memory_equal(&t2.addr, &tap.addr, sizeof(t2.addr));
	assert_string_equal(t2.alias, tap.alias);
	assert_string_equal(e2.ifname, "tap9");
	assert_int_equal(e2.offload, 31);
	ibuf_free(b);
}

/* Every prefix of a message is refused, and so are bad names and numbers. */
static void
test_refused(void **state)
{
	struct ibuf *b = ibuf_dynamic(0, 65536), v;
	struct net_result res = { "tap9", 9, 31, 1500 };
	struct net_tap t, bad = tap;
	size_t n, len;

	assert_int_equal(netmsg_put_tap(b, &tap), 0);
	len = ibuf_size(b);
	for (n = 0; n < len; n++) {
		uint8_t *p = malloc(n + 1);

		memcpy(p, ibuf_data(b), n);
		ibuf_from_buffer(&v, p, n);
		assert_int_equal(netmsg_get_tap(&v, &t), -EBADMSG);
		free(p);
	}
	ibuf_free(b);
	strcpy(bad.ifname, "a/b");
	b = ibuf_dynamic(0, 65536);
	assert_int_equal(netmsg_put_tap(b, &bad), 0);
	assert_int_equal(netmsg_get_tap(b, &t), -EBADMSG);
	ibuf_free(b);
	b = ibuf_dynamic(0, 65536);
	assert_int_equal(netmsg_put_result(b, &res), 0);
	assert_int_equal(netmsg_get_result(b, &res), -EBADMSG);
	ibuf_free(b);
}

static void
test_addresses(void **state)
{
	static const struct {
		uint32_t prefix;
		unsigned len;
		uint32_t id;
		unsigned nic;
		int error;
		uint32_t host;
	} rows[] = {
		{ 0x64400000, 10, 1, 0, 0, 0x64400102 },
		{ 0x64400000, 10, 1, 3, 0, 0x64400108 },
		{ 0x64400000, 10, 0x3fff, 0, 0, 0x647fff02 },
		{ 0x64400000, 10, 0x4000, 0, -ERANGE, 0 },
		{ 0x0a4d0000, 16, 255, 0, 0, 0x0a4dff02 },
		{ 0x0a4d0000, 16, 256, 0, -ERANGE, 0 },
		{ 0x80000000, 1, 0x7fffff, 0, 0, 0xffffff02 },
		{ 0x80000000, 1, 0xffffffff, 0, -ERANGE, 0 },
	};
	struct conf_local c = { .inet6 = true, .prefix6 = { 0xfd, 1 } };
	struct local_conf l;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.prefix = rows[i].prefix;
		c.len = rows[i].len;
		assert_int_equal(
		    localnet_addresses(&c, rows[i].id, rows[i].nic, &l),
		    rows[i].error);
		if (rows[i].error != 0)
			continue;
		assert_int_equal(l.host, rows[i].host);
		assert_int_equal(l.guest, rows[i].host + 1);
	}
	c.prefix = 0x64400000;
	c.len = 10;
	assert_int_equal(localnet_addresses(&c, 1, 0, &l), 0);
	assert_memory_equal(
	    l.host6, "\xfd\1\0\0\0\0\0\0\x64\x40\1\2\0\0\0\1", 16);
	assert_memory_equal(
	    l.guest6, "\xfd\1\0\0\0\0\0\0\x64\x40\1\2\0\0\0\2", 16);
}

static void
test_host_lladdr(void **state)
{
	static const uint8_t given[6] = { 0x52, 0x54, 0, 1, 2, 3 },
			     ours[6] = { 0xfe, 0xe1, 0xbb, 0xd1, 2, 3 };
	uint8_t a[6];

	localnet_host_lladdr(given, a);
	assert_memory_equal(a, "\xfe\x54\0\1\2\3", 6);
	localnet_host_lladdr(ours, a);
	assert_memory_equal(a, "\xfe\xe1\xba\xd1\2\3", 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_host_lladdr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
