/* SPDX-License-Identifier: ISC */
#ifndef GUEST_KERNEL_H
#define GUEST_KERNEL_H

/*
 * What test kernels share that look at what a loader has done: 32-bit code
 * without paging, or with all of memory where it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIB	    (1ULL << 20)
#define GIB	    (1ULL << 30)
#define COM1	    0x3f8
#define PM1_CONTROL 0xb004
#define S5	    0x3400
#define STRING(x)   (const char *)(uintptr_t)(x)

static unsigned wrong;

static void
out8(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t
in8(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void
say(const char *s)
{
	for (; *s != '\0'; s++) {
		while ((in8(COM1 + 5) & 0x20) == 0)
			;
		out8(COM1, (uint8_t)*s);
	}
}

/* A line of input: somebody looks at the console. */
static void
wait(void)
{
	do
		while ((in8(COM1 + 5) & 1) == 0)
			;
	while (in8(COM1) != '\n');
}

static void
say_hex(uint64_t v)
{
	char b[19] = "0x";
	unsigned i;

	for (i = 0; i < 16; i++)
		b[2 + i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
	b[18] = '\0';
	say(b);
}

static void
is(const char *what, uint64_t got, uint64_t want)
{
	if (got == want || wrong++ > 8)
		return;
	say(NAME ": wrong: ");
	say(what);
	say(" is ");
	say_hex(got);
	say(", not ");
	say_hex(want);
	say("\r\n");
}

static uint32_t
word(uint32_t addr)
{
	return *(volatile uint32_t *)(uintptr_t)addr;
}

static uint64_t
quad(uint32_t addr)
{
	return word(addr) | (uint64_t)word(addr + 4) << 32;
}

static bool
same(const char *a, const char *b)
{
	while (*a == *b && *a != '\0')
		a++, b++;
	return *a == *b;
}

static uint32_t
cmos(uint8_t reg)
{
	out8(0x70, reg);
	return in8(0x71);
}

/* RAM below the PCI hole ends there, by CMOS. */
static uint64_t
low_end(void)
{
	return 16 * MIB + ((uint64_t)(cmos(0x34) | cmos(0x35) << 8) << 16);
}

/* RAM above 4 GiB. */
static uint64_t
high_len(void)
{
	return (uint64_t)(cmos(0x5b) | cmos(0x5c) << 8 | cmos(0x5d) << 16)
	    << 16;
}

static void
off(void)
{
	__asm__ volatile("outw %0, %1"
			 :
			 : "a"((uint16_t)S5), "Nd"((uint16_t)PM1_CONTROL));
}

#endif
