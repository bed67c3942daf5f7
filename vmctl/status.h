/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_STATUS_H
#define VMCTL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

#define STATUS_OWNER_MAX 16 /* characters of OWNER */

struct target;

/* "waiting"; "unknown" for a number that has no name. */
const char *status_state(uint32_t state);
bool status_running(const struct ctl_vm *);
/* Is it the VM that the user means? */
bool status_match(const struct ctl_vm *, const struct target *);
/*
 * "user", "user:group" or ":group", cut.  Names may be NULL when they are
 * unknown: then the number stands for them.
 */
void status_owner(const struct ctl_vm *, const char *user, const char *group,
    char out[STATUS_OWNER_MAX + 1]);
void status_header(FILE *);
void status_row(FILE *, const struct ctl_vm *, const char *owner);
/* With the counters of its devices, a line each. */
void status_devices(FILE *, const struct ctl_vm *);
/* JSON as described in vmctl(8); 0 or -errno. */
int status_json(FILE *, const struct ctl_vm *, size_t n);

#endif
