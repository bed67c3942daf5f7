/* SPDX-License-Identifier: ISC */
/*
 * The process NAME/snap: deletes a snapshot in the images that the parent
 * opened, says so, and ends.
 *
 * Invariants
 *  1. Images, which may be anybody's, are read after the seal only.
 *  2. What can fail is prepared in all of them before one is changed, as for
 *     a VM that runs: vm_snap.c.
 *  3. In no control group of a VM, it is limited by itself.
 */
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <linux/fs.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "qcow2_snap.h"
#include "role.h"
#include "sandbox.h"
#include "spawn.h"
#include "vmconf.h"

#define SETUP_MS 30000
/* Refcounts take 4 bytes of a cluster: half a GiB for an image of 8 TiB. */
#define DATA_MAX (2ULL << 30)

struct image {
	int fd;
	char path[VM_PATH_MAX + 1];
	struct qcow2_snap *prepared;
};

struct proc {
	struct chan *parent;
	char tag[SNAP_TAG_MAX];
	uint32_t want; /* images; 0: not known yet */
	uint32_t n;
	struct image image[VM_DISKS_MAX];
};

static int
on_conf(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	uint32_t want;

	if (p->want != 0 || ctl_get_str(body, p->tag, sizeof(p->tag)) != 0 ||
	    ibuf_get_n32(body, &want) == -1 || want == 0 || want > VM_DISKS_MAX)
		return -EBADMSG;
	p->want = want;
	return 0;
}

static int
on_disk(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct proc *p = arg;
	struct image *im = &p->image[p->n];

	if (p->n == p->want ||
	    ctl_get_str(body, im->path, sizeof(im->path)) != 0) {
		fd_close(&fd);
		return -EBADMSG;
	}
	im->fd = fd;
	p->n++;
	return 0;
}

static const struct chan_row rows[] = {
	{ SNAP_CONF, "SNAP_CONF", CHAN_NOFD, on_conf },
	{ SNAP_DISK, "SNAP_DISK", CHAN_FD, on_disk },
};

static const struct chan_ops ops = {
	.rows = rows,
	.nrows = sizeof(rows) / sizeof(rows[0]),
};

static int
receive(struct proc *p)
{
	int error = 0;

	p->parent = chan_new(NULL, SPAWN_FD, &ops, p);
	if (p->parent == NULL)
		fatal("channel");
	while (error == 0 && (p->want == 0 || p->n < p->want))
		error = chan_recv(p->parent, SETUP_MS);
	return error;
}

static void
seal(struct proc *p)
{
	static const struct sandbox box = { .user = "_vmd", .nofile = 64 };
	static const struct rlimit data = { DATA_MAX, DATA_MAX };
	struct sandbox_ioctl size[VM_DISKS_MAX];
	uint32_t i;

	for (i = 0; i < p->n; i++)
		size[i] =
		    (struct sandbox_ioctl){ BLKGETSIZE64, p->image[i].fd, 1 };
	if (setrlimit(RLIMIT_DATA, &data) == -1)
		fatal("setrlimit");
	sandbox_confine(&box);
	chan_forbid_fds(p->parent);
	/*
	 * stdio	the channel, the log
	 * disk		the images; how large a block device is
	 */
	sandbox_seal("stdio disk", size, p->n);
}

/* The first error counts. */
static void
failed(const struct image *im, int *error, int e, char *line, size_t len,
    const struct why *why)
{
	if (*error != 0)
		return;
	*error = e;
	snprintf(line, len, "disk %.120s: %.100s", im->path, why->text);
}

/* In those that have it; *any: there is one. */
static int
prepare(struct proc *p, bool *any, char *line, size_t len)
{
	struct timespec now = { 0 }; /* of a deletion nobody asks when */
	struct why why = { "" };
	struct image *im;
	int error = 0, e;

	*any = false;
	for (im = p->image; im < &p->image[p->n] && error == 0; im++) {
		e = qcow2_snap_prepare(&im->prepared, im->fd, QCOW2_SNAP_DELETE,
		    p->tag, now, &why);
		if (e == 0)
			*any = true;
		else {
			im->prepared = NULL;
			if (e != -ENOENT)
				failed(im, &error, e, line, len, &why);
		}
	}
	return error;
}

static int
delete_all(struct proc *p, char *line, size_t len)
{
	struct why why = { "" };
	struct image *im;
	bool any, give_up;
	int e, error = prepare(p, &any, line, len);

	give_up = error != 0;
	if (!give_up && !any) {
		snprintf(line, len, "no disk has a snapshot \"%s\"", p->tag);
		return -ENOENT;
	}
	for (im = p->image; im < &p->image[p->n]; im++) {
		if (im->prepared == NULL)
			continue;
		if (give_up) {
			qcow2_snap_abort(im->prepared);
			continue;
		}
		if ((e = qcow2_snap_commit(im->prepared, &why)) != 0)
			failed(im, &error, e, line, len, &why);
	}
	return error;
}

int
snap_main(void)
{
	struct proc p = { 0 };
	char line[256] = "";
	struct ibuf *body;
	int error;

	if (receive(&p) != 0)
		return 1;
	seal(&p);
	error = delete_all(&p, line, sizeof(line));
	body = chan_body();
	if (ibuf_add_n32(body, (uint64_t)-error) == -1 ||
	    ctl_put_str(body, line) != 0)
		fatalx("report");
	if (chan_send(p.parent, SNAP_DONE, 0, -1, body) != 0)
		return 1;
	return chan_flush(p.parent, SETUP_MS) == 0 ? 0 : 1;
}
