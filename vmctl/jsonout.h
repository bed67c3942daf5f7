/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_JSONOUT_H
#define VMCTL_JSONOUT_H

/* What all commands that print JSON (-j) share. */
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

struct jsonout_member {
	const char *name;
	json_t *value; /* NULL: there was no memory */
};

/* A number; JSON's end at INT64_MAX. */
json_t *jsonout_u64(uint64_t);
/* A string; null for NULL and "". */
json_t *jsonout_text(const char *);
/* The members in order, their values consumed; NULL without memory. */
json_t *jsonout_object(const struct jsonout_member *, size_t n);
/* Print and consume; 0, -ENOMEM (the value is NULL too) or -EIO. */
int jsonout_print(FILE *, json_t *);
/* Likewise, on one line. */
int jsonout_line(FILE *, json_t *);

#endif
