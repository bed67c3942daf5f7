/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>

#include "fail.h"

int
fail_set(struct fail *f, int code, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->cause = 0;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return -code;
}
