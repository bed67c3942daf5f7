/* SPDX-License-Identifier: ISC */
/*
 * Linux bzImage, "The Linux/x86 Boot Protocol" 2.06 or later: entered by the
 * "64-bit Boot Protocol" when the image has a 64-bit entry point, else by the
 * "32-bit Boot Protocol".  The real-mode part never runs; the zero page is
 * built here.
 *
 * Invariant: of the image's header only the copy in boot_params is used, and
 * no field of it before its check.
 */
#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "load.h"

#define SECTOR	      512ULL
#define PARAGRAPH     16
#define HDR_OFF	      0x1f1ULL
#define HDR_FIXED     0x202ULL /* jump's target counts from here */
#define BOOT_FLAG     0xaa55
#define PROTO_MIN     0x0206 /* cmdline_size */
#define PROTO_INIT    0x020a /* pref_address, init_size */
#define PROTO_XLF     0x020c /* xloadflags */
#define LOADER_OTHER  0xff /* type_of_loader: undefined loader */
#define ENTRY_64      0x200 /* "64-bit Boot Protocol" */
#define ALIGN_DEFAULT 0x200000ULL
#define MIB	      (1ULL << 20)

static_assert(sizeof(struct boot_params) == 4096, "zero page");
static_assert(offsetof(struct boot_params, hdr) == HDR_OFF, "zero page");
static_assert(
    offsetof(struct boot_params, acpi_rsdp_addr) == 0x70, "zero page");

/* The header, up to the end that it states itself. */
static int
read_header(const struct load *l, struct setup_header *h)
{
	uint8_t fixed[HDR_FIXED - HDR_OFF];
	uint64_t len;
	int r;

	if ((r = load_peek(l, fixed, sizeof(fixed), HDR_OFF)) < 0)
		return load_fail(l, r, "kernel: truncated");
	/* 0x201 holds the jump's distance: "0x0202 + byte value at 0x0201" */
	len = HDR_FIXED + fixed[0x201 - HDR_OFF] - HDR_OFF;
	if (len > sizeof(*h))
		len = sizeof(*h);
	memset(h, 0, sizeof(*h));
	if ((r = load_peek(l, h, len, HDR_OFF)) < 0)
		return load_fail(l, r, "kernel: truncated");
	if (h->boot_flag != BOOT_FLAG)
		return load_fail(l, -ENOEXEC, "kernel: not a kernel image");
	if (h->version < PROTO_MIN)
		return load_fail(l, -ENOEXEC,
		    "kernel: boot protocol %u.%02u is too old (2.06 needed)",
		    h->version >> 8, h->version & 0xff);
	if (!(h->loadflags & LOADED_HIGH))
		return load_fail(l, -ENOEXEC, "kernel: not a bzImage");
	return 0;
}

/* Where the protected-mode part is in the file, whose end need not fill the
 * last paragraph. */
static int
find_payload(const struct load *l, const struct setup_header *h, uint64_t *off,
    uint64_t *len)
{
	uint64_t sects = h->setup_sects == 0 ? 4 : h->setup_sects;

	*off = (sects + 1) * SECTOR;
	*len = (uint64_t)h->syssize * PARAGRAPH;
	if (*len <= ENTRY_64)
		return load_fail(l, -ENOEXEC, "kernel: no code in it");
	if (*off > l->kernel.size || *len >= l->kernel.size - *off + PARAGRAPH)
		return load_fail(l, -ENODATA, "kernel: truncated");
	if (*len > l->kernel.size - *off)
		*len = l->kernel.size - *off;
	return 0;
}

/*
 * pref_address, or for a relocatable kernel that has none, or none that is
 * aligned, the lowest aligned address above 1 MiB.  *need is what the kernel
 * wants to itself until it reads the memory map: there, or at pref_address when
 * it is loaded below that, as it moves there ("init_size").
 */
static int
place(const struct load *l, const struct setup_header *h, uint64_t payload,
    uint64_t *at, uint64_t *need)
{
	uint64_t align, want[2], run, pref = 0;
	unsigned i, n = 0;

	*need = payload;
	if (h->version >= PROTO_INIT && h->init_size > payload)
		*need = h->init_size;
	align = h->kernel_alignment != 0 ? h->kernel_alignment : ALIGN_DEFAULT;
	if ((align & (align - 1)) != 0)
		return load_fail(l, -ENOEXEC, "kernel: bad alignment %#llx",
		    (unsigned long long)align);
	if (!h->relocatable_kernel) {
		want[n++] = LOAD_HIGH_BASE;
	} else {
		if (h->version >= PROTO_INIT)
			pref = h->pref_address;
		if (pref >= LOAD_HIGH_BASE && (pref & (align - 1)) == 0)
			want[n++] = pref;
		want[n++] = (LOAD_HIGH_BASE + align - 1) & ~(align - 1);
	}
	for (i = 0; i < n; i++) {
		run = want[i] > pref ? want[i] : pref;
		if (run <= l->ram_end && *need <= l->ram_end - run) {
			*at = want[i];
			*need += run - want[i];
			return 0;
		}
	}
	return load_fail(l, -ENOSPC,
	    "kernel: does not fit in %llu MiB of memory",
	    (unsigned long long)(l->in->mem->size / MIB));
}

static void
fill_memmap(const struct load *l, struct boot_params *bp)
{
	struct load_range range[LOAD_RANGES];
	unsigned i, n;

	n = load_memmap(l, range);
	for (i = 0; i < n; i++) {
		bp->e820_table[i].addr = range[i].base;
		bp->e820_table[i].size = range[i].len;
		bp->e820_table[i].type = range[i].type;
	}
	bp->e820_entries = (uint8_t)n;
}

/* Four GiB, one to one, in 2 MiB pages: all that the entry code touches. */
static int
identity_map(const struct load *l)
{
	uint64_t *t, pdpt = LOAD_PAGES_GPA + 4096;
	unsigned i;

	t = gmem_range(l->in->mem, (struct gpa){ LOAD_PAGES_GPA }, 6 * 4096);
	if (t == NULL)
		return load_fail(l, -EFAULT, "kernel: no low memory");
	t[0] = pdpt | 3; /* present, writable */
	for (i = 0; i < 4; i++)
		t[512 + i] = (pdpt + (1 + i) * 4096) | 3;
	for (i = 0; i < 4 * 512; i++)
		t[1024 + i] = (uint64_t)i << 21 | 0x83; /* and page size */
	return 0;
}

/* "struct screen_info": what the real-mode code would have found. */
static void
fill_screen(struct screen_info *s)
{
	s->orig_video_mode = 3;
	s->orig_video_cols = 80;
	s->orig_video_lines = 25;
	s->orig_video_isVGA = 1;
	s->orig_video_points = 16;
}

int
load_bzimage(const struct load *l, struct load_out *out)
{
	struct boot_params bp;
	struct load_out o = { .rsi = LOAD_PARAMS_GPA };
	uint64_t off = 0, len = 0, at = 0, need = 0, initrd = 0;
	int r;

	memset(&bp, 0, sizeof(bp));
	if ((r = read_header(l, &bp.hdr)) < 0 ||
	    (r = find_payload(l, &bp.hdr, &off, &len)) < 0 ||
	    (r = place(l, &bp.hdr, len, &at, &need)) < 0 ||
	    (r = load_cmdline(l, bp.hdr.cmdline_size)) < 0 ||
	    (r = load_initrd(l, at + need, bp.hdr.initrd_addr_max, &initrd)) <
		0 ||
	    (r = load_copy(l, &l->kernel, off, len, at)) < 0)
		return r;
	bp.hdr.type_of_loader = LOADER_OTHER;
	bp.hdr.loadflags &= (uint8_t) ~(CAN_USE_HEAP | KEEP_SEGMENTS);
	bp.hdr.code32_start = (uint32_t)at;
	bp.hdr.cmd_line_ptr = LOAD_CMDLINE_GPA;
	bp.hdr.setup_data = 0;
	if (initrd != 0) {
		bp.hdr.ramdisk_image = (uint32_t)initrd;
		bp.hdr.ramdisk_size = (uint32_t)l->initrd.size;
	}
	bp.acpi_rsdp_addr = l->in->rsdp.v;
	fill_memmap(l, &bp);
	if (l->in->screen)
		fill_screen(&bp.screen_info);
	r = gmem_write(
	    l->in->mem, (struct gpa){ LOAD_PARAMS_GPA }, &bp, sizeof(bp));
	if (r < 0)
		return load_fail(l, r, "kernel: no low memory");
	o.rip = at;
	if (bp.hdr.version >= PROTO_XLF &&
	    (bp.hdr.xloadflags & XLF_KERNEL_64) != 0) {
		if ((r = identity_map(l)) < 0)
			return r;
		o.mode = LOAD_LONG;
		o.rip = at + ENTRY_64;
		o.cr3 = LOAD_PAGES_GPA;
	}
	*out = o;
	return 0;
}
