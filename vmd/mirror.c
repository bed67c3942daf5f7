/* SPDX-License-Identifier: ISC */
/* See mirror.h. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "imsg.h"
#include "disk.h"
#include "mirror.h"
#include "state.h"

int
mirror_get(struct ibuf *body, struct mirror_msg *m)
{
	uint32_t what, bytes;
	struct ibuf view;

	if (ibuf_get_n32(body, &what) == -1 || what > MIRROR_PUT ||
	    ibuf_get_n32(body, &m->tag) == -1 ||
	    ibuf_get_n32(body, &m->error) == -1 || m->error > 4095 ||
	    ibuf_get_n64(body, &m->off) == -1 ||
	    ibuf_get_n64(body, &m->len) == -1 ||
	    ibuf_get_n64(body, &m->left) == -1 ||
	    ibuf_get_n32(body, &bytes) == -1 || bytes > 1)
		return -EBADMSG;
	m->what = (enum mirror_do)what;
	m->bytes = NULL;
	if (bytes == 0)
		return 0;
	if (m->len == 0 || m->len > MIRROR_PIECE ||
	    ibuf_get_ibuf(body, (size_t)m->len, &view) == -1)
		return -EBADMSG;
	m->bytes = ibuf_data(&view);
	return 0;
}

int
mirror_put(struct ibuf *body, const struct mirror_msg *m)
{
	if (ibuf_add_n32(body, m->what) == -1 ||
	    ibuf_add_n32(body, m->tag) == -1 ||
	    ibuf_add_n32(body, m->error) == -1 ||
	    ibuf_add_n64(body, m->off) == -1 ||
	    ibuf_add_n64(body, m->len) == -1 ||
	    ibuf_add_n64(body, m->left) == -1 ||
	    ibuf_add_n32(body, m->bytes != NULL) == -1 ||
	    (m->bytes != NULL &&
		ibuf_add(body, m->bytes, (size_t)m->len) == -1))
		return -EMSGSIZE;
	return 0;
}

bool
mirror_piece_ok(const struct mirror_msg *m, uint64_t size)
{
	uint64_t max = m->bytes != NULL ? MIRROR_PIECE : MIRROR_ZEROES;

	return m->len > 0 && m->len <= max && m->len % DISK_SECTOR == 0 &&
	    m->off % DISK_SECTOR == 0 && m->off <= size &&
	    m->len <= size - m->off;
}

void
mirror_write_disks(
    struct state *s, const struct mirror_disk *disk, unsigned ndisks)
{
	uint64_t i, size, n = 0;

	if (state_begin(s, "disks", 1) != 0)
		return;
	for (i = 0; i < ndisks; i++)
		n += disk[i].size != 0;
	state_number(s, &n, UINT64_MAX);
	for (i = 0; i < ndisks; i++) {
		if ((size = disk[i].size) == 0)
			continue;
		state_number(s, &i, UINT64_MAX);
		state_number(s, &size, UINT64_MAX);
	}
	(void)state_end(s);
}

void
mirror_write(struct state *s, unsigned disk, const struct mirror_msg *m)
{
	uint64_t index = disk, off = m->off, len = m->len;

	if (state_begin(s, "disk", 1) != 0)
		return;
	state_number(s, &index, UINT64_MAX);
	state_number(s, &off, UINT64_MAX);
	state_number(s, &len, UINT64_MAX);
	if (m->bytes != NULL)
		state_bytes(s, (void *)(uintptr_t)m->bytes, (size_t)len);
	(void)state_end(s);
}

static void
read_one(struct state *s, struct mirror_to *to)
{
	const struct vmconf *c = to->conf;
	uint64_t i = 0, size = 0;

	state_number(s, &i, c->ndisks - 1);
	state_number(s, &size, UINT64_MAX);
	if (s->error != 0)
		return;
	if (to->copied[i])
		state_fail(s, -EINVAL, "disk %u comes twice", (unsigned)i);
	else if (c->disk[i].readonly)
		state_fail(s, -EROFS, "disk %u is read-only here, and was not",
		    (unsigned)i);
	else if (size != to->disk[i].size)
		state_fail(s, -EINVAL,
		    "disk %u has %llu bytes here, and had %llu", (unsigned)i,
		    (unsigned long long)to->disk[i].size,
		    (unsigned long long)size);
	else
		to->copied[i] = true;
}

void
mirror_read_disks(struct state *s, struct mirror_to *to)
{
	const struct vmconf *c = to->conf;
	char why[MIRROR_WHY_MAX] = "";
	uint64_t i, n = 0;
	int e;

	if (state_begin(s, "disks", 1) != 0)
		return;
	state_number(s, &n, c->ndisks);
	for (i = 0; i < n && s->error == 0; i++)
		read_one(s, to);
	for (i = 0; i < c->ndisks && s->error == 0; i++)
		if (!to->copied[i] && !c->disk[i].readonly)
			state_fail(s, -EINVAL,
			    "disk %u is not read-only here, and was",
			    (unsigned)i);
	if (state_end(s) != 0)
		return;
	if ((e = to->begin(to->arg, why)) < 0)
		state_fail(s, e, "%s", why);
	to->on = s->error == 0;
}

void
mirror_read(struct state *s, struct mirror_to *to)
{
	struct mirror_msg m = { .what = MIRROR_PUT };
	char why[MIRROR_WHY_MAX] = "";
	uint8_t bytes[MIRROR_PIECE];
	uint64_t index = 0;
	int e;

	if (state_begin(s, "disk", 1) != 0)
		return;
	state_number(s, &index, UINT64_MAX);
	state_number(s, &m.off, UINT64_MAX);
	state_number(s, &m.len, UINT64_MAX);
	if (s->error == 0 && s->pos < s->len)
		m.bytes = bytes;
	if (s->error == 0 &&
	    (!to->on || index >= to->conf->ndisks || !to->copied[index]))
		state_fail(s, -EINVAL, "no disk %llu is to be copied",
		    (unsigned long long)index);
	else if (s->error == 0 && !mirror_piece_ok(&m, to->disk[index].size))
		state_fail(s, -EINVAL,
		    "disk %llu: no piece of it: %llu bytes at %llu",
		    (unsigned long long)index, (unsigned long long)m.len,
		    (unsigned long long)m.off);
	if (m.bytes != NULL)
		state_bytes(s, bytes, (size_t)m.len);
	if (state_end(s) == 0 &&
	    (e = to->put(to->arg, (unsigned)index, &m, why)) < 0)
		state_fail(s, e, "%s", why);
}
