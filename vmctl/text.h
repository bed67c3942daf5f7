/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_TEXT_H
#define VMCTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define TEXT_SCALED 8 /* bytes that text_scaled() needs */
#define TEXT_TIME   40 /* text_time() */

/* Make a string safe to print: what could steer a terminal becomes '?'. */
void text_clean(char *);
/* The form of fmt_scaled(3): "0B", "900B", "1.5G", "512M". */
void text_scaled(uint64_t bytes, char out[TEXT_SCALED]);
/* Milliseconds since 1970 as of RFC 3339, UTC; "" beyond what a year can be. */
void text_time(uint64_t ms, char out[TEXT_TIME]);

#endif
