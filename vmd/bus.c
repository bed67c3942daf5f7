/* SPDX-License-Identifier: ISC */

/*
 * Port and MMIO dispatch; see bus.h for the contract.
 *
 * Invariants
 *  1. win[0 .. n) is ascending and disjoint, and each window lies below limit.
 *  2. A device's read or write sees off + size <= len and a size out of
 *     ops->sizes.
 */
#include <errno.h>
#include <string.h>
#include "bus.h"

#define BUS_ACCESS_MAX 8 /* bytes of the widest access */

static uint64_t
ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (UINT64_C(1) << (size * 8)) - 1;
}

/* Index of the first window whose end is above addr; n when there is none. */
static unsigned
first_above(const struct bus *b, uint64_t addr)
{
	unsigned lo = 0, hi = b->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		const struct bus_window *w = &b->win[mid];

		if (addr >= w->base && addr - w->base >= w->len)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static const struct bus_window *
find(const struct bus *b, uint64_t addr)
{
	unsigned i = first_above(b, addr);

	if (i == b->n || b->win[i].base > addr)
		return NULL;
	return &b->win[i];
}

static const struct bus_window *
find_exact(const struct bus *b, uint64_t addr, unsigned size)
{
	for (unsigned i = 0; i < b->nexact; i++)
		if (b->exact[i].base == addr && b->exact[i].len == size)
			return &b->exact[i];
	return NULL;
}

/*
 * The largest piece of an access of size bytes at off that the window takes
 * whole; 0 when it takes none.
 */
static unsigned
piece(const struct bus_window *w, uint64_t off, unsigned size)
{
	for (unsigned s = BUS_ACCESS_MAX; s > 0; s /= 2)
		if ((w->ops->sizes & s) != 0 && s <= size && s <= w->len - off)
			return s;
	return 0;
}

static bool
ops_ok(const struct bus_ops *ops)
{
	return ops != NULL && ops->read != NULL && ops->write != NULL &&
	    (ops->sizes & 15) != 0 && (ops->sizes & ~15U) == 0;
}

static bool
range_ok(const struct bus *b, uint64_t base, uint64_t len)
{
	return len != 0 && base < b->limit && len <= b->limit - base;
}

void
bus_init(struct bus *b, uint64_t limit)
{
	memset(b, 0, sizeof(*b));
	b->limit = limit;
}

int
bus_add(struct bus *b, uint64_t base, uint64_t len, const struct bus_ops *ops,
    void *arg, const char *name)
{
	unsigned i;

	if (!ops_ok(ops) || !range_ok(b, base, len))
		return -EINVAL;
	i = first_above(b, base);
	if (i < b->n && (b->win[i].base < base || b->win[i].base - base < len))
		return -EBUSY; /* we begin inside of it, or it inside of us */
	if (b->n == BUS_WINDOWS)
		return -ENOSPC;
	memmove(&b->win[i + 1], &b->win[i], (b->n - i) * sizeof(b->win[0]));
	b->win[i] = (struct bus_window){
		.base = base, .len = len, .ops = ops, .arg = arg, .name = name
	};
	b->n++;
	return 0;
}

int
bus_add_exact(struct bus *b, uint64_t addr, unsigned size,
    const struct bus_ops *ops, void *arg, const char *name)
{
	if (!ops_ok(ops) || size > BUS_ACCESS_MAX ||
	    (ops->sizes & size) != size || (size & (size - 1)) != 0 ||
	    !range_ok(b, addr, size))
		return -EINVAL;
	if (find_exact(b, addr, size) != NULL)
		return -EBUSY;
	if (b->nexact == BUS_EXACT)
		return -ENOSPC;
	b->exact[b->nexact++] = (struct bus_window){
		.base = addr, .len = size, .ops = ops, .arg = arg, .name = name
	};
	return 0;
}

void
bus_remove(struct bus *b, uint64_t base)
{
	unsigned i = first_above(b, base);

	if (i == b->n || b->win[i].base != base)
		return;
	b->n--;
	memmove(&b->win[i], &b->win[i + 1], (b->n - i) * sizeof(b->win[0]));
}

uint64_t
bus_read(struct bus *b, uint64_t addr, unsigned size)
{
	const struct bus_window *w;
	uint64_t val = 0;
	unsigned done = 0, n;

	if (size == 0 || size > BUS_ACCESS_MAX)
		return UINT64_MAX;
	if ((w = find_exact(b, addr, size)) != NULL)
		return w->ops->read(w->arg, 0, size) & ones(size);
	while (done < size) {
		uint64_t at = addr + done, got;

		/* at < addr: wrapped around the end of the address space */
		w = at < addr ? NULL : find(b, at);
		n = w == NULL ? 0 : piece(w, at - w->base, size - done);
		if (n == 0) {
			n = 1;
			got = 0xff;
		} else
			got = w->ops->read(w->arg, at - w->base, n) & ones(n);
		val |= got << (done * 8);
		done += n;
	}
	return val;
}

void
bus_write(struct bus *b, uint64_t addr, unsigned size, uint64_t val)
{
	const struct bus_window *w;
	unsigned done = 0, n;

	if (size == 0 || size > BUS_ACCESS_MAX)
		return;
	val &= ones(size);
	if ((w = find_exact(b, addr, size)) != NULL) {
		w->ops->write(w->arg, 0, size, val);
		return;
	}
	while (done < size) {
		uint64_t at = addr + done;

		w = at < addr ? NULL : find(b, at);
		n = w == NULL ? 0 : piece(w, at - w->base, size - done);
		if (n == 0)
			n = 1;
		else
			w->ops->write(w->arg, at - w->base, n,
			    (val >> (done * 8)) & ones(n));
		done += n;
	}
}
