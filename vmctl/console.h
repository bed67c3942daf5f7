/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CONSOLE_H
#define VMCTL_CONSOLE_H

#include <stdbool.h>

#include "cmd.h"

/*
 * Attach standard input (unless input is false) and output to a VM's console
 * until the user leaves or the VM ends.  name is for messages.
 */
enum cmd_result console_attach(const char *name, const char *tty, bool input);

#endif
