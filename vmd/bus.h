/* SPDX-License-Identifier: ISC */
#ifndef VMD_BUS_H
#define VMD_BUS_H

/*
 * Port and MMIO dispatch.  Two instances per machine.  The bus clamps: a
 * device sees offsets inside its window only, and sizes 1, 2, 4 or 8; an
 * access that spans the end of a window is cut up at the end.  Absent addresses
 * read as all ones and swallow writes.  Caller holds the machine lock (m).
 *
 * An exact window takes accesses of one size at one address and wins over the
 * windows beneath it: 0xcf8 is PCI's for dwords only, the byte port 0xcf9 in
 * the middle of it is the reset control's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus_ops {
	/* Access sizes the device takes whole, a mask of 1|2|4|8; others are
	 * cut into the largest ones that it takes, and what is smaller than
	 * all of them is absent. */
	unsigned sizes;
	uint64_t (*read)(void *arg, uint64_t off, unsigned size);
	void (*write)(void *arg, uint64_t off, unsigned size, uint64_t val);
};

#define BUS_WINDOWS 64
#define BUS_EXACT   4

struct bus_window {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *arg;
	const char *name;
};

struct bus {
	uint64_t limit; /* first address that does not exist */
	unsigned n;
	struct bus_window win[BUS_WINDOWS]; /* ascending, disjoint */
	unsigned nexact;
	struct bus_window exact[BUS_EXACT]; /* len is the access size */
};

void bus_init(struct bus *, uint64_t limit);
/* 0, -EBUSY (overlap), -ENOSPC, -EINVAL.  name is not copied. */
int bus_add(struct bus *, uint64_t base, uint64_t len, const struct bus_ops *,
    void *arg, const char *name);
int bus_add_exact(struct bus *, uint64_t addr, unsigned size,
    const struct bus_ops *, void *arg, const char *name);
void bus_remove(struct bus *, uint64_t base);
uint64_t bus_read(struct bus *, uint64_t addr, unsigned size);
void bus_write(struct bus *, uint64_t addr, unsigned size, uint64_t val);

#endif
