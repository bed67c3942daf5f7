/* SPDX-License-Identifier: ISC */
/*
 * seccomp(2), "SECCOMP_SET_MODE_FILTER" and "struct seccomp_data"; the kernel's
 * "Linux Socket Filtering aka Berkeley Packet Filter (BPF)".
 *
 *	the architecture is ours, or kill
 *	the calls of number `first'
 *	a binary tree over the other numbers
 *
 * The kernel is quicker with a short program: it translates it, and works out for
 * each number whether that alone decides.  So the leaves of the tree are segments,
 * numbers between which nothing changes, and what several calls of a number have
 * in common is looked at once.
 *
 * A program is written from its end to its beginning: jumps lead forward only, and
 * so how far is known where they are written.  A label is how many instructions
 * there are from its own one to the end.
 *
 * Invariants
 *  1. Each jump leads to a label, and the last instruction is a return.
 *  2. Numbers of x32 are above all on the list, in the last segment, which kills.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "bpf.h"

#define DATA(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define ARGS	    6
/* A conditional jump leads over 255; what is written for one of its two labels
 * may be in the way to the other. */
#define JUMP_MAX 254
#define HALVES	 (2 * BPF_CONDS)

/* What is written: the last n of max instructions. */
struct out {
	struct sock_filter *prog;
	size_t n, max; /* n may pass max: then it does not fit */
	size_t kill, allow; /* labels */
};

/* Numbers from this one to the next segment's. */
struct segment {
	uint32_t from;
	const struct bpf_call *call;
	size_t n; /* 0: they are killed */
};

/* In front of what is there; its label is o->n then. */
static void
put(struct out *o, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	o->n++;
	if (o->n <= o->max)
		o->prog[o->max - o->n] =
		    (struct sock_filter){ code, jt, jf, k };
}

static void
put_load(struct out *o, uint32_t off)
{
	put(o, BPF_LD | BPF_W | BPF_ABS, 0, 0, off);
}

/* A label near enough for a conditional jump to that one. */
static size_t
near(struct out *o, size_t label)
{
	if (o->n - label <= JUMP_MAX)
		return label;
	put(o, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(o->n - label));
	return o->n;
}

static void
put_jump(struct out *o, uint16_t compare, uint32_t k, size_t yes, size_t no)
{
	yes = near(o, yes);
	no = near(o, no);
	put(o, BPF_JMP | compare | BPF_K, (uint8_t)(o->n - yes),
	    (uint8_t)(o->n - no), k);
}

/* A word of an argument. */
struct half {
	uint32_t off, mask, value;
};

/* What a call asks of its arguments; 0: nothing. */
static unsigned
halves(const struct bpf_call *c, struct half half[HALVES])
{
	const struct bpf_cond *cond;
	unsigned i, hi, n = 0;

	for (i = 0; i < HALVES; i++) {
		cond = &c->cond[i / 2];
		hi = i % 2;
		half[n].mask = (uint32_t)(cond->mask >> (32 * hi));
		half[n].value = (uint32_t)(cond->value >> (32 * hi));
		half[n].off = DATA(args) + 8 * cond->arg + 4 * hi;
		if (half[n].mask != 0)
			n++;
	}
	return n;
}

static void
put_half(struct out *o, const struct half *h, size_t yes, size_t no)
{
	put_jump(o, BPF_JEQ, h->value, yes, no);
	if (h->mask != UINT32_MAX)
		put(o, BPF_ALU | BPF_AND | BPF_K, 0, 0, h->mask);
	put_load(o, h->off);
}

/* Allows it, or goes on at `no'. */
static void
put_call(struct out *o, const struct bpf_call *c, size_t no)
{
	struct half half[HALVES];
	unsigned i = halves(c, half);
	size_t yes = o->allow;

	while (i-- > 0) {
		put_half(o, &half[i], yes, no);
		yes = o->n;
	}
}

/* Two words, of which the second is compared as a whole. */
static bool
is_pair(const struct bpf_call *c, struct half half[HALVES])
{
	return halves(c, half) == 2 && half[1].mask == UINT32_MAX;
}

/* How many of them, at the end, differ in such a word alone, as ioctl(2)s on a
 * descriptor do.  0: the last one is no such call. */
static size_t
alike(const struct bpf_call *c, size_t n)
{
	struct half last[HALVES], half[HALVES];
	size_t k;

	if (!is_pair(&c[n - 1], last))
		return 0;
	for (k = 1; k < n; k++)
		if (!is_pair(&c[n - 1 - k], half) ||
		    memcmp(&half[0], &last[0], sizeof(half[0])) != 0 ||
		    half[1].off != last[1].off)
			break;
	return k;
}

static void
put_alike(struct out *o, const struct bpf_call *c, size_t n, size_t no)
{
	struct half half[HALVES];
	size_t i, next = no;

	for (i = 0; i < n; i++) {
		halves(&c[n - 1 - i], half);
		put_jump(o, BPF_JEQ, half[1].value, o->allow, next);
		next = o->n;
	}
	put_load(o, half[1].off);
	put_half(o, &half[0], o->n, no);
}

static bool
is_free(const struct bpf_call *c, size_t n)
{
	struct half half[HALVES];
	size_t i;

	for (i = 0; i < n; i++)
		if (halves(&c[i], half) == 0)
			return true;
	return false;
}

/* Calls of one number.  Of several numbers, they are free.  A label. */
static size_t
put_calls(struct out *o, const struct bpf_call *c, size_t n)
{
	size_t k, label = o->kill;

	if (n > 0 && is_free(c, n))
		return o->allow;
	for (; n > 0; n -= k) {
		if ((k = alike(c, n)) > 0) {
			put_alike(o, &c[n - k], k, label);
		} else {
			k = 1;
			put_call(o, &c[n - 1], label);
		}
		label = o->n;
	}
	return label;
}

/* How many are of the first one's number. */
static size_t
same(const struct bpf_call *c, size_t n)
{
	size_t i = 1;

	while (i < n && c[i].nr == c[0].nr)
		i++;
	return i;
}

/* At most 2 * n + 1: in front of a number, and behind the last one, there may be
 * others.  Number `first' was looked at before. */
static size_t
find_segments(struct segment *g, const struct bpf_call *c, size_t n, int first)
{
	size_t i, k, m = 0;
	uint32_t next = 0;
	bool was = false, is;

	for (i = 0; i < n; i += k) {
		k = same(&c[i], n - i);
		if (c[i].nr == first)
			continue;
		if ((uint32_t)c[i].nr != next) {
			g[m++] = (struct segment){ next, NULL, 0 };
			was = false;
		}
		is = is_free(&c[i], k);
		if (!is || !was)
			g[m++] =
			    (struct segment){ (uint32_t)c[i].nr, &c[i], k };
		was = is;
		next = (uint32_t)c[i].nr + 1;
	}
	g[m++] = (struct segment){ next, NULL, 0 };
	return m;
}

/* A label. */
static size_t
put_tree(struct out *o, const struct segment *g, size_t n)
{
	size_t half = n / 2, upper, lower;

	if (n == 1)
		return put_calls(o, g->call, g->n);
	upper = put_tree(o, g + half, n - half);
	lower = put_tree(o, g, half);
	put_jump(o, BPF_JGE, g[half].from, upper, lower);
	return o->n;
}

/* Stable, as the order of those of one number stays; lists are short, and nearly
 * sorted. */
static void
sort(struct bpf_call *c, size_t n)
{
	struct bpf_call one;
	size_t i, k;

	for (i = 1; i < n; i++) {
		one = c[i];
		for (k = i; k > 0 && c[k - 1].nr > one.nr; k--)
			c[k] = c[k - 1];
		c[k] = one;
	}
}

static bool
good(const struct bpf_call *c)
{
	unsigned i;

	for (i = 0; i < BPF_CONDS; i++)
		if (c->cond[i].arg >= ARGS ||
		    (c->cond[i].value & ~c->cond[i].mask) != 0)
			return false;
	return c->nr >= 0 && c->nr < BPF_NR_MAX;
}

static size_t
put_first(
    struct out *o, const struct bpf_call *c, size_t n, int first, size_t rest)
{
	size_t i = 0, label;

	while (i < n && c[i].nr != first)
		i++;
	if (i == n)
		return rest;
	label = put_calls(o, &c[i], same(&c[i], n - i));
	put_jump(o, BPF_JEQ, (uint32_t)first, label, rest);
	return o->n;
}

/* What is written next is followed by what has that label. */
static void
go_on(struct out *o, size_t label)
{
	if (label != o->n)
		put(o, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(o->n - label));
}

int
bpf_compile(struct bpf_call *calls, size_t n, int first,
    struct sock_filter *prog, size_t max)
{
	struct out o = { prog, 0, max, 0, 0 };
	struct segment *g;
	size_t i, label;

	for (i = 0; i < n; i++)
		if (!good(&calls[i]))
			return -EINVAL;
	if ((g = calloc(2 * n + 1, sizeof(*g))) == NULL)
		return -ENOMEM;
	sort(calls, n);
	put(&o, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
	o.kill = o.n;
	put(&o, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
	o.allow = o.n;
	label = put_tree(&o, g, find_segments(g, calls, n, first));
	free(g);
	label = put_first(&o, calls, n, first, label);
	go_on(&o, label);
	put_load(&o, DATA(nr));
	put_jump(&o, BPF_JEQ, AUDIT_ARCH_X86_64, o.n, o.kill);
	put_load(&o, DATA(arch));
	if (o.n > max)
		return -E2BIG;
	memmove(prog, &prog[max - o.n], o.n * sizeof(prog[0]));
	return (int)o.n;
}
