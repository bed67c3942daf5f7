/* SPDX-License-Identifier: ISC */
/*
 * vmctl create: new disk images, empty, based on another, or a copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cmd.h"
#include "fd.h"
#include "image.h"
#include "log.h"
#include "qcow2_create.h"

#define MB ((uint64_t)1 << 20)

struct create {
	const char *size_word, *base_word, *input_word;
	const char *path;
	enum vm_diskfmt format;
	uint64_t size; /* 0: not given */
	struct image base, input;
	char backing[PATH_MAX]; /* as the new image names it */
};

/* Options may also come after the path, as in older versions. */
static bool
options(struct create *c, int argc, char **argv)
{
	int ch;

	while ((ch = cmd_getopt(argc, argv, "b:i:s:")) != -1) {
		switch (ch) {
		case 'b':
			if (!cmd_once(&c->base_word, "base image"))
				return false;
			break;
		case 'i':
			if (!cmd_once(&c->input_word, "input image"))
				return false;
			break;
		case 's':
			if (!cmd_once(&c->size_word, "size"))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

static bool
parse(struct create *c, int argc, char **argv)
{
	int at;

	if (!options(c, argc, argv) || optind == argc)
		return false;
	at = optind;
	c->path = argv[at] + args_format(argv[at], &c->format);
	/* getopt(3) leaves out its argv[0]. */
	argc -= at;
	argv += at;
	optind = 0;
	return options(c, argc, argv) && optind == argc;
}

static bool
parse_size(struct create *c)
{
	uint64_t bytes;
	int error;

	if (c->size_word == NULL)
		return true;
	error = vmconf_size(c->size_word, &bytes);
	if (error == 0 && bytes < MB) {
		log_warnx("disk size must be at least 1MB: %s", c->size_word);
		return false;
	}
	if (error != 0) {
		log_warnx("invalid disk size: %s", c->size_word);
		return false;
	}
	c->size = bytes - bytes % MB;
	if (c->size != bytes)
		log_warnx("disk size rounded to %" PRIu64 "M", c->size / MB);
	return true;
}

static void
choose_format(struct create *c)
{
	size_t len = strlen(c->path);

	if (c->format != VM_DISK_ANY)
		return;
	c->format = VM_DISK_RAW;
	if (len > 6 && strcmp(c->path + len - 6, ".qcow2") == 0)
		c->format = VM_DISK_QCOW2;
}

/* By the file's name alone when both are in one directory. */
static bool
name_base(struct create *c)
{
	char path[PATH_MAX], dir[PATH_MAX], base[PATH_MAX], *slash;

	if (strlen(c->path) >= sizeof(path)) {
		log_warnx("path too long: %s", c->path);
		return false;
	}
	memcpy(path, c->path, strlen(c->path) + 1);
	if (realpath(dirname(path), dir) == NULL ||
	    realpath(c->base.name, base) == NULL) {
		log_warn("%s", c->base.name);
		return false;
	}
	slash = strrchr(base, '/');
	*slash = '\0';
	if (strcmp(base, dir) == 0 && strchr(slash + 1, ':') == NULL)
		memcpy(c->backing, slash + 1, strlen(slash + 1) + 1);
	else {
		*slash = '/';
		memcpy(c->backing, base, sizeof(base));
	}
	return true;
}

static bool
use_base(struct create *c)
{
	if (c->format != VM_DISK_QCOW2) {
		log_warnx("base images require qcow2 disk format");
		return false;
	}
	if (!image_open(&c->base, c->base_word, O_RDONLY, true))
		return false;
	if (c->size != 0 && c->size != c->base.size) {
		log_warnx("size is not that of the base image, %" PRIu64
			  " bytes",
		    c->base.size);
		return false;
	}
	c->size = c->base.size;
	return name_base(c);
}

static bool
use_input(struct create *c)
{
	uint64_t least;

	if (!image_open(&c->input, c->input_word, O_RDONLY, true))
		return false;
	if (c->input.h.nsnapshots > 0) {
		log_warnx("%s: has %u snapshots, which a copy cannot keep",
		    c->input.name, c->input.h.nsnapshots);
		return false;
	}
	least = (c->input.size + MB - 1) / MB * MB;
	if (c->size != 0 && c->size < c->input.size) {
		log_warnx("size is less than the input image's, %" PRIu64
			  " bytes",
		    c->input.size);
		return false;
	}
	if (c->size == 0) {
		c->size = least;
		if (least != c->input.size)
			log_warnx("destination size rounded to %" PRIu64
				  " megabytes",
			    least / MB);
	}
	return true;
}

static bool
make_file(struct create *c, int fd)
{
	struct qcow2_new n = {
		.size = c->size,
		.backing = c->base_word != NULL ? c->backing : NULL,
		.backing_format = c->base.format,
	};
	struct why why;

	if (c->format == VM_DISK_QCOW2) {
		if (qcow2_create(fd, &n, &why) == 0)
			return true;
		log_warnx("could not create %s: %s", c->path, why.text);
		return false;
	}
	if (ftruncate(fd, (off_t)c->size) == 0)
		return true;
	log_warn("could not create %s", c->path);
	return false;
}

static enum cmd_result
create(struct create *c)
{
	bool ok;
	int fd;

	fd = open(
	    c->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1) {
		log_warn("could not create %s", c->path);
		return CMD_FAILED;
	}
	ok = make_file(c, fd);
	if (ok && c->input_word != NULL)
		ok = image_work(&c->input, IMAGE_COPY, fd, c->format, NULL);
	if (ok && fsync(fd) == -1) {
		log_warn("%s", c->path);
		ok = false;
	}
	fd_close(&fd);
	if (!ok && unlink(c->path) == -1)
		log_warn("%s is not complete", c->path);
	if (!ok)
		return CMD_FAILED;
	log_warnx("%s imagefile created",
	    c->format == VM_DISK_QCOW2 ? "qcow2" : "raw");
	return CMD_OK;
}

enum cmd_result
create_run(int argc, char **argv, const struct cmd_env *env)
{
	struct create c = { 0 };
	enum cmd_result result = CMD_FAILED;

	if (!parse(&c, argc, argv))
		return CMD_USAGE;
	if (c.path[0] == '\0') {
		log_warnx("empty path");
		return CMD_FAILED;
	}
	choose_format(&c);
	if (c.base_word != NULL && c.input_word != NULL) {
		log_warnx("a base image and an input image exclude each other");
		return CMD_USAGE;
	}
	if (c.size_word == NULL && c.base_word == NULL &&
	    c.input_word == NULL) {
		log_warnx("could not create %s: missing size argument", c.path);
		return CMD_USAGE;
	}
	if (parse_size(&c) && (c.base_word == NULL || use_base(&c)) &&
	    (c.input_word == NULL || use_input(&c)))
		result = create(&c);
	image_close(&c.base);
	image_close(&c.input);
	return result;
}
