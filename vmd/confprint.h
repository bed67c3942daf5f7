/* SPDX-License-Identifier: ISC */
#ifndef VMD_CONFPRINT_H
#define VMD_CONFPRINT_H

#include <stdio.h>
#include "conf.h"

/*
 * The configuration as vm.conf(5) would say it: included files, macros and
 * defaults resolved, paths absolute, ids as numbers.  Reading this gives the
 * same configuration.  What an instance has from its parent is a comment.
 * 0 or -errno of the output.
 */
int confprint(FILE *, const struct conf *);

#endif
