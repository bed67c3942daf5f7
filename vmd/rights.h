/* SPDX-License-Identifier: ISC */
#ifndef VMD_RIGHTS_H
#define VMD_RIGHTS_H

/* Who may ask for what; the rows of CTL_REQUESTS (lib/ctl.h) are the law. */
#include <stdbool.h>
#include <stdint.h>

struct cred;
struct vm;

/*
 * May this client send this request about this VM?  vm is NULL when the
 * request names none, or one that does not exist: only root then passes
 * where ownership is needed.
 */
bool rights_ok(uint32_t type, const struct cred *, const struct vm *);
/* Is this client told what happens to this VM? */
bool rights_told(const struct cred *, const struct vm *);

#endif
