/* SPDX-License-Identifier: ISC */
/*
 * vmctl image: what an image is, and whether it is in order.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cmd.h"
#include "image.h"
#include "jsonout.h"
#include "log.h"
#include "text.h"

/* More than an honest worker finds worth a line. */
#define PROBLEMS_MAX 256

static void
print_size(const char *what, uint64_t bytes)
{
	char scaled[TEXT_SCALED];

	text_scaled(bytes, scaled);
	printf("%s: %s (%" PRIu64 " bytes)\n", what, scaled, bytes);
}

static void
print_flag(uint64_t set, uint64_t flag, const char *text)
{
	if ((set & flag) != 0)
		puts(text);
}

static void
print_qcow2(const struct qcow2_header *h)
{
	printf("version: %u\n", h->version);
	print_size("cluster size", qcow2_cluster_size(h));
	printf("refcount width: %u bits\n", 1U << h->refcount_order);
	printf("compression: %s\n",
	    h->compression == QCOW2_ZSTD ? "zstd" : "deflate");
	printf("snapshots: %u\n", h->nsnapshots);
	if (h->backing[0] != '\0') {
		printf("based on: %s (%s)\n", h->backing,
		    h->backing_typed ? h->backing_format : "no format named");
	}
	print_flag(h->incompatible, QCOW2_I_DIRTY,
	    "state: not closed, refcounts may be wrong");
	print_flag(h->incompatible, QCOW2_I_CORRUPT, "state: marked corrupt");
}

static json_t *
flag(const struct image *im, uint64_t which)
{
	if (im->format != VM_DISK_QCOW2)
		return json_null();
	return json_boolean((im->h.incompatible & which) != 0);
}

/* A number that only qcow2 images have. */
static json_t *
number(const struct image *im, uint64_t v)
{
	return im->format == VM_DISK_QCOW2 ? jsonout_u64(v) : json_null();
}

static int
info_json(const struct image *im, const uint64_t *allocated)
{
	const struct qcow2_header *h = &im->h; /* zeroes of a raw image */
	bool qcow2 = im->format == VM_DISK_QCOW2;
	const struct jsonout_member members[] = {
		{ "format", json_string(qcow2 ? "qcow2" : "raw") },
		{ "disk_size", jsonout_u64(im->size) },
		{ "file_size", jsonout_u64(im->file_size) },
		{ "allocated",
		    allocated != NULL ? jsonout_u64(*allocated) : json_null() },
		{ "version", number(im, h->version) },
		{ "cluster_size",
		    number(im, qcow2 ? qcow2_cluster_size(h) : 0) },
		{ "refcount_width", number(im, 1U << h->refcount_order) },
		{ "compression",
		    jsonout_text(!qcow2			   ? NULL
			    : h->compression == QCOW2_ZSTD ? "zstd"
							   : "deflate") },
		{ "snapshots", number(im, h->nsnapshots) },
		{ "base", jsonout_text(h->backing) },
		{ "base_format",
		    jsonout_text(h->backing_typed ? h->backing_format : NULL) },
		{ "not_closed", flag(im, QCOW2_I_DIRTY) },
		{ "corrupt", flag(im, QCOW2_I_CORRUPT) },
	};

	return jsonout_print(stdout,
	    jsonout_object(members, sizeof(members) / sizeof(members[0])));
}

static void
info_text(const struct image *im, const uint64_t *allocated)
{
	printf("format: %s\n", im->format == VM_DISK_QCOW2 ? "qcow2" : "raw");
	print_size("disk size", im->size);
	print_size("file size", im->file_size);
	if (allocated != NULL)
		print_size("allocated", *allocated);
	if (im->format == VM_DISK_QCOW2)
		print_qcow2(&im->h);
}

/* Errors of stdout are seen by cmd.c. */
static enum cmd_result
printed(int error)
{
	if (error != -ENOMEM)
		return CMD_OK;
	log_warnx("image: %s", strerror(ENOMEM));
	return CMD_FAILED;
}

static enum cmd_result
info(const char *word, bool json)
{
	enum cmd_result result = CMD_OK;
	uint64_t bytes = 0, *allocated = NULL;
	struct image im;
	struct stat st;

	if (!image_open(&im, word, O_RDONLY, false)) {
		image_close(&im);
		return CMD_FAILED;
	}
	if (fstat(im.layer[0].fd, &st) == 0 && S_ISREG(st.st_mode)) {
		bytes = (uint64_t)st.st_blocks * 512;
		allocated = &bytes;
	}
	text_clean(im.h.backing);
	text_clean(im.h.backing_format);
	if (json)
		result = printed(info_json(&im, allocated));
	else
		info_text(&im, allocated);
	image_close(&im);
	return result;
}

static bool
line_text(void *arg, const char *line)
{
	puts(line);
	return true;
}

static bool
line_json(void *arg, const char *line)
{
	json_t *problems = arg;

	return json_array_size(problems) < PROBLEMS_MAX &&
	    json_array_append_new(problems, json_string(line)) == 0;
}

static void
report_text(const struct qcow2_report *r)
{
	printf("%" PRIu64 " of %" PRIu64 " clusters are allocated, %" PRIu64
	       " of them compressed\n",
	    r->allocated, r->clusters, r->compressed);
	if (r->corruptions == 0 && r->leaks == 0)
		puts("no errors");
	else
		printf("%" PRIu64 " errors, %" PRIu64 " clusters leaked\n",
		    r->corruptions, r->leaks);
}

/* Consumes problems. */
static int
report_json(const struct qcow2_report *r, json_t *problems)
{
	const struct jsonout_member members[] = {
		{ "clusters", jsonout_u64(r->clusters) },
		{ "allocated", jsonout_u64(r->allocated) },
		{ "compressed", jsonout_u64(r->compressed) },
		{ "errors", jsonout_u64(r->corruptions) },
		{ "leaked", jsonout_u64(r->leaks) },
		{ "problems", problems },
	};

	return jsonout_print(stdout,
	    jsonout_object(members, sizeof(members) / sizeof(members[0])));
}

static enum cmd_result
check_open(struct image *im, bool repair, bool json)
{
	struct image_check c = { .line = line_text };
	json_t *problems = NULL;
	bool right;

	if (json) {
		if ((problems = json_array()) == NULL)
			return printed(-ENOMEM);
		c.line = line_json;
		c.arg = problems;
	}
	right = image_work(
	    im, repair ? IMAGE_REPAIR : IMAGE_CHECK, -1, VM_DISK_RAW, &c);
	if (!c.done) {
		if (right)
			log_warnx("the check ended without a result");
		json_decref(problems);
		return CMD_FAILED;
	}
	if (!json)
		report_text(&c.report);
	else if (printed(report_json(&c.report, problems)) != CMD_OK)
		return CMD_FAILED;
	return right ? CMD_OK : CMD_FAILED;
}

static enum cmd_result
check(const char *word, bool repair, bool json)
{
	enum cmd_result result = CMD_FAILED;
	struct image im;

	if (!image_open(&im, word, repair ? O_RDWR : O_RDONLY, false))
		;
	else if (im.format != VM_DISK_QCOW2)
		log_warnx("%s: a raw image has nothing to be checked", im.name);
	else
		result = check_open(&im, repair, json);
	image_close(&im);
	return result;
}

enum cmd_result
image_run(int argc, char **argv, const struct cmd_env *env)
{
	static const char *const verbs[] = { "check", "info", "snapshot" };
	bool repair = false, json = false;
	int verb, ch;

	if (argc < 2)
		return CMD_USAGE;
	verb = args_keyword(argv[1], verbs, 3, false);
	if (verb < 0) {
		log_warnx("unknown argument: %s", argv[1]);
		return CMD_USAGE;
	}
	argc--;
	argv++;
	if (verb == 2)
		return image_snapshot(argc, argv);
	optind = 0;
	while ((ch = cmd_getopt(argc, argv, verb == 0 ? "jr" : "j")) != -1) {
		switch (ch) {
		case 'j':
			json = true;
			break;
		case 'r':
			repair = true;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	return verb == 0 ? check(argv[optind], repair, json)
			 : info(argv[optind], json);
}
