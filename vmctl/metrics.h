/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_METRICS_H
#define VMCTL_METRICS_H

#include <stddef.h>
#include <stdio.h>

#include "ctl.h"

/* The families as described in vmctl(8). */
void metrics_print(FILE *, const struct ctl_vm *, size_t n);

#endif
