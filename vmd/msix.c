/* SPDX-License-Identifier: ISC */

/*
 * MSI-X table and pending bits; see msix.h.
 *
 * Invariants
 *  1. No vector above n is ever pending or open.
 *  2. Reserved bits of an entry read as zero.
 */
#include <string.h>
#include "msix.h"
#include "pcireg.h"

void
msix_init(struct msix *m, unsigned nvectors)
{
	memset(m, 0, sizeof(*m));
	m->n = nvectors <= MSIX_VECTORS_MAX ? nvectors : MSIX_VECTORS_MAX;
	/* "Vector Control for MSI-X Table Entries": masked after reset. */
	for (unsigned v = 0; v < m->n; v++)
		m->entry[v].control = MSIX_ENTRY_MASKED;
}

void
msix_control(struct msix *m, uint16_t control)
{
	m->enabled = (control & MSIX_CONTROL_ENABLE) != 0;
	m->fmask = (control & MSIX_CONTROL_FMASK) != 0;
	if (!m->enabled)
		m->pending = 0;
}

static bool
access_ok(uint64_t len, uint64_t off, unsigned size)
{
	return (size == 4 || size == 8) && off % size == 0 && off < len &&
	    size <= len - off;
}

static uint32_t
entry_get(const struct msix_entry *e, unsigned off)
{
	switch (off) {
	case 0:
		return (uint32_t)e->addr;
	case 4:
		return (uint32_t)(e->addr >> 32);
	case 8:
		return e->data;
	default:
		return e->control;
	}
}

static void
entry_set(struct msix_entry *e, unsigned off, uint32_t val)
{
	switch (off) {
	case 0:
		e->addr = (e->addr & ~UINT64_C(0xffffffff)) | (val & ~3U);
		break;
	case 4:
		e->addr = (uint32_t)e->addr | (uint64_t)val << 32;
		break;
	case 8:
		e->data = val;
		break;
	default:
		e->control = val & MSIX_ENTRY_MASKED;
		break;
	}
}

uint64_t
msix_table_read(const struct msix *m, uint64_t off, unsigned size)
{
	uint64_t val = 0;

	if (!access_ok((uint64_t)m->n * MSIX_ENTRY_LEN, off, size))
		return UINT64_MAX;
	for (unsigned i = 0; i < size; i += 4)
		val |= (uint64_t)entry_get(&m->entry[off / MSIX_ENTRY_LEN],
			   (unsigned)(off + i) % MSIX_ENTRY_LEN)
		    << (8 * i);
	return val;
}

bool
msix_table_write(struct msix *m, uint64_t off, unsigned size, uint64_t val)
{
	struct msix_entry *e, before;

	if (!access_ok((uint64_t)m->n * MSIX_ENTRY_LEN, off, size))
		return false;
	e = &m->entry[off / MSIX_ENTRY_LEN];
	before = *e;
	for (unsigned i = 0; i < size; i += 4)
		entry_set(e, (unsigned)(off + i) % MSIX_ENTRY_LEN,
		    (uint32_t)(val >> (8 * i)));
	return before.addr != e->addr || before.data != e->data ||
	    before.control != e->control;
}

uint64_t
msix_pba_read(const struct msix *m, uint64_t off, unsigned size)
{
	if (!access_ok(MSIX_PBA_LEN, off, size))
		return UINT64_MAX;
	return m->pending >> (8 * off);
}

bool
msix_open(const struct msix *m, unsigned vector)
{
	return vector < m->n && m->enabled && !m->fmask &&
	    (m->entry[vector].control & MSIX_ENTRY_MASKED) == 0;
}

void
msix_set_pending(struct msix *m, unsigned vector)
{
	if (vector < m->n)
		m->pending |= UINT64_C(1) << vector;
}

bool
msix_take_pending(struct msix *m, unsigned vector)
{
	uint64_t bit;

	if (!msix_open(m, vector))
		return false;
	bit = UINT64_C(1) << vector;
	if ((m->pending & bit) == 0)
		return false;
	m->pending &= ~bit;
	return true;
}
