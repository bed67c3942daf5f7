/* SPDX-License-Identifier: ISC */
/*
 * What a network device has been told by its control queue, for a start that
 * goes on where another device stopped.  The bytes went through the vm process,
 * so they are judged like commands of a guest.
 */
#include <event2/event.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vionet_impl.h"

struct kept {
	uint32_t pairs, modes; /* modes: a bit for each bool below */
	uint64_t offload;
	uint32_t nuni, nmulti;
	uint8_t mac[ETH_ALEN], vlan[4096 / 8];
	uint8_t uni[VIONET_MACS][ETH_ALEN], multi[VIONET_MACS][ETH_ALEN];
};

#define MODES	  8
#define RARP_LEN  60 /* with padding */
#define SOON_USEC 50000

static void
modes(struct vionet_filter *f, bool *mode[MODES])
{
	mode[0] = &f->promisc;
	mode[1] = &f->allmulti;
	mode[2] = &f->alluni;
	mode[3] = &f->nomulti;
	mode[4] = &f->nouni;
	mode[5] = &f->nobcast;
	mode[6] = &f->vlans;
	mode[7] = &f->active;
}

size_t
vionet_keep(struct vionet *v, void *bytes, size_t max)
{
	struct vionet_filter *f = &v->filter;
	bool *mode[MODES];
	struct kept k;
	unsigned i;

	if (max < sizeof(k))
		return 0;
	memset(&k, 0, sizeof(k));
	k.pairs = v->active;
	k.offload = v->guest_offload;
	modes(f, mode);
	for (i = 0; i < MODES; i++)
		k.modes |= (uint32_t)*mode[i] << i;
	k.nuni = f->nuni;
	k.nmulti = f->nmulti;
	memcpy(k.mac, f->mac, sizeof(k.mac));
	memcpy(k.vlan, f->vlan, sizeof(k.vlan));
	memcpy(k.uni, f->uni, sizeof(k.uni));
	memcpy(k.multi, f->multi, sizeof(k.multi));
	memcpy(bytes, &k, sizeof(k));
	return sizeof(k);
}

/*
 * The guest is here now: bridges learn its address from a frame that asks
 * nobody for anything ("A Reverse Address Resolution Protocol", RFC 903), and
 * the guest tells its peers itself, if its driver can.
 */
static void
arrived(struct vionet *v)
{
	static const struct timeval soon = { .tv_usec = SOON_USEC };
	uint8_t b[VIONET_HDR + RARP_LEN] = { 0 }, *p = b + v->hdr;

	if (v->unplugged || v->hdr > VIONET_HDR)
		return;
	if (v->announce != NULL && event_add(v->announce, &soon) == -1)
		log_warnx("no timer to announce the guest");
	if (v->conf.stream || v->conf.serve)
		return;
	memset(p, 0xff, ETH_ALEN);
	memcpy(p + 6, v->conf.mac, ETH_ALEN);
	memcpy(p + 12, "\x80\x35\0\1\x08\0\6\4\0\3", 10);
	memcpy(p + 22, v->conf.mac, ETH_ALEN);
	memcpy(p + 32, v->conf.mac, ETH_ALEN);
	/* Advice only. */
	(void)!write(v->conf.fd[0], b, v->hdr + RARP_LEN);
}

int
vionet_kept(struct vionet *v, const void *bytes, size_t len)
{
	struct vionet_filter *f = &v->filter;
	bool *mode[MODES];
	struct kept k;
	unsigned i;
	int error;

	if (len != sizeof(k))
		return -EBADMSG;
	memcpy(&k, bytes, sizeof(k));
	if (k.nuni > VIONET_MACS || k.nmulti > VIONET_MACS ||
	    k.pairs > v->conf.npairs || k.modes >> MODES != 0)
		return -EBADMSG;
	if (!vdev_ok(&v->vdev))
		return 0;
	modes(f, mode);
	pthread_mutex_lock(&f->lock);
	for (i = 0; i < MODES - 1; i++)
		*mode[i] = (k.modes >> i & 1) != 0;
	f->nuni = k.nuni;
	f->nmulti = k.nmulti;
	memcpy(f->mac, k.mac, sizeof(k.mac));
	memcpy(f->vlan, k.vlan, sizeof(k.vlan));
	memcpy(f->uni, k.uni, sizeof(k.uni));
	memcpy(f->multi, k.multi, sizeof(k.multi));
	pthread_mutex_unlock(&f->lock);
	__atomic_store_n(
	    &f->active, (k.modes >> (MODES - 1) & 1) != 0, __ATOMIC_RELEASE);
	error = vionet_set_offload(v, k.offload & v->vdev.features);
	if (error == 0 && k.pairs > 1)
		error = vionet_set_pairs(v, k.pairs);
	if (error == 0)
		arrived(v);
	return error;
}
