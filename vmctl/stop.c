/* SPDX-License-Identifier: ISC */
/* vmctl stop and vmctl wait: the end of a VM, asked for or awaited. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "log.h"
#include "status.h"
#include "stop.h"

enum end {
	END_DONE, /* ended (WAIT), or on its way (STOP) */
	END_GONE, /* there is no such VM, or it does not run */
	END_REFUSED, /* said on stderr */
	END_LOST, /* the connection is of no use any more; said on stderr */
};

static bool
gone(const struct client_answer *a)
{
	return a->kind == CLIENT_FAIL &&
	    (a->code == ENOENT || a->code == ESRCH ||
		a->code == CTL_E_NOTRUNNING);
}

/* For who only wants it not to run. */
static bool
done_already(const struct client_answer *a)
{
	return a->kind == CLIENT_FAIL &&
	    (a->code == CTL_E_NOTRUNNING || a->code == EALREADY);
}

/* Finish the line that was begun on stderr, for a refused request. */
static void
say_refused(const struct client_answer *a, const char *notrunning)
{
	if (a->kind == CLIENT_FAIL && a->code == CTL_E_NOTRUNNING)
		fprintf(stderr, "%s\n", notrunning);
	else if (gone(a))
		fprintf(stderr, "vm not found\n");
	else
		fprintf(stderr, "failed: %s\n", client_reason(a));
}

/*
 * A connection of its own per request keeps answers and requests together.
 * The line on stderr is begun once there is somebody to ask.
 */
static struct client *
begin(const struct cmd_env *env, const char *doing, const char *name)
{
	struct client *c = client_open(env);

	if (c != NULL && doing != NULL)
		fprintf(stderr, "%s vm %s: ", doing, name);
	return c;
}

/* Wait for the end of a VM; *id is its number when vmd tells it. */
static enum end
await(struct client *c, const struct target *target, uint32_t *id,
    struct client_answer *a)
{
	enum end end = END_LOST;
	bool more = true;

	if (c == NULL)
		return END_LOST;
	if (client_send_target(c, CTL_WAIT, target, NULL) != 0)
		more = false;
	while (more && client_next(c, a, CLIENT_FOREVER) == 0) {
		switch (a->kind) {
		case CLIENT_ENDED:
			*id = a->id;
			end = END_DONE;
			break;
		case CLIENT_OK:
			end = END_DONE;
			break;
		case CLIENT_FAIL:
			end = gone(a) ? END_GONE : END_REFUSED;
			break;
		case CLIENT_VM:
		case CLIENT_LINE:
		case CLIENT_EVENT:
		case CLIENT_CELLS:
		case CLIENT_KEPT:
			end = END_REFUSED;
			break;
		}
		more = false;
	}
	client_close(c);
	return end;
}

/* Ask vmd to end a VM; *id is its number when vmd tells it. */
static enum end
ask(struct client *c, const struct target *target,
    const struct stop_flags *flags, uint32_t *id, struct client_answer *a)
{
	uint32_t extra = flags->force;
	enum end end = END_LOST;

	if (c == NULL)
		return END_LOST;
	if (client_send_target(c, CTL_STOP, target, &extra) == 0 &&
	    client_next(c, a, CLIENT_PROMPT) == 0) {
		if (a->kind == CLIENT_OK || a->kind == CLIENT_ENDED) {
			if (a->id != 0)
				*id = a->id;
			end = END_DONE;
		} else if (gone(a))
			end = END_GONE;
		else if (flags->wait && a->kind == CLIENT_FAIL &&
		    a->code == EALREADY)
			end = END_DONE; /* somebody else's stop */
		else
			end = END_REFUSED;
	}
	client_close(c);
	return end;
}

enum cmd_result
stop_one(const struct cmd_env *env, const struct target *target,
    const struct stop_flags *flags, const char *name, bool listed)
{
	struct target again = *target;
	struct client_answer a;
	uint32_t id = target->id;
	enum end end;

	end = ask(begin(env, "stopping", name), target, flags, &id, &a);
	if (end == END_DONE && flags->wait) {
		if (id != 0)
			again = (struct target){ .id = id };
		end = await(begin(env, NULL, name), &again, &id, &a);
		listed = true;
	}
	if (end == END_GONE && listed)
		end = END_DONE;
	else if (end == END_DONE && !flags->wait) {
		fprintf(stderr, "%s vm %" PRIu32 "\n",
		    flags->force ? "forced to terminate"
				 : "requested to shutdown",
		    id);
		return CMD_OK;
	}
	if (end == END_DONE) {
		fprintf(stderr, "terminated vm %" PRIu32 "\n", id);
		return CMD_OK;
	}
	if (end == END_LOST)
		return CMD_FAILED;
	if (flags->quiet && done_already(&a)) {
		fprintf(stderr, "%s\n",
		    a.code == EALREADY ? "stops already" : "not running");
		return CMD_OK;
	}
	say_refused(&a, "cannot stop vm that is not running");
	return CMD_FAILED;
}

static enum cmd_result
stop_all(const struct cmd_env *env, const struct stop_flags *flags)
{
	enum cmd_result result = CMD_OK;
	enum cmd_exit before;
	struct ctl_vm *vms;
	struct target t;
	size_t i, n;

	if (client_list(env, &vms, &n) != 0)
		return CMD_FAILED;
	for (i = 0; i < n; i++) {
		if (!status_running(&vms[i]))
			continue;
		t = (struct target){ .id = vms[i].id };
		before = *env->why;
		if (stop_one(env, &t, flags, vms[i].name, true) != CMD_OK)
			result = CMD_FAILED;
		else
			*env->why = before;
	}
	free(vms);
	return result;
}

enum cmd_result
stop_run(int argc, char **argv, const struct cmd_env *env)
{
	struct stop_flags flags = { false, false, false };
	char name[VM_NAME_MAX + 1];
	struct target target;
	bool all = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "afqw")) != -1) {
		switch (ch) {
		case 'a':
			all = true;
			break;
		case 'f':
			flags.force = true;
			break;
		case 'q':
			flags.quiet = true;
			break;
		case 'w':
			flags.wait = true;
			break;
		default:
			return CMD_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc != (all ? 0 : 1))
		return CMD_USAGE;
	if (all)
		return stop_all(env, &flags);
	if (args_target(argv[0], &target) != 0)
		return CMD_FAILED;
	args_target_text(&target, name);
	return stop_one(env, &target, &flags, name, false);
}

enum cmd_result
stop_wait(int argc, char **argv, const struct cmd_env *env)
{
	char name[VM_NAME_MAX + 1];
	struct client_answer a;
	struct target target;
	uint32_t id;

	if (cmd_getopt(argc, argv, "") != -1 || argc - optind != 1)
		return CMD_USAGE;
	if (args_target(argv[optind], &target) != 0)
		return CMD_FAILED;
	id = target.id;
	args_target_text(&target, name);
	switch (await(begin(env, "waiting for", name), &target, &id, &a)) {
	case END_DONE:
		fprintf(stderr, "terminated vm %" PRIu32 "\n", id);
		return CMD_OK;
	case END_GONE:
	case END_REFUSED:
		say_refused(&a, "vm is not running");
		break;
	case END_LOST:
		break;
	}
	return CMD_FAILED;
}
