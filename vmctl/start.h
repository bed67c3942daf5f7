/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_START_H
#define VMCTL_START_H

#include <stdbool.h>

#include "cmd.h"

struct client_answer;
struct target;

/*
 * The command start, or one with its options: which VM that is, and what vmd
 * answered; no OK when it runs already and -q was given.  *console (NULL: there
 * is no -c): was that asked for?
 */
enum cmd_result start_by_options(int argc, char **argv, const struct cmd_env *,
    struct target *, struct client_answer *, bool *console);
/* A regular file to read, or -errno after saying why not. */
int start_open_image(const char *what, const char *path);
/* Start a configured VM; 0, or -errno after saying why not. */
int start_target(const struct cmd_env *, const struct target *);

#endif
