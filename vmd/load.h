/* SPDX-License-Identifier: ISC */
#ifndef VMD_LOAD_H
#define VMD_LOAD_H

/*
 * Kernel loaders.  Images are hostile: every field is checked by subtraction
 * before use, all reads are bounded by fstat's size and go straight into
 * guest memory.  A refusal is one line in the user's words.
 *
 * Low memory while the kernel starts:
 *   0x00001000  GDT            0x00009000  page tables, 6 pages
 *   0x00002000  TSS            0x00020000  command line / multiboot2 tags
 *   0x00007000  zero page / hvm_start_info, memory map, modules / bootargs
 *   0x00008000  stack of an OpenBSD kernel
 *   0x000e0000  ACPI tables
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"

#define LOAD_GDT_GPA	 0x1000ULL
#define LOAD_TSS_GPA	 0x2000ULL
#define LOAD_PARAMS_GPA	 0x7000ULL
#define LOAD_STACK_GPA	 0x8000ULL
#define LOAD_PAGES_GPA	 0x9000ULL
#define LOAD_CMDLINE_GPA 0x20000ULL
#define LOAD_LOW_END	 0x9fc00ULL /* conventional memory ends */
#define LOAD_HIGH_BASE	 0x100000ULL
#define LOAD_WHY_MAX	 160

/*
 * Is the file firmware, a ROM, by its length and first bytes?  The length, or
 * 0 for a kernel or what no loader takes.
 */
uint32_t load_is_firmware(int fd);
/* Does it begin with a firmware volume, as UEFI's do? */
bool load_is_uefi(int fd);
/* The length, or 0 for a file that is not as flash is, of at most max bytes. */
uint32_t load_flash_size(int fd, uint32_t max);
/* The length, or 0 for a file that no floppy disk is as long as. */
uint32_t load_floppy_size(int fd);
/* The first len bytes of what the file is; 0 or -errno with one line in why. */
int load_file(int fd, const char *what, uint8_t *to, uint32_t len,
    char why[LOAD_WHY_MAX]);

struct load_in {
	const struct gmem *mem;
	int kernel; /* regular files, not closed here */
	int initrd; /* -1: none */
	const char *cmdline;
	struct gpa rsdp;
	bool screen; /* there is one, in 80 by 25 text */
};

/* How the boot processor starts, with flat segments (vcpu_state.c). */
enum load_mode {
	LOAD_PROTECTED, /* no paging */
	LOAD_LONG,
	LOAD_BSD32, /* 32-bit paging, 4 MiB pages */
	LOAD_BSD64, /* long mode, in a 32-bit code segment */
	LOAD_MODES
};
struct load_out {
	enum load_mode mode;
	uint64_t rip, rax, rbx, rsi, rsp, cr3;
};

/* Returns 0 and fills out, or -errno with one line in why. */
int
load_kernel(const struct load_in *, struct load_out *, char why[LOAD_WHY_MAX]);

/* For the loaders. */
struct load_file {
	const char *what;
	int fd;
	const uint8_t *bytes; /* instead, when they are in memory */
	uint64_t size;
};

struct load {
	const struct load_in *in;
	struct load_file kernel, initrd;
	uint64_t ram_end; /* end of RAM below the PCI hole */
	char *why;
};

struct load_range {
	uint64_t base, len;
	uint32_t type; /* E820: 1 RAM, 2 reserved */
};
#define LOAD_RANGES 8

int load_bzimage(const struct load *, struct load_out *);
int load_elf(const struct load *, struct load_out *);
/* The kernel is a gzip file: read from *bytes, to be freed, from now on. */
int load_gunzip(struct load *, uint8_t **bytes);
int load_fail(const struct load *, int error, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* Exactly len bytes of the kernel file; -ENODATA when there are less. */
int load_peek(const struct load *, void *, size_t len, uint64_t off);
/* File bytes to guest memory, which must be RAM; -errno with a reason. */
int load_copy(const struct load *, const struct load_file *, uint64_t off,
    uint64_t len, uint64_t gpa);
/*
 * The initrd, as high as it fits in [floor, limit].  *gpa 0 when there is
 * none.
 */
int
load_initrd(const struct load *, uint64_t floor, uint64_t limit, uint64_t *gpa);
int load_cmdline(const struct load *, size_t max);
unsigned load_memmap(const struct load *, struct load_range *);

#endif
