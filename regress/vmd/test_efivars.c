/* SPDX-License-Identifier: ISC */
/*
 * The file with a VM's variables: opened, made from what lies beside the
 * firmware, refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "efivars.h"

static char dir[] = "/tmp/test_efivars.XXXXXX";
static const char *const names[] = { "CODE.fd", "VARS.fd", "X_CODE.sec.fd",
	"none_CODE.fd", "old", "new", "link", "planted", "open" };

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
make(const char *name, const char *text)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int
setup(void **state)
{
	assert_non_null(mkdtemp(dir));
	make("CODE.fd", "firmware");
	make("VARS.fd", "template");
	make("old", "variables");
	assert_int_equal(mkdir(in_dir("dir"), 0700), 0);
	assert_int_equal(symlink("dir/gone", in_dir("link")), 0);
	return 0;
}

static int
teardown(void **state)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(in_dir(names[i]));
	rmdir(in_dir("dir"));
	return rmdir(dir);
}

static void
contains(int fd, const char *text)
{
	char buf[64] = "";

	assert_int_equal(
	    pread(fd, buf, sizeof(buf) - 1, 0), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

static void
test_there(void **state)
{
	struct fail why;
	int fd = -1, second = -1;

	assert_int_equal(
	    efivars_open(in_dir("old"), in_dir("CODE.fd"), &fd, &why), 0);
	contains(fd, "variables");
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	assert_int_equal(pwrite(fd, "V", 1, 0), 1);
	/* For one VM at a time. */
	assert_int_equal(
	    efivars_open(in_dir("old"), in_dir("CODE.fd"), &second, &why),
	    -EAGAIN);
	assert_non_null(strstr(why.text, "old: locked by another process"));
	assert_int_equal(second, -1);
	close(fd);
	assert_int_equal(
	    efivars_open(in_dir("old"), in_dir("CODE.fd"), &second, &why), 0);
	contains(second, "Variables");
	close(second);
}

static void
test_made(void **state)
{
	struct fail why;
	struct stat st;
	int fd = -1;

	assert_int_equal(
	    efivars_open(in_dir("new"), in_dir("CODE.fd"), &fd, &why), 0);
	contains(fd, "template");
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(pwrite(fd, "T", 1, 0), 1);
	close(fd);
	/* Once. */
	assert_int_equal(
	    efivars_open(in_dir("new"), in_dir("CODE.fd"), &fd, &why), 0);
	contains(fd, "Template");
	close(fd);
	fd = open(in_dir("VARS.fd"), O_RDONLY | O_CLOEXEC);
	contains(fd, "template");
	close(fd);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *path, *firmware;
		int error;
		const char *text;
	} rows[] = {
		{ "gone", "bios.bin", -ENOENT, "and no template for" },
		{ "gone", "none_CODE.fd", -ENOENT, "none_VARS.fd: No such" },
		{ "gone", "X_CODE.sec.fd", -ENOENT, "X_VARS.sec.fd: No such" },
		{ "no/new", "CODE.fd", -ENOENT, "cannot be made: No such" },
		{ "dir", "CODE.fd", -EISDIR, "not a regular file" },
		{ "old/new", "CODE.fd", -ENOTDIR, "Not a directory" },
	};
	struct fail why;
	int fd = -1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(efivars_open(in_dir(rows[i].path),
				     in_dir(rows[i].firmware), &fd, &why),
		    rows[i].error);
		if (strstr(why.text, rows[i].text) == NULL)
			fail_msg("%s, not %s", why.text, rows[i].text);
		assert_int_equal(fd, -1);
		assert_int_equal(access(in_dir("gone"), F_OK), -1);
	}
}

/* Whoever owns the directory cannot lead us elsewhere. */
static void
test_links(void **state)
{
	struct fail why;
	int fd = -1;

	if (geteuid() != 0)
		skip();
	/* Root's own, to nothing: what it means is not made. */
	assert_int_equal(
	    efivars_open(in_dir("link"), in_dir("CODE.fd"), &fd, &why),
	    -EEXIST);
	assert_int_equal(symlink("/etc/passwd", in_dir("planted")), 0);
	assert_int_equal(lchown(in_dir("planted"), 1000, 1000), 0);
	assert_int_equal(
	    efivars_open(in_dir("planted"), in_dir("CODE.fd"), &fd, &why),
	    -EPERM);
	assert_non_null(strstr(why.text, "symbolic link not owned by root"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there),
		cmocka_unit_test(test_made),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_links),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
