/* SPDX-License-Identifier: ISC */
/* Where clients of other hosts come from, and how many may. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "remote_impl.h"

static void
source_key(const struct sockaddr_storage *ss, uint8_t key[17])
{
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	memset(key, 0, 17);
	if (ss->ss_family == AF_INET) {
		memcpy(&sin, ss, sizeof(sin));
		key[0] = 4;
		memcpy(key + 1, &sin.sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		memcpy(&sin6, ss, sizeof(sin6));
		key[0] = 6;
		memcpy(key + 1, &sin6.sin6_addr, 8);
	}
}

static void
refill(struct source *s, int64_t now)
{
	int64_t more = (now - s->at) / 1000 * REMOTE_RATE;

	if (more <= 0)
		return;
	s->at = now;
	s->left = more > REMOTE_BURST - (int64_t)s->left
	    ? REMOTE_BURST
	    : s->left + (unsigned)more;
}

/* Finds it; forgets those that nothing is to be remembered of. */
static struct source *
find(struct sources *all, const uint8_t key[17], int64_t now, unsigned *count)
{
	struct source *s, *next, *found = NULL;

	*count = 0;
	for (s = TAILQ_FIRST(all); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		refill(s, now);
		if (memcmp(s->key, key, sizeof(s->key)) == 0)
			found = s;
		else if (s->n == 0 && s->left == REMOTE_BURST) {
			TAILQ_REMOVE(all, s, entry);
			free(s);
			continue;
		}
		(*count)++;
	}
	return found;
}

struct source *
source_take(struct sources *all, const struct sockaddr_storage *ss, int64_t now)
{
	uint8_t key[17];
	struct source *s;
	unsigned count;

	source_key(ss, key);
	if ((s = find(all, key, now, &count)) == NULL) {
		if (count >= REMOTE_SOURCES_MAX ||
		    (s = calloc(1, sizeof(*s))) == NULL)
			return NULL;
		memcpy(s->key, key, sizeof(s->key));
		s->left = REMOTE_BURST;
		s->at = now;
		TAILQ_INSERT_TAIL(all, s, entry);
	}
	if (s->n >= REMOTE_CLIENTS_PER_SOURCE || s->left == 0)
		return NULL;
	s->left--;
	s->n++;
	return s;
}

void
source_give(struct source *s)
{
	s->n--;
}
