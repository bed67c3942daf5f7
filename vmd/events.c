/* SPDX-License-Identifier: ISC */
/*
 * Invariants
 *  1. A client is told of the VMs that rights_told() says, and of no others.
 *  2. What a guest can cause without end is told only so often.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "answer.h"
#include "events.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "parent.h"
#include "rights.h"

/* The problems of a VM that are told of in so many ms. */
#define PROBLEMS_MAX 8
#define PROBLEMS_MS  10000

static uint64_t
wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
send_event(struct parent *p, struct client *c, const struct ctl_event *e)
{
	struct ibuf *body;
	struct fail f;

	if (answer_full(p)) {
		c->events = false;
		fail_set(&f, ENOBUFS, "too much happens, some events are lost");
		answer_fail(p, c->id, &f);
		return;
	}
	body = chan_body();
	if (ctl_event_put(body, e) != 0)
		fatalx("event: out of memory");
	answer_send(p, CTL_EVENT, c->id, body);
}

static enum ctl_outcome
outcome(const struct vm *vm)
{
	if (!vm->run.ready && !vm->run.again)
		return CTL_OUT_UNSTARTED;
	if (vm->run.end == RUN_OFF)
		return CTL_OUT_OFF;
	if (vm->run.forced)
		return CTL_OUT_FORCED;
	if (vm->run.stopped)
		return CTL_OUT_STOPPED;
	if (vm->run.end == RUN_RESET)
		return CTL_OUT_OFF; /* it has a boot device */
	return vm->run.end == RUN_RESETS ? CTL_OUT_RESETS : CTL_OUT_ERROR;
}

static void
tell(struct parent *p, const struct vm *vm, enum ctl_happening what,
    const char *text)
{
	struct ctl_event e = { .ms = wall_ms(), .what = what, .id = vm->id };
	struct client *c;

	snprintf(e.name, sizeof(e.name), "%s", vm->conf.name);
	snprintf(e.text, sizeof(e.text), "%s", text);
	if (what == CTL_EV_STOPPED)
		e.outcome = outcome(vm);
	TAILQ_FOREACH(c, &p->clients.list, entry)
	{
		if (c->events && rights_told(&c->cred, vm))
			send_event(p, c, &e);
	}
}

/* Why it stopped. */
static const char *
reason(const struct vm *vm)
{
	if (!vm->run.ready && !vm->run.again)
		return vm->run.fail.text;
	if (vm->run.end == RUN_OFF)
		return "powered off by the guest";
	if (vm->run.end == RUN_RESET && !vm->run.stopped)
		return "reset by the guest";
	return vm->run.stopped ? "" : vm->problem;
}

void
events_state(struct parent *p, struct vm *vm)
{
	switch (vm->state) {
	case VM_STOPPED:
		tell(p, vm, CTL_EV_STOPPED, reason(vm));
		break;
	case VM_WAITING:
		tell(p, vm, CTL_EV_WAITING, "");
		break;
	case VM_STARTING:
		tell(p, vm, vm->run.again ? CTL_EV_RESTARTING : CTL_EV_STARTING,
		    "");
		break;
	case VM_RUNNING:
		tell(p, vm, CTL_EV_RUNNING, "");
		break;
	case VM_STOPPING:
		tell(p, vm, CTL_EV_STOPPING, "");
		break;
	case VM_ENDING:
		break; /* STOPPED says it, or STARTING */
	}
}

void
events_paused(struct parent *p, struct vm *vm)
{
	tell(p, vm, vm->run.paused ? CTL_EV_PAUSED : CTL_EV_UNPAUSED, "");
}

void
events_problem(struct parent *p, struct vm *vm)
{
	int64_t now = fd_now_ms();

	if (vm->state == VM_ENDING)
		return; /* why it ends: STOPPED says it */
	if (now - vm->problems_since > PROBLEMS_MS) {
		vm->problems_since = now;
		vm->nproblems = 0;
	}
	if (vm->nproblems++ < PROBLEMS_MAX)
		tell(p, vm, CTL_EV_PROBLEM, vm->problem);
}

int
events_request(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	struct parent *p = arg;
	struct client *c = clients_find(&p->clients, id);
	struct fail f;

	if (c == NULL)
		return 0;
	if (!rights_ok(CTL_EVENTS, &c->cred, NULL))
		return answer_perm(p, id);
	if (!c->events) {
		c->events = true;
		return 0;
	}
	fail_set(&f, EALREADY, "you are told of events already");
	return answer_fail(p, id, &f);
}
