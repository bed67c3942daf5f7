/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stddef.h>
#include <event2/event.h>

#include "spares.h"
#include "spawn.h"

/* A start is over then, mostly; one thing takes a millisecond. */
#define SOON_MS	 200
#define AGAIN_MS 10

static void
arm(struct spares *s, int ms)
{
	const struct timeval tv = { 0, ms * 1000 };

	if (s->timer != NULL)
		evtimer_add(s->timer, &tv);
}

static void
on_timer(int fd, short what, void *arg)
{
	if (spawn_prepare())
		arm(arg, AGAIN_MS);
}

int
spares_init(struct spares *s, struct event_base *base)
{
	s->timer = evtimer_new(base, on_timer, s);
	return s->timer == NULL ? -ENOMEM : 0;
}

void
spares_soon(struct spares *s)
{
	arm(s, SOON_MS);
}

void
spares_clear(struct spares *s)
{
	if (s->timer != NULL)
		event_free(s->timer);
	s->timer = NULL;
}
