/* SPDX-License-Identifier: ISC */
#ifndef VMD_NETTAP_H
#define VMD_NETTAP_H

/*
 * Taps: tun(4)'s ioctls, by the two processes that use them.  0 or -errno.
 */
#include <net/ethernet.h>
#include <net/if.h>
#include "sandbox.h"
#include "vionet.h"

/*
 * netcfg: n descriptors of /dev/net/tun become the queues of one tap with
 * virtio-net headers.  name "": the kernel chooses one.  A tap that exists
 * with a single queue gets the first descriptor only; *queues says so.
 */
int
nettap_create(const int *fd, unsigned n, char name[IFNAMSIZ], unsigned *queues);
/* What the tap can do of TUN_F_*; it is left with nothing of that on. */
int nettap_offload(int fd, unsigned *flags);
/* The ioctls of both, on any of the first 64 descriptors. */
#define NETTAP_CONFIG_IOCTLS 3
extern const struct sandbox_ioctl nettap_config_ioctls[NETTAP_CONFIG_IOCTLS];

/* vionet: frames for other addresses than this one, multicast excepted, are
 * not even queued. */
int nettap_only(int fd, const uint8_t lladdr[ETH_ALEN]);
extern const struct vionet_link_ops nettap_link_ops;
/* The ioctls of nettap_link_ops on this descriptor. */
#define NETTAP_LINK_IOCTLS 3
void nettap_link_ioctls(int fd, struct sandbox_ioctl[NETTAP_LINK_IOCTLS]);

#endif
