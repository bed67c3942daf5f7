/* SPDX-License-Identifier: ISC */
/*
 * vmctl snapshot: the state of a VM and of its disks, kept by vmd.
 *
 * A VM that runs is reverted by three requests: could it be, stop, revert.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "chan.h"
#include "jsonout.h"
#include "log.h"
#include "stop.h"
#include "text.h"

/* More than vmd keeps of one VM. */
#define LIST_MAX 1024

static int
send_tag(struct client *c, enum ctl_type type, const struct target *target,
    const uint32_t *what, const char *tag)
{
	struct ctl_target to = { .id = target->id };
	struct ibuf *body = chan_body();

	snprintf(to.name, sizeof(to.name), "%s", target->name);
	if (ctl_target_put(body, &to) != 0 ||
	    (what != NULL && ibuf_add_n32(body, *what) == -1) ||
	    (tag != NULL && ctl_put_str(body, tag) != 0)) {
		log_warnx("out of memory");
		ibuf_free(body);
		return -ENOMEM;
	}
	return client_send(c, type, -1, body);
}

/* One request with one answer; false: there is none, which was said. */
static bool
ask(const struct cmd_env *env, enum ctl_type type, const struct target *target,
    const uint32_t *what, const char *tag, struct client_answer *a)
{
	struct client *c = client_open(env);
	bool answered;

	if (c == NULL)
		return false;
	answered = send_tag(c, type, target, what, tag) == 0 &&
	    client_next(c, a, CLIENT_FOREVER) == 0;
	client_close(c);
	return answered;
}

static enum cmd_result
failed(const struct client_answer *a)
{
	log_warnx("snapshot vm command failed: %s", client_reason(a));
	return CMD_FAILED;
}

static enum cmd_result
change(const struct cmd_env *env, const struct target *target, uint32_t what,
    const char *tag)
{
	struct client_answer a;

	if (!ask(env, CTL_SNAPSHOT, target, &what, tag, &a))
		return CMD_FAILED;
	if (a.kind != CLIENT_OK)
		return failed(&a);
	fprintf(stderr, "vmctl: %s snapshot %s of vm %" PRIu32 "\n",
	    what == CTL_SNAP_CREATE ? "created" : "deleted", tag, a.id);
	return CMD_OK;
}

static enum cmd_result
revert(const struct cmd_env *env, const struct target *target, const char *tag)
{
	const struct stop_flags flags = { .force = true, .wait = true };
	const uint32_t check = CTL_SNAP_CHECK;
	enum cmd_exit unused = CMD_EXIT_FAILED;
	struct cmd_env try = *env;
	char name[VM_NAME_MAX + 1];
	struct client_answer a;

	/* That it does not run is no failure. */
	try.why = &unused;
	if (!ask(&try, CTL_SNAPSHOT, target, &check, tag, &a)) {
		cmd_why(env, unused);
		return CMD_FAILED;
	}
	if (a.kind == CLIENT_OK) {
		args_target_text(target, name);
		if (stop_one(env, target, &flags, name, true) != CMD_OK)
			return CMD_FAILED;
	} else if (a.kind != CLIENT_FAIL || a.code != CTL_E_NOTRUNNING) {
		cmd_why(env, unused);
		return failed(&a);
	}
	if (!ask(env, CTL_REVERT, target, NULL, tag, &a))
		return CMD_FAILED;
	if (a.kind != CLIENT_OK)
		return failed(&a);
	fprintf(stderr, "vmctl: reverted vm %" PRIu32 "%s%s\n", a.id,
	    a.text[0] != '\0' ? ", tty " : "", a.text);
	return CMD_OK;
}

static int
by_time(const void *a, const void *b)
{
	const struct ctl_kept *x = a, *y = b;

	if (x->ms != y->ms)
		return x->ms < y->ms ? -1 : 1;
	return strcmp(x->tag, y->tag);
}

/* Their number, or -1. */
static int
fetch(const struct cmd_env *env, const struct target *target,
    struct ctl_kept *kept)
{
	struct client *c = client_open(env);
	struct client_answer a = { .kind = CLIENT_FAIL };
	int n = 0, error;

	if (c == NULL)
		return -1;
	error = send_tag(c, CTL_SNAPSHOTS, target, NULL, NULL);
	while (error == 0 && (error = client_next(c, &a, CLIENT_PROMPT)) == 0 &&
	    a.kind == CLIENT_KEPT && n < LIST_MAX)
		kept[n++] = a.kept;
	client_close(c);
	if (error == 0 && a.kind == CLIENT_OK) {
		qsort(kept, (size_t)n, sizeof(*kept), by_time);
		return n;
	}
	if (error == 0)
		(void)failed(&a);
	return -1;
}

static int
print_json(const struct ctl_kept *kept, int n)
{
	json_t *list = json_array();
	char time[TEXT_TIME];
	int i;

	for (i = 0; i < n && list != NULL; i++) {
		text_time(kept[i].ms, time);
		const struct jsonout_member members[] = {
			{ "name", json_string(kept[i].tag) },
			{ "time", jsonout_text(time) },
			{ "state_size", jsonout_u64(kept[i].bytes) },
		};
		if (json_array_append_new(list,
			jsonout_object(members,
			    sizeof(members) / sizeof(members[0]))) != 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return jsonout_print(stdout, list);
}

static void
print_text(const struct ctl_kept *kept, int n)
{
	char time[TEXT_TIME], scaled[TEXT_SCALED];
	int i;

	printf("%-24s %6s %s\n", "TIME", "STATE", "NAME");
	for (i = 0; i < n; i++) {
		text_time(kept[i].ms, time);
		text_scaled(kept[i].bytes, scaled);
		printf("%-24s %6s %s\n", time, scaled, kept[i].tag);
	}
}

static enum cmd_result
list(const struct cmd_env *env, const struct target *target, bool json)
{
	struct ctl_kept *kept = calloc(LIST_MAX, sizeof(*kept));
	int n = -1;

	if (kept == NULL)
		log_warnx("out of memory");
	else
		n = fetch(env, target, kept);
	if (n >= 0 && !json)
		print_text(kept, n);
	else if (n >= 0 && print_json(kept, n) == -ENOMEM) {
		log_warnx("out of memory");
		n = -1;
	}
	free(kept);
	return n >= 0 ? CMD_OK : CMD_FAILED;
}

enum cmd_result
snapshot_run(int argc, char **argv, const struct cmd_env *env)
{
	static const char *const verbs[] = { "create", "delete", "list",
		"revert" };
	enum { CREATE, DELETE, LIST, REVERT };
	struct target target;
	bool json = false;
	int verb, ch;

	if (argc < 2)
		return CMD_USAGE;
	if ((verb = args_keyword(argv[1], verbs, 4, false)) < 0) {
		log_warnx("unknown argument: %s", argv[1]);
		return CMD_USAGE;
	}
	argc--;
	argv++;
	optind = 0;
	while ((ch = cmd_getopt(argc, argv, verb == LIST ? "j" : "")) != -1) {
		if (ch != 'j')
			return CMD_USAGE;
		json = true;
	}
	if (argc - optind != (verb == LIST ? 1 : 2))
		return CMD_USAGE;
	argv += optind;
	if (args_target(argv[0], &target) != 0)
		return CMD_FAILED;
	if (verb != LIST && strlen(argv[1]) >= CTL_TAG_MAX) {
		log_warnx("name of a snapshot is longer than %d bytes",
		    CTL_TAG_MAX - 1);
		return CMD_FAILED;
	}
	if (verb == LIST)
		return list(env, &target, json);
	if (verb == REVERT)
		return revert(env, &target, argv[1]);
	return change(env, &target,
	    verb == CREATE ? CTL_SNAP_CREATE : CTL_SNAP_DELETE, argv[1]);
}
