/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_START_H
#define VMCTL_START_H

/* A regular file to read, or -errno after saying why not. */
int start_open_image(const char *what, const char *path);

#endif
