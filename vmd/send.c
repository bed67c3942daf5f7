/* SPDX-License-Identifier: ISC */
/*
 * See send.h.
 *
 * Invariants
 *  1. A page's bit is taken before the page is read: what is written later has
 *     its bit again.
 *  2. What is sent is a copy, of which the checksum is made: the guest writes
 *     meanwhile.  A page that was zero when it was looked at, and is not sent,
 *     has its bit again by invariant 1 if it is not zero any more.
 *  3. Pages that are holes at the beginning are not read at all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mirror.h"
#include "send.h"

#define PAGE   4096ULL
#define WORD   64U /* pages */
#define SLOWER 20U /* percent */
#define SHORT  8U /* this part of the limit is as good as nothing */

static void
mark(uint64_t *map, uint64_t off, uint64_t end)
{
	for (; off < end; off += PAGE)
		map[off / PAGE / WORD] |= 1ULL << (off / PAGE % WORD);
}

int
send_begin(struct send *d, const struct gmem *mem, const char *name)
{
	uint64_t i, off, end, pages = mem->size / PAGE;

	memset(d, 0, sizeof(*d));
	d->mem = mem;
	d->words = (pages + WORD - 1) / WORD;
	d->round = 1;
	d->map = calloc(d->words, sizeof(*d->map));
	d->log = malloc(d->words * sizeof(*d->log));
	if (d->map == NULL || d->log == NULL) {
		send_free(d);
		return -ENOMEM;
	}
	for (i = 0; i < d->words; i++)
		(void)gmem_take(mem, i);
	for (off = 0; gmem_next(mem, &off, &end); off = end)
		mark(d->map, off, end);
	return state_write_head(&d->s, -1, name);
}

void
send_free(struct send *d)
{
	state_free(&d->s);
	free(d->map);
	free(d->log);
	d->map = d->log = NULL;
}

static bool
is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE - 1) == 0;
}

static uint64_t
gpa_of(const struct gmem *mem, uint64_t off)
{
	unsigned i = mem->nregions - 1;

	while (i > 0 && off < mem->region[i].off)
		i--;
	return mem->region[i].gpa + (off - mem->region[i].off);
}

static void
section(struct send *d, uint64_t gpa, uint8_t *p, size_t len)
{
	if (state_begin(&d->s, "memory", 1) != 0)
		return;
	state_number(&d->s, &gpa, UINT64_MAX);
	state_bytes(&d->s, p, len);
	(void)state_end(&d->s);
}

/* In the first round the other side's memory is zero. */
static void
run(struct send *d, uint64_t gpa, uint8_t *p, size_t len)
{
	size_t from, to;

	if (d->round > 1) {
		section(d, gpa, p, len);
		return;
	}
	for (from = 0; from < len; from = to) {
		to = from + PAGE;
		if (is_zero(p + from))
			continue;
		while (to < len && !is_zero(p + to))
			to += PAGE;
		section(d, gpa + from, p + from, to - from);
	}
}

/* One run of set bits of a word; regions begin with a word. */
static void
one_run(struct send *d, uint64_t *bits)
{
	unsigned first = (unsigned)__builtin_ctzll(*bits), n;
	uint64_t rest = *bits >> first, gpa;
	uint8_t *p;

	n = rest == UINT64_MAX ? WORD : (unsigned)__builtin_ctzll(~rest);
	if (n == WORD)
		*bits = 0;
	else
		*bits &= ~(((1ULL << n) - 1) << first);
	gpa = gpa_of(d->mem, (d->word * WORD + first) * PAGE);
	p = gmem_range(d->mem, (struct gpa){ gpa }, n * PAGE);
	if (p == NULL)
		state_fail(&d->s, -EFAULT, "no memory at %#llx",
		    (unsigned long long)gpa);
	else
		run(d, gpa, p, n * PAGE);
}

bool
send_more(struct send *d, size_t max)
{
	uint64_t bits;

	for (; d->word < d->words && d->s.error == 0; d->word++) {
		if (d->s.nout >= max)
			return false;
		bits = d->map[d->word];
		d->map[d->word] = 0;
		while (bits != 0 && d->s.error == 0)
			one_run(d, &bits);
	}
	return true;
}

int64_t
send_round(struct send *d, send_log log, void *arg)
{
	uint64_t i, n = 0;
	int e;

	memset(d->log, 0, d->words * sizeof(*d->log));
	if ((e = log(arg, d->log)) < 0)
		return e;
	for (i = 0; i < d->words; i++) {
		d->map[i] |= d->log[i] | gmem_take(d->mem, i);
		n += (uint64_t)__builtin_popcountll(d->map[i]);
	}
	d->word = 0;
	d->round++;
	return (int64_t)n;
}

void
send_read(struct state *s, const struct gmem *mem, struct mirror_to *disks)
{
	uint64_t gpa;
	size_t len;
	void *p;

	for (;;) {
		while (disks != NULL && state_next(s, "disk"))
			mirror_read(s, disks);
		gpa = 0;
		if (state_begin_first(s, "memory", 1, sizeof(gpa)) != 0)
			return;
		state_number(s, &gpa, UINT64_MAX);
		if (s->error == 0 && gpa != UINT64_MAX) {
			len = state_left(s);
			p = gmem_range(mem, (struct gpa){ gpa }, len);
			if (p == NULL)
				state_fail(s, -EINVAL, "no memory at %#llx",
				    (unsigned long long)gpa);
			else
				state_into(s, p);
		}
		if (state_end(s) != 0 || gpa == UINT64_MAX)
			return;
	}
}

/* It leaves not much less than the round before. */
static bool
stagnates(uint64_t pages, uint64_t before)
{
	return pages >= before - before / 4;
}

/* A round for less, although the rest is in time, takes less than the limit, and
 * each of them leaves less: together they take four times as long at most.  A
 * guest that writes in bursts is not waited for again. */
enum send_next
send_judge(struct send_trend *t, uint64_t pages, uint64_t speed,
    unsigned rounds, unsigned limit_ms)
{
	uint64_t can = speed / 1000 * limit_ms, before = t->left;
	bool last = rounds >= SEND_ROUNDS_MAX;

	t->left = pages;
	if (pages * PAGE > can) {
		t->spoilt = t->in_time;
		return last ? SEND_NEVER : SEND_GO_ON;
	}
	t->in_time = true;
	if (last || t->spoilt || pages * PAGE <= can / SHORT ||
	    stagnates(pages, before))
		return SEND_STOP;
	return SEND_GO_ON;
}

unsigned
send_slow(unsigned percent, unsigned most, uint64_t pages, uint64_t before)
{
	if (!stagnates(pages, before))
		return percent;
	percent += SLOWER;
	return percent < most ? percent : most;
}

int
send_words(struct send_words *w, const uint8_t *bytes, size_t n, size_t *used,
    char text[SEND_TEXT_MAX + 1])
{
	size_t i;

	for (i = 0; i < n;) {
		w->in[w->n++] = bytes[i++];
		if (w->n == 1 && w->in[0] != SEND_READY &&
		    w->in[0] != SEND_DONE && w->in[0] != SEND_NO)
			return -EBADMSG;
		if (w->n == 2 &&
		    (w->in[1] > SEND_TEXT_MAX ||
			(w->in[0] != SEND_NO && w->in[1] != 0)))
			return -EBADMSG;
		if (w->n < 2 || w->n < 2U + w->in[1])
			continue;
		memcpy(text, w->in + 2, w->in[1]);
		text[w->in[1]] = '\0';
		w->n = 0;
		*used = i;
		return w->in[0];
	}
	*used = i;
	return 0;
}

size_t
send_word_put(uint8_t to[2 + SEND_TEXT_MAX], uint8_t word, const char *text)
{
	size_t n = strnlen(text, SEND_TEXT_MAX);

	to[0] = word;
	to[1] = (uint8_t)n;
	memcpy(to + 2, text, n);
	return 2 + n;
}
