/* SPDX-License-Identifier: ISC */
/*
 * vmctl check: can this host run guests?  The answer is vmd's, which has the
 * probe; this process becomes `vmd -c'.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cmd.h"
#include "log.h"
#include "spawn.h"

int
check_path(const char *self, char *out, size_t len)
{
	const char *slash = strrchr(self, '/');
	int n;

	if (slash != NULL) {
		n = snprintf(
		    out, len, "%.*s/../sbin/vmd", (int)(slash - self), self);
		if (n > 0 && (size_t)n < len && access(out, X_OK) == 0)
			return 0;
	}
	n = snprintf(out, len, "%s", PREFIX "/sbin/vmd");
	return n > 0 && (size_t)n < len ? 0 : -ENAMETOOLONG;
}

enum cmd_result
check_run(int argc, char **argv, const struct cmd_env *env)
{
	char vmd[] = "vmd", opt_c[] = "-c", opt_k[] = "-k";
	char *args[5] = { vmd, opt_c, NULL };
	char path[PATH_MAX], self[PATH_MAX];
	const char *device = NULL;
	ssize_t n;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "k:")) != -1) {
		if (ch != 'k' || !cmd_once(&device, "device"))
			return CMD_USAGE;
		args[2] = opt_k;
		args[3] = optarg;
	}
	if (argc != optind)
		return CMD_USAGE;
	if ((n = readlink("/proc/self/exe", self, sizeof(self) - 1)) == -1)
		n = 0;
	self[n] = '\0';
	if (check_path(self, path, sizeof(path)) != 0) {
		log_warnx("vmd's path is too long");
		return CMD_FAILED;
	}
	log_debug("running %s", path);
	errno = -spawn_replace(path, args, -1);
	log_warn("%s", path);
	return CMD_FAILED;
}
