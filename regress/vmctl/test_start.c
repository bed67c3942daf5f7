/* SPDX-License-Identifier: ISC */
/*
 * vmctl start: what is sent for which options, and every bad input that
 * vmctl can see itself.
 */
#include <errno.h>

#include "fakevmd.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

struct files {
	struct fake fake;
	char cwd[256];
};

/* Files in a directory that is the current one: names are relative. */
static int
setup(void **state)
{
	struct files *s = calloc(1, sizeof(*s));
	int fd;

	assert_non_null(s);
	assert_non_null(getcwd(s->cwd, sizeof(s->cwd)));
	fake_init(&s->fake);
	assert_int_equal(chdir(s->fake.dir), 0);
	fd = open("kernel", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "KERN", 4), 4);
	close(fd);
	fd = open("initrd", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "INIT", 4), 4);
	close(fd);
	close(open("empty", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(mkdir("dir", 0700), 0);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct files *s = *state;

	unlink("kernel");
	unlink("initrd");
	unlink("empty");
	unlink("fifo");
	rmdir("dir");
	assert_int_equal(chdir(s->cwd), 0);
	fake_done(&s->fake);
	free(s);
	return 0;
}

static void
test_configured(void **state)
{
	static const struct {
		const char *args[4], *script, *requests, *err;
		int status;
	} rows[] = {
		{ { "start", "web" }, "ok:3:/dev/pts/7", "START 0 web\n",
		    "vmctl: started vm 3 successfully, tty /dev/pts/7\n", 0 },
		{ { "start", "7" }, "ok:7:", "START 7 \n",
		    "vmctl: started vm 7 successfully\n", 0 },
		{ { "start", "web" }, "ok:3:\033[2J", "START 0 web\n",
		    "vmctl: started vm 3 successfully, tty ?[2J\n", 0 },
		{ { "start", "web" }, "fail:114:", "START 0 web\n",
		    "vmctl: start vm command failed: "
		    "Operation already in progress\n",
		    1 },
		{ { "start", "-q", "web" }, "fail:114:", "START 0 web\n", "",
		    0 },
		{ { "start", "-q", "web" }, "fail:12:", "START 0 web\n",
		    "vmctl: start vm command failed: Cannot allocate memory\n",
		    1 },
		{ { "start", "-qc", "web" },
		    "fail:114: | vm:3:web:9:/dev/zero: ok:0:",
		    "START 0 web\nLIST\n",
		    "vmctl: /dev/zero: Inappropriate ioctl for device\n", 1 },
		{ { "start", "web" }, "fail:1:", "START 0 web\n",
		    "vmctl: start vm command failed: "
		    "Operation not permitted\n",
		    1 },
		{ { "start", "web" }, "fail:12:memory_of_9G:_too_much",
		    "START 0 web\n",
		    "vmctl: start vm command failed: memory of 9G: too much\n",
		    1 },
		{ { "start", "web" }, "fail:1001:", "START 0 web\n",
		    "vmctl: vmm bios firmware file not found.\n", 1 },
		{ { "start", "web" }, "fail:1002:", "START 0 web\n",
		    "vmctl: could not open disk image(s)\n", 1 },
		{ { "start", "web" }, "fail:1002:/d:_in_use", "START 0 web\n",
		    "vmctl: could not open disk image(s): /d: in use\n", 1 },
		{ { "start", "web" }, "", "START 0 web\n",
		    "vmctl: vmd closed the connection\n", 1 },
		{ { "start", "web" }, "ok:0:", "START 0 web\n",
		    "vmctl: vmd closed the connection\n", 1 },
		{ { "start", "-c", "web" }, "ok:3:", "START 0 web\n",
		    "vmctl: started vm 3 successfully\n"
		    "vmctl: console not found\n",
		    1 },
		/* A hostile vmd names something that is no pseudo terminal. */
		{ { "start", "-c", "web" }, "ok:3:/dev/zero", "START 0 web\n",
		    "vmctl: started vm 3 successfully, tty /dev/zero\n"
		    "vmctl: /dev/zero: Inappropriate ioctl for device\n",
		    1 },
		{ { "start", "-c", "web" }, "ok:3:/dev/pts/../zero",
		    "START 0 web\n",
		    "vmctl: started vm 3 successfully, "
		    "tty /dev/pts/../zero\n"
		    "vmctl: /dev/pts/../zero: "
		    "Inappropriate ioctl for device\n",
		    1 },
		{ { "start", "-c", "web" }, "ok:3:/dev/pts/9999999999",
		    "START 0 web\n",
		    "vmctl: started vm 3 successfully, "
		    "tty /dev/pts/9999999999\n"
		    "vmctl: /dev/pts/9999999999: No such file or directory\n",
		    1 },
	};
	struct files *s = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(&s->fake, rows[i].args, rows[i].script);
		assert_string_equal(s->fake.err, rows[i].err);
		assert_string_equal(s->fake.requests, rows[i].requests);
		assert_string_equal(s->fake.out, "");
		assert_int_equal(s->fake.status, rows[i].status);
	}
}

static void
test_adhoc(void **state)
{
	/* "%s" is the directory. */
	static const struct {
		const char *args[FAKE_ARGS], *requests, *err;
	} rows[] = {
		{ { "start", "-b", "kernel", "web" },
		    "START_KERNEL KERN\n"
		    "START_ADHOC web flags=2 m=512 p=1 k=%s/kernel i= a=\n",
		    "vmctl: starting without disks\n"
		    "vmctl: starting without network interfaces\n" },
		{ { "start", "-b", "kernel", "-I", "initrd", "-a", "quiet x=1",
		      "-m", "128M", "-p", "64", "-d", "raw:d0", "-d", "/d1",
		      "web" },
		    "START_KERNEL KERN\nSTART_INITRD INIT\n"
		    "START_ADHOC web flags=2 m=128 p=64 k=%s/kernel "
		    "i=%s/initrd a=quiet x=1 d=%s/d0 d=/d1\n",
		    "vmctl: starting without network interfaces\n" },
		{ { "start", "-B", "disk", "-d", "/d", "-L", "web" },
		    "START_ADHOC web flags=2 m=512 p=1 k= i= a= d=/d "
		    "n1= B=disk\n",
		    "" },
		{ { "start", "-d", "/d", "-n", "lan", "-L", "-i", "3", "web" },
		    "START_ADHOC web flags=2 m=512 p=1 k= i= a= d=/d "
		    "n0=lan n1= n0=\n",
		    "" },
		{ { "start", "-d", "/d", "-L", "-L", "-i", "1", "web" },
		    "START_ADHOC web flags=2 m=512 p=1 k= i= a= d=/d "
		    "n1= n1=\n",
		    "" },
		{ { "start", "-d", "d0", "-m", "16777217", "web" },
		    "START_ADHOC web flags=2 m=16 p=1 k= i= a= d=%s/d0\n",
		    "vmctl: memory size rounded to 16M\n"
		    "vmctl: starting without network interfaces\n" },
		/* instances: what is given, and no more */
		{ { "start", "-t", "base", "web" },
		    "START_ADHOC web flags=2 m=512 p=1 k= i= a= t=base "
		    "given=0\n",
		    "vmctl: starting without disks\n" },
		{ { "start", "-t", "base", "-m", "1G", "-p", "2", "-a", "x",
		      "-d", "/d", "web" },
		    "START_ADHOC web flags=2 m=1024 p=2 k= i= a=x d=/d t=base "
		    "given=44\n",
		    "" },
	};
	struct files *s = *state;
	char want[1024];
	const char *d = s->fake.dir;
	size_t i, len;

	for (i = 0; i < NROWS(rows); i++) {
		const char *p = rows[i].requests, *next;

		for (want[0] = '\0'; (next = strstr(p, "%s")); p = next + 2) {
			len = strlen(want);
			snprintf(want + len, sizeof(want) - len, "%.*s%s",
			    (int)(next - p), p, d);
		}
		strcat(want, p);
		fake_run(&s->fake, rows[i].args, "ok:0: ok:0: ok:9:/dev/pts/1");
		assert_string_equal(s->fake.requests, want);
		len = strlen(rows[i].err);
		assert_memory_equal(s->fake.err, rows[i].err, len);
		assert_string_equal(s->fake.err + len,
		    "vmctl: started vm 9 successfully, tty /dev/pts/1\n");
		assert_int_equal(s->fake.status, 0);
	}
	/* A refusal may come before all was sent. */
	fake_run(&s->fake, rows[0].args, "unread");
	assert_int_equal(s->fake.status, 1);
	fake_run(&s->fake, rows[0].args, "fail:1:");
	assert_non_null(strstr(s->fake.err,
	    "vmctl: start vm command failed: Operation not permitted\n"));
	assert_int_equal(s->fake.status, 1);
}

#define NAME_64                            \
	"n2345678901234567890123456789012" \
	"34567890123456789012345678901234"

/* Refused before vmd is asked: one clear line, exit 1. */
static void
test_bad_input(void **state)
{
	static const struct {
		const char *args[FAKE_ARGS], *err;
	} rows[] = {
		{ { "start", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "start", "-b", "kernel", "a/b" },
		    "vmctl: invalid vm name: a/b\n" },
		{ { "start", NAME_64 }, "vmctl: name too long: " NAME_64 "\n" },
		{ { "start", "0" }, "vmctl: invalid id: 0\n" },
		{ { "start", "-b", "kernel", "7" },
		    "vmctl: invalid vm name: 7 (a new vm needs a name)\n" },
		{ { "start", "-m", "1G", "web" },
		    "vmctl: no kernel or disk/cdrom specified\n" },
		{ { "start", "-I", "initrd", "-d", "d", "web" },
		    "vmctl: initrd without a kernel\n" },
		{ { "start", "-a", "x", "-d", "d", "web" },
		    "vmctl: command line without a kernel\n" },
		/* the kernel and the initrd */
		{ { "start", "-b", "none", "-d", "d", "web" },
		    "vmctl: kernel: %s/none: No such file or directory\n" },
		{ { "start", "-b", "dir", "-d", "d", "web" },
		    "vmctl: kernel: %s/dir: not a regular file\n" },
		{ { "start", "-b", "fifo", "-d", "d", "web" },
		    "vmctl: kernel: %s/fifo: not a regular file\n" },
		{ { "start", "-b", "/dev/zero", "-d", "d", "web" },
		    "vmctl: kernel: /dev/zero: not a regular file\n" },
		{ { "start", "-b", "empty", "-d", "d", "web" },
		    "vmctl: kernel: %s/empty: empty file\n" },
		{ { "start", "-b", "kernel", "-I", "none", "-d", "d", "web" },
		    "vmctl: initrd: %s/none: No such file or directory\n" },
		{ { "start", "-b", "kernel", "-I", "empty", "-d", "d", "web" },
		    "vmctl: initrd: %s/empty: empty file\n" },
		{ { "start", "-b", "", "-d", "d", "web" },
		    "vmctl: empty path\n" },
		/* numbers */
		{ { "start", "-b", "kernel", "-p", "65", "-d", "d", "web" },
		    "vmctl: invalid number of cpus (1 to 64): 65\n" },
		{ { "start", "-b", "kernel", "-p", "0", "-d", "d", "web" },
		    "vmctl: invalid number of cpus (1 to 64): 0\n" },
		{ { "start", "-b", "kernel", "-p", "4294967297", "-d", "d",
		      "web" },
		    "vmctl: invalid number of cpus (1 to 64): 4294967297\n" },
		{ { "start", "-b", "kernel", "-m", "15M", "-d", "d", "web" },
		    "vmctl: memory size must be at least 16MB: 15M\n" },
		{ { "start", "-b", "kernel", "-m", "x", "-d", "d", "web" },
		    "vmctl: invalid memory size: x\n" },
		{ { "start", "-b", "kernel", "-m", "-1", "-d", "d", "web" },
		    "vmctl: invalid memory size: -1\n" },
		{ { "start", "-b", "kernel", "-m", "17592186044416M", "-d", "d",
		      "web" },
		    "vmctl: memory size too large (limit is 4.0T): "
		    "17592186044416M\n" },
		{ { "start", "-b", "kernel", "-m", "18446744073709551616", "-d",
		      "d", "web" },
		    "vmctl: memory size too large (limit is 4.0T): "
		    "18446744073709551616\n" },
		/* disks */
		{ { "start", "-b", "kernel", "-d", "qcow2:", "web" },
		    "vmctl: empty path\n" },
		{ { "start", "-b", "kernel", "-d", "", "web" },
		    "vmctl: empty path\n" },
		{ { "start", "-d", "a", "-d", "b", "-d", "c", "-d", "d", "-d",
		      "e", "web" },
		    "vmctl: too many disks (limit is 4): e\n" },
		{ { "start", "-b", "kernel", "-d", "a\nb", "web" },
		    "vmctl: path with control characters or too long\n" },
		/* twice */
		{ { "start", "-i", "1", "-i", "1", "web" },
		    "vmctl: interfaces specified multiple times\n" },
		{ { "start", "-b", "a", "-b", "b", "web" },
		    "vmctl: kernel specified multiple times\n" },
		{ { "start", "-I", "a", "-I", "b", "web" },
		    "vmctl: initrd specified multiple times\n" },
		{ { "start", "-a", "a", "-a", "b", "web" },
		    "vmctl: command line specified multiple times\n" },
		{ { "start", "-m", "1G", "-m", "1G", "web" },
		    "vmctl: memory specified multiple times\n" },
		{ { "start", "-p", "1", "-p", "1", "web" },
		    "vmctl: cpus specified multiple times\n" },
	};
	struct files *s = *state;
	char want[512];
	const char *dir;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(&s->fake, rows[i].args, "unread");
		dir = strstr(rows[i].err, "%s");
		if (dir == NULL)
			snprintf(want, sizeof(want), "%s", rows[i].err);
		else
			snprintf(want, sizeof(want), "%.*s%s%s",
			    (int)(dir - rows[i].err), rows[i].err, s->fake.dir,
			    dir + 2);
		assert_string_equal(s->fake.err, want);
		assert_string_equal(s->fake.requests, "");
		assert_int_equal(s->fake.status, 1);
	}
}

struct refusal {
	const char *args[FAKE_ARGS], *err;
};

static void
check_refused(struct fake *f, const struct refusal *rows, size_t n)
{
	const struct refusal *r;

	for (r = rows; r < rows + n; r++) {
		fake_run(f, r->args, "unread");
		assert_string_equal(f->err, r->err);
		assert_string_equal(f->requests, "");
		assert_int_equal(f->status, 1);
	}
}

static void
test_bad_interfaces(void **state)
{
	static const struct refusal rows[] = {
		{ { "start", "-d", "d", "-i", "5", "web" },
		    "vmctl: invalid number of network interfaces "
		    "(1 to 4): 5\n" },
		{ { "start", "-d", "d", "-i", "0", "web" },
		    "vmctl: invalid number of network interfaces "
		    "(1 to 4): 0\n" },
		{ { "start", "-L", "-L", "-n", "a", "-L", "-L", "web" },
		    "vmctl: too many network interfaces (limit is 4)\n" },
		{ { "start", "-n", "", "web" },
		    "vmctl: invalid switch name\n" },
		{ { "start", "-n", NAME_64, "web" },
		    "vmctl: switch name too long: " NAME_64 "\n" },
	};
	struct files *s = *state;

	check_refused(&s->fake, rows, NROWS(rows));
}

static void
test_bad_boot_device(void **state)
{
	static const struct refusal rows[] = {
		{ { "start", "-B", "floppy", "-d", "d", "web" },
		    "vmctl: invalid boot device: floppy (cdrom, disk or "
		    "net)\n" },
		{ { "start", "-B", "disk", "-B", "disk", "-d", "d", "web" },
		    "vmctl: boot device specified multiple times\n" },
	};
	struct files *s = *state;

	check_refused(&s->fake, rows, NROWS(rows));
}

static void
test_bad_template(void **state)
{
	static const struct refusal rows[] = {
		{ { "start", "-t", "base", "-I", "initrd", "web" },
		    "vmctl: initrd without a kernel\n" },
		{ { "start", "-t", "a/b", "web" },
		    "vmctl: invalid vm name: a/b\n" },
		{ { "start", "-t", "3", "web" },
		    "vmctl: invalid vm name: 3 (a template is given by its "
		    "name)\n" },
		{ { "start", "-t", "a", "-t", "b", "web" },
		    "vmctl: template specified multiple times\n" },
	};
	struct files *s = *state;

	check_refused(&s->fake, rows, NROWS(rows));
}

static void
test_usage(void **state)
{
	static const struct {
		const char *args[6], *err;
	} rows[] = {
		{ { "start" }, "usage: vmctl [-v] [-s socket] start [-cLq]" },
		{ { "start", "a", "b" }, "usage: vmctl " },
		{ { "start", "-x", "web" },
		    "vmctl: unknown option: -x\nusage: " },
		{ { "start", "-b" }, "vmctl: missing argument of -b\nusage: " },
		/* options come first */
		{ { "start", "web", "-c" }, "usage: vmctl " },
	};
	struct files *s = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(&s->fake, rows[i].args, "unread");
		assert_memory_equal(
		    s->fake.err, rows[i].err, strlen(rows[i].err));
		assert_int_equal(s->fake.status, 1);
	}
}

static void
test_long(void **state)
{
	char line[VM_CMDLINE_MAX + 2], path[VM_PATH_MAX + 2];
	const char *args[] = { "start", "-b", "kernel", "-d", "d", "-a", line,
		"web", NULL };
	struct files *s = *state;
	char want[64];

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\0';
	fake_run(&s->fake, args, "unread");
	snprintf(want, sizeof(want),
	    "vmctl: command line too long (limit is %d bytes)\n",
	    VM_CMDLINE_MAX);
	assert_string_equal(s->fake.err, want);
	assert_int_equal(s->fake.status, 1);

	line[sizeof(line) - 2] = '\0';
	fake_run(&s->fake, args, "ok:1:");
	assert_int_equal(s->fake.status, 0);
	assert_non_null(strstr(s->fake.requests, line));

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	args[4] = path;
	fake_run(&s->fake, args, "unread");
	assert_string_equal(
	    s->fake.err, "vmctl: path with control characters or too long\n");
	assert_int_equal(s->fake.status, 1);
}

/* The caller's own right to read the kernel counts. */
static void
test_unreadable(void **state)
{
	static const char *const args[] = { "start", "-b", "kernel", "-d", "d",
		"web", NULL };
	struct files *s = *state;
	char want[128];
	int status;
	pid_t pid;

	assert_int_equal(chmod("kernel", 0), 0);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		if (getuid() == 0) {
			assert_int_equal(chmod(s->fake.dir, 0755), 0);
			assert_int_equal(setgid(65534), 0);
			assert_int_equal(setuid(65534), 0);
		}
		fake_run(&s->fake, args, "unread");
		snprintf(want, sizeof(want),
		    "vmctl: kernel: %s/kernel: Permission denied\n",
		    s->fake.dir);
		_exit(strcmp(s->fake.err, want) != 0 || s->fake.status != 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_configured, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adhoc, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_bad_input, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_bad_interfaces, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_bad_boot_device, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_bad_template, setup, teardown),
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_unreadable, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
