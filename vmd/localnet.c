/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "localnet.h"

int
localnet_addresses(const struct conf_local *c, uint32_t id, unsigned nic,
    struct local_conf *out)
{
	uint32_t room = UINT32_MAX >> c->len; /* last address of the range */
	uint32_t host;

	if (id > room >> 8 || nic > VM_NICS_MAX)
		return -ERANGE;
	host = c->prefix | id << 8 | (2 + 2 * nic);
	memset(out, 0, sizeof(*out));
	out->host = host;
	out->guest = host + 1;
	out->inet6 = c->inet6;
	if (!c->inet6)
		return 0;
	memcpy(out->host6, c->prefix6, 8);
	out->host6[8] = (uint8_t)(host >> 24);
	out->host6[9] = (uint8_t)(host >> 16);
	out->host6[10] = (uint8_t)(host >> 8);
	out->host6[11] = (uint8_t)host;
	memcpy(out->guest6, out->host6, 16);
	out->host6[15] = 1;
	out->guest6[15] = 2;
	return 0;
}

void
localnet_host_lladdr(const uint8_t guest[6], uint8_t host[6])
{
	memcpy(host, guest, 6);
	/* A bridge without an address of its own takes its ports' lowest. */
	host[0] = 0xfe;
	if (guest[0] == 0xfe)
		host[2] ^= 1;
}
