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

/* Pages that one fault maps at most, when they are there: Linux's own
 * fault_around_bytes. */
#define AROUND 16

/* Pages from one address on, with references. */
struct grab {
	struct page *page[AROUND];
	unsigned n;
	bool writable; /* may the guest write to them now? */
};

/* mem.c: to map what user space has at gpa, under mmu_lock; what it returns
 * goes to npt_release(). */
typedef void *mem_map_fn(
    struct vm *, void *arg, const struct slot *, struct gpa, struct grab *);
enum mem_fault
mem_fault_with(struct vm *, mem_map_fn *, void *arg, struct gpa, bool write);

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
