/* SPDX-License-Identifier: ISC */
/*
 * A kernel, ELF32 or ELF64, with the note that names its "x86/HVM direct boot
 * ABI" entry point (XEN_ELFNOTE_PHYS32_ENTRY).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include "load_elf.h"

#define START_MAGIC 0x336ec578
#define CMDLINE_MAX 4095

/* "hvm_start_info" version 1, "hvm_modlist_entry", "hvm_memmap_table_entry" */
struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
struct start_module {
	uint64_t paddr, size, cmdline_paddr, reserved;
};
struct start_memory {
	uint64_t addr, size;
	uint32_t type, reserved;
};
static_assert(sizeof(struct start_info) == 56, "hvm_start_info");
static_assert(sizeof(struct start_module) == 32, "hvm_modlist_entry");
static_assert(sizeof(struct start_memory) == 24, "hvm_memmap_table_entry");

/* What is written at LOAD_PARAMS_GPA. */
struct params {
	struct start_info info;
	struct start_module module;
	struct start_memory map[LOAD_RANGES];
};

static int
write_params(const struct load *l, uint64_t initrd)
{
	struct load_range range[LOAD_RANGES];
	struct params p;
	unsigned i, n;
	int r;

	memset(&p, 0, sizeof(p));
	n = load_memmap(l, range);
	for (i = 0; i < n; i++) {
		p.map[i].addr = range[i].base;
		p.map[i].size = range[i].len;
		p.map[i].type = range[i].type;
	}
	p.info.magic = START_MAGIC;
	p.info.version = 1;
	p.info.cmdline_paddr = LOAD_CMDLINE_GPA;
	p.info.rsdp_paddr = l->in->rsdp.v;
	p.info.memmap_paddr = LOAD_PARAMS_GPA + offsetof(struct params, map);
	p.info.memmap_entries = n;
	if (initrd != 0) {
		p.module.paddr = initrd;
		p.module.size = l->initrd.size;
		p.info.nr_modules = 1;
		p.info.modlist_paddr =
		    LOAD_PARAMS_GPA + offsetof(struct params, module);
	}
	r = gmem_write(
	    l->in->mem, (struct gpa){ LOAD_PARAMS_GPA }, &p, sizeof(p));
	return r < 0 ? load_fail(l, r, "kernel: no low memory") : 0;
}

int
load_pvh(const struct load *l, const struct elf *img, struct load_out *out)
{
	uint64_t initrd;
	int r;

	if (img->pvh_entry < LOAD_HIGH_BASE || img->pvh_entry >= img->end)
		return load_fail(l, -ENOEXEC, "kernel: bad PVH entry point");
	if ((r = load_cmdline(l, CMDLINE_MAX)) < 0 ||
	    (r = load_initrd(l, img->end, UINT32_MAX, &initrd)) < 0 ||
	    (r = load_elf_copy(l, img)) < 0 ||
	    (r = write_params(l, initrd)) < 0)
		return r;
	*out = (struct load_out){
		.mode = LOAD_PROTECTED,
		.rip = img->pvh_entry,
		.rbx = LOAD_PARAMS_GPA,
	};
	return 0;
}
