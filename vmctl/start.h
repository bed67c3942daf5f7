/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_START_H
#define VMCTL_START_H

struct cmd_env;
struct target;

/* A regular file to read, or -errno after saying why not. */
int start_open_image(const char *what, const char *path);
/* Start a configured VM; 0, or -errno after saying why not. */
int start_target(const struct cmd_env *, const struct target *);

#endif
