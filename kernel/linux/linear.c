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
	return mem_read(arg, gpa, buf, size);
}

static int
walk_cmpxchg(void *arg, struct gpa gpa, u64 old, u64 new, unsigned size)
{
	return mem_cmpxchg(arg, gpa, &old, &new, size);
}

static const struct walk_ops walk_ops = {
	.read = walk_read,
	.cmpxchg = walk_cmpxchg,
};

int
linear_translate(struct vcpu *v, struct gva va, unsigned access,
    struct gpa *gpa, struct fault *fault)
{
	const struct gcpu *c = vcpu_state(v);
	struct walk_env env = { c->cr0, c->cr3, c->cr4, c->efer, c->rflags,
		c->pkru, c->maxphyaddr };
	struct walk_result res;
	u32 error;

	if (walk(&env, &walk_ops, v->vm, va, access, &res, &error)) {
		*fault = (struct fault){
			.vector = X86_PF,
			.has_error = true,
			.error = error,
			.cr2 = va.v,
		};
		return 1;
	}
	*gpa = res.gpa;
	return 0;
}

unsigned
linear_fetch(struct vcpu *v, u8 *buf)
{
	const struct gcpu *c = vcpu_state(v);
	unsigned access = WALK_FETCH | WALK_PROBE;
	unsigned got = 0, n;
	struct gva va = { c->rip };
	struct fault fault;
	struct gpa gpa;

	if (cpu_mode_bits(c) != 64)
		va.v = (u32)(c->rip + c->seg[SEG_CS].base);
	if (c->cpl == 3)
		access |= WALK_USER;
	while (got < DECODE_MAX) {
		n = min_t(u64, DECODE_MAX - got, 4096 - (va.v & 4095));
		if (linear_translate(v, va, access, &gpa, &fault) ||
		    mem_read(v->vm, gpa, buf + got, n))
			break;
		got += n;
		va.v += n;
	}
	return got;
}
