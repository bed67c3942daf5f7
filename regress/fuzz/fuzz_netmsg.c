/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: messages between parent and netcfg.  What was accepted once is the
 * same after another round.
 */
#include <stdlib.h>
#include <string.h>

#include "imsg.h"
#include "netmsg.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
round_trip(const struct net_tap *t)
{
	struct ibuf *b = ibuf_dynamic(0, 65536);
	struct net_tap again = { .key = t->key };

	if (netmsg_put_tap(b, t) != 0 || netmsg_get_tap(b, &again) != 0 ||
	    ibuf_size(b) != 0 || strcmp(again.ifname, t->ifname) != 0 ||
	    strcmp(again.alias, t->alias) != 0 ||
	    strcmp(again.bridge, t->bridge) != 0)
		abort();
	ibuf_free(b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len != 0 ? len : 1);
	struct net_tap t = { .key = 1 };
	struct net_switch s = { .create = false };
	struct net_result res = { .queues = 0 };
	struct nft_range r;
	struct ibuf b;

	if (p == NULL)
		abort();
	memcpy(p, data, len);
	ibuf_from_buffer(&b, p, len);
	if (netmsg_get_tap(&b, &t) == 0)
		round_trip(&t);
	ibuf_from_buffer(&b, p, len);
	(void)netmsg_get_switch(&b, &s);
	ibuf_from_buffer(&b, p, len);
	(void)netmsg_get_result(&b, &res);
	ibuf_from_buffer(&b, p, len);
	(void)netmsg_get_range(&b, &r);
	free(p);
	return 0;
}
