/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CONSOLE_H
#define VMCTL_CONSOLE_H

#include <stdbool.h>

#include "cmd.h"

struct target;

/*
 * Attach standard input and output to the first console of a VM, which is tty
 * as far as known, until the user leaves or the VM ends.
 */
enum cmd_result
console_attach(const struct cmd_env *, const struct target *, const char *tty);

/* The same, of a VM whose tty is to be looked up: which is an enum vm_tty.
 * Without input it is only shown. */
enum cmd_result console_of(
    const struct cmd_env *, const struct target *, unsigned which, bool input);

#endif
