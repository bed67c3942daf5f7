/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_ARGS_H
#define VMCTL_ARGS_H

/*
 * Arguments of commands.  Each function returns 0 or -errno and has then said
 * in one line on stderr what is wrong; outputs are written on success only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmconf.h"

/* A VM as the user named it: by number (id != 0) or by name. */
struct target {
	uint32_t id;
	char name[VM_NAME_MAX + 1];
};

int args_target(const char *, struct target *);
/* "web" or "3", for messages. */
const char *args_target_text(const struct target *, char buf[VM_NAME_MAX + 1]);
/* Bytes, rounded down to whole MiB. */
int args_memory(const char *, uint64_t *);
int args_cpus(const char *, uint32_t *);
/* "[raw:|qcow2:]path": appended to the configuration. */
int args_disk(const char *, struct vmconf *);
/* The length of a "raw:" or "qcow2:" that word begins with. */
size_t args_format(const char *word, enum vm_diskfmt *);
/* An interface on this switch, or a local one for NULL: appended. */
int args_nic(const char *sw, struct vmconf *);
/* The number of interfaces in all; those missing are on no switch. */
/* An interface, from 0 on. */
int args_nic_number(const char *, uint32_t *);
/* user: those that are added need no privileges. */
int args_nics(const char *, bool user, struct vmconf *);
/* The path made absolute. */
int args_path(const char *, char *out, size_t len);

/*
 * The index of the one name that word is, or is the beginning of; -ENOENT
 * when there is none, -EEXIST when it begins several.  Silent.
 */
int args_keyword(
    const char *word, const char *const *names, size_t n, bool ignore_case);

#endif
