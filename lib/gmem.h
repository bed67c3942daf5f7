/* SPDX-License-Identifier: ISC */
#ifndef LIB_GMEM_H
#define LIB_GMEM_H

/*
 * Guest physical memory: one sealed memfd (F_SEAL_SHRINK|GROW|SEAL), mapped
 * by the vm process and by each device process, in at most GMEM_REGIONS
 * regions.  gmem_range() is the only function that yields a pointer into it.
 *
 * Behind the memory, in the same file, is the map of pages that we wrote, a bit
 * each: the hypervisor's log has only what its guest wrote.  Whoever writes
 * marks the pages afterwards, and before the guest can know: then a page whose
 * bit was taken is read with what was written, or has its bit again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gpa {
	uint64_t v;
}; /* guest physical address */

#define GMEM_REGIONS   4
#define GMEM_PCI_HOLE  0xc0000000ULL /* 3 GiB: RAM stops here ... */
#define GMEM_HIGH_BASE 0x100000000ULL /* ... and goes on here */
/* A page of ours (genid.h) and the hypervisor's own, below the largest ROM there
 * can be. */
#define GMEM_HIDDEN	0xfeffb000ULL
#define GMEM_HIDDEN_LEN 0x5000

struct gmem_region {
	uint64_t gpa; /* page aligned */
	uint64_t len; /* bytes, page aligned */
	uint64_t off; /* in the memfd */
	uint8_t *host; /* where this process mapped it */
};

struct gmem {
	int fd; /* owned; -1 when closed */
	unsigned nregions;
	struct gmem_region region[GMEM_REGIONS]; /* ascending, disjoint */
	uint64_t size; /* bytes of RAM */
	uint64_t *written; /* the map, in the order of the file; NULL: none */
};

/* Make the memfd and map it; size a multiple of 4096.  0 or -errno. */
int gmem_create(struct gmem *, uint64_t size);
/* Map a memfd received from the vm process: the layout follows from size,
 * and the file must be that large and sealed.  Takes fd.  0 or -errno. */
int gmem_attach(struct gmem *, int fd, uint64_t size);
void gmem_destroy(struct gmem *);

/* NULL unless [gpa, gpa + len) lies in one region. len 0 is NULL. */
void *gmem_range(const struct gmem *, struct gpa, size_t len);
/* The longest run from gpa, at most len bytes; 0 when gpa is no RAM. */
size_t gmem_run(const struct gmem *, struct gpa, size_t len);
/* Copies; -EFAULT when any byte is outside RAM (nothing copied then). */
int gmem_read(const struct gmem *, struct gpa, void *, size_t);
int gmem_write(const struct gmem *, struct gpa, const void *, size_t);
/* These bytes of what gmem_range() gave were written. */
void gmem_wrote(const struct gmem *, const void *, size_t len);
/* Take the bits of 64 pages, from page 64 * word of the file on. */
uint64_t gmem_take(const struct gmem *, uint64_t word);
/*
 * The first run of pages of the file, from *off on, that are there: [*off, *end).
 * Others are zero, and would cost to be read.  false: there are none.  Where the
 * host cannot tell, all are there.
 */
bool gmem_next(const struct gmem *, uint64_t *off, uint64_t *end);
/* The whole pages of [p, p + len), which gmem_range() or virtq_pop() gave, go
 * back to the host; they read as zero from then on.  0 or -errno. */
int gmem_discard(const struct gmem *, void *p, size_t len);

#endif
