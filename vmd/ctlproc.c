/* SPDX-License-Identifier: ISC */
/*
 * The control process as seen from the parent.  When it dies or breaks a
 * rule its clients are lost, nothing else: another one takes the listening
 * socket, which stays with the parent.
 */
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <event2/event.h>

#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "parent.h"

#define RESPAWN_MS 500

static void
on_respawn(int fd, short what, void *arg)
{
	struct parent *p = arg;

	if (ctlproc_start(p) != 0)
		log_warnx("control process not started, no clients served");
}

static void
retry(struct parent *p)
{
	struct timeval tv = { RESPAWN_MS / 1000, (RESPAWN_MS % 1000) * 1000 };

	if (p->ending)
		return;
	if (p->control.respawn == NULL)
		p->control.respawn = evtimer_new(p->base, on_respawn, p);
	if (p->control.respawn == NULL ||
	    evtimer_add(p->control.respawn, &tv) == -1)
		fatalx("no timer for the control process");
}

void
ctlproc_closed(void *arg, const char *why)
{
	struct parent *p = arg;

	log_warnx("control: %s", why[0] != '\0' ? why : "channel closed");
	chan_free(p->control.chan);
	p->control.chan = NULL;
	requests_forget(p);
	if (p->control.pid != 0)
		kill(p->control.pid, SIGKILL);
	else
		retry(p);
}

static int
send_listener(struct parent *p, struct chan *chan)
{
	struct ibuf *body;
	int fd;

	fd = fcntl(p->listener.fd, F_DUPFD_CLOEXEC, 0);
	if (fd == -1)
		return -errno;
	body = chan_body();
	if (ibuf_add_n32(body, (uint32_t)log_getverbose()) == -1) {
		ibuf_free(body);
		close(fd);
		return -ENOMEM;
	}
	return chan_send(chan, CONTROL_LISTEN, 0, fd, body);
}

int
ctlproc_start(struct parent *p)
{
	struct child ch = { .pid = 0 };
	struct fail why;
	int error;

	error = start_child(
	    p->base, &ch, "control", "control", "control", &requests_ops, &why);
	if (error != 0)
		log_warnx("control: %s", why.text);
	p->control.pid = ch.pid;
	if (ch.chan == NULL) {
		if (ch.pid > 0)
			kill(ch.pid, SIGKILL);
		else
			retry(p);
		return error;
	}
	p->control.chan = ch.chan;
	chan_set_arg(ch.chan, p);
	if ((error = send_listener(p, ch.chan)) != 0)
		kill(ch.pid, SIGKILL);
	return error;
}

void
ctlproc_stop(struct parent *p)
{
	if (p->control.respawn != NULL)
		event_free(p->control.respawn);
	p->control.respawn = NULL;
	chan_free(p->control.chan);
	p->control.chan = NULL;
	requests_forget(p);
	/* It has no state worth an orderly end. */
	if (p->control.pid > 0)
		kill(p->control.pid, SIGKILL);
}

bool
ctlproc_reaped(struct parent *p, pid_t pid, int status)
{
	if (pid != p->control.pid)
		return false;
	p->control.pid = 0;
	if (!p->ending)
		log_warnx("control: process ended (%s %d)",
		    WIFSIGNALED(status) ? "signal" : "status",
		    WIFSIGNALED(status) ? WTERMSIG(status)
					: WEXITSTATUS(status));
	if (p->control.chan == NULL)
		retry(p);
	return true;
}
