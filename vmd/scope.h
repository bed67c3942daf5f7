/* SPDX-License-Identifier: ISC */
#ifndef VMD_SCOPE_H
#define VMD_SCOPE_H

/*
 * A scope: processes that the service manager has a unit and a control group
 * for but did not start; see systemd.scope(5).  Guests are in one of their own,
 * so that vmd.service can be started again beside them.
 */
#include <sys/types.h>
#include <stdbool.h>

#define SCOPE_NAME "vmd-guests" /* or vmd-guests-1 and so on */

/* Is there a service manager that makes scopes? */
bool scope_available(void);
/*
 * A process that becomes the first one of a new scope, if the service manager
 * will, and ends by itself after some seconds; it understands nothing and may
 * be killed.  Its pid or -errno.
 */
pid_t scope_spawn(void);

#endif
