/* SPDX-License-Identifier: ISC */
/*
 * Snapshots as clients ask for them: files of states, rights, and what is
 * said of what went wrong.  The vm process is a fake that has them or not.
 */
#include "parent_rig.h"

#include <sys/mount.h>
#include <sched.h>

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

/* Files there are of a VM, with such an end. */
static unsigned
files(const char *name, const char *end)
{
	char path[128];
	const struct dirent *e;
	unsigned n = 0;
	size_t len;
	DIR *d;
	char *p;

	snprintf(path, sizeof(path), "/var/lib/vmd/%s", sock + 1);
	for (p = path + strlen("/var/lib/vmd/"); *p != '\0'; p++)
		if (*p == '/')
			*p = '-';
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
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup_own_directory, teardown);
}
