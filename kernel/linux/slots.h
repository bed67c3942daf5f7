/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_SLOTS_H
#define LINUX_SLOTS_H

/*
 * The table of memory slots; readers hold vm->srcu for as long as they use
 * what they found, the address of user memory included.
 */
#include <linux/srcu.h>
#include "vm.h"

/* Constant, as the table is, but for the bits of dirty, which are atomic. */
struct slot {
	u64 gpa, len;
	unsigned long hva;
	unsigned long *dirty; /* a bit for each page, while they are logged */
	u32 id;
	bool readonly;
	bool going; /* about to be moved or deleted: nothing is mapped */
};

struct slots {
	u64 gen; /* of the VM's tables, this one */
	unsigned n;
	struct slot s[]; /* ascending by gpa, disjoint */
};

/* Under vm->srcu. */
static inline const struct slots *
slots_read(struct vm *vm)
{
	return srcu_dereference(vm->slots, &vm->srcu);
}

const struct slot *slots_find(const struct slots *, u64 gpa); /* or NULL */
const struct slot *slots_by_id(const struct slots *, u32 id);
/* For changes, under slots_lock. */
const struct slots *slots_current(struct vm *);
int slots_init(struct vm *);
void slots_free(struct vm *);

static inline unsigned long
slot_hva(const struct slot *s, u64 gpa)
{
	return s->hva + (unsigned long)(gpa - s->gpa);
}

static inline unsigned long
slot_pages(const struct slot *s)
{
	return s->len >> PAGE_SHIFT;
}

static inline void
slot_mark_dirty(const struct slot *s, u64 gpa)
{
	if (s->dirty)
		set_bit((gpa - s->gpa) >> PAGE_SHIFT, s->dirty);
}

#endif
