/* SPDX-License-Identifier: ISC */
/*
 * A kernel that checks what "Multiboot Specification" 0.6.96 promises one,
 * "Machine state" and "Boot information format".  Its command line is
 * "multiboot test", and its module, if it has one, begins with "module".  As
 * bsd.c, it waits for a line before it speaks, and before it turns itself off.
 */
#define NAME "mb"
#include "kernel.h"

#define PE 1U
#define PG (1U << 31)
#define IF 0x200U
#define VM 0x20000U

#define INFO_MEMORY  0x001U
#define INFO_CMDLINE 0x004U
#define INFO_MODULES 0x008U
#define INFO_MAP     0x040U
#define INFO_LOADER  0x200U

void mb(void);

/* Filled by mb.S. */
struct {
	uint32_t eax, ebx, cr0, cs, ds, es, fs, gs, ss, eflags;
} regs;
extern uint8_t kernel_end[];
static volatile uint32_t zeros[1024];

static void
check_registers(void)
{
	is("eax", regs.eax, 0x2badb002);
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
	uint32_t end = at + len, type;
	bool low = false;

	for (; at < end; at += word(at) + 4) {
		is("memory map, entry", word(at), 20);
		if (word(at) != 20)
			return;
		base = quad(at + 4);
		size = quad(at + 12);
		type = word(at + 20);
		if (base == 0)
			is("memory below the EBDA", size, 0x9fc00);
		if (base == MIB) {
			is("RAM, type", type, 1);
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
	uint32_t start = word(at), end = word(at + 4);

	is("module, aligned", start & 4095, 0);
	is("module, behind us", start >= (uintptr_t)kernel_end, 1);
	is("module, length", end - start, 5000);
	is("module", quad(start) & 0xffffffffffffULL, 0x656c75646f6dULL);
	is("module, string", *STRING(word(at + 8)), 0);
	is("module, reserved", word(at + 12), 0);
}

static void
check_info(uint32_t at)
{
	uint32_t want =
	    INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER;

	is("flags", word(at), want);
	is("lower memory", word(at + 4), 639);
	is("upper memory", word(at + 8), (low_end() - MIB) >> 10);
	is("command line", same(STRING(word(at + 16)), "multiboot test"), 1);
	is("modules", word(at + 20) < 2, 1);
	if (word(at + 20) == 1)
		check_module(word(at + 24));
	check_map(word(at + 48), word(at + 44));
	is("loader", same(STRING(word(at + 64)), "vmd"), 1);
}

static void
check_image(void)
{
	unsigned i;

	for (i = 0; i < 1024; i++)
		is("bss", zeros[i], 0);
}

void
mb(void)
{
	wait();
	say(word(regs.ebx + 20) != 0 ? "mb: a module\r\n"
				     : "mb: no module\r\n");
	check_registers();
	check_info(regs.ebx);
	check_image();
	say(wrong == 0 ? "mb: ok\r\n" : "mb: not ok\r\n");
	wait();
	off();
}
