/* SPDX-License-Identifier: ISC */
/*
 * vmctl set: change what can be changed of a VM that runs.
 *
 * The medium is opened here, so that the caller's own right to read it counts,
 * and travels by descriptor.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "chan.h"
#include "log.h"
#include "start.h"

/* The VM, a word and perhaps a number.  fd: taken; -1: none. */
static int
send_numbers(struct client *c, const struct target *target, enum ctl_type type,
    int fd, bool word, const uint32_t *number)
{
	struct ctl_target to = { .id = target->id };
	struct ibuf *body = chan_body();

	snprintf(to.name, sizeof(to.name), "%s", target->name);
	if (ctl_target_put(body, &to) != 0 || ibuf_add_n32(body, word) == -1 ||
	    (number != NULL && ibuf_add_n32(body, *number) == -1)) {
		log_warnx("out of memory");
		ibuf_free(body);
		if (fd != -1)
			close(fd);
		return -ENOMEM;
	}
	return client_send(c, type, fd, body);
}

static enum cmd_result
set_cdrom(const struct cmd_env *env, const struct target *target, bool force,
    const char *path)
{
	struct client_answer a;
	enum cmd_result result = CMD_FAILED;
	struct client *c;
	int fd = -1;

	if (strcmp(path, "none") != 0 &&
	    (fd = start_open_image("cdrom", path)) < 0)
		return CMD_FAILED;
	if ((c = client_open(env)) == NULL) {
		if (fd != -1)
			close(fd);
		return CMD_FAILED;
	}
	/* Without a medium the drive is emptied. */
	if (send_numbers(c, target, fd == -1 ? CTL_EJECT : CTL_CDROM, fd, force,
		NULL) == 0 &&
	    client_next(c, &a, CLIENT_PROMPT) == 0) {
		if (a.kind == CLIENT_OK)
			result = CMD_OK;
		else
			log_warnx("set vm command failed: %s%s",
			    client_reason(&a),
			    a.kind == CLIENT_FAIL && a.code == EBUSY
				? " (-f: change it all the same)"
				: "");
	}
	client_close(c);
	return result;
}

static enum cmd_result
set_link(const struct cmd_env *env, const struct target *target,
    const char *number, bool up)
{
	enum cmd_result result = CMD_FAILED;
	struct client_answer a;
	struct client *c;
	uint32_t nic;

	if (args_nic_number(number, &nic) != 0 ||
	    (c = client_open(env)) == NULL)
		return CMD_FAILED;
	if (send_numbers(c, target, CTL_LINK, -1, up, &nic) == 0 &&
	    client_next(c, &a, CLIENT_PROMPT) == 0) {
		if (a.kind == CLIENT_OK)
			result = CMD_OK;
		else
			log_warnx(
			    "set vm command failed: %s", client_reason(&a));
	}
	client_close(c);
	return result;
}

static int
send_memory(struct client *c, const struct target *target, uint64_t bytes)
{
	struct ctl_target to = { .id = target->id };
	struct ibuf *body = chan_body();

	snprintf(to.name, sizeof(to.name), "%s", target->name);
	if (ctl_target_put(body, &to) != 0 || ibuf_add_n64(body, bytes) == -1) {
		log_warnx("out of memory");
		ibuf_free(body);
		return -ENOMEM;
	}
	return client_send(c, CTL_MEMORY, -1, body);
}

static enum cmd_result
set_memory(
    const struct cmd_env *env, const struct target *target, const char *size)
{
	enum cmd_result result = CMD_FAILED;
	struct client_answer a;
	struct client *c;
	uint64_t bytes;

	if (args_memory(size, &bytes) != 0 || (c = client_open(env)) == NULL)
		return CMD_FAILED;
	if (send_memory(c, target, bytes) == 0 &&
	    client_next(c, &a, CLIENT_PROMPT) == 0) {
		if (a.kind == CLIENT_OK)
			result = CMD_OK;
		else
			log_warnx(
			    "set vm command failed: %s", client_reason(&a));
	}
	client_close(c);
	return result;
}

enum cmd_result
set_run(int argc, char **argv, const struct cmd_env *env)
{
	struct target target;
	bool force = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "f")) != -1) {
		if (ch != 'f')
			return CMD_USAGE;
		force = true;
	}
	argc -= optind;
	argv += optind;
	if (argc == 3 && strcmp(argv[1], "cdrom") == 0) {
		if (args_target(argv[0], &target) != 0)
			return CMD_FAILED;
		return set_cdrom(env, &target, force, argv[2]);
	}
	if (argc == 3 && strcmp(argv[1], "memory") == 0 && !force) {
		if (args_target(argv[0], &target) != 0)
			return CMD_FAILED;
		return set_memory(env, &target, argv[2]);
	}
	if (argc == 4 && strcmp(argv[1], "link") == 0 && !force &&
	    (strcmp(argv[3], "up") == 0 || strcmp(argv[3], "down") == 0)) {
		if (args_target(argv[0], &target) != 0)
			return CMD_FAILED;
		return set_link(
		    env, &target, argv[2], strcmp(argv[3], "up") == 0);
	}
	return CMD_USAGE;
}
