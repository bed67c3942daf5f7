/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "macro.h"

bool
macro_name_ok(const char *s)
{
	if (*s == '\0' || strlen(s) > MACRO_NAME_MAX)
		return false;
	for (; *s != '\0'; s++) {
		if (!isalnum((unsigned char)*s) && *s != '_')
			return false;
	}
	return true;
}

static struct macro *
find(const struct macros *list, const char *name)
{
	struct macro *m;

	TAILQ_FOREACH(m, list, entry)
	{
		if (strcmp(m->name, name) == 0)
			return m;
	}
	return NULL;
}

static void
macro_free(struct macro *m)
{
	if (m == NULL)
		return;
	free(m->name);
	free(m->value);
	free(m);
}

int
macro_set(struct macros *list, const char *name, const char *value, bool option,
    const char *file, unsigned line)
{
	struct macro *m, *old = find(list, name);

	if (old != NULL && old->option && !option)
		return 0;
	if ((m = calloc(1, sizeof(*m))) == NULL)
		return -ENOMEM;
	m->name = strdup(name);
	m->value = strdup(value);
	if (m->name == NULL || m->value == NULL) {
		macro_free(m);
		return -ENOMEM;
	}
	m->option = option;
	m->file = file;
	m->line = line;
	if (old != NULL) {
		m->used = old->used;
		TAILQ_REMOVE(list, old, entry);
		macro_free(old);
	}
	TAILQ_INSERT_TAIL(list, m, entry);
	return 0;
}

const char *
macro_get(struct macros *list, const char *name)
{
	struct macro *m = find(list, name);

	if (m == NULL)
		return NULL;
	m->used = true;
	return m->value;
}

int
macro_copy(struct macros *to, const struct macros *from)
{
	const struct macro *m;
	int error;

	TAILQ_FOREACH(m, from, entry)
	{
		error = macro_set(
		    to, m->name, m->value, m->option, m->file, m->line);
		if (error != 0)
			return error;
	}
	return 0;
}

void
macro_clear(struct macros *list)
{
	struct macro *m;

	while ((m = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, m, entry);
		macro_free(m);
	}
}
