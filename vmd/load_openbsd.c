/* SPDX-License-Identifier: ISC */
/*
 * An OpenBSD kernel, as boot(8) leaves it: <machine/biosvar.h> for bootargs,
 * <sys/reboot.h> for the boot device, the entry code of amd64 and i386 for the
 * stack.  load_syms.c places the symbols.
 *
 * The entry code is 32-bit code for both.  A 64-bit kernel is started in long
 * mode all the same, by a 32-bit code segment, as OpenBSD's vmd does.
 */
#include <sys/random.h>
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include "load_elf.h"
#include "load_syms.h"

#define BOOTARG_MEMMAP	0U
#define BOOTARG_CONSDEV 5U
#define BOOTARG_END	UINT32_MAX
#define BOOTARG_APIVER	0x0eU /* vector, environment, memory map in bytes */
#define BOOTDEV_SD0A	0xa0000004U /* magic, major number of sd, unit 0, a */
#define CONSDEV_COM0	0x0800U /* makedev(8, 0) */
#define CONS_SPEED	115200U
#define CONS_ADDR	0x3f8U
#define PAGE		4096ULL
#define PG_V		1U
#define PG_RW		2U
#define PG_U		4U
#define PG_PS		0x80U

struct bootarg {
	uint32_t type, size, next;
};
struct bios_memmap {
	uint64_t addr, size;
	uint32_t type; /* 0 ends the list */
} __attribute__((packed));
struct bios_consdev {
	uint32_t consdev, speed;
	uint64_t addr;
	uint32_t freq, flags, width, shift;
} __attribute__((packed));
static_assert(sizeof(struct bios_memmap) == 20, "bios_memmap_t");
static_assert(sizeof(struct bios_consdev) == 32, "bios_consdev_t");

/* What is written at LOAD_PARAMS_GPA.  The list has no gaps. */
struct args {
	uint8_t b[PAGE];
	uint32_t len;
};

static void
put(struct args *a, const void *p, size_t len)
{
	memcpy(a->b + a->len, p, len);
	a->len += (uint32_t)len;
}

static void
put_head(struct args *a, uint32_t type, size_t len)
{
	uint32_t size = (uint32_t)(sizeof(struct bootarg) + len);

	put(a, &(struct bootarg){ type, size, size }, sizeof(struct bootarg));
}

static void
make_args(const struct load *l, struct args *a)
{
	static const struct bios_consdev cons = {
		.consdev = CONSDEV_COM0,
		.speed = CONS_SPEED,
		.addr = CONS_ADDR,
	};
	static const uint32_t end = BOOTARG_END;
	struct bios_memmap map[LOAD_RANGES + 1] = { 0 };
	struct load_range range[LOAD_RANGES];
	unsigned i, n;

	static_assert(sizeof(map) + sizeof(cons) + 2 * sizeof(struct bootarg) +
		    sizeof(end) <=
		PAGE,
	    "they fit in a page");
	memset(a, 0, sizeof(*a));
	n = load_memmap(l, range);
	for (i = 0; i < n; i++)
		map[i] = (struct bios_memmap){ range[i].base, range[i].len,
			range[i].type };
	put_head(a, BOOTARG_MEMMAP, (n + 1) * sizeof(map[0]));
	put(a, map, (n + 1) * sizeof(map[0]));
	put_head(a, BOOTARG_CONSDEV, sizeof(cons));
	put(a, &cons, sizeof(cons));
	put(a, &end, sizeof(end));
}

/* Bootargs, and the stack that has their place: arguments of a C function. */
static int
write_args(const struct load *l, uint64_t end, uint64_t *sp)
{
	struct args a;
	int r;

	make_args(l, &a);
	const uint32_t frame[] = {
		0, /* return address */
		0, /* howto */
		BOOTDEV_SD0A,
		BOOTARG_APIVER,
		(uint32_t)end,
		0, /* extended memory: the map says it */
		0, /* base memory, as well */
		a.len,
		LOAD_PARAMS_GPA,
	};

	*sp = LOAD_STACK_GPA + PAGE - sizeof(frame);
	r = gmem_write(l->in->mem, (struct gpa){ LOAD_PARAMS_GPA }, a.b, a.len);
	if (r == 0)
		r = gmem_write(
		    l->in->mem, (struct gpa){ *sp }, frame, sizeof(frame));
	return r < 0 ? load_fail(l, r, "kernel: no low memory") : 0;
}

/* The first GiB, one to one, in 2 MiB pages. */
static void
map64(uint64_t *t)
{
	unsigned i;

	t[0] = (LOAD_PAGES_GPA + PAGE) | PG_V | PG_RW | PG_U;
	t[512] = (LOAD_PAGES_GPA + 2 * PAGE) | PG_V | PG_RW | PG_U;
	for (i = 0; i < 512; i++)
		t[1024 + i] = (uint64_t)i << 21 | PG_V | PG_RW | PG_U | PG_PS;
}

/* All four, in 4 MiB pages. */
static void
map32(uint32_t *t)
{
	uint32_t i;

	for (i = 0; i < 1024; i++)
		t[i] = i << 22 | PG_V | PG_RW | PG_U | PG_PS;
}

static int
write_pages(const struct load *l, bool elf64)
{
	void *t;

	t = gmem_range(l->in->mem, (struct gpa){ LOAD_PAGES_GPA }, 3 * PAGE);
	if (t == NULL)
		return load_fail(l, -EFAULT, "kernel: no low memory");
	if (elf64)
		map64(t);
	else
		map32(t);
	return 0;
}

static int
fill_random(const struct load *l, const struct elf *img, unsigned i,
    const struct elf_segment *s)
{
	uint64_t done = 0;
	uint8_t *p;
	ssize_t n;

	if (s->filesz == 0)
		return 0;
	if (s->paddr < LOAD_HIGH_BASE || s->paddr > img->end ||
	    s->filesz > img->end - s->paddr)
		return load_fail(l, -ENOEXEC,
		    "kernel: random bytes outside of it: segment %u, %#llx at "
		    "%#llx",
		    i, (unsigned long long)s->filesz,
		    (unsigned long long)s->paddr);
	p = gmem_range(l->in->mem, (struct gpa){ s->paddr }, s->filesz);
	if (p == NULL)
		return load_fail(
		    l, -EFAULT, "kernel: segment %u: no memory", i);
	while (done < s->filesz) {
		n = getrandom(p + done, s->filesz - done, 0);
		if (n == -1 && errno != EINTR)
			return load_fail(l, -errno, "kernel: random bytes: %s",
			    strerrordesc_np(errno));
		if (n > 0)
			done += (uint64_t)n;
	}
	return 0;
}

/* After the segments: it is in one of them. */
static int
fill_all_random(const struct load *l, const struct elf *img)
{
	struct elf_segment s;
	unsigned i;
	int r;

	for (i = 0; i < img->n; i++) {
		if ((r = load_elf_segment(l, img, i, &s)) < 0)
			return r;
		if (s.type == PT_OPENBSD_RANDOMIZE &&
		    (r = fill_random(l, img, i, &s)) < 0)
			return r;
	}
	return 0;
}

/* The mask could have put one on another. */
static int
check_overlap(const struct load *l, const struct elf *img)
{
	struct elf_segment a, b;
	unsigned i, j;
	int r;

	for (i = 0; i < img->n; i++) {
		for (j = 0; j < i; j++) {
			if ((r = load_elf_segment(l, img, i, &a)) < 0 ||
			    (r = load_elf_segment(l, img, j, &b)) < 0)
				return r;
			if (!load_elf_loaded(img, &a) ||
			    !load_elf_loaded(img, &b) || a.memsz == 0 ||
			    b.memsz == 0)
				continue;
			if (a.paddr < b.paddr ? b.paddr - a.paddr < a.memsz
					      : a.paddr - b.paddr < b.memsz)
				return load_fail(l, -ENOEXEC,
				    "kernel: segments %u and %u overlap at "
				    "%#llx",
				    j, i,
				    (unsigned long long)(a.paddr > b.paddr
					    ? a.paddr
					    : b.paddr));
		}
	}
	return 0;
}

int
load_openbsd(const struct load *l, const struct elf *img, struct load_out *out)
{
	struct load_out o = { .cr3 = LOAD_PAGES_GPA };
	uint64_t end;
	int r;

	if (l->in->initrd != -1 || l->in->cmdline[0] != '\0')
		return load_fail(
		    l, -EINVAL, "kernel: OpenBSD's takes no initrd or cmdline");
	if (img->entry < LOAD_HIGH_BASE || img->entry >= img->end)
		return load_fail(l, -ENOEXEC, "kernel: bad entry point %#llx",
		    (unsigned long long)img->entry);
	if ((r = check_overlap(l, img)) < 0 ||
	    (r = load_elf_copy(l, img)) < 0 ||
	    (r = fill_all_random(l, img)) < 0 ||
	    (r = load_syms(l, img, &end)) < 0 ||
	    (r = write_args(l, end, &o.rsp)) < 0 ||
	    (r = write_pages(l, img->elf64)) < 0)
		return r;
	o.mode = img->elf64 ? LOAD_BSD64 : LOAD_BSD32;
	o.rip = img->entry;
	*out = o;
	return 0;
}
