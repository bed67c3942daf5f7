/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_MULTIBOOT_H
#define VMD_LOAD_MULTIBOOT_H

#include <stdbool.h>
#include <stdint.h>

struct elf;
struct load;
struct load_out;

/* As both versions have them. */
struct multiboot_at {
	uint32_t header, load, load_end, bss_end;
};
struct multiboot_image {
	uint64_t off, len; /* in the file */
	uint64_t base, end; /* in memory, with what is zero */
};

struct multiboot {
	uint64_t off; /* of the header in the file */
	uint32_t flags;
	struct multiboot_at at; /* if the flags say so */
	uint32_t entry; /* as well */
};

bool load_multiboot_header(const struct load *, struct multiboot *);
/* The image is NULL when it is not ELF. */
int load_multiboot(const struct load *, const struct multiboot *,
    const struct elf *, struct load_out *);

/* Of an image whose header, at an offset in the file, says where it goes. */
int load_multiboot_flat(const struct load *, uint64_t header,
    const struct multiboot_at *, struct multiboot_image *);
int load_multiboot_copy(const struct load *, const struct multiboot_image *);
/* An entry point is where it runs; here it is where it is loaded. */
int
load_multiboot_entry(const struct load *, const struct elf *, uint64_t *entry);

#endif
