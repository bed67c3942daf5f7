/* SPDX-License-Identifier: ISC */
/*
 * Reasons: see why.h.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "why.h"

int
why_set(struct why *why, int error, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return error;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return error;
}
