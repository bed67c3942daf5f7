/* SPDX-License-Identifier: ISC */
/*
 * Memory slots, and the log of what the guest writes to them.
 *
 * Slots come and go while the guest runs, by vCPU threads; the main thread
 * takes the log.  The pages of a slot that goes are marked as if we had written
 * them: the log goes with it, and nobody knows when its last write was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm_impl.h"

#define PAGE 4096U
#define WORD 64U

/* Can the guest write guest memory there? */
static bool
to_log(const struct gmem *mem, const struct vmm_slot *s)
{
	const uint8_t *base = mem->region[0].host;

	return s->len != 0 && !s->readonly && s->host >= base &&
	    (uint64_t)(s->host - base) < mem->size;
}

/* (l) */
static int
put(struct vmm *v, unsigned slot, struct vmm_slot *s)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = s->readonly ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = s->gpa,
		.memory_size = s->len,
		.userspace_addr = (uintptr_t)s->host,
	};
	const struct vmm_slot was = v->slot[slot];
	int r;

	s->logged = v->logging != NULL && to_log(v->logging, s);
	if (s->logged)
		region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
	r = vmm_call(v->fd, KVM_SET_USER_MEMORY_REGION, &region);
	if (r < 0)
		return r;
	v->slot[slot] = *s;
	if (was.logged && !s->logged && v->logging != NULL)
		gmem_wrote(v->logging, was.host, was.len);
	return 0;
}

int
vmm_set_slot(struct vmm *v, unsigned slot, struct gpa at, uint64_t len,
    void *host, bool readonly)
{
	struct vmm_slot s = {
		.gpa = at.v,
		.len = len,
		.host = host,
		.readonly = readonly,
	};
	int r;

	if (slot >= VMM_SLOTS)
		return -EINVAL;
	pthread_mutex_lock(&v->slots);
	r = put(v, slot, &s);
	pthread_mutex_unlock(&v->slots);
	return r;
}

int
vmm_set_memory(struct vmm *v, const struct gmem *mem)
{
	const struct gmem_region *m;
	unsigned i;
	int r = 0;

	for (i = 0; i < mem->nregions && r == 0; i++) {
		m = &mem->region[i];
		r = vmm_set_slot(
		    v, i, (struct gpa){ m->gpa }, m->len, m->host, false);
	}
	return r;
}

/* (l) */
static int
set_all(struct vmm *v)
{
	struct vmm_slot s;
	unsigned i;
	int r = 0;

	for (i = 0; i < VMM_SLOTS && r == 0; i++) {
		s = v->slot[i];
		if (s.logged != (v->logging != NULL && to_log(v->logging, &s)))
			r = put(v, i, &s);
	}
	return r;
}

int
vmm_log(struct vmm *v, const struct gmem *mem, bool on)
{
	uint64_t words = (mem->size / PAGE + WORD - 1) / WORD;
	int r = 0;

	pthread_mutex_lock(&v->slots);
	if (on && v->log == NULL &&
	    (v->log = malloc(words * sizeof(*v->log))) == NULL)
		r = -ENOMEM;
	v->logging = on && r == 0 ? mem : NULL;
	if (r == 0)
		r = set_all(v);
	if (!on) {
		free(v->log);
		v->log = NULL;
	}
	pthread_mutex_unlock(&v->slots);
	return r;
}

/* Adds n bits of from to those of to, from bit at on. */
static void
add_bits(uint64_t *to, uint64_t at, const uint64_t *from, uint64_t n)
{
	unsigned shift = (unsigned)(at % WORD);
	uint64_t i, w;

	to += at / WORD;
	for (i = 0; i * WORD < n; i++) {
		w = from[i];
		if (n - i * WORD < WORD)
			w &= (1ULL << (n - i * WORD)) - 1;
		to[i] |= w << shift;
		if (shift != 0 && w >> (WORD - shift) != 0)
			to[i + 1] |= w >> (WORD - shift);
	}
}

/* (l) */
static int
take(struct vmm *v, unsigned slot, uint64_t *bits)
{
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = v->log };
	const struct vmm_slot *s = &v->slot[slot];
	uint64_t n = s->len / PAGE;
	int r;

	memset(v->log, 0, (n + WORD - 1) / WORD * sizeof(*v->log));
	if ((r = vmm_call(v->fd, KVM_GET_DIRTY_LOG, &log)) < 0)
		return r;
	add_bits(bits, (uint64_t)(s->host - v->logging->region[0].host) / PAGE,
	    v->log, n);
	return 0;
}

int
vmm_logged(struct vmm *v, uint64_t *bits)
{
	unsigned i;
	int r = 0;

	pthread_mutex_lock(&v->slots);
	for (i = 0; i < VMM_SLOTS && v->logging != NULL && r == 0; i++)
		if (v->slot[i].logged)
			r = take(v, i, bits);
	pthread_mutex_unlock(&v->slots);
	return r;
}
