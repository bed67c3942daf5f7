/* SPDX-License-Identifier: ISC */
/*
 * The parent's half of the confinement test: VMD_CONFINE=ROLE:ACT in its
 * environment makes it ask each process of that role, once it is sealed, to
 * try the act.  Never compiled into production.
 */
#include <stdlib.h>
#include <string.h>
#include "chan.h"
#include "confine.h"
#include "imsg.h"
#include "log.h"

void
confine_ask(struct chan *chan, const char *role)
{
	const char *want = getenv("VMD_CONFINE");
	size_t len = strlen(role);
	struct ibuf *body;

	if (want == NULL || strncmp(want, role, len) != 0 || want[len] != ':')
		return;
	want += len + 1;
	body = chan_body();
	if (ibuf_add(body, want, strlen(want)) == -1)
		fatal("confine");
	log_info("confine: %s: %s", role, want);
	if (chan_send(chan, CONFINE_MSG, 0, -1, body) != 0)
		fatalx("confine: cannot ask");
}
