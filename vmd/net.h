/* SPDX-License-Identifier: ISC */
#ifndef VMD_NET_H
#define VMD_NET_H

/*
 * The host's side of guests' networks, as the netcfg process keeps it: taps,
 * bridges, addresses, rules.
 *
 * Invariants
 *  1. A tap that was made here vanishes with its queues' descriptors: nothing
 *     is left of it, whoever dies.  The same goes for the rules (nft.h).
 *  2. A bridge that was made here carries NET_ALIAS and the switch's name as
 *     its alias; one that has no such alias is never removed.
 */
#include <stddef.h>
#include "fail.h"
#include "local.h"
#include "nft.h"
#include "rtnl.h"

#define NET_ALIAS      "vmd switch "
#define NET_QUEUES_MAX 8

struct net_switch {
	char name[64];
	char bridge[IFNAMSIZ];
	bool create, down;
	uint32_t group, rdomain;
};

struct net_tap {
	uint32_t key;
	char ifname[IFNAMSIZ]; /* "" before it has one */
	char alias[RTNL_ALIAS_MAX];
	char bridge[IFNAMSIZ];
	bool down;
	bool existed; /* somebody else's */
	uint32_t group, rdomain;
	uint8_t lladdr[ETH_ALEN];
	bool local;
	struct local_conf addr; /* of a local one */
};

/* What came out of a tap. */
struct net_result {
	char ifname[IFNAMSIZ];
	unsigned queues, offload;
	uint32_t mtu;
};

struct net {
	struct rtnl rtnl;
	struct nft nft;
	struct nft_range range;
	struct net_switch *sw;
	size_t nsw;
	struct net_tap *tap;
	size_t ntaps;
};

int net_open(struct net *);
/* Bridges that were made here go. */
void net_close(struct net *);

/* A configuration: range, switches, then net_apply().  0, or negative with
 * why filled; what can be done is done all the same. */
void net_begin(struct net *, const struct nft_range *);
int net_switch(struct net *, const struct net_switch *, struct fail *why);
int net_apply(struct net *, struct fail *why);

/* Make a tap of the descriptors, which stay the caller's. */
int net_tap(struct net *, const struct net_tap *, const int *fd, unsigned nfds,
    struct net_result *, struct fail *why);
/* One that is there, of an earlier life of this process. */
int net_adopt(struct net *, const struct net_tap *, struct fail *why);
void net_forget(struct net *, uint32_t key);

#endif
