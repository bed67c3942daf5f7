/* SPDX-License-Identifier: ISC */
/*
 * Programs of bpf.h, run here as the kernel runs them, say of each call what the
 * list says, and what the program says that libseccomp makes of the same list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <seccomp.h>
#include "bpf.h"

#define MAX	 4096
#define NUMBERS	 600
#define ROUNDS	 2000
#define PER_LIST 400
#define LOW32	 0xffffffffULL
#define X32	 0x40000000U

struct prog {
	struct sock_filter f[MAX];
	size_t n;
};

static uint32_t state = 1;

static uint32_t
rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % below;
}

/* The kernel's "Linux Socket Filtering", as far as filters of calls go. */
static bool
allows(const struct prog *p, const struct seccomp_data *d)
{
	uint32_t a = 0, k;
	size_t pc = 0, step;
	bool is;

	for (;;) {
		assert_in_range(pc, 0, p->n - 1);
		k = p->f[pc].k;
		step = 0;
		is = false;
		switch (p->f[pc].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(k % 4 == 0 && k + 4 <= sizeof(*d));
			memcpy(&a, (const uint8_t *)d + k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= k;
			break;
		case BPF_JMP | BPF_JA:
			step = k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			is = a == k;
			step = is ? p->f[pc].jt : p->f[pc].jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			is = a >= k;
			step = is ? p->f[pc].jt : p->f[pc].jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			is = a > k;
			step = is ? p->f[pc].jt : p->f[pc].jf;
			break;
		case BPF_RET | BPF_K:
			assert_true(k == SECCOMP_RET_ALLOW ||
			    k == SECCOMP_RET_KILL_PROCESS);
			return k == SECCOMP_RET_ALLOW;
		default:
			fail_msg("instruction %04x", p->f[pc].code);
		}
		pc += 1 + step;
	}
}

/* The same, slowly and obviously. */
static bool
listed(const struct bpf_call *c, size_t n, const struct seccomp_data *d)
{
	size_t i;
	bool holds;
	unsigned k;

	if (d->arch != AUDIT_ARCH_X86_64)
		return false;
	for (i = 0; i < n; i++) {
		if ((uint32_t)c[i].nr != (uint32_t)d->nr)
			continue;
		holds = true;
		for (k = 0; k < BPF_CONDS; k++)
			if ((d->args[c[i].cond[k].arg] & c[i].cond[k].mask) !=
			    c[i].cond[k].value)
				holds = false;
		if (holds)
			return true;
	}
	return false;
}

static void
compile(struct prog *p, const struct bpf_call *c, size_t n, int first)
{
	struct bpf_call copy[PER_LIST + 1];
	int r;

	memcpy(copy, c, n * sizeof(*c));
	r = bpf_compile(copy, n, first, p->f, MAX);
	assert_in_range(r, 1, MAX);
	p->n = (size_t)r;
}

static void
compile_theirs(struct prog *p, const struct bpf_call *c, size_t n)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	struct scmp_arg_cmp cmp[BPF_CONDS];
	int fd = memfd_create("filter", MFD_CLOEXEC), e;
	unsigned k, ncmp;
	ssize_t len;
	size_t i;

	assert_non_null(ctx);
	assert_int_not_equal(fd, -1);
	assert_int_equal(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
			     SCMP_ACT_KILL_PROCESS),
	    0);
	for (i = 0; i < n; i++) {
		for (k = ncmp = 0; k < BPF_CONDS; k++)
			if (c[i].cond[k].mask != 0)
				cmp[ncmp++] = (struct scmp_arg_cmp){
					c[i].cond[k].arg, SCMP_CMP_MASKED_EQ,
					c[i].cond[k].mask, c[i].cond[k].value
				};
		e = seccomp_rule_add_array(
		    ctx, SCMP_ACT_ALLOW, c[i].nr, ncmp, cmp);
		assert_true(e == 0 || e == -EEXIST);
	}
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	len = pread(fd, p->f, sizeof(p->f), 0);
	assert_in_range(len, 8, sizeof(p->f) - 1);
	p->n = (size_t)len / sizeof(p->f[0]);
	close(fd);
	seccomp_release(ctx);
}

/* Few values, so that lists and calls meet. */
static uint64_t
value(void)
{
	static const uint64_t some[] = { 0, 1, 4, 0xae80, 0x4008ae89, LOW32,
		1ULL << 32, 0x100000004, UINT64_MAX, 0x8000000000000000 };

	return some[rnd(sizeof(some) / sizeof(some[0]))];
}

static uint64_t
mask(void)
{
	static const uint64_t some[] = { 0, LOW32, LOW32, 0xfffffffe, 4,
		UINT64_MAX, 0xffffffff00000000, 1ULL << 63 };

	return some[rnd(sizeof(some) / sizeof(some[0]))];
}

/* Two conditions of one argument libseccomp refuses. */
static void
random_call(struct bpf_call *c, int nr)
{
	unsigned k;

	*c = (struct bpf_call){ .nr = nr };
	for (k = 0; k < BPF_CONDS; k++) {
		c->cond[k].arg = rnd(3) + 3 * k;
		c->cond[k].mask = mask();
		c->cond[k].value = value() & c->cond[k].mask;
	}
}

static size_t
random_list(struct bpf_call *c, uint32_t numbers)
{
	size_t n = rnd(PER_LIST), i;

	for (i = 0; i < n; i++)
		random_call(&c[i], (int)rnd(numbers));
	return n;
}

static void
random_data(struct seccomp_data *d, int nr)
{
	unsigned i;

	*d = (struct seccomp_data){ .nr = nr, .arch = AUDIT_ARCH_X86_64 };
	for (i = 0; i < 6; i++)
		d->args[i] = value();
}

/* As one of the list's, or nearly. */
static void
near_data(struct seccomp_data *d, const struct bpf_call *c)
{
	unsigned k;

	random_data(d, c->nr);
	for (k = 0; k < BPF_CONDS; k++)
		d->args[c->cond[k].arg] =
		    c->cond[k].value | (value() & ~c->cond[k].mask);
	if (rnd(4) == 0)
		d->args[rnd(6)] ^= 1ULL << rnd(64);
}

static void
compare(const struct bpf_call *c, size_t n, const struct prog *ours,
    const struct prog *theirs, const struct seccomp_data *d)
{
	bool want = listed(c, n, d);

	assert_int_equal(allows(ours, d), want);
	if (theirs != NULL)
		assert_int_equal(allows(theirs, d), want);
}

static void
run_list(const struct bpf_call *c, size_t n, int first, bool both)
{
	struct prog ours, theirs;
	struct seccomp_data d;
	int nr;
	size_t i;

	compile(&ours, c, n, first);
	if (both)
		compile_theirs(&theirs, c, n);
	for (nr = -1; nr < NUMBERS; nr++) {
		random_data(&d, nr);
		compare(c, n, &ours, both ? &theirs : NULL, &d);
		d.nr = (int)((unsigned)nr | X32);
		compare(c, n, &ours, both ? &theirs : NULL, &d);
		d.nr = nr;
		d.arch = AUDIT_ARCH_I386;
		compare(c, n, &ours, both ? &theirs : NULL, &d);
	}
	for (i = 0; i < 4 * n; i++) {
		near_data(&d, &c[i / 4]);
		compare(c, n, &ours, both ? &theirs : NULL, &d);
	}
}

/* Of few numbers: many calls of each, and so long jumps. */
static void
test_lists(void **st)
{
	struct bpf_call c[PER_LIST];
	int first;
	size_t n;
	unsigned i;

	for (i = 0; i < ROUNDS; i++) {
		n = random_list(c, rnd(2) != 0 ? 450 : 1 + rnd(12));
		first = n > 0 && rnd(2) != 0 ? c[rnd((uint32_t)n)].nr : -1;
		run_list(c, n, first, false);
	}
}

static void
test_libseccomp(void **st)
{
	struct bpf_call c[PER_LIST];
	size_t n;
	unsigned i;

	for (i = 0; i < 60; i++) {
		n = random_list(c, 450) / 4;
		run_list(c, n, n > 0 ? c[0].nr : -1, true);
	}
}

static void
test_empty(void **st)
{
	run_list(NULL, 0, SYS_ioctl, true);
}

/* What is looked for first is found by the fourth instruction. */
static void
test_first(void **st)
{
	struct bpf_call c[] = {
		{ SYS_read, { { 0 } } },
		{ SYS_ioctl, { { 1, LOW32, 0xae80 } } },
		{ SYS_write, { { 0 } } },
	};
	struct prog p;

	compile(&p, c, 3, SYS_ioctl);
	assert_int_equal(p.f[3].code, BPF_JMP | BPF_JEQ | BPF_K);
	assert_int_equal(p.f[3].k, SYS_ioctl);
	run_list(c, 3, SYS_ioctl, true);
	run_list(c, 3, SYS_kill, true);
}

static void
test_refused(void **st)
{
	static const struct bpf_call bad[] = {
		{ -1, { { 0 } } },
		{ BPF_NR_MAX, { { 0 } } },
		{ 0, { { 6, LOW32, 0 } } },
		{ 0, { { 0, LOW32, 1ULL << 32 } } },
		{ 0, { { 0, 0, 1 } } },
		{ 0, { { 0 }, { 1, 6, 1 } } },
	};
	struct bpf_call c[PER_LIST];
	struct prog p;
	size_t i, n = 0;
	int len;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c[0] = bad[i];
		assert_int_equal(bpf_compile(c, 1, -1, p.f, MAX), -EINVAL);
	}
	while (n < 20)
		n = random_list(c, 450);
	compile(&p, c, n, -1);
	len = (int)p.n;
	memset(&p, 0xa5, sizeof(p));
	assert_int_equal(bpf_compile(c, n, -1, p.f, (size_t)len - 1), -E2BIG);
	assert_int_equal(p.f[len - 1].code, 0xa5a5);
	assert_int_equal(bpf_compile(c, n, -1, p.f, (size_t)len), len);
	assert_int_equal(bpf_compile(c, n, -1, p.f, 0), -E2BIG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_libseccomp),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
