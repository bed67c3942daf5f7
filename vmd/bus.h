/* SPDX-License-Identifier: ISC */
#ifndef VMD_BUS_H
#define VMD_BUS_H

/*
 * Port and MMIO dispatch.  Two instances per machine.  The bus clamps: a
 * device sees offsets inside its window only, and sizes 1, 2, 4 or 8; an
 * access that spans the end of a window is cut into bytes.  Absent addresses
 * read as all ones and swallow writes.  Caller holds the machine lock (m).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus_ops {
	/* Access sizes the device takes whole, a mask of 1|2|4|8; others are
	 * cut into the largest ones that it takes. */
	unsigned sizes;
	uint64_t (*read)(void *arg, uint64_t off, unsigned size);
	void (*write)(void *arg, uint64_t off, unsigned size, uint64_t val);
};

#define BUS_WINDOWS 64

struct bus_window {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *arg;
	const char *name;
};

struct bus {
	uint64_t limit; /* first address that does not exist: 0x10000 for ports */
	unsigned n;
	struct bus_window win[BUS_WINDOWS]; /* ascending, disjoint */
};

void bus_init(struct bus *, uint64_t limit);
/* 0, -EBUSY (overlap), -ENOSPC, -EINVAL.  name is not copied. */
int bus_add(struct bus *, uint64_t base, uint64_t len, const struct bus_ops *,
    void *arg, const char *name);
void bus_remove(struct bus *, uint64_t base);
uint64_t bus_read(struct bus *, uint64_t addr, unsigned size);
void bus_write(struct bus *, uint64_t addr, unsigned size, uint64_t val);

#endif
