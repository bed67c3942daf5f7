/* SPDX-License-Identifier: ISC */
/*
 * The process that looks at what images hold.  It is given descriptors,
 * gives up everything else, and only then reads.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#include <linux/fs.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "image.h"
#include "imgcopy.h"
#include "imsg.h"
#include "landlock.h"
#include "log.h"
#include "qcow2_check.h"
#include "sandbox.h"
#include "spawn.h"
#include "text.h"

#define SETUP_MS 10000
#define FLUSH_MS 60000

struct work {
	struct chan *chan;
	struct disk_layer in[DISK_LAYERS_MAX], out;
	unsigned n;
	bool go;
	enum image_job job;
	bool progress;
	char tag[QCOW2_SNAP_TEXT + 1];
};

static int
on_layer(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct work *w = arg;
	uint32_t fmt;

	if (w->n == DISK_LAYERS_MAX || ibuf_get_n32(body, &fmt) == -1) {
		close(fd);
		return -EBADMSG;
	}
	w->in[w->n++] = (struct disk_layer){ fd, (enum vm_diskfmt)fmt };
	return 0;
}

static int
on_out(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct work *w = arg;
	uint32_t fmt;

	if (w->out.fd != -1 || ibuf_get_n32(body, &fmt) == -1) {
		close(fd);
		return -EBADMSG;
	}
	w->out = (struct disk_layer){ fd, (enum vm_diskfmt)fmt };
	return 0;
}

static int
on_do(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct work *w = arg;
	uint32_t job, progress;

	if (ibuf_get_n32(body, &job) == -1 ||
	    ibuf_get_n32(body, &progress) == -1 ||
	    ctl_get_str(body, w->tag, sizeof(w->tag)) != 0)
		return -EBADMSG;
	w->job = (enum image_job)job;
	w->progress = progress != 0;
	w->go = true;
	return 0;
}

static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_row rows[] = {
	{ IMAGE_LAYER, "IMAGE_LAYER", CHAN_FD, on_layer },
	{ IMAGE_OUT, "IMAGE_OUT", CHAN_FD, on_out },
	{ IMAGE_DO, "IMAGE_DO", CHAN_NOFD, on_do },
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

static void
seal(struct work *w)
{
	struct sandbox_ioctl size[DISK_LAYERS_MAX];
	unsigned i;

	for (i = 0; i < w->n; i++)
		size[i] =
		    (struct sandbox_ioctl){ BLKGETSIZE64, w->in[i].fd, 1 };
	/* No root directory to leave, no user to become: we are the user. */
	if (landlock_deny_all() < 0)
		fatalx("landlock");
	chan_forbid_fds(w->chan);
	/*
	 * stdio	the channel, messages, progress
	 * disk		the images; how large a block device is
	 * uring	the copy's rings, restricted in aio_uring.c
	 */
	sandbox_seal("stdio disk uring", size, w->n);
}

static void
say(void *arg, const char *line)
{
	struct work *w = arg;
	struct ibuf *b = chan_body();

	if (ctl_put_str(b, line) != 0 ||
	    chan_send(w->chan, IMAGE_LINE, 0, -1, b) != 0)
		fatalx("message");
}

static void
counts(struct work *w, const struct qcow2_report *r)
{
	struct ibuf *b = chan_body();

	if (ibuf_add_n64(b, r->corruptions) == -1 ||
	    ibuf_add_n64(b, r->leaks) == -1 ||
	    ibuf_add_n64(b, r->clusters) == -1 ||
	    ibuf_add_n64(b, r->allocated) == -1 ||
	    ibuf_add_n64(b, r->compressed) == -1 ||
	    chan_send(w->chan, IMAGE_COUNTS, 0, -1, b) != 0)
		fatalx("message");
}

static int
check(struct work *w)
{
	struct qcow2_report r;
	struct qcow2_header h;
	struct qcow2_check c = {
		.fd = w->in[0].fd,
		.h = &h,
		.say = say,
		.arg = w,
		.repair = w->job == IMAGE_REPAIR,
	};
	struct why why;

	if (qcow2_header_read(c.fd, &h, &why) != 0 ||
	    qcow2_check(&c, &r, &why) != 0) {
		log_warnx("%s", why.text);
		return 1;
	}
	counts(w, &r);
	return r.corruptions == 0 && r.leaks == 0 ? 0 : 1;
}

static int
say_snapshot(void *arg, const struct qcow2_snap_info *i)
{
	struct work *w = arg;
	struct ibuf *b = chan_body();

	if (ctl_put_str(b, i->id) != 0 || ctl_put_str(b, i->name) != 0 ||
	    ibuf_add_n32(b, i->sec) == -1 || ibuf_add_n32(b, i->nsec) == -1 ||
	    ibuf_add_n64(b, i->state_size) == -1 ||
	    ibuf_add_n64(b, i->disk_size) == -1 ||
	    chan_send(w->chan, IMAGE_SNAPSHOT, 0, -1, b) != 0)
		fatalx("message");
	return 0;
}

static int
list(struct work *w, struct why *why)
{
	struct qcow2_header h;
	int error = qcow2_header_read(w->in[0].fd, &h, why);

	return error != 0
	    ? error
	    : qcow2_snap_list(w->in[0].fd, &h, say_snapshot, w, why);
}

static int
snapshot(struct work *w)
{
	struct qcow2_snap *s;
	struct timespec now;
	struct why why;
	int error;

	clock_gettime(CLOCK_REALTIME, &now);
	if (w->job == IMAGE_LIST)
		error = list(w, &why);
	else {
		error = qcow2_snap_prepare(&s, w->in[0].fd,
		    w->job == IMAGE_CREATE	 ? QCOW2_SNAP_CREATE
			: w->job == IMAGE_DELETE ? QCOW2_SNAP_DELETE
						 : QCOW2_SNAP_REVERT,
		    w->tag, now, &why);
		if (error == 0)
			error = qcow2_snap_commit(s, &why);
	}
	if (error != 0)
		say(w, why.text);
	return error == 0 ? 0 : 1;
}

static int
work(struct work *w, struct imgcopy *copy)
{
	switch (w->job) {
	case IMAGE_COPY:
		return imgcopy_run(copy, w->progress);
	case IMAGE_CHECK:
	case IMAGE_REPAIR:
		return check(w);
	case IMAGE_LIST:
	case IMAGE_CREATE:
	case IMAGE_DELETE:
	case IMAGE_REVERT:
		return snapshot(w);
	}
	return 1;
}

int
image_worker(void)
{
	struct work w = { .out = { -1, VM_DISK_RAW } };
	struct imgcopy copy = { 0 };
	int rc;

	/* The user gives up: so do we. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		fatal("parent's death signal");
	w.chan = chan_new(NULL, SPAWN_FD, &ops, &w);
	if (w.chan == NULL)
		fatal("channel");
	while (!w.go)
		if (chan_recv(w.chan, SETUP_MS) != 0)
			return 1;
	if (w.job == IMAGE_COPY && !imgcopy_prepare(&copy, w.in, w.n, w.out))
		return 1;
	seal(&w);
	rc = work(&w, &copy);
	if (chan_flush(w.chan, FLUSH_MS) != 0 && rc == 0)
		rc = 1;
	return rc;
}
