/* SPDX-License-Identifier: ISC */
/*
 * vmd(8).  One binary, several processes: a child finds its role in its
 * arguments (lib/spawn.h), anything else is the parent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confprint.h"
#include "ctl.h"
#include "daemon.h"
#include "log.h"
#include "parent.h"
#include "role.h"
#include "spawn.h"

static const struct {
	const char *name;
	int (*run)(void);
} roles[] = {
	{ "control", control_main },
	{ "vm", vm_main },
	{ "vioblk", vioblk_main },
	{ "vionet", vionet_main },
	{ "vioscsi", vioscsi_main },
	{ "netcfg", netcfg_main },
	{ "passt", passt_main },
	{ "keeper", keeper_main },
	{ "scope", scope_main },
	{ "probe", probe_main },
	{ "seed", seed_main },
	{ "snap", snap_main },
	{ "remote", remote_main },
	{ "login", login_main },
};

static int
run_role(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(name, roles[i].name) == 0)
			return roles[i].run();
	}
	return 1;
}

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr,
	    "usage: vmd [-cdnv] [-D macro=value] [-f file] [-k device] "
	    "[-s socket]\n");
	exit(1);
}

static void
define(struct options *o, char *arg)
{
	char *value = strchr(arg, '=');

	if (value != NULL)
		*value++ = '\0';
	if (value == NULL || !macro_name_ok(arg)) {
		fprintf(
		    stderr, "vmd: could not parse macro definition %s\n", arg);
		exit(1);
	}
	if (macro_set(&o->macros, arg, value, true, "-D", 0) != 0)
		fatalx("out of memory");
}

static void
parse_options(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "cD:df:k:ns:v")) != -1) {
		switch (c) {
		case 'c':
			o->probe = true;
			break;
		case 'D':
			define(o, optarg);
			break;
		case 'd':
			o->foreground = true;
			break;
		case 'f':
			o->file = optarg;
			o->file_given = true;
			break;
		case 'k':
			o->device = optarg;
			break;
		case 'n':
			o->check = true;
			break;
		case 's':
			o->socket = optarg;
			break;
		case 'v':
			o->verbose++;
			break;
		default:
			usage();
		}
	}
	if (argc != optind)
		usage();
}

/* Line 0: the file as a whole. */
static void
report(void *arg, const char *file, unsigned line, const char *text)
{
	if (line == 0)
		fprintf(stderr, "vmd: %s: %s\n", file, text);
	else
		fprintf(stderr, "%s:%u: %s\n", file, line, text);
}

static int
check_config(struct options *o)
{
	const struct conf_opts co = {
		.file = o->file,
		.optional = !o->file_given,
		.check_paths = true,
		.macros = &o->macros,
		.report = report,
	};
	struct conf *conf = conf_load(&co);
	int error = 0;

	macro_clear(&o->macros);
	if (conf == NULL)
		return 1;
	if (o->verbose > 0)
		error = confprint(stdout, conf);
	conf_free(conf);
	if (error != 0) {
		fprintf(stderr, "vmd: standard output: %s\n", strerror(-error));
		return 1;
	}
	fprintf(stderr, "configuration OK\n");
	return 0;
}

/* The daemon's directory is /: paths of the command line stay valid. */
static const char *
absolute(const char *path)
{
	char *cwd, *full;

	if (path == NULL || path[0] == '/')
		return path;
	if ((cwd = getcwd(NULL, 0)) == NULL ||
	    asprintf(&full, "%s/%s", cwd, path) == -1)
		fatal("%s", path);
	free(cwd);
	return full;
}

int
main(int argc, char **argv)
{
	struct options o = { .file = CONF_FILE, .socket = CTL_SOCKET };
	struct spawned child;
	int error;

	if (spawn_is_child(argc, argv, &child))
		return run_role(child.role);
	TAILQ_INIT(&o.macros);
	parse_options(&o, argc, argv);
	log_init(daemon_in_journal() ? LOG_TO_JOURNAL : LOG_TO_STDERR, "vmd");
	if (o.check)
		return check_config(&o);
	if ((error = spawn_init("vmd")) != 0)
		fatalx("cannot find myself: %s", strerror(-error));
	if (o.probe)
		return parent_check_host(&o);
	if (geteuid() != 0) {
		fprintf(stderr, "vmd: need root privileges\n");
		return 1;
	}
	o.file = absolute(o.file);
	o.device = absolute(o.device);
	o.socket = absolute(o.socket);
	return parent_run(&o);
}
