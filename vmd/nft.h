/* SPDX-License-Identifier: ISC */
#ifndef VMD_NFT_H
#define VMD_NFT_H

/*
 * vmd's own table of nftables, "inet vmd": address translation for what
 * leaves the range of local addresses, and a check that guests on local
 * interfaces use no address but theirs.
 *
 * The table belongs to the socket that made it (NFT_TABLE_F_OWNER): nobody
 * else can change it, and the kernel removes it when the socket is closed,
 * whatever happened to its process.
 */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

struct nft {
	struct mnl_socket *nl; /* NULL: not open */
	uint32_t seq;
};

/* A guest on a local interface. */
struct nft_guest {
	char ifname[IFNAMSIZ];
	uint32_t addr; /* IPv4, host byte order */
	bool inet6;
	uint8_t addr6[16];
};

/* The range of local addresses, and who answers what guests ask their host's
 * DNS port. */
struct nft_range {
	uint32_t prefix; /* host byte order */
	unsigned len;
	bool inet6;
	uint8_t prefix6[16];
	unsigned len6;
	uint32_t dns; /* IPv4, host byte order; 0: the host itself */
};

/* Each 0 or -errno. */
int nft_open(struct nft *);
void nft_close(struct nft *);
/* Replace the whole table at once; without guests there is none. */
int nft_apply(
    struct nft *, const struct nft_range *, const struct nft_guest *, size_t n);

#endif
