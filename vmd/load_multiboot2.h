/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_MULTIBOOT2_H
#define VMD_LOAD_MULTIBOOT2_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct load;
struct load_out;

struct multiboot2 {
	uint32_t off, len; /* of the header in the file */
};

/* Where the kernel and what belongs to it are. */
struct multiboot2_place {
	const struct elf *img; /* as it is placed; NULL when it is not ELF */
	uint64_t base, end; /* of the image */
	bool moved; /* or could have been */
	uint64_t floor, limit; /* free RAM for all else */
};

bool load_multiboot2_header(const struct load *, struct multiboot2 *);
/* The image is NULL when it is not ELF; its segments are not yet checked. */
int load_multiboot2(const struct load *, const struct multiboot2 *,
    const struct elf *, struct load_out *);

/* Sections, the module and the tags, at LOAD_CMDLINE_GPA. */
int load_multiboot2_info(const struct load *, struct multiboot2_place *);

#endif
