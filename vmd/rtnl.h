/* SPDX-License-Identifier: ISC */
#ifndef VMD_RTNL_H
#define VMD_RTNL_H

/*
 * Interfaces of the host by rtnetlink(7): what netcfg asks for, nothing else.
 * Every function waits for the kernel's answer, which is immediate: 0 or
 * -errno.
 */
#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define RTNL_ALIAS_MAX 128

struct mnl_socket;

struct rtnl {
	struct mnl_socket *nl; /* NULL: not open */
	uint32_t seq;
};

struct rtnl_link {
	unsigned index;
	unsigned master; /* 0: none */
	char name[IFNAMSIZ];
	char kind[16]; /* "bridge", "vrf", "tun", "" */
	char alias[RTNL_ALIAS_MAX];
	uint32_t mtu;
	uint32_t vrf_table; /* of a vrf */
};

/* What to change; fields that are "as it is" stay. */
struct rtnl_change {
	unsigned master; /* 0: as it is */
	bool no_master; /* leave the one that it has */
	const uint8_t *lladdr; /* NULL: as it is */
	const char *alias; /* NULL: as it is */
	uint32_t group; /* 0: as it is */
	uint32_t mtu; /* 0: as it is */
	enum { RTNL_AS_IS, RTNL_UP, RTNL_DOWN } state;
};

int rtnl_open(struct rtnl *);
void rtnl_close(struct rtnl *);
int rtnl_find(struct rtnl *, const char *name, struct rtnl_link *);
/* All of them, one by one; each stops when it returns false. */
int rtnl_each(struct rtnl *, bool (*each)(void *arg, const struct rtnl_link *),
    void *arg);
int rtnl_change(struct rtnl *, unsigned index, const struct rtnl_change *);
/* IPv6 addresses that the kernel makes: from the MAC, or none at all. */
int rtnl_autoconf(struct rtnl *, unsigned index, bool on);
int rtnl_bridge(struct rtnl *, const char *name);
int rtnl_delete(struct rtnl *, unsigned index);
/* family AF_INET or AF_INET6; addr in network order. */
int rtnl_address(struct rtnl *, unsigned index, int family, const void *addr,
    unsigned prefix);

#endif
