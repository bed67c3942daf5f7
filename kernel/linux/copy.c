// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * The driver's own accesses to guest memory.  The table of slots is held for
 * as long as an access lasts: when a slot has been deleted, its memory is user
 * space's again.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/uaccess.h>
#include "mmu.h"
#include "slots.h"

/* The slot that has len bytes at gpa, in which the access is permitted. */
static const struct slot *
of(struct vm *vm, struct gpa gpa, unsigned len, bool write)
{
	const struct slot *s = slots_find(slots_read(vm), gpa.v);

	if (!s || (write && s->readonly) || s->len - (gpa.v - s->gpa) < len)
		return NULL;
	return s;
}

bool
mem_present(struct vm *vm, struct gpa gpa, unsigned len, bool write)
{
	int idx = srcu_read_lock(&vm->srcu);
	bool is = of(vm, gpa, len, write) != NULL;

	srcu_read_unlock(&vm->srcu, idx);
	return is;
}

void
mem_view_open(struct vm *vm, struct mem_view *view)
{
	view->vm = vm;
	view->idx = srcu_read_lock(&vm->srcu);
	view->slots = slots_read(vm);
	view->last = NULL;
}

void
mem_view_close(struct mem_view *view)
{
	srcu_read_unlock(&view->vm->srcu, view->idx);
}

/* Entries of page tables are most of what is read, and one is near another. */
unsigned long
mem_view_hva(struct mem_view *view, struct gpa gpa, unsigned len)
{
	const struct slot *s = view->last;

	if (!s || gpa.v - s->gpa >= s->len)
		s = view->last = slots_find(view->slots, gpa.v);
	if (!s || s->len - (gpa.v - s->gpa) < len)
		return 0;
	return slot_hva(s, gpa.v);
}

int
mem_view_read(struct mem_view *view, struct gpa gpa, void *buf, unsigned len)
{
	unsigned long hva = mem_view_hva(view, gpa, len);

	if (!hva)
		return -EFAULT;
	if (len == 8)
		return get_user(*(u64 *)buf, (u64 __user *)hva);
	return copy_from_user(buf, (void __user *)hva, len) ? -EFAULT : 0;
}

int
mem_read(struct vm *vm, struct gpa gpa, void *buf, unsigned len)
{
	struct mem_view view;
	int r;

	mem_view_open(vm, &view);
	r = mem_view_read(&view, gpa, buf, len);
	mem_view_close(&view);
	return r;
}

int
mem_write(struct vm *vm, struct gpa gpa, const void *buf, unsigned len)
{
	int idx = srcu_read_lock(&vm->srcu);
	const struct slot *s = of(vm, gpa, len, true);
	int r = -EFAULT;

	if (s && !copy_to_user((void __user *)slot_hva(s, gpa.v), buf, len)) {
		slot_mark_dirty(s, gpa.v);
		mmu_written(vm, gpa, len);
		r = 0;
	}
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}

/* On the kernel's own mapping of the page, which no fault can interrupt. */
static bool
exchange(void *p, const void *old, const void *new, unsigned size)
{
	union {
		u8 b;
		u16 w;
		u32 l;
		u64 q;
		u64 x[2];
	} o = { 0 }, n = { 0 };
	bool ok;

	memcpy(&o, old, size);
	memcpy(&n, new, size);
	switch (size) {
	case 1:
		return try_cmpxchg((u8 *)p, &o.b, n.b);
	case 2:
		return try_cmpxchg((u16 *)p, &o.w, n.w);
	case 4:
		return try_cmpxchg((u32 *)p, &o.l, n.l);
	case 8:
		return try_cmpxchg((u64 *)p, &o.q, n.q);
	default:
		asm volatile("lock cmpxchg16b %1"
			     : "=@ccz"(ok), "+m"(*(u8(*)[16])p), "+a"(o.x[0]),
			     "+d"(o.x[1])
			     : "b"(n.x[0]), "c"(n.x[1])
			     : "memory");
		return ok;
	}
}

static int
exchange_at(unsigned long hva, const void *old, const void *new, unsigned size)
{
	unsigned long off = hva & ~PAGE_MASK;
	struct page *page;
	u8 *p;
	bool ok;

	if (off + size > PAGE_SIZE || (size == 16 && (hva & 15)) ||
	    pin_user_pages_fast(hva & PAGE_MASK, 1, FOLL_WRITE, &page) != 1)
		return -EFAULT;
	p = kmap_local_page(page);
	ok = exchange(p + off, old, new, size);
	kunmap_local(p);
	unpin_user_pages_dirty_lock(&page, 1, ok);
	return ok ? 0 : -EAGAIN;
}

int
mem_cmpxchg(struct vm *vm, struct gpa gpa, const void *old, const void *new,
    unsigned size)
{
	int idx = srcu_read_lock(&vm->srcu);
	const struct slot *s = of(vm, gpa, size, true);
	int r = -EFAULT;

	if (s)
		r = exchange_at(slot_hva(s, gpa.v), old, new, size);
	if (r == 0)
		slot_mark_dirty(s, gpa.v);
	srcu_read_unlock(&vm->srcu, idx);
	return r;
}
