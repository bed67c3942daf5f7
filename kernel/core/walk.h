/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef CORE_WALK_H
#define CORE_WALK_H

/*
 * The guest's own page tables: none, 32-bit, PSE, PAE, 4- and 5-level; WP,
 * NX, SMEP, SMAP, PKU; reserved bits; accessed and dirty bits set as the CPU
 * does (AMD APM vol. 2 "Page Translation and Protection", SDM vol. 3
 * "Paging").  PAE PDPTEs are read from memory at each walk, as AMD does.
 *
 * Addresses are canonical, and of 32 bits outside 64-bit mode: the caller saw
 * to that, as another address is no page fault.  Reserved bits that only one
 * vendor checks (bit 8 of upper entries) are not checked; 1 GiB pages exist,
 * as they do for the CPU under nested paging.
 */
#include "types.h"

enum walk_access {
	WALK_READ = 0,
	WALK_WRITE = 1 << 0,
	WALK_USER = 1 << 1, /* CPL 3 access */
	WALK_FETCH = 1 << 2,
	WALK_IMPLICIT = 1 << 3, /* supervisor access made by the CPU: GDT .. */
	WALK_PROBE = 1 << 4, /* set no A/D bits */
};

/* What the walk depends on; copied by the caller from struct gcpu. */
struct walk_env {
	u64 cr0, cr3, cr4, efer, rflags;
	u32 pkru;
	u8 maxphyaddr;
};

struct walk_ops {
	/* Guest physical memory; size 4 or 8, naturally aligned.  0, or
	 * -EFAULT when there is no RAM (the entry reads as not present). */
	int (*read)(void *arg, struct gpa, void *, unsigned size);
	/* Atomic; 0 done, -EAGAIN changed meanwhile (walk again); -EFAULT: no
	 * RAM, or read-only: the bits are lost, as on the bus. */
	int (*compare_swap)(
	    void *arg, struct gpa, u64 old, u64 new, unsigned size);
};

#define WALK_LEVELS 5

/* Rights that the entries down to one level leave. */
enum walk_rights {
	WALK_W = 1 << 0,
	WALK_U = 1 << 1,
	WALK_NX = 1 << 2,
};

/* The entries that were used, [level - 1], with the A and D bits that the walk
 * has set in them. */
struct walk_path {
	unsigned levels; /* 0: no paging */
	unsigned leaf; /* level of the leaf, 1 = 4 KiB */
	unsigned size; /* bytes of an entry: 4 or 8 */
	struct gpa addr[WALK_LEVELS];
	u64 entry[WALK_LEVELS];
	u8 rights[WALK_LEVELS]; /* enum walk_rights */
};

struct walk_result {
	struct walk_path path;
	struct gpa gpa;
	u64 page; /* size of the page in bytes */
	bool writable, user, nx; /* combined rights of the path */
};

/* 0: result filled.  1: a page fault, *error holds its error code. */
int walk(const struct walk_env *, const struct walk_ops *, void *arg,
    struct gva, unsigned access, struct walk_result *, u32 *error);

#endif
