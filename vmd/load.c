/* SPDX-License-Identifier: ISC */
/*
 * What the kernel loaders have in common: choosing one, bounded reads of the
 * images, command line, initrd, the memory map.
 */
#include <sys/stat.h>
#include <sys/uio.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "acpi.h"
#include "flash.h"
#include "load.h"
#include "load_multiboot.h"
#include "load_multiboot2.h"
#include "shadow.h"

#define MIB	     (1ULL << 20)
#define PIECE	     (16 * MIB) /* one preadv at most */
#define ELF_MAGIC    "\177ELF"
#define BZ_MAGIC_OFF 0x202
#define BZ_MAGIC     "HdrS"
#define GZIP_MAGIC   "\037\213\010" /* RFC 1952, "Member header" */
#define RESET_VECTOR 16 /* from the end of a ROM; there is code */
#define BIOS_UNIT    0x10000U /* what a ROM is a number of, but UEFI's */
#define FV_MAGIC_OFF 40 /* UEFI PI, volume 3, "Firmware Volume Header" */
#define FV_MAGIC     "_FVH"

int
load_fail(const struct load *l, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, LOAD_WHY_MAX, fmt, ap);
	va_end(ap);
	return error;
}

static int
open_file(const struct load *l, struct load_file *f, int fd, const char *what)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return load_fail(
		    l, -errno, "%s: %s", what, strerrordesc_np(errno));
	if (!S_ISREG(st.st_mode))
		return load_fail(l, -EINVAL, "%s: not a regular file", what);
	if (st.st_size <= 0)
		return load_fail(l, -ENODATA, "%s: empty file", what);
	*f = (struct load_file){ what, fd, NULL, (uint64_t)st.st_size };
	return 0;
}

int
load_peek(const struct load *l, void *buf, size_t len, uint64_t off)
{
	const struct load_file *f = &l->kernel;
	uint8_t *p = buf;
	ssize_t n;

	if (off > f->size || len > f->size - off)
		return -ENODATA;
	if (f->bytes != NULL) {
		memcpy(buf, f->bytes + off, len);
		return 0;
	}
	while (len > 0) {
		n = pread(f->fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			return -ENODATA;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Some bytes at least, into memory; as preadv(2). */
static ssize_t
read_some(const struct load_file *f, const struct iovec *iov, uint64_t off)
{
	uint64_t n;

	if (f->bytes == NULL)
		return preadv(f->fd, iov, 1, (off_t)off);
	if (off > f->size)
		return 0;
	n = f->size - off < iov->iov_len ? f->size - off : iov->iov_len;
	memcpy(iov->iov_base, f->bytes + off, n);
	return (ssize_t)n;
}

int
load_copy(const struct load *l, const struct load_file *f, uint64_t off,
    uint64_t len, uint64_t gpa)
{
	const char *what = f->what;
	struct iovec iov;
	ssize_t n;

	while (len > 0) {
		iov.iov_len = gmem_run(
		    l->in->mem, (struct gpa){ gpa }, len < PIECE ? len : PIECE);
		if (iov.iov_len == 0)
			return load_fail(l, -EFAULT,
			    "%s: does not fit in %llu MiB of memory", what,
			    (unsigned long long)(l->in->mem->size / MIB));
		iov.iov_base =
		    gmem_range(l->in->mem, (struct gpa){ gpa }, iov.iov_len);
		n = read_some(f, &iov, off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return load_fail(
			    l, -errno, "%s: %s", what, strerrordesc_np(errno));
		if (n == 0)
			return load_fail(l, -ENODATA, "%s: truncated", what);
		off += (uint64_t)n;
		gpa += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int
load_initrd(const struct load *l, uint64_t floor, uint64_t limit, uint64_t *gpa)
{
	uint64_t end, base;
	int r;

	*gpa = 0;
	if (l->in->initrd == -1)
		return 0;
	/* limit is the last address it may have, hostile as the rest. */
	end = l->ram_end;
	if (limit < end - 1)
		end = limit + 1;
	end &= ~4095ULL;
	if (floor > end || l->initrd.size > end - floor)
		goto no_room;
	base = (end - l->initrd.size) & ~4095ULL;
	if (base < floor)
		goto no_room;
	r = load_copy(l, &l->initrd, 0, l->initrd.size, base);
	if (r == 0)
		*gpa = base;
	return r;

no_room:
	return load_fail(l, -ENOSPC,
	    "initrd: does not fit in %llu MiB of memory",
	    (unsigned long long)(l->in->mem->size / MIB));
}

int
load_cmdline(const struct load *l, size_t max)
{
	size_t len;

	len = strlen(l->in->cmdline);
	if (len > max)
		return load_fail(l, -E2BIG,
		    "cmdline: %zu bytes, this kernel takes %zu", len, max);
	if (len >= LOAD_LOW_END - LOAD_CMDLINE_GPA)
		return load_fail(l, -E2BIG, "cmdline: too long");
	return gmem_write(l->in->mem, (struct gpa){ LOAD_CMDLINE_GPA },
	    l->in->cmdline, len + 1);
}

unsigned
load_memmap(const struct load *l, struct load_range *range)
{
	const struct gmem *m = l->in->mem;
	unsigned i, n = 0;

	range[n++] = (struct load_range){ 0, LOAD_LOW_END, 1 };
	range[n++] =
	    (struct load_range){ LOAD_LOW_END, 0xa0000 - LOAD_LOW_END, 2 };
	range[n++] = (struct load_range){ ACPI_TABLES_GPA, ACPI_TABLES_LEN, 2 };
	range[n++] = (struct load_range){ LOAD_HIGH_BASE,
		l->ram_end - LOAD_HIGH_BASE, 1 };
	range[n++] = (struct load_range){ GMEM_HIDDEN, GMEM_HIDDEN_LEN, 2 };
	for (i = 0; i < m->nregions && n < LOAD_RANGES; i++) {
		if (m->region[i].gpa >= GMEM_HIGH_BASE)
			range[n++] = (struct load_range){ m->region[i].gpa,
				m->region[i].len, 1 };
	}
	return n;
}

uint32_t
load_is_firmware(int fd)
{
	struct load_in in = { .kernel = fd };
	struct load l = { .in = &in, .kernel.fd = fd };
	struct multiboot multiboot;
	struct multiboot2 multiboot2;
	char magic[4];
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > SHADOW_ROM_MAX || st.st_size % SHADOW_ROM_UNIT != 0)
		return 0;
	l.kernel.size = (uint64_t)st.st_size;
	if (load_peek(&l, magic, sizeof(magic), 0) < 0 ||
	    memcmp(magic, ELF_MAGIC, sizeof(magic)) == 0 ||
	    memcmp(magic, GZIP_MAGIC, strlen(GZIP_MAGIC)) == 0 ||
	    load_peek(&l, magic, sizeof(magic), BZ_MAGIC_OFF) < 0 ||
	    memcmp(magic, BZ_MAGIC, sizeof(magic)) == 0 ||
	    load_multiboot_header(&l, &multiboot) ||
	    load_multiboot2_header(&l, &multiboot2) ||
	    load_peek(&l, magic, 1, l.kernel.size - RESET_VECTOR) < 0 ||
	    magic[0] == 0 || magic[0] == '\xff')
		return 0;
	if (st.st_size % BIOS_UNIT != 0 && !load_is_uefi(fd))
		return 0;
	return (uint32_t)st.st_size;
}

bool
load_is_uefi(int fd)
{
	struct load_in in = { .kernel = fd };
	struct load l = {
		.in = &in,
		.kernel = { .fd = fd, .size = FV_MAGIC_OFF + sizeof(FV_MAGIC) },
	};
	char magic[sizeof(FV_MAGIC) - 1];

	return load_peek(&l, magic, sizeof(magic), FV_MAGIC_OFF) == 0 &&
	    memcmp(magic, FV_MAGIC, sizeof(magic)) == 0;
}

uint32_t
load_flash_size(int fd, uint32_t max)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > FLASH_MAX || st.st_size > max ||
	    st.st_size % FLASH_BLOCK != 0)
		return 0;
	return (uint32_t)st.st_size;
}

uint32_t
load_floppy_size(int fd)
{
	/* Of 512 bytes; what SeaBIOS knows. */
	static const uint16_t sectors[] = { 320, 360, 640, 720, 1440, 2400,
		2880, 5760 };
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return 0;
	for (size_t i = 0; i < sizeof(sectors) / sizeof(sectors[0]); i++)
		if (st.st_size == (off_t)sectors[i] * 512)
			return (uint32_t)st.st_size;
	return 0;
}

int
load_file(
    int fd, const char *what, uint8_t *to, uint32_t len, char why[LOAD_WHY_MAX])
{
	struct load_in in = { .kernel = fd };
	struct load l = {
		.in = &in, .why = why, .kernel = { .fd = fd, .size = len }
	};
	int r;

	why[0] = '\0';
	if ((r = load_peek(&l, to, len, 0)) < 0)
		return load_fail(&l, r, "%s: %s", what,
		    r == -ENODATA ? "truncated" : strerrordesc_np(-r));
	return 0;
}

static int
by_magic(const struct load *l, struct load_out *out)
{
	struct multiboot multiboot;
	struct multiboot2 multiboot2;
	char magic[4];

	if (load_peek(l, magic, sizeof(magic), 0) == 0 &&
	    memcmp(magic, ELF_MAGIC, sizeof(magic)) == 0)
		return load_elf(l, out);
	if (load_peek(l, magic, sizeof(magic), BZ_MAGIC_OFF) == 0 &&
	    memcmp(magic, BZ_MAGIC, sizeof(magic)) == 0)
		return load_bzimage(l, out);
	if (load_multiboot2_header(l, &multiboot2))
		return load_multiboot2(l, &multiboot2, NULL, out);
	if (load_multiboot_header(l, &multiboot))
		return load_multiboot(l, &multiboot, NULL, out);
	return load_fail(l, -ENOEXEC, "kernel: not a kernel image");
}

int
load_kernel(
    const struct load_in *in, struct load_out *out, char why[LOAD_WHY_MAX])
{
	struct load l = { .in = in, .why = why };
	uint8_t *bytes = NULL;
	char magic[3];
	int r;

	why[0] = '\0';
	if (in->mem->nregions == 0 || in->mem->region[0].gpa != 0 ||
	    in->mem->region[0].len < 2 * MIB)
		return load_fail(&l, -EINVAL, "too little memory for a kernel");
	l.ram_end = in->mem->region[0].len;
	if ((r = open_file(&l, &l.kernel, in->kernel, "kernel")) < 0)
		return r;
	if (in->initrd != -1) {
		r = open_file(&l, &l.initrd, in->initrd, "initrd");
		if (r < 0)
			return r;
	}
	if (load_peek(&l, magic, sizeof(magic), 0) == 0 &&
	    memcmp(magic, GZIP_MAGIC, sizeof(magic)) == 0 &&
	    (r = load_gunzip(&l, &bytes)) < 0)
		return r;
	r = by_magic(&l, out);
	free(bytes);
	return r;
}
