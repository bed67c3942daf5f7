/* SPDX-License-Identifier: ISC */
/*
 * IPv6 on a local interface: see local.h.
 *
 * The router advertisement (RFC 4861, "Router Advertisement Message Format")
 * gives the route and says that addresses come from DHCPv6: the prefix of an
 * interface is too long for a guest to choose its own.  The DHCPv6 server
 * (RFC 8415) knows one address, for ever.
 */
#include <string.h>

#include "local_impl.h"

#define TYPE_IPV6    0x86dd
#define IP6_LEN	     40
#define PROTO_UDP    17
#define PROTO_ICMPV6 58
#define UDP_LEN	     8

#define ND_SOLICIT   133
#define ND_ADVERTISE 134
#define ND_SOURCE    1 /* option: source link-layer address */
#define ND_MTU	     5
#define ND_DNS	     25 /* RFC 8106 */
#define ND_MANAGED   0xc0 /* addresses and the rest by DHCPv6 */
#define ND_LIFETIME  9000 /* seconds, the most that RFC 4861 permits */

#define PORT_SERVER 547
#define PORT_CLIENT 546

enum message {
	M_SOLICIT = 1,
	M_ADVERTISE = 2,
	M_REQUEST = 3,
	M_CONFIRM = 4,
	M_RENEW = 5,
	M_REBIND = 6,
	M_REPLY = 7,
	M_RELEASE = 8,
	M_DECLINE = 9,
	M_INFORM = 11,
};

enum option {
	O_CLIENTID = 1,
	O_SERVERID = 2,
	O_IA_NA = 3,
	O_IAADDR = 5,
	O_STATUS = 13,
	O_RAPID = 14,
	O_DNS = 23,
};

#define DUID_MAX 130 /* "DHCP Unique Identifier (DUID)" */
#define DUID_LEN 10 /* ours: DUID-LL, Ethernet */

struct question {
	enum message type;
	const uint8_t *xid;
	const uint8_t *client; /* its DUID */
	size_t client_len;
	bool server; /* ours was named */
	bool rapid, ia;
	uint8_t iaid[4];
};

/* The router's link-local address, from its MAC: RFC 4291, Appendix A. */
static void
link_local(const struct local_conf *c, uint8_t *to)
{
	static const uint8_t prefix[8] = { 0xfe, 0x80 };

	memcpy(to, prefix, 8);
	memcpy(to + 8, c->host_mac, 3);
	to[8] ^= 2;
	to[11] = 0xff;
	to[12] = 0xfe;
	memcpy(to + 13, c->host_mac + 3, 3);
}

/* Nothing but the plain header is looked behind: clients send no other. */
bool
local6_wants(const uint8_t *f, size_t len)
{
	const uint8_t *ip = f + LOCAL_ETH, *p = ip + IP6_LEN;

	if (len < LOCAL_ETH + IP6_LEN + 8 || ip[0] >> 4 != 6)
		return false;
	if (ip[6] == PROTO_ICMPV6)
		return p[0] == ND_SOLICIT;
	return ip[6] == PROTO_UDP && local_get16(p + 2) == PORT_SERVER;
}

static void
add_headers(struct local_out *o, const struct local_conf *c, const uint8_t *mac,
    const uint8_t *dst, unsigned proto)
{
	uint8_t src[16];

	link_local(c, src);
	local_add(o, mac, ETH_ALEN);
	local_add(o, c->host_mac, ETH_ALEN);
	local_add16(o, TYPE_IPV6);
	local_add32(o, 0x60000000);
	local_add16(o, 0); /* payload length */
	local_add8(o, proto);
	local_add8(o, 255);
	local_add(o, src, 16);
	local_add(o, dst, 16);
}

static void
set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Length and checksum; at: where the checksum is in the payload. */
static size_t
finish(struct local_out *o, unsigned proto, unsigned at)
{
	uint8_t *ip = o->p + LOCAL_ETH;
	size_t n = o->len - LOCAL_ETH - IP6_LEN;
	uint16_t sum;

	if (o->full)
		return 0;
	set16(ip + 4, (unsigned)n);
	if (proto == PROTO_UDP)
		set16(ip + IP6_LEN + 4, (unsigned)n);
	sum = (uint16_t)~local_checksum(proto + (uint32_t)n, ip + 8, 32);
	sum = local_checksum(sum, ip + IP6_LEN, n);
	set16(ip + IP6_LEN + at, sum == 0 ? 0xffff : sum);
	return o->len;
}

static size_t
advertise(const struct local_conf *c, const uint8_t *mac, const uint8_t *dst,
    struct local_out *o)
{
	add_headers(o, c, mac, dst, PROTO_ICMPV6);
	local_add16(o, ND_ADVERTISE << 8);
	local_add16(o, 0); /* checksum */
	local_add8(o, 64); /* hop limit */
	local_add8(o, ND_MANAGED);
	local_add16(o, ND_LIFETIME);
	local_add32(o, 0); /* reachable time: not said */
	local_add32(o, 0); /* retransmission timer: not said */
	local_add8(o, ND_SOURCE);
	local_add8(o, 1);
	local_add(o, c->host_mac, ETH_ALEN);
	if (c->mtu != 0) {
		local_add8(o, ND_MTU);
		local_add8(o, 1);
		local_add16(o, 0);
		local_add32(o, c->mtu);
	}
	local_add8(o, ND_DNS);
	local_add8(o, 3);
	local_add16(o, 0);
	local_add32(o, ND_LIFETIME);
	local_add(o, c->host6, 16);
	return finish(o, PROTO_ICMPV6, 2);
}

size_t
local_advertise(const struct local_conf *c, uint8_t *out, size_t room)
{
	static const uint8_t mac[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
	struct local_out o = { out, 0, room, false };

	if (!c->inet6)
		return 0;
	return advertise(c, mac, all_nodes, &o);
}

static void
add_duid(struct local_out *o, const struct local_conf *c)
{
	local_add16(o, 3); /* DUID-LL */
	local_add16(o, 1); /* Ethernet */
	local_add(o, c->host_mac, ETH_ALEN);
}

static bool
our_duid(const struct local_conf *c, const uint8_t *p, size_t len)
{
	uint8_t duid[DUID_LEN];
	struct local_out o = { duid, 0, sizeof(duid), false };

	add_duid(&o, c);
	return len == sizeof(duid) && memcmp(p, duid, len) == 0;
}

static bool
read_option(struct question *q, const struct local_conf *c, unsigned code,
    const uint8_t *p, size_t len)
{
	switch (code) {
	case O_CLIENTID:
		if (len == 0 || len > DUID_MAX)
			return false;
		q->client = p;
		q->client_len = len;
		return true;
	case O_SERVERID:
		q->server = true;
		return our_duid(c, p, len);
	case O_IA_NA:
		if (len < 12)
			return false;
		/* The first one gets the address. */
		if (!q->ia)
			memcpy(q->iaid, p, 4);
		q->ia = true;
		return true;
	case O_RAPID:
		q->rapid = true;
		return true;
	default:
		return true;
	}
}

static bool
read_question(struct question *q, const struct local_conf *c,
    const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + LOCAL_ETH, *p = ip + IP6_LEN;
	size_t n = local_get16(ip + 4), opt;

	if (n > len - LOCAL_ETH - IP6_LEN || n < UDP_LEN + 4 ||
	    local_get16(p + 4) != n)
		return false;
	p += UDP_LEN;
	n -= UDP_LEN;
	*q = (struct question){ .type = p[0], .xid = p + 1 };
	for (p += 4, n -= 4; n > 0; p += 4 + opt, n -= 4 + opt) {
		if (n < 4)
			return false;
		opt = local_get16(p + 2);
		if (opt > n - 4 ||
		    !read_option(q, c, local_get16(p), p + 4, opt))
			return false;
	}
	return true;
}

/* What the answer is; 0: none.  By "Server Behavior". */
static unsigned
decide(const struct question *q)
{
	switch ((unsigned)q->type) {
	case M_SOLICIT:
		if (q->client == NULL || q->server)
			return 0;
		return q->rapid ? M_REPLY : M_ADVERTISE;
	case M_REQUEST:
	case M_RENEW:
	case M_RELEASE:
	case M_DECLINE:
		return q->client != NULL && q->server ? M_REPLY : 0;
	case M_REBIND:
	case M_CONFIRM:
		return q->client != NULL && !q->server ? M_REPLY : 0;
	case M_INFORM:
		return M_REPLY;
	default:
		return 0;
	}
}

static void
add_address(
    struct local_out *o, const struct local_conf *c, const struct question *q)
{
	local_add16(o, O_IA_NA);
	local_add16(o, 12 + 28);
	local_add(o, q->iaid, 4);
	local_add32(o, UINT32_MAX); /* T1, T2: no need to renew */
	local_add32(o, UINT32_MAX);
	local_add16(o, O_IAADDR);
	local_add16(o, 24);
	local_add(o, c->guest6, 16);
	local_add32(o, UINT32_MAX); /* lifetimes: for ever */
	local_add32(o, UINT32_MAX);
}

static size_t
dhcp_answer(const struct local_conf *c, const uint8_t *frame, size_t len,
    struct local_out *o)
{
	struct question q;
	unsigned answer;

	if (!read_question(&q, c, frame, len) || (answer = decide(&q)) == 0)
		return 0;
	add_headers(o, c, frame + ETH_ALEN, frame + LOCAL_ETH + 8, PROTO_UDP);
	local_add16(o, PORT_SERVER);
	local_add16(o, PORT_CLIENT);
	local_add32(o, 0); /* length, checksum */
	local_add8(o, answer);
	local_add(o, q.xid, 3);
	if (q.client != NULL) {
		local_add16(o, O_CLIENTID);
		local_add16(o, (unsigned)q.client_len);
		local_add(o, q.client, q.client_len);
	}
	local_add16(o, O_SERVERID);
	local_add16(o, DUID_LEN);
	add_duid(o, c);
	if (q.rapid && q.type == M_SOLICIT) {
		local_add16(o, O_RAPID);
		local_add16(o, 0);
	}
	if (q.ia && q.type != M_RELEASE && q.type != M_DECLINE &&
	    q.type != M_CONFIRM)
		add_address(o, c, &q);
	if (q.type == M_RELEASE || q.type == M_DECLINE || q.type == M_CONFIRM) {
		local_add16(o, O_STATUS);
		local_add16(o, 2);
		local_add16(o, 0); /* success */
	}
	local_add16(o, O_DNS);
	local_add16(o, 16);
	local_add(o, c->host6, 16);
	return finish(o, PROTO_UDP, 6);
}

size_t
local6_answer(const struct local_conf *c, const uint8_t *frame, size_t len,
    struct local_out *o)
{
	const uint8_t *ip = frame + LOCAL_ETH;
	static const uint8_t unspecified[16];

	if (ip[6] == PROTO_UDP)
		return dhcp_answer(c, frame, len, o);
	/* "Validation of Router Solicitation Messages" */
	if (ip[7] != 255 || local_get16(ip + 4) < 8)
		return 0;
	if (memcmp(ip + 8, unspecified, 16) == 0)
		return local_advertise(c, o->p, o->room);
	return advertise(c, frame + ETH_ALEN, ip + 8, o);
}
