/* SPDX-License-Identifier: ISC */
#ifndef VMD_MACRO_H
#define VMD_MACRO_H

/* Macros of vm.conf: name=value lines and -D options, which win. */
#include <sys/queue.h>
#include <stdbool.h>

struct macro {
	TAILQ_ENTRY(macro) entry;
	char *name, *value;
	bool option; /* from -D: later definitions do not change it */
	bool used;
	const char *file; /* where it was set, not owned */
	unsigned line;
};
TAILQ_HEAD(macros, macro);

#define MACRO_NAME_MAX 63

/* The name consists of letters, digits and '_'. */
bool macro_name_ok(const char *);
/* 0 or -errno; a macro set by an option keeps its value. */
int macro_set(struct macros *, const char *name, const char *value, bool option,
    const char *file, unsigned line);
/* NULL when not defined; marks it as used. */
const char *macro_get(struct macros *, const char *name);
/* Adds what the other list holds. 0 or -errno. */
int macro_copy(struct macros *, const struct macros *);
void macro_clear(struct macros *);

#endif
