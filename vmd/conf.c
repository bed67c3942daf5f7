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

struct conf *
conf_copy(const struct conf *from)
{
	const struct conf_switch *sw;
	const struct conf_vm *vm;
	struct conf_switch *sw2;
	struct conf_vm *vm2;
	struct conf *c = malloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = *from;
	TAILQ_INIT(&c->switches);
	TAILQ_INIT(&c->vms);
	TAILQ_FOREACH(sw, &from->switches, entry)
	{
		if ((sw2 = malloc(sizeof(*sw2))) == NULL)
			goto free_copy;
		*sw2 = *sw;
		TAILQ_INSERT_TAIL(&c->switches, sw2, entry);
	}
	TAILQ_FOREACH(vm, &from->vms, entry)
	{
		if ((vm2 = malloc(sizeof(*vm2))) == NULL)
			goto free_copy;
		*vm2 = *vm;
		TAILQ_INSERT_TAIL(&c->vms, vm2, entry);
	}
	return c;

free_copy:
	conf_free(c);
	return NULL;
}

void
conf_drop_switches(struct conf *c)
{
	struct conf_switch *sw;

	while ((sw = TAILQ_FIRST(&c->switches)) != NULL) {
		TAILQ_REMOVE(&c->switches, sw, entry);
		free(sw);
	}
}

void
conf_drop_vms(struct conf *c)
{
	struct conf_vm *vm;

	while ((vm = TAILQ_FIRST(&c->vms)) != NULL) {
		TAILQ_REMOVE(&c->vms, vm, entry);
		free(vm);
	}
	c->nvms = 0;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	conf_drop_switches(c);
	conf_drop_vms(c);
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

const struct conf_remote *
conf_remote(const struct conf *c, const char *subject)
{
	unsigned i;

	for (i = 0; i < c->nremotes; i++) {
		if (strcmp(c->remote[i].subject, subject) == 0)
			return &c->remote[i];
	}
	return NULL;
}

const char *
conf_tls_name(enum conf_tls file)
{
	static const char *const names[CONF_TLS_FILES] = {
		[CONF_TLS_CA] = "ca",
		[CONF_TLS_CERT] = "certificate",
		[CONF_TLS_KEY] = "key",
		[CONF_TLS_CRL] = "crl",
	};

	return names[file];
}
