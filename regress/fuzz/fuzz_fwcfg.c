/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: fw_cfg by its ports.  The input is a row of accesses, each of an
 * operation, a port and four bytes; writes to guest memory make descriptors.
 * Nothing is written outside of guest memory, and what is read of an item is
 * the item's (the sanitizers see that).
 */
#include <stdlib.h>
#include <string.h>
#include "fwcfg.h"

#define MEM (1ULL << 20)

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
step(struct bus *pio, uint8_t *mem, const uint8_t *p)
{
	uint32_t val = (uint32_t)p[2] << 24 | (uint32_t)p[3] << 16 |
	    (uint32_t)p[4] << 8 | p[5];
	uint16_t port = (uint16_t)(0x50e + p[1] % 16);
	unsigned size = 1U << (p[0] >> 2 & 3);

	switch (p[0] & 3) {
	case 0:
		bus_write(pio, port, size, val);
		break;
	case 1:
		bus_read(pio, port, size);
		break;
	case 2: /* into memory, at one of 256 places */
		memcpy(mem + 4U * p[1], p + 2, 4);
		break;
	case 3: /* a transfer that is likely to begin */
		bus_write(pio, 0x514, 4, 0);
		bus_write(pio, 0x518, 4, (uint32_t)(p[1] * 4U) << 16);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct gmem mem;
	struct fwcfg f;
	struct bus pio;
	uint8_t *m;

	if (mem.nregions == 0)
		check(gmem_create(&mem, MEM) == 0);
	m = gmem_range(&mem, (struct gpa){ 0 }, MEM);
	memset(m, 0, 4096);
	bus_init(&pio, 0x10000);
	check(fwcfg_init(&f, &mem) == 0);
	check(fwcfg_add_file(&f, "a", "0123456", 7) == 0);
	check(fwcfg_attach(&f, &pio) == 0);
	for (; len >= 6; data += 6, len -= 6)
		step(&pio, m, data);
	fwcfg_free(&f);
	return 0;
}
