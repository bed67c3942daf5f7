/* SPDX-License-Identifier: ISC */
/*
 * vmctl send: a VM goes to another host while it runs.
 *
 * The user has to have the right to it on both.  vmd there is asked to receive
 * it; a relay leads to where it waits, and that relay's socket is given to vmd
 * here.  From then on the two of them speak, and all that is done here is to
 * tell how far they are; whoever is told nothing more has left, and then nothing
 * is sent.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "imsg.h"
#include "log.h"
#include "remote.h"
#include "vmconf.h"

#define DOWNTIME_MS  300
#define DOWNTIME_MAX 60000
#define SLOW_MAX     95
#define STARTS_MS    60000 /* until a VM is ready to receive */
#define REFUSED_MS   5000

struct order {
	struct target target;
	uint32_t limit; /* ms */
	uint64_t rate; /* bytes per second, 0: all there is */
	uint32_t slow; /* percent */
	bool disks, quiet;
};

/* A VM is named by its number on this host only. */
static int
name_of(const struct cmd_env *env, struct target *t)
{
	struct ctl_vm *vms;
	size_t i, n;

	if (t->id == 0)
		return 0;
	if (client_list(env, &vms, &n) != 0)
		return -1;
	for (i = 0; i < n && vms[i].id != t->id; i++)
		;
	if (i < n)
		snprintf(t->name, sizeof(t->name), "%s", vms[i].name);
	free(vms);
	if (i < n)
		return 0;
	log_warnx("send vm command failed: vm %" PRIu32 " not found", t->id);
	cmd_why(env, CMD_EXIT_ABSENT);
	return -1;
}

static void
say_failed(const char *where, const struct client_answer *a)
{
	log_warnx("send vm command failed: %s%s%s", where,
	    where[0] != '\0' ? ": " : "", client_reason(a));
}

/* A socket that leads to where it is awaited, or -1. */
static int
await(struct client *there, const struct cmd_env *env, const char *name)
{
	struct target to = { .id = 0 };
	struct client_answer a;
	int fd;

	snprintf(to.name, sizeof(to.name), "%s", name);
	if (client_send_target(there, CTL_RECEIVE, &to, NULL) != 0 ||
	    client_next(there, &a, STARTS_MS) != 0)
		return -1;
	if (a.kind == CLIENT_LINE) {
		if ((fd = remote_stream(env, a.text)) >= 0)
			return fd;
		/* It may have refused before we came: then it says why. */
		if (client_next(there, &a, REFUSED_MS) != 0 ||
		    a.kind != CLIENT_FAIL)
			return -1;
	}
	say_failed(env->host, &a);
	return -1;
}

static int
ask_send(struct client *here, const struct order *o, int fd)
{
	struct ctl_target to = { .id = o->target.id };
	struct ibuf *body = chan_body();

	snprintf(to.name, sizeof(to.name), "%s", o->target.name);
	if (ctl_target_put(body, &to) != 0 ||
	    ibuf_add_n32(body, o->limit) == -1 ||
	    ibuf_add_n64(body, o->rate) == -1 ||
	    ibuf_add_n32(body, o->slow) == -1 ||
	    ibuf_add_n32(body, o->disks) == -1) {
		log_warnx("out of memory");
		ibuf_free(body);
		close(fd);
		return -ENOMEM;
	}
	return client_send(here, CTL_SEND, fd, body);
}

/* Until it is sent, or is not. */
static int
follow(struct client *here, const struct order *o, struct client_answer *a)
{
	bool line = isatty(STDERR_FILENO) == 1;
	int error;

	while ((error = client_next(here, a, CLIENT_FOREVER)) == 0 &&
	    a->kind == CLIENT_LINE)
		if (!o->quiet)
			fprintf(stderr, line ? "\r%s\033[K" : "%s\n", a->text);
	if (!o->quiet && line)
		fputc('\n', stderr);
	return error;
}

/* It was not sent: the other host may know better why it has gone. */
static void
say_why(struct client *there, const char *host, const struct client_answer *a)
{
	struct client_answer b;

	if (a->code == EPIPE && client_next(there, &b, CLIENT_PROMPT) == 0 &&
	    b.kind == CLIENT_FAIL)
		say_failed(host, &b);
	else
		say_failed("", a);
}

static enum cmd_result
send_to(struct client *here, struct client *there, const struct cmd_env *env,
    const struct order *o)
{
	struct client_answer a;
	int fd;

	if ((fd = await(there, env, o->target.name)) < 0 ||
	    ask_send(here, o, fd) != 0 || follow(here, o, &a) != 0)
		return CMD_FAILED;
	if (a.kind != CLIENT_OK) {
		say_why(there, env->host, &a);
		return CMD_FAILED;
	}
	if (client_next(there, &a, CLIENT_PROMPT) != 0)
		return CMD_FAILED;
	if (a.kind != CLIENT_OK) {
		say_failed(env->host, &a);
		return CMD_FAILED;
	}
	fprintf(stderr, "vmctl: sent vm \"%s\" to %s: vm %" PRIu32 ", tty %s\n",
	    o->target.name, env->host, a.id, a.text);
	return CMD_OK;
}

/* 1 to max, or -1 after saying what is wrong. */
static int64_t
number(const char *text, const char *what, int64_t max)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && n >= 1 && n <= max)
		return n;
	log_warnx("invalid %s: %s", what, text);
	return -1;
}

static bool
options(int argc, char **argv, struct order *o)
{
	const char *limit = NULL, *rate = NULL, *slow = NULL;
	int64_t n;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "dqr:s:t:")) != -1) {
		if (ch == 'q')
			o->quiet = true;
		else if (ch == 'd')
			o->disks = true;
		else if (ch == 't'  ? !cmd_once(&limit, "downtime")
			: ch == 'r' ? !cmd_once(&rate, "rate")
				    : ch != 's' || !cmd_once(&slow, "percent"))
			return false;
	}
	if (limit != NULL) {
		if ((n = number(limit, "downtime", DOWNTIME_MAX)) == -1)
			return false;
		o->limit = (uint32_t)n;
	}
	if (slow != NULL) {
		if ((n = number(slow, "percent", SLOW_MAX)) == -1)
			return false;
		o->slow = (uint32_t)n;
	}
	if (rate == NULL)
		return true;
	if (vmconf_size(rate, &o->rate) == 0 && o->rate > 0)
		return true;
	log_warnx("invalid rate: %s", rate);
	return false;
}

enum cmd_result
send_run(int argc, char **argv, const struct cmd_env *env)
{
	struct order o = { .limit = DOWNTIME_MS };
	enum cmd_result result = CMD_FAILED;
	struct cmd_env away = *env;
	struct client *here, *there;

	if (!options(argc, argv, &o) || argc - optind != 2)
		return CMD_USAGE;
	away.host = argv[optind + 1];
	if (args_target(argv[optind], &o.target) != 0 ||
	    name_of(env, &o.target) != 0)
		return CMD_FAILED;
	if ((here = client_open(env)) == NULL)
		return CMD_FAILED;
	if ((there = client_open(&away)) != NULL)
		result = send_to(here, there, &away, &o);
	client_close(there);
	client_close(here);
	return result;
}
