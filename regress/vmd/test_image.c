/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/file.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "image.h"

static char dir[] = "/tmp/test_image.XXXXXX";

static const char *
in_dir(const char *name)
{
	static char path[2][PATH_MAX];
	static unsigned i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static void
make(const char *name, off_t size)
{
	int fd = open(in_dir(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static int
setup(void **state)
{
	assert_non_null(mkdtemp(dir));
	make("disk", 1 << 20);
	make("empty", 0);
	make("odd", 1000);
	assert_int_equal(mkdir(in_dir("dir"), 0700), 0);
	assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
	assert_int_equal(symlink("disk", in_dir("link")), 0);
	assert_int_equal(symlink("dir/../link", in_dir("link2")), 0);
	assert_int_equal(symlink(dir, in_dir("dirlink")), 0);
	assert_int_equal(symlink("loop", in_dir("loop")), 0);
	assert_int_equal(symlink("/etc/passwd", in_dir("planted")), 0);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const names[] = { "disk", "empty", "odd", "fifo",
		"link", "link2", "dirlink", "loop", "planted" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(in_dir(names[i]));
	rmdir(in_dir("dir"));
	return rmdir(dir);
}

static void
test_disks(void **state)
{
	static const struct {
		const char *name, *text; /* NULL: opens */
	} rows[] = {
		{ "disk", NULL },
		{ "./disk", NULL },
		{ "dir/..//disk", NULL },
		{ "link", NULL },
		{ "link2", NULL },
		{ "dirlink/dirlink/disk", NULL },
		{ "none", "No such file" },
		{ "none/disk", "No such file" },
		{ "disk/x", "Not a directory" },
		{ "empty", "file is empty" },
		{ "odd", "not a multiple of 512" },
		{ "dir", "neither a regular file" },
		{ "fifo", "neither a regular file" },
		{ "loop", "Too many levels" },
	};
	struct fail why;
	size_t i;
	int fd;

	if (geteuid() != 0)
		skip(); /* links that are not root's are not followed */
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].name);
		fd = -1;
		if (rows[i].text == NULL) {
			assert_int_equal(image_open_disk(in_dir(rows[i].name),
					     false, true, &fd, &why),
			    0);
			assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
			close(fd);
			continue;
		}
		assert_int_equal(image_open_disk(in_dir(rows[i].name), false,
				     true, &fd, &why),
		    -CTL_E_DISK);
		assert_int_equal(fd, -1);
		assert_non_null(strstr(why.text, rows[i].text));
		assert_non_null(strstr(why.text, rows[i].name));
	}
	assert_int_equal(
	    image_open_disk("/dev/null", false, true, &fd, &why), -CTL_E_DISK);
	assert_int_equal(
	    image_open_disk("disk", false, true, &fd, &why), -CTL_E_DISK);
}

/* CVE-2026-1386's kind: a link that somebody else planted. */
static void
test_planted_link(void **state)
{
	struct fail why;
	int fd = -1;

	if (geteuid() != 0)
		skip();
	assert_int_equal(
	    image_open_file(in_dir("planted"), "kernel", &fd, &why), 0);
	close(fd);
	assert_int_equal(lchown(in_dir("planted"), 4001, 4001), 0);
	fd = -1;
	assert_int_equal(
	    image_open_file(in_dir("planted"), "kernel", &fd, &why), -EPERM);
	assert_non_null(strstr(why.text, "not owned by root"));
	assert_int_equal(
	    image_open_disk(in_dir("planted"), true, true, &fd, &why),
	    -CTL_E_DISK);
	assert_int_equal(fd, -1);
}

/* Who excludes whom: the first holds, the second tries. */
static void
test_locks(void **state)
{
	static const struct {
		bool first_ro, second_ro, ok;
	} rows[] = {
		{ false, false, false },
		{ false, true, false },
		{ true, false, false },
		{ true, true, true },
	};
	struct fail why;
	int a, b;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(image_open_disk(in_dir("disk"),
				     rows[i].first_ro, true, &a, &why),
		    0);
		b = -1;
		assert_int_equal(image_open_disk(in_dir("disk"),
				     rows[i].second_ro, true, &b, &why),
		    rows[i].ok ? 0 : -CTL_E_DISK);
		if (rows[i].ok)
			close(b);
		else
			assert_non_null(strstr(why.text, "locked"));
		close(a);
		/* Free again. */
		assert_int_equal(
		    image_open_disk(in_dir("disk"), false, true, &a, &why), 0);
		close(a);
	}
}

/* Shared locks on single bytes as QEMU takes them, and flock(2). */
static void
test_foreign_locks(void **state)
{
	static const struct {
		const char *who;
		off_t bytes[6];
		bool rw, ro; /* we can open it */
	} rows[] = {
		/* read, write, resize used; write and resize denied */
		{ "qemu writer", { 100, 101, 103, 201, 203 }, false, false },
		{ "qemu reader", { 100, 201, 203 }, false, true },
		{ "qemu-img info", { 100 }, false, true },
		{ "nobody", { 0 }, true, true },
	};
	struct fail why;
	int fd, mine;
	size_t i, j;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].who);
		fd = open(in_dir("disk"), O_RDWR | O_CLOEXEC);
		for (j = 0; rows[i].bytes[j] != 0; j++) {
			struct flock fl = { .l_type = F_RDLCK,
				.l_start = rows[i].bytes[j],
				.l_len = 1 };

			assert_int_equal(fcntl(fd, F_OFD_SETLK, &fl), 0);
		}
		assert_int_equal(image_open_disk(in_dir("disk"), false, true,
				     &mine, &why) == 0,
		    rows[i].rw);
		if (rows[i].rw)
			close(mine);
		assert_int_equal(image_open_disk(in_dir("disk"), true, true,
				     &mine, &why) == 0,
		    rows[i].ro);
		if (rows[i].ro)
			close(mine);
		close(fd);
	}
	fd = open(in_dir("disk"), O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(
	    image_open_disk(in_dir("disk"), false, true, &mine, &why),
	    -CTL_E_DISK);
	close(fd);
}

static void
test_passed_descriptor(void **state)
{
	static const struct {
		const char *name;
		int flags, error;
	} rows[] = {
		{ "disk", O_RDONLY, 0 },
		{ "disk", O_RDWR, 0 },
		{ "disk", O_WRONLY, -EBADF },
		{ "disk", O_PATH, -EBADF },
		{ "dir", O_RDONLY | O_DIRECTORY, -EINVAL },
		{ "fifo", O_RDWR, -EINVAL },
	};
	struct fail why;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = open(in_dir(rows[i].name), rows[i].flags | O_CLOEXEC);
		assert_int_not_equal(fd, -1);
		assert_int_equal(
		    image_check_fd(fd, "kernel", &why), rows[i].error);
		close(fd);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_planted_link),
		cmocka_unit_test(test_locks),
		cmocka_unit_test(test_foreign_locks),
		cmocka_unit_test(test_passed_descriptor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
