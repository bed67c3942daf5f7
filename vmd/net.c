/* SPDX-License-Identifier: ISC */
/*
 * The host's side of guests' networks: see net.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "log.h"
#include "net.h"
#include "nettap.h"

int
net_open(struct net *n)
{
	int error;

	memset(n, 0, sizeof(*n));
	error = rtnl_open(&n->rtnl);
	return error == 0 ? nft_open(&n->nft) : error;
}

/* ---- switches ---- */

struct stale {
	const struct net *n;
	unsigned index; /* of one to be removed, 0: none */
	char name[IFNAMSIZ];
};

static bool
on_stale(void *arg, const struct rtnl_link *l)
{
	struct stale *s = arg;
	size_t i, len = strlen(NET_ALIAS);

	if (strcmp(l->kind, "bridge") != 0 ||
	    strncmp(l->alias, NET_ALIAS, len) != 0)
		return true;
	for (i = 0; i < s->n->nsw; i++) {
		if (s->n->sw[i].create &&
		    strcmp(s->n->sw[i].bridge, l->name) == 0)
			return true;
	}
	s->index = l->index;
	memcpy(s->name, l->name, sizeof(s->name));
	return false;
}

/* Our bridges that are in no switch any more. */
static void
remove_stale(struct net *n)
{
	struct stale s = { .n = n };
	int error;

	for (;;) {
		s.index = 0;
		if (rtnl_each(&n->rtnl, on_stale, &s) != 0 || s.index == 0)
			return;
		error = rtnl_delete(&n->rtnl, s.index);
		if (error != 0) {
			log_warnx("%s: cannot remove: %s", s.name,
			    strerrordesc_np(-error));
			return;
		}
		log_debug("%s: removed", s.name);
	}
}

void
net_close(struct net *n)
{
	n->nsw = 0;
	if (n->rtnl.nl != NULL)
		remove_stale(n);
	rtnl_close(&n->rtnl);
	nft_close(&n->nft);
	free(n->sw);
	free(n->tap);
}

struct vrf {
	uint32_t table;
	unsigned index;
};

static bool
on_vrf(void *arg, const struct rtnl_link *l)
{
	struct vrf *v = arg;

	if (strcmp(l->kind, "vrf") != 0 || l->vrf_table != v->table)
		return true;
	v->index = l->index;
	return false;
}

/* A routing domain is the VRF with the table of that number. */
static int
find_vrf(struct net *n, uint32_t rdomain, unsigned *index, struct fail *why)
{
	struct vrf v = { .table = rdomain };
	int error;

	*index = 0;
	if (rdomain == 0)
		return 0;
	error = rtnl_each(&n->rtnl, on_vrf, &v);
	if (error != 0)
		return fail_set(
		    why, -error, "interfaces: %s", strerrordesc_np(-error));
	if (v.index == 0)
		return fail_set(why, ENODEV,
		    "rdomain %u: there is no VRF with table %u", rdomain,
		    rdomain);
	*index = v.index;
	return 0;
}

static int
find_bridge(
    struct net *n, const char *name, struct rtnl_link *l, struct fail *why)
{
	int error = rtnl_find(&n->rtnl, name, l);

	if (error != 0)
		return fail_set(why, -error, "bridge %s: %s", name,
		    error == -ENODEV ? "no such interface"
				     : strerrordesc_np(-error));
	if (strcmp(l->kind, "bridge") != 0)
		return fail_set(why, EINVAL, "%s is not a bridge", name);
	return 0;
}

static int
make_bridge(struct net *n, const struct net_switch *s, struct fail *why)
{
	char alias[RTNL_ALIAS_MAX];
	struct rtnl_link l;
	struct rtnl_change c = {
		.group = s->group,
		.state = s->down ? RTNL_DOWN : RTNL_UP,
	};
	int error;

	snprintf(alias, sizeof(alias), NET_ALIAS "%s", s->name);
	error = rtnl_bridge(&n->rtnl, s->bridge);
	if (error == 0)
		c.alias = alias;
	else if (error != -EEXIST)
		return fail_set(why, -error, "bridge %s: cannot make it: %s",
		    s->bridge, strerrordesc_np(-error));
	if (find_bridge(n, s->bridge, &l, why) != 0)
		return -why->code;
	/* One of the administrator's is his to set up. */
	if (c.alias == NULL && strcmp(l.alias, alias) != 0)
		return 0;
	if (find_vrf(n, s->rdomain, &c.master, why) != 0)
		return -why->code;
	error = rtnl_change(&n->rtnl, l.index, &c);
	if (error != 0)
		return fail_set(why, -error, "bridge %s: cannot set it up: %s",
		    s->bridge, strerrordesc_np(-error));
	return 0;
}

void
net_begin(struct net *n, const struct nft_range *range)
{
	n->range = *range;
	n->nsw = 0;
}

int
net_switch(struct net *n, const struct net_switch *s, struct fail *why)
{
	struct net_switch *more;

	more = reallocarray(n->sw, n->nsw + 1, sizeof(*more));
	if (more == NULL)
		return fail_set(why, ENOMEM, "out of memory");
	n->sw = more;
	n->sw[n->nsw++] = *s;
	return s->create ? make_bridge(n, s, why) : 0;
}

/* ---- rules ---- */

static int
apply_rules(struct net *n, struct fail *why)
{
	struct nft_guest *g = calloc(n->ntaps + 1, sizeof(*g));
	size_t i, count = 0;
	int error;

	if (g == NULL)
		return fail_set(why, ENOMEM, "out of memory");
	for (i = 0; i < n->ntaps; i++) {
		const struct net_tap *t = &n->tap[i];

		if (!t->local)
			continue;
		memcpy(g[count].ifname, t->ifname, IFNAMSIZ);
		g[count].addr = t->addr.guest;
		g[count].inet6 = t->addr.inet6;
		memcpy(g[count].addr6, t->addr.guest6, 16);
		count++;
	}
	error = nft_apply(&n->nft, &n->range, g, count);
	free(g);
	if (error == -EPERM)
		return fail_set(
		    why, EPERM, "nftables: the table inet vmd is another's");
	if (error != 0)
		return fail_set(
		    why, -error, "nftables: %s", strerrordesc_np(-error));
	return 0;
}

static bool
any_local(const struct net *n)
{
	size_t i;

	for (i = 0; i < n->ntaps; i++)
		if (n->tap[i].local)
			return true;
	return false;
}

int
net_apply(struct net *n, struct fail *why)
{
	remove_stale(n);
	return any_local(n) ? apply_rules(n, why) : 0;
}

/* ---- taps ---- */

static int
keep_tap(struct net *n, const struct net_tap *t, struct fail *why)
{
	struct net_tap *more;

	more = reallocarray(n->tap, n->ntaps + 1, sizeof(*more));
	if (more == NULL)
		return fail_set(why, ENOMEM, "out of memory");
	n->tap = more;
	n->tap[n->ntaps++] = *t;
	if (!t->local || apply_rules(n, why) == 0)
		return 0;
	n->ntaps--;
	return -why->code;
}

static int
set_addresses(
    struct net *n, unsigned index, const struct net_tap *t, struct fail *why)
{
	uint32_t host = htonl(t->addr.host);
	int error;

	error = rtnl_address(&n->rtnl, index, AF_INET, &host, 31);
	if (error == 0 && t->addr.inet6)
		error =
		    rtnl_address(&n->rtnl, index, AF_INET6, t->addr.host6, 96);
	if (error != 0)
		return fail_set(why, -error, "%s: cannot set the address: %s",
		    t->ifname, strerrordesc_np(-error));
	return 0;
}

/* The tap is there: put it where it belongs. */
static int
set_up(struct net *n, const struct net_tap *t, uint32_t *mtu, struct fail *why)
{
	struct rtnl_change c = {
		.lladdr = t->lladdr,
		.alias = t->alias,
		.group = t->group,
	};
	const struct rtnl_change state = {
		.state = t->down ? RTNL_DOWN : RTNL_UP,
	};
	struct rtnl_link l, bridge;
	int error;

	if ((error = rtnl_find(&n->rtnl, t->ifname, &l)) != 0)
		goto failed;
	*mtu = l.mtu;
	if (t->bridge[0] != '\0') {
		if (find_bridge(n, t->bridge, &bridge, why) != 0)
			return -why->code;
		c.master = bridge.index;
		c.mtu = *mtu = bridge.mtu;
	} else if (find_vrf(n, t->rdomain, &c.master, why) != 0)
		return -why->code;
	/* A host without IPv6 has nothing to switch off. */
	(void)rtnl_autoconf(&n->rtnl, l.index, t->local && t->addr.inet6);
	if ((error = rtnl_change(&n->rtnl, l.index, &c)) != 0)
		goto failed;
	if ((error = rtnl_change(&n->rtnl, l.index, &state)) != 0)
		goto failed;
	return t->local ? set_addresses(n, l.index, t, why) : 0;
failed:
	return fail_set(why, -error, "%s: cannot set it up: %s", t->ifname,
	    strerrordesc_np(-error));
}

int
net_tap(struct net *n, const struct net_tap *conf, const int *fd, unsigned nfds,
    struct net_result *out, struct fail *why)
{
	struct net_tap t = *conf;
	struct rtnl_link l;
	int error;

	t.existed =
	    t.ifname[0] != '\0' && rtnl_find(&n->rtnl, t.ifname, &l) == 0;
	error = nettap_create(fd, nfds, t.ifname, &out->queues);
	if (error == 0)
		error = nettap_offload(fd[0], &out->offload);
	if (error != 0)
		return fail_set(why, -error, "%s: %s",
		    t.ifname[0] != '\0' ? t.ifname : "tap",
		    error == -EBUSY	   ? "in use by another"
			: error == -EINVAL ? "exists and is not a tap"
					   : strerrordesc_np(-error));
	if (set_up(n, &t, &out->mtu, why) != 0 || keep_tap(n, &t, why) != 0)
		return -why->code;
	memcpy(out->ifname, t.ifname, IFNAMSIZ);
	return 0;
}

int
net_adopt(struct net *n, const struct net_tap *t, struct fail *why)
{
	struct rtnl_link l;

	if (rtnl_find(&n->rtnl, t->ifname, &l) != 0)
		return fail_set(why, ENODEV, "%s: is gone", t->ifname);
	return keep_tap(n, t, why);
}

/* One of somebody else: as it was, as far as that can be known. */
static void
let_go(struct net *n, const struct net_tap *t)
{
	const struct rtnl_change c = {
		.alias = "",
		.no_master = t->bridge[0] != '\0' || t->rdomain != 0,
	};
	struct rtnl_link l;

	if (rtnl_find(&n->rtnl, t->ifname, &l) == 0 &&
	    strcmp(l.alias, t->alias) == 0)
		(void)rtnl_change(&n->rtnl, l.index, &c);
}

void
net_forget(struct net *n, uint32_t key)
{
	struct fail why;
	size_t i;

	for (i = 0; i < n->ntaps; i++) {
		struct net_tap t = n->tap[i];

		if (t.key != key)
			continue;
		n->tap[i] = n->tap[--n->ntaps];
		if (t.existed)
			let_go(n, &t);
		if (t.local && apply_rules(n, &why) != 0)
			log_warnx("%s", why.text);
		return;
	}
}
