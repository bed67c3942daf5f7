/* SPDX-License-Identifier: ISC */
/*
 * A kernel that looks like OpenBSD's to the loader and checks all that the
 * loader promises one: registers, segments, page tables, stack, bootargs, the
 * memory map, random bytes, symbols.  After a line of input on COM1 it says
 * "bsd: ok" there, or what is wrong; after another one it turns itself off (ACPI,
 * as atom.S).
 *
 * The ELF64 kernel is the same code in the other format, as OpenBSD's entry
 * code is 32-bit code too; it is told by EFER.
 */
#define NAME "bsd"
#include "kernel.h"

#define PE	 (1U << 0)
#define PG	 (1U << 31)
#define PSE	 (1U << 4)
#define PAE	 (1U << 5)
#define LME	 (1U << 8)
#define LMA	 (1U << 10)
#define PAGE_RWU 7U /* present, writable, user */
#define PAGE_PS	 0x80U
#define ACCESSED 0x60U /* and dirty: the CPU's, not the loader's */

#define MEMMAP	0U
#define CONSDEV 5U
#define END	UINT32_MAX

void bsd(void);

struct registers {
	uint32_t esp, eflags, cr0, cr3, cr4, efer, cs, ds, es, fs, gs, ss;
};
struct range {
	uint64_t base, len;
	uint32_t type;
} __attribute__((packed));

/* Filled by bsd.S. */
struct registers regs;
struct {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed)) gdtr;
extern uint8_t random[], random_end[], kernel_end[], start[];

static volatile uint32_t zeros[1024];

static void
check_registers(bool elf64)
{
	is("eflags", regs.eflags, 2);
	is("cr0", regs.cr0 & (PE | PG), PE | PG);
	is("cr4", regs.cr4, elf64 ? PAE | PSE : PSE);
	is("efer", regs.efer, elf64 ? LME | LMA : 0);
	is("cs", regs.cs & 0xffff, 0x08);
	is("ds", regs.ds & 0xffff, 0x10);
	is("es", regs.es & 0xffff, 0x10);
	is("fs", regs.fs & 0xffff, 0x10);
	is("gs", regs.gs & 0xffff, 0x10);
	is("ss", regs.ss & 0xffff, 0x10);
}

/* The accessed bits of descriptors are set by the loader. */
static void
check_gdt(void)
{
	is("gdt has room", gdtr.limit >= 4 * 8 - 1, 1);
	is("gdt 0", quad(gdtr.base), 0);
	is("gdt code", quad(gdtr.base + 8), 0x00cf9b000000ffffULL);
	is("gdt data", quad(gdtr.base + 16), 0x00cf93000000ffffULL);
	is("gdt long code", quad(gdtr.base + 24), 0x00af9b000000ffffULL);
}

static void
check_pages64(void)
{
	uint64_t l4 = quad(regs.cr3), l3;
	uint32_t i;

	is("level 4", l4 & 0xf9f, PAGE_RWU);
	l3 = quad((uint32_t)l4 & ~0xfffU);
	is("level 3", l3 & 0xf9f, PAGE_RWU);
	for (i = 1; i < 512; i++) {
		is("level 4, rest", quad(regs.cr3 + 8 * i), 0);
		is("level 3, rest", quad(((uint32_t)l4 & ~0xfffU) + 8 * i), 0);
	}
	for (i = 0; i < 512; i++)
		is("level 2",
		    quad(((uint32_t)l3 & ~0xfffU) + 8 * i) &
			~(uint64_t)ACCESSED,
		    (uint64_t)i << 21 | PAGE_PS | PAGE_RWU);
}

static void
check_pages32(void)
{
	uint32_t i;

	for (i = 0; i < 1024; i++)
		is("directory", word(regs.cr3 + 4 * i) & ~ACCESSED,
		    i << 22 | PAGE_PS | PAGE_RWU);
}

/* RAM to the last byte, as CMOS says it; the hole below 1 MiB; ACPI. */
static void
check_memmap(uint32_t at, uint32_t size)
{
	const struct range *r = (const struct range *)(uintptr_t)at;
	uint32_t n = size / sizeof(*r), i;
	uint64_t low = low_end(), high = high_len();
	bool tables = false;

	is("memory map, bytes left over", size % sizeof(*r), 0);
	is("memory map, ranges", n >= 5, 1);
	is("memory map, end", r[n - 1].base | r[n - 1].len | r[n - 1].type, 0);
	is("range 0", r[0].base, 0);
	is("range 0, type", r[0].type, 1);
	is("range 0, below the EBDA", r[0].len, 0x9fc00);
	for (i = 0; i + 1 < n; i++) {
		is("range, type", r[i].type == 1 || r[i].type == 2, 1);
		if (i > 0)
			is("ranges ascend",
			    r[i].base >= r[i - 1].base + r[i - 1].len, 1);
		if (r[i].base == 0xe0000)
			tables = r[i].type == 2 &&
			    quad(0xe0000) ==
				0x2052545020445352ULL; /* RSD PTR */
		if (r[i].base == MIB) {
			is("RAM, type", r[i].type, 1);
			is("RAM, end", r[i].base + r[i].len, low);
		}
		if (r[i].base == 4 * GIB) {
			is("high RAM, type", r[i].type, 1);
			is("high RAM", r[i].len, high);
			high = 0;
		}
	}
	is("high RAM without a range", high, 0);
	is("ACPI tables, reserved", tables, 1);
}

static void
check_console(uint32_t at, uint32_t size)
{
	is("console, size", size, 32);
	is("console, com0", word(at), 0x800);
	is("console, speed", word(at + 4), 115200);
	is("console, port", quad(at + 8), COM1);
	is("console, frequency", word(at + 16), 0);
	is("console, flags", word(at + 20), 0);
}

static void
check_bootargs(uint32_t at, uint32_t size)
{
	uint32_t off, len, seen = 0;

	for (off = 0; off + 12 <= size && word(at + off) != END; off += len) {
		len = word(at + off + 4);
		is("bootarg, next", word(at + off + 8), len);
		is("bootarg, fits", len > 12 && len <= size - off, 1);
		if (len <= 12 || len > size - off)
			return;
		if (word(at + off) == MEMMAP)
			check_memmap(at + off + 12, len - 12);
		else if (word(at + off) == CONSDEV)
			check_console(at + off + 12, len - 12);
		else
			is("bootarg, type", word(at + off), MEMMAP);
		seen |= 1U << word(at + off);
	}
	is("bootargs", seen, 1U << MEMMAP | 1U << CONSDEV);
	is("bootargs, end", word(at + off), END);
	is("bootargs, size", off + 4, size);
}

/* The symbol "start", by the headers at base.  The last one of a name counts:
 * a symbol table is behind its own headers. */
static void
check_symbols(bool elf64, uint32_t base, uint32_t end)
{
	uint32_t sh = base + (elf64 ? 64 : 52), shsize = elf64 ? 64 : 40;
	uint32_t n = word(base + (elf64 ? 60 : 48)) & 0xffff, i, k;
	uint32_t tab = 0, tablen = 0, str = 0, sym, found = 0;
	uint32_t last = sh + n * shsize, off, len, head;

	is("ELF header", word(base), 0x464c457f);
	is("program headers", word(base + (elf64 ? 56 : 44)) & 0xffff, 0);
	is("section headers at", word(base + (elf64 ? 40 : 32)), sh - base);
	for (i = 0; i < n && i < 64; i++) {
		head = sh + i * shsize;
		off = word(head + (elf64 ? 24 : 16));
		len = word(head + (elf64 ? 32 : 20));
		if (word(head + 4) != 2 && word(head + 4) != 3)
			continue;
		is("section is there", word(head + 8) & 2, 2);
		is("section, aligned", off % (elf64 ? 8 : 4), 0);
		if (base + off + len > last)
			last = base + off + len;
		if (word(head + 4) != 2)
			continue;
		tab = base + off;
		tablen = len;
		k = word(head + (elf64 ? 40 : 24));
		str = base + word(sh + k * shsize + (elf64 ? 24 : 16));
	}
	is("a symbol table", tab != 0, 1);
	is("end", end, (last + (elf64 ? 7U : 3U)) & ~(elf64 ? 7U : 3U));
	for (sym = tab; sym < tab + tablen; sym += elf64 ? 24 : 16)
		if (same(STRING(str + word(sym)), "start"))
			found = word(sym + (elf64 ? 8 : 4));
	is("symbol start", found, (uintptr_t)start);
}

static void
check_random(void)
{
	unsigned i, set = 0;

	for (i = 0; random + i < random_end; i++)
		set += random[i] != 0;
	is("random bytes", set > 32, 1);
	for (i = 0; i < 1024; i++)
		is("bss", zeros[i], 0);
}

static void
check_all(void)
{
	bool elf64 = (regs.efer & LMA) != 0;
	uint32_t align = elf64 ? 7 : 3;

	check_registers(elf64);
	check_gdt();
	if (elf64)
		check_pages64();
	else
		check_pages32();
	is("howto", word(regs.esp + 4), 0);
	is("bootdev", word(regs.esp + 8), 0xa0000004);
	is("apiver", word(regs.esp + 12), 0x0e);
	check_symbols(elf64, ((uintptr_t)kernel_end + align) & ~align,
	    word(regs.esp + 16));
	is("extended memory", word(regs.esp + 20), 0);
	is("base memory", word(regs.esp + 24), 0);
	check_bootargs(word(regs.esp + 32), word(regs.esp + 28));
	check_random();
}

void
bsd(void)
{
	bool elf64 = (regs.efer & LMA) != 0;

	wait();
	say(elf64 ? "bsd: ELF64\r\n" : "bsd: ELF32\r\n");
	check_all();
	say(wrong == 0 ? "bsd: ok\r\n" : "bsd: not ok\r\n");
	wait();
	off();
}
