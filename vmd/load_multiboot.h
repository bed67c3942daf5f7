/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_MULTIBOOT_H
#define VMD_LOAD_MULTIBOOT_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct load;
struct load_out;

struct multiboot {
	uint64_t off; /* of the header in the file */
	uint32_t flags;
	struct {
		uint32_t header, load, load_end, bss_end, entry;
	} at; /* if the flags say so */
};

bool load_multiboot_header(const struct load *, struct multiboot *);
/* The image is NULL when it is not ELF. */
int load_multiboot(const struct load *, const struct multiboot *,
    const struct elf *, struct load_out *);

#endif
