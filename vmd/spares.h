/* SPDX-License-Identifier: ISC */
#ifndef VMD_SPARES_H
#define VMD_SPARES_H

/*
 * What the processes of the next VM need is made when the parent has nothing else
 * to do (spawn_prepare()).
 */
struct event;
struct event_base;

struct spares {
	struct event *timer; /* NULL: nothing is made ahead */
};

/* 0 or -errno. */
int spares_init(struct spares *, struct event_base *);
/* In a moment, or a moment after the last of several calls. */
void spares_soon(struct spares *);
void spares_clear(struct spares *);

#endif
