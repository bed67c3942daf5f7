/* SPDX-License-Identifier: ISC */
/*
 * Which values control registers take, from which state, as rows.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdint.h>

#include "cpu.h"
#include "x86.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define PE    X86_CR0_PE
#define PG    X86_CR0_PG
#define ET    X86_CR0_ET
#define PAE   X86_CR4_PAE
#define PCIDE X86_CR4_PCIDE
#define LA57  X86_CR4_LA57
#define LME   X86_EFER_LME
#define LMA   X86_EFER_LMA

#define CR4_VALID (0x7ffULL | PCIDE | LA57 | X86_CR4_OSXSAVE)

static void
need(struct gcpu *c, unsigned groups)
{
	c->valid |= groups;
}

static const struct gcpu_ops ops = { need };

struct state {
	u64 cr0, cr3, cr4, efer;
	u16 cs; /* SEG_L, SEG_DB */
};

static void
set_up(struct gcpu *c, const struct state *s)
{
	*c = (struct gcpu){ .cr0 = s->cr0,
		.cr3 = s->cr3,
		.cr4 = s->cr4,
		.efer = s->efer,
		.ops = &ops,
		.maxphyaddr = 40,
		.cr4_valid = CR4_VALID,
		.efer_valid = X86_EFER_SCE | LME | LMA | X86_EFER_NXE,
		.xcr0 = 1,
		.xcr0_valid = 0x2e7 };
	c->seg[SEG_CS].attr = SEG_P | SEG_S | 0xb | s->cs;
}

enum { OK, GP };

struct row {
	const char *name;
	struct state before;
	int (*set)(struct gcpu *, u64);
	u64 val;
	int result;
	u64 reads, efer; /* afterwards, when OK */
};

#define REAL                   \
	{                      \
		ET, 0, 0, 0, 0 \
	}
#define PROT                             \
	{                                \
		ET | PE, 0, 0, 0, SEG_DB \
	}
#define READY                                     \
	{                                         \
		ET | PE, 0x1000, PAE, LME, SEG_DB \
	} /* for long mode */
#define COMPAT                                               \
	{                                                    \
		ET | PE | PG, 0x1000, PAE, LME | LMA, SEG_DB \
	}
#define LONG                                                \
	{                                                   \
		ET | PE | PG, 0x1000, PAE, LME | LMA, SEG_L \
	}
#define LONGPCID                                                     \
	{                                                            \
		ET | PE | PG, 0x1000, PAE | PCIDE, LME | LMA, SEG_DB \
	}

static const struct row rows[] = {
	{ "protected mode", REAL, cpu_set_cr0, PE, OK, PE | ET, 0 },
	{ "reserved bits read 0", REAL, cpu_set_cr0, PE | 0xffc0, OK, PE | ET,
	    0 },
	{ "high bits", LONG, cpu_set_cr0, 1ULL << 32 | PE | PG, GP, 0, 0 },
	{ "paging without protection", REAL, cpu_set_cr0, PG, GP, 0, 0 },
	{ "NW without CD", REAL, cpu_set_cr0, X86_CR0_NW, GP, 0, 0 },
	{ "NW and CD", REAL, cpu_set_cr0, X86_CR0_NW | X86_CR0_CD, OK,
	    X86_CR0_NW | X86_CR0_CD | ET, 0 },
	{ "paging", PROT, cpu_set_cr0, PE | PG, OK, PE | PG | ET, 0 },
	{ "into long mode", READY, cpu_set_cr0, PE | PG, OK, PE | PG | ET,
	    LME | LMA },
	{ "into long mode without PAE", { ET | PE, 0, 0, LME, SEG_DB },
	    cpu_set_cr0, PE | PG, GP, 0, 0 },
	{ "into long mode from an L segment", { ET | PE, 0, PAE, LME, SEG_L },
	    cpu_set_cr0, PE | PG, GP, 0, 0 },
	{ "into long mode, CR3 too large",
	    { ET | PE, 1ULL << 40, PAE, LME, SEG_DB }, cpu_set_cr0, PE | PG, GP,
	    0, 0 },
	{ "out of long mode", COMPAT, cpu_set_cr0, PE, OK, PE | ET, LME },
	{ "out of 64-bit mode", LONG, cpu_set_cr0, PE, GP, 0, 0 },
	{ "out of long mode under PCIDE", LONGPCID, cpu_set_cr0, PE, GP, 0, 0 },
	{ "WP in long mode", LONG, cpu_set_cr0, PE | PG | X86_CR0_WP, OK,
	    PE | PG | X86_CR0_WP | ET, LME | LMA },

	{ "CR3", LONG, cpu_set_cr3, 0x123456018, OK, 0x123456018, LME | LMA },
	{ "CR3, the last address bit", LONG, cpu_set_cr3, 1ULL << 39, OK,
	    1ULL << 39, LME | LMA },
	{ "CR3, beyond", LONG, cpu_set_cr3, 1ULL << 40, GP, 0, 0 },
	{ "CR3, no flush without PCIDE", LONG, cpu_set_cr3, 1ULL << 63, GP, 0,
	    0 },
	{ "CR3, no flush", LONGPCID, cpu_set_cr3, 1ULL << 63 | 0x2005, OK,
	    0x2005, LME | LMA },
	{ "CR3 of a 32-bit guest", PROT, cpu_set_cr3, 0xfffff000, OK,
	    0xfffff000, 0 },

	{ "CR4", PROT, cpu_set_cr4, X86_CR4_PSE, OK, X86_CR4_PSE, 0 },
	{ "CR4, what the CPU has not", PROT, cpu_set_cr4, X86_CR4_SMEP, GP, 0,
	    0 },
	{ "CR4, high bits", LONG, cpu_set_cr4, PAE | 1ULL << 32, GP, 0, 0 },
	{ "PAE off in long mode", LONG, cpu_set_cr4, 0, GP, 0, 0 },
	{ "PAE off", READY, cpu_set_cr4, 0, OK, 0, LME },
	{ "LA57 in long mode", LONG, cpu_set_cr4, PAE | LA57, GP, 0, 0 },
	{ "LA57 before it", READY, cpu_set_cr4, PAE | LA57, OK, PAE | LA57,
	    LME },
	{ "PCIDE outside long mode", READY, cpu_set_cr4, PAE | PCIDE, GP, 0,
	    0 },
	{ "PCIDE", LONG, cpu_set_cr4, PAE | PCIDE, OK, PAE | PCIDE, LME | LMA },
	{ "PCIDE with a PCID", { ET | PE | PG, 0x1001, PAE, LME | LMA, SEG_L },
	    cpu_set_cr4, PAE | PCIDE, GP, 0, 0 },
	{ "PCIDE stays with a PCID",
	    { ET | PE | PG, 0x1001, PAE | PCIDE, LME | LMA, SEG_L },
	    cpu_set_cr4, PAE | PCIDE | X86_CR4_PGE, OK,
	    PAE | PCIDE | X86_CR4_PGE, LME | LMA },
};

static u64
read_back(const struct gcpu *c, const struct row *r)
{
	if (r->set == cpu_set_cr0)
		return c->cr0;
	if (r->set == cpu_set_cr3)
		return c->cr3;
	return c->cr4;
}

static void
test_set(void **state)
{
	const struct row *r;
	struct gcpu c, was;
	size_t i;

	for (i = 0; i < COUNT(rows); i++) {
		r = &rows[i];
		set_up(&c, &r->before);
		was = c;
		if (r->set(&c, r->val) != r->result)
			fail_msg("%s: result", r->name);
		if (r->result == GP) {
			if (memcmp(&c, &was, sizeof(c)) != 0)
				fail_msg("%s: something changed", r->name);
			continue;
		}
		if (read_back(&c, r) != r->reads || c.efer != r->efer)
			fail_msg("%s: %llx, EFER %llx", r->name,
			    read_back(&c, r), c.efer);
		if (!(c.dirty & CPU_CRS))
			fail_msg("%s: not written back", r->name);
	}
}

/* A state that user space sets as a whole. */
static const struct {
	const char *name;
	u64 cr0, cr3, cr4, efer;
	bool allowed;
} whole_rows[] = {
	{ "real mode", ET, 0, 0, 0, true },
	{ "protected, paging", ET | PE | PG, 0x1000, 0, 0, true },
	{ "long mode", ET | PE | PG, 0x1000, PAE, LME | LMA, true },
	{ "long mode, PCID", ET | PE | PG, 0x1005, PAE | PCIDE, LME | LMA,
	    true },
	{ "LME alone", ET | PE, 0, PAE, LME, true },
	{ "LMA without paging", ET | PE, 0, PAE, LME | LMA, false },
	{ "paging and LME without LMA", ET | PE | PG, 0, PAE, LME, false },
	{ "long mode without PAE", ET | PE | PG, 0, 0, LME | LMA, false },
	{ "paging without protection", ET | PG, 0, 0, 0, false },
	{ "NW without CD", ET | X86_CR0_NW, 0, 0, 0, false },
	{ "high bits of CR0", ET | 1ULL << 32, 0, 0, 0, false },
	{ "CR3 beyond", ET | PE | PG, 1ULL << 40, PAE, LME | LMA, false },
	{ "CR3 beyond, not long", ET | PE, 1ULL << 40, 0, 0, true },
	{ "CR4 unknown", ET, 0, 1ULL << 31, 0, false },
	{ "EFER unknown", ET, 0, 0, X86_EFER_SVME, false },
	{ "PCIDE outside long mode", ET | PE | PG, 0x1000, PAE | PCIDE, 0,
	    false },
};

static void
test_whole(void **state)
{
	struct gcpu c;
	size_t i;

	set_up(&c, &(struct state){ 0 });
	for (i = 0; i < COUNT(whole_rows); i++) {
		if (cpu_crs_allowed(&c, whole_rows[i].cr0, whole_rows[i].cr3,
			whole_rows[i].cr4,
			whole_rows[i].efer) != whole_rows[i].allowed)
			fail_msg("%s", whole_rows[i].name);
	}
}

static const struct {
	const char *name;
	struct state s;
	u64 rflags;
	unsigned bits;
} mode_rows[] = {
	{ "real mode", REAL, 0, 16 },
	{ "real mode, D left set", { ET, 0, 0, 0, SEG_DB }, 0, 16 },
	{ "16-bit segment", { ET | PE, 0, 0, 0, 0 }, 0, 16 },
	{ "32-bit segment", PROT, 0, 32 },
	{ "virtual 8086", PROT, X86_RFLAGS_VM, 16 },
	{ "compatibility, 32", COMPAT, 0, 32 },
	{ "compatibility, 16", { ET | PE | PG, 0, PAE, LME | LMA, 0 }, 0, 16 },
	{ "64-bit", LONG, 0, 64 },
	{ "L without long mode", { ET | PE, 0, 0, 0, SEG_L | SEG_DB }, 0, 32 },
};

static void
test_mode(void **state)
{
	struct gcpu c;
	size_t i;

	for (i = 0; i < COUNT(mode_rows); i++) {
		set_up(&c, &mode_rows[i].s);
		c.rflags = mode_rows[i].rflags;
		if (cpu_mode_bits(&c) != mode_rows[i].bits)
			fail_msg(
			    "%s: %u", mode_rows[i].name, cpu_mode_bits(&c));
	}
}

static const struct {
	const char *name;
	u64 val;
	bool allowed;
} xcr0_rows[] = {
	{ "XCR0", 7, true },
	{ "XCR0 without x87", 6, false },
	{ "XCR0, AVX without SSE", 5, false },
	{ "XCR0, what the CPU has not", 0xf, false },
	{ "XCR0, AVX-512", 0xe7, true },
	{ "XCR0, AVX-512 in part", 0x67, false },
	{ "XCR0, AVX-512 without AVX", 0xe3, false },
	{ "XCR0, PKRU", 0x203, true },
};

static void
test_xcr0(void **state)
{
	struct gcpu c;
	size_t i;

	set_up(&c, &(struct state){ 0 });
	for (i = 0; i < COUNT(xcr0_rows); i++) {
		if (cpu_xcr0_allowed(&c, xcr0_rows[i].val) !=
		    xcr0_rows[i].allowed)
			fail_msg("%s", xcr0_rows[i].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_mode),
		cmocka_unit_test(test_xcr0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
