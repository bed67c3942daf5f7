/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOCAL_IMPL_H
#define VMD_LOCAL_IMPL_H

/* Between local.c (IPv4, and which is which) and local6.c. */
#include "local.h"

#define LOCAL_ETH 14

/* A frame being built: bytes are appended while there is room. */
struct local_out {
	uint8_t *p;
	size_t len, room;
	bool full;
};

void local_add(struct local_out *, const void *, size_t);
void local_add8(struct local_out *, unsigned);
void local_add16(struct local_out *, unsigned);
void local_add32(struct local_out *, uint32_t);

static inline unsigned
local_get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static inline uint32_t
local_get32(const uint8_t *p)
{
	return (uint32_t)local_get16(p) << 16 | local_get16(p + 2);
}

/* The Internet checksum (RFC 1071), of data after sum. */
uint16_t local_checksum(uint32_t sum, const uint8_t *, size_t);

/* local6.c; frame: of Ethernet type IPv6. */
bool local6_wants(const uint8_t *head, size_t len);
size_t local6_answer(const struct local_conf *, const uint8_t *frame,
    size_t len, struct local_out *);

#endif
