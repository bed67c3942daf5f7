/* SPDX-License-Identifier: ISC */
/* The processes of a VM: see run.h. */
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "chain.h"
#include "chan.h"
#include "fd.h"
#include "log.h"
#include "page.h"
#include "run.h"

void
child_close(struct child *ch)
{
	chan_end(ch->chan);
	ch->chan = NULL;
}

void
child_kill(const struct child *ch, int sig)
{
	int n;

	if (ch->pid == 0)
		return;
	/* Somebody else's child was reaped by others: its number may be
	 * another process's by now. */
	if (ch->pidfd != -1)
		n = pidfd_send_signal(ch->pidfd, sig, NULL, 0);
	else
		n = kill(ch->pid, sig);
	if (n == -1 && errno != ESRCH)
		log_warn("kill %d", (int)ch->pid);
}

void
child_status(const struct child *ch, char *buf, size_t len)
{
	if (ch->status == CHILD_UNKNOWN)
		snprintf(buf, len, "ended");
	else if (WIFSIGNALED(ch->status))
		snprintf(buf, len, "killed by signal %d (%s)",
		    WTERMSIG(ch->status), strsignal(WTERMSIG(ch->status)));
	else
		snprintf(
		    buf, len, "exited with status %d", WEXITSTATUS(ch->status));
}

int
child_watch(struct child *ch, struct event_base *base, event_callback_fn ended)
{
	ch->watch = event_new(base, ch->pidfd, EV_READ, ended, ch);
	if (ch->watch == NULL || event_add(ch->watch, NULL) == -1)
		return -ENOMEM;
	return 0;
}

void
child_unwatch(struct child *ch)
{
	if (ch->watch != NULL)
		event_free(ch->watch);
	ch->watch = NULL;
	fd_close(&ch->pidfd);
}

void
run_clear(struct vm_run *r)
{
	struct child *ch;
	unsigned i;

	for (i = 0; (ch = run_child(r, i)) != NULL; i++) {
		page_detach(ch->stats);
		ch->stats = NULL;
		fd_close(&ch->stats_fd);
	}
	for (i = 0; i < VM_DISKS_MAX; i++)
		chain_release(&r->image[i]);
}
