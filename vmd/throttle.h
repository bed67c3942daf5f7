/* SPDX-License-Identifier: ISC */
#ifndef VMD_THROTTLE_H
#define VMD_THROTTLE_H

/*
 * vCPUs that run for a part of the time only, so that a guest writes its memory
 * no faster than it is sent.  Main thread of the vm process, once it is sealed.
 */
struct event_base;
struct throttle;
struct vcpus;

#define THROTTLE_MAX 95 /* percent */

struct throttle *throttle_new(struct event_base *, struct vcpus *);
/* So many percent of the time they stand still; 0: never. */
void throttle_set(struct throttle *, unsigned percent);
void throttle_free(struct throttle *);

#endif
