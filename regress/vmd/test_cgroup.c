/* SPDX-License-Identifier: ISC */
/*
 * Control groups, on whatever hierarchy of version 2 this host has; it need
 * not have controllers.  Root alone can make groups.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

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
static struct cgroups groups;
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

static int
set_up(void **state)
{
	vmconf_init(&conf);
	strcpy(conf.name, "web");
	cgroup_init(&groups, mount[0] != '\0' ? mount : "/tmp");
	return 0;
}

static int
tear_down(void **state)
{
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

/* A process in the group that procs stands for, until it is killed. */
static pid_t
process_in(int procs)
{
	int up[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
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
end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
test_begin_end(void **state)
{
	int procs = -1;
	pid_t pid;

	need_groups();
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	assert_int_not_equal(procs, -1);
	assert_true(exists("vm-web"));
	pid = process_in(procs);
	fd_close(&procs);
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
	int procs = -1;
	pid_t pid;

	need_groups();
	cgroup_usage(&groups, &conf, getpid(), &u);
	assert_true(u.cpu_us == CGROUP_UNKNOWN && u.memory == CGROUP_UNKNOWN);
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	pid = process_in(procs);
	fd_close(&procs);
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

/* Strays are killed; the next start finds their group gone. */
static void
test_strays(void **state)
{
	int procs = -1, status;
	pid_t pid;

	need_groups();
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	pid = process_in(procs);
	fd_close(&procs);
	cgroup_end(&groups, &conf);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(exists("vm-web"));
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	assert_int_not_equal(procs, -1);
	fd_close(&procs);
	cgroup_end(&groups, &conf);
	assert_false(exists("vm-web"));
}

/* A daemon that was killed leaves groups, which its next life removes. */
static void
test_leftovers(void **state)
{
	struct cgroups again;
	int procs = -1;

	need_groups();
	assert_int_equal(cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	fd_close(&procs);
	/* Another daemon does not touch them. */
	cgroup_init(&again, mount);
	assert_int_not_equal(again.dir, -1);
	assert_string_not_equal(again.name, groups.name);
	cgroup_exit(&again);
	assert_true(exists("vm-web"));
	fd_close(&groups.dir);
	fd_close(&groups.mount);
	cgroup_init(&groups, mount);
	assert_int_not_equal(groups.dir, -1);
	assert_false(exists("vm-web"));
}

static void
test_no_hierarchy(void **state)
{
	struct cgroups none;
	int procs = 5;

	cgroup_init(&none, "/tmp");
	assert_int_equal(cgroup_begin(&none, &conf, disk, &procs, &why), 0);
	assert_int_equal(procs, -1);
	assert_false(cgroup_end(&none, &conf));
	conf.quota[VM_Q_CPU] = 50;
	assert_int_equal(
	    cgroup_begin(&none, &conf, disk, &procs, &why), -ENOTSUP);
	assert_string_equal(why.text,
	    "limit: no control groups: no hierarchy of version 2 at /tmp");
	cgroup_exit(&none);
}

/* Without a controller what needs it is refused, and nothing is left. */
static void
test_no_controller(void **state)
{
	int procs = -1;

	need_groups();
	groups.error[2] = -ENOENT;
	conf.quota[VM_Q_IO_READ] = 1 << 20;
	conf.ndisks = 1;
	disk[0].n = 1;
	disk[0].layer[0].fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_not_equal(
	    cgroup_begin(&groups, &conf, disk, &procs, &why), 0);
	assert_int_equal(strncmp(why.text, "limit", 5), 0);
	assert_int_equal(procs, -1);
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
		cmocka_unit_test_setup_teardown(
		    test_no_hierarchy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_controller, set_up, tear_down),
	};

	find_mount();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
