/* SPDX-License-Identifier: ISC */
/*
 * vmctl image: what an image is, and whether it is in order.
 */
#include <sys/stat.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "args.h"
#include "cmd.h"
#include "image.h"
#include "log.h"
#include "text.h"

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
print_qcow2(struct qcow2_header *h)
{
	printf("version: %u\n", h->version);
	print_size("cluster size", qcow2_cluster_size(h));
	printf("refcount width: %u bits\n", 1U << h->refcount_order);
	printf("compression: %s\n",
	    h->compression == QCOW2_ZSTD ? "zstd" : "deflate");
	printf("snapshots: %u\n", h->nsnapshots);
	if (h->backing[0] != '\0') {
		text_clean(h->backing);
		text_clean(h->backing_format);
		printf("based on: %s (%s)\n", h->backing,
		    h->backing_typed ? h->backing_format : "no format named");
	}
	print_flag(h->incompatible, QCOW2_I_DIRTY,
	    "state: not closed, refcounts may be wrong");
	print_flag(h->incompatible, QCOW2_I_CORRUPT, "state: marked corrupt");
}

static enum cmd_result
info(const char *word)
{
	struct image im;
	struct stat st;

	if (!image_open(&im, word, O_RDONLY, false)) {
		image_close(&im);
		return CMD_FAILED;
	}
	printf("format: %s\n", im.format == VM_DISK_QCOW2 ? "qcow2" : "raw");
	print_size("disk size", im.size);
	print_size("file size", im.file_size);
	if (fstat(im.layer[0].fd, &st) == 0 && S_ISREG(st.st_mode))
		print_size("allocated", (uint64_t)st.st_blocks * 512);
	if (im.format == VM_DISK_QCOW2)
		print_qcow2(&im.h);
	image_close(&im);
	return CMD_OK;
}

static enum cmd_result
check(const char *word, bool repair)
{
	struct image im;
	bool ok = false;

	if (!image_open(&im, word, repair ? O_RDWR : O_RDONLY, false))
		;
	else if (im.format != VM_DISK_QCOW2)
		log_warnx("%s: a raw image has nothing to be checked", im.name);
	else
		ok = image_work(
		    &im, repair ? IMAGE_REPAIR : IMAGE_CHECK, -1, VM_DISK_RAW);
	image_close(&im);
	return ok ? CMD_OK : CMD_FAILED;
}

enum cmd_result
image_run(int argc, char **argv, const struct cmd_env *env)
{
	static const char *const verbs[] = { "check", "info" };
	bool repair = false;
	int verb, ch;

	if (argc < 2)
		return CMD_USAGE;
	verb = args_keyword(argv[1], verbs, 2, false);
	if (verb < 0) {
		log_warnx("unknown argument: %s", argv[1]);
		return CMD_USAGE;
	}
	argc--;
	argv++;
	optind = 0;
	while ((ch = cmd_getopt(argc, argv, verb == 0 ? "r" : "")) != -1) {
		if (ch != 'r')
			return CMD_USAGE;
		repair = true;
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	return verb == 0 ? check(argv[optind], repair) : info(argv[optind]);
}
