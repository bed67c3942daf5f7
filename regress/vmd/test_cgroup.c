/* SPDX-License-Identifier: ISC */
/*
 * Control groups, on whatever hierarchy of version 2 this host has; it need
 * not have controllers.  Root alone can make groups.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "fd.h"

static char mount[256];
static struct cgroups groups = { .mount = -1, .dir = -1 };
static pid_t keeper;
static struct vmconf conf;
static struct chain disk[VM_DISKS_MAX];
static struct fail why;

static void
find_mount(void)
{
	FILE *f = setmntent("/proc/mounts", "re");
	struct mntent *m;

	while (f != NULL && mount[0] == '\0' && (m = getmntent(f)) != NULL) {
		if (strcmp(m->mnt_type, "cgroup2") == 0)
			snprintf(mount, sizeof(mount), "%s", m->mnt_dir);
	}
	if (f != NULL)
		endmntent(f);
}

static pid_t
some_process(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd_close(&groups.dir); /* and its lock, as an exec does */
		pause();
		_exit(1);
	}
	return pid;
}

static void
end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static int
set_up(void **state)
{
	vmconf_init(&conf);
	strcpy(conf.name, "web");
	keeper = some_process();
	cgroup_init(&groups, mount[0] != '\0' ? mount : "/tmp");
	cgroup_keeper(&groups, keeper);
	return 0;
}

static int
tear_down(void **state)
{
	end(keeper);
	cgroup_exit(&groups);
	return 0;
}

static void
need_groups(void)
{
	if (groups.dir == -1)
		skip();
}

static bool
exists(const char *name)
{
	struct stat st;

	return fstatat(groups.dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A process in that group, until it is killed. */
static pid_t
process_in(int group)
{
	int procs, up[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd_close(&groups.dir);
		procs = openat(group, "cgroup.procs", O_WRONLY);
		if (write(procs, "0", 1) == 1 && write(up[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	close(up[0]);
	return pid;
}

static void
test_begin_end(void **state)
{
	int group = -1;
	pid_t pid;

	need_groups();
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	assert_int_not_equal(group, -1);
	assert_true(exists("vm-web"));
	pid = process_in(group);
	fd_close(&group);
	end(pid);
	assert_false(cgroup_end(&groups, &conf));
	assert_false(exists("vm-web"));
	assert_false(cgroup_end(&groups, &conf));
}

/* What the processes of the group used, and of no other. */
static void
test_usage(void **state)
{
	struct cgroup_usage u;
	int group = -1;
	pid_t pid;

	need_groups();
	cgroup_usage(&groups, &conf, getpid(), &u);
	assert_true(u.cpu_us == CGROUP_UNKNOWN && u.memory == CGROUP_UNKNOWN);
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	pid = process_in(group);
	fd_close(&group);
	cgroup_usage(&groups, &conf, pid, &u);
	assert_in_range(u.cpu_us, 1, 60000000);
	/* Not every host has the controller. */
	if (u.memory != CGROUP_UNKNOWN)
		assert_in_range(u.memory, 0, 1 << 30);
	cgroup_usage(&groups, &conf, getpid(), &u);
	assert_true(u.cpu_us == CGROUP_UNKNOWN && u.memory == CGROUP_UNKNOWN);
	end(pid);
	cgroup_end(&groups, &conf);
	cgroup_usage(&groups, &conf, pid, &u);
	assert_true(u.cpu_us == CGROUP_UNKNOWN && u.memory == CGROUP_UNKNOWN);
}

static void
killed(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* Strays are killed, at the end of a VM and before a start. */
static void
test_strays(void **state)
{
	int group = -1;
	pid_t pid;

	need_groups();
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	pid = process_in(group);
	fd_close(&group);
	cgroup_end(&groups, &conf);
	assert_false(exists("vm-web"));
	killed(pid);
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	pid = process_in(group);
	fd_close(&group);
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	killed(pid);
	assert_int_not_equal(group, -1);
	fd_close(&group);
	cgroup_end(&groups, &conf);
	assert_false(exists("vm-web"));
}

static bool
has(const char *file, pid_t pid)
{
	int fd = openat(groups.dir, file, O_RDONLY | O_CLOEXEC);
	char text[4096], want[16];
	ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

	fd_close(&fd);
	text[n > 0 ? n : 0] = '\0';
	snprintf(want, sizeof(want), "%d\n", (int)pid);
	return strstr(text, want) != NULL;
}

/*
 * A daemon that was killed leaves groups: its next life finds them by the
 * keeper, and removes those that are empty.
 */
static void
test_leftovers(void **state)
{
	struct vmconf gone = conf;
	int group[2] = { -1, -1 };
	pid_t pid;

	need_groups();
	assert_true(has("keeper/cgroup.procs", keeper));
	strcpy(gone.name, "gone");
	assert_int_equal(
	    cgroup_begin(&groups, &conf, disk, &group[0], &why), 0);
	pid = process_in(group[0]);
	assert_int_equal(
	    cgroup_begin(&groups, &gone, disk, &group[1], &why), 0);
	fd_close(&group[0]);
	fd_close(&group[1]);
	cgroup_leave(&groups);
	cgroup_init(&groups, mount);
	cgroup_keeper(&groups, keeper);
	assert_int_not_equal(groups.dir, -1);
	assert_true(has("keeper/cgroup.procs", keeper));
	assert_true(has("vm-web/cgroup.procs", pid));
	assert_false(exists("vm-gone"));
	end(pid);
	assert_false(cgroup_end(&groups, &conf));
	assert_false(exists("vm-web"));
}

/* Nobody takes the groups of another one, or of guests without a parent. */
static void
test_others(void **state)
{
	struct cgroups again;
	pid_t other = some_process();
	unsigned i;

	need_groups();
	for (i = 0; i < 2; i++) {
		cgroup_init(&again, mount);
		cgroup_keeper(&again, other);
		assert_int_not_equal(again.dir, -1);
		assert_string_not_equal(again.name, groups.name);
		cgroup_leave(&groups);
		cgroup_init(&groups, mount);
		/* The second time while ours is not locked. */
		if (i == 0)
			cgroup_leave(&again);
		cgroup_keeper(&groups, keeper);
		assert_true(has("keeper/cgroup.procs", keeper));
	}
	end(other);
	cgroup_exit(&again);
}

/* Another keeper is put where the first one was. */
static void
test_next_keeper(void **state)
{
	char name[sizeof(groups.name)];

	need_groups();
	strcpy(name, groups.name);
	end(keeper);
	keeper = some_process();
	cgroup_keeper(&groups, keeper);
	assert_string_equal(groups.name, name);
	assert_true(has("keeper/cgroup.procs", keeper));
}

static void
test_no_hierarchy(void **state)
{
	struct cgroups none;
	int group = 5;

	cgroup_init(&none, "/tmp");
	cgroup_keeper(&none, keeper);
	assert_int_equal(cgroup_begin(&none, &conf, disk, &group, &why), 0);
	assert_int_equal(group, -1);
	assert_false(cgroup_end(&none, &conf));
	conf.quota[VM_Q_CPU] = 50;
	assert_int_equal(
	    cgroup_begin(&none, &conf, disk, &group, &why), -ENOTSUP);
	assert_string_equal(why.text,
	    "limit: no control groups: no hierarchy of version 2 at /tmp");
	cgroup_exit(&none);
}

/* Without a controller what needs it is refused, and nothing is left. */
static void
test_no_controller(void **state)
{
	int group = -1;

	need_groups();
	groups.error[2] = -ENOENT;
	conf.quota[VM_Q_IO_READ] = 1 << 20;
	conf.ndisks = 1;
	disk[0].n = 1;
	disk[0].layer[0].fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_not_equal(
	    cgroup_begin(&groups, &conf, disk, &group, &why), 0);
	assert_int_equal(strncmp(why.text, "limit", 5), 0);
	assert_int_equal(group, -1);
	assert_false(exists("vm-web"));
	fd_close(&disk[0].layer[0].fd);
	disk[0].n = 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_begin_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_usage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_strays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_leftovers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_next_keeper, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_hierarchy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_controller, set_up, tear_down),
	};

	find_mount();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
