/* SPDX-License-Identifier: ISC */
/*
 * vmctl restart: stop, wait for the end, start.
 *
 * Two requests of a client, not one of its own: whoever may stop and start a
 * VM may restart it, and what changed in vm.conf holds from this start on.
 */
#include <stdbool.h>
#include <unistd.h>

#include "args.h"
#include "cmd.h"
#include "start.h"
#include "stop.h"

enum cmd_result
restart_run(int argc, char **argv, const struct cmd_env *env)
{
	struct stop_flags flags = { .force = false, .wait = true };
	char name[VM_NAME_MAX + 1];
	struct target target;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "f")) != -1) {
		if (ch != 'f')
			return CMD_USAGE;
		flags.force = true;
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	if (args_target(argv[optind], &target) != 0)
		return CMD_FAILED;
	args_target_text(&target, name);
	if (stop_one(env, &target, &flags, name, false) != CMD_OK)
		return CMD_FAILED;
	return start_target(env, &target) == 0 ? CMD_OK : CMD_FAILED;
}
