/* SPDX-License-Identifier: ISC */
/*
 * Taps: see nettap.h.
 */
#include <sys/ioctl.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nettap.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20 /* linux/if_tun.h since Linux 6.2 */
#define TUN_F_USO6 0x40
#endif

#define HDR 12 /* struct virtio_net_hdr_v1 */

static int
attach_first(int fd, char name[IFNAMSIZ], short flags)
{
	struct ifreq ifr = { .ifr_flags = flags };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s",
	    name[0] != '\0' ? name : "tap%d");
	if (ioctl(fd, TUNSETIFF, &ifr) == -1)
		return -errno;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	name[IFNAMSIZ - 1] = '\0';
	return 0;
}

static int
header(int fd, size_t len)
{
	int n = (int)len;

	return ioctl(fd, TUNSETVNETHDRSZ, &n) == -1 ? -errno : 0;
}

int
nettap_create(const int *fd, unsigned n, char name[IFNAMSIZ], unsigned *queues)
{
	const short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	short multi = n > 1 ? IFF_MULTI_QUEUE : 0;
	unsigned i;
	int error;

	error = attach_first(fd[0], name, (short)(flags | multi));
	/* One that exists has to be taken as it is. */
	if (error == -EINVAL && name[0] != '\0') {
		multi = multi != 0 ? 0 : IFF_MULTI_QUEUE;
		error = attach_first(fd[0], name, (short)(flags | multi));
		n = 1;
	}
	for (i = 1; i < n && error == 0; i++)
		error = attach_first(fd[i], name, (short)(flags | multi));
	for (i = 0; i < n && error == 0; i++)
		error = header(fd[i], HDR);
	if (error == 0)
		*queues = n;
	return error;
}

int
nettap_offload(int fd, unsigned *flags)
{
	static const unsigned more[] = { TUN_F_TSO4, TUN_F_TSO6,
		TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN, TUN_F_UFO,
		TUN_F_USO4 | TUN_F_USO6 };
	unsigned can = 0, i;

	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) == 0)
		can = TUN_F_CSUM;
	for (i = 0; can != 0 && i < sizeof(more) / sizeof(more[0]); i++)
		if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)(can | more[i])) ==
		    0)
			can |= more[i];
	if (ioctl(fd, TUNSETOFFLOAD, 0UL) == -1)
		return -errno;
	*flags = can;
	return 0;
}

const struct sandbox_ioctl nettap_config_ioctls[NETTAP_CONFIG_IOCTLS] = {
	{ TUNSETIFF, 0, 64 },
	{ TUNSETVNETHDRSZ, 0, 64 },
	{ TUNSETOFFLOAD, 0, 64 },
};

int
nettap_only(int fd, const uint8_t lladdr[ETH_ALEN])
{
	struct tun_filter *f = calloc(1, sizeof(*f) + ETH_ALEN);
	int error = 0;

	if (f == NULL)
		return -ENOMEM;
	f->flags = TUN_FLT_ALLMULTI; /* broadcast is one of them */
	f->count = 1;
	memcpy(f->addr[0], lladdr, ETH_ALEN);
	/* The number of exact addresses is the answer. */
	switch (ioctl(fd, TUNSETTXFILTER, f)) {
	case -1:
		error = -errno;
		break;
	case 1:
		break;
	default:
		error = -EOPNOTSUPP;
	}
	free(f);
	return error;
}

static int
offload(int fd, unsigned flags)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) == -1 ? -errno
								    : 0;
}

static int
attach(int fd, bool on)
{
	struct ifreq ifr = { .ifr_flags =
				 on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) == -1 ? -errno : 0;
}

const struct vionet_link_ops nettap_link_ops = {
	.offload = offload, .header = header, .attach = attach
};

void
nettap_link_ioctls(int fd, struct sandbox_ioctl to[NETTAP_LINK_IOCTLS])
{
	to[0] = (struct sandbox_ioctl){ TUNSETOFFLOAD, fd, 1 };
	to[1] = (struct sandbox_ioctl){ TUNSETQUEUE, fd, 1 };
	to[2] = (struct sandbox_ioctl){ TUNSETVNETHDRSZ, fd, 1 };
}
