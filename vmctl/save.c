/* SPDX-License-Identifier: ISC */
/*
 * vmctl save and vmctl restore.
 *
 * The file is opened here, so that the caller's own rights count, and travels
 * by descriptor.  Of what is in it only the VM's name is read here.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "log.h"
#include "start.h"

/* vmd/state.h: magic, version, 0, name. */
#define HEAD_MAGIC "VMSTATE"
#define HEAD_NAME  16
#define HEAD_LEN   80

/* fd is taken. */
static enum cmd_result
ask(const struct cmd_env *env, enum ctl_type type, const char *verb,
    const char *done, const struct target *target, const uint32_t *number,
    int fd)
{
	struct ctl_target to = { .id = target->id };
	enum cmd_result result = CMD_FAILED;
	struct client_answer a;
	struct ibuf *body;
	struct client *c;

	if ((c = client_open(env)) == NULL) {
		close(fd);
		return CMD_FAILED;
	}
	snprintf(to.name, sizeof(to.name), "%s", target->name);
	body = chan_body();
	if (ctl_target_put(body, &to) != 0 ||
	    (number != NULL && ibuf_add_n32(body, *number) == -1)) {
		log_warnx("out of memory");
		ibuf_free(body);
		close(fd);
	} else if (client_send(c, type, fd, body) == 0 &&
	    client_next(c, &a, CLIENT_FOREVER) == 0) {
		if (a.kind == CLIENT_OK) {
			fprintf(stderr, "vmctl: %s vm %" PRIu32 "%s%s\n", done,
			    a.id, a.text[0] != '\0' ? ", tty " : "", a.text);
			result = CMD_OK;
		} else {
			log_warnx("%s vm command failed: %s", verb,
			    client_reason(&a));
		}
	}
	client_close(c);
	return result;
}

enum cmd_result
save_run(int argc, char **argv, const struct cmd_env *env)
{
	struct target target;
	enum cmd_result result;
	uint32_t flags = 0;
	const char *path;
	int ch, fd;

	while ((ch = cmd_getopt(argc, argv, "kz")) != -1) {
		switch (ch) {
		case 'k':
			flags |= CTL_SAVE_GO_ON;
			break;
		case 'z':
			flags |= CTL_SAVE_ZSTD;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (argc - optind != 2)
		return CMD_USAGE;
	if (args_target(argv[optind], &target) != 0)
		return CMD_FAILED;
	path = argv[optind + 1];
	fd = open(
	    path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd == -1) {
		log_warn("%s", path);
		cmd_why(env, CMD_EXIT_FILE);
		return CMD_FAILED;
	}
	result = ask(env, CTL_SAVE, "save", "saved", &target, &flags, fd);
	if (result != CMD_OK && unlink(path) == -1)
		log_warn("%s", path);
	return result;
}

static int
read_name(int fd, const char *path, struct target *target)
{
	char head[HEAD_LEN] = "", word[HEAD_LEN - HEAD_NAME + 1];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	if (n == -1) {
		log_warn("%s", path);
		return -1;
	}
	if (n != HEAD_LEN ||
	    memcmp(head, HEAD_MAGIC, sizeof(HEAD_MAGIC)) != 0) {
		log_warnx("%s: no state of a vm", path);
		return -1;
	}
	snprintf(
	    word, sizeof(word), "%.*s", HEAD_LEN - HEAD_NAME, head + HEAD_NAME);
	return args_target(word, target);
}

enum cmd_result
restore_run(int argc, char **argv, const struct cmd_env *env)
{
	const char *name = NULL, *path;
	struct target target;
	int ch, fd;

	while ((ch = cmd_getopt(argc, argv, "n:")) != -1) {
		if (ch != 'n' || !cmd_once(&name, "name"))
			return CMD_USAGE;
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	path = argv[optind];
	if ((fd = start_open_image("state", path)) < 0) {
		cmd_why(env, CMD_EXIT_FILE);
		return CMD_FAILED;
	}
	if ((name != NULL ? args_target(name, &target)
			  : read_name(fd, path, &target)) != 0) {
		cmd_why(env, CMD_EXIT_FILE);
		close(fd);
		return CMD_FAILED;
	}
	return ask(env, CTL_RESTORE, "restore", "restored", &target, NULL, fd);
}
