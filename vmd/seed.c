/* SPDX-License-Identifier: ISC */
/*
 * The seed disk of a VM: see seed.h.
 *
 * Invariants
 *  1. Files are opened with root's rights: vm.conf names them, nobody else.
 *  2. The process that writes the image has seen what users wrote, so its
 *     image is taken like any other file: it is sealed, which fails while
 *     somebody could still write it, and judged after that.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "fd.h"
#include "image.h"
#include "imsg.h"
#include "seed.h"
#include "start.h"

#define SEALS	  (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BLOCK	  2048 /* of ISO 9660 */
#define IMAGE_MAX (8 << 20)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* linux/memfd.h since Linux 6.3 */
#endif

const char *
seed_file_name(enum seed_file i)
{
	switch (i) {
	case SEED_USER_DATA:
		return "user-data";
	case SEED_NETWORK_CONFIG:
		return "network-config";
	case SEED_SSH_KEY:
		break;
	}
	return "ssh-key";
}

static const char *
path_of(const struct vmconf *c, enum seed_file i)
{
	switch (i) {
	case SEED_USER_DATA:
		return c->seed.user_data;
	case SEED_NETWORK_CONFIG:
		return c->seed.network_config;
	case SEED_SSH_KEY:
		break;
	}
	return c->seed.ssh_key;
}

static int
open_one(const char *path, const char *word, int *fd, struct fail *why)
{
	struct stat st;
	int error = image_open_file(path, word, fd, why);

	if (error != 0)
		return error;
	if (fstat(*fd, &st) == -1)
		return fail_set(
		    why, errno, "%s %s: %s", word, path, strerror(errno));
	if (st.st_size <= SEED_FILE_MAX)
		return 0;
	return fail_set(why, EFBIG, "%s %s: larger than %u KiB", word, path,
	    SEED_FILE_MAX / 1024);
}

int
seed_open(int fd[SEED_FILES], const struct vmconf *c, struct fail *why)
{
	unsigned i;
	int error = 0;

	for (i = 0; i < SEED_FILES && error == 0; i++) {
		if ((c->flags & VM_F_SEED) != 0 && path_of(c, i)[0] != '\0')
			error = open_one(
			    path_of(c, i), seed_file_name(i), &fd[i], why);
	}
	return error;
}

static int
make_image(int *out)
{
	int fd;

	fd = memfd_create(
	    "seed", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd == -1 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("seed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -errno;
	*out = fd;
	return 0;
}

static int
send_conf(struct vm *vm)
{
	struct ibuf *body = chan_body();
	int fd;

	if (ctl_put_str(body, vm->conf.name) != 0 ||
	    ctl_put_str(body, vmconf_hostname(&vm->conf)) != 0) {
		ibuf_free(body);
		return -ENOMEM;
	}
	if ((fd = fcntl(vm->run.seed_image, F_DUPFD_CLOEXEC, 0)) == -1) {
		ibuf_free(body);
		return -errno;
	}
	return chan_send(vm->run.seed.chan, SEED_CONF, 0, fd, body);
}

static int
send_file(struct vm *vm, unsigned i, int fd)
{
	struct ibuf *body = chan_body();
	struct stat st = { 0 };

	if (fstat(fd, &st) == -1 || ibuf_add_n32(body, i) == -1 ||
	    ibuf_add_n64(body, (uint64_t)st.st_size) == -1) {
		ibuf_free(body);
		fd_close(&fd);
		return -EIO;
	}
	return chan_send(vm->run.seed.chan, SEED_FILE, 0, fd, body);
}

int
seed_begin(struct event_base *base, struct vm *vm, int fd[SEED_FILES],
    const struct chan_ops *ops, struct fail *why)
{
	char title[96], tag[96];
	unsigned i;
	int error;

	if (vmconf_hostname(&vm->conf) == NULL)
		return fail_set(why, EINVAL, "cloud-init: no host name");
	snprintf(title, sizeof(title), "%s/seed0", vm->conf.name);
	snprintf(tag, sizeof(tag), "%s: seed0", vm->conf.name);
	error = start_child(base, &vm->run.seed, "seed", title, tag, ops, why);
	if (error != 0)
		return error;
	error = make_image(&vm->run.seed_image);
	if (error == 0)
		error = send_conf(vm);
	for (i = 0; i < SEED_FILES && error == 0; i++) {
		if (fd[i] != -1)
			error = send_file(vm, i, fd_take(&fd[i]));
	}
	if (error == 0)
		error = chan_send(vm->run.seed.chan, SEED_GO, 0, -1, NULL);
	if (error == 0)
		return 0;
	return fail_set(why, -error, "cloud-init: %s", strerror(-error));
}

/* What the process left, without any way to write it. */
static int
take(int image, int *out)
{
	char name[32];
	struct stat st;
	int fd;

	if (fcntl(image, F_ADD_SEALS, SEALS) == -1 || fstat(image, &st) == -1)
		return -errno;
	if (st.st_size == 0 || st.st_size > IMAGE_MAX ||
	    st.st_size % BLOCK != 0)
		return -EINVAL;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", image);
	if ((fd = open(name, O_RDONLY | O_CLOEXEC)) == -1)
		return -errno;
	*out = fd;
	return 0;
}

int
seed_take(struct vm *vm, int *fd, struct fail *why)
{
	int error = take(vm->run.seed_image, fd);

	fd_close(&vm->run.seed_image);
	if (error == 0)
		return 0;
	return fail_set(why, -error, "no image: %s", strerror(-error));
}
