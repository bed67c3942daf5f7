/* SPDX-License-Identifier: ISC */
/*
 * The snapshot table: reading it, and what it and L1 tables are to be.  Rows
 * of others' making are kept byte for byte.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qcow2_snap_impl.h"
#include "qcow2_sync.h"

/* A row of a table in memory. */
struct row {
	struct qcow2_snapshot sn;
	const uint8_t *p;
	const char *id, *name;
	size_t id_len, name_len;
	uint64_t state_size, disk_size; /* 0: it does not say */
};

struct table {
	uint8_t *data;
	uint64_t len;
	struct qcow2_snapshot *sn;
	uint32_t n;
};

static int
add_row(void *arg, const struct qcow2_snapshot *sn)
{
	struct table *t = arg;

	t->sn[t->n++] = *sn;
	return 0;
}

static void
table_free(struct table *t)
{
	free(t->data);
	free(t->sn);
}

static int
table_read(
    struct table *t, int fd, const struct qcow2_header *h, struct why *why)
{
	int error;

	*t = (struct table){ 0 };
	t->sn = calloc((size_t)h->nsnapshots + 1, sizeof(*t->sn));
	if (t->sn == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	error = qcow2_snapshots(fd, h, add_row, t, &t->len, why);
	if (error == 0 && (t->data = calloc(1, (size_t)t->len + 1)) == NULL)
		error = why_set(why, -ENOMEM, "out of memory");
	if (error != 0 || t->n == 0)
		return error;
	/* The file may end before the padding of the last row. */
	error = qcow2_read_at(fd, t->data,
	    (size_t)(t->sn[t->n - 1].at + t->sn[t->n - 1].len),
	    h->snapshots_offset);
	if (error != 0)
		return why_set(why, error, "cannot read the snapshot table");
	return 0;
}

/* sn says how long the row is: all of it is within the table. */
static bool
row_get(const struct table *t, uint32_t i, struct row *r)
{
	const uint8_t *p = t->data + t->sn[i].at;
	uint32_t extra = qcow2_get32(p + SN_EXTRA_LEN);

	*r = (struct row){ .sn = t->sn[i], .p = p };
	r->id_len = qcow2_get16(p + SN_ID_LEN);
	r->name_len = qcow2_get16(p + SN_NAME_LEN);
	/* It was read twice. */
	if ((uint64_t)SN_FIXED + extra + r->id_len + r->name_len > r->sn.len)
		return false;
	r->id = (const char *)p + SN_FIXED + extra;
	r->name = r->id + r->id_len;
	r->state_size = qcow2_get32(p + SN_STATE_SIZE);
	if (extra >= SN_DISK_SIZE - SN_FIXED)
		r->state_size = qcow2_get64(p + SN_STATE_SIZE64);
	if (extra >= SN_FIXED_V3 - SN_FIXED)
		r->disk_size = qcow2_get64(p + SN_DISK_SIZE);
	return true;
}

static void
text(char to[QCOW2_SNAP_TEXT + 1], const char *from, size_t len)
{
	if (len > QCOW2_SNAP_TEXT)
		len = QCOW2_SNAP_TEXT;
	memcpy(to, from, len);
	to[len] = '\0';
}

int
qcow2_snap_list(int fd, const struct qcow2_header *h,
    int (*each)(void *, const struct qcow2_snap_info *), void *arg,
    struct why *why)
{
	struct qcow2_snap_info info;
	struct table t;
	struct row r;
	uint32_t i;
	int error;

	error = table_read(&t, fd, h, why);
	for (i = 0; i < t.n && error == 0; i++) {
		if (!row_get(&t, i, &r)) {
			error = why_set(
			    why, -EINVAL, "snapshot table is being changed");
			break;
		}
		text(info.id, r.id, r.id_len);
		text(info.name, r.name, r.name_len);
		info.sec = qcow2_get32(r.p + SN_SEC);
		info.nsec = qcow2_get32(r.p + SN_NSEC);
		info.state_size = r.state_size;
		info.disk_size = r.disk_size != 0 ? r.disk_size : h->size;
		error = each(arg, &info);
	}
	table_free(&t);
	return error;
}

static bool
is(const char *text, size_t len, const char *tag)
{
	return len == strlen(tag) && memcmp(text, tag, len) == 0;
}

/* 0, -ENOENT, or -ENOTUNIQ. */
static int
find(const struct table *t, const char *tag, struct row *out)
{
	unsigned names = 0, ids = 0;
	struct row r;
	uint32_t i;

	for (i = 0; i < t->n; i++) {
		if (!row_get(t, i, &r))
			return -EINVAL;
		if (is(r.name, r.name_len, tag)) {
			*out = r;
			names++;
		}
	}
	for (i = 0; i < t->n && names == 0; i++) {
		(void)row_get(t, i, &r);
		if (is(r.id, r.id_len, tag)) {
			*out = r;
			ids++;
		}
	}
	return names + ids == 1 ? 0 : names + ids == 0 ? -ENOENT : -ENOTUNIQ;
}

/* The number behind the largest of the others. */
static uint64_t
next_id(const struct table *t)
{
	uint64_t next = 1, id;
	struct row r;
	uint32_t i;
	size_t k;

	for (i = 0; i < t->n; i++) {
		if (!row_get(t, i, &r) || r.id_len > 18)
			continue;
		for (id = 0, k = 0; k < r.id_len; k++) {
			if (r.id[k] < '0' || r.id[k] > '9')
				break;
			id = id * 10 + (uint64_t)(r.id[k] - '0');
		}
		if (k == r.id_len && id >= next)
			next = id + 1;
	}
	return next;
}

static int
read_l1(struct qcow2_snap *s, uint64_t off, uint32_t size, uint32_t entries,
    struct why *why)
{
	uint64_t i, e;
	int error;

	if (entries == 0)
		return 0;
	if (qs_part_new(s, &s->l1, (uint64_t)entries * 8) != 0)
		return why_set(why, -ENOMEM, "out of memory");
	error = qcow2_read_at(s->fd, s->l1.data, (size_t)size * 8, off);
	if (error != 0)
		return why_set(why, error, "cannot read an L1 table");
	/* "L1 table entry": it is shared. */
	for (i = 0; i < size; i++) {
		e = qcow2_get64(s->l1.data + i * 8);
		qcow2_put64(s->l1.data + i * 8, e & ~QE_COPIED);
	}
	return 0;
}

static int
plan_create(struct qcow2_snap *s, const struct table *t, const char *name,
    struct timespec now, struct why *why)
{
	char id[24];
	size_t id_len, name_len = strlen(name);
	uint64_t len;
	struct row old;
	uint8_t *p;

	if (!qcow2_snap_name_ok(name))
		return why_set(why, -EINVAL,
		    "invalid name for a snapshot: letters, digits, \".\", "
		    "\"_\" and \"-\", and not digits alone");
	if (find(t, name, &old) != -ENOENT)
		return why_set(
		    why, -EEXIST, "has a snapshot \"%s\" already", name);
	id_len = (size_t)snprintf(
	    id, sizeof(id), "%llu", (unsigned long long)next_id(t));
	len = (SN_FIXED_V3 + id_len + name_len + 7) & ~7ULL;
	if (t->n == QCOW2_SNAPSHOTS_MAX ||
	    len > QCOW2_SNAPSHOT_BYTES_MAX - t->len)
		return why_set(why, -EFBIG, "too many snapshots");
	if (qs_part_new(s, &s->table, t->len + len) != 0)
		return why_set(why, -ENOMEM, "out of memory");
	memcpy(s->table.data, t->data, (size_t)t->len);
	p = s->table.data + t->len;
	/* Where the L1 table will be is not known yet: qcow2_snap.c. */
	qcow2_put32(p + SN_L1_SIZE, s->h.l1_size);
	qcow2_put16(p + SN_ID_LEN, (uint16_t)id_len);
	qcow2_put16(p + SN_NAME_LEN, (uint16_t)name_len);
	qcow2_put32(p + SN_SEC, (uint32_t)now.tv_sec);
	qcow2_put32(p + SN_NSEC, (uint32_t)now.tv_nsec);
	qcow2_put32(p + SN_EXTRA_LEN, SN_FIXED_V3 - SN_FIXED);
	qcow2_put64(p + SN_DISK_SIZE, s->h.size);
	memcpy(p + SN_FIXED_V3, id, id_len);
	memcpy(p + SN_FIXED_V3 + id_len, name, name_len);
	s->row = t->len;
	s->nsnapshots = t->n + 1;
	return read_l1(s, s->h.l1_offset, s->h.l1_size, s->h.l1_size, why);
}

static int
plan_delete(struct qcow2_snap *s, const struct table *t, const struct row *r,
    struct why *why)
{
	uint64_t len = (r->sn.len + 7) & ~7ULL, behind = r->sn.at + len;

	s->nsnapshots = t->n - 1;
	if (s->nsnapshots == 0)
		return 0;
	if (qs_part_new(s, &s->table, t->len - len) != 0)
		return why_set(why, -ENOMEM, "out of memory");
	memcpy(s->table.data, t->data, (size_t)r->sn.at);
	memcpy(s->table.data + r->sn.at, t->data + behind,
	    (size_t)(t->len - behind));
	return 0;
}

static int
plan_revert(struct qcow2_snap *s, const struct row *r, struct why *why)
{
	uint32_t entries = r->sn.l1_size;

	if (r->disk_size != 0 && r->disk_size != s->h.size)
		return why_set(why, -ENOTSUP,
		    "the disk had %llu bytes then, and has %llu",
		    (unsigned long long)r->disk_size,
		    (unsigned long long)s->h.size);
	if (entries < s->h.l1_size)
		entries = s->h.l1_size;
	return read_l1(s, r->sn.l1_offset, r->sn.l1_size, entries, why);
}

int
qs_plan(
    struct qcow2_snap *s, const char *tag, struct timespec now, struct why *why)
{
	struct table t;
	struct row r;
	int error;

	error = table_read(&t, s->fd, &s->h, why);
	if (error == 0 && s->op == QCOW2_SNAP_CREATE)
		error = plan_create(s, &t, tag, now, why);
	else if (error == 0 && (error = find(&t, tag, &r)) != 0)
		why_set(why, error,
		    error == -ENOTUNIQ
			? "has more than one snapshot \"%.200s\": use its id"
			: "has no snapshot \"%.200s\"",
		    tag);
	else if (error == 0)
		error = s->op == QCOW2_SNAP_DELETE ? plan_delete(s, &t, &r, why)
						   : plan_revert(s, &r, why);
	table_free(&t);
	return error;
}
