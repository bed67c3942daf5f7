/* SPDX-License-Identifier: ISC */
/*
 * Which frames the guest gets: "Packet Receive Filtering", "Setting MAC
 * Address Filtering", "VLAN Filtering" of virtio 1.2, "Network Device".
 *
 * This spares the guest what it did not ask for; what it must not see never
 * comes this far (vionet_tap.c, lladdr locked).
 */
#include <string.h>

#include "vionet_impl.h"

#define VLAN_TYPE 0x8100

void
vionet_filter_reset(struct vionet_filter *f, const uint8_t *mac, bool vlans)
{
	pthread_mutex_lock(&f->lock);
	/* Until the driver says something else, everything is delivered. */
	f->promisc = true;
	f->allmulti = f->alluni = f->nomulti = f->nouni = f->nobcast = false;
	memcpy(f->mac, mac, ETH_ALEN);
	f->nuni = f->nmulti = 0;
	f->vlans = vlans;
	memset(f->vlan, 0, sizeof(f->vlan));
	__atomic_store_n(&f->active, false, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&f->lock);
}

static bool
listed(const uint8_t (*table)[ETH_ALEN], unsigned n, const uint8_t *mac)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (memcmp(table[i], mac, ETH_ALEN) == 0)
			return true;
	return false;
}

static bool
address_ok(const struct vionet_filter *f, const uint8_t *dst)
{
	static const uint8_t all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff };

	if (memcmp(dst, all, ETH_ALEN) == 0)
		return !f->nobcast;
	if ((dst[0] & 1) != 0)
		return !f->nomulti &&
		    (f->allmulti || listed(f->multi, f->nmulti, dst));
	if (f->nouni)
		return false;
	return f->alluni || memcmp(dst, f->mac, ETH_ALEN) == 0 ||
	    listed(f->uni, f->nuni, dst);
}

static bool
vlan_ok(const struct vionet_filter *f, const uint8_t *head, size_t len)
{
	unsigned id;

	if (!f->vlans || len < 16 || (head[12] << 8 | head[13]) != VLAN_TYPE)
		return true;
	id = (head[14] << 8 | head[15]) & 0xfff;
	return (f->vlan[id / 8] & 1 << id % 8) != 0;
}

bool
vionet_filter_wants(struct vionet_filter *f, const uint8_t *head, size_t len)
{
	bool ok;

	if (len < ETH_HLEN)
		return false;
	pthread_mutex_lock(&f->lock);
	/* Whoever wants everything wants all VLANs as well. */
	ok = f->promisc || (address_ok(f, head) && vlan_ok(f, head, len));
	pthread_mutex_unlock(&f->lock);
	return ok;
}
