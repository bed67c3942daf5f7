/* SPDX-License-Identifier: ISC */
/*
 * The table of nftables: see nft.h.  In nft(8)'s language:
 *
 *	table inet vmd {
 *		flags owner
 *		set taps { type ifname; }
 *		set allowed4 { type ifname . ipv4_addr; }
 *		set allowed6 { type ifname . ipv6_addr; }
 *		chain spoof {
 *			type filter hook prerouting priority raw
 *			iifname @taps ip6 saddr fe80::/10 accept
 *			iifname @taps ip6 saddr :: accept
 *			iifname @taps iifname . ip saddr != @allowed4 drop
 *			iifname @taps iifname . ip6 saddr != @allowed6 drop
 *		}
 *		chain dns {
 *			type nat hook prerouting priority dstnat
 *			iifname @taps fib daddr type local udp dport 53
 *			    dnat ip to DNS
 *			(the same for tcp)
 *		}
 *		chain nat {
 *			type nat hook postrouting priority srcnat
 *			ip saddr RANGE ip daddr != RANGE masquerade
 *			ip6 saddr RANGE6 ip6 daddr != RANGE6 masquerade
 *		}
 *	}
 *
 * It is sent as one transaction that removes what was there before.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "nft.h"

#ifndef NFT_TABLE_F_OWNER
#define NFT_TABLE_F_OWNER 0x2
#endif

#define TABLE	 "vmd"
#define FIXED	 16384 /* bytes of everything but the sets' elements */
#define PER_ELEM 96 /* at most, for each set of a guest */
#define CHUNK	 256 /* elements in a message: attributes have 16-bit lengths */

/* Offsets of addresses in the headers. */
#define IP4_SADDR 12
#define IP4_DADDR 16
#define IP6_SADDR 8
#define IP6_DADDR 24

/* For nft(8) only: numbers of data types, six bits each. */
#define TYPE_IFNAME 41
#define TYPE_IP4    7
#define TYPE_IP6    8

enum set { TAPS, ALLOWED4, ALLOWED6 };

static const struct {
	const char *name;
	uint32_t type, len;
} sets[] = {
	[TAPS] = { "taps", TYPE_IFNAME, IFNAMSIZ },
	[ALLOWED4] = { "allowed4", TYPE_IFNAME << 6 | TYPE_IP4, IFNAMSIZ + 4 },
	[ALLOWED6] = { "allowed6", TYPE_IFNAME << 6 | TYPE_IP6, IFNAMSIZ + 16 },
};

/* A transaction being put together. */
struct batch {
	uint8_t *buf;
	size_t len;
	uint32_t seq, last; /* last: the message that is acknowledged */
	struct nlmsghdr *h; /* the current message */
};

int
nft_open(struct nft *n)
{
	int size = 8 << 20, error;

	n->seq = 0;
	n->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (n->nl == NULL)
		return -errno;
	if (mnl_socket_bind(n->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		error = -errno;
		nft_close(n);
		return error;
	}
	/* Thousands of guests are more than the usual limit. */
	(void)setsockopt(mnl_socket_get_fd(n->nl), SOL_SOCKET, SO_SNDBUFFORCE,
	    &size, sizeof(size));
	return 0;
}

void
nft_close(struct nft *n)
{
	if (n->nl != NULL)
		mnl_socket_close(n->nl);
	n->nl = NULL;
}

/* ---- messages ---- */

static void
end_message(struct batch *b)
{
	if (b->h != NULL)
		b->len += MNL_ALIGN(b->h->nlmsg_len);
	b->h = NULL;
}

static struct nlmsghdr *
message(struct batch *b, uint16_t type, uint16_t flags, uint8_t family,
    uint16_t res)
{
	struct nfgenmsg *g;

	end_message(b);
	b->h = mnl_nlmsg_put_header(b->buf + b->len);
	b->h->nlmsg_type = type;
	b->h->nlmsg_flags = NLM_F_REQUEST | flags;
	b->h->nlmsg_seq = ++b->seq;
	g = mnl_nlmsg_put_extra_header(b->h, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res);
	return b->h;
}

static struct nlmsghdr *
nft_message(struct batch *b, unsigned type, uint16_t flags)
{
	return message(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags,
	    NFPROTO_INET, 0);
}

static void
put32(struct nlmsghdr *h, uint16_t type, uint32_t v)
{
	mnl_attr_put_u32(h, type, htonl(v));
}

static void
add_table(struct batch *b)
{
	struct nlmsghdr *h = nft_message(b, NFT_MSG_NEWTABLE, NLM_F_CREATE);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
	put32(h, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
}

static void
delete_table(struct batch *b)
{
	struct nlmsghdr *h = nft_message(b, NFT_MSG_DELTABLE, 0);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, TABLE);
}

static void
add_chain(struct batch *b, const char *name, const char *type, uint32_t hook,
    int priority)
{
	struct nlmsghdr *h = nft_message(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *nest;

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, TABLE);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
	nest = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
	put32(h, NFTA_HOOK_HOOKNUM, hook);
	put32(h, NFTA_HOOK_PRIORITY, (uint32_t)priority);
	mnl_attr_nest_end(h, nest);
	mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, type);
}

static void
add_set(struct batch *b, enum set s)
{
	struct nlmsghdr *h = nft_message(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	mnl_attr_put_strz(h, NFTA_SET_TABLE, TABLE);
	mnl_attr_put_strz(h, NFTA_SET_NAME, sets[s].name);
	put32(h, NFTA_SET_ID, (uint32_t)s + 1);
	put32(h, NFTA_SET_KEY_TYPE, sets[s].type);
	put32(h, NFTA_SET_KEY_LEN, sets[s].len);
}

/* The key of a guest in a set; false: it is in none. */
static bool
key(const struct nft_guest *g, enum set s, uint8_t *to)
{
	uint32_t addr = htonl(g->addr);

	memset(to, 0, IFNAMSIZ);
	memcpy(to, g->ifname, strnlen(g->ifname, IFNAMSIZ - 1));
	if (s == ALLOWED4)
		memcpy(to + IFNAMSIZ, &addr, sizeof(addr));
	if (s == ALLOWED6)
		memcpy(to + IFNAMSIZ, g->addr6, sizeof(g->addr6));
	return s != ALLOWED6 || g->inet6;
}

static void
add_elements(
    struct batch *b, enum set s, const struct nft_guest *guest, size_t n)
{
	struct nlmsghdr *h = nft_message(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	struct nlattr *list, *elem, *data;
	uint8_t k[IFNAMSIZ + 16];
	size_t i;

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, sets[s].name);
	put32(h, NFTA_SET_ELEM_LIST_SET_ID, (uint32_t)s + 1);
	list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (i = 0; i < n; i++) {
		if (!key(&guest[i], s, k))
			continue;
		elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
		data = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
		mnl_attr_put(h, NFTA_DATA_VALUE, sets[s].len, k);
		mnl_attr_nest_end(h, data);
		mnl_attr_nest_end(h, elem);
	}
	mnl_attr_nest_end(h, list);
}

/* ---- rules: expressions in order ---- */

struct rule {
	struct nlmsghdr *h;
	struct nlattr *list, *elem, *data;
};

static struct rule
begin_rule(struct batch *b, const char *chain)
{
	struct rule r = { .h = NULL };

	r.h = nft_message(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	mnl_attr_put_strz(r.h, NFTA_RULE_TABLE, TABLE);
	mnl_attr_put_strz(r.h, NFTA_RULE_CHAIN, chain);
	r.list = mnl_attr_nest_start(r.h, NFTA_RULE_EXPRESSIONS);
	return r;
}

static void
end_rule(struct rule *r)
{
	mnl_attr_nest_end(r->h, r->list);
}

static void
begin_expr(struct rule *r, const char *name)
{
	r->elem = mnl_attr_nest_start(r->h, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->h, NFTA_EXPR_NAME, name);
	r->data = mnl_attr_nest_start(r->h, NFTA_EXPR_DATA);
}

static void
end_expr(struct rule *r)
{
	mnl_attr_nest_end(r->h, r->data);
	mnl_attr_nest_end(r->h, r->elem);
}

static void
put_value(struct rule *r, uint16_t type, const void *p, size_t len)
{
	struct nlattr *nest = mnl_attr_nest_start(r->h, type);

	mnl_attr_put(r->h, NFTA_DATA_VALUE, len, p);
	mnl_attr_nest_end(r->h, nest);
}

static void
meta(struct rule *r, enum nft_meta_keys what, uint32_t reg)
{
	begin_expr(r, "meta");
	put32(r->h, NFTA_META_KEY, what);
	put32(r->h, NFTA_META_DREG, reg);
	end_expr(r);
}

static void
compare(struct rule *r, enum nft_cmp_ops op, uint32_t reg, const void *p,
    size_t len)
{
	begin_expr(r, "cmp");
	put32(r->h, NFTA_CMP_SREG, reg);
	put32(r->h, NFTA_CMP_OP, op);
	put_value(r, NFTA_CMP_DATA, p, len);
	end_expr(r);
}

static void
family(struct rule *r, uint8_t proto)
{
	meta(r, NFT_META_NFPROTO, NFT_REG_1);
	compare(r, NFT_CMP_EQ, NFT_REG_1, &proto, sizeof(proto));
}

static void
header(struct rule *r, uint32_t off, uint32_t len, uint32_t reg)
{
	begin_expr(r, "payload");
	put32(r->h, NFTA_PAYLOAD_DREG, reg);
	put32(r->h, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	put32(r->h, NFTA_PAYLOAD_OFFSET, off);
	put32(r->h, NFTA_PAYLOAD_LEN, len);
	end_expr(r);
}

/* Is, or is not, the address at off of this prefix? */
static void
in_prefix(struct rule *r, enum nft_cmp_ops op, uint32_t off,
    const uint8_t *prefix, unsigned bits, uint32_t len)
{
	static const uint8_t zero[16];
	uint8_t mask[16] = { 0 };
	unsigned i;

	for (i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	header(r, off, len, NFT_REG_1);
	begin_expr(r, "bitwise");
	put32(r->h, NFTA_BITWISE_SREG, NFT_REG_1);
	put32(r->h, NFTA_BITWISE_DREG, NFT_REG_1);
	put32(r->h, NFTA_BITWISE_LEN, len);
	put_value(r, NFTA_BITWISE_MASK, mask, len);
	put_value(r, NFTA_BITWISE_XOR, zero, len);
	end_expr(r);
	compare(r, op, NFT_REG_1, prefix, len);
}

static void
lookup(struct rule *r, enum set s, uint32_t reg, bool inverted)
{
	begin_expr(r, "lookup");
	mnl_attr_put_strz(r->h, NFTA_LOOKUP_SET, sets[s].name);
	put32(r->h, NFTA_LOOKUP_SET_ID, (uint32_t)s + 1);
	put32(r->h, NFTA_LOOKUP_SREG, reg);
	if (inverted)
		put32(r->h, NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	end_expr(r);
}

static void
verdict(struct rule *r, uint32_t code)
{
	struct nlattr *data, *v;

	begin_expr(r, "immediate");
	put32(r->h, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(r->h, NFTA_IMMEDIATE_DATA);
	v = mnl_attr_nest_start(r->h, NFTA_DATA_VERDICT);
	put32(r->h, NFTA_VERDICT_CODE, code);
	mnl_attr_nest_end(r->h, v);
	mnl_attr_nest_end(r->h, data);
	end_expr(r);
}

static struct rule
from_guest(struct batch *b, const char *chain, uint8_t proto)
{
	struct rule r = begin_rule(b, chain);

	family(&r, proto);
	meta(&r, NFT_META_IIFNAME, NFT_REG32_00);
	lookup(&r, TAPS, NFT_REG32_00, false);
	return r;
}

/* A source address that is not the guest's. */
static void
add_forged(
    struct batch *b, uint8_t proto, uint32_t off, uint32_t len, enum set s)
{
	struct rule r = from_guest(b, "spoof", proto);

	/* Behind the interface's name, whose registers still have it. */
	header(&r, off, len, NFT_REG32_04);
	lookup(&r, s, NFT_REG32_00, true);
	verdict(&r, NF_DROP);
	end_rule(&r);
}

/* What IPv6 needs before there is an address. */
static void
add_link_local(struct batch *b)
{
	static const uint8_t link_local[16] = { 0xfe, 0x80 }, none[16];
	struct rule r = from_guest(b, "spoof", NFPROTO_IPV6);

	in_prefix(&r, NFT_CMP_EQ, IP6_SADDR, link_local, 10, 16);
	verdict(&r, NF_ACCEPT);
	end_rule(&r);
	r = from_guest(b, "spoof", NFPROTO_IPV6);
	in_prefix(&r, NFT_CMP_EQ, IP6_SADDR, none, 128, 16);
	verdict(&r, NF_ACCEPT);
	end_rule(&r);
}

static void
add_masquerade(struct batch *b, uint8_t proto, uint32_t saddr, uint32_t daddr,
    const uint8_t *prefix, unsigned bits, uint32_t len)
{
	struct rule r = begin_rule(b, "nat");

	family(&r, proto);
	in_prefix(&r, NFT_CMP_EQ, saddr, prefix, bits, len);
	in_prefix(&r, NFT_CMP_NEQ, daddr, prefix, bits, len);
	begin_expr(&r, "masq");
	end_expr(&r);
	end_rule(&r);
}

/* What a guest asks the host's DNS port goes to the host's resolver. */
static void
add_dns(struct batch *b, uint8_t l4proto, uint32_t resolver)
{
	const uint32_t local = RTN_LOCAL, addr = htonl(resolver);
	const uint16_t port = htons(53);
	struct rule r = from_guest(b, "dns", NFPROTO_IPV4);

	begin_expr(&r, "fib");
	put32(r.h, NFTA_FIB_DREG, NFT_REG_1);
	put32(r.h, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	put32(r.h, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
	end_expr(&r);
	compare(&r, NFT_CMP_EQ, NFT_REG_1, &local, sizeof(local));
	meta(&r, NFT_META_L4PROTO, NFT_REG_1);
	compare(&r, NFT_CMP_EQ, NFT_REG_1, &l4proto, sizeof(l4proto));
	begin_expr(&r, "payload");
	put32(r.h, NFTA_PAYLOAD_DREG, NFT_REG_1);
	put32(r.h, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
	put32(r.h, NFTA_PAYLOAD_OFFSET, 2); /* destination port */
	put32(r.h, NFTA_PAYLOAD_LEN, 2);
	end_expr(&r);
	compare(&r, NFT_CMP_EQ, NFT_REG_1, &port, sizeof(port));
	begin_expr(&r, "immediate");
	put32(r.h, NFTA_IMMEDIATE_DREG, NFT_REG_1);
	put_value(&r, NFTA_IMMEDIATE_DATA, &addr, sizeof(addr));
	end_expr(&r);
	begin_expr(&r, "nat");
	put32(r.h, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put32(r.h, NFTA_NAT_FAMILY, NFPROTO_IPV4);
	put32(r.h, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
	end_expr(&r);
	end_rule(&r);
}

static void
add_all(struct batch *b, const struct nft_range *range,
    const struct nft_guest *guest, size_t n)
{
	uint32_t prefix = htonl(range->prefix);
	enum set s;
	size_t i;

	add_table(b);
	for (s = TAPS; s <= ALLOWED6; s++) {
		add_set(b, s);
		for (i = 0; i < n; i += CHUNK)
			add_elements(
			    b, s, guest + i, n - i < CHUNK ? n - i : CHUNK);
	}
	add_chain(b, "spoof", "filter", NF_INET_PRE_ROUTING, -300);
	add_link_local(b);
	add_forged(b, NFPROTO_IPV4, IP4_SADDR, 4, ALLOWED4);
	add_forged(b, NFPROTO_IPV6, IP6_SADDR, 16, ALLOWED6);
	if (range->dns != 0) {
		add_chain(b, "dns", "nat", NF_INET_PRE_ROUTING, -100);
		add_dns(b, IPPROTO_UDP, range->dns);
		add_dns(b, IPPROTO_TCP, range->dns);
	}
	add_chain(b, "nat", "nat", NF_INET_POST_ROUTING, 100);
	add_masquerade(b, NFPROTO_IPV4, IP4_SADDR, IP4_DADDR,
	    (const uint8_t *)&prefix, range->len, 4);
	if (range->inet6)
		add_masquerade(b, NFPROTO_IPV6, IP6_SADDR, IP6_DADDR,
		    range->prefix6, range->len6, 16);
}

/* ---- the transaction ---- */

/* Errors come for every message that has one, in order; the last message
 * is acknowledged in any case. */
static int
answer(struct nft *n, uint32_t last)
{
	_Alignas(struct nlmsghdr) char buf[16384];
	const struct nlmsghdr *h;
	const struct nlmsgerr *e;
	int len, error = 0;
	ssize_t got;

	for (;;) {
		got = mnl_socket_recvfrom(n->nl, buf, sizeof(buf));
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -errno;
		len = (int)got;
		for (h = (const void *)buf; mnl_nlmsg_ok(h, len);
		     h = mnl_nlmsg_next(h, &len)) {
			if (h->nlmsg_type != NLMSG_ERROR ||
			    mnl_nlmsg_get_payload_len(h) < sizeof(*e))
				continue;
			e = mnl_nlmsg_get_payload(h);
			if (error == 0)
				error = e->error;
			if (h->nlmsg_seq == last)
				return error;
		}
	}
}

int
nft_apply(struct nft *nft, const struct nft_range *range,
    const struct nft_guest *guest, size_t n)
{
	struct batch b = { .seq = nft->seq };
	int error;

	b.buf = calloc(1, FIXED + n * 3 * PER_ELEM);
	if (b.buf == NULL)
		return -ENOMEM;
	message(&b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	/* Whether there is one or not, after this there is none. */
	add_table(&b);
	delete_table(&b);
	if (n > 0)
		add_all(&b, range, guest, n);
	b.h->nlmsg_flags |= NLM_F_ACK;
	b.last = b.h->nlmsg_seq;
	message(&b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
	end_message(&b);
	nft->seq = b.seq;
	error = mnl_socket_sendto(nft->nl, b.buf, b.len) == -1
	    ? -errno
	    : answer(nft, b.last);
	free(b.buf);
	return error;
}
