/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdlib.h>

#include "clients.h"
#include "fd.h"

void
clients_init(struct clients *cs)
{
	TAILQ_INIT(&cs->list);
	cs->n = 0;
}

int
clients_add(struct clients *cs, uint32_t id, int sock)
{
	struct client *c;
	int error;

	if (cs->n == CLIENTS_MAX)
		return -EUSERS;
	if (clients_find(cs, id) != NULL)
		return -EEXIST;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return -ENOMEM;
	if ((error = cred_of_peer(sock, &c->cred)) != 0) {
		free(c);
		return error;
	}
	c->id = id;
	c->kernel = c->initrd = -1;
	TAILQ_INSERT_TAIL(&cs->list, c, entry);
	cs->n++;
	return 0;
}

struct client *
clients_find(const struct clients *cs, uint32_t id)
{
	struct client *c;

	TAILQ_FOREACH(c, &cs->list, entry)
	{
		if (c->id == id)
			return c;
	}
	return NULL;
}

static void
drop(struct clients *cs, struct client *c)
{
	TAILQ_REMOVE(&cs->list, c, entry);
	cs->n--;
	fd_close(&c->kernel);
	fd_close(&c->initrd);
	cred_clear(&c->cred);
	free(c);
}

void
clients_remove(struct clients *cs, uint32_t id)
{
	struct client *c = clients_find(cs, id);

	if (c != NULL)
		drop(cs, c);
}

void
clients_clear(struct clients *cs)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&cs->list)) != NULL)
		drop(cs, c);
}
