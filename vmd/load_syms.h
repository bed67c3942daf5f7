/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_SYMS_H
#define VMD_LOAD_SYMS_H

#include <stdint.h>

struct elf;
struct load;

/*
 * An ELF header, section headers and symbols behind the kernel, for its
 * debugger.  *end: of it all, and of what the kernel must not use.
 */
int load_syms(const struct load *, const struct elf *, uint64_t *end);

#endif
