/* SPDX-License-Identifier: ISC */
#ifndef VMD_REMOTE_IMPL_H
#define VMD_REMOTE_IMPL_H

/* The process "remote": its listeners, and a client each. */
#include <sys/queue.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <stdint.h>
#include "conf.h"

#define REMOTE_CLIENTS_MAX	  128
#define REMOTE_SOURCES_MAX	  512
#define REMOTE_CLIENTS_PER_SOURCE 16
#define REMOTE_BURST		  30 /* new connections of one source */
#define REMOTE_RATE		  1 /* a second, beyond that */

struct chan;
struct event;
struct event_base;
struct tls;

/* An IPv4 address or an IPv6 network of 64 bits. */
struct source {
	TAILQ_ENTRY(source) entry;
	uint8_t key[17];
	unsigned n; /* its clients now */
	unsigned left; /* of REMOTE_BURST */
	int64_t at; /* ms, when left was right */
};
TAILQ_HEAD(sources, source);

/* NULL: too many, of it or in all. */
struct source *
source_take(struct sources *, const struct sockaddr_storage *, int64_t now);
void source_give(struct source *);

struct remote_listener {
	int fd; /* -1: none */
	struct tls *tls;
	struct event *accept;
};

struct remote_client;

struct remote {
	struct event_base *base;
	struct chan *parent;
	struct remote_listener listener[CONF_LISTENS_MAX];
	struct event *resume; /* after descriptors ran out */
	struct sources sources;
	TAILQ_HEAD(remote_clients, remote_client) clients;
	unsigned nclients;
	uint32_t last_id;
};

/* Consumes the three, whatever comes of it. */
void remote_client_new(
    struct remote *, struct tls *, int fd, struct source *, const char *from);
struct remote_client *remote_client_find(const struct remote *, uint32_t id);
/* What it wanted is there, or why it is not. */
void remote_client_opened(struct remote_client *, int fd);
void remote_client_refused(struct remote_client *, const char *why);

#endif
