/* SPDX-License-Identifier: ISC */
/*
 * The worker of vmctl image as an image that took it over: whatever it says, it
 * is ended, somebody says why, and vmctl does not wait for it for ever.
 */
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "image.h"
#include "imsg.h"
#include "log.h"
#include "qcow2_create.h"
#include "spawn.h"

#define LIMIT_S 20 /* of one test */

static char path[] = "qcow2:/tmp/test_imgwork.XXXXXX";

/* The worker: which row it is, the name of its snapshot says. */

static struct worker {
	struct chan *chan;
	char how[64]; /* "": not known yet */
} w;

static void __attribute__((noreturn)) live_on(void)
{
	for (;;)
		pause();
}

static void
say(uint32_t type, struct ibuf *body)
{
	if (chan_send(w.chan, type, 0, -1, body) != 0 ||
	    chan_flush(w.chan, LIMIT_S * 1000) != 0)
		_exit(9);
}

static struct ibuf *
counts(void)
{
	struct ibuf *b = chan_body();
	unsigned i;

	for (i = 0; i < 5; i++)
		ibuf_add_n64(b, i);
	return b;
}

static void __attribute__((noreturn)) worker_acts(void)
{
	if (strcmp(w.how, "well") == 0)
		say(IMAGE_COUNTS, counts());
	if (strcmp(w.how, "unknown") == 0) {
		say(IMAGE_MSG_BASE + 99, NULL);
		live_on();
	}
	if (strcmp(w.how, "fields") == 0) {
		say(IMAGE_LINE, NULL);
		live_on();
	}
	if (strcmp(w.how, "twice") == 0) {
		say(IMAGE_COUNTS, counts());
		say(IMAGE_COUNTS, counts());
		live_on();
	}
	if (strcmp(w.how, "hangs") == 0) {
		chan_end(w.chan);
		usleep(300000);
		kill(getppid(), SIGTERM);
		live_on();
	}
	_exit(strcmp(w.how, "fails") == 0 ? 1 : 0);
}

static int
on_layer(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t format;

	close(fd);
	return ibuf_get_n32(body, &format) == -1 ? -EBADMSG : 0;
}

static int
on_do(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	uint32_t job, progress;

	if (ibuf_get_n32(body, &job) == -1 ||
	    ibuf_get_n32(body, &progress) == -1)
		return -EBADMSG;
	return ctl_get_str(body, w.how, sizeof(w.how));
}

static void
on_closed(void *arg, const char *why)
{
}

static int
worker(void)
{
	static const struct chan_row rows[] = {
		{ IMAGE_LAYER, "IMAGE_LAYER", CHAN_FD, on_layer },
		{ IMAGE_DO, "IMAGE_DO", CHAN_NOFD, on_do },
	};
	static const struct chan_ops ops = { rows, 2, on_closed };

	if ((w.chan = chan_new(NULL, SPAWN_FD, &ops, NULL)) == NULL)
		return 8;
	while (w.how[0] == '\0')
		if (chan_recv(w.chan, LIMIT_S * 1000) != 0)
			return 7;
	worker_acts();
}

/* vmctl. */

static bool
line(void *arg, const char *text)
{
	return true;
}

struct row {
	const char *how;
	bool right, done;
	const char *said; /* on standard error, behind the image's name */
};

/* What vmctl says goes to a pipe meanwhile. */
static void
work(const struct row *row)
{
	struct image_check c = { .line = line, .tag = row->how };
	char said[512], want[512];
	struct image im;
	int pipefd[2], err;
	ssize_t n;
	bool right;

	assert_int_equal(pipe2(pipefd, O_CLOEXEC | O_NONBLOCK), 0);
	err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(dup2(pipefd[1], STDERR_FILENO), STDERR_FILENO);
	alarm(LIMIT_S);
	right = image_open(&im, path, O_RDONLY, false) &&
	    image_work(&im, IMAGE_CHECK, -1, VM_DISK_RAW, &c);
	alarm(0);
	assert_int_equal(dup2(err, STDERR_FILENO), STDERR_FILENO);
	n = read(pipefd[0], said, sizeof(said) - 1);
	said[n < 0 ? 0 : n] = '\0';
	close(err);
	close(pipefd[0]);
	close(pipefd[1]);
	snprintf(want, sizeof(want), "vmctl: %s%s\n", path + 6, row->said);
	if (row->said[0] == '\0')
		want[0] = '\0';
	assert_string_equal(said, want);
	assert_int_equal(right, row->right);
	assert_int_equal(c.done, row->done);
	/* Nobody is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void
test_rows(void **state)
{
	static const struct row rows[] = {
		{ "well", true, true, "" },
		{ "nothing", true, false, "" },
		{ "fails", false, false, "" },
		{ "unknown", false, false, ": worker: unknown message 2099" },
		{ "fields", false, false,
		    ": worker: IMAGE_LINE: fields missing or out of range" },
		{ "twice", false, true,
		    ": worker: IMAGE_COUNTS: fields missing or out of range" },
		{ "hangs", false, false, "" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		work(&rows[i]);
}

static int
setup(void **state)
{
	const struct qcow2_new new = { .size = 1 << 20 };
	struct why why;
	int fd = mkstemp(path + 6), error;

	if (fd == -1)
		return -1;
	error = qcow2_create(fd, &new, &why);
	close(fd);
	return error;
}

static int
teardown(void **state)
{
	return unlink(path + 6);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows) };
	struct spawned child;

	if (spawn_is_child(argc, argv, &child))
		return worker();
	if (spawn_init("vmctl") != 0)
		return 99;
	log_init(LOG_TO_STDERR, "vmctl");
	return cmocka_run_group_tests(tests, setup, teardown);
}
