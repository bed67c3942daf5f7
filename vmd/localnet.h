/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOCALNET_H
#define VMD_LOCALNET_H

/* The addresses of local interfaces. */
#include "conf.h"
#include "local.h"

/*
 * Interface nic of VM id: the host has A.B.N.(2 + 2 nic) of the range and the
 * guest the address after it, where N is the VM's id; in IPv6 prefix, IPv4
 * address of the host, ::1 and ::2.  0, or -ERANGE when the range has no room
 * for the id.
 */
int localnet_addresses(
    const struct conf_local *, uint32_t id, unsigned nic, struct local_conf *);
/* The MAC of the host's end of a tap, from the guest's: another one, that no
 * bridge likes better than that of its uplink. */
void localnet_host_lladdr(const uint8_t guest[6], uint8_t host[6]);

#endif
