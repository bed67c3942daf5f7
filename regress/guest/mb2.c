/* SPDX-License-Identifier: ISC */
/*
 * A kernel that checks what "Multiboot2 Specification" 2.0 promises one, "I386
 * machine state" and "Boot information".  Its command line, module and manners
 * are mb.c's.
 */
#define NAME "mb2"
#include "kernel.h"

#define PE 1U
#define PG (1U << 31)
#define IF 0x200U
#define VM 0x20000U

#define SHT_SYMTAB 2
#define SHDR_LEN   40
#define SYM_LEN	   16

void mb2(void);

/* Filled by mb2.S. */
struct {
	uint32_t eax, ebx, cr0, cs, ds, es, fs, gs, ss, eflags;
} regs;
extern uint8_t text_start[], kernel_end[];
static volatile uint32_t zeros[1024];
static unsigned seen[22];

static void
check_registers(void)
{
	is("eax", regs.eax, 0x36d76289);
	is("ebx, aligned", regs.ebx & 7, 0);
	is("cr0", regs.cr0 & (PE | PG), PE);
	is("eflags", regs.eflags & (IF | VM), 0);
	is("cs is not the data's", regs.cs != regs.ds, 1);
	is("es", regs.es, regs.ds);
	is("fs", regs.fs, regs.ds);
	is("gs", regs.gs, regs.ds);
	is("ss", regs.ss, regs.ds);
}

static void
check_map(uint32_t at, uint32_t len)
{
	uint64_t high = high_len(), base, size;
	uint32_t end = at + len;
	bool low = false;

	is("memory map, entries' size", word(at + 8), 24);
	is("memory map, version", word(at + 12), 0);
	for (at += 16; at < end; at += 24) {
		base = quad(at);
		size = quad(at + 8);
		is("memory map, reserved", word(at + 20), 0);
		if (base == 0)
			is("memory below the EBDA", size, 0x9fc00);
		if (base == MIB) {
			is("RAM, type", word(at + 16), 1);
			is("RAM, end", base + size, low_end());
			low = true;
		}
		if (base == 4 * GIB) {
			is("high RAM", size, high);
			high = 0;
		}
	}
	is("memory map, end", at, end);
	is("RAM is in the map", low, 1);
	is("high RAM without a range", high, 0);
}

static void
check_module(uint32_t at)
{
	uint32_t start = word(at + 8), end = word(at + 12);

	say("mb2: a module\r\n");
	is("module, aligned", start & 4095, 0);
	is("module, behind us", start >= (uintptr_t)kernel_end, 1);
	is("module, length", end - start, 5000);
	is("module", quad(start) & 0xffffffffffffULL, 0x656c75646f6dULL);
	is("module, string", *STRING(at + 16), 0);
}

/* The symbol of a function of ours is in the table, by its name. */
static void
check_symbols(uint32_t sh, uint32_t link)
{
	uint32_t at = word(sh + 12), end = at + word(sh + 20);
	uint32_t names = word(link + 12);
	bool found = false;

	is("symbols, behind us", at >= (uintptr_t)kernel_end, 1);
	is("strings, behind us", names >= (uintptr_t)kernel_end, 1);
	for (; at < end; at += SYM_LEN)
		if (same(STRING(names + word(at)), "mb2") &&
		    word(at + 4) == (uintptr_t)mb2)
			found = true;
	is("our symbol", found, 1);
}

static void
check_sections(uint32_t at, uint32_t len)
{
	uint32_t num = word(at + 8) & 0xffff, sh = at + 16, i;
	bool found = false;

	is("sections, entries' size", word(at + 8) >> 16, SHDR_LEN);
	is("sections", len, 16 + num * SHDR_LEN);
	is("names of sections", (word(at + 12) & 0xffff) < num, 1);
	for (i = 0; i < num; i++) {
		if (word(sh + i * SHDR_LEN + 4) != SHT_SYMTAB)
			continue;
		found = true;
		check_symbols(sh + i * SHDR_LEN,
		    sh + word(sh + i * SHDR_LEN + 24) * SHDR_LEN);
	}
	is("a table of symbols", found, 1);
}

static uint8_t
sum(uint32_t at, uint32_t len)
{
	uint8_t n = 0;

	while (len-- > 0)
		n += *(volatile uint8_t *)(uintptr_t)at++;
	return n;
}

/* The pointer, and the table that it points to. */
static void
check_rsdp(uint32_t at, uint32_t len, const char *name, uint32_t table)
{
	is("RSDP, signature", quad(at + 8), 0x2052545020445352ULL);
	is("RSDP, sum", sum(at + 8, 20), 0);
	is("RSDP, sum of all", sum(at + 8, len - 8), 0);
	is(name, word(table) == *(const uint32_t *)name, 1);
	is("its sum", sum(table, word(table + 4)), 0);
}

static void
check_tag(uint32_t at, uint32_t type, uint32_t len)
{
	switch (type) {
	case 1:
		is("command line", same(STRING(at + 8), "multiboot test"), 1);
		break;
	case 2:
		is("loader", same(STRING(at + 8), "vmd"), 1);
		break;
	case 3:
		check_module(at);
		break;
	case 4:
		is("lower memory", word(at + 8), 639);
		is("upper memory", word(at + 12), (low_end() - MIB) >> 10);
		break;
	case 6:
		check_map(at, len);
		break;
	case 9:
		check_sections(at, len);
		break;
	case 14:
		is("old RSDP", len, 28);
		check_rsdp(at, len, "RSDT", word(at + 8 + 16));
		break;
	case 15:
		is("new RSDP", len, 44);
		check_rsdp(at, len, "XSDT", word(at + 8 + 24));
		break;
	case 21:
		is("base", word(at + 8), (uintptr_t)text_start);
		break;
	default:
		is("a tag unasked for", type, 0);
	}
}

static void
check_info(uint32_t info)
{
	static const uint8_t want[] = {
		1,
		2,
		3,
		4,
		6,
		14,
		15,
#ifndef FLAT
		9,
		21,
#endif
	};
	uint32_t at = info + 8, end = info + word(info), type, len;
	unsigned i;

	is("reserved", word(info + 4), 0);
	while (at + 8 < end && wrong < 8) {
		type = word(at);
		len = word(at + 4);
		if (type < 22)
			seen[type]++;
		check_tag(at, type, len);
		at += (len + 7) & ~7U;
	}
	is("last tag", quad(at), 8ULL << 32);
	is("end", at + 8, end);
	for (i = 0; i < sizeof(want); i++)
		is("tags of a kind", seen[want[i]], 1);
}

static void
check_image(void)
{
	unsigned i;

	for (i = 0; i < 1024; i++)
		is("bss", zeros[i], 0);
}

void
mb2(void)
{
	wait();
	check_registers();
	check_info(regs.ebx);
	check_image();
	say(wrong == 0 ? "mb2: ok\r\n" : "mb2: not ok\r\n");
	wait();
	off();
}
