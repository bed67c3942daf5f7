/* SPDX-License-Identifier: ISC */
/*
 * Interfaces of the host: see rtnl.h.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rtnl.h"

#define BUF 32768 /* of a dump's part; what the kernel sends at most */

int
rtnl_open(struct rtnl *r)
{
	r->seq = 0;
	r->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (r->nl == NULL)
		return -errno;
	if (mnl_socket_bind(r->nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		rtnl_close(r);
		return error;
	}
	return 0;
}

void
rtnl_close(struct rtnl *r)
{
	if (r->nl != NULL)
		mnl_socket_close(r->nl);
	r->nl = NULL;
}

/* Send, and hand every answer to cb until the one that ends it. */
static int
talk(struct rtnl *r, struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	unsigned portid = mnl_socket_get_portid(r->nl);
	char *buf;
	ssize_t n;
	int rc = MNL_CB_OK, error = 0;

	h->nlmsg_seq = ++r->seq;
	if (mnl_socket_sendto(r->nl, h, h->nlmsg_len) == -1)
		return -errno;
	buf = malloc(BUF);
	if (buf == NULL)
		return -ENOMEM;
	while (rc > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(r->nl, buf, BUF);
		if (n == -1) {
			if (errno == EINTR)
				continue;
			error = -errno;
			break;
		}
		rc = mnl_cb_run(buf, (size_t)n, r->seq, portid, cb, arg);
		if (rc == MNL_CB_ERROR)
			error = -errno;
	}
	free(buf);
	return error;
}

static struct nlmsghdr *
request(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	return h;
}

static struct ifinfomsg *
link_request(char *buf, uint16_t type, uint16_t flags, unsigned index)
{
	struct nlmsghdr *h = request(buf, type, flags);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)index;
	return ifi;
}

static void
copy_string(char *to, size_t size, const struct nlattr *a)
{
	size_t n =
	    strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	if (n >= size)
		n = size - 1;
	memcpy(to, mnl_attr_get_payload(a), n);
	to[n] = '\0';
}

static uint32_t
get32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (mnl_attr_get_payload_len(a) == sizeof(v))
		memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return v;
}

static void
read_info(struct rtnl_link *l, const struct nlattr *info)
{
	const struct nlattr *a, *data = NULL;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			copy_string(l->kind, sizeof(l->kind), a);
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
			data = a;
	}
	if (data == NULL || strcmp(l->kind, "vrf") != 0)
		return;
	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_type(a) == IFLA_VRF_TABLE)
			l->vrf_table = get32(a);
	}
}

struct each {
	bool (*each)(void *arg, const struct rtnl_link *);
	void *arg;
	bool stop;
};

static int
on_link(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(h);
	struct each *e = arg;
	struct rtnl_link l = { 0 };
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(h) < sizeof(*ifi))
		return MNL_CB_OK;
	l.index = (unsigned)ifi->ifi_index;
	mnl_attr_for_each(a, h, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_IFNAME:
			copy_string(l.name, sizeof(l.name), a);
			break;
		case IFLA_IFALIAS:
			copy_string(l.alias, sizeof(l.alias), a);
			break;
		case IFLA_MASTER:
			l.master = get32(a);
			break;
		case IFLA_MTU:
			l.mtu = get32(a);
			break;
		case IFLA_LINKINFO:
			read_info(&l, a);
			break;
		}
	}
	/* The rest of a dump has to be read all the same. */
	if (!e->stop && !e->each(e->arg, &l))
		e->stop = true;
	return MNL_CB_OK;
}

int
rtnl_each(
    struct rtnl *r, bool (*each)(void *, const struct rtnl_link *), void *arg)
{
	struct each e = { each, arg, false };
	char buf[256] = { 0 };

	link_request(buf, RTM_GETLINK, NLM_F_DUMP, 0);
	return talk(r, (struct nlmsghdr *)buf, on_link, &e);
}

static bool
keep(void *arg, const struct rtnl_link *l)
{
	*(struct rtnl_link *)arg = *l;
	return false;
}

int
rtnl_find(struct rtnl *r, const char *name, struct rtnl_link *out)
{
	struct each e = { keep, out, false };
	char buf[256] = { 0 };
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	int error;

	link_request(buf, RTM_GETLINK, NLM_F_ACK, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	error = talk(r, h, on_link, &e);
	return error == 0 && !e.stop ? -ENODEV : error;
}

int
rtnl_change(struct rtnl *r, unsigned index, const struct rtnl_change *c)
{
	char buf[1024] = { 0 };
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	struct ifinfomsg *ifi;

	ifi = link_request(buf, RTM_NEWLINK, NLM_F_ACK, index);
	if (c->state != RTNL_AS_IS) {
		ifi->ifi_change = IFF_UP;
		ifi->ifi_flags = c->state == RTNL_UP ? IFF_UP : 0;
	}
	if (c->master != 0 || c->no_master)
		mnl_attr_put_u32(h, IFLA_MASTER, c->master);
	if (c->lladdr != NULL)
		mnl_attr_put(h, IFLA_ADDRESS, ETH_ALEN, c->lladdr);
	if (c->alias != NULL)
		mnl_attr_put_str(h, IFLA_IFALIAS, c->alias);
	if (c->group != 0)
		mnl_attr_put_u32(h, IFLA_GROUP, c->group);
	if (c->mtu != 0)
		mnl_attr_put_u32(h, IFLA_MTU, c->mtu);
	return talk(r, h, NULL, NULL);
}

int
rtnl_autoconf(struct rtnl *r, unsigned index, bool on)
{
	char buf[256] = { 0 };
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	struct nlattr *spec, *inet6;

	link_request(buf, RTM_NEWLINK, NLM_F_ACK, index);
	spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(h, AF_INET6);
	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE,
	    on ? IN6_ADDR_GEN_MODE_EUI64 : IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	return talk(r, h, NULL, NULL);
}

int
rtnl_bridge(struct rtnl *r, const char *name)
{
	char buf[512] = { 0 };
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	struct nlattr *info;

	link_request(
	    buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_str(h, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(h, info);
	return talk(r, h, NULL, NULL);
}

int
rtnl_delete(struct rtnl *r, unsigned index)
{
	char buf[128] = { 0 };

	link_request(buf, RTM_DELLINK, NLM_F_ACK, index);
	return talk(r, (struct nlmsghdr *)buf, NULL, NULL);
}

int
rtnl_address(struct rtnl *r, unsigned index, int family, const void *addr,
    unsigned prefix)
{
	size_t len = family == AF_INET ? 4 : 16;
	char buf[256] = { 0 };
	struct nlmsghdr *h;
	struct ifaddrmsg *ifa;

	h = request(buf, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
	ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
	ifa->ifa_family = (uint8_t)family;
	ifa->ifa_prefixlen = (uint8_t)prefix;
	ifa->ifa_index = index;
	/* There is nobody who could have the same. */
	if (family == AF_INET6)
		ifa->ifa_flags = IFA_F_NODAD;
	mnl_attr_put(h, IFA_LOCAL, len, addr);
	mnl_attr_put(h, IFA_ADDRESS, len, addr);
	return talk(r, h, NULL, NULL);
}
