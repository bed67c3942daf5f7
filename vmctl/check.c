/* SPDX-License-Identifier: ISC */
/*
 * vmctl check: can this host run guests?  The answer is vmd's, which has the
 * probe: this process becomes `vmd -c', or for JSON reads what a child of it
 * says that has become that.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "cmd.h"
#include "fd.h"
#include "jsonout.h"
#include "log.h"
#include "spawn.h"

#define REPORT_MAX 4096

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

void
check_become(char *device)
{
	char vmd[] = "vmd", opt_c[] = "-c", opt_k[] = "-k";
	char *args[5] = { vmd, opt_c, NULL };
	char path[PATH_MAX], self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (device != NULL) {
		args[2] = opt_k;
		args[3] = device;
	}
	self[n == -1 ? 0 : n] = '\0';
	if (check_path(self, path, sizeof(path)) != 0) {
		log_warnx("vmd's path is too long");
		return;
	}
	log_debug("running %s", path);
	errno = -spawn_replace(path, args, -1);
	log_warn("%s", path);
}

/* Told "-" and the device, which may be empty: vmd's choice; answers with the
 * report. */
int
check_child(void)
{
	char device[PATH_MAX + 1];
	ssize_t n = recv(SPAWN_FD, device, sizeof(device) - 1, 0);

	if (n < 1)
		return 1;
	device[n] = '\0';
	if (dup2(SPAWN_FD, STDOUT_FILENO) == -1) {
		log_warn("channel");
		return 1;
	}
	check_become(device[1] != '\0' ? device + 1 : NULL);
	return 1;
}

/* Until the child closes its end; its length, or -errno. */
static ssize_t
read_report(int fd, char *out, size_t max)
{
	size_t len = 0;
	ssize_t n;

	do {
		n = recv(fd, out + len, max - len, 0);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n == -1 && errno == EINTR));
	if (n == -1)
		return -errno;
	out[len] = '\0';
	return (ssize_t)len;
}

static enum cmd_result
child_report(int fd, const char *device)
{
	char ask[PATH_MAX + 1], text[REPORT_MAX + 1];
	int len = snprintf(ask, sizeof(ask), "-%s", device);
	ssize_t n;
	int error;

	if (len < 0 || (size_t)len >= sizeof(ask)) {
		log_warnx("the device's path is too long");
		return CMD_FAILED;
	}
	if (send(fd, ask, (size_t)len, MSG_NOSIGNAL) != len) {
		log_warn("vmd -c");
		return CMD_FAILED;
	}
	if ((n = read_report(fd, text, REPORT_MAX)) < 0) {
		log_warnx("vmd -c: %s", strerror((int)-n));
		return CMD_FAILED;
	}
	/* It has said on standard error why there is none. */
	if (n == 0)
		return CMD_FAILED;
	if ((error = jsonout_print(stdout, check_json(text))) == 0)
		return CMD_OK;
	log_warnx("standard output: %s", strerror(-error));
	return CMD_FAILED;
}

static enum cmd_result
as_json(const char *device)
{
	static const struct spawn s = { CHECK_ROLE, "check", "vmctl", 0, -1 };
	enum cmd_result result;
	int fd, status;
	pid_t pid;

	if ((pid = spawn_child(&s, &fd)) < 0) {
		log_warnx("no process: %s", strerror(-pid));
		return CMD_FAILED;
	}
	result = child_report(fd, device);
	fd_close(&fd);
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			fatal("waitpid");
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		result = CMD_FAILED;
	return result;
}

enum cmd_result
check_run(int argc, char **argv, const struct cmd_env *env)
{
	const char *device = NULL;
	char *given = NULL;
	bool json = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "jk:")) != -1) {
		if (ch == 'j')
			json = true;
		else if (ch == 'k' && cmd_once(&device, "device"))
			given = optarg;
		else
			return CMD_USAGE;
	}
	if (argc != optind)
		return CMD_USAGE;
	if (json)
		return as_json(given != NULL ? given : "");
	check_become(given);
	return CMD_FAILED;
}
