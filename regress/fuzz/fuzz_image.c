/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what the process that looks at what an image holds, which the image
 * may own by then, can say to vmctl, and how it can end, for each command that
 * has one.  Whatever it is, vmctl ends, and has said why when it failed; it
 * calls nothing right that was not, waits for nobody who does not end, leaves
 * nothing of it, and writes nothing to the terminal that is more than text.
 *
 * The input is which command it is, how the worker ends (its status, and whether
 * it lives on when it has closed its channel), then records (record.h).
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

#include "parent.h"
#include "qcow2_create.h"
#include "spawn.h"

/* Not vmd's. */
#include "../../vmctl/image.h"

#define SIZE (1 << 20)

/* The second byte. */
enum { H_FAILED = 1, H_SIGNAL = 2, H_LIVES = 4, H_ALL = 7 };

static struct rig {
	char dir[32], path[64], copy[64];
	const uint8_t *data; /* what it will say */
	size_t len;
	uint8_t how;
	unsigned nlines;
} r = { .dir = "/tmp/fuzz_image.XXXXXX" };

/* cmd.c knows all commands. */
int
cmd_getopt(int argc, char **argv, const char *options)
{
	return getopt(argc, argv, options);
}

pid_t __wrap_spawn_child(const struct spawn *, int *);
pid_t __wrap_waitpid(pid_t, int *, int);
int __wrap_sigtimedwait(const sigset_t *, siginfo_t *, const struct timespec *);
void __wrap_log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
int __wrap_printf(const char *, ...) __attribute__((format(printf, 1, 2)));
int __wrap_puts(const char *);

/* All that it says is there when it is listened to. */
pid_t
__wrap_spawn_child(const struct spawn *s, int *to)
{
	const uint8_t *body;
	struct record rec;
	pid_t pid = proc_new(s->role, to);
	struct proc *p = &proc[pid - PID_BASE];
	size_t n;

	while (record_next(&r.data, &r.len, &rec, &body, &n))
		proc_say(
		    p, &rec, IMAGE_MSG_BASE + rec.type, 0, body, n, p->sock);
	fd_close(&p->sock);
	return pid;
}

static bool
ended(void)
{
	return proc[0].killed || (r.how & H_LIVES) == 0;
}

/* Who waits for one that does not end does so for ever. */
pid_t
__wrap_waitpid(pid_t pid, int *status, int options)
{
	check(pid == PID_BASE && proc[0].there);
	check(ended() || (options & WNOHANG) != 0);
	if (!ended())
		return 0;
	proc[0].there = false;
	if ((r.how & (H_SIGNAL | H_LIVES)) != 0)
		*status = SIGKILL;
	else
		*status = (r.how & H_FAILED) << 8;
	return pid;
}

/* The user's patience is at an end when there is something to wait for. */
int
__wrap_sigtimedwait(
    const sigset_t *set, siginfo_t *info, const struct timespec *limit)
{
	if (limit->tv_nsec != 0 && !ended())
		return SIGINT;
	errno = EAGAIN;
	return -1;
}

static void __attribute__((format(printf, 1, 0)))
check_text(const char *fmt, va_list ap)
{
	static char text[1 << 14];
	const char *s;
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	check(n > 0 && (size_t)n < sizeof(text));
	for (s = text; *s != '\0'; s++)
		check(*s == '\n' || ((uint8_t)*s >= ' ' && *s != 0x7f));
}

/* The log escapes what is no text. */
void
__wrap_log_warnx(const char *fmt, ...)
{
	r.nlines++;
}

int
__wrap_printf(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	check_text(fmt, ap);
	va_end(ap);
	return 1;
}

int
__wrap_puts(const char *s)
{
	return __wrap_printf("%s\n", s);
}

static void
remove_files(void)
{
	unlink(r.path);
	unlink(r.copy);
	rmdir(r.dir);
}

static void
set_up(void)
{
	const struct qcow2_new new = { .size = SIZE };
	struct why why;
	int fd;

	check(mkdtemp(r.dir) != NULL);
	atexit(remove_files);
	snprintf(r.path, sizeof(r.path), "%s/a.qcow2", r.dir);
	snprintf(r.copy, sizeof(r.copy), "%s/b.img", r.dir);
	fd = open(r.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd != -1 && qcow2_create(fd, &new, &why) == 0);
	close(fd);
	fd = open(r.copy, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd != -1 && ftruncate(fd, SIZE) == 0);
	close(fd);
}

/* As create does. */
static enum cmd_result
copy(void)
{
	int out = open(r.copy, O_RDWR | O_CLOEXEC);
	struct image im;
	bool ok;

	check(out != -1 && image_open(&im, r.path, O_RDONLY, true));
	ok = image_work(&im, IMAGE_COPY, out, VM_DISK_RAW, NULL);
	close(out);
	return ok ? CMD_OK : CMD_FAILED;
}

static enum cmd_result
command(unsigned which)
{
	const char *const lines[][6] = {
		{ "image", "check", r.path },
		{ "image", "check", "-j", r.path },
		{ "image", "check", "-r", r.path },
		{ "image", "snapshot", "list", r.path },
		{ "image", "snapshot", "list", "-j", r.path },
		{ "image", "snapshot", "create", r.path, "one" },
		{ "image", "snapshot", "delete", r.path, "one" },
	};
	const char *argv[6];
	int argc = 0;

	if (which == 7)
		return copy();
	memcpy(argv, lines[which], sizeof(argv));
	while (argv[argc] != NULL)
		argc++;
	return image_run(argc, (char **)(uintptr_t)argv, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum cmd_result result;
	unsigned fds;

	if (r.path[0] == '\0')
		set_up();
	if (len < 2)
		return 0;
	fds = open_fds();
	nprocs = r.nlines = 0;
	r.how = data[1] & H_ALL;
	r.data = data + 2;
	r.len = len - 2;
	result = command(data[0] & 7);
	check(nprocs == 1 && !proc[0].there && open_fds() == fds);
	/* It is either right, or somebody has said why: here, the worker, or
	 * the user who did not want to wait any more. */
	check(result == CMD_OK || result == CMD_FAILED);
	if (result == CMD_OK)
		check(r.how == 0);
	else
		check(r.nlines > 0 || r.how != 0);
	return 0;
}
