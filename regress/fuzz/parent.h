/* SPDX-License-Identifier: ISC */
#ifndef REGRESS_FUZZ_PARENT_H
#define REGRESS_FUZZ_PARENT_H

/*
 * For what the parent's children say: children that are none.  Each is the far
 * end of a channel, a number that no process has, and what is to become of it;
 * a signal ends the channel, and the death that follows is the harness's to
 * tell, when it likes.
 *
 * Needs -Wl,--wrap=kill.
 */
#include <sys/types.h>

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <unistd.h>

#include "fd.h"
#include "record.h"

#define PID_BASE (1 << 30) /* no process has it */
#define PROCS	 64

static struct proc {
	int sock; /* its end of the channel; -1 */
	bool there;
	bool killed;
	const char *role;
} proc[PROCS];
static unsigned nprocs;

int __wrap_kill(pid_t, int);
int __real_kill(pid_t, int);

static inline pid_t
proc_pid(const struct proc *p)
{
	return PID_BASE + (pid_t)(p - proc);
}

/* As spawn_child(): its number, or -errno. */
static inline pid_t
proc_new(const char *role, int *fd)
{
	int pair[2];

	if (nprocs == PROCS)
		return -EAGAIN;
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	proc[nprocs] = (struct proc){ pair[1], true, false, role };
	*fd = pair[0];
	return proc_pid(&proc[nprocs++]);
}

int
__wrap_kill(pid_t pid, int sig)
{
	if (pid < PID_BASE || pid >= PID_BASE + (pid_t)nprocs)
		return __real_kill(pid, sig);
	check(proc[pid - PID_BASE].there);
	if (sig != 0)
		fd_close(&proc[pid - PID_BASE].sock);
	proc[pid - PID_BASE].killed |= sig == SIGKILL;
	return 0;
}

/* A message as one packet; with F_RAW the body is all of it. */
static inline void
proc_say(const struct proc *p, const struct record *rec, uint32_t type,
    uint32_t id, const uint8_t *body, size_t n, int fd)
{
	static uint8_t packet[1 << 17];
	struct record raw = *rec;
	struct imsg_hdr h = {
		.type = type,
		.len = (uint32_t)(sizeof(h) + n),
		.peerid = id,
	};

	if (p->sock == -1)
		return;
	if ((rec->flags & F_RAW) == 0) {
		raw.flags |= F_RAW;
		h.len |= (rec->flags & F_FD) != 0 ? 1U << 31 : 0;
		memcpy(packet, &h, sizeof(h));
		if (n > 0)
			memcpy(packet + sizeof(h), body, n);
		body = packet;
		n += sizeof(h);
	}
	record_put(p->sock, 0, &raw, body, n, fd);
}

/* What was said to it: a packet, whose descriptor is lost; false: no more. */
struct heard {
	struct imsg_hdr h;
	uint8_t body[1 << 16];
	size_t len; /* of the body */
};
static inline bool
proc_hear(const struct proc *p, struct heard *m)
{
	ssize_t n;

	if (p->sock == -1)
		return false;
	n = recv(p->sock, m, sizeof(m->h) + sizeof(m->body), MSG_DONTWAIT);
	if (n <= 0)
		return false;
	check((size_t)n >= sizeof(m->h));
	m->len = (size_t)n - sizeof(m->h);
	return true;
}

/* What waits for a time has waited long enough. */
static inline void
timer_due(struct event *ev)
{
	if (ev != NULL && evtimer_pending(ev, NULL) != 0)
		event_active(ev, EV_TIMEOUT, 0);
}

#endif
