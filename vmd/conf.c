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
	c->local.prefix = CONF_LOCAL_PREFIX;
	c->local.len = CONF_LOCAL_LEN;
	TAILQ_INIT(&c->switches);
	TAILQ_INIT(&c->vms);
	return c;
}

void
conf_free(struct conf *c)
{
	struct conf_switch *sw;
	struct conf_vm *vm;

	if (c == NULL)
		return;
	while ((sw = TAILQ_FIRST(&c->switches)) != NULL) {
		TAILQ_REMOVE(&c->switches, sw, entry);
		free(sw);
	}
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

const struct conf_switch *
conf_switch(const struct conf *c, const char *name)
{
	const struct conf_switch *sw;

	TAILQ_FOREACH(sw, &c->switches, entry)
	{
		if (strcmp(sw->name, name) == 0)
			return sw;
	}
	return NULL;
}
