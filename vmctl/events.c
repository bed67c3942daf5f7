/* SPDX-License-Identifier: ISC */
/*
 * vmctl events: what happens to VMs, a line each, for people or as JSON.
 *
 * The names in the JSON are an interface (vmctl(8), "OUTPUT"): names may be
 * added at the end, none changes.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "events.h"
#include "jsonout.h"
#include "log.h"
#include "text.h"

static void
print_text(const struct ctl_event *e)
{
	time_t t = (time_t)(e->ms / 1000);
	char when[32] = "-";
	struct tm tm;

	if (localtime_r(&t, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s %s (vm %" PRIu32 "): %s%s%s\n", when, e->name, e->id,
	    ctl_event_name(e->what), e->text[0] == '\0' ? "" : ": ", e->text);
}

static int
print_json(const struct ctl_event *e)
{
	char when[TEXT_TIME];

	text_time(e->ms, when);
	const struct jsonout_member members[] = {
		{ "time", jsonout_text(when) },
		{ "event", json_string(ctl_event_name(e->what)) },
		{ "id", jsonout_u64(e->id) },
		{ "name", json_string(e->name) },
		{ "text", jsonout_text(e->text) },
		{ "outcome", jsonout_text(ctl_outcome_name(e->outcome)) },
	};
	return jsonout_line(stdout,
	    jsonout_object(members, sizeof(members) / sizeof(members[0])));
}

bool
events_about(const struct ctl_event *e, const struct target *t)
{
	return t->id != 0 ? t->id == e->id : strcmp(t->name, e->name) == 0;
}

/* There is no good end but that of whoever reads our output. */
static enum cmd_result
follow(struct client *c, const struct target *t, bool json)
{
	struct client_answer a;

	while (client_next(c, &a, CLIENT_FOREVER) == 0) {
		if (a.kind != CLIENT_EVENT) {
			log_warnx("events: %s", client_reason(&a));
			break;
		}
		if (t != NULL && !events_about(&a.event, t))
			continue;
		if (!json)
			print_text(&a.event);
		else if (print_json(&a.event) == -ENOMEM) {
			log_warnx("events: out of memory");
			break;
		}
		/* Whoever reads them waits for each. */
		if (fflush(stdout) == EOF)
			return CMD_OK; /* cmd.c sees that error */
	}
	return CMD_FAILED;
}

enum cmd_result
events_run(int argc, char **argv, const struct cmd_env *env)
{
	struct target target;
	struct client *c;
	enum cmd_result result = CMD_FAILED;
	bool json = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "j")) != -1) {
		if (ch != 'j')
			return CMD_USAGE;
		json = true;
	}
	argc -= optind;
	argv += optind;
	if (argc > 1)
		return CMD_USAGE;
	if (argc == 1 && args_target(argv[0], &target) != 0)
		return CMD_FAILED;
	if ((c = client_open(env)) == NULL)
		return CMD_FAILED;
	if (client_send(c, CTL_EVENTS, -1, NULL) == 0)
		result = follow(c, argc == 1 ? &target : NULL, json);
	client_close(c);
	return result;
}
