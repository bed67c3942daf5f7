/* SPDX-License-Identifier: ISC */
#include "pvpanic.h"

#define PANICKED (1U << 0)
#define HANDLED	 (1U << 1) /* a crash kernel is loaded */

void
pvpanic_init(
    struct pvpanic *p, void (*panicked)(void *arg, bool handled), void *arg)
{
	p->told = false;
	p->panicked = panicked;
	p->arg = arg;
}

/* The bits that mean something. */
uint8_t
pvpanic_read(const struct pvpanic *p)
{
	return PANICKED | HANDLED;
}

void
pvpanic_write(struct pvpanic *p, uint8_t val)
{
	if ((val & (PANICKED | HANDLED)) == 0 || p->told)
		return;
	p->told = true;
	p->panicked(p->arg, (val & PANICKED) == 0);
}
