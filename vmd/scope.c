/* SPDX-License-Identifier: ISC */
/*
 * The process "scope": it becomes systemd-run(1), which has the service
 * manager move it to a new scope and becomes sleep(1).  The parent does not
 * speak to the service manager itself: a library for that would be in the
 * address space of all of our processes.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "fd.h"
#include "log.h"
#include "role.h"
#include "scope.h"
#include "spawn.h"

#define SYSTEMD	    "/run/systemd/system" /* sd_booted(3) */
#define SYSTEMD_RUN "/usr/bin/systemd-run"
#define SLICE	    "machine.slice"
#define SCOPES_MAX  16

bool
scope_available(void)
{
	return access(SYSTEMD, F_OK) == 0 && access(SYSTEMD_RUN, X_OK) == 0;
}

pid_t
scope_spawn(void)
{
	const struct spawn s = { "scope", "scope", "scope", 0, -1 };
	int fd = -1;
	pid_t pid = spawn_child(&s, &fd);

	fd_close(&fd);
	return pid;
}

/* One that is not there yet. */
static void
choose(char *unit, size_t len)
{
	char path[128];
	unsigned i;

	snprintf(unit, len, "--unit=" SCOPE_NAME);
	for (i = 1; i < SCOPES_MAX; i++) {
		snprintf(path, sizeof(path), CGROUP_MOUNT "/" SLICE "/%s.scope",
		    strchr(unit, '=') + 1);
		if (access(path, F_OK) == -1)
			return;
		snprintf(unit, len, "--unit=" SCOPE_NAME "-%u", i);
	}
}

int
scope_main(void)
{
	char unit[64];
	/* Before vmd.service: it is stopped after that. */
	const char *argv[] = { SYSTEMD_RUN, "--scope", "--quiet", "--collect",
		"--description=Virtual machines", "--slice=" SLICE, unit,
		"--property=Delegate=yes", "--property=TasksMax=infinity",
		"--property=Before=vmd.service", "/bin/sleep", "10", NULL };
	int error;

	choose(unit, sizeof(unit));
	error = spawn_replace(SYSTEMD_RUN, (char *const *)(uintptr_t)argv, -1);
	log_warnx("%s: %s", SYSTEMD_RUN, strerror(-error));
	return 1;
}
