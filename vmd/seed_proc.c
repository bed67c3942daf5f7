/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/seed0: makes the image of a seed disk from the files that
 * the parent opened, says so, and ends.
 *
 * Invariants
 *  1. What users wrote is read after the seal only; before it counts the
 *     length of a file.
 *  2. libarchive's temporary file is in memory, in a file system that nobody
 *     else sees and that is gone with this process.
 */
#include <sys/mount.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "role.h"
#include "sandbox.h"
#include "seed.h"
#include "seed_impl.h"
#include "spawn.h"

#define SETUP_MS 30000
#define META_MAX (4U << 20) /* bytes; quotes may double a file of keys */
#define TMP_SIZE "size=8m,mode=700"

struct proc {
	struct chan *parent;
	bool go;
	int image;
	int fd[SEED_FILES];
	struct seed_data data; /* lengths as the parent saw them */
};

static int
on_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	struct seed_data *d = &p->data;

	if (p->image != -1 ||
	    ctl_get_str(body, d->name, sizeof(d->name)) != 0 ||
	    ctl_get_str(body, d->hostname, sizeof(d->hostname)) != 0) {
		fd_close(&fd);
		return -EBADMSG;
	}
	p->image = fd;
	return 0;
}

static int
on_file(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint64_t bytes;
	uint32_t i;

	if (ibuf_get_n32(body, &i) == -1 || i >= SEED_FILES ||
	    ibuf_get_n64(body, &bytes) == -1 || bytes > SEED_FILE_MAX ||
	    p->fd[i] != -1) {
		fd_close(&fd);
		return -EBADMSG;
	}
	p->fd[i] = fd;
	p->data.file[i].len = (size_t)bytes;
	return 0;
}

static int
on_go(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;

	if (p->image == -1)
		return -EBADMSG;
	p->go = true;
	return 0;
}

static const struct chan_row rows[] = {
	{ SEED_CONF, "SEED_CONF", CHAN_FD, on_conf },
	{ SEED_FILE, "SEED_FILE", CHAN_FD, on_file },
	{ SEED_GO, "SEED_GO", CHAN_NOFD, on_go },
};

static const struct chan_ops ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
};

/* Invariant 2. */
static int
private_tmp(struct why *why)
{
	if (unshare(CLONE_NEWNS) == -1 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("seed", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		TMP_SIZE) == -1)
		return why_set(
		    why, -errno, "a /tmp of its own: %s", strerror(errno));
	return 0;
}

/* All of it, which may not have changed since the parent looked. */
static int
read_file(int fd, const char *name, struct seed_text *f, struct why *why)
{
	size_t got = 0;
	ssize_t n;

	/* One byte more tells whether it grew. */
	if ((f->data = malloc(f->len + 1)) == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	do {
		n = read(fd, f->data + got, f->len + 1 - got);
		if (n > 0)
			got += (size_t)n;
	} while ((n > 0 && got <= f->len) || (n == -1 && errno == EINTR));
	if (n == -1)
		return why_set(
		    why, -errno, "%s: %s", name, strerrordesc_np(errno));
	if (got != f->len)
		return why_set(
		    why, -EAGAIN, "%s changed while it was read", name);
	return 0;
}

static int
read_files(struct proc *p, struct why *why)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < SEED_FILES && error == 0; i++) {
		if (p->fd[i] != -1)
			error = read_file(
			    p->fd[i], seed_file_name(i), &p->data.file[i], why);
	}
	return error;
}

static int
make(struct proc *p, struct seed_iso *iso, struct why *why)
{
	const struct seed_text *user = &p->data.file[SEED_USER_DATA];
	const struct seed_text *net = &p->data.file[SEED_NETWORK_CONFIG];
	struct ibuf *meta = ibuf_dynamic(0, META_MAX);
	int error;

	if (meta == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	if ((error = read_files(p, why)) == 0)
		error = seed_meta(&p->data, meta, why);
	if (error == 0)
		error = seed_iso_first(iso, user->data, user->len, why);
	if (error == 0)
		error = seed_iso_add(
		    iso, "meta-data", ibuf_data(meta), ibuf_size(meta), why);
	if (error == 0 && net->data != NULL)
		error = seed_iso_add(
		    iso, "network-config", net->data, net->len, why);
	if (error == 0)
		error = seed_iso_finish(iso, why);
	ibuf_free(meta);
	return error;
}

static int
report(struct proc *p, int error, const struct why *why)
{
	struct ibuf *body;

	if (error == 0)
		chan_send(p->parent, SEED_DONE, 0, -1, NULL);
	else {
		body = chan_body();
		if (ibuf_add_n32(body, (uint64_t)-error) == -1 ||
		    ctl_put_str(body, why->text) != 0)
			fatalx("report");
		chan_send(p->parent, SEED_ERROR, 0, -1, body);
	}
	return chan_flush(p->parent, SETUP_MS) == 0 && error == 0 ? 0 : 1;
}

static int
receive(struct proc *p)
{
	int error = 0;

	p->parent = chan_new(NULL, SPAWN_FD, &ops, p);
	if (p->parent == NULL)
		fatal("channel");
	while (error == 0 && !p->go)
		error = chan_recv(p->parent, SETUP_MS);
	return error;
}

int
seed_main(void)
{
	static const struct sandbox box = { .user = "_vmd", .nofile = 64 };
	struct proc p = { .image = -1, .fd = { -1, -1, -1 } };
	struct seed_iso *iso;
	struct why why = { { 0 } };
	int error;

	if (receive(&p) != 0)
		return 1;
	if ((error = private_tmp(&why)) != 0 ||
	    (error = seed_iso_open(&iso, p.image, "user-data",
		 p.data.file[SEED_USER_DATA].len, &why)) != 0)
		return report(&p, error, &why);
	sandbox_confine(&box);
	chan_forbid_fds(p.parent);
	sandbox_seal("stdio " /* the files, the image, the channel, the log */
		     "archive", /* libarchive and its temporary file */
	    NULL, 0);
	return report(&p, make(&p, iso, &why), &why);
}
