/* SPDX-License-Identifier: ISC */
/*
 * vmctl image snapshot: snapshots in a qcow2 image that is not in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "image.h"
#include "jsonout.h"
#include "log.h"
#include "text.h"

/* As many as an image can have. */
#define SNAPSHOTS_MAX 65536

static void
when(const struct qcow2_snap_info *i, char out[TEXT_TIME])
{
	text_time((uint64_t)i->sec * 1000 + i->nsec / 1000000, out);
}

/* What the worker's messages are for. */
struct snap {
	const char *name; /* of the image */
	bool any; /* the header was printed */
	json_t *rows; /* NULL: text */
};

static bool
row_text(void *arg, const struct qcow2_snap_info *i)
{
	char time[TEXT_TIME], scaled[TEXT_SCALED];
	struct snap *s = arg;

	if (!s->any)
		printf("%5s %-24s %6s %s\n", "ID", "TIME", "DISK", "NAME");
	s->any = true;
	when(i, time);
	text_scaled(i->disk_size, scaled);
	printf("%5s %-24s %6s %s\n", i->id, time, scaled, i->name);
	return true;
}

static bool
row_json(void *arg, const struct qcow2_snap_info *i)
{
	struct snap *s = arg;
	char time[TEXT_TIME];

	when(i, time);
	const struct jsonout_member members[] = {
		{ "id", json_string(i->id) },
		{ "name", json_string(i->name) },
		{ "time", jsonout_text(time) },
		{ "disk_size", jsonout_u64(i->disk_size) },
		{ "state_size", jsonout_u64(i->state_size) },
	};
	return json_array_size(s->rows) < SNAPSHOTS_MAX &&
	    json_array_append_new(s->rows,
		jsonout_object(
		    members, sizeof(members) / sizeof(members[0]))) == 0;
}

/* Why it was not done. */
static bool
reason(void *arg, const char *line)
{
	const struct snap *s = arg;

	log_warnx("%s: %s", s->name, line);
	return true;
}

static bool
open_qcow2(struct image *im, const char *word, int flags)
{
	if (!image_open(im, word, flags, false))
		return false;
	if (im->format == VM_DISK_QCOW2)
		return true;
	log_warnx("%s: a raw image has no snapshots", im->name);
	return false;
}

static enum cmd_result
work(const char *word, enum image_job job, const char *tag, struct snap *s)
{
	struct image_check c = {
		.line = reason,
		.arg = s,
		.tag = tag,
		.snapshot = s->rows != NULL ? row_json : row_text,
	};
	enum cmd_result result = CMD_FAILED;
	struct image im;

	if (open_qcow2(&im, word, job == IMAGE_LIST ? O_RDONLY : O_RDWR)) {
		s->name = im.name;
		if (image_work(&im, job, -1, VM_DISK_RAW, &c))
			result = CMD_OK;
	}
	image_close(&im);
	return result;
}

static enum cmd_result
list(const char *word, bool json)
{
	struct snap s = { .rows = json ? json_array() : NULL };
	enum cmd_result result;

	if (json && s.rows == NULL) {
		log_warnx("image: %s", strerror(ENOMEM));
		return CMD_FAILED;
	}
	result = work(word, IMAGE_LIST, NULL, &s);
	/* Errors of stdout are seen by cmd.c. */
	if (json && result == CMD_OK)
		(void)jsonout_print(stdout, s.rows);
	else if (json)
		json_decref(s.rows);
	return result;
}

static enum cmd_result
change(const char *word, enum image_job job, const char *tag)
{
	struct snap s = { 0 };

	if (strlen(tag) <= QCOW2_SNAP_TEXT)
		return work(word, job, tag, &s);
	log_warnx(
	    "name of a snapshot is longer than %d bytes", QCOW2_SNAP_TEXT);
	return CMD_FAILED;
}

enum cmd_result
image_snapshot(int argc, char **argv)
{
	static const char *const verbs[] = { "create", "delete", "list",
		"revert" };
	static const enum image_job jobs[] = { IMAGE_CREATE, IMAGE_DELETE,
		IMAGE_LIST, IMAGE_REVERT };
	bool json = false;
	int verb, ch;

	if (argc < 2)
		return CMD_USAGE;
	verb = args_keyword(argv[1], verbs, 4, false);
	if (verb < 0) {
		log_warnx("unknown argument: %s", argv[1]);
		return CMD_USAGE;
	}
	argc--;
	argv++;
	optind = 0;
	while ((ch = cmd_getopt(
		    argc, argv, jobs[verb] == IMAGE_LIST ? "j" : "")) != -1) {
		if (ch != 'j')
			return CMD_USAGE;
		json = true;
	}
	if (argc - optind != (jobs[verb] == IMAGE_LIST ? 1 : 2))
		return CMD_USAGE;
	return jobs[verb] == IMAGE_LIST
	    ? list(argv[optind], json)
	    : change(argv[optind], jobs[verb], argv[optind + 1]);
}
