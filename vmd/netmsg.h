/* SPDX-License-Identifier: ISC */
#ifndef VMD_NETMSG_H
#define VMD_NETMSG_H

/*
 * What parent and netcfg say to each other (msg.h), field by field: both
 * sides of the same message next to each other.  0 or -EBADMSG / -errno.
 */
#include "net.h"

struct ibuf;

int netmsg_put_range(struct ibuf *, const struct nft_range *);
int netmsg_get_range(struct ibuf *, struct nft_range *);
int netmsg_put_switch(struct ibuf *, const struct net_switch *);
int netmsg_get_switch(struct ibuf *, struct net_switch *);
/* The key is the message's id. */
int netmsg_put_tap(struct ibuf *, const struct net_tap *);
int netmsg_get_tap(struct ibuf *, struct net_tap *);
int netmsg_put_result(struct ibuf *, const struct net_result *);
int netmsg_get_result(struct ibuf *, struct net_result *);

#endif
