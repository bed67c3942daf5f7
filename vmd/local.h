/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOCAL_H
#define VMD_LOCAL_H

/*
 * What a local interface answers itself: DHCP (RFC 2131) and BOOTP (RFC 951)
 * with the one address that there is, and with IPv6 router solicitations (RFC
 * 4861) and DHCPv6 (RFC 8415) likewise.  Pure: a frame in, a frame out, no
 * state and no clock.
 *
 * Invariants
 *  1. Every length in a frame is checked against what is left of it.
 *  2. An answer never exceeds LOCAL_FRAME_MAX, nor the room given.
 */
#include <net/ethernet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOCAL_FRAME_MAX 1514
/* Bytes of a frame that decide whether it is for us: headers of Ethernet,
 * IPv4 with all its options or IPv6, UDP. */
#define LOCAL_HEAD (14 + 60 + 8)

#define LOCAL_BOOT_FILE "auto_install"

struct local_conf {
	uint8_t host_mac[ETH_ALEN];
	uint32_t host, guest; /* IPv4, host byte order; a /31 */
	uint16_t mtu; /* 0: not told */
	bool inet6;
	uint8_t host6[16], guest6[16]; /* a /96 */
	/* The name of a guest that is to think that it was booted from the
	 * network, with the file LOCAL_BOOT_FILE; "": it was not. */
	char netboot[64];
};

/* Is it a frame that local_answer() has to see?  head: its first bytes, at
 * most LOCAL_HEAD of them. */
bool local_wants(const struct local_conf *, const uint8_t *head, size_t len);
/* The length of the answer, or 0 when there is none. */
size_t local_answer(const struct local_conf *, const uint8_t *frame, size_t len,
    uint8_t *out, size_t room);
/* An unsolicited router advertisement, to all nodes. */
size_t local_advertise(const struct local_conf *, uint8_t *out, size_t room);

#endif
