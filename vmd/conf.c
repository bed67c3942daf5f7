/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "conf.h"

struct conf *
conf_new(void)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->delay = CONF_DELAY;
	TAILQ_INIT(&c->vms);
	return c;
}

void
conf_free(struct conf *c)
{
	struct conf_vm *vm;

	if (c == NULL)
		return;
	while ((vm = TAILQ_FIRST(&c->vms)) != NULL) {
		TAILQ_REMOVE(&c->vms, vm, entry);
		free(vm);
	}
	free(c);
}

const struct vmconf *
conf_find(const struct conf *c, const char *name)
{
	const struct conf_vm *vm;

	TAILQ_FOREACH(vm, &c->vms, entry)
	{
		if (strcmp(vm->conf.name, name) == 0)
			return &vm->conf;
	}
	return NULL;
}
