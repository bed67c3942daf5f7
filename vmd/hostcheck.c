/* SPDX-License-Identifier: ISC */
/*
 * The host probe as seen from the parent: a process that is given the
 * device and says whether an unmodified guest can run on it.  Used before
 * there are clients, so it may block, within its time limit.
 */
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "fd.h"
#include "imsg.h"
#include "msg.h"
#include "parent.h"

#define PROBE_MS 10000

/* For a terminal: lines of text, whatever it is. */
static void
clean(char *s)
{
	for (; *s != '\0'; s++)
		if (*s != '\n' && ((uint8_t)*s < ' ' || *s == 0x7f))
			*s = '?';
}

static int
on_report(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct hostcheck *hc = arg;
	uint32_t fit;

	if (hc->done || ibuf_get_n32(body, &fit) == -1 || fit > 1 ||
	    ctl_get_str(body, hc->text, sizeof(hc->text)) != 0)
		return -EBADMSG;
	clean(hc->text);
	hc->fit = fit == 1;
	hc->done = true;
	return 0;
}

static void
on_closed(void *arg, const char *why)
{
}

static const struct chan_row rows[] = {
	{ PROBE_REPORT, "PROBE_REPORT", CHAN_NOFD, on_report },
};
static const struct chan_ops ops = {
	rows,
	sizeof(rows) / sizeof(rows[0]),
	on_closed,
};

/* Takes fd. */
static int
ask(struct chan *chan, const char *path, int fd, struct hostcheck *hc)
{
	struct ibuf *body = chan_body();
	int error;

	if (ctl_put_str(body, path) != 0) {
		ibuf_free(body);
		fd_close(&fd);
		return -ENOMEM;
	}
	if ((error = chan_send(chan, PROBE_FD, 0, fd, body)) == 0)
		error = chan_flush(chan, PROBE_MS);
	while (error == 0 && !hc->done)
		error = chan_recv(chan, PROBE_MS);
	return error;
}

static void
no_result(const struct chan *chan, const char *name, int error, struct fail *f)
{
	const char *text = chan_why(chan);

	if (error == -ETIMEDOUT)
		text = "no result in time";
	else if (text == NULL || text[0] == '\0')
		text = "no result";
	fail_set(f, -error, "host check on %s: %s", name, text);
}

int
hostcheck_run(const char *path, struct hostcheck *hc, struct fail *why)
{
	struct child ch = { .pid = 0 };
	const char *name;
	int fd = -1, error, status = 0;

	memset(hc, 0, sizeof(*hc));
	if ((error = start_hypervisor(path, &fd, &name, why)) != 0)
		return error;
	error = start_child(NULL, &ch, "probe", "probe", "probe", &ops, why);
	if (error == 0) {
		chan_set_arg(ch.chan, hc);
		error = ask(ch.chan, name, fd_take(&fd), hc);
		if (error != 0)
			no_result(ch.chan, name, error, why);
	}
	fd_close(&fd);
	chan_free(ch.chan);
	if (ch.pid > 0) {
		kill(ch.pid, SIGKILL);
		while (waitpid(ch.pid, &status, 0) == -1 && errno == EINTR)
			;
	}
	return error;
}
