/* SPDX-License-Identifier: ISC */
/*
 * Where the groups of VMs are: cgroup.h has the tree.
 *
 * Invariants
 *  1. The group above is used by us alone: a scope that the service manager
 *     delegated to us, or made by us and locked for as long as we live.
 *  2. It has no processes, as it gives controllers to those below.
 *  3. It is not the service's: in a group that gives controllers no process
 *     can be started, so vmd could not be started again beside its guests.
 *  4. The keeper is in it.  So the next parent finds it, and no other daemon
 *     takes it, as it is not empty.
 */
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <linux/magic.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "log.h"
#include "scope.h"

#define DAEMONS_MAX 16
#define KEEPER	    "keeper"
#define PROCS	    KEEPER "/cgroup.procs"
#define MADE	    "vmd"
#define TICK_MS	    10
#define END_TICKS   100 /* 1 s for who is in a group to be gone */
#define SCOPE_TICKS 1000 /* 10 s for the service manager */

int
cgroup_put(int dir, const char *file, const char *text)
{
	size_t len = strlen(text);
	int fd, error;

	fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return -errno;
	error = write(fd, text, len) == (ssize_t)len ? 0 : -errno;
	close(fd);
	return error;
}

/* Limits of the groups below; what cannot be had is kept for who wants it. */
static void
enable(struct cgroups *c)
{
	char text[16];
	unsigned i;

	for (i = 0; i < CGROUP_CONTROLLERS; i++) {
		snprintf(text, sizeof(text), "+%s", cgroup_controllers[i]);
		/* It may be there already: what comes next says whether. */
		if (c->name[0] != '\0')
			cgroup_put(c->mount, "cgroup.subtree_control", text);
		c->error[i] =
		    cgroup_put(c->dir, "cgroup.subtree_control", text);
	}
}

/* Groups of VMs that nobody is in any more. */
void
cgroup_sweep(const struct cgroups *c)
{
	struct dirent *e;
	DIR *d;
	int fd;

	if ((fd = openat(c->dir, ".", DIRECTORY)) == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, PREFIX_VM, strlen(PREFIX_VM)) == 0)
			unlinkat(c->dir, e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
}

static void
tick(void)
{
	const struct timespec ts = { .tv_nsec = TICK_MS * 1000000L };

	nanosleep(&ts, NULL);
}

int
cgroup_remove(int dir, const char *name, bool end)
{
	char path[sizeof(PREFIX_VM) + VM_NAME_MAX + sizeof("/cgroup.kill")];
	unsigned i;

	snprintf(path, sizeof(path), "%s/cgroup.kill", name);
	for (i = 0; unlinkat(dir, name, AT_REMOVEDIR) == -1; i++) {
		if (errno == ENOENT)
			break;
		if (errno != EBUSY || i == END_TICKS)
			return -errno;
		if (end)
			cgroup_put(dir, path, "1");
		tick();
	}
	return 0;
}

/* Below the mount point; "0::/machine.slice/vmd-guests.scope/keeper". */
static bool
group_of(pid_t pid, char *path, size_t len)
{
	char line[PATH_MAX];
	bool found = false;
	FILE *f;

	snprintf(line, sizeof(line), "/proc/%d/cgroup", (int)pid);
	if ((f = fopen(line, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::/", 4) == 0 &&
		    strlcpy(path, line + 4, len) < len;
	}
	fclose(f);
	return found;
}

static bool
is_scope(const char *path)
{
	const char *name = strrchr(path, '/'), *dot;

	name = name == NULL ? path : name + 1;
	dot = strrchr(name, '.');
	return strncmp(name, SCOPE_NAME, strlen(SCOPE_NAME)) == 0 &&
	    dot != NULL && strcmp(dot, ".scope") == 0;
}

static bool
is_made(const char *path)
{
	size_t len = strlen(MADE);

	return strncmp(path, MADE, len) == 0 &&
	    (path[len] == '\0' || path[len] == '-') &&
	    strchr(path, '/') == NULL &&
	    strlen(path) < sizeof(((struct cgroups *)0)->name);
}

/* A directory of this group that is ours from now on, or -1 with errno. */
static int
take_made(const struct cgroups *c, const char *name)
{
	int dir = openat(c->mount, name, DIRECTORY), error;

	if (dir == -1 || flock(dir, LOCK_EX | LOCK_NB) == 0)
		return dir;
	error = errno;
	close(dir);
	errno = error;
	return -1;
}

/* Invariant 4. */
static bool
find(struct cgroups *c, pid_t keeper)
{
	char path[PATH_MAX], *slash;

	if (!group_of(keeper, path, sizeof(path)) ||
	    (slash = strrchr(path, '/')) == NULL ||
	    strcmp(slash + 1, KEEPER) != 0)
		return false;
	*slash = '\0';
	if (is_scope(path))
		c->dir = openat(c->mount, path, DIRECTORY);
	else if (is_made(path) && (c->dir = take_made(c, path)) != -1)
		snprintf(c->name, sizeof(c->name), "%s", path);
	return c->dir != -1;
}

/* Is anybody in there or below? */
static bool
populated(int dir)
{
	int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "populated 1") != NULL;
}

static int
put_in(int dir, pid_t pid)
{
	char text[16];

	if (mkdirat(dir, KEEPER, 0755) == -1 && errno != EEXIST)
		return -errno;
	snprintf(text, sizeof(text), "%d", (int)pid);
	return cgroup_put(dir, PROCS, text);
}

/* The first that no other daemon has. */
static void
make(struct cgroups *c)
{
	unsigned i;

	for (i = 0; i < DAEMONS_MAX; i++) {
		if (i == 0)
			snprintf(c->name, sizeof(c->name), MADE);
		else
			snprintf(c->name, sizeof(c->name), MADE "-%u", i);
		if (mkdirat(c->mount, c->name, 0755) == -1 && errno != EEXIST)
			break;
		c->dir = take_made(c, c->name);
		if (c->dir != -1 && !populated(c->dir))
			return;
		if (c->dir == -1 && errno != EWOULDBLOCK)
			break;
		fd_close(&c->dir);
		errno = EBUSY;
	}
	snprintf(c->why, sizeof(c->why), "%s: %s", c->name, strerror(errno));
	c->name[0] = '\0';
}

/* Waits until that process is in a scope; its directory or -1. */
static int
scope_of(const struct cgroups *c, pid_t pid)
{
	siginfo_t end = { .si_pid = 0 };
	char path[PATH_MAX];
	unsigned i;

	for (i = 0; i < SCOPE_TICKS; i++) {
		if (group_of(pid, path, sizeof(path)) && is_scope(path))
			return openat(c->mount, path, DIRECTORY);
		/* Not reaped yet: its number is nobody else's. */
		if (waitid(P_PID, (id_t)pid, &end,
			WEXITED | WNOHANG | WNOWAIT) == -1 ||
		    end.si_pid != 0)
			return -1;
		tick();
	}
	return -1;
}

/* The keeper takes the place of the process that the scope was made with. */
static void
make_scope(struct cgroups *c, pid_t keeper)
{
	pid_t pid;
	int error = -ENOENT;

	if (!scope_available() || (pid = scope_spawn()) < 0)
		return;
	c->dir = scope_of(c, pid);
	if (c->dir != -1)
		error = put_in(c->dir, keeper);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (error == 0)
		return;
	fd_close(&c->dir);
	log_warnx("no scope of the service manager's for guests");
}

void
cgroup_init(struct cgroups *c, const char *mount)
{
	struct statfs fs;

	memset(c, 0, sizeof(*c));
	c->dir = -1;
	c->mount = open(mount, DIRECTORY);
	if (c->mount != -1 && fstatfs(c->mount, &fs) == 0 &&
	    fs.f_type == CGROUP2_SUPER_MAGIC) {
		snprintf(c->why, sizeof(c->why), "there is no keeper");
		return;
	}
	fd_close(&c->mount);
	snprintf(c->why, sizeof(c->why), "no hierarchy of version 2 at %.128s",
	    mount);
	log_info("no control groups: %s", c->why);
}

void
cgroup_keeper(struct cgroups *c, pid_t keeper)
{
	int error;

	if (c->mount == -1 || keeper <= 0)
		return;
	if (c->dir != -1) {
		error = put_in(c->dir, keeper);
		/* It may be gone; there will be another. */
		if (error == 0 || error == -ESRCH)
			return;
	}
	/* A scope ends with its last process. */
	fd_close(&c->dir);
	c->name[0] = '\0';
	if (!find(c, keeper))
		make_scope(c, keeper);
	if (c->dir == -1)
		make(c);
	if (c->dir == -1) {
		log_info("no control groups: %s", c->why);
		return;
	}
	if ((error = put_in(c->dir, keeper)) != 0)
		log_warnx("control group of the keeper: %s", strerror(-error));
	enable(c);
	cgroup_sweep(c);
}

void
cgroup_exit(struct cgroups *c)
{
	if (c->dir != -1)
		cgroup_sweep(c);
	if (c->name[0] != '\0' &&
	    (cgroup_remove(c->dir, KEEPER, false) != 0 ||
		unlinkat(c->mount, c->name, AT_REMOVEDIR) == -1))
		log_warn("control group %s", c->name);
	cgroup_leave(c);
}

void
cgroup_leave(struct cgroups *c)
{
	fd_close(&c->dir);
	fd_close(&c->mount);
}
