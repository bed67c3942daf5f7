/* SPDX-License-Identifier: ISC */
#ifndef VMD_CLIENTS_H
#define VMD_CLIENTS_H

/* What the parent knows of the clients that control serves. */
#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include "cred.h"

#define CLIENTS_MAX	256 /* in all */
#define CLIENTS_MAX_UID 64 /* of one user other than root */

struct client {
	TAILQ_ENTRY(client) entry;
	uint32_t id; /* control's number for it */
	struct cred cred;
	bool events; /* is told of them */
	int kernel, initrd; /* passed, waiting for START_ADHOC; -1 */
};

struct clients {
	TAILQ_HEAD(client_list, client) list;
	unsigned n;
};

void clients_init(struct clients *);
/* Reads the credentials of the client's socket.  0 or -errno. */
int clients_add(struct clients *, uint32_t id, int sock);
struct client *clients_find(const struct clients *, uint32_t id);
void clients_remove(struct clients *, uint32_t id);
void clients_clear(struct clients *);

#endif
