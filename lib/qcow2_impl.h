/* SPDX-License-Identifier: ISC */
#ifndef LIB_QCOW2_IMPL_H
#define LIB_QCOW2_IMPL_H

/*
 * Between the parts of the qcow2 format.  One thread uses all of it.
 *
 * A request is a struct qc_op: a state machine whose state is the function
 * to be called next.  A step does what can be done without waiting, and
 * returns QC_GO (call the next step), QC_WAIT (somebody holds the op and
 * will run it again) or -errno (the request fails).  A step that waited is
 * called again from its beginning: steps look at everything anew.
 *
 * What makes a crash harmless: nothing that is on the disk refers to what is
 * not on the disk yet.
 *  1. Data and copied data are written before the L2 entry is changed, in
 *     memory.  New tables are written before they are linked, in memory.
 *  2. Changed metadata stay in memory until a commit: refcounts, sync, the
 *     refcount table, sync, L2 and L1 tables, sync.  While one runs nothing
 *     is linked, so what it writes is as old as its first sync.
 *  3. A cluster is freed after the commit of what no longer refers to it, and
 *     after the end of all requests that may have looked it up before.
 * So refcounts on the disk are never too small, and are too large (leaked
 * clusters) only after a crash.
 */
#include "disk_impl.h"
#include "qcow2.h"
#include "qcow2_format.h"

#define QC_PAGE 4096U
#define QC_OPS	256U
/* Parts of one transfer; a longer vector is split. */
#define QC_IOV	 258U
#define QC_DEPTH 4
/* Clusters that one step allocates. */
#define QC_RUN	     128U
#define QC_PENDING   8192U
#define QC_COMMIT_IO 32U

enum { QC_GO = 0, QC_WAIT = 1 };

struct qc_op;
struct qcow2;
typedef int qc_step(struct qc_op *);
typedef int (*qc_next)(struct qc_op *);

struct qc_wait {
	struct qc_op *head, **tail;
};

/* A place in a vector that is not changed. */
struct qc_cur {
	const struct iovec *iov;
	size_t skip;
};

enum qc_kind { QC_UNALLOCATED, QC_ZERO, QC_DATA, QC_COMPRESSED };

/* What a range of the disk is in one layer. */
struct qc_extent {
	enum qc_kind kind;
	bool copied; /* ours alone: may be written in place */
	uint64_t host; /* DATA: offset in the file; ZERO: 0 or that */
	uint64_t entry; /* COMPRESSED */
	uint64_t len; /* bytes */
};

enum qc_page_kind { QC_PAGE_MAP, QC_PAGE_REFS };

/* A piece of an L2 table or of a refcount block, in its form on the disk. */
struct qc_page {
	uint64_t off; /* in the file */
	uint8_t layer;
	bool used, loading, writing, dirty, recent;
	enum qc_page_kind kind;
	uint32_t next; /* in the hash chain */
	uint32_t len;
	struct qc_wait wait; /* for the end of loading or writing */
	struct qcow2 *s;
	struct aio_req areq;
	struct iovec iov;
	uint8_t *data;
};

#define QC_NOPAGE UINT32_MAX

/* A table that is in memory as a whole, in its form on the disk. */
struct qc_table {
	uint8_t *be;
	uint64_t off, bytes;
	uint64_t *dirty; /* bit per sector */
	unsigned ndirty;
};

struct qc_layer {
	enum vm_diskfmt format;
	uint64_t size; /* bytes of the disk */
	uint64_t end; /* bytes that the file is known to have */
	/* qcow2 */
	struct qcow2_header h;
	uint64_t csize;
	uint32_t psize; /* of its pages */
	struct qc_table l1;
};

/* Clusters of the top layer's file.  Writable disks only. */
struct qc_space {
	uint64_t limit; /* clusters that can be used */
	uint64_t *used; /* bit per cluster: refcount is not 0 */
	uint64_t *meta; /* bit per cluster: metadata, no guest may write it */
	uint64_t low; /* all below are used */
	uint64_t virgin; /* from here on the file has never been written */
	bool file; /* a file: what is virgin reads as zeroes */
	struct qc_table refs; /* refcount table */
	uint64_t *plan; /* per entry: cluster set aside for its block */
	unsigned block_shift; /* counts in a block */
	bool block_busy;
	struct qc_wait block_wait;
};

enum qc_phase {
	QC_IDLE,
	QC_WRITE_REFS,
	QC_SYNC_REFS,
	QC_WRITE_TABLE,
	QC_SYNC_TABLE,
	QC_WRITE_MAPS,
	QC_SYNC_MAPS,
};

struct qc_commit_io {
	struct qcow2 *s;
	struct aio_req areq;
	struct iovec iov;
	struct qc_page *page; /* or */
	struct qc_table *table;
	unsigned sector;
	struct qc_commit_io *next;
};

struct qc_commit {
	enum qc_phase phase;
	bool again; /* wanted */
	bool synced; /* this phase's sync was started */
	int error;
	unsigned out; /* operations in flight */
	uint64_t scan;
	struct aio_req sync;
	struct qc_commit_io io[QC_COMMIT_IO], *free;
	struct qc_wait next; /* for the end of the next one */
	struct qc_wait this; /* for the end of this one */
	struct qc_wait idle; /* to link */
};

/* Clusters that nothing refers to any more: invariant 3. */
struct qc_reap {
	uint64_t *ring; /* clusters; QC_PENDING */
	uint64_t head, limit, committed, tail;
	struct qc_wait space;
	unsigned epoch; /* parity that new requests have */
	unsigned count[2]; /* requests of each parity */
	struct qc_op *op;
	bool idle;
	bool grace; /* waits for count[!epoch] to be 0 */
	uint64_t run; /* clusters that are freed at once */
	bool can_punch;
};

struct qc_inflate;

enum { QC_HOLD_TABLE = 1, QC_HOLD_BLOCK = 2, QC_HOLD_INFLATE = 4 };

struct qc_op {
	struct qcow2 *s;
	struct qc_op *next; /* on one list */
	qc_next step;
	qc_next ret[QC_DEPTH];
	unsigned depth;
	int error; /* from whoever woke it */
	struct disk_req *req;
	bool flushing; /* all that is left to do */
	bool counted; /* in reap.count[epoch] */
	unsigned epoch;
	unsigned holds;
	uint8_t *bounce; /* one cluster */
	/* transfer: qcow2_io.c */
	struct aio_req areq;
	unsigned tries;
	uint64_t io_left;
	struct iovec iov[QC_IOV];
	/* read: qcow2_read.c */
	uint64_t rd_off, rd_left, rd_got;
	struct qc_cur rd_cur;
	struct iovec rd_one;
	/* decompression: qcow2_inflate.c */
	uint64_t in_entry, in_len;
	unsigned in_layer;
	qc_next in_then;
	/* write: qcow2_write.c */
	uint64_t wr_off, wr_left, wr_len;
	struct qc_cur wr_cur;
	bool wr_zero; /* of zeroes, there is no vector */
	bool wr_blank; /* what is not written reads as zeroes */
	/* clusters being allocated, in s->allocs */
	bool al_on, al_clean, al_counted;
	uint64_t al_first, al_n; /* of the disk */
	uint64_t al_host; /* of the file */
	struct qc_wait al_wait;
	struct qc_op *al_next;
	/* refcounts: qcow2_refs.c */
	uint64_t rf_cluster, rf_n, rf_block;
	/* L2 tables: qcow2_table.c */
	uint64_t tb_index, tb_host;
	bool tb_made;
	/* zeroes: qcow2_zero.c */
	uint64_t ze_off, ze_left;
};

struct qcow2 {
	struct disk *disk;
	struct aio *aio;
	struct aio *last; /* for closing: made before the process is sealed */
	unsigned nlayers;
	struct qc_layer layer[DISK_LAYERS_MAX];
	bool corrupt; /* found out: nothing is written any more */
	/* requests */
	struct qc_op *ops, *free;
	struct qc_wait ready;
	struct disk_req *backlog, **backlog_tail;
	unsigned starting; /* inside disk_start() */
	struct qc_op *allocs;
	/* pages */
	struct qc_page *page;
	uint8_t *page_mem;
	uint32_t npages, hand, hash_mask;
	uint32_t *hash;
	unsigned ndirty[2]; /* by kind */
	struct qc_wait page_wait; /* for one that can be taken */
	/* buffers of one cluster */
	uint8_t *bounce_mem, **bounce;
	unsigned nbounce;
	struct qc_wait bounce_wait;
	/* L2 tables are made one after the other */
	bool table_busy;
	struct qc_wait table_wait;
	/* decompression */
	struct qc_inflate *inflate;
	bool inflate_busy;
	struct qc_wait inflate_wait;
	struct qc_space space;
	struct qc_commit commit;
	struct qc_reap reap;
};

/* qcow2_op.c: running ops */
void qc_wait_init(struct qc_wait *);
int qc_wait(struct qc_op *, struct qc_wait *); /* QC_WAIT */
/* The same, for what may have to wait for clusters to be freed: the op has
 * looked up nothing that it still uses. */
int qc_wait_apart(struct qc_op *, struct qc_wait *);
void qc_wake(struct qcow2 *, struct qc_wait *, int error);
int qc_call(struct qc_op *, qc_next sub, qc_next then); /* QC_GO */
int qc_return(struct qc_op *); /* QC_GO */
void qc_run(struct qc_op *);
void qc_drain(struct qcow2 *);
void qc_epoch_enter(struct qc_op *);
void qc_epoch_leave(struct qc_op *);
int qc_start(struct disk_req *);
int qc_bounce_get(struct qc_op *);
void qc_bounce_put(struct qc_op *);
/* The image contradicts itself; -EIO. */
int qc_corrupt(struct qcow2 *, const char *what);

/* qcow2_io.c: vectors and transfers */
size_t qc_cur_slice(const struct qc_cur *, uint64_t want, struct iovec *out,
    unsigned max, unsigned *n);
void qc_cur_advance(struct qc_cur *, uint64_t);
void qc_cur_zero(struct qc_cur *, uint64_t);
void qc_cur_copy(struct qc_cur *, const uint8_t *, uint64_t);
unsigned qc_zeroes(struct iovec *, unsigned max, uint64_t *len);
/* op->iov[0..n), len bytes in all; QC_WAIT. */
int qc_xfer(struct qc_op *, enum aio_op, unsigned layer, uint64_t off,
    unsigned n, uint64_t len, qc_next then);

/* qcow2_cache.c */
int qc_page_get(struct qc_op *, unsigned layer, uint64_t off, enum qc_page_kind,
    bool change, struct qc_page **);
void qc_page_dirty(struct qcow2 *, struct qc_page *);

/* qcow2_hole.c: of struct disk_ops */
uint64_t qc_hole(const struct disk *, uint64_t off);

/* qcow2_map.c */
int qc_map(struct qc_op *, unsigned layer, uint64_t off, uint64_t max,
    struct qc_extent *);
/* The page of layer 0's L2 table that has the entry of a cluster. */
int qc_map_page(
    struct qc_op *, uint64_t cluster, struct qc_page **, unsigned *index);
void qc_classify(const struct qc_layer *, uint64_t entry, struct qc_extent *);
/* Has layer 0 a table for this L1 index that it may change? */
bool qc_table_ok(const struct qcow2 *, uint64_t index);
/* Do layers below the first have anything there? */
bool qc_beneath(const struct qcow2 *, uint64_t off);

/* qcow2_read.c: rd_off, rd_left, rd_cur */
qc_step qc_read;

/* qcow2_inflate.c */
int qc_inflate_new(struct qcow2 *);
void qc_inflate_free(struct qcow2 *);
/* The cluster with this descriptor: its bytes, or QC_WAIT, -errno. */
int
qc_inflated(struct qc_op *, unsigned layer, uint64_t entry, const uint8_t **);

/* qcow2_space.c */
bool qc_bit(const uint64_t *, uint64_t);
void qc_bit_set(uint64_t *, uint64_t);
void qc_bit_clear(uint64_t *, uint64_t);
int qc_alloc(struct qcow2 *, uint64_t want, uint64_t *cluster, uint64_t *got,
    bool *clean);
void qc_free(struct qcow2 *, uint64_t cluster);

/* qcow2_refs.c: rf_cluster, rf_n have a count of 1 */
qc_step qc_refs_add;
int qc_refs_page(struct qc_op *, uint64_t cluster, bool change,
    struct qc_page **, uint64_t *index);

/* qcow2_table.c: tb_index has a table that may be changed */
qc_step qc_table_make;
uint64_t qc_table_get(const struct qc_table *, uint64_t index);
void qc_table_set(struct qc_table *, uint64_t index, uint64_t value);

/* qcow2_write.c: wr_off, wr_left, wr_cur, wr_zero */
qc_step qc_write;
struct qc_op *
qc_alloc_conflict(const struct qcow2 *, uint64_t first, uint64_t n);
void qc_write_abort(struct qc_op *);

/* qcow2_zero.c: ze_off, ze_left, by req->op */
qc_step qc_zero;

/* qcow2_commit.c */
void qc_commit_init(struct qcow2 *);
void qc_commit_kick(struct qcow2 *);
void qc_commit_begin(struct qcow2 *);
/* Can something be linked?  QC_GO or QC_WAIT. */
int qc_commit_quiet(struct qc_op *);
qc_step qc_flush;

/* qcow2_reap.c */
int qc_reap_init(struct qcow2 *);
void qc_reap_kick(struct qcow2 *);
/* Room for n clusters?  QC_GO, QC_WAIT, -errno. */
int qc_reap_room(struct qc_op *, unsigned n);
void qc_reap_put(struct qcow2 *, uint64_t cluster);
/* What an entry refers to is not used any more. */
void qc_reap_entry(struct qcow2 *, uint64_t entry);
bool qc_reap_quiet(const struct qcow2 *);

/* qcow2_load.c: reads the tables when a disk is opened */
int qc_load(struct qcow2 *, struct why *);

/* qcow2_grow.c: a refcount table for so many clusters */
int
qc_grow_refs(int fd, struct qcow2_header *, uint64_t clusters, struct why *);

#endif
