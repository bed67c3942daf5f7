/* SPDX-License-Identifier: ISC */
/*
 * The host's side of networks, in a network namespace of the test's own: what
 * net.c makes, what the kernel makes of it, and that nothing stays.
 *
 * Where no namespace can be made there is nothing to test.
 */
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"
#include "nettap.h"

#define HDR 12

static const struct nft_range range = {
	.prefix = 0x64400000,
	.len = 10,
	.inet6 = true,
	.prefix6 = { 0xfd, 1 },
	.len6 = 64,
	.dns = 0xc0000235, /* 192.0.2.53 */
};

static const uint8_t guest_mac[6] = { 0xfe, 0xe1, 0xbb, 0xd1, 0, 1 };

static struct net_tap
local_tap(uint32_t key)
{
	struct net_tap t = {
		.key = key,
		.lladdr = { 0xfe, 0xe1, 0xba, 0xd1, 0, 1 },
		.local = true,
		.addr = { .host = 0x64400102,
		    .guest = 0x64400103,
		    .inet6 = true,
		    .host6 = { 0xfd, 1, [15] = 1 },
		    .guest6 = { 0xfd, 1, [15] = 2 } },
	};

	snprintf(t.alias, sizeof(t.alias), "vm1-if0-web");
	return t;
}

static void
open_queues(int *fd, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		fd[i] = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
		assert_true(fd[i] >= 0);
	}
}

static void
close_queues(int *fd, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		close(fd[i]);
}

/* Output of a command, or its failure. */
static char *
run(const char *cmd)
{
	static char text[65536];
	FILE *f = popen(cmd, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	if (pclose(f) != 0)
		return NULL;
	return text;
}

static void
has(const char *text, const char *what)
{
	assert_non_null(text);
	if (strstr(text, what) == NULL)
		fail_msg("no '%s' in: %s", what, text);
}

static void
test_switch(void **state)
{
	struct net_switch s = {
		.name = "lan", .bridge = "br7", .create = true
	};
	struct net_tap t = { .key = 1,
		.bridge = "br7",
		.group = 42,
		.lladdr = { 0xfe, 1, 2, 3, 4, 5 } };
	struct net_result res = { .queues = 0 };
	struct net n;
	struct fail why;
	int fd[2];

	assert_int_equal(net_open(&n), 0);
	net_begin(&n, &range);
	assert_int_equal(net_switch(&n, &s, &why), 0);
	assert_int_equal(net_apply(&n, &why), 0);
	has(run("ip -d link show br7"), "alias vmd switch lan");
	open_queues(fd, 2);
	snprintf(t.alias, sizeof(t.alias), "vm9-if3-web");
	if (net_tap(&n, &t, fd, 2, &res, &why) != 0)
		fail_msg("%s", why.text);
	assert_string_equal(res.ifname, "tap0");
	assert_int_equal(res.queues, 2);
	assert_true((res.offload & TUN_F_TSO4) != 0);
	has(run("ip -d link show tap0"), "master br7");
	has(run("ip -d link show tap0"), "alias vm9-if3-web");
	has(run("ip -d link show tap0"), "fe:01:02:03:04:05");
	has(run("ip -d link show tap0"), "group 42");
	has(run("ip -d link show tap0"), "multi_queue");
	has(run("ip -d link show tap0"), "vnet_hdr");
	has(run("ip link show tap0"), ",UP");
	/* No table for that. */
	assert_null(run("nft list table inet vmd 2>/dev/null"));
	/* It goes with its queues; the bridge with us. */
	close_queues(fd, 2);
	assert_null(run("ip link show tap0 2>/dev/null"));
	net_forget(&n, 1);
	net_close(&n);
	assert_null(run("ip link show br7 2>/dev/null"));
}

/* A bridge of an earlier life goes, an administrator's stays. */
static void
test_stale(void **state)
{
	struct net_switch s = {
		.name = "lan", .bridge = "br1", .create = true
	};
	struct net n;
	struct fail why;

	assert_non_null(run("ip link add br0 type bridge && "
			    "ip link add br1 type bridge && "
			    "ip link set br1 alias 'vmd switch lan' && "
			    "ip link add br2 type bridge && "
			    "ip link set br2 alias 'vmd switch old'"));
	assert_int_equal(net_open(&n), 0);
	net_begin(&n, &range);
	assert_int_equal(net_switch(&n, &s, &why), 0);
	assert_int_equal(net_apply(&n, &why), 0);
	assert_non_null(run("ip link show br0"));
	assert_non_null(run("ip link show br1"));
	assert_null(run("ip link show br2 2>/dev/null"));
	net_begin(&n, &range);
	assert_int_equal(net_apply(&n, &why), 0);
	assert_null(run("ip link show br1 2>/dev/null"));
	net_close(&n);
	assert_non_null(run("ip link del br0"));
}

static void
test_local(void **state)
{
	struct net_tap t = local_tap(7);
	struct net_result res;
	struct net n;
	struct fail why;
	int fd;
	char *rules;

	assert_int_equal(net_open(&n), 0);
	net_begin(&n, &range);
	assert_int_equal(net_apply(&n, &why), 0);
	open_queues(&fd, 1);
	if (net_tap(&n, &t, &fd, 1, &res, &why) != 0)
		fail_msg("%s", why.text);
	has(run("ip addr show tap0"), "inet 100.64.1.2/31");
	has(run("ip addr show tap0"), "inet6 fd01::1/96");
	has(run("ip link show tap0"), "alias vm1-if0-web");
	rules = run("nft list table inet vmd");
	has(rules, "flags owner");
	has(rules, "\"tap0\" . 100.64.1.3");
	has(rules, "\"tap0\" . fd01::2");
	has(rules,
	    "ip saddr 100.64.0.0/10 ip daddr != 100.64.0.0/10 "
	    "masquerade");
	has(rules, "ip6 saddr fd01::/64 ip6 daddr != fd01::/64 masquerade");
	has(rules, "fib daddr type local");
	has(rules, "udp dport 53 dnat ip to 192.0.2.53");
	has(rules, "tcp dport 53 dnat ip to 192.0.2.53");
	has(rules, "ip6 saddr fe80::/10 accept");
	has(rules, "iifname . ip saddr != @allowed4 drop");
	has(rules, "iifname . ip6 saddr != @allowed6 drop");
	/* Not even root changes it. */
	assert_null(run("nft delete table inet vmd 2>/dev/null"));
	net_forget(&n, 7);
	assert_null(run("nft list table inet vmd 2>/dev/null"));
	/* Without an orderly end it goes as well. */
	assert_int_equal(net_adopt(&n, &t, &why), -ENODEV);
	memcpy(t.ifname, "tap0", 5);
	assert_int_equal(net_adopt(&n, &t, &why), 0);
	assert_non_null(run("nft list table inet vmd"));
	nft_close(&n.nft);
	assert_null(run("nft list table inet vmd 2>/dev/null"));
	assert_int_equal(nft_open(&n.nft), 0);
	close(fd);
	net_close(&n);
}

/* A frame as the guest's from src; does the host's stack answer? */
static bool
pings(int fd, uint32_t src, const uint8_t *host_mac)
{
	uint8_t f[HDR + 14 + 28] = { 0 }, *ip = f + HDR + 14, in[2000];
	struct pollfd p = { fd, POLLIN, 0 };
	uint32_t sum = 0, i;
	int tries;

	memcpy(f + HDR, host_mac, 6);
	memcpy(f + HDR + 6, guest_mac, 6);
	f[HDR + 12] = 8;
	ip[0] = 0x45;
	ip[3] = 28;
	ip[8] = 64;
	ip[9] = 1;
	src = htonl(src);
	memcpy(ip + 12, &src, 4);
	memcpy(ip + 16, "\x64\x40\1\2", 4);
	for (i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
	ip[20] = 8;
	ip[22] = 0xf7;
	ip[23] = 0xff;
	assert_int_equal(write(fd, f, sizeof(f)), sizeof(f));
	for (tries = 0; tries < 20; tries++) {
		if (poll(&p, 1, 100) != 1)
			return false;
		/* Whoever it is, it asks for our address first. */
		if (read(fd, in, sizeof(in)) > HDR + 14 + 20 &&
		    in[HDR + 12] == 8 &&
		    (in[HDR + 13] == 6 ||
			(in[HDR + 13] == 0 && in[HDR + 14 + 9] == 1)))
			return true;
	}
	return false;
}

static void
test_spoof(void **state)
{
	struct net_tap t = local_tap(7);
	struct net_result res;
	struct net n;
	struct fail why;
	int fd;

	assert_int_equal(net_open(&n), 0);
	net_begin(&n, &range);
	open_queues(&fd, 1);
	assert_int_equal(net_tap(&n, &t, &fd, 1, &res, &why), 0);
	assert_non_null(run("echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; "
			    "echo 0 >/proc/sys/net/ipv4/conf/tap0/rp_filter; "
			    "ip route add 192.0.2.0/24 dev tap0; sleep 0.1"));
	assert_true(pings(fd, 0x64400103, t.lladdr));
	assert_false(pings(fd, 0xc0000201, t.lladdr));
	assert_false(pings(fd, 0x64400105, t.lladdr));
	net_forget(&n, 7);
	/* It was the rules. */
	assert_true(pings(fd, 0xc0000201, t.lladdr));
	close(fd);
	net_close(&n);
}

/* lladdr locked: the kernel keeps others' frames away. */
static void
test_only(void **state)
{
	struct net_tap t = { .key = 3, .lladdr = { 0xfe, 1, 2, 3, 4, 6 } };
	static const struct {
		uint8_t dst[6];
		bool passes;
	} rows[] = {
		{ { 0xfe, 0xe1, 0xbb, 0xd1, 0, 1 }, true },
		{ { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, true },
		{ { 0x33, 0x33, 0, 0, 0, 1 }, true },
		{ { 0xfe, 0xe1, 0xbb, 0xd1, 0, 2 }, false },
		{ { 0, 1, 2, 3, 4, 5 }, false },
	};
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6 };
	struct rtnl_link l;
	struct net_result res;
	uint8_t f[64] = { 0 }, in[2000];
	struct net n;
	struct fail why;
	bool passes;
	int fd, s, i;
	size_t row;

	assert_int_equal(net_open(&n), 0);
	open_queues(&fd, 1);
	assert_int_equal(net_tap(&n, &t, &fd, 1, &res, &why), 0);
	assert_int_equal(nettap_only(fd, guest_mac), 0);
	assert_int_equal(rtnl_find(&n.rtnl, res.ifname, &l), 0);
	s = socket(AF_PACKET, SOCK_RAW, 0);
	assert_true(s >= 0);
	to.sll_ifindex = (int)l.index;
	for (row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct pollfd p = { fd, POLLIN, 0 };

		memcpy(f, rows[row].dst, 6);
		f[12] = 0x88;
		f[13] = 0xb5;
		f[14] = (uint8_t)(row + 1);
		assert_int_equal(sendto(s, f, sizeof(f), 0,
				     (struct sockaddr *)&to, sizeof(to)),
		    sizeof(f));
		passes = false;
		for (i = 0; i < 20 && !passes && poll(&p, 1, 50) == 1; i++)
			passes = read(fd, in, sizeof(in)) >= HDR + 64 &&
			    in[HDR + 12] == 0x88 && in[HDR + 14] == f[14];
		if (passes != rows[row].passes)
			fail_msg("row %zu", row);
	}
	close(s);
	close(fd);
	net_forget(&n, 3);
	net_close(&n);
}

static void
test_refused(void **state)
{
	struct net_tap t = { .key = 1, .lladdr = { 0xfe, 1, 2, 3, 4, 8 } };
	struct net_result res;
	struct net n;
	struct fail why;
	int fd[2], other;

	assert_int_equal(net_open(&n), 0);
	memcpy(t.bridge, "br9", 4);
	open_queues(fd, 1);
	assert_int_equal(net_tap(&n, &t, fd, 1, &res, &why), -ENODEV);
	assert_string_equal(why.text, "bridge br9: no such interface");
	close_queues(fd, 1);
	memcpy(t.bridge, "lo", 3);
	open_queues(fd, 1);
	assert_int_equal(net_tap(&n, &t, fd, 1, &res, &why), -EINVAL);
	assert_string_equal(why.text, "lo is not a bridge");
	close_queues(fd, 1);
	t.bridge[0] = '\0';
	t.rdomain = 77;
	open_queues(fd, 1);
	assert_int_equal(net_tap(&n, &t, fd, 1, &res, &why), -ENODEV);
	assert_string_equal(
	    why.text, "rdomain 77: there is no VRF with table 77");
	close_queues(fd, 1);
	t.rdomain = 0;
	memcpy(t.ifname, "tap5", 5);
	open_queues(fd, 1);
	open_queues(&other, 1);
	assert_int_equal(net_tap(&n, &t, &other, 1, &res, &why), 0);
	assert_int_equal(net_tap(&n, &t, fd, 1, &res, &why), -EBUSY);
	assert_string_equal(why.text, "tap5: in use by another");
	close(other);
	close_queues(fd, 1);
	net_forget(&n, 1);
	net_close(&n);
	assert_null(run("ip link show type tun | grep ."));
}

/* An administrator's tap is used as it is, and stays. */
static void
test_existing(void **state)
{
	struct net_tap t = { .key = 1,
		.ifname = "tap6",
		.bridge = "br0",
		.alias = "vm1-if0-web",
		.lladdr = { 0xfe, 1, 2, 3, 4, 7 } };
	struct net_result res;
	struct net n;
	struct fail why;
	int fd[2];

	assert_non_null(run("ip link add br0 type bridge && "
			    "ip tuntap add tap6 mode tap"));
	assert_int_equal(net_open(&n), 0);
	open_queues(fd, 2);
	if (net_tap(&n, &t, fd, 2, &res, &why) != 0)
		fail_msg("%s", why.text);
	assert_int_equal(res.queues, 1);
	has(run("ip link show tap6"), "master br0");
	close_queues(fd, 2);
	net_forget(&n, 1);
	assert_null(strstr(run("ip link show tap6"), "master"));
	assert_null(strstr(run("ip link show tap6"), "alias"));
	assert_non_null(run("ip link del tap6 && ip link del br0"));
	net_close(&n);
}

/* Many guests: several messages per set. */
static void
test_many_rules(void **state)
{
	struct nft_guest *g = calloc(1000, sizeof(*g));
	struct nft n;
	unsigned i;

	assert_non_null(g);
	for (i = 0; i < 1000; i++) {
		snprintf(g[i].ifname, sizeof(g[i].ifname), "tap%u", i);
		g[i].addr = 0x64400000 + i * 2 + 1;
		g[i].inet6 = i % 2 == 0;
		g[i].addr6[0] = 0xfd;
		g[i].addr6[14] = (uint8_t)(i >> 8);
		g[i].addr6[15] = (uint8_t)i;
	}
	assert_int_equal(nft_open(&n), 0);
	assert_int_equal(nft_apply(&n, &range, g, 1000), 0);
	assert_int_equal(atoi(run("nft list set inet vmd allowed4 | "
				  "grep -o '100\\.64\\.' | wc -l")),
	    1000);
	assert_int_equal(nft_apply(&n, &range, g, 1), 0);
	assert_int_equal(atoi(run("nft list set inet vmd allowed4 | "
				  "grep -o '100\\.64\\.' | wc -l")),
	    1);
	nft_close(&n);
	free(g);
}

static bool
put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd != -1 && write(fd, text, strlen(text)) > 0;

	if (fd != -1)
		close(fd);
	return ok;
}

/* A network namespace, by a user namespace where we are not root. */
static bool
own_network(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0 && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
		return true;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1)
		return false;
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", gid);
	put("/proc/self/gid_map", map);
	snprintf(map, sizeof(map), "0 %u 1", uid);
	return put("/proc/self/uid_map", map);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_spoof),
		cmocka_unit_test(test_only),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_existing),
		cmocka_unit_test(test_many_rules),
	};

	if (!own_network() || access("/dev/net/tun", R_OK | W_OK) == -1) {
		printf("SKIPPED: no network namespace or no tun: %s\n",
		    strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
