/* SPDX-License-Identifier: ISC */
#ifndef VMD_EVENTS_H
#define VMD_EVENTS_H

/*
 * What happens to VMs, for the clients that asked to be told.
 *
 * Nobody waits for them.  What a client does not read is held by control up
 * to a limit, beyond which the client is dropped; what control does not read
 * is held here up to a limit, beyond which clients are told that they missed
 * something, and nothing more.
 */
#include <stdint.h>

struct ibuf;
struct parent;
struct vm;

/* For the table of requests.c. */
int events_request(void *arg, uint32_t client, int fd, struct ibuf *);

/* The VM has another state, was paused or goes on, has another problem. */
void events_state(struct parent *, struct vm *);
void events_paused(struct parent *, struct vm *);
void events_problem(struct parent *, struct vm *);

#endif
