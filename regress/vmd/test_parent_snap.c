/* SPDX-License-Identifier: ISC */
/*
 * Snapshots as clients ask for them: files of states, rights, and what is
 * said of what went wrong.  The vm process is a fake that has them or not.
 */
#include "parent_rig.h"

#include <sys/mount.h>
#include <sched.h>

#include "imglock.h"
#include "qcow2_check.h"
#include "qcow2_create.h"
#include "qcow2_snap.h"

static struct ibuf *
snap(const char *name, uint32_t what, const char *tag)
{
	struct ibuf *body = target(name, (int)what);

	ctl_put_str(body, tag);
	return body;
}

static struct ibuf *
revert(const char *name, const char *tag)
{
	struct ibuf *body = target(name, -1);

	ctl_put_str(body, tag);
	return body;
}

/* Of the states. */
static void
directory(char path[128])
{
	char *p;

	snprintf(path, 128, "/var/lib/vmd/%s", sock + 1);
	for (p = path + strlen("/var/lib/vmd/"); *p != '\0'; p++)
		if (*p == '/')
			*p = '-';
}

/* Files there are of a VM, with such an end. */
static unsigned
files(const char *name, const char *end)
{
	char path[128];
	const struct dirent *e;
	unsigned n = 0;
	size_t len;
	DIR *d;

	directory(path);
	if ((d = opendir(path)) == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		len = strlen(e->d_name);
		n += strncmp(e->d_name, name, strlen(name)) == 0 &&
		    len > strlen(end) &&
		    strcmp(e->d_name + len - strlen(end), end) == 0;
	}
	closedir(d);
	return n;
}

/* Of the parent. */
static unsigned
descriptors(void)
{
	char path[32];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)vmd);
	d = opendir(path);
	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
lists(const char *name, const char *want)
{
	struct session s;

	hello(&s);
	assert_int_equal(ask(&s, CTL_SNAPSHOTS, target(name, -1)), 0);
	assert_string_equal(s.lines, want);
	bye(&s);
}

static void
test_life_of_one(void **state)
{
	unsigned n;

	NEED_VMD();
	assert_int_equal(once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CREATE, "a")),
	    CTL_E_NOTRUNNING);
	lists("hers", "");
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CHECK, "a")), ENOENT);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CREATE, "a")), 0);
	lists("hers", "a\n");
	lists("theirs", "");
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CREATE, "a")), EEXIST);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CHECK, "a")), 0);
	assert_int_equal(files("hers,", ".snapshot"), 1);
	assert_int_equal(files("hers,", ".new"), 0);
	/* Nothing is left of this one. */
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CREATE, "full")), ENOSPC);
	lists("hers", "a\n");
	assert_int_equal(files("hers,", ".new"), 0);
	n = descriptors();
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_DELETE, "full")), ENOSPC);
	assert_int_equal(descriptors(), n);
	/* It runs. */
	assert_int_equal(once(CTL_REVERT, revert("hers", "a")), EALREADY);
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("hers", CTL_ST_STOPPED);
	assert_int_equal(once(CTL_REVERT, revert("hers", "b")), ENOENT);
	assert_int_equal(once(CTL_REVERT, revert("hers", "../a")), EINVAL);
	assert_int_equal(state_of("hers"), CTL_ST_STOPPED);
	assert_int_equal(once(CTL_REVERT, revert("hers", "a")), 0);
	assert_int_equal(state_of("hers"), CTL_ST_RUNNING);
	/* The state stays. */
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("hers", CTL_SNAP_DELETE, "a")), 0);
	assert_int_equal(files("hers,", ".snapshot"), 0);
	/* A start is no revert. */
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("hers", CTL_ST_STOPPED);
	assert_int_equal(once(CTL_START, target("hers", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("hers", CTL_ST_STOPPED);
}

/* One half is gone: it can be deleted once. */
static void
test_halves(void **state)
{
	static const char *const bad[] = { "", "1", "a/b", ".a", "a,b", "-a",
		"a b" };
	size_t i;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("twice", CTL_SNAP_CREATE, "lost")), 0);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("twice", CTL_SNAP_DELETE, "lost")), 0);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("twice", CTL_SNAP_DELETE, "lost")), ENOENT);
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("twice", CTL_SNAP_DELETE, "disks")), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(
		    once(CTL_SNAPSHOT, snap("twice", CTL_SNAP_CREATE, bad[i])),
		    EINVAL);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
}

static void
alice(void)
{
	WANT(CTL_START, target("hers", -1), 0);
	WANT(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CREATE, "mine"), 0);
	WANT(CTL_SNAPSHOTS, target("hers", -1), 0);
	WANT(CTL_SNAPSHOTS, target("theirs", -1), EPERM);
	WANT(CTL_SNAPSHOT, snap("theirs", CTL_SNAP_CREATE, "mine"), EPERM);
	WANT(CTL_REVERT, revert("theirs", "mine"), EPERM);
}

static void
eve(void)
{
	WANT(CTL_SNAPSHOT, snap("hers", CTL_SNAP_DELETE, "mine"), EPERM);
	WANT(CTL_SNAPSHOT, snap("hers", CTL_SNAP_CHECK, "mine"), EPERM);
	WANT(CTL_SNAPSHOTS, target("hers", -1), EPERM);
	WANT(CTL_REVERT, revert("hers", "mine"), EPERM);
}

static void
test_rights(void **state)
{
	NEED_VMD();
	as_user(ALICE, ALICE, alice);
	as_user(EVE, EVE, eve);
	lists("hers", "mine\n");
	assert_int_equal(once(CTL_STOP, target("hers", 1)), 0);
	becomes("hers", CTL_ST_STOPPED);
}

/* Of a VM that is stopped: real images, and the process that changes them. */

#define STOPPED                                                        \
	"vm disks {\n\tboot $k\n\tmemory 64M\n\towner 4001\n"          \
	"\tdisk \"%s/0.qcow2\"\n\tdisk \"%s/1.qcow2\"\n"               \
	"\tdisk \"%s/2.img\"\n\tdisk \"%s/3.qcow2\" readonly\n"        \
	"\tdisable\n}\n"                                               \
	"vm stuck {\n\tboot $k\n\tmemory 64M\n\tdisk \"%s/4.qcow2\"\n" \
	"\tdisable\n}\n"
#define IMAGES 5

static const char *
image(unsigned i, char path[80])
{
	snprintf(path, 80, "%s/%u.%s", dir, i, i == 2 ? "img" : "qcow2");
	return path;
}

static int
open_image(unsigned i, int flags)
{
	char path[80];
	int fd = open(image(i, path), flags | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	return fd;
}

static void
make_image(unsigned i)
{
	const struct qcow2_new n = { .size = 1 << 20 };
	int fd = open_image(i, O_RDWR | O_CREAT | O_TRUNC);

	if (i == 2)
		assert_int_equal(ftruncate(fd, 1 << 20), 0);
	else
		assert_int_equal(qcow2_create(fd, &n, NULL), 0);
	close(fd);
}

static void
snap_image(unsigned i, const char *tag)
{
	const struct timespec when = { 1000000000, 0 };
	int fd = open_image(i, O_RDWR);
	struct qcow2_snap *s;

	assert_int_equal(
	    qcow2_snap_prepare(&s, fd, QCOW2_SNAP_CREATE, tag, when, NULL), 0);
	assert_int_equal(qcow2_snap_commit(s, NULL), 0);
	close(fd);
}

static int
is_named(void *arg, const struct qcow2_snap_info *i)
{
	return strcmp(i->name, arg) == 0;
}

/* And all of the image is as it should be. */
static bool
has(unsigned i, char *tag)
{
	int there, fd = open_image(i, O_RDONLY);
	struct qcow2_report r;
	struct qcow2_header h;
	struct qcow2_check c = { .fd = fd, .h = &h };

	assert_int_equal(qcow2_header_read(fd, &h, NULL), 0);
	assert_int_equal(qcow2_check(&c, &r, NULL), 0);
	assert_int_equal(r.corruptions + r.leaks, 0);
	there = qcow2_snap_list(fd, &h, is_named, tag, NULL);
	close(fd);
	return there == 1;
}

static void
make_state(const char *name, const char *end)
{
	char path[128];
	int fd;

	directory(path);
	(void)mkdir("/var/lib/vmd", 0700);
	(void)mkdir(path, 0700);
	strlcat(path, "/", sizeof(path));
	strlcat(path, name, sizeof(path));
	strlcat(path, end, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	close(fd);
}

static void
make_stopped(void)
{
	char conf[1024];
	unsigned i;

	for (i = 0; i < IMAGES; i++)
		make_image(i);
	snprintf(conf, sizeof(conf), STOPPED, dir, dir, dir, dir, dir);
	write_conf(conf);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	assert_int_equal(state_of("disks"), CTL_ST_STOPPED);
}

static void
forget_stopped(void)
{
	char path[80];
	unsigned i;

	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	for (i = 0; i < IMAGES; i++)
		unlink(image(i, path));
}

/* 0, or with what is said. */
static void
deletes(const char *name, const char *tag, int code, const char *text)
{
	struct session s;

	hello(&s);
	assert_int_equal(
	    ask(&s, CTL_SNAPSHOT, snap(name, CTL_SNAP_DELETE, tag)), code);
	if (code != 0 && strstr(s.text, text) == NULL)
		fail_msg("\"%s\", not: \"%s\"", s.text, text);
	bye(&s);
}

static void
alice_deletes(void)
{
	WANT(CTL_SNAPSHOT, snap("disks", CTL_SNAP_DELETE, "a"), 0);
	WANT(CTL_SNAPSHOT, snap("stuck", CTL_SNAP_DELETE, "a"), EPERM);
}

static void
eve_deletes(void)
{
	WANT(CTL_SNAPSHOT, snap("disks", CTL_SNAP_DELETE, "a"), EPERM);
}

static void
test_stopped(void **state)
{
	char b[] = "b", a[] = "a";
	unsigned i, n;

	NEED_VMD();
	make_stopped();
	n = descriptors();
	for (i = 0; i < IMAGES; i++) {
		if (i == 2)
			continue;
		snap_image(i, "a");
		snap_image(i, "b");
	}
	make_state("disks,a", ".snapshot");
	make_state("disks,b", ".snapshot");
	make_state("disks,c", ".new");
	assert_int_equal(files("disks,", ".snapshot"), 2);
	as_user(EVE, EVE, eve_deletes);
	assert_true(has(0, a));
	as_user(ALICE, ALICE, alice_deletes);
	lists("disks", "b\n");
	assert_int_equal(files("disks,c", ".new"), 0);
	assert_false(has(0, a));
	assert_false(has(1, a));
	assert_true(has(0, b));
	assert_true(has(1, b));
	/* What it can only read is not its own. */
	assert_true(has(3, a));
	deletes("disks", "a", ENOENT, "vm \"disks\" has no snapshot \"a\"");
	deletes("disks", "../a", EINVAL, "invalid name for a snapshot");
	assert_int_equal(
	    once(CTL_SNAPSHOT, snap("disks", CTL_SNAP_CREATE, "b")),
	    CTL_E_NOTRUNNING);
	assert_int_equal(state_of("disks"), CTL_ST_STOPPED);
	assert_int_equal(descriptors(), n);
	deletes("disks", "b", 0, NULL);
	assert_false(has(0, b));
	assert_int_equal(files("disks,", ""), 0);
	forget_stopped();
}

/* What a crash leaves: a disk's, a state, of a VM without any disk. */
static void
test_stopped_halves(void **state)
{
	char a[] = "a";

	NEED_VMD();
	make_stopped();
	snap_image(1, "a");
	deletes("disks", "a", 0, NULL);
	assert_false(has(1, a));
	make_state("disks,a", ".snapshot");
	deletes("disks", "a", 0, NULL);
	lists("disks", "");
	deletes("twice", "a", ENOENT, "has no snapshot \"a\"");
	make_state("twice,a", ".snapshot");
	deletes("twice", "a", 0, NULL);
	lists("twice", "");
	forget_stopped();
}

/* Nothing is changed unless everything can be. */
static void
test_stopped_that_fails(void **state)
{
	char path[80], other[80], a[] = "a";
	int fd;

	NEED_VMD();
	make_stopped();
	snap_image(0, "a");
	snap_image(1, "a");
	make_state("disks,a", ".snapshot");
	fd = open_image(1, O_RDWR);
	assert_int_equal(imglock(fd, false), 0);
	deletes(
	    "disks", "a", CTL_E_DISK, "/1.qcow2: locked by another process");
	close(fd);
	snprintf(other, sizeof(other), "%s/other", dir);
	assert_int_equal(rename(image(1, path), other), 0);
	deletes("disks", "a", CTL_E_DISK, "/1.qcow2: No such file");
	assert_int_equal(rename(other, path), 0);
	/* Its table of snapshots is beyond its end: for the process to see. */
	fd = open_image(1, O_RDWR);
	assert_int_equal(pwrite(fd, "\x7f\0\0\0\0\0\0", 8, 64), 8);
	close(fd);
	deletes("disks", "a", EINVAL, "vm \"disks\": snapshot \"a\": disk ");
	assert_true(has(0, a));
	lists("disks", "a\n");
	make_image(1);
	deletes("disks", "a", 0, NULL);
	assert_false(has(0, a));
	forget_stopped();
}

static pid_t
snap_pid(void)
{
	pid_t pid = 0;
	int i;

	for (i = 0; i < WAIT_MS / 10 && (pid = role_pid("stuck/snap")) == 0;
	     i++)
		usleep(10000);
	assert_int_not_equal(pid, 0);
	return pid;
}

/* A process that does not come to an end, and is killed. */
static void
test_stopped_meanwhile(void **state)
{
	struct session s;

	NEED_VMD();
	make_stopped();
	make_state("stuck,a", ".snapshot");
	hello(&s);
	post(&s, CTL_SNAPSHOT, -1, snap("stuck", CTL_SNAP_DELETE, "a"));
	snap_pid();
	assert_int_equal(once(CTL_START, target("stuck", -1)), EBUSY);
	assert_int_equal(once(CTL_REVERT, revert("stuck", "a")), EBUSY);
	deletes("stuck", "b", EBUSY, "is being deleted");
	deletes("disks", "b", ENOENT, "has no snapshot");
	kill(snap_pid(), SIGKILL);
	assert_int_equal(answer(&s), EIO);
	assert_non_null(strstr(s.text, "killed by signal 9"));
	bye(&s);
	lists("stuck", "a\n");
	assert_int_equal(once(CTL_START, target("stuck", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("stuck", 1)), 0);
	becomes("stuck", CTL_ST_STOPPED);
	/* It is forgotten meanwhile, and so is who asked. */
	hello(&s);
	post(&s, CTL_SNAPSHOT, -1, snap("stuck", CTL_SNAP_DELETE, "a"));
	snap_pid();
	bye(&s);
	forget_stopped();
	assert_int_equal(state_of("stuck"), -1);
	kill(snap_pid(), SIGKILL);
	while (role_pid("stuck/snap") != 0)
		usleep(10000);
	assert_int_equal(state_of("hers"), CTL_ST_STOPPED);
	assert_int_equal(files("stuck,", ".snapshot"), 1);
}

/* What it keeps there is gone with us. */
static int
setup_own_directory(void **state)
{
	if (can_run() &&
	    (unshare(CLONE_NEWNS) == -1 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
		mount("tmpfs", "/var/lib", "tmpfs", 0, "mode=755") == -1))
		return -1;
	return setup(state);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_life_of_one),
		T(test_halves),
		T(test_rights),
		T(test_stopped),
		T(test_stopped_halves),
		T(test_stopped_that_fails),
		T(test_stopped_meanwhile),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup_own_directory, teardown);
}
