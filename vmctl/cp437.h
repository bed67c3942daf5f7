/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CP437_H
#define VMCTL_CP437_H

/* A character of code page 437, as a PC's screen draws it, in UTF-8. */
#include <stddef.h>
#include <stdint.h>

#define CP437_MAX 4 /* bytes, with the NUL */

void cp437_utf8(uint8_t, char out[CP437_MAX]);

#endif
