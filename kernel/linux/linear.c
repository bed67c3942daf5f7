// SPDX-License-Identifier: (ISC OR GPL-2.0)
/* The host's part of core/walk.c. */
#include <linux/minmax.h>
#include "../core/decode.h"
#include "../core/walk.h"
#include "../core/x86.h"
#include "linear.h"

static int
walk_read(void *arg, struct gpa gpa, void *buf, unsigned size)
{
	return mem_view_read(arg, gpa, buf, size);
}

static int
walk_cmpxchg(void *arg, struct gpa gpa, u64 old, u64 new, unsigned size)
{
	struct mem_view *view = arg;

	return mem_cmpxchg(view->vm, gpa, &old, &new, size);
}

static const struct walk_ops walk_ops = {
	.read = walk_read,
	.cmpxchg = walk_cmpxchg,
};

static int
translate(const struct gcpu *c, struct mem_view *view, struct gva va,
    unsigned access, struct gpa *gpa, u32 *error)
{
	struct walk_env env = { c->cr0, c->cr3, c->cr4, c->efer, c->rflags,
		c->pkru, c->maxphyaddr };
	struct walk_result res;
	int r = walk(&env, &walk_ops, view, va, access, &res, error);

	if (!r)
		*gpa = res.gpa;
	return r;
}

int
linear_translate(struct vcpu *v, struct gva va, unsigned access,
    struct gpa *gpa, struct fault *fault)
{
	struct mem_view view;
	u32 error;
	int r;

	mem_view_open(v->vm, &view);
	r = translate(vcpu_state(v), &view, va, access, gpa, &error);
	mem_view_close(&view);
	if (r)
		*fault = (struct fault){
			.vector = X86_PF,
			.has_error = true,
			.error = error,
			.cr2 = va.v,
		};
	return r;
}

unsigned
linear_fetch(struct vcpu *v, u8 *buf)
{
	const struct gcpu *c = vcpu_state(v);
	unsigned access = WALK_FETCH | WALK_PROBE;
	unsigned got = 0, n;
	struct gva va = { c->rip };
	struct mem_view view;
	struct gpa gpa;
	u32 error;

	if (cpu_mode_bits(c) != 64)
		va.v = (u32)(c->rip + c->seg[SEG_CS].base);
	if (c->cpl == 3)
		access |= WALK_USER;
	mem_view_open(v->vm, &view);
	while (got < DECODE_MAX) {
		n = min_t(u64, DECODE_MAX - got, 4096 - (va.v & 4095));
		if (translate(c, &view, va, access, &gpa, &error) ||
		    mem_view_read(&view, gpa, buf + got, n))
			break;
		got += n;
		va.v += n;
	}
	mem_view_close(&view);
	return got;
}
