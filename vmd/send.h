/* SPDX-License-Identifier: ISC */
#ifndef VMD_SEND_H
#define VMD_SEND_H

/*
 * The memory of a guest that runs, round by round, as sections of state.h: the
 * first has every page that is not zero, each later one the pages that were
 * written since they were read for the one before.  Who reads it needs to know
 * nothing of that: the last copy of a page counts.
 *
 * Then what both sides say:
 *
 *   from    to
 *   state ...            with the last section nothing of the guest runs, and
 *                        its images are not locked, or the other side has
 *                        copies of its own (mirror.h)
 *           READY        it could go on; its images are locked
 *   COMMIT               it is the other's
 *           DONE         it runs
 *           NO, text     instead of READY: it will not
 *
 * Before COMMIT is sent the sender may go on, and does when anything fails;
 * afterwards never by itself.  The receiver goes on when it has COMMIT, or
 * never.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gmem.h"
#include "state.h"

struct mirror_to;

#define SEND_ROUNDS_MAX 30
#define SEND_TEXT_MAX	200

struct send {
	const struct gmem *mem;
	struct state s; /* what is to go out */
	uint64_t *map; /* pages that are to be sent, in the order of the file */
	uint64_t *log; /* as long */
	uint64_t words, word; /* of them; the next one */
	unsigned round; /* 1: the first */
};

/* Adds the pages that a guest has written since the last time: gmem.h's order.
 * 0 or -errno. */
typedef int (*send_log)(void *arg, uint64_t *bits);

/* 0 or -errno.  What is in the log by now does not matter. */
int send_begin(struct send *, const struct gmem *, const char *name);
void send_free(struct send *);
/* Sections until there are max bytes to go out: true when the round is over. */
bool send_more(struct send *, size_t max);
/* The next round, with what is left of this one: how many pages it has, or
 * -errno. */
int64_t send_round(struct send *, send_log, void *arg);

/* The other side: memory sections up to the one that ends them, and those of
 * disks among them unless there is nobody who takes them. */
void send_read(struct state *, const struct gmem *, struct mirror_to *disks);

enum send_next {
	SEND_GO_ON, /* another round */
	SEND_STOP, /* the rest in time, and not much less by another round */
	SEND_NEVER, /* it writes faster than that */
};
/* From round to round: zeroes, and as many pages as there can be. */
struct send_trend {
	uint64_t left; /* when the last one began */
	bool
	    in_time; /* the rest was, and there was another round for less... */
	bool spoilt; /* ...once in vain: the next chance is taken */
};
/* pages are left after so many rounds, speed is in bytes per second. */
enum send_next send_judge(struct send_trend *, uint64_t pages, uint64_t speed,
    unsigned rounds, unsigned limit_ms);

/*
 * By how many percent its guest is slowed down from now on: more when this
 * round leaves not much less than the last one did, up to most.
 */
unsigned
send_slow(unsigned percent, unsigned most, uint64_t pages, uint64_t before);

/* What the receiver says. */
enum send_word { SEND_READY = 'R', SEND_DONE = 'D', SEND_NO = 'N' };
#define SEND_COMMIT 'C'

struct send_words {
	uint8_t in[2 + SEND_TEXT_MAX];
	size_t n;
};
/* Of n bytes takes one word: an enum send_word, of which NO has a text; 0: more
 * is needed; or -EBADMSG.  used: bytes taken. */
int send_words(struct send_words *, const uint8_t *bytes, size_t n,
    size_t *used, char text[SEND_TEXT_MAX + 1]);
/* A word, in at most 2 + SEND_TEXT_MAX bytes. */
size_t
send_word_put(uint8_t to[2 + SEND_TEXT_MAX], uint8_t word, const char *text);

#endif
