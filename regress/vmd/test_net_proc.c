/* SPDX-License-Identifier: ISC */
/*
 * The netcfg and vionet processes as their peers see them, confined and
 * sealed, in a network namespace of the test's own: a local interface is
 * made, a driver gets an address by DHCP and the host's MAC by ARP, forged
 * frames are dropped, and when both are killed nothing is left.
 *
 * Confinement needs root and namespaces; without them there is nothing to
 * test here.
 */
#include <sys/wait.h>

#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "vionet_rig.h"

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "localnet.h"
#include "log.h"
#include "msg.h"
#include "netmsg.h"
#include "role.h"
#include "spawn.h"

#define MS    10000
#define HOST  0x0a4d0102
#define GUEST 0x0a4d0103

/* There is no _vmd where tests run. */
struct passwd *
getpwnam(const char *name)
{
	static struct passwd pw = { .pw_uid = 65534, .pw_gid = 65534 };

	assert_string_equal(name, "_vmd");
	return &pw;
}

struct peer {
	pid_t netcfg_pid, vionet_pid;
	struct chan *netcfg, *vionet, *dev; /* as the parent, and the vm */
	struct net_result res;
	unsigned ready, done, failed, hello, sealed, reset;
	char text[256];
	struct rig r; /* memory, rings, eventfds; no device */
	int tun;
};

static int
on_count(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->ready++;
	return 0;
}

static int
on_done(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;

	p->done++;
	assert_int_equal(id, 7);
	return netmsg_get_result(b, &p->res);
}

static int
on_fail(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	uint32_t code;

	p->failed++;
	if (ibuf_get_n32(b, &code) == -1)
		return -EBADMSG;
	return ctl_get_str(b, p->text, sizeof(p->text));
}

static int
on_warn(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;

	return ctl_get_str(b, p->text, sizeof(p->text));
}

static int
on_hello(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	struct peer *p = arg;
	struct virtio_net_config c = { .status = 0 };
	uint32_t nq, size, len;

	p->hello++;
	if (ibuf_get_n64(b, &p->r.features) != 0 || ibuf_get_n32(b, &nq) != 0 ||
	    ibuf_get_n32(b, &size) != 0 || ibuf_get_n32(b, &len) != 0 ||
	    len > sizeof(c) || ibuf_get(b, &c, len) != 0)
		return -EBADMSG;
	p->r.nq = nq;
	assert_memory_equal(c.mac, rig_mac, 6);
	return 0;
}

static int
on_sealed(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->sealed++;
	return 0;
}

static int
on_reset_done(void *arg, uint32_t id, int fd, struct ibuf *b)
{
	((struct peer *)arg)->reset++;
	return 0;
}

static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_row netcfg_rows[] = {
	{ NETCFG_READY, "NETCFG_READY", CHAN_NOFD, on_count },
	{ NETCFG_DONE, "NETCFG_DONE", CHAN_NOFD, on_done },
	{ NETCFG_FAIL, "NETCFG_FAIL", CHAN_NOFD, on_fail },
	{ NETCFG_WARN, "NETCFG_WARN", CHAN_NOFD, on_warn },
};
static const struct chan_row net_rows[] = {
	{ NET_READY, "NET_READY", CHAN_NOFD, on_count },
	{ NET_ERROR, "NET_ERROR", CHAN_NOFD, on_fail },
};
static const struct chan_row dev_rows[] = {
	{ DEV_HELLO, "DEV_HELLO", CHAN_NOFD, on_hello },
	{ DEV_SEALED, "DEV_SEALED", CHAN_NOFD, on_sealed },
	{ DEV_RESET_DONE, "DEV_RESET_DONE", CHAN_NOFD, on_reset_done },
	{ DEV_BROKEN, "DEV_BROKEN", CHAN_NOFD, on_warn },
};
static const struct chan_ops netcfg_ops = { netcfg_rows, 4, on_closed };
static const struct chan_ops net_ops = { net_rows, 2, on_closed };
static const struct chan_row passt_rows[] = {
	{ PASST_ERROR, "PASST_ERROR", CHAN_NOFD, on_fail },
};
static const struct chan_ops passt_ops = { passt_rows, 1, on_closed };
static const struct chan_ops dev_ops = { dev_rows, 4, on_closed };

static pid_t
spawn(struct peer *p, int (*run)(void), const struct chan_ops *ops,
    struct chan **chan)
{
	pid_t pid;
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (dup2(sv[1], SPAWN_FD) == -1)
			_exit(98);
		closefrom(SPAWN_FD + 1);
		_exit(run());
	}
	close(sv[1]);
	*chan = chan_new(NULL, sv[0], ops, p);
	assert_non_null(*chan);
	return pid;
}

static void
say(struct chan *c, uint32_t type, uint32_t id, int fd, struct ibuf *b)
{
	assert_int_equal(chan_send(c, type, id, fd, b), 0);
	assert_int_equal(chan_flush(c, MS), 0);
}

static bool
shell(const char *cmd)
{
	return system(cmd) == 0;
}

static const struct nft_range range = { .prefix = 0x0a4d0000, .len = 16 };

static struct net_tap
local_tap(void)
{
	struct net_tap t = { .key = 7, .local = true, .alias = "vm1-if0-web" };

	localnet_host_lladdr(rig_mac, t.lladdr);
	memcpy(t.addr.host_mac, t.lladdr, 6);
	t.addr.host = HOST;
	t.addr.guest = GUEST;
	return t;
}

static void
make_tap(struct peer *p)
{
	struct net_tap t = local_tap();
	struct ibuf *b = chan_body();

	p->netcfg_pid = spawn(p, netcfg_main, &netcfg_ops, &p->netcfg);
	assert_int_equal(netmsg_put_range(b, &range), 0);
	say(p->netcfg, NETCFG_CONF, 0, -1, b);
	say(p->netcfg, NETCFG_APPLY, 0, -1, NULL);
	assert_int_equal(chan_recv(p->netcfg, MS), 0);
	assert_int_equal(p->ready, 1);
	p->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	assert_true(p->tun >= 0);
	say(p->netcfg, NETCFG_QUEUE, 0, dup(p->tun), NULL);
	b = chan_body();
	assert_int_equal(netmsg_put_tap(b, &t), 0);
	say(p->netcfg, NETCFG_TAP, 7, -1, b);
	assert_int_equal(chan_recv(p->netcfg, MS), 0);
	if (p->done != 1)
		fail_msg("%s", p->text);
	assert_string_equal(p->res.ifname, "tap0");
}

static void
send_conf(struct peer *p, bool locked)
{
	struct net_tap t = local_tap();
	struct ibuf *b = chan_body();
	int sv[2];

	ibuf_add_n32(b, 0);
	ibuf_add(b, rig_mac, 6);
	ibuf_add_n32(b, locked);
	ibuf_add_n32(b, p->res.mtu);
	ibuf_add_n32(b, p->res.offload);
	ibuf_add_n32(b, 1);
	ibuf_add_n32(b, 1);
	ibuf_add(b, t.addr.host_mac, 6);
	ibuf_add_n32(b, HOST);
	ibuf_add_n32(b, GUEST);
	ibuf_add_n32(b, 0);
	ibuf_add_zero(b, 32 + 2 + 4 + 16);
	say(p->vionet, NET_CONF, 0, -1, b);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->dev = chan_new(NULL, sv[0], &dev_ops, p);
	b = chan_body();
	ibuf_add_n32(b, NET_FD_CHANNEL);
	say(p->vionet, NET_FD, 0, sv[1], b);
	b = chan_body();
	ibuf_add_n32(b, NET_FD_QUEUE);
	say(p->vionet, NET_FD, 0, p->tun, b);
	p->tun = -1;
}

static void
send_memory(struct peer *p)
{
	struct ibuf *b = chan_body();
	unsigned i;

	assert_int_equal(gmem_create(&p->r.mem, RIG_MEM), 0);
	ibuf_add_n64(b, RIG_MEM);
	say(p->dev, DEV_MEM, 0, dup(p->r.mem.fd), b);
	for (i = 0; i < 2 * p->r.nq; i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		*(i % 2 == 0 ? &p->r.kick[i / 2] : &p->r.call[i / 2]) = fd;
		b = chan_body();
		ibuf_add_n32(b, i / 2);
		ibuf_add_n32(b, i % 2);
		say(p->dev, DEV_QUEUEFD, 0, dup(fd), b);
	}
	say(p->dev, DEV_SEAL, 0, -1, NULL);
}

static void
send_start(struct peer *p)
{
	struct ibuf *b = chan_body();
	unsigned i;

	rig_rings(&p->r, VIONET_QUEUE_SIZE);
	ibuf_add_n64(b, p->r.features);
	ibuf_add_n32(b, p->r.nq);
	for (i = 0; i < p->r.nq; i++) {
		ibuf_add_n32(b, VIONET_QUEUE_SIZE);
		ibuf_add_n64(b, p->r.q[i].desc_gpa.v);
		ibuf_add_n64(b, p->r.q[i].avail_gpa.v);
		ibuf_add_n64(b, p->r.q[i].used_gpa.v);
	}
	ibuf_add_n32(b, 0);
	ibuf_add_n32(b, 0);
	say(p->dev, DEV_START, 0, -1, b);
}

static void
make_device(struct peer *p, bool locked)
{
	p->vionet_pid = spawn(p, vionet_main, &net_ops, &p->vionet);
	send_conf(p, locked);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->hello, 1);
	assert_int_equal(p->r.nq, 3);
	send_memory(p);
	assert_int_equal(chan_recv(p->dev, MS), 0);
	assert_int_equal(p->sealed, 1);
	assert_int_equal(chan_recv(p->vionet, MS), 0);
	assert_int_equal(p->ready, 2);
	send_start(p);
	rig_fill(&p->r, 0, 0, 64, 1526);
}

/* The next frame of this type for the guest: its address in buf. */
static bool
next_frame(struct rig *r, unsigned type, uint8_t *buf, int ms)
{
	uint32_t id, len;
	int tries;

	for (tries = 0; tries < 50; tries++) {
		if (!rig_take(r, 0, &id, &len, ms))
			return false;
		memcpy(buf, rig_ptr(r, r->q[0].desc[id].addr, len), len);
		if ((unsigned)(buf[HDR + 12] << 8 | buf[HDR + 13]) == type)
			return true;
	}
	return false;
}

/* Ask for an address by DHCP, and get this one. */
static void
discover(struct rig *r, const char *address)
{
	uint8_t *f = rig_ptr(r, RIG_TX, 2000), buf[2048];
	uint8_t *ip = f + HDR + 14;
	size_t len = 20 + 8 + 236 + 8;

	memset(f, 0, HDR + 14 + len);
	memset(f + HDR, 0xff, 6);
	memcpy(f + HDR + 6, rig_mac, 6);
	f[HDR + 12] = 8;
	ip[0] = 0x45;
	ip[8] = 64;
	ip[2] = (uint8_t)(len >> 8);
	ip[3] = (uint8_t)len;
	ip[9] = 17;
	ip[23] = 67;
	ip[24] = (uint8_t)((len - 20) >> 8);
	ip[25] = (uint8_t)(len - 20);
	memcpy(ip + 28, "\1\1\6\0abcd", 8);
	memcpy(ip + 56, rig_mac, 6);
	memcpy(ip + 28 + 236, "\x63\x82\x53\x63\x35\1\1\xff", 8);
	rig_send(r, 0, HDR + 14 + len);
	assert_true(next_frame(r, 0x0800, buf, MS));
	assert_memory_equal(buf + HDR + 14 + 28 + 16, address, 4);
}

/* ARP for the host's address, from src; is there an answer? */
static bool
arp(struct peer *p, const uint8_t *src)
{
	uint8_t *f = rig_ptr(&p->r, RIG_TX, 100), buf[2048];

	memset(f, 0, HDR + 42);
	memset(f + HDR, 0xff, 6);
	memcpy(f + HDR + 6, src, 6);
	memcpy(f + HDR + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
	memcpy(f + HDR + 22, src, 6);
	memcpy(f + HDR + 28, "\x0a\x4d\1\3", 4);
	memcpy(f + HDR + 38, "\x0a\x4d\1\2", 4);
	rig_send(&p->r, 0, HDR + 42);
	while (next_frame(&p->r, 0x0806, buf, 500))
		if (buf[HDR + 21] == 2)
			return true;
	return false;
}

static void
forget(struct peer *p)
{
	unsigned i;

	chan_free(p->netcfg);
	chan_free(p->vionet);
	chan_free(p->dev);
	for (i = 0; i < p->r.nq; i++) {
		close(p->r.kick[i]);
		close(p->r.call[i]);
	}
	if (p->r.mem.size != 0)
		gmem_destroy(&p->r.mem);
}

static int
ended(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status)
				 : 1000 + WTERMSIG(status);
}

static void
life(bool locked)
{
	static const uint8_t forged[6] = { 2, 0, 0, 0, 0, 1 };
	struct peer p = { .tun = -1 };

	make_tap(&p);
	make_device(&p, locked);
	discover(&p.r, "\x0a\x4d\1\3");
	assert_true(arp(&p, rig_mac));
	if (locked)
		assert_false(arp(&p, forged));
	say(p.dev, DEV_RESET, 0, -1, NULL);
	assert_int_equal(chan_recv(p.dev, MS), 0);
	assert_int_equal(p.reset, 1);
	send_start(&p);
	rig_fill(&p.r, 0, 0, 64, 1526);
	discover(&p.r, "\x0a\x4d\1\3");
	assert_true(arp(&p, rig_mac));
	assert_true(shell("nft list table inet vmd >/dev/null"));
	assert_true(shell("ip link show tap0 >/dev/null"));
	if (locked) {
		/* The vm process, the parent end: so do these. */
		chan_free(p.dev);
		p.dev = NULL;
		assert_int_equal(ended(p.vionet_pid), 0);
		chan_free(p.netcfg);
		p.netcfg = NULL;
		assert_int_equal(ended(p.netcfg_pid), 0);
	} else {
		kill(p.vionet_pid, SIGKILL);
		assert_int_equal(ended(p.vionet_pid), 1000 + SIGKILL);
		kill(p.netcfg_pid, SIGKILL);
		assert_int_equal(ended(p.netcfg_pid), 1000 + SIGKILL);
	}
	assert_false(shell("ip link show tap0 >/dev/null 2>&1"));
	assert_false(shell("nft list table inet vmd >/dev/null 2>&1"));
	forget(&p);
}

static void
test_killed(void **state)
{
	life(false);
}

static void
test_locked(void **state)
{
	life(true);
}

/* What the parent must not say ends netcfg. */
static void
test_netcfg_order(void **state)
{
	struct net_tap t = local_tap();
	struct ibuf *b = chan_body();
	struct peer p = { .tun = -1 };

	p.netcfg_pid = spawn(&p, netcfg_main, &netcfg_ops, &p.netcfg);
	assert_int_equal(chan_recv(p.netcfg, MS), 0);
	assert_int_equal(netmsg_put_tap(b, &t), 0);
	say(p.netcfg, NETCFG_TAP, 1, -1, b); /* without a queue */
	assert_int_equal(chan_recv(p.netcfg, MS), -EPIPE);
	assert_int_equal(ended(p.netcfg_pid), 0);
	forget(&p);
}

/* A descriptor that is no tun device is refused, and nothing else. */
static void
test_netcfg_wrong_fd(void **state)
{
	struct net_tap t = local_tap();
	struct ibuf *b = chan_body();
	struct peer p = { .tun = -1 };

	p.netcfg_pid = spawn(&p, netcfg_main, &netcfg_ops, &p.netcfg);
	assert_int_equal(chan_recv(p.netcfg, MS), 0);
	say(p.netcfg, NETCFG_QUEUE, 0, open("/dev/null", O_RDWR), NULL);
	assert_int_equal(netmsg_put_tap(b, &t), 0);
	say(p.netcfg, NETCFG_TAP, 1, -1, b);
	assert_int_equal(chan_recv(p.netcfg, MS), 0);
	assert_int_equal(p.failed, 1);
	chan_free(p.netcfg);
	p.netcfg = NULL;
	assert_int_equal(ended(p.netcfg_pid), 0);
	forget(&p);
}

/* passt, as somebody else, behind a device with a stream as its link. */
static void
test_passt(void **state)
{
	struct peer p = { .tun = -1 };
	struct ibuf *b = chan_body();
	struct rig *r;
	char cmd[128];
	pid_t pid;

	if (access("/usr/bin/passt", X_OK) == -1)
		skip();
	assert_true(shell("ip link set lo up && ip link add d0 type bridge && "
			  "ip addr add 192.0.2.1/24 dev d0 && "
			  "ip link set d0 up && "
			  "ip route add default via 192.0.2.254"));
	r = rig_new(&(struct rig_opt){ .stream = true });
	rig_fill(r, 0, 0, 64, 1526);
	pid = spawn(&p, passt_main, &passt_ops, &p.netcfg);
	assert_int_equal(ibuf_add_n32(b, 0), 0);
	say(p.netcfg, PASST_GO, 0, dup(r->link[0]), b);
	assert_int_equal(chan_recv(p.netcfg, MS), -EPIPE);
	assert_string_equal(p.text, "");
	close(r->link[0]);
	r->link[0] = -1;
	discover(r, "\xc0\0\2\1");
	snprintf(cmd, sizeof(cmd),
	    "grep -q '^Uid:.65534.65534' /proc/%d/status", (int)pid);
	assert_true(shell(cmd));
	/* It ends with the device. */
	rig_free(r);
	assert_int_equal(ended(pid), 0);
	forget(&p);
	assert_true(shell("ip link del d0"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_netcfg_order),
		cmocka_unit_test(test_netcfg_wrong_fd),
		cmocka_unit_test(test_passt),
	};

	signal(SIGPIPE, SIG_IGN);
	log_init(LOG_TO_STDERR, "test");
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) == -1 ||
	    access("/dev/net/tun", R_OK | W_OK) == -1) {
		printf("SKIPPED: needs root, namespaces and tun\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
