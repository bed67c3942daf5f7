/* SPDX-License-Identifier: ISC */
#include <sys/stat.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "fd.h"
#include "imsg.h"
#include "life.h"
#include "log.h"
#include "qcow2_snap.h"
#include "snapshot.h"
#include "statedir.h"
#include "suspend.h"

#define NEW  ".new"
#define KEPT ".snapshot"
/* Of one VM: each may be as large as its memory. */
#define SNAPSHOTS_MAX 64

static_assert(CTL_TAG_MAX == SNAP_TAG_MAX && VM_NAME_MAX < CTL_TAG_MAX,
    "a tag fits wherever it goes");

/* VM,TAG */
static const char *
base(const char *vm, const char *tag, char out[NAME_MAX])
{
	snprintf(out, NAME_MAX, "%s,%s", vm, tag);
	return out;
}

int
snapshot_name(const char *tag, struct fail *why)
{
	if (qcow2_snap_name_ok(tag))
		return 0;
	return fail_set(why, EINVAL,
	    "invalid name for a snapshot: letters, digits, \".\", \"_\" and "
	    "\"-\", and not digits alone");
}

static int
no_state(const char *vm, const char *tag, int error, struct fail *why)
{
	if (error == -ENOENT)
		return fail_set(
		    why, ENOENT, "vm \"%s\" has no snapshot \"%s\"", vm, tag);
	return fail_set(why, -error, "snapshot \"%s\" of vm \"%s\": %s", tag,
	    vm, strerror(-error));
}

int
snapshot_open(const struct life *l, const struct vm *vm, const char *tag,
    int *fd, struct fail *why)
{
	char name[NAME_MAX], file[NAME_MAX];
	int dir = statedir_open(l, false), error = 0;

	if (dir < 0)
		return no_state(vm->conf.name, tag, dir, why);
	*fd = openat(dir,
	    statedir_file(base(vm->conf.name, tag, name), KEPT, file),
	    O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (*fd == -1)
		error = -errno;
	close(dir);
	return error == 0 ? 0 : no_state(vm->conf.name, tag, error, why);
}

/* The tag of a snapshot of that VM; false: the file is none of that kind. */
static bool
is_kind(
    const char *vm, const char *kind, const char *file, char tag[CTL_TAG_MAX])
{
	size_t n = strlen(vm), len = strlen(file), k = strlen(kind) + 1;

	if (strncmp(file, vm, n) != 0 || file[n] != ',' || len < n + k ||
	    len - n - k >= CTL_TAG_MAX || strcmp(file + len - k + 1, kind) != 0)
		return false;
	len -= n + k;
	memcpy(tag, file + n + 1, len);
	tag[len] = '\0';
	return qcow2_snap_name_ok(tag);
}

int
snapshot_list(const struct life *l, const struct vm *vm,
    int (*each)(void *, const struct ctl_kept *), void *arg)
{
	int fd = statedir_open(l, false), error = 0;
	const struct dirent *e;
	struct ctl_kept k;
	struct stat st;
	DIR *dir;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if ((dir = fdopendir(fd)) == NULL) {
		error = -errno;
		close(fd);
		return error;
	}
	while (error == 0 && (e = readdir(dir)) != NULL) {
		if (!is_kind(vm->conf.name, KEPT, e->d_name, k.tag) ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
		    !S_ISREG(st.st_mode))
			continue;
		k.ms = (uint64_t)st.st_mtim.tv_sec * 1000 +
		    (uint64_t)st.st_mtim.tv_nsec / 1000000;
		k.bytes = (uint64_t)st.st_size;
		error = each(arg, &k);
	}
	closedir(dir);
	return error;
}

void
snapshot_sweep(const struct life *l, const char *vm)
{
	int fd = statedir_open(l, false);
	const struct dirent *e;
	char tag[CTL_TAG_MAX];
	DIR *dir;

	if (fd < 0)
		return;
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(dir)) != NULL)
		if (is_kind(vm, NEW, e->d_name, tag))
			(void)unlinkat(fd, e->d_name, 0);
	closedir(dir);
}

struct count {
	const char *tag;
	unsigned n;
	bool there;
};

static int
count(void *arg, const struct ctl_kept *k)
{
	struct count *c = arg;

	c->n++;
	c->there = c->there || strcmp(k->tag, c->tag) == 0;
	return 0;
}

/* Where its state goes; 0 or -errno. */
static int
make_file(struct vm *vm, const char *tag, int *fd, struct fail *why)
{
	struct count c = { .tag = tag };
	char name[NAME_MAX], file[NAME_MAX];
	int dir, error;

	if ((dir = statedir_open(vm->life, true)) < 0)
		return no_state(vm->conf.name, tag, dir, why);
	snapshot_sweep(vm->life, vm->conf.name);
	error = snapshot_list(vm->life, vm, count, &c);
	if (error == 0 && c.there)
		error = fail_set(why, EEXIST,
		    "vm \"%s\" has a snapshot \"%s\" already", vm->conf.name,
		    tag);
	else if (error == 0 && c.n >= SNAPSHOTS_MAX)
		error = fail_set(why, ENOSPC, "vm \"%s\" has %u snapshots",
		    vm->conf.name, c.n);
	else if (error != 0)
		error = no_state(vm->conf.name, tag, error, why);
	else {
		*fd = openat(dir,
		    statedir_file(base(vm->conf.name, tag, name), NEW, file),
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
		if (*fd == -1)
			error = no_state(vm->conf.name, tag, -errno, why);
	}
	close(dir);
	return error;
}

/* fd is taken; -1: none. */
static int
send_ask(struct vm *vm, enum snap_what what, const char *tag, int fd,
    struct fail *why)
{
	struct ibuf *body = chan_body();
	struct timespec now;
	int error = -ENOMEM;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ibuf_add_n32(body, what) == -1 || ctl_put_str(body, tag) != 0 ||
	    ibuf_add_n64(body, (uint64_t)now.tv_sec) == -1 ||
	    ibuf_add_n32(body, (uint64_t)now.tv_nsec) == -1) {
		ibuf_free(body);
		fd_close(&fd);
	} else
		error = chan_send(vm->run.vm.chan,
		    fd != -1 ? VM_SNAPSHOT : VM_SNAPCHANGE, 0, fd, body);
	if (error == 0)
		return 0;
	return fail_set(why, -error, "cannot reach vm \"%s\": %s",
	    vm->conf.name, strerror(-error));
}

static void
forget_new(struct vm *vm, const char *tag)
{
	char name[NAME_MAX], file[NAME_MAX];
	int dir = statedir_open(vm->life, false);

	if (dir < 0)
		return;
	(void)unlinkat(
	    dir, statedir_file(base(vm->conf.name, tag, name), NEW, file), 0);
	close(dir);
}

int
snapshot_ask(
    struct vm *vm, enum snap_what what, const char *tag, struct fail *why)
{
	int fd = -1, error = suspend_may(vm, why);

	if (error != 0 || (error = snapshot_name(tag, why)) != 0)
		return error;
	if (what == SNAP_CREATE)
		error = make_file(vm, tag, &fd, why);
	else if (what == SNAP_CHECK) {
		error = snapshot_open(vm->life, vm, tag, &fd, why);
		fd_close(&fd);
	}
	if (error != 0)
		return error;
	if ((error = send_ask(vm, what, tag, fd, why)) != 0) {
		if (what == SNAP_CREATE)
			forget_new(vm, tag);
		return error;
	}
	vm->run.saving = vm->run.save_go_on = vm->run.snapping = true;
	vm->run.snap_what = what;
	snprintf(vm->run.snap_tag, sizeof(vm->run.snap_tag), "%s", tag);
	return 0;
}

void
snapshot_deleted(
    const struct life *l, const char *vm, const char *tag, struct fail *f)
{
	char name[NAME_MAX], file[NAME_MAX];
	int dir, error;

	if (f->code != 0 && f->code != ENOENT)
		return;
	if ((error = dir = statedir_open(l, false)) >= 0) {
		error =
		    unlinkat(dir,
			statedir_file(base(vm, tag, name), KEPT, file), 0) == -1
		    ? -errno
		    : 0;
		close(dir);
	}
	/* One of the two was there. */
	if (error == 0 || (error == -ENOENT && f->code == 0))
		*f = (struct fail){ 0 };
	else
		(void)no_state(vm, tag, error, f);
}

void
snapshot_done(struct vm *vm, struct fail *f)
{
	const char *tag = vm->run.snap_tag;
	char name[NAME_MAX];
	int dir, error;

	vm->run.snapping = false;
	if (vm->run.snap_what == SNAP_DELETE) {
		snapshot_deleted(vm->life, vm->conf.name, tag, f);
		return;
	}
	if (vm->run.snap_what != SNAP_CREATE)
		return;
	if (f->code != 0) {
		forget_new(vm, tag);
		return;
	}
	if ((error = dir = statedir_open(vm->life, false)) >= 0) {
		error = statedir_turn(
		    dir, base(vm->conf.name, tag, name), NEW, KEPT);
		close(dir);
	}
	if (error < 0)
		(void)no_state(vm->conf.name, tag, error, f);
}
