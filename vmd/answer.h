/* SPDX-License-Identifier: ISC */
#ifndef VMD_ANSWER_H
#define VMD_ANSWER_H

/*
 * What clients are answered, by way of control: at once, or when a VM has
 * come to what they wait for.  The functions that return a value return 0,
 * to be a handler's.
 */
#include <sys/queue.h>
#include <stdbool.h>
#include <stdint.h>
#include "fail.h"

struct ibuf;
struct parent;
struct vm;

enum wait_kind {
	WAIT_START,
	WAIT_END,
	WAIT_MEDIUM,
	WAIT_PAUSE,
	WAIT_SAVE,
	WAIT_RESET, /* one for each VM that is still there */
};

struct wait {
	TAILQ_ENTRY(wait) entry;
	uint32_t client;
	struct vm *vm;
	enum wait_kind kind;
};

/* body is consumed. */
void
answer_send(struct parent *, uint32_t type, uint32_t client, struct ibuf *body);
int
answer_ok(struct parent *, uint32_t client, uint32_t vmid, const char *text);
int answer_fail(struct parent *, uint32_t client, const struct fail *);
int answer_perm(struct parent *, uint32_t client);
/* Control has a lot to pass on, so that long answers have to wait. */
bool answer_full(const struct parent *);
/* Likewise, and the client was answered so. */
bool answer_busy(struct parent *, uint32_t client);

/* 0 or -ENOMEM. */
int wait_add(struct parent *, uint32_t client, struct vm *, enum wait_kind);
/* The last one that was added, without an answer. */
void wait_undo(struct parent *);
bool wait_has(const struct parent *, uint32_t client, enum wait_kind);
/* Those of this kind, without an answer. */
void wait_drop(struct parent *, uint32_t client, enum wait_kind);
/* Of one client, or of all for 0. */
void wait_forget(struct parent *, uint32_t client);

#endif
