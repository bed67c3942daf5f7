/* SPDX-License-Identifier: ISC */
/*
 * Moves to and from devices as rows: which instructions are served without
 * the emulator, and with what effect.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "mov.h"
#include "x86.h"

#define BASE 0xfeb00000ULL /* in RBX */
#define RAX  0x1122334455667788ULL
#define RIP  0x400ff0ULL

struct row {
	const char *name;
	unsigned bits;
	u8 bytes[DECODE_MAX];
	u8 have;
	u64 gpa;
	bool write, match;
	u8 size;
	u64 value; /* stored, or RAX after a load of LOADED */
};
#define LOADED 0xa1a2a3a4a5a6a7f8ULL

static const struct row rows[] = {
	{ "mov %eax,(%rbx)", 64, { 0x89, 0x03 }, 2, BASE, true, true, 4,
	    0x55667788 },
	{ "mov %rax,8(%rbx)", 64, { 0x48, 0x89, 0x43, 0x08 }, 4, BASE + 8, true,
	    true, 8, RAX },
	{ "mov %ax,(%rbx)", 64, { 0x66, 0x89, 0x03 }, 3, BASE, true, true, 2,
	    0x7788 },
	{ "mov %ah,(%rbx)", 64, { 0x88, 0x23 }, 2, BASE, true, true, 1, 0x77 },
	{ "mov %spl,(%rbx)", 64, { 0x40, 0x88, 0x23 }, 3, BASE, true, true, 1,
	    0xe0 },
	{ "movl $5,0xb0(%rbx)", 64, { 0xc7, 0x83, 0xb0, 0, 0, 0, 5, 0, 0, 0 },
	    10, BASE + 0xb0, true, true, 4, 5 },
	{ "movq $-1,(%rbx)", 64, { 0x48, 0xc7, 0x03, 0xff, 0xff, 0xff, 0xff },
	    7, BASE, true, true, 8, ~0ULL },
	{ "movb $7,(%rbx)", 64, { 0xc6, 0x03, 7 }, 3, BASE, true, true, 1, 7 },
	{ "movnti %eax,(%rbx)", 64, { 0x0f, 0xc3, 0x03 }, 3, BASE, true, true,
	    4, 0x55667788 },
	{ "mov %eax,0x10(%rip)", 64, { 0x89, 0x05, 0x10, 0, 0, 0 }, 6,
	    RIP + 6 + 0x10, true, true, 4, 0x55667788 },
	{ "mov (%rbx),%eax clears the rest", 64, { 0x8b, 0x03 }, 2, BASE, false,
	    true, 4, 0xa5a6a7f8 },
	{ "mov (%rbx),%rax", 64, { 0x48, 0x8b, 0x03 }, 3, BASE, false, true, 8,
	    LOADED },
	{ "mov (%rbx),%ax keeps the rest", 64, { 0x66, 0x8b, 0x03 }, 3, BASE,
	    false, true, 2, 0x112233445566a7f8 },
	{ "mov (%rbx),%al", 64, { 0x8a, 0x03 }, 2, BASE, false, true, 1,
	    0x11223344556677f8 },
	{ "mov (%rbx),%ah", 64, { 0x8a, 0x23 }, 2, BASE, false, true, 1,
	    0x112233445566f888 },
	{ "movzbl (%rbx),%eax", 64, { 0x0f, 0xb6, 0x03 }, 3, BASE, false, true,
	    1, 0xf8 },
	{ "movsbl (%rbx),%eax", 64, { 0x0f, 0xbe, 0x03 }, 3, BASE, false, true,
	    1, 0xfffffff8 },
	{ "movswq (%rbx),%rax", 64, { 0x48, 0x0f, 0xbf, 0x03 }, 4, BASE, false,
	    true, 2, 0xffffffffffffa7f8 },
	{ "movslq (%rbx),%rax", 64, { 0x48, 0x63, 0x03 }, 3, BASE, false, true,
	    4, 0xffffffffa5a6a7f8 },
	{ "movabs 0xfeb00020,%eax", 64,
	    { 0xa1, 0x20, 0, 0xb0, 0xfe, 0, 0, 0, 0 }, 9, BASE + 0x20, false,
	    true, 4, 0xa5a6a7f8 },
	{ "mov %eax,0xfeb00020 (32-bit)", 32, { 0xa3, 0x20, 0, 0xb0, 0xfe }, 5,
	    BASE + 0x20, true, true, 4, 0x55667788 },
	{ "mov %eax,(%bx) (16-bit)", 16, { 0x66, 0x89, 0x07 }, 3, BASE, true,
	    true, 4, 0x55667788 },
	{ "last bytes of a page", 64, { 0x89, 0x83, 0xfc, 0x0f, 0, 0 }, 6,
	    BASE + 0xffc, true, true, 4, 0x55667788 },
	{ "over the end of a page", 64, { 0x89, 0x83, 0xfe, 0x0f, 0, 0 }, 6,
	    BASE + 0xffe, true, false, 0, 0 },
	{ "another address than the access", 64, { 0x89, 0x43, 0x04 }, 3, BASE,
	    true, false, 0, 0 },
	{ "a store where a load was", 64, { 0x89, 0x03 }, 2, BASE, false, false,
	    0, 0 },
	{ "a load where a store was", 64, { 0x8b, 0x03 }, 2, BASE, true, false,
	    0, 0 },
	{ "between registers", 64, { 0x89, 0xd8 }, 2, BASE, true, false, 0, 0 },
	{ "lock is invalid", 64, { 0xf0, 0x89, 0x03 }, 3, BASE, true, false, 0,
	    0 },
	{ "add is not a move", 64, { 0x01, 0x03 }, 2, BASE, true, false, 0, 0 },
	{ "to a segment register", 64, { 0x8e, 0x03 }, 2, BASE, false, false, 0,
	    0 },
	{ "bytes end early", 64, { 0x89 }, 1, BASE, true, false, 0, 0 },
};

static struct gcpu
cpu(unsigned bits)
{
	struct gcpu c = { .rip = RIP, .cr0 = X86_CR0_PE };

	c.gpr[R_RAX] = RAX;
	c.gpr[R_RBX] = BASE;
	c.gpr[R_RSP] = 0x7fffffffffe0;
	c.seg[SEG_CS].attr = SEG_P | SEG_S | 0xb;
	if (bits == 64) {
		c.efer = X86_EFER_LMA;
		c.seg[SEG_CS].attr |= SEG_L;
	} else if (bits == 32) {
		c.seg[SEG_CS].attr |= SEG_DB;
	}
	return c;
}

static void
test_rows(void **state)
{
	const struct row *r;
	struct gcpu c;
	struct mov m;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		r = &rows[i];
		c = cpu(r->bits);
		if (mov_match(&c, r->bytes, r->have, (struct gpa){ r->gpa },
			r->write, &m) != r->match)
			fail_msg("%s: match", r->name);
		if (!r->match)
			continue;
		if (m.size != r->size || m.len != r->have ||
		    m.write != r->write)
			fail_msg("%s: shape", r->name);
		if (!r->write)
			mov_load(&c, &m, LOADED);
		if ((r->write ? m.value : c.gpr[R_RAX]) != r->value)
			fail_msg("%s: %#llx", r->name,
			    r->write ? m.value : c.gpr[R_RAX]);
	}
}

/* FS and GS have a base in 64-bit code, the others have none. */
static void
test_segment_base(void **state)
{
	static const u8 plain[] = { 0x89, 0x03 }, gs[] = { 0x65, 0x89, 0x03 };
	struct gcpu c = cpu(64);
	struct mov m;

	(void)state;
	c.seg[SEG_DS].base = c.seg[SEG_GS].base = 0x123;
	assert_true(mov_match(&c, plain, 2, (struct gpa){ BASE }, true, &m));
	assert_true(
	    mov_match(&c, gs, 3, (struct gpa){ BASE + 0x123 }, true, &m));
	c = cpu(32);
	c.seg[SEG_DS].base = 0x123;
	assert_true(
	    mov_match(&c, plain, 2, (struct gpa){ BASE + 0x123 }, true, &m));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_segment_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
