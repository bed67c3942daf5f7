/* SPDX-License-Identifier: ISC */
/*
 * The groups of VMs: see cgroup.h.  A VM without limits starts, whatever is
 * wrong here.
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup_impl.h"
#include "fd.h"
#include "log.h"

#define PERIOD_US 100000U /* of cpu.max, the kernel's default */

const char *const cgroup_controllers[CGROUP_CONTROLLERS] = {
	[CPU] = "cpu",
	[MEMORY] = "memory",
	[IO] = "io",
};

static void
group_name(
    const struct vmconf *conf, char name[sizeof(PREFIX_VM) + VM_NAME_MAX])
{
	snprintf(
	    name, sizeof(PREFIX_VM) + VM_NAME_MAX, PREFIX_VM "%s", conf->name);
}

/* One that is there is that of a VM that is gone. */
static int
make_group(const struct cgroups *c, const char *name)
{
	int error;

	if (mkdirat(c->dir, name, 0755) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if ((error = cgroup_remove(c->dir, name, true)) != 0)
		return error;
	return mkdirat(c->dir, name, 0755) == 0 ? 0 : -errno;
}

static int
set(const struct cgroups *c, int dir, enum cgroup_controller which,
    const char *file, const char *text, struct fail *why)
{
	int error = c->error[which];

	if (error != 0)
		return fail_set(why, -error,
		    "limit: no controller \"%s\" for control groups: %s",
		    cgroup_controllers[which], strerror(-error));
	if ((error = cgroup_put(dir, file, text)) == 0)
		return 0;
	return fail_set(
	    why, -error, "limit: %s: %s: %s", file, text, strerror(-error));
}

static int
set_number(const struct cgroups *c, int dir, enum cgroup_controller which,
    const char *file, uint64_t value, struct fail *why)
{
	char text[32];

	if (value == 0)
		return 0;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return set(c, dir, which, file, text, why);
}

static int
set_cpu(const struct cgroups *c, int dir, uint64_t percent, struct fail *why)
{
	char text[48];

	if (percent == 0)
		return 0;
	snprintf(text, sizeof(text), "%llu %u",
	    (unsigned long long)percent * (PERIOD_US / 100), PERIOD_US);
	return set(c, dir, CPU, "cpu.max", text, why);
}

/* A VM without some of its processes is of no use: all of them or none. */
static int
set_memory(const struct cgroups *c, int dir, uint64_t bytes, struct fail *why)
{
	int error = set_number(c, dir, MEMORY, "memory.max", bytes, why);

	if (error == 0 && bytes != 0)
		error = set(c, dir, MEMORY, "memory.oom.group", "1", why);
	return error;
}

/* The whole disk that a partition is on, or the device itself; "M:m". */
static int
whole_device(dev_t dev, char *name, size_t len)
{
	char path[64];
	FILE *f;
	int error = 0;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition",
	    major(dev), minor(dev));
	snprintf(name, len, "%u:%u", major(dev), minor(dev));
	if (access(path, F_OK) == -1)
		return errno == ENOENT ? 0 : -errno;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(dev),
	    minor(dev));
	if ((f = fopen(path, "re")) == NULL)
		return -errno;
	if (fgets(name, (int)len, f) == NULL)
		error = -EIO;
	name[strcspn(name, "\n")] = '\0';
	fclose(f);
	return error;
}

static void
print_rate(char *text, size_t len, uint64_t rate)
{
	if (rate == 0)
		snprintf(text, len, "max");
	else
		snprintf(text, len, "%llu", (unsigned long long)rate);
}

static int
set_device(const struct cgroups *c, int dir, const struct vmconf *conf,
    int image, struct fail *why)
{
	char text[128], name[32], rate[2][24];
	struct stat st;
	dev_t dev;
	int error;

	if (fstat(image, &st) == -1)
		return fail_set(why, errno, "limit: %s", strerror(errno));
	dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	/* File systems on several devices or on none have major number 0. */
	if (major(dev) == 0)
		return fail_set(why, ENOTBLK,
		    "limit io: an image is not on a block device");
	if ((error = whole_device(dev, name, sizeof(name))) != 0)
		return fail_set(why, -error, "limit io: device %s: %s", name,
		    strerror(-error));
	print_rate(rate[0], sizeof(rate[0]), conf->quota[VM_Q_IO_READ]);
	print_rate(rate[1], sizeof(rate[1]), conf->quota[VM_Q_IO_WRITE]);
	snprintf(
	    text, sizeof(text), "%s rbps=%s wbps=%s", name, rate[0], rate[1]);
	return set(c, dir, IO, "io.max", text, why);
}

static int
set_io(const struct cgroups *c, int dir, const struct vmconf *conf,
    const struct chain disk[VM_DISKS_MAX], struct fail *why)
{
	unsigned i, k;
	int error = 0;

	if (conf->quota[VM_Q_IO_READ] == 0 && conf->quota[VM_Q_IO_WRITE] == 0)
		return 0;
	for (i = 0; i < conf->ndisks; i++) {
		for (k = 0; k < disk[i].n && error == 0; k++)
			error =
			    set_device(c, dir, conf, disk[i].layer[k].fd, why);
	}
	return error;
}

static int
begin(struct cgroups *c, const struct vmconf *conf,
    const struct chain disk[VM_DISKS_MAX], int *group, struct fail *why)
{
	char name[sizeof(PREFIX_VM) + VM_NAME_MAX];
	int dir, error;

	if (c->dir == -1)
		return fail_set(
		    why, ENOTSUP, "limit: no control groups: %s", c->why);
	cgroup_sweep(c);
	group_name(conf, name);
	if ((error = make_group(c, name)) != 0)
		return fail_set(why, -error, "control group %s: %s", name,
		    strerror(-error));
	if ((dir = openat(c->dir, name, DIRECTORY)) == -1)
		error = fail_set(
		    why, errno, "control group %s: %s", name, strerror(errno));
	if (error == 0)
		error = set_cpu(c, dir, conf->quota[VM_Q_CPU], why);
	if (error == 0)
		error = set_number(c, dir, CPU, "cpu.weight",
		    conf->quota[VM_Q_CPU_WEIGHT], why);
	if (error == 0)
		error = set_memory(c, dir, conf->quota[VM_Q_MEMORY], why);
	if (error == 0)
		error = set_io(c, dir, conf, disk, why);
	if (error == 0)
		*group = fd_take(&dir);
	else
		unlinkat(c->dir, name, AT_REMOVEDIR);
	fd_close(&dir);
	return error;
}

int
cgroup_begin(struct cgroups *c, const struct vmconf *conf,
    const struct chain disk[VM_DISKS_MAX], int *group, struct fail *why)
{
	int error = begin(c, conf, disk, group, why);

	if (error == 0)
		return 0;
	*group = -1;
	if (vmconf_limited(conf))
		return error;
	if (c->dir != -1)
		log_warnx("%s: %s", conf->name, why->text);
	return 0;
}

/* "oom_kill N" of memory.events. */
static bool
out_of_memory(int dir)
{
	int fd = openat(dir, "memory.events", O_RDONLY | O_CLOEXEC);
	char text[512], *p;
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strstr(text, "\noom_kill ");
	return p != NULL && p[sizeof("\noom_kill ") - 1] != '0';
}

bool
cgroup_end(struct cgroups *c, const struct vmconf *conf)
{
	char name[sizeof(PREFIX_VM) + VM_NAME_MAX];
	int dir, error;
	bool oom;

	group_name(conf, name);
	if (c->dir == -1 || (dir = openat(c->dir, name, DIRECTORY)) == -1)
		return false;
	oom = out_of_memory(dir);
	close(dir);
	if ((error = cgroup_remove(c->dir, name, true)) != 0)
		log_warnx("control group %s: %s", name, strerror(-error));
	return oom;
}

/* The group that a process is in may be that of another VM of this name. */
static bool
is_in(pid_t pid, const char *name)
{
	char path[64], line[PATH_MAX];
	bool found = false;
	const char *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		found = strncmp(line, "0::/", 4) == 0 &&
		    (p = strrchr(line, '/')) != NULL &&
		    strcmp(p + 1, name) == 0;
	}
	fclose(f);
	return found;
}

/* The sum of those values of a file with lines "key value" that have a name. */
static uint64_t
sum_of(int dir, const char *file, const char *const keys[])
{
	int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *f = fd == -1 ? NULL : fdopen(fd, "re");
	uint64_t value, sum = 0;
	char key[64];
	unsigned i, found = 0;

	if (f == NULL) {
		fd_close(&fd);
		return CGROUP_UNKNOWN;
	}
	while (fscanf(f, "%63s %" SCNu64, key, &value) == 2) {
		for (i = 0; keys[i] != NULL; i++) {
			if (strcmp(key, keys[i]) == 0) {
				sum += value;
				found++;
			}
		}
	}
	fclose(f);
	return found > 0 ? sum : CGROUP_UNKNOWN;
}

void
cgroup_usage(const struct cgroups *c, const struct vmconf *conf, pid_t pid,
    struct cgroup_usage *u)
{
	static const char *const cpu[] = { "usage_usec", NULL };
	/* Guest RAM is a memfd: shmem. */
	static const char *const memory[] = { "anon", "shmem", NULL };
	char name[sizeof(PREFIX_VM) + VM_NAME_MAX];
	int dir;

	u->cpu_us = u->memory = CGROUP_UNKNOWN;
	group_name(conf, name);
	if (c->dir == -1 || !is_in(pid, name) ||
	    (dir = openat(c->dir, name, DIRECTORY)) == -1)
		return;
	u->cpu_us = sum_of(dir, "cpu.stat", cpu);
	u->memory = sum_of(dir, "memory.stat", memory);
	close(dir);
}
