/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_ELF_H
#define VMD_LOAD_ELF_H

/*
 * What the loaders of ELF images share.  Both classes are converted to one
 * form here.
 */
#include <stdbool.h>
#include <stdint.h>
#include "load.h"

#define PT_OPENBSD_RANDOMIZE 0x65a3dbe6U

struct elf_segment {
	uint32_t type, flags;
	uint64_t off, filesz; /* in the file */
	uint64_t memsz, vaddr, paddr; /* paddr: as it is placed */
};

struct elf {
	bool elf64;
	bool openbsd; /* has a segment of random bytes */
	bool pvh; /* has an entry point for it */
	uint32_t pvh_entry;
	unsigned n; /* program headers */
	uint64_t phoff;
	uint64_t entry; /* as it is placed, as segments */
	uint64_t shoff;
	unsigned shentsize, shnum, shstrndx;
	uint64_t end; /* of the highest byte of a segment */
	uint64_t shift; /* to where it is moved, modulo 2^64 */
};

int load_elf_segment(
    const struct load *, const struct elf *, unsigned i, struct elf_segment *);
/* Is it one that is in memory? */
bool load_elf_loaded(const struct elf *, const struct elf_segment *);
/* What can be refused is refused here, before a byte is loaded; finds end. */
int load_elf_check(const struct load *, struct elf *);
/* Fresh guest memory is zero: so is what a segment has beyond its file. */
int load_elf_copy(const struct load *, const struct elf *);

int load_pvh(const struct load *, const struct elf *, struct load_out *);
int load_openbsd(const struct load *, const struct elf *, struct load_out *);

#endif
