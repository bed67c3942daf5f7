/* SPDX-License-Identifier: ISC */
#ifndef VMD_REQUESTS_H
#define VMD_REQUESTS_H

/* Requests about the daemon itself, for the table of requests.c. */
#include <stdint.h>

struct ibuf;

int requests_log(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_reload(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_load(void *arg, uint32_t client, int fd, struct ibuf *);
int requests_reset(void *arg, uint32_t client, int fd, struct ibuf *);

#endif
