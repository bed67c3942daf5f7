// SPDX-License-Identifier: (ISC OR GPL-2.0)
/* The host's part of core/walk.c. */
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include "../core/decode.h"
#include "../core/walk.h"
#include "../core/x86.h"
#include "linear.h"
#include "slots.h"

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
	.compare_swap = walk_cmpxchg,
};

void
linear_env(const struct gcpu *c, struct walk_env *env)
{
	memset(env, 0, sizeof(*env)); /* compared with its padding */
	env->cr0 = c->cr0;
	env->cr3 = c->cr3;
	env->cr4 = c->cr4;
	env->efer = c->efer;
	env->rflags = c->rflags;
	env->pkru = c->pkru;
	env->maxphyaddr = c->maxphyaddr;
}

int
linear_walk(struct vcpu *v, struct gva va, unsigned access,
    struct walk_result *res, struct fault *fault)
{
	struct mem_view view;
	struct walk_env env;
	u32 error;
	int r;

	linear_env(vcpu_state(v), &env);
	mem_view_open(v->vm, &view);
	r = walk(&env, &walk_ops, &view, va, access, res, &error);
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

int
linear_translate(struct vcpu *v, struct gva va, unsigned access,
    struct gpa *gpa, struct fault *fault)
{
	struct walk_result res;
	int r = linear_walk(v, va, access, &res, fault);

	if (!r)
		*gpa = res.gpa;
	return r;
}

/* --- walks that were done before -------------------------------------------- */

/*
 * Each is in a slot, whose addresses are user space's (slots.c); all are looked
 * at with one opening of it.
 */
static bool
unchanged(const struct walk_memo *m)
{
	unsigned long hva;
	unsigned i;
	u64 entry;
	u32 low;

	if (m->n == 0)
		return true;
	if (!user_access_begin((void __user *)m->read[0].hva, sizeof(entry)))
		return false;
	for (i = 0; i < m->n; i++) {
		hva = m->read[i].hva;
		if (m->read[i].size == sizeof(entry)) {
			unsafe_get_user(entry, (u64 __user *)hva, changed);
		} else {
			unsafe_get_user(low, (u32 __user *)hva, changed);
			entry = low;
		}
		if (entry != m->read[i].entry)
			goto changed;
	}
	user_access_end();
	return true;
changed:
	user_access_end();
	return false;
}

static bool
same_env(const struct walk_env *e, const struct gcpu *c)
{
	return e->cr0 == c->cr0 && e->cr3 == c->cr3 && e->cr4 == c->cr4 &&
	    e->efer == c->efer && e->maxphyaddr == c->maxphyaddr;
}

/* Beside protection keys and AC, which do not decide what is fetched. */
static bool
remembers(const struct walk_memo *m, const struct slots *slots,
    const struct gcpu *c, u64 page, unsigned access)
{
	return m->known && m->page == page && m->access == access &&
	    m->slots_gen == slots->gen && same_env(&m->env, c) && unchanged(m);
}

bool
linear_known(struct vcpu *v, struct gva va, unsigned access, struct gpa *gpa)
{
	const struct gcpu *c = vcpu_state(v);
	const struct walk_memo *m = &v->device;
	u64 off = va.v & ~PAGE_MASK;
	struct mem_view view;
	bool known;

	if (!m->known || ((m->env.rflags ^ c->rflags) & X86_RFLAGS_AC) ||
	    m->env.pkru != c->pkru)
		return false;
	mem_view_open(v->vm, &view);
	known = remembers(m, view.slots, c, va.v - off, access);
	mem_view_close(&view);
	if (known)
		gpa->v = m->gpa.v + off;
	return known;
}

void
linear_learn(
    struct vcpu *v, struct gva va, unsigned access, const struct walk_result *r)
{
	const struct walk_path *p = &r->path;
	struct walk_memo *m = &v->device;
	struct mem_view view;
	unsigned level;

	linear_env(vcpu_state(v), &m->env);
	m->page = va.v & PAGE_MASK;
	m->access = access;
	m->gpa.v = r->gpa.v & PAGE_MASK;
	m->n = 0;
	mem_view_open(v->vm, &view);
	m->slots_gen = view.slots->gen;
	m->known = mem_view_hva(&view, m->gpa, 1) == 0; /* now, too */
	for (level = p->levels; level > 0 && level >= p->leaf; level--) {
		m->read[m->n].hva =
		    mem_view_hva(&view, p->addr[level - 1], p->size);
		m->read[m->n].size = p->size;
		m->read[m->n].entry = p->entry[level - 1];
		m->known &= m->read[m->n++].hva != 0;
	}
	mem_view_close(&view);
}

/* --- instructions --------------------------------------------------------- */

struct fetch {
	struct mem_view view;
	struct walk_memo *memo;
};

static int
load_entry(unsigned long hva, unsigned size, u64 *entry)
{
	u32 low;

	if (size == sizeof(*entry))
		return get_user(*entry, (u64 __user *)hva);
	if (get_user(low, (u32 __user *)hva))
		return -EFAULT;
	*entry = low;
	return 0;
}

static int
memo_read(void *arg, struct gpa gpa, void *buf, unsigned size)
{
	struct fetch *f = arg;
	struct walk_memo *m = f->memo;
	unsigned long hva = mem_view_hva(&f->view, gpa, size);
	u64 entry;

	if (!hva || load_entry(hva, size, &entry) ||
	    m->n == ARRAY_SIZE(m->read))
		return -EFAULT;
	memcpy(buf, &entry, size);
	m->read[m->n].hva = hva;
	m->read[m->n].size = size;
	m->read[m->n++].entry = entry;
	return 0;
}

/* Nothing is written by a walk that only probes. */
static int
memo_cmpxchg(void *arg, struct gpa gpa, u64 old, u64 new, unsigned size)
{
	return -EFAULT;
}

static const struct walk_ops memo_ops = {
	.read = memo_read,
	.compare_swap = memo_cmpxchg,
};

/* User space's address of the page with the instruction, or 0. */
static unsigned long
fetch_page(struct vcpu *v, struct fetch *f, struct gva page, unsigned access)
{
	const struct gcpu *c = vcpu_state(v);
	struct walk_memo *m = &v->fetch;
	struct walk_result res;
	u32 error;

	if (remembers(m, f->view.slots, c, page.v, access))
		return m->hva;
	linear_env(c, &m->env);
	m->env.rflags = 0;
	m->env.pkru = 0;
	m->page = page.v;
	m->access = access;
	m->slots_gen = f->view.slots->gen;
	m->n = 0;
	m->hva = 0;
	f->memo = m;
	if (walk(&m->env, &memo_ops, f, page, access, &res, &error) == 0)
		m->hva = mem_view_hva(&f->view, res.gpa, PAGE_SIZE);
	m->known = m->hva != 0;
	return m->hva;
}

/* Two loads, which overlap: most are of 15 bytes. */
static int
fetch_bytes(unsigned long hva, u8 *buf, unsigned n)
{
	u64 head, tail;

	if (n < sizeof(head))
		return copy_from_user(buf, (void __user *)hva, n) ? -EFAULT : 0;
	if (!user_access_begin((void __user *)hva, n))
		return -EFAULT;
	unsafe_get_user(head, (u64 __user *)hva, fault);
	unsafe_get_user(tail, (u64 __user *)(hva + n - sizeof(tail)), fault);
	user_access_end();
	memcpy(buf, &head, sizeof(head));
	memcpy(buf + n - sizeof(tail), &tail, sizeof(tail));
	return 0;
fault:
	user_access_end();
	return -EFAULT;
}

unsigned
linear_fetch(struct vcpu *v, u8 *buf)
{
	const struct gcpu *c = vcpu_state(v);
	unsigned access = WALK_FETCH | WALK_PROBE;
	unsigned got = 0, n, off;
	struct gva va = { c->rip };
	unsigned long hva;
	struct fetch f;

	if (cpu_mode_bits(c) != 64)
		va.v = (u32)(c->rip + c->seg[SEG_CS].base);
	if (c->cpl == 3)
		access |= WALK_USER;
	mem_view_open(v->vm, &f.view);
	while (got < DECODE_MAX) {
		off = va.v & ~PAGE_MASK;
		n = min_t(u64, DECODE_MAX - got, PAGE_SIZE - off);
		hva = fetch_page(v, &f, (struct gva){ va.v - off }, access);
		if (!hva || fetch_bytes(hva + off, buf + got, n))
			break;
		got += n;
		va.v += n;
	}
	mem_view_close(&f.view);
	return got;
}
