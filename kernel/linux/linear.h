/* SPDX-License-Identifier: (ISC OR GPL-2.0) */
#ifndef LINUX_LINEAR_H
#define LINUX_LINEAR_H

/* Guest memory by linear address: through the guest's own page tables. */
#include "vcpu.h"

/* 0, or 1: a page fault, of which *fault is the description.  Access is enum
 * walk_access; needs SEGS and CRS. */
int linear_translate(
    struct vcpu *, struct gva, unsigned access, struct gpa *, struct fault *);
int linear_walk(struct vcpu *, struct gva, unsigned access,
    struct walk_result *, struct fault *);
/* Of a device: what a complete walk found, while nothing that it depends on has
 * changed.  The same access; what is not known is walked. */
bool linear_known(struct vcpu *, struct gva, unsigned access, struct gpa *);
void linear_learn(
    struct vcpu *, struct gva, unsigned access, const struct walk_result *);
/* What a walk depends on. */
void linear_env(const struct gcpu *, struct walk_env *);
/* Bytes at RIP, as many as there are up to DECODE_MAX.  Needs CODE, CRS. */
unsigned linear_fetch(struct vcpu *, u8 *buf);

#endif
