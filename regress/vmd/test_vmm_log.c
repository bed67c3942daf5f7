/* SPDX-License-Identifier: ISC */
/*
 * Slots that come and go while the guest's writes are logged: vmd/vmm_log.c over
 * a hypervisor that only remembers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm_impl.h"

#define PAGE  4096ULL
#define PAGES 1024U /* of memory */

static struct slot {
	struct kvm_userspace_memory_region region;
	uint64_t log[PAGES / 64];
} slots[VMM_SLOTS];
static int refuse;

int
vmm_call(int fd, unsigned long request, const void *arg)
{
	const struct kvm_userspace_memory_region *r = arg;
	const struct kvm_dirty_log *l = arg;
	struct slot *s;
	size_t words;

	if (refuse != 0)
		return refuse;
	if (request == KVM_SET_USER_MEMORY_REGION) {
		s = &slots[r->slot];
		/* A log is new with its slot, and with its flag. */
		if (r->memory_size == 0 || s->region.memory_size == 0 ||
		    ((s->region.flags ^ r->flags) & KVM_MEM_LOG_DIRTY_PAGES))
			memset(s->log, 0, sizeof(s->log));
		s->region = *r;
		return 0;
	}
	assert_int_equal(request, KVM_GET_DIRTY_LOG);
	s = &slots[l->slot];
	assert_true((s->region.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0);
	words = (s->region.memory_size / PAGE + 63) / 64;
	memcpy(l->dirty_bitmap, s->log, words * 8);
	memset(s->log, 0, sizeof(s->log));
	return 0;
}

/* The guest writes: true where it can. */
static bool
guest_writes(uint64_t gpa)
{
	struct slot *s;
	uint64_t page;
	unsigned i;

	for (i = 0; i < VMM_SLOTS; i++) {
		s = &slots[i];
		if (s->region.memory_size == 0 ||
		    gpa < s->region.guest_phys_addr ||
		    gpa - s->region.guest_phys_addr >= s->region.memory_size)
			continue;
		if ((s->region.flags & KVM_MEM_READONLY) != 0)
			return false;
		page = (gpa - s->region.guest_phys_addr) / PAGE;
		if ((s->region.flags & KVM_MEM_LOG_DIRTY_PAGES) != 0)
			s->log[page / 64] |= 1ULL << page % 64;
		return true;
	}
	return false;
}

struct rig {
	struct vmm v;
	struct gmem mem;
	uint64_t bits[PAGES / 64];
};

static void
put(struct rig *r, unsigned slot, unsigned first, unsigned pages, bool readonly)
{
	assert_int_equal(
	    vmm_set_slot(&r->v, slot, (struct gpa){ first * PAGE },
		pages * PAGE, r->mem.region[0].host + first * PAGE, readonly),
	    0);
}

static void
drop(struct rig *r, unsigned slot)
{
	assert_int_equal(
	    vmm_set_slot(&r->v, slot, (struct gpa){ 0 }, 0, NULL, false), 0);
}

/* Which pages are in the log, or marked as ours: count, and the first. */
static unsigned
take(struct rig *r, unsigned *first)
{
	unsigned i, n = 0;

	memset(r->bits, 0, sizeof(r->bits));
	assert_int_equal(vmm_logged(&r->v, r->bits), 0);
	for (i = 0; i < PAGES / 64; i++)
		r->bits[i] |= gmem_take(&r->mem, i);
	for (i = PAGES; i-- > 0;) {
		if ((r->bits[i / 64] & 1ULL << i % 64) == 0)
			continue;
		n++;
		*first = i;
	}
	return n;
}

static int
up(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	memset(slots, 0, sizeof(slots));
	refuse = 0;
	pthread_mutex_init(&r->v.slots, NULL);
	assert_int_equal(gmem_create(&r->mem, PAGES * PAGE), 0);
	*state = r;
	return 0;
}

static int
down(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vmm_log(&r->v, &r->mem, false), 0);
	gmem_destroy(&r->mem);
	free(r);
	return 0;
}

/* Each page of slots that begin and end in the middle of a word. */
static void
test_each_page(void **state)
{
	struct rig *r = *state;
	unsigned page, first;

	put(r, 15, 0, 160, false);
	put(r, 16, 256, PAGES - 256, false);
	put(r, 0, 192, 4, false);
	put(r, 1, 196, 37, false);
	put(r, 2, 240, 16, true);
	assert_true(guest_writes(0));
	assert_int_equal(take(r, &first), 0); /* nobody asked */
	assert_int_equal(vmm_log(&r->v, &r->mem, true), 0);
	for (page = 0; page < PAGES; page++) {
		if (!guest_writes(page * PAGE)) {
			assert_true((page >= 160 && page < 192) ||
			    (page >= 233 && page < 256));
			continue;
		}
		assert_int_equal(take(r, &first), 1);
		assert_int_equal(first, page);
	}
	assert_int_equal(take(r, &first), 0);
	for (page = 0; page < PAGES; page++)
		guest_writes(page * PAGE);
	assert_int_equal(take(r, &first), PAGES - 32 - 23);
	assert_int_equal(vmm_log(&r->v, &r->mem, false), 0);
	assert_true(guest_writes(0));
	assert_int_equal(take(r, &first), 0);
}

/* What was written to a slot before it went is not lost. */
static void
test_slots_change(void **state)
{
	struct rig *r = *state;
	unsigned first;

	put(r, 3, 200, 4, false);
	assert_int_equal(vmm_log(&r->v, &r->mem, true), 0);
	assert_true(guest_writes(201 * PAGE));
	drop(r, 3);
	assert_int_equal(take(r, &first), 4);
	assert_int_equal(first, 200);
	put(r, 3, 200, 4, true);
	drop(r, 3);
	assert_int_equal(take(r, &first), 0);
	put(r, 3, 200, 4, false);
	assert_true(guest_writes(203 * PAGE));
	assert_int_equal(take(r, &first), 1);
	assert_int_equal(first, 203);
	/* Not guest memory: a ROM, a chip. */
	assert_int_equal(vmm_set_slot(&r->v, 4, (struct gpa){ 900 * PAGE },
			     PAGE, slots, false),
	    0);
	assert_true(guest_writes(900 * PAGE));
	assert_int_equal(take(r, &first), 0);
}

static void
test_refused(void **state)
{
	struct rig *r = *state;
	unsigned first;

	assert_int_equal(vmm_set_slot(&r->v, VMM_SLOTS, (struct gpa){ 0 }, PAGE,
			     r->mem.region[0].host, false),
	    -EINVAL);
	put(r, 0, 0, PAGES, false);
	refuse = -EIO;
	assert_int_equal(vmm_log(&r->v, &r->mem, true), -EIO);
	assert_int_equal(
	    vmm_set_slot(&r->v, 0, (struct gpa){ 0 }, 0, NULL, false), -EIO);
	refuse = 0;
	assert_int_equal(vmm_log(&r->v, &r->mem, true), 0);
	assert_true(guest_writes(0));
	refuse = -EIO;
	assert_int_equal(vmm_logged(&r->v, r->bits), -EIO);
	refuse = 0;
	assert_int_equal(take(r, &first), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_page, up, down),
		cmocka_unit_test_setup_teardown(test_slots_change, up, down),
		cmocka_unit_test_setup_teardown(test_refused, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
