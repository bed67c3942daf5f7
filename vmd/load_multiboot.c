/* SPDX-License-Identifier: ISC */
/*
 * "Multiboot Specification" 0.6.96: a kernel with a header in its first 8 KiB,
 * which is an ELF image or says itself where it goes.
 *
 * Invariant: what the kernel has is at 1 MiB and above, as for ELF images.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include "load_elf.h"
#include "load_multiboot.h"

/* "Header magic fields" */
#define MAGIC	    0x1badb002U
#define SEARCH	    8192U
#define WANT_KNOWN  0x0003U /* aligned modules, memory; always there */
#define WANT_MASK   0xffffU /* what a loader must know */
#define HAS_ADDRESS 0x10000U

/* "Machine state" */
#define EAX_MAGIC 0x2badb002U

/* "Boot information format" */
#define INFO_MEMORY  0x001U
#define INFO_CMDLINE 0x004U
#define INFO_MODULES 0x008U
#define INFO_MAP     0x040U
#define INFO_LOADER  0x200U
#define CMDLINE_MAX  4095
#define KIB	     1024U

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr, config_table, boot_loader_name;
	uint32_t apm_table;
};
struct module {
	uint32_t start, end, string, reserved;
};
struct memory {
	uint32_t size; /* of the rest */
	uint64_t base, len;
	uint32_t type;
} __attribute__((packed));
static_assert(offsetof(struct info, mmap_length) == 44, "Multiboot info");
static_assert(offsetof(struct info, boot_loader_name) == 64, "Multiboot info");
static_assert(sizeof(struct memory) == 24, "memory map");

/* What is written at LOAD_PARAMS_GPA. */
struct params {
	struct info info;
	struct module module;
	char name[8];
	struct memory map[LOAD_RANGES];
};
static_assert(sizeof(struct params) <= 4096, "what is above is the stack's");

/* Where the kernel is. */
struct place {
	uint64_t entry, end;
};

bool
load_multiboot_header(const struct load *l, struct multiboot *h)
{
	uint32_t b[SEARCH / sizeof(uint32_t)];
	uint64_t n = l->kernel.size < sizeof(b) ? l->kernel.size : sizeof(b);
	size_t i, words = n / sizeof(b[0]);

	if (load_peek(l, b, words * sizeof(b[0]), 0) < 0)
		return false;
	for (i = 0; i + 3 <= words; i++) {
		if (b[i] != MAGIC || b[i] + b[i + 1] + b[i + 2] != 0)
			continue;
		*h = (struct multiboot){ .off = i * sizeof(b[0]),
			.flags = b[i + 1] };
		if ((h->flags & HAS_ADDRESS) == 0)
			return true;
		if (words - i < 4 + sizeof(h->at) / sizeof(b[0]))
			continue;
		memcpy(&h->at, b + i + 3, sizeof(h->at));
		h->entry = b[i + 3 + sizeof(h->at) / sizeof(b[0])];
		return true;
	}
	return false;
}

/* "Header address fields" */
int
load_multiboot_flat(const struct load *l, uint64_t header,
    const struct multiboot_at *at, struct multiboot_image *im)
{
	uint64_t before = at->header - at->load, off, len, end;

	if (at->load > at->header || before > header)
		return load_fail(l, -ENOEXEC,
		    "kernel: multiboot header at %#x, loaded from %#x: not in "
		    "the file",
		    at->header, at->load);
	off = header - before;
	len = l->kernel.size - off;
	if (at->load_end != 0) {
		if (at->load_end < at->load || at->load_end - at->load > len)
			return load_fail(l, -ENODATA,
			    "kernel: truncated: %#x to %#x, from %#llx",
			    at->load, at->load_end, (unsigned long long)off);
		len = at->load_end - at->load;
	}
	end = at->load + len;
	if (at->bss_end > end)
		end = at->bss_end;
	*im = (struct multiboot_image){ off, len, at->load, end };
	return 0;
}

int
load_multiboot_copy(const struct load *l, const struct multiboot_image *im)
{
	if (im->base < LOAD_HIGH_BASE)
		return load_fail(l, -ENOEXEC,
		    "kernel: at %#llx, wants memory below 1 MiB",
		    (unsigned long long)im->base);
	if (im->end > l->ram_end)
		return load_fail(l, -ENOSPC,
		    "kernel: does not fit in %llu MiB of memory: to %#llx",
		    (unsigned long long)(l->in->mem->size >> 20),
		    (unsigned long long)im->end);
	return load_copy(l, &l->kernel, im->off, im->len, im->base);
}

static int
place_flat(const struct load *l, const struct multiboot *h, struct place *p)
{
	struct multiboot_image im;
	int r;

	if ((r = load_multiboot_flat(l, h->off, &h->at, &im)) < 0)
		return r;
	*p = (struct place){ h->entry, im.end };
	return load_multiboot_copy(l, &im);
}

int
load_multiboot_entry(
    const struct load *l, const struct elf *img, uint64_t *entry)
{
	struct elf_segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (load_elf_loaded(img, &s) && img->entry >= s.vaddr &&
		    img->entry - s.vaddr < s.memsz) {
			*entry = s.paddr + (img->entry - s.vaddr);
			return 0;
		}
	}
	*entry = img->entry + img->shift;
	return 0;
}

static int
place_elf(const struct load *l, const struct elf *img, struct place *p)
{
	int r;

	p->end = img->end;
	if ((r = load_multiboot_entry(l, img, &p->entry)) < 0)
		return r;
	return load_elf_copy(l, img);
}

static int
write_params(const struct load *l, uint64_t initrd)
{
	struct load_range range[LOAD_RANGES];
	struct params p = { .name = "vmd" };
	const uint32_t at = LOAD_PARAMS_GPA;
	unsigned i, n;
	int r;

	n = load_memmap(l, range);
	for (i = 0; i < n; i++)
		p.map[i] = (struct memory){ sizeof(p.map[i]) - 4, range[i].base,
			range[i].len, range[i].type };
	p.info.flags =
	    INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER;
	p.info.mem_lower = LOAD_LOW_END / KIB;
	p.info.mem_upper = (uint32_t)((l->ram_end - LOAD_HIGH_BASE) / KIB);
	p.info.cmdline = LOAD_CMDLINE_GPA;
	p.info.mods_addr = at + offsetof(struct params, module);
	p.info.mmap_addr = at + offsetof(struct params, map);
	p.info.mmap_length = n * (uint32_t)sizeof(p.map[0]);
	p.info.boot_loader_name = at + offsetof(struct params, name);
	if (initrd != 0) {
		p.info.mods_count = 1;
		p.module.start = (uint32_t)initrd;
		p.module.end = (uint32_t)(initrd + l->initrd.size);
		p.module.string = p.info.boot_loader_name + 3; /* "" */
	}
	r = gmem_write(l->in->mem, (struct gpa){ at }, &p, sizeof(p));
	return r < 0 ? load_fail(l, r, "kernel: no low memory") : 0;
}

int
load_multiboot(const struct load *l, const struct multiboot *h,
    const struct elf *img, struct load_out *out)
{
	bool flat = (h->flags & HAS_ADDRESS) != 0;
	struct place p = { 0 };
	uint64_t initrd;
	int r;

	if ((h->flags & WANT_MASK & ~WANT_KNOWN) != 0)
		return load_fail(l, -ENOEXEC,
		    "kernel: multiboot header at %#llx wants what there is not: "
		    "flags %#x",
		    (unsigned long long)h->off, h->flags);
	if (!flat && img == NULL)
		return load_fail(l, -ENOEXEC,
		    "kernel: multiboot header at %#llx without addresses, and "
		    "not an ELF file",
		    (unsigned long long)h->off);
	r = flat ? place_flat(l, h, &p) : place_elf(l, img, &p);
	if (r < 0)
		return r;
	if (p.entry < LOAD_HIGH_BASE || p.entry >= p.end)
		return load_fail(l, -ENOEXEC, "kernel: bad entry point %#llx",
		    (unsigned long long)p.entry);
	if ((r = load_cmdline(l, CMDLINE_MAX)) < 0 ||
	    (r = load_initrd(l, p.end, UINT32_MAX, &initrd)) < 0 ||
	    (r = write_params(l, initrd)) < 0)
		return r;
	*out = (struct load_out){
		.mode = LOAD_PROTECTED,
		.rip = p.entry,
		.rax = EAX_MAGIC,
		.rbx = LOAD_PARAMS_GPA,
	};
	return 0;
}
