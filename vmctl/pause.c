/* SPDX-License-Identifier: ISC */
/* vmctl pause and vmctl unpause. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "log.h"

static enum cmd_result
ask(int argc, char **argv, const struct cmd_env *env, enum ctl_type type,
    const char *verb)
{
	enum cmd_result result = CMD_FAILED;
	struct client_answer a;
	struct target target;
	struct client *c;

	if (cmd_getopt(argc, argv, "") != -1 || argc - optind != 1)
		return CMD_USAGE;
	if (args_target(argv[optind], &target) != 0 ||
	    (c = client_open(env)) == NULL)
		return CMD_FAILED;
	if (client_send_target(c, type, &target, NULL) == 0 &&
	    client_next(c, &a, CLIENT_PROMPT) == 0) {
		if (a.kind == CLIENT_OK) {
			fprintf(stderr,
			    "vmctl: %sd vm %" PRIu32 " successfully\n", verb,
			    a.id);
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
pause_run(int argc, char **argv, const struct cmd_env *env)
{
	return ask(argc, argv, env, CTL_PAUSE, "pause");
}

enum cmd_result
unpause_run(int argc, char **argv, const struct cmd_env *env)
{
	return ask(argc, argv, env, CTL_UNPAUSE, "unpause");
}
