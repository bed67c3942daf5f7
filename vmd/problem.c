/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "life.h"

void
life_problem(struct life *l, struct vm *vm, const char *fmt, ...)
{
	char text[sizeof(vm->problem)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (strcmp(text, vm->problem) == 0)
		return;
	memcpy(vm->problem, text, sizeof(text));
	l->ops->problem(l->arg, vm);
}
