/* SPDX-License-Identifier: ISC */
/*
 * The command line: see usage().
 *
 * Exit status: 0 success, 1 any failure; others only when they are asked for.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cmd.h"
#include "ctl.h"
#include "log.h"

struct cmd {
	const char *name;
	enum cmd_result (*run)(int, char **, const struct cmd_env *);
	const char *args;
};

static const struct cmd cmds[] = {
#define X(name, function, args) { name, function, args },
	CMD_LIST(X)
#undef X
};

static const char *const names[] = {
#define X(name, function, args) name,
	CMD_LIST(X)
#undef X
};

#define NCMDS (sizeof(cmds) / sizeof(cmds[0]))

static void
usage_line(const char *lead, const struct cmd *cmd)
{
	fprintf(stderr, "%svmctl [-v] [-s socket] %s%s%s\n", lead, cmd->name,
	    *cmd->args == '\0' ? "" : " ", cmd->args);
}

static void
usage(void)
{
	size_t i;

	fprintf(stderr,
	    "usage:\tvmctl [-v] [--exit-codes] [-H host | -s socket] "
	    "command [arg ...]\n");
	for (i = 0; i < NCMDS; i++)
		usage_line("\t", &cmds[i]);
}

/* ch: ':' or '?', of getopt(3). */
static void
say_option(int ch, const char *word)
{
	if (ch == ':')
		log_warnx("missing argument of -%c", optopt);
	else if (strncmp(word, "--", 2) == 0)
		log_warnx("unknown option: %s", word);
	else
		log_warnx("unknown option: -%c", optopt);
}

int
cmd_getopt(int argc, char **argv, const char *options)
{
	char all[64];
	int ch;

	/* '+': options end at the first operand; ':': the messages are ours */
	snprintf(all, sizeof(all), "+:%s", options);
	opterr = 0;
	ch = getopt(argc, argv, all);
	if (ch == ':' || ch == '?') {
		say_option(ch, "");
		return '?';
	}
	return ch;
}

bool
cmd_once(const char **value, const char *what)
{
	if (*value != NULL) {
		log_warnx("%s specified multiple times", what);
		return false;
	}
	*value = optarg;
	return true;
}

void
cmd_why(const struct cmd_env *env, enum cmd_exit why)
{
	if (env->why != NULL && *env->why == CMD_EXIT_FAILED)
		*env->why = why;
}

/* Those that do not speak with vmd: what they do, they do here. */
static bool
is_local(const struct cmd *cmd)
{
	return cmd->run == check_run || cmd->run == create_run ||
	    cmd->run == image_run || cmd->run == send_run;
}

static enum cmd_exit
run(const struct cmd *cmd, int argc, char **argv, const struct cmd_env *env)
{
	log_debug("command %s, socket %s", cmd->name, env->socket);
	if (env->host != NULL && is_local(cmd)) {
		log_warnx("%s works on this host only, not on %s", cmd->name,
		    env->host);
		return CMD_EXIT_USAGE;
	}
	optind = 0;
	switch (cmd->run(argc, argv, env)) {
	case CMD_OK:
		break;
	case CMD_FAILED:
		return *env->why;
	case CMD_USAGE:
		usage_line("usage: ", cmd);
		return CMD_EXIT_USAGE;
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		log_warn("standard output");
		return CMD_EXIT_FAILED;
	}
	return CMD_EXIT_OK;
}

/* Options before the command; false after saying what is wrong. */
static bool
parse_options(int argc, char **argv, struct cmd_env *env, bool *codes)
{
	static const struct option longs[] = {
		{ "exit-codes", no_argument, NULL, 'x' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL;
	int ch;

	optind = opterr = 0;
	while ((ch = getopt_long(argc, argv, "+:H:s:v", longs, NULL)) != -1) {
		switch (ch) {
		case 'H':
			if (!cmd_once(&env->host, "host"))
				return false;
			break;
		case 's':
			if (!cmd_once(&path, "socket"))
				return false;
			env->socket = path;
			break;
		case 'v':
			log_setverbose(1);
			break;
		case 'x':
			*codes = true;
			break;
		default:
			say_option(ch, argv[optind - 1]);
			return false;
		}
	}
	if (path != NULL && env->host != NULL) {
		log_warnx("a host and a socket exclude each other");
		return false;
	}
	return true;
}

int
cmd_main(int argc, char **argv)
{
	enum cmd_exit why = CMD_EXIT_FAILED, status = CMD_EXIT_USAGE;
	struct cmd_env env = { CTL_SOCKET, NULL, &why };
	bool codes = false;
	int i;

	if (!parse_options(argc, argv, &env, &codes) || argc == optind)
		usage();
	else {
		argc -= optind;
		argv += optind;
		i = args_keyword(argv[0], names, NCMDS, false);
		if (i >= 0)
			status = run(&cmds[i], argc, argv, &env);
		else {
			log_warnx("%s argument: %s",
			    i == -EEXIST ? "ambiguous" : "unknown", argv[0]);
			usage();
		}
	}
	return codes || status == CMD_EXIT_OK || status >= CMD_EXIT_RESETS
	    ? (int)status
	    : 1;
}
