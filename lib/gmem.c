/* SPDX-License-Identifier: ISC */
/*
 * Guest physical memory: see gmem.h.
 *
 * Invariants
 *  1. Between create or attach and destroy the memfd has exactly the size
 *     that was mapped, and nobody can change that (F_SEAL_SHRINK, _GROW and
 *     _SEAL): a valid range never faults with SIGBUS for being beyond the
 *     end of file.
 *  2. All regions lie in one mapping, in the order of the memfd, so host
 *     addresses never depend on what a guest says.
 *  3. Ranges are checked by subtraction only; no sum of two guest values is
 *     ever formed.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gmem.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h since Linux 6.3 */
#endif

#define PAGE	  4096ULL
#define HUGE_PAGE (2ULL << 20)
/* Far beyond any host; keeps every later sum within 63 bits. */
#define SIZE_LIMIT (1ULL << 46)
#define SEALS	   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Bytes of the map: whole pages. */
static uint64_t
map_len(uint64_t size)
{
	return (size / PAGE / 8 + PAGE) & ~(PAGE - 1);
}

/* The layout follows from the size alone, in every process. */
static int
layout(struct gmem *g, uint64_t size)
{
	struct gmem_region *r = g->region;

	memset(g, 0, sizeof(*g));
	g->fd = -1;
	if (size == 0 || size % PAGE != 0 || size > SIZE_LIMIT)
		return -EINVAL;
	g->size = size;
	g->nregions = 1;
	r[0].len = size < GMEM_PCI_HOLE ? size : GMEM_PCI_HOLE;
	if (size > GMEM_PCI_HOLE) {
		g->nregions = 2;
		r[1].gpa = GMEM_HIGH_BASE;
		r[1].len = size - GMEM_PCI_HOLE;
		r[1].off = GMEM_PCI_HOLE;
	}
	return 0;
}

/*
 * Map the whole file at an address that is aligned like the guest address it
 * backs, so that the second-level page tables can use large pages.  NULL with
 * errno on failure.
 */
static uint8_t *
map_aligned(int fd, uint64_t size)
{
	size_t span = size + HUGE_PAGE, head, tail;
	uint8_t *p, *at;

	p = mmap(NULL, span, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	head = -(uintptr_t)p & (HUGE_PAGE - 1);
	tail = span - head - size;
	at = mmap(p + head, size, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
	if (at == MAP_FAILED) {
		int error = errno;

		munmap(p, span);
		errno = error;
		return NULL;
	}
	if (head != 0)
		munmap(p, head);
	if (tail != 0)
		munmap(at + size, tail);
	return at;
}

/* Takes fd on success only. */
static int
map_regions(struct gmem *g, int fd)
{
	uint64_t len = g->size + map_len(g->size);
	uint8_t *host;
	unsigned i;
	int error;

	host = map_aligned(fd, len);
	if (host == NULL)
		return -errno;
	/* Guest RAM is no part of our core dumps, nor of any child's. */
	if (madvise(host, len, MADV_DONTDUMP) == -1 ||
	    madvise(host, len, MADV_DONTFORK) == -1) {
		error = -errno;
		munmap(host, len);
		return error;
	}
	/* Advice only: a kernel without huge pages refuses it. */
	(void)madvise(host, g->size, MADV_HUGEPAGE);
	for (i = 0; i < g->nregions; i++)
		g->region[i].host = host + g->region[i].off;
	g->written = (uint64_t *)(void *)(host + g->size);
	g->fd = fd;
	return 0;
}

static int
make_memfd(uint64_t size)
{
	int fd, error;

	/* Kernels before 6.3 do not know MFD_NOEXEC_SEAL. */
	fd = memfd_create(
	    "guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL)
		fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -errno;
	if (ftruncate(fd, (off_t)(size + map_len(size))) == -1 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) == -1) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

int
gmem_create(struct gmem *out, uint64_t size)
{
	struct gmem g;
	int fd, error;

	error = layout(&g, size);
	if (error != 0)
		return error;
	fd = make_memfd(size);
	if (fd < 0)
		return fd;
	error = map_regions(&g, fd);
	if (error != 0) {
		close(fd);
		return error;
	}
	*out = g;
	return 0;
}

/* A file that somebody can still resize could end us with SIGBUS. */
static int
check_memfd(int fd, uint64_t size)
{
	struct stat st;
	int seals;

	if (fstat(fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != size + map_len(size))
		return -EINVAL;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals == -1)
		return -errno;
	return (seals & SEALS) == SEALS ? 0 : -EPERM;
}

int
gmem_attach(struct gmem *out, int fd, uint64_t size)
{
	struct gmem g;
	int error;

	error = layout(&g, size);
	if (error == 0)
		error = check_memfd(fd, size);
	if (error == 0)
		error = map_regions(&g, fd);
	if (error != 0) {
		close(fd);
		return error;
	}
	*out = g;
	return 0;
}

void
gmem_destroy(struct gmem *g)
{
	if (g->nregions != 0)
		munmap(g->region[0].host, g->size + map_len(g->size));
	if (g->fd != -1)
		close(g->fd);
	memset(g, 0, sizeof(*g));
	g->fd = -1;
}

size_t
gmem_run(const struct gmem *g, struct gpa gpa, size_t len)
{
	const struct gmem_region *r;
	uint64_t off;
	unsigned i;

	for (i = 0; i < g->nregions; i++) {
		r = &g->region[i];
		if (gpa.v < r->gpa)
			return 0;
		off = gpa.v - r->gpa;
		if (off < r->len)
			return len < r->len - off ? len : r->len - off;
	}
	return 0;
}

void *
gmem_range(const struct gmem *g, struct gpa gpa, size_t len)
{
	const struct gmem_region *r;
	uint64_t off;
	unsigned i;

	if (len == 0)
		return NULL;
	for (i = 0; i < g->nregions; i++) {
		r = &g->region[i];
		if (gpa.v < r->gpa)
			return NULL;
		off = gpa.v - r->gpa;
		if (off < r->len)
			return len <= r->len - off ? r->host + off : NULL;
	}
	return NULL;
}

int
gmem_read(const struct gmem *g, struct gpa gpa, void *buf, size_t len)
{
	const void *p;

	if (len == 0)
		return 0;
	p = gmem_range(g, gpa, len);
	if (p == NULL)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int
gmem_write(const struct gmem *g, struct gpa gpa, const void *buf, size_t len)
{
	void *p;

	if (len == 0)
		return 0;
	p = gmem_range(g, gpa, len);
	if (p == NULL)
		return -EFAULT;
	memcpy(p, buf, len);
	gmem_wrote(g, p, len);
	return 0;
}

/*
 * A locked instruction is a barrier as well: what was written before is seen by
 * whoever takes the bit.  So one that is set already is set all the same.
 */
void
gmem_wrote(const struct gmem *g, const void *p, size_t len)
{
	uint64_t off, first, last, end, mask;

	if (g->written == NULL || len == 0)
		return;
	off = (uint64_t)((const uint8_t *)p - g->region[0].host);
	if ((const uint8_t *)p < g->region[0].host || off >= g->size ||
	    len > g->size - off)
		return;
	last = (off + len - 1) / PAGE;
	for (first = off / PAGE; first <= last; first = end + 1) {
		end = first | 63;
		if (end > last)
			end = last;
		mask = UINT64_MAX >> (63 - (end - first)) << (first & 63);
		__atomic_fetch_or(
		    &g->written[first / 64], mask, __ATOMIC_SEQ_CST);
	}
}

uint64_t
gmem_take(const struct gmem *g, uint64_t word)
{
	if (g->written == NULL || word > (g->size / PAGE - 1) / 64)
		return 0;
	return __atomic_exchange_n(&g->written[word], 0, __ATOMIC_SEQ_CST);
}

bool
gmem_next(const struct gmem *g, uint64_t *off, uint64_t *end)
{
	off_t data, hole = -1;

	if (*off >= g->size)
		return false;
	*end = g->size;
	data = lseek(g->fd, (off_t)*off, SEEK_DATA);
	/* Behind the memory is the map. */
	if (data == -1 ? errno == ENXIO : (uint64_t)data >= g->size)
		return false;
	if (data != -1)
		hole = lseek(g->fd, data, SEEK_HOLE);
	if (hole == -1)
		return true;
	*off = (uint64_t)data / PAGE * PAGE;
	if ((uint64_t)hole < g->size)
		*end = ((uint64_t)hole + PAGE - 1) / PAGE * PAGE;
	return true;
}

int
gmem_discard(const struct gmem *g, void *p, size_t len)
{
	const uint8_t *base = g->nregions == 0 ? NULL : g->region[0].host;
	uint64_t off, first;

	/* Invariant 2: one mapping. */
	if (base == NULL || (uint8_t *)p < base)
		return -EFAULT;
	off = (uint64_t)((uint8_t *)p - base);
	if (off > g->size || len > g->size - off)
		return -EFAULT;
	first = -off & (PAGE - 1);
	if (len < first || len - first < PAGE)
		return 0;
	len = (len - first) & ~(PAGE - 1);
	if (madvise((uint8_t *)p + first, len, MADV_REMOVE) == -1)
		return -errno;
	gmem_wrote(g, (uint8_t *)p + first, len);
	return 0;
}
