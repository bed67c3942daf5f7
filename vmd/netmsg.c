/* SPDX-License-Identifier: ISC */
/*
 * Messages between parent and netcfg: see netmsg.h.
 */
#include <errno.h>

#include "ctl.h"
#include "imsg.h"
#include "netmsg.h"
#include "vmconf.h"

static int
get_bool(struct ibuf *b, bool *out)
{
	uint32_t v;

	if (ibuf_get_n32(b, &v) == -1 || v > 1)
		return -EBADMSG;
	*out = v == 1;
	return 0;
}

static bool
ifname_or_none(const char *name)
{
	return name[0] == '\0' || vmconf_ifname_ok(name);
}

int
netmsg_put_range(struct ibuf *b, const struct nft_range *r)
{
	if (ibuf_add_n32(b, r->prefix) == -1 || ibuf_add_n32(b, r->len) == -1 ||
	    ibuf_add_n32(b, r->inet6) == -1 ||
	    ibuf_add(b, r->prefix6, sizeof(r->prefix6)) == -1 ||
	    ibuf_add_n32(b, r->len6) == -1 || ibuf_add_n32(b, r->dns) == -1)
		return -errno;
	return 0;
}

int
netmsg_get_range(struct ibuf *b, struct nft_range *r)
{
	if (ibuf_get_n32(b, &r->prefix) == -1 ||
	    ibuf_get_n32(b, &r->len) == -1 || get_bool(b, &r->inet6) != 0 ||
	    ibuf_get(b, r->prefix6, sizeof(r->prefix6)) == -1 ||
	    ibuf_get_n32(b, &r->len6) == -1 || ibuf_get_n32(b, &r->dns) == -1 ||
	    r->len > 32 || r->len6 > 128)
		return -EBADMSG;
	return 0;
}

int
netmsg_put_switch(struct ibuf *b, const struct net_switch *s)
{
	int error;

	if ((error = ctl_put_str(b, s->name)) != 0 ||
	    (error = ctl_put_str(b, s->bridge)) != 0)
		return error;
	if (ibuf_add_n32(b, s->create) == -1 ||
	    ibuf_add_n32(b, s->down) == -1 || ibuf_add_n32(b, s->group) == -1 ||
	    ibuf_add_n32(b, s->rdomain) == -1)
		return -errno;
	return 0;
}

int
netmsg_get_switch(struct ibuf *b, struct net_switch *s)
{
	if (ctl_get_str(b, s->name, sizeof(s->name)) != 0 ||
	    ctl_get_str(b, s->bridge, sizeof(s->bridge)) != 0 ||
	    get_bool(b, &s->create) != 0 || get_bool(b, &s->down) != 0 ||
	    ibuf_get_n32(b, &s->group) == -1 ||
	    ibuf_get_n32(b, &s->rdomain) == -1 || !vmconf_path_ok(s->name) ||
	    !vmconf_ifname_ok(s->bridge))
		return -EBADMSG;
	return 0;
}

int
netmsg_put_tap(struct ibuf *b, const struct net_tap *t)
{
	int error;

	if ((error = ctl_put_str(b, t->ifname)) != 0 ||
	    (error = ctl_put_str(b, t->alias)) != 0 ||
	    (error = ctl_put_str(b, t->bridge)) != 0)
		return error;
	if (ibuf_add_n32(b, t->down) == -1 || ibuf_add_n32(b, t->group) == -1 ||
	    ibuf_add_n32(b, t->rdomain) == -1 ||
	    ibuf_add(b, t->lladdr, sizeof(t->lladdr)) == -1 ||
	    ibuf_add_n32(b, t->local) == -1 ||
	    ibuf_add_n32(b, t->addr.host) == -1 ||
	    ibuf_add_n32(b, t->addr.guest) == -1 ||
	    ibuf_add_n32(b, t->addr.inet6) == -1 ||
	    ibuf_add(b, t->addr.host6, 16) == -1 ||
	    ibuf_add(b, t->addr.guest6, 16) == -1)
		return -errno;
	return 0;
}

int
netmsg_get_tap(struct ibuf *b, struct net_tap *t)
{
	if (ctl_get_str(b, t->ifname, sizeof(t->ifname)) != 0 ||
	    ctl_get_str(b, t->alias, sizeof(t->alias)) != 0 ||
	    ctl_get_str(b, t->bridge, sizeof(t->bridge)) != 0 ||
	    get_bool(b, &t->down) != 0 || ibuf_get_n32(b, &t->group) == -1 ||
	    ibuf_get_n32(b, &t->rdomain) == -1 ||
	    ibuf_get(b, t->lladdr, sizeof(t->lladdr)) == -1 ||
	    get_bool(b, &t->local) != 0 ||
	    ibuf_get_n32(b, &t->addr.host) == -1 ||
	    ibuf_get_n32(b, &t->addr.guest) == -1 ||
	    get_bool(b, &t->addr.inet6) != 0 ||
	    ibuf_get(b, t->addr.host6, 16) == -1 ||
	    ibuf_get(b, t->addr.guest6, 16) == -1 ||
	    !ifname_or_none(t->ifname) || !ifname_or_none(t->bridge) ||
	    !vmconf_path_ok(t->alias))
		return -EBADMSG;
	return 0;
}

int
netmsg_put_result(struct ibuf *b, const struct net_result *r)
{
	int error = ctl_put_str(b, r->ifname);

	if (error != 0)
		return error;
	if (ibuf_add_n32(b, r->queues) == -1 ||
	    ibuf_add_n32(b, r->offload) == -1 || ibuf_add_n32(b, r->mtu) == -1)
		return -errno;
	return 0;
}

int
netmsg_get_result(struct ibuf *b, struct net_result *r)
{
	if (ctl_get_str(b, r->ifname, sizeof(r->ifname)) != 0 ||
	    ibuf_get_n32(b, &r->queues) == -1 ||
	    ibuf_get_n32(b, &r->offload) == -1 ||
	    ibuf_get_n32(b, &r->mtu) == -1 || !vmconf_ifname_ok(r->ifname) ||
	    r->queues == 0 || r->queues > NET_QUEUES_MAX)
		return -EBADMSG;
	return 0;
}
