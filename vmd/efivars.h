/* SPDX-License-Identifier: ISC */
#ifndef VMD_EFIVARS_H
#define VMD_EFIVARS_H

/* The file with a VM's UEFI variables. */
#include "fail.h"

/* What is booted with variables and without a kernel: Debian's package ovmf. */
#define EFIVARS_FIRMWARE "/usr/share/OVMF/OVMF_CODE_4M.fd"

/*
 * Opens the file, to be read and written, and locks it.  If there is none, it
 * is a copy of what lies beside the firmware under the same name, but for VARS
 * instead of CODE.  0, or negative with *why filled.
 */
int
efivars_open(const char *path, const char *firmware, int *fd, struct fail *why);

#endif
