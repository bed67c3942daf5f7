/* SPDX-License-Identifier: ISC */
#ifndef VMD_REQUESTS_H
#define VMD_REQUESTS_H

/* Requests about files and the daemon itself, for the table of requests.c. */
#include <stdint.h>

struct ctl_target;
struct ibuf;

int requests_log(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_reload(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_load(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_reset(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_start_file(void *arg, uint32_t client, int fd, struct ibuf *);

struct client;
struct fail;
struct parent;
struct vm;
struct start_fds;
/*
 * Start and answer when it runs.  given (may be NULL) is consumed.  0, or
 * negative with *why, and the answer is the caller's.
 */
int requests_start(struct parent *, struct client *, struct vm *,
    struct start_fds *given, struct fail *why);

/* reqsave.c */
int requests_save(void *parent, uint32_t id, int fd, struct ibuf *);
int requests_restore(void *parent, uint32_t id, int fd, struct ibuf *);
/* reqsnap.c */
int requests_snapshot(void *parent, uint32_t id, int fd, struct ibuf *);
int requests_snapshots(void *parent, uint32_t id, int fd, struct ibuf *);
int requests_revert(void *parent, uint32_t id, int fd, struct ibuf *);
/* reqsend.c */
int requests_send(void *parent, uint32_t id, int fd, struct ibuf *);
int requests_receive(void *parent, uint32_t id, int fd, struct ibuf *);
/* Who sends VMs has left, or for 0 all who did. */
void reqsend_cancel(struct parent *, uint32_t id);
/* The stream of a VM that is received, by its ticket; -1: none. */
int reqsend_take(struct parent *, const char *ticket);

/* The VM that the client asks about; NULL: it was answered, or has left. */
struct vm *requests_allowed(
    struct parent *, uint32_t type, uint32_t client, const struct ctl_target *);

#endif
