/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_EVENTS_H
#define VMCTL_EVENTS_H

#include <stdbool.h>

struct ctl_event;
struct target;

/* Is it about this VM? */
bool events_about(const struct ctl_event *, const struct target *);

#endif
