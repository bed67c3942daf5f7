/* SPDX-License-Identifier: ISC */
/*
 * What a local interface answers: DHCP, BOOTP, router solicitations, DHCPv6;
 * and nothing at all to nonsense.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "local.h"

#define HOST  0x64400102 /* 100.64.1.2 */
#define GUEST 0x64400103
#define ETH   14
#define IP    20
#define UDP   8
#define BOOTP (ETH + IP + UDP)
#define IP6   40

static const struct local_conf conf = {
	.host_mac = { 2, 0xaa, 1, 2, 3, 4 },
	.host = HOST,
	.guest = GUEST,
	.mtu = 1400,
	.inet6 = true,
	.host6 = { 0xfd, 1, [8] = 0x64, 0x40, 1, 2, [15] = 1 },
	.guest6 = { 0xfd, 1, [8] = 0x64, 0x40, 1, 2, [15] = 2 },
};

static const uint8_t guest_mac[6] = { 0xfe, 0xe1, 0xbb, 0xd1, 0, 1 };
static uint8_t in[2000], out[LOCAL_FRAME_MAX];

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static unsigned
get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* A question with these options behind the magic number; its length. */
static size_t
question(const uint8_t *options, size_t n)
{
	size_t len = BOOTP + 236 + 4 + n;

	memset(in, 0, sizeof(in));
	memset(in, 0xff, 6);
	memcpy(in + 6, guest_mac, 6);
	put16(in + 12, 0x0800);
	in[ETH] = 0x45;
	put16(in + ETH + 2, (unsigned)(len - ETH));
	in[ETH + 9] = 17;
	put16(in + ETH + IP, 68);
	put16(in + ETH + IP + 2, 67);
	put16(in + ETH + IP + 4, (unsigned)(len - ETH - IP));
	memcpy(in + BOOTP, "\1\1\6\0\xde\xad\xbe\xef", 8);
	memcpy(in + BOOTP + 28, guest_mac, 6);
	memcpy(in + BOOTP + 236, "\x63\x82\x53\x63", 4);
	memcpy(in + BOOTP + 240, options, n);
	return len;
}

static size_t
ask(size_t len)
{
	memset(out, 0xee, sizeof(out));
	return local_answer(&conf, in, len, out, sizeof(out));
}

/* An option of the answer, or NULL. */
static const uint8_t *
option(size_t len, uint8_t code)
{
	const uint8_t *p = out + BOOTP + 240, *end = out + len;

	while (p < end && *p != 255) {
		if (*p == 0) {
			p++;
			continue;
		}
		if (*p == code)
			return p + 1;
		p += 2 + p[1];
	}
	return NULL;
}

/* A whole packet adds up to zero, RFC 1071. */
static unsigned
sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (; n > 1; p += 2, n -= 2)
		s += get16(p);
	if (n == 1)
		s += (unsigned)p[0] << 8;
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void
check_headers(size_t len)
{
	assert_in_range(len, BOOTP + 300, LOCAL_FRAME_MAX);
	assert_memory_equal(out + 6, conf.host_mac, 6);
	assert_int_equal(get16(out + ETH + 2), len - ETH);
	assert_int_equal(sum(out + ETH, IP, 0), 0xffff);
	assert_int_equal(get32(out + ETH + 12), HOST);
	assert_int_equal(get16(out + ETH + IP), 67);
	assert_int_equal(get16(out + ETH + IP + 2), 68);
	assert_int_equal(
	    sum(out + ETH + IP, len - ETH - IP,
		17 + (uint32_t)(len - ETH - IP) + sum(out + ETH + 12, 8, 0)),
	    0xffff);
	assert_int_equal(out[BOOTP], 2);
	assert_memory_equal(out + BOOTP + 4, "\xde\xad\xbe\xef", 4);
	assert_memory_equal(out + BOOTP + 28, guest_mac, 6);
}

static void
check_lease(size_t len)
{
	assert_int_equal(get32(out + BOOTP + 16), GUEST);
	assert_int_equal(get32(option(len, 1) + 1), 0xfffffffe);
	assert_int_equal(get32(option(len, 3) + 1), HOST);
	assert_int_equal(get32(option(len, 6) + 1), HOST);
	assert_int_equal(get16(option(len, 26) + 1), 1400);
}

/* "boot device net": the name, and what OpenBSD's installer looks for. */
static void
test_netboot(void **state)
{
	static const uint8_t discover[] = { 53, 1, 1, 255 };
	struct local_conf c = conf;
	const uint8_t *p;
	size_t n = question(discover, sizeof(discover));

	memcpy(c.netboot, "web", 4);
	n = local_answer(&c, in, n, out, sizeof(out));
	check_headers(n);
	p = option(n, 12);
	assert_non_null(p);
	assert_memory_equal(p, "\3web", 4);
	p = option(n, 67);
	assert_non_null(p);
	assert_memory_equal(p, "\014auto_install", 13);
	assert_string_equal((char *)out + BOOTP + 108, "auto_install");
	/* Others are told nothing of that. */
	n = ask(question(discover, sizeof(discover)));
	assert_null(option(n, 12));
	assert_null(option(n, 67));
	assert_int_equal(out[BOOTP + 108], 0);
}

static void
test_discover(void **state)
{
	size_t n = ask(question((const uint8_t *)"\x35\1\1\xff", 4));

	check_headers(n);
	check_lease(n);
	assert_int_equal(option(n, 53)[1], 2);
	assert_int_equal(get32(option(n, 51) + 1), 0xffffffff);
	assert_int_equal(get32(option(n, 54) + 1), HOST);
	assert_memory_equal(out, guest_mac, 6);
	assert_int_equal(get32(out + ETH + 16), GUEST);
}

static void
test_broadcast_flag(void **state)
{
	size_t len = question((const uint8_t *)"\x35\1\1\xff", 4);

	in[BOOTP + 10] = 0x80;
	check_headers(ask(len));
	assert_memory_equal(out, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(get32(out + ETH + 16), 0xffffffff);
	assert_int_equal(out[BOOTP + 10], 0x80);
}

static void
test_request(void **state)
{
	size_t n, len;

	n = ask(question((const uint8_t *)"\x35\1\3\x32\4\x64\x40\1\3"
					  "\x36\4\x64\x40\1\2\xff",
	    16));
	check_headers(n);
	check_lease(n);
	assert_int_equal(option(n, 53)[1], 5);
	/* Renewing: by ciaddr. */
	len = question((const uint8_t *)"\x35\1\3\xff", 4);
	memcpy(in + BOOTP + 12, "\x64\x40\1\3", 4);
	n = ask(len);
	assert_int_equal(option(n, 53)[1], 5);
	assert_int_equal(get32(out + BOOTP + 12), GUEST);
	/* Another address, or none. */
	n = ask(question((const uint8_t *)"\x35\1\3\x32\4\x0a\0\0\1\xff", 10));
	check_headers(n);
	assert_int_equal(option(n, 53)[1], 6);
	assert_null(option(n, 1));
	assert_null(option(n, 51));
	assert_int_equal(get32(out + BOOTP + 16), 0);
	assert_int_equal(get32(out + ETH + 16), 0xffffffff);
	n = ask(question((const uint8_t *)"\x35\1\3\xff", 4));
	assert_int_equal(option(n, 53)[1], 6);
	/* Somebody else's server. */
	assert_int_equal(
	    ask(question((const uint8_t *)"\x35\1\3\x32\4\x64\x40\1\3"
					  "\x36\4\x64\x40\1\1\xff",
		16)),
	    0);
}

static void
test_inform(void **state)
{
	size_t n, len = question((const uint8_t *)"\x35\1\x08\xff", 4);

	memcpy(in + BOOTP + 12, "\x64\x40\1\3", 4);
	n = ask(len);
	check_headers(n);
	assert_int_equal(option(n, 53)[1], 5);
	assert_null(option(n, 51));
	assert_int_equal(get32(out + BOOTP + 16), 0);
	memset(in + BOOTP + 12, 0, 4);
	assert_int_equal(ask(len), 0);
}

static void
test_bootp(void **state)
{
	size_t n, len = question((const uint8_t *)"\xff", 1);

	n = ask(len);
	check_headers(n);
	check_lease(n);
	assert_null(option(n, 53));
	assert_null(option(n, 51));
	/* Without a vendor area that we know. */
	memset(in + BOOTP + 236, 0, 5);
	n = ask(len);
	check_lease(n);
	assert_null(option(n, 53));
}

/* Changes to a good question after which there is no answer. */
static void
test_no_answer(void **state)
{
	static const struct {
		const char *name;
		unsigned at;
		uint8_t val;
	} rows[] = {
		{ "type", 13, 6 },
		{ "ip version", ETH, 0x65 },
		{ "short ip header", ETH, 0x44 },
		{ "long ip header", ETH, 0x4f },
		{ "ip length", ETH + 2, 0x7f },
		{ "short ip length", ETH + 3, 20 },
		{ "more fragments", ETH + 6, 0x20 },
		{ "fragment", ETH + 7, 1 },
		{ "tcp", ETH + 9, 6 },
		{ "port", ETH + IP + 3, 68 },
		{ "udp length", ETH + IP + 4, 0xff },
		{ "short udp", ETH + IP + 5, 7 },
		{ "reply", BOOTP, 2 },
		{ "hardware", BOOTP + 1, 6 },
		{ "hlen 255", BOOTP + 2, 255 },
		{ "hlen 0", BOOTP + 2, 0 },
		{ "hlen 7", BOOTP + 2, 7 },
		{ "relay", BOOTP + 24, 10 },
		{ "release", BOOTP + 242, 7 },
		{ "decline", BOOTP + 242, 4 },
		{ "offer", BOOTP + 242, 2 },
		{ "unknown", BOOTP + 242, 99 },
	};
	size_t i, len;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = question((const uint8_t *)"\x35\1\1\xff", 4);
		in[rows[i].at] = rows[i].val;
		if (rows[i].at == ETH + 2 || rows[i].at == ETH + IP + 4)
			in[rows[i].at + 1] = 0xff;
		if (ask(len) != 0)
			fail_msg("%s: there is an answer", rows[i].name);
	}
}

/* Cut anywhere, with memory that ends where the frame does. */
static void
test_truncated(void **state)
{
	size_t n, len = question((const uint8_t *)"\x35\1\1\xff", 4);
	uint8_t *p;

	for (n = 0; n < len; n++) {
		p = malloc(n + 1);
		memcpy(p, in, n);
		assert_int_equal(
		    local_answer(&conf, p, n, out, sizeof(out)), 0);
		free(p);
	}
	/* Room for an answer, cut as well. */
	for (n = 0; n < BOOTP + 300; n++) {
		p = malloc(n + 1);
		assert_int_equal(local_answer(&conf, in, len, p, n), 0);
		free(p);
	}
}

static void
test_options_malformed(void **state)
{
	static const struct {
		const char *options;
		size_t n;
	} rows[] = {
		{ "\x35\1\1\x32\xff", 5 }, /* longer than what is left */
		{ "\x35\1\1\x32", 4 }, /* no length */
		{ "\x35\1\1\x32\0\xff", 6 },
		{ "\x35\1\1\x32\3\1\1\1\xff", 9 }, /* odd length */
		{ "\x35\1\1", 3 }, /* no end */
		{ "\0\0\0\x35\1\1\0\0\xff", 9 },
	};
	size_t i, n;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n = ask(question((const uint8_t *)rows[i].options, rows[i].n));
		check_headers(n);
		assert_int_equal(option(n, 53)[1], 2);
	}
}

/* IPv6: a frame with this payload; its length. */
static size_t
packet6(unsigned proto, const uint8_t *payload, size_t n)
{
	memset(in, 0, sizeof(in));
	memcpy(in, "\x33\x33\0\1\0\2", 6);
	memcpy(in + 6, guest_mac, 6);
	put16(in + 12, 0x86dd);
	in[ETH] = 0x60;
	put16(in + ETH + 4, (unsigned)n);
	in[ETH + 6] = (uint8_t)proto;
	in[ETH + 7] = 255;
	memcpy(in + ETH + 8, "\xfe\x80\0\0\0\0\0\0\1\2\3\4\5\6\7\x08", 16);
	memcpy(in + ETH + IP6, payload, n);
	return ETH + IP6 + n;
}

static void
check6(size_t len, unsigned proto)
{
	assert_true(len > ETH + IP6);
	assert_int_equal(get16(out + ETH + 4), len - ETH - IP6);
	assert_int_equal(out[ETH + 6], proto);
	assert_int_equal(sum(out + ETH + IP6, len - ETH - IP6,
			     proto + (uint32_t)(len - ETH - IP6) +
				 sum(out + ETH + 8, 32, 0)),
	    0xffff);
	assert_memory_equal(out + 6, conf.host_mac, 6);
	assert_memory_equal(
	    out + ETH + 8, "\xfe\x80\0\0\0\0\0\0\0\xaa\1\xff\xfe\2\3\4", 16);
}

static void
test_router(void **state)
{
	static const uint8_t rs[8] = { 133 };
	size_t n = ask(packet6(58, rs, 8));

	check6(n, 58);
	assert_int_equal(out[ETH + IP6], 134);
	assert_int_equal(out[ETH + IP6 + 5] & 0xc0, 0xc0);
	assert_int_equal(get16(out + ETH + IP6 + 6), 9000);
	assert_memory_equal(out, guest_mac, 6);
	assert_memory_equal(out + ETH + 24, in + ETH + 8, 16);
	/* From no address: to all nodes. */
	memset(in + ETH + 8, 0, 16);
	n = ask(ETH + IP6 + 8);
	check6(n, 58);
	assert_memory_equal(out, "\x33\x33\0\0\0\1", 6);
	assert_int_equal(out[ETH + 24], 0xff);
	/* One that came through a router is none. */
	in[ETH + 7] = 254;
	assert_int_equal(ask(ETH + IP6 + 8), 0);
	n = local_advertise(&conf, out, sizeof(out));
	check6(n, 58);
}

static size_t
dhcp6(uint8_t type, const uint8_t *options, size_t n)
{
	uint8_t p[1000] = { 2, 34, 2, 35 };

	put16(p + 4, (unsigned)(UDP + 4 + n));
	memcpy(p + UDP, "\0abc", 4);
	p[UDP] = type;
	memcpy(p + UDP + 4, options, n);
	return packet6(17, p, UDP + 4 + n);
}

#define CLIENT "\0\1\0\4\0\3\0\1"
#define IA     "\0\3\0\x0c\7\7\7\7\0\0\0\0\0\0\0\0"
#define SERVER "\0\2\0\x0a\0\3\0\1\2\xaa\1\2\3\4"

static void
test_dhcp6(void **state)
{
	static const struct {
		uint8_t type, answer;
		const char *options;
		size_t n;
		bool address;
	} rows[] = {
		{ 1, 2, CLIENT IA, 8 + 16, true },
		{ 1, 7, CLIENT IA "\0\x0e\0\0", 8 + 16 + 4, true },
		{ 3, 7, CLIENT SERVER IA, 8 + 14 + 16, true },
		{ 5, 7, CLIENT SERVER IA, 8 + 14 + 16, true },
		{ 6, 7, CLIENT IA, 8 + 16, true },
		{ 4, 7, CLIENT IA, 8 + 16, false },
		{ 8, 7, CLIENT SERVER IA, 8 + 14 + 16, false },
		{ 11, 7, "", 0, false },
		/* No answer */
		{ 1, 0, IA, 16, false }, /* no client */
		{ 3, 0, CLIENT IA, 8 + 16, false }, /* no server */
		{ 1, 0, CLIENT SERVER IA, 8 + 14 + 16, false },
		{ 3, 0, CLIENT "\0\2\0\4\1\2\3\4" IA, 8 + 8 + 16, false },
		{ 1, 0, CLIENT "\0\3\0\x0b\7\7\7\7\0\0\0\0\0\0\0", 8 + 15,
		    false },
		{ 1, 0, CLIENT "\0\3\xff\xff", 8 + 4, false },
		{ 1, 0, CLIENT "\0\3\0", 8 + 3, false },
		{ 1, 0, "\0\1\0\0" IA, 4 + 16, false },
		{ 2, 0, CLIENT IA, 8 + 16, false },
		{ 12, 0, CLIENT IA, 8 + 16, false },
	};
	size_t i, n;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		n = ask(dhcp6(
		    rows[i].type, (const uint8_t *)rows[i].options, rows[i].n));
		if (rows[i].answer == 0) {
			if (n != 0)
				fail_msg("row %zu: there is an answer", i);
			continue;
		}
		check6(n, 17);
		assert_int_equal(get16(out + ETH + IP6), 547);
		assert_int_equal(get16(out + ETH + IP6 + 2), 546);
		assert_int_equal(out[ETH + IP6 + UDP], rows[i].answer);
		assert_memory_equal(out + ETH + IP6 + UDP + 1, "abc", 3);
		if ((memmem(out, n, conf.guest6, 16) != NULL) !=
		    rows[i].address)
			fail_msg("row %zu: address", i);
	}
}

static void
test_inet6_off(void **state)
{
	static const uint8_t rs[8] = { 133 };
	struct local_conf c = conf;
	size_t n = packet6(58, rs, 8);

	c.inet6 = false;
	assert_false(local_wants(&c, in, n));
	assert_int_equal(local_answer(&c, in, n, out, sizeof(out)), 0);
	assert_int_equal(local_advertise(&c, out, sizeof(out)), 0);
}

/* Good frames with random damage, in memory that ends where they do. */
static void
test_random(void **state)
{
	static const uint8_t rs[8] = { 133 };
	uint32_t x = 12345;
	unsigned i, k, hits = 0;
	size_t len, n;
	uint8_t *p;

	for (i = 0; i < 300000; i++) {
		switch (i % 4) {
		case 0:
			len = question((const uint8_t *)"\x35\1\3\x32\4\x64"
							"\x40\1\3\x36\4\x64"
							"\x40\1\2\x0c\3xyz\xff",
			    21);
			break;
		case 1:
			len = dhcp6(1, (const uint8_t *)CLIENT IA, 24);
			break;
		case 2:
			len = packet6(58, rs, 8);
			break;
		default:
			len = dhcp6(3, (const uint8_t *)CLIENT SERVER IA, 38);
		}
		for (k = 0; k < 1 + i % 5; k++) {
			x = x * 1664525 + 1013904223;
			in[(x >> 8) % len] = (uint8_t)(x >> 24);
		}
		if (i % 3 == 0)
			len = (x >> 4) % (len + 1);
		p = malloc(len + 1);
		memcpy(p, in, len);
		n = local_answer(&conf, p, len, out, sizeof(out));
		assert_true(n <= sizeof(out));
		hits += n > 0;
		free(p);
	}
	assert_in_range(hits, 1000, 299000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_discover),
		cmocka_unit_test(test_netboot),
		cmocka_unit_test(test_broadcast_flag),
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_inform),
		cmocka_unit_test(test_bootp),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_options_malformed),
		cmocka_unit_test(test_router),
		cmocka_unit_test(test_dhcp6),
		cmocka_unit_test(test_inet6_off),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
