/* SPDX-License-Identifier: ISC */
/*
 * Chains of disk images: see chain.h.
 *
 * Where an image says what it is based on, those who can write the image
 * choose a file that root opens.  So:
 *  1. The name is a path, relative to the image; names that other programs
 *     take for protocols are refused.
 *  2. Its format is the one that the image names; it is never guessed.
 *  3. It is opened with the file access rights of the image's owner, or of
 *     nobody in particular when others may write the image, or when it is
 *     root's: a device process that was taken over can write a name into an
 *     image that it may write, and root's rights are none of its own.  Along
 *     a chain rights do not change back to those of another owner.
 *  3a. Where the configuration says what a disk may be based on, that alone
 *     counts: it is opened with our own rights, and nothing else is.
 *     In a VM that a user described who is not root, all is opened with
 *     that user's rights.
 *  4. Whether an image is qcow2 at all is said by the configuration or by the
 *     file's name, never by its content, which is the guest's.
 */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asuser.h"
#include "chain.h"
#include "ctl.h"
#include "fd.h"
#include "image.h"
#include "imglock.h"
#include "log.h"
#include "qcow2.h"

/* From one image to the next. */
struct walk {
	const char *base; /* of the configuration; "": none */
	char path[VM_PATH_MAX + 1]; /* of the last layer */
	uid_t uid; /* whose rights count; 0: nobody's yet */
};

void
chain_close(struct chain *c)
{
	while (c->n > 0)
		fd_close(&c->layer[--c->n].fd);
}

int
chain_dup(struct chain *to, const struct chain *from)
{
	int fd;

	for (to->n = 0; to->n < from->n; to->n++) {
		fd = fcntl(from->layer[to->n].fd, F_DUPFD_CLOEXEC, 0);
		if (fd == -1) {
			fd = errno;
			chain_close(to);
			return -fd;
		}
		to->layer[to->n].fd = fd;
	}
	return 0;
}

int
chain_lock(const struct chain *c, bool readonly, bool on)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < c->n && error == 0; i++)
		error = on ? imglock(c->layer[i].fd, readonly || i > 0)
			   : imglock_free(c->layer[i].fd);
	return error;
}

void
chain_release(struct chain *c)
{
	while (c->n > 0)
		image_release(&c->layer[--c->n].fd);
}

/* ".qcow2" says so; then the content has to be. */
static int
choose_format(
    const struct vm_diskconf *d, int fd, enum vm_diskfmt *fmt, struct fail *why)
{
	size_t len = strlen(d->path);

	*fmt = d->format;
	if (d->format != VM_DISK_ANY)
		return 0;
	*fmt = VM_DISK_RAW;
	if (len > 6 && strcmp(d->path + len - 6, ".qcow2") == 0)
		*fmt = VM_DISK_QCOW2;
	else if (qcow2_probe(fd) == 1)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: looks like a qcow2 image: say which format it "
		    "has",
		    d->path);
	return 0;
}

/* The path of what an image is based on. */
static int
backing_path(const char *image, const char *name, char *out, size_t len,
    struct fail *why)
{
	const char *slash = strrchr(image, '/'), *colon = strchr(name, ':');
	int n;

	if (colon != NULL && memchr(name, '/', (size_t)(colon - name)) == NULL)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: backing file %s is not a path", image, name);
	if (name[0] == '/')
		n = snprintf(out, len, "%s", name);
	else
		n = snprintf(out, len, "%.*s/%s",
		    slash == NULL ? 0 : (int)(slash - image), image, name);
	if (n < 0 || (size_t)n >= len)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: backing file's path is too long", image);
	return 0;
}

/* Whose rights count behind this image; *uid: behind those before it. */
static int
narrow(int image, const char *path, uid_t *uid, struct fail *why)
{
	struct stat st;

	if (fstat(image, &st) == -1)
		return fail_set(
		    why, CTL_E_DISK, "disk %s: %s", path, strerror(errno));
	if (st.st_uid == 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		st.st_uid = ASUSER_NOBODY;
	if (*uid == 0)
		*uid = st.st_uid;
	else if (*uid != st.st_uid)
		*uid = ASUSER_NOBODY;
	return 0;
}

/* Invariant 3. */
static int
open_as(uid_t uid, const char *path, int *fd, struct fail *why)
{
	struct asuser as;
	int error = asuser_begin(&as, uid);

	if (error != 0)
		return fail_set(
		    why, CTL_E_DISK, "disk %s: %s", path, strerror(-error));
	error = image_open_disk(path, true, false, fd, why);
	asuser_end(&as);
	return error;
}

/* Is it base, or below it when that is a directory?  Both as they are without
 * symbolic links. */
static bool
is_within(const char *base, int fd)
{
	char link[32], name[PATH_MAX];
	size_t len;
	ssize_t n;
	char *real;
	bool ok;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	if (n == -1 || (real = realpath(base, NULL)) == NULL)
		return false;
	name[n] = '\0';
	len = strlen(real);
	ok = strncmp(name, real, len) == 0 &&
	    (name[len] == '\0' || name[len] == '/' || len == 1);
	free(real);
	return ok;
}

/* Invariant 3a. */
static int
open_configured(const char *image, const char *base, const char *path, int *fd,
    struct fail *why)
{
	int error = image_open_disk(path, true, false, fd, why);

	if (error != 0 || is_within(base, *fd))
		return error;
	fd_close(fd);
	return fail_set(why, CTL_E_DISK,
	    "disk %s: is based on %s, which is not its base in the "
	    "configuration",
	    image, path);
}

static int
open_backing(
    struct walk *w, int image, const char *path, int *fd, struct fail *why)
{
	int error;

	if (w->base[0] != '\0')
		return open_configured(w->path, w->base, path, fd, why);
	if ((error = narrow(image, w->path, &w->uid, why)) != 0)
		return error;
	error = open_as(w->uid, path, fd, why);
	if (error == 0 || why->cause != EACCES)
		return error;
	return fail_set(why, CTL_E_DISK,
	    "disk %s: %s (as the base of %s: see base in vm.conf(5))", path,
	    strerror(EACCES), w->path);
}

static bool
is_in(const struct chain *c, int fd)
{
	struct stat a, b;
	unsigned i;

	if (fstat(fd, &a) == -1)
		return true;
	for (i = 0; i < c->n; i++)
		if (fstat(c->layer[i].fd, &b) == -1 ||
		    (a.st_dev == b.st_dev && a.st_ino == b.st_ino))
			return true;
	return false;
}

/* What the last layer is based on; *more is false when it is nothing. */
static int
add_backing(struct chain *c, struct walk *w, bool *more, struct fail *why)
{
	const char *path = w->path;
	struct disk_layer *top = &c->layer[c->n - 1], *l = top + 1;
	char next[VM_PATH_MAX + 1];
	struct qcow2_header h;
	struct why text;
	int error;

	*more = false;
	if (top->format == VM_DISK_RAW)
		return 0;
	if (qcow2_header_read(top->fd, &h, &text) != 0)
		return fail_set(
		    why, CTL_E_DISK, "disk %s: %s", path, text.text);
	if (h.backing[0] == '\0')
		return 0;
	if (c->n == DISK_LAYERS_MAX)
		return fail_set(why, CTL_E_DISK,
		    "disk %s: more than %u images in a chain", path,
		    DISK_LAYERS_MAX);
	if (qcow2_backing_format(&h, &l->format, &text) != 0)
		return fail_set(
		    why, CTL_E_DISK, "disk %s: %s", path, text.text);
	error = backing_path(path, h.backing, next, sizeof(next), why);
	if (error != 0)
		return error;
	if ((error = open_backing(w, top->fd, next, &l->fd, why)) != 0)
		return error;
	if (is_in(c, l->fd)) {
		fd_close(&l->fd);
		return fail_set(
		    why, CTL_E_DISK, "disk %s: is based on itself", path);
	}
	c->n++;
	memcpy(w->path, next, sizeof(next));
	*more = true;
	return 0;
}

typedef int open_top(
    const char *path, bool readonly, bool sectors, int *fdp, struct fail *);

static int
open_chain(struct chain *out, const struct vm_diskconf *d, open_top *open,
    struct fail *why)
{
	struct chain c = { 0 };
	struct walk w = { .base = d->base };
	bool more = true;
	int error;

	error = open(d->path, d->readonly, d->format == VM_DISK_RAW,
	    &c.layer[0].fd, why);
	if (error != 0)
		return error;
	c.n = 1;
	memcpy(w.path, d->path, sizeof(w.path));
	error = choose_format(d, c.layer[0].fd, &c.layer[0].format, why);
	while (error == 0 && more)
		error = add_backing(&c, &w, &more, why);
	if (error != 0) {
		chain_close(&c);
		return error;
	}
	*out = c;
	return 0;
}

int
chain_open_own(
    struct disk_layer *out, const struct vm_diskconf *d, struct fail *why)
{
	struct disk_layer l = { .fd = -1 };
	int error;

	error = image_open_disk(
	    d->path, d->readonly, d->format == VM_DISK_RAW, &l.fd, why);
	if (error != 0)
		return error;
	if ((error = choose_format(d, l.fd, &l.format, why)) != 0) {
		fd_close(&l.fd);
		return error;
	}
	*out = l;
	return 0;
}

/* Who uses it now never changes what is read here: its header. */
int
chain_open_free(
    struct chain *out, const struct vm_diskconf *d, struct fail *why)
{
	return open_chain(out, d, image_open_free, why);
}

int
chain_open(struct chain *out, const struct vm_diskconf *d, struct fail *why)
{
	return open_chain(out, d, image_open_disk, why);
}
