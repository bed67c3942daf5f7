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

/* fd: taken; -1: the drive is emptied. */
static int
ask(struct client *c, const struct target *target, bool force, int fd)
{
	struct ctl_target to = { .id = target->id };
	struct ibuf *body = chan_body();

	snprintf(to.name, sizeof(to.name), "%s", target->name);
	if (ctl_target_put(body, &to) != 0 || ibuf_add_n32(body, force) == -1) {
		log_warnx("out of memory");
		ibuf_free(body);
		if (fd != -1)
			close(fd);
		return -ENOMEM;
	}
	return client_send(c, fd == -1 ? CTL_EJECT : CTL_CDROM, fd, body);
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
	if ((c = client_open(env->socket)) == NULL) {
		if (fd != -1)
			close(fd);
		return CMD_FAILED;
	}
	if (ask(c, target, force, fd) == 0 &&
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
	if (argc != 3 || strcmp(argv[1], "cdrom") != 0)
		return CMD_USAGE;
	if (args_target(argv[0], &target) != 0)
		return CMD_FAILED;
	return set_cdrom(env, &target, force, argv[2]);
}
