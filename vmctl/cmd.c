/* SPDX-License-Identifier: ISC */
/*
 * The command line: vmctl [-v] [-s socket] command [arg ...].
 *
 * Exit status: 0 success, 1 any failure; there are no others.
 */
#include <errno.h>
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

static int
usage(void)
{
	size_t i;

	fprintf(stderr, "usage:\tvmctl [-v] [-s socket] command [arg ...]\n");
	for (i = 0; i < NCMDS; i++)
		usage_line("\t", &cmds[i]);
	return 1;
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
	if (ch == ':') {
		log_warnx("missing argument of -%c", optopt);
		return '?';
	}
	if (ch == '?')
		log_warnx("unknown option: -%c", optopt);
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

static int
run(const struct cmd *cmd, int argc, char **argv, const struct cmd_env *env)
{
	log_debug("command %s, socket %s", cmd->name, env->socket);
	optind = 0;
	switch (cmd->run(argc, argv, env)) {
	case CMD_OK:
		break;
	case CMD_FAILED:
		return 1;
	case CMD_USAGE:
		usage_line("usage: ", cmd);
		return 1;
	}
	if (fflush(stdout) == EOF || ferror(stdout)) {
		log_warn("standard output");
		return 1;
	}
	return 0;
}

int
cmd_main(int argc, char **argv)
{
	struct cmd_env env = { CTL_SOCKET };
	const char *path = NULL;
	int ch, i;

	optind = 0;
	while ((ch = cmd_getopt(argc, argv, "s:v")) != -1) {
		switch (ch) {
		case 's':
			if (!cmd_once(&path, "socket"))
				return usage();
			env.socket = path;
			break;
		case 'v':
			log_setverbose(1);
			break;
		default:
			return usage();
		}
	}
	argc -= optind;
	argv += optind;
	if (argc < 1)
		return usage();
	i = args_keyword(argv[0], names, NCMDS, false);
	if (i < 0) {
		log_warnx("%s argument: %s",
		    i == -EEXIST ? "ambiguous" : "unknown", argv[0]);
		return usage();
	}
	return run(&cmds[i], argc, argv, &env);
}
