/* SPDX-License-Identifier: ISC */
/*
 * The DHCP and BOOTP server of a local interface: see local.h.
 *
 * There is one client and one address, so there is no state: every answer
 * follows from the question.  Protocol numbers are those of RFC 2131, "The
 * Client-Server Protocol", and RFC 2132.
 */
#include <string.h>

#include "local_impl.h"

#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define PROTO_UDP 17
#define IP_LEN	  20
#define UDP_LEN	  8

#define PORT_SERVER 67
#define PORT_CLIENT 68

/* BOOTP: offsets in the message, "Packet Format" of RFC 951 */
#define B_OP	    0
#define B_HTYPE	    1
#define B_HLEN	    2
#define B_XID	    4
#define B_FLAGS	    10
#define B_CIADDR    12
#define B_GIADDR    24
#define B_CHADDR    28
#define B_VEND	    236
#define B_MIN	    300 /* of an answer */
#define FLAG_BCAST  0x8000
#define MAGIC	    0x63825363
#define HTYPE_ETHER 1

enum option {
	O_PAD = 0,
	O_MASK = 1,
	O_ROUTER = 3,
	O_DNS = 6,
	O_NAME = 12,
	O_MTU = 26,
	O_REQUESTED = 50,
	O_LEASE = 51,
	O_TYPE = 53,
	O_SERVER = 54,
	O_FILE = 67,
	O_END = 255,
};

enum type {
	T_BOOTP = 0, /* no such option */
	T_DISCOVER = 1,
	T_OFFER = 2,
	T_REQUEST = 3,
	T_ACK = 5,
	T_NAK = 6,
	T_INFORM = 8,
};

/* A client's question, checked. */
struct question {
	const uint8_t *bootp; /* B_VEND bytes */
	const uint8_t *mac; /* Ethernet source */
	enum type type;
	uint32_t ciaddr;
	uint32_t requested; /* 0: not given */
	uint32_t server; /* 0: not given */
	bool broadcast;
};

void
local_add(struct local_out *o, const void *p, size_t n)
{
	if (o->full || n > o->room - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->len, p, n);
	o->len += n;
}

void
local_add8(struct local_out *o, unsigned v)
{
	uint8_t b = (uint8_t)v;

	local_add(o, &b, 1);
}

void
local_add16(struct local_out *o, unsigned v)
{
	local_add8(o, v >> 8);
	local_add8(o, v);
}

void
local_add32(struct local_out *o, uint32_t v)
{
	local_add16(o, v >> 16);
	local_add16(o, v);
}

uint16_t
local_checksum(uint32_t sum, const uint8_t *p, size_t n)
{
	for (; n >= 2; p += 2, n -= 2)
		sum += local_get16(p);
	if (n == 1)
		sum += (unsigned)p[0] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/*
 * The IPv4 header of a UDP packet to the server's port, or NULL.  Fragments
 * never are: their beginning could not be trusted to have an end.
 */
static const uint8_t *
udp_to_server(const uint8_t *frame, size_t len, size_t *hdr)
{
	const uint8_t *ip = frame + LOCAL_ETH;

	if (len < LOCAL_ETH + IP_LEN + UDP_LEN ||
	    local_get16(frame + 12) != TYPE_IPV4 || ip[0] >> 4 != 4 ||
	    ip[9] != PROTO_UDP)
		return NULL;
	*hdr = (ip[0] & 0xf) * 4U;
	if (*hdr < IP_LEN || len - LOCAL_ETH < *hdr + UDP_LEN ||
	    (local_get16(ip + 6) & 0x3fff) != 0 ||
	    local_get16(ip + *hdr + 2) != PORT_SERVER)
		return NULL;
	return ip;
}

bool
local_wants(const struct local_conf *c, const uint8_t *head, size_t len)
{
	size_t hdr;

	if (len < LOCAL_ETH)
		return false;
	if (local_get16(head + 12) == TYPE_IPV6)
		return c->inet6 && local6_wants(head, len);
	return udp_to_server(head, len, &hdr) != NULL;
}

/* The options that matter; anything malformed ends the list. */
static void
read_options(struct question *q, const uint8_t *p, size_t len)
{
	size_t n;

	if (len < 4 || local_get32(p) != MAGIC)
		return;
	for (p += 4, len -= 4; len > 0 && *p != O_END; p += n, len -= n) {
		if (*p == O_PAD) {
			n = 1;
			continue;
		}
		if (len < 2 || len - 2 < p[1])
			return;
		n = 2U + p[1];
		if (*p == O_TYPE && p[1] == 1)
			q->type = p[2];
		else if (*p == O_REQUESTED && p[1] == 4)
			q->requested = local_get32(p + 2);
		else if (*p == O_SERVER && p[1] == 4)
			q->server = local_get32(p + 2);
	}
}

static bool
read_question(struct question *q, const uint8_t *frame, size_t len)
{
	const uint8_t *ip, *b;
	size_t hdr, total, n;

	ip = udp_to_server(frame, len, &hdr);
	if (ip == NULL)
		return false;
	total = local_get16(ip + 2);
	n = local_get16(ip + hdr + 4);
	if (total > len - LOCAL_ETH || total < hdr || n < UDP_LEN + B_VEND ||
	    n > total - hdr)
		return false;
	b = ip + hdr + UDP_LEN;
	/* Not through relays; and only over Ethernet. */
	if (b[B_OP] != 1 || b[B_HTYPE] != HTYPE_ETHER ||
	    b[B_HLEN] != ETH_ALEN || local_get32(b + B_GIADDR) != 0)
		return false;
	*q = (struct question){
		.bootp = b,
		.mac = frame + ETH_ALEN,
		.type = T_BOOTP,
		.ciaddr = local_get32(b + B_CIADDR),
		.broadcast = (local_get16(b + B_FLAGS) & FLAG_BCAST) != 0,
	};
	read_options(q, b + B_VEND, n - UDP_LEN - B_VEND);
	return true;
}

/* What the answer is, by "DHCP server behavior"; false: none. */
static bool
decide(const struct local_conf *c, const struct question *q, enum type *answer)
{
	uint32_t wanted = q->requested != 0 ? q->requested : q->ciaddr;

	if (q->server != 0 && q->server != c->host)
		return false; /* it chose another server */
	switch ((unsigned)q->type) {
	case T_BOOTP:
		*answer = T_BOOTP;
		return true;
	case T_DISCOVER:
		*answer = T_OFFER;
		return true;
	case T_REQUEST:
		*answer = wanted == c->guest ? T_ACK : T_NAK;
		return true;
	case T_INFORM:
		*answer = T_ACK;
		return q->ciaddr != 0;
	default:
		return false;
	}
}

static void
add_option(struct local_out *o, enum option code, uint32_t v)
{
	local_add8(o, code);
	local_add8(o, 4);
	local_add32(o, v);
}

static void
add_text(struct local_out *o, enum option code, const char *s)
{
	size_t len = strlen(s);

	local_add8(o, code);
	local_add8(o, (uint8_t)len);
	local_add(o, (const uint8_t *)s, len);
}

static void
add_options(struct local_out *o, const struct local_conf *c,
    const struct question *q, enum type answer)
{
	local_add32(o, MAGIC);
	if (answer != T_BOOTP) {
		local_add8(o, O_TYPE);
		local_add8(o, 1);
		local_add8(o, answer);
		add_option(o, O_SERVER, c->host);
	}
	if (answer != T_NAK) {
		if (answer != T_BOOTP && q->type != T_INFORM)
			add_option(o, O_LEASE, UINT32_MAX); /* for ever */
		add_option(o, O_MASK, 0xfffffffe);
		add_option(o, O_ROUTER, c->host);
		add_option(o, O_DNS, c->host);
		if (c->netboot[0] != '\0') {
			add_text(o, O_NAME, c->netboot);
			add_text(o, O_FILE, LOCAL_BOOT_FILE);
		}
		if (c->mtu != 0) {
			local_add8(o, O_MTU);
			local_add8(o, 2);
			local_add16(o, c->mtu);
		}
	}
	local_add8(o, O_END);
}

static void
add_bootp(struct local_out *o, const struct local_conf *c,
    const struct question *q, enum type answer)
{
	static const uint8_t zero[B_MIN];
	static const uint8_t file[128] = LOCAL_BOOT_FILE;
	bool give = answer != T_NAK && q->type != T_INFORM;
	size_t begin = o->len;

	local_add8(o, 2); /* op: reply */
	local_add8(o, HTYPE_ETHER);
	local_add8(o, ETH_ALEN);
	local_add8(o, 0);
	local_add(o, q->bootp + B_XID, 4);
	local_add16(o, 0);
	local_add(o, q->bootp + B_FLAGS, 2);
	local_add32(o, answer == T_ACK ? q->ciaddr : 0);
	local_add32(o, give ? c->guest : 0);
	local_add32(o, give ? c->host : 0); /* siaddr */
	local_add32(o, 0);
	local_add(o, q->bootp + B_CHADDR, 16);
	local_add(o, zero, 64); /* sname */
	local_add(o, give && c->netboot[0] != '\0' ? file : zero, 128);
	add_options(o, c, q, answer);
	if (o->len - begin < B_MIN)
		local_add(o, zero, B_MIN - (o->len - begin));
}

static void
set16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Lengths and checksums, once all is there. */
static void
close_udp(uint8_t *ip, size_t len)
{
	size_t udp = len - IP_LEN;
	uint16_t sum;

	set16(ip + 2, (unsigned)len);
	set16(ip + 10, local_checksum(0, ip, IP_LEN));
	set16(ip + IP_LEN + 4, (unsigned)udp);
	/* The pseudo header: both addresses, protocol, length. */
	sum = (uint16_t)~local_checksum(PROTO_UDP + (uint32_t)udp, ip + 12, 8);
	sum = local_checksum(sum, ip + IP_LEN, udp);
	set16(ip + IP_LEN + 6, sum == 0 ? 0xffff : sum);
}

static size_t
dhcp_answer(const struct local_conf *c, const uint8_t *frame, size_t len,
    struct local_out *o)
{
	static const uint8_t everybody[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff };
	struct question q;
	enum type answer;
	bool all;

	if (!read_question(&q, frame, len) || !decide(c, &q, &answer))
		return 0;
	/* A refusal is for a client that may have any address. */
	all = q.broadcast || answer == T_NAK;
	local_add(o, all ? everybody : q.mac, ETH_ALEN);
	local_add(o, c->host_mac, ETH_ALEN);
	local_add16(o, TYPE_IPV4);
	local_add16(o, 0x4510); /* version, length, low delay */
	local_add32(o, 0); /* length follows; id */
	local_add16(o, 0x4000); /* do not fragment */
	local_add8(o, 64);
	local_add8(o, PROTO_UDP);
	local_add16(o, 0);
	local_add32(o, c->host);
	local_add32(o,
	    all			     ? UINT32_MAX
		: q.type == T_INFORM ? q.ciaddr
				     : c->guest);
	local_add16(o, PORT_SERVER);
	local_add16(o, PORT_CLIENT);
	local_add32(o, 0); /* length, checksum */
	add_bootp(o, c, &q, answer);
	if (o->full)
		return 0;
	close_udp(o->p + LOCAL_ETH, o->len - LOCAL_ETH);
	return o->len;
}

size_t
local_answer(const struct local_conf *c, const uint8_t *frame, size_t len,
    uint8_t *out, size_t room)
{
	struct local_out o = { out, 0, room, false };

	if (room > LOCAL_FRAME_MAX)
		o.room = LOCAL_FRAME_MAX;
	if (!local_wants(c, frame, len))
		return 0;
	if (local_get16(frame + 12) == TYPE_IPV6)
		return local6_answer(c, frame, len, &o);
	return dhcp_answer(c, frame, len, &o);
}
