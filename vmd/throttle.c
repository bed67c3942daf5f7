/* SPDX-License-Identifier: ISC */
/*
 * See throttle.h: all vCPUs are held at the same time, as one that runs may
 * wait for one that does not.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdlib.h>

#include "log.h"
#include "throttle.h"
#include "vcpu.h"

/* What they run at a time, long beside what it takes to hold them. */
#define RUN_US 10000U

struct throttle {
	struct vcpus *vcpus;
	struct event *timer;
	unsigned percent;
	bool held;
};

static void
hold(struct throttle *t, bool on)
{
	unsigned i;

	if (t->held == on)
		return;
	t->held = on;
	vcpu_hold(t->vcpus, on);
	for (i = 0; on && i < VM_CPUS_MAX; i++)
		vcpu_kick(t->vcpus, i);
}

static void
turn(struct throttle *t, bool on)
{
	unsigned held = RUN_US * t->percent / (100 - t->percent);
	struct timeval tv = { .tv_usec = on ? held : RUN_US };

	hold(t, on);
	if (event_add(t->timer, &tv) == -1)
		fatalx("event_add failed");
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct throttle *t = arg;

	turn(t, !t->held);
}

struct throttle *
throttle_new(struct event_base *base, struct vcpus *vcpus)
{
	struct throttle *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->vcpus = vcpus;
	if ((t->timer = evtimer_new(base, on_timer, t)) == NULL) {
		free(t);
		return NULL;
	}
	return t;
}

void
throttle_set(struct throttle *t, unsigned percent)
{
	t->percent = percent < THROTTLE_MAX ? percent : THROTTLE_MAX;
	if (t->percent > 0) {
		turn(t, !t->held);
		return;
	}
	event_del(t->timer);
	hold(t, false);
}

void
throttle_free(struct throttle *t)
{
	if (t == NULL)
		return;
	throttle_set(t, 0);
	event_free(t->timer);
	free(t);
}
