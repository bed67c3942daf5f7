/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CHECK_H
#define VMCTL_CHECK_H

#include <jansson.h>
#include <stddef.h>

/* The role of the child that becomes `vmd -c'. */
#define CHECK_ROLE "report"

/*
 * vmd's binary: ../sbin/vmd from the directory of self if that can be run,
 * else the installed one.  0 or -ENAMETOOLONG.
 */
int check_path(const char *self, char *out, size_t len);
/* Become `vmd -c', with -k device unless that is NULL; returns when that
 * failed, and has said why. */
void check_become(char *device);
/* The work of the child; its exit status, if it returns. */
int check_child(void);
/* The report of `vmd -c' as vmctl(8) describes it; NULL without memory. */
json_t *check_json(const char *report);

#endif
