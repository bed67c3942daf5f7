/* SPDX-License-Identifier: ISC */
/*
 * Snapshots: see qcow2_snap.h.
 *
 * In this order: new tables; refcounts, large enough for what is and for what
 * will be; COPIED flags of what will be shared; the header; and what is too
 * large then.  Before each of them the file is synced.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"
#include "qcow2_snap_impl.h"
#include "qcow2_sync.h"

/* The two fields of a table in the header: its size and its offset. */
#define HEAD_FIELDS 12

static int
sync_file(const struct qcow2_snap *s)
{
	return fdatasync(s->fd) == -1 ? -errno : 0;
}

bool
qcow2_snap_name_ok(const char *name)
{
	return vmconf_name_ok(name) && name[strspn(name, "0123456789")] != '\0';
}

int
qs_part_new(struct qcow2_snap *s, struct qs_part *p, uint64_t len)
{
	p->data = calloc((size_t)qs_clusters(s, len), (size_t)s->csize);
	p->len = p->data != NULL ? len : 0;
	return p->data != NULL ? 0 : -ENOMEM;
}

static void
snap_free(struct qcow2_snap *s)
{
	free(s->l1.data);
	free(s->table.data);
	free(s->refs);
	free(s->blocks);
	free(s->made);
	free(s);
}

/* Refcounts and flags as the tables say, and no mark any more. */
static int
settle(struct qcow2_snap *s, bool punch, struct why *why)
{
	struct qcow2_report r;
	struct qcow2_check c = {
		.fd = s->fd,
		.h = &s->h,
		.repair = true,
		.punch = punch,
	};
	int error = qcow2_check(&c, &r, why);

	if (error == 0 && r.corruptions > 0)
		return why_set(
		    why, -EUCLEAN, "image has errors that cannot be repaired");
	s->h.incompatible &= ~QCOW2_I_DIRTY;
	return error;
}

static int
open_image(struct qcow2_snap *s, struct why *why)
{
	int error = qcow2_header_read(s->fd, &s->h, why);

	if (error == 0)
		error = qcow2_header_writable(&s->h, why);
	if (error != 0)
		return error;
	s->csize = qcow2_cluster_size(&s->h);
	/* Somebody did not close it. */
	if ((s->h.incompatible & QCOW2_I_DIRTY) != 0)
		error = settle(s, false, why);
	return error == 0 ? qcow2_autoclear(s->fd, &s->h, why) : error;
}

/* Invariant 2. */
static int
mark_dirty(struct qcow2_snap *s)
{
	uint8_t raw[8];
	int error;

	if (s->h.version < 3)
		return 0;
	qcow2_put64(raw, s->h.incompatible | QCOW2_I_DIRTY);
	error = qcow2_write_at(s->fd, raw, sizeof(raw), QH_INCOMPATIBLE);
	if (error == 0)
		error = sync_file(s);
	if (error == 0)
		s->h.incompatible |= QCOW2_I_DIRTY;
	return error;
}

static int
write_part(struct qcow2_snap *s, const struct qs_part *p)
{
	uint64_t end = p->off + qs_clusters(s, p->len) * s->csize;
	int error;

	if (p->len == 0)
		return 0;
	error = qcow2_write_at(s->fd, p->data, (size_t)(end - p->off), p->off);
	if (error == 0 && end > s->h.file_size)
		s->h.file_size = end;
	return error;
}

static int
write_tables(struct qcow2_snap *s, struct why *why)
{
	uint64_t i, end;
	int error;

	if (s->op == QCOW2_SNAP_CREATE)
		qcow2_put64(s->table.data + s->row + SN_L1_OFFSET,
		    s->l1.len > 0 ? s->l1.off : s->csize);
	error = qs_space_write(s);
	for (i = 0; i < s->nmade && error == 0; i++) {
		end = (s->made[i] + 1) * s->csize;
		if (end > s->h.file_size)
			s->h.file_size = end;
	}
	if (error == 0)
		error = write_part(s, &s->l1);
	if (error == 0)
		error = write_part(s, &s->table);
	if (error == 0)
		error = sync_file(s);
	if (error != 0)
		return why_set(why, error, "cannot write the new tables: %s",
		    strerrordesc_np(-error));
	return 0;
}

/* Refcounts and flags that are right before and after the change. */
static int
refer(struct qcow2_snap *s, struct why *why)
{
	const struct qcow2_more more = {
		.l1_offset = s->l1.off,
		.l1_size = (uint32_t)(s->l1.len / 8),
		.l1_active = s->op == QCOW2_SNAP_REVERT,
		.off = s->table.off,
		.len = s->table.len,
	};
	struct qcow2_report r;
	struct qcow2_check c = { .fd = s->fd, .h = &s->h, .more = &more };
	int error = qcow2_check(&c, &r, why);

	if (error == 0 && r.corruptions > 0)
		return why_set(
		    why, -EUCLEAN, "refcounts cannot be made large enough");
	return error;
}

int
qcow2_snap_prepare(struct qcow2_snap **out, int fd, enum qcow2_snap_op op,
    const char *tag, struct timespec now, struct why *why)
{
	struct qcow2_snap *s = calloc(1, sizeof(*s));
	int error;

	if (s == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	s->fd = fd;
	s->op = op;
	if ((error = open_image(s, why)) != 0 ||
	    (error = qs_plan(s, tag, now, why)) != 0 ||
	    (error = qs_space(s, why)) != 0)
		goto free_it;
	if ((error = mark_dirty(s)) != 0) {
		why_set(why, error, "cannot change the header");
		goto free_it;
	}
	if ((error = write_tables(s, why)) != 0 ||
	    (error = refer(s, why)) != 0) {
		qcow2_snap_abort(s);
		return error;
	}
	*out = s;
	return 0;
free_it:
	snap_free(s);
	return error;
}

static void
header_fields(const struct qcow2_snap *s, uint8_t raw[HEAD_FIELDS])
{
	qcow2_put32(
	    raw, s->op == QCOW2_SNAP_REVERT ? s->h.l1_size : s->h.nsnapshots);
	qcow2_put64(raw + 4,
	    s->op == QCOW2_SNAP_REVERT ? s->h.l1_offset
				       : s->h.snapshots_offset);
}

static int
write_header(struct qcow2_snap *s)
{
	uint8_t raw[HEAD_FIELDS];
	int error;

	header_fields(s, raw);
	error = qcow2_write_at(s->fd, raw, sizeof(raw),
	    s->op == QCOW2_SNAP_REVERT ? QH_L1_SIZE : QH_NSNAPSHOTS);
	return error == 0 ? sync_file(s) : error;
}

int
qcow2_snap_commit(struct qcow2_snap *s, struct why *why)
{
	struct qcow2_header old = s->h;
	struct why w = { "" };
	int error;

	if (s->op == QCOW2_SNAP_REVERT) {
		s->h.l1_size = (uint32_t)(s->l1.len / 8);
		s->h.l1_offset = s->l1.off;
	} else {
		s->h.nsnapshots = s->nsnapshots;
		s->h.snapshots_offset = s->table.off;
	}
	if ((error = write_header(s)) != 0) {
		why_set(why, error, "cannot write the header: %s",
		    strerrordesc_np(-error));
		s->h = old;
		if (write_header(s) == 0)
			qcow2_snap_abort(s);
		else
			snap_free(s); /* marked as it is */
		return error;
	}
	/* It is done; what is not settled now is when it is opened next. */
	if (settle(s, true, &w) != 0)
		log_warnx("image with a new snapshot table: %s", w.text);
	snap_free(s);
	return 0;
}

void
qcow2_snap_abort(struct qcow2_snap *s)
{
	struct why w = { "" };

	if (settle(s, false, &w) != 0)
		log_warnx("image without the new snapshot: %s", w.text);
	snap_free(s);
}
