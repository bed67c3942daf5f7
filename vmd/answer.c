/* SPDX-License-Identifier: ISC */
/*
 * Answers to clients.  A wait is the promise of one: it ends with the answer,
 * or with the client.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "events.h"
#include "imsg.h"
#include "log.h"
#include "parent.h"

/* Beyond this many unsent bytes to control a long answer is refused. */
#define QUEUE_BUSY (CHAN_QUEUE_MAX / 4)

void
answer_send(struct parent *p, uint32_t type, uint32_t client, struct ibuf *body)
{
	if (p->control.chan == NULL) {
		ibuf_free(body);
		return;
	}
	/* A full queue ends the channel, and control with it. */
	if (chan_send(p->control.chan, type, client, -1, body) != 0)
		log_warnx("control: answer lost");
}

static void
answer_code(struct parent *p, uint32_t type, uint32_t client, uint32_t n,
    const char *text)
{
	struct ibuf *body = chan_body();

	if (ibuf_add_n32(body, n) == -1 || ctl_put_str(body, text) != 0)
		fatalx("answer: out of memory");
	answer_send(p, type, client, body);
}

int
answer_ok(struct parent *p, uint32_t client, uint32_t vmid, const char *text)
{
	answer_code(p, CTL_OK, client, vmid, text);
	return 0;
}

int
answer_fail(struct parent *p, uint32_t client, const struct fail *f)
{
	answer_code(p, CTL_FAIL, client, (uint32_t)f->code, f->text);
	return 0;
}

bool
answer_full(const struct parent *p)
{
	return p->control.chan != NULL &&
	    chan_queued(p->control.chan) > QUEUE_BUSY;
}

bool
answer_busy(struct parent *p, uint32_t client)
{
	struct fail f;

	if (!answer_full(p))
		return false;
	fail_set(&f, EAGAIN, "vmd is busy");
	answer_fail(p, client, &f);
	return true;
}

int
answer_perm(struct parent *p, uint32_t client)
{
	struct fail f;

	fail_set(&f, EPERM, "%s", strerror(EPERM));
	return answer_fail(p, client, &f);
}

/* Answers that follow later. */

int
wait_add(struct parent *p, uint32_t client, struct vm *vm, enum wait_kind kind)
{
	struct wait *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -ENOMEM;
	w->client = client;
	w->vm = vm;
	w->kind = kind;
	TAILQ_INSERT_TAIL(&p->waits, w, entry);
	return 0;
}

static void
wait_free(struct parent *p, struct wait *w)
{
	TAILQ_REMOVE(&p->waits, w, entry);
	free(w);
}

void
wait_undo(struct parent *p)
{
	wait_free(p, TAILQ_LAST(&p->waits, waits));
}

bool
wait_has(const struct parent *p, uint32_t client, enum wait_kind kind)
{
	const struct wait *w;

	TAILQ_FOREACH(w, &p->waits, entry)
	{
		if (w->client == client && w->kind == kind)
			return true;
	}
	return false;
}

void
wait_drop(struct parent *p, uint32_t client, enum wait_kind kind)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->client == client && w->kind == kind)
			wait_free(p, w);
	}
}

void
wait_forget(struct parent *p, uint32_t client)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (client == 0 || w->client == client)
			wait_free(p, w);
	}
}

/* OK for all who wait for this of the VM. */
static void
wait_done(
    struct parent *p, struct vm *vm, enum wait_kind kind, const char *text)
{
	struct wait *w, *next;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm || w->kind != kind)
			continue;
		answer_ok(p, w->client, vm->id, text);
		wait_free(p, w);
	}
}

static void
on_vm_started(void *arg, struct vm *vm)
{
	wait_done(arg, vm, WAIT_START, vm->tty[0].name);
}

static void
on_vm_paused(void *arg, struct vm *vm)
{
	events_paused(arg, vm);
	wait_done(arg, vm, WAIT_PAUSE, "");
}

/* A VM that is to end is saved when it has ended. */
static void
on_vm_saved(void *arg, struct vm *vm, const struct fail *f)
{
	struct parent *p = arg;
	struct wait *w, *next;

	if (f->code == 0 && vm->run.save_go_on) {
		wait_done(p, vm, WAIT_SAVE, "");
		return;
	}
	for (w = TAILQ_FIRST(&p->waits); f->code != 0 && w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm || w->kind != WAIT_SAVE)
			continue;
		answer_fail(p, w->client, f);
		wait_free(p, w);
	}
}

static void
on_vm_progress(void *arg, struct vm *vm, const char *text)
{
	struct parent *p = arg;
	const struct wait *w;
	struct ibuf *body;

	TAILQ_FOREACH(w, &p->waits, entry)
	{
		if (w->vm != vm || w->kind != WAIT_SAVE || answer_full(p))
			continue;
		body = chan_body();
		if (ctl_put_str(body, text) != 0)
			fatalx("answer: out of memory");
		answer_send(p, CTL_LINE, w->client, body);
	}
}

static void
vm_over(struct parent *p, struct vm *vm, const struct fail *f)
{
	struct wait *w, *next;
	uint32_t client;
	bool reset;

	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm)
			continue;
		client = w->client;
		reset = w->kind == WAIT_RESET;
		switch (w->kind) {
		case WAIT_START:
		case WAIT_MEDIUM:
		case WAIT_PAUSE:
			answer_fail(p, w->client, f);
			break;
		case WAIT_SAVE:
			if (vm->run.saved)
				answer_ok(p, w->client, vm->id, "");
			else
				answer_fail(p, w->client, f);
			break;
		case WAIT_END:
			answer_code(
			    p, CTL_ENDED, w->client, vm->id, vm->conf.name);
			answer_ok(p, w->client, vm->id, "");
			break;
		case WAIT_RESET:
			break;
		}
		wait_free(p, w);
		if (reset && !wait_has(p, client, WAIT_RESET))
			answer_ok(p, client, 0, "");
	}
}

static void
on_vm_failed(void *arg, struct vm *vm, const struct fail *f)
{
	vm_over(arg, vm, f);
}

static void
on_vm_ended(void *arg, struct vm *vm)
{
	struct fail f;

	fail_set(&f, ECANCELED, "vm \"%s\" ended", vm->conf.name);
	vm_over(arg, vm, &f);
}

static void
on_vm_changed(void *arg, struct vm *vm, uint32_t error)
{
	struct parent *p = arg;
	struct wait *w, *next;
	struct fail f;

	if (error == 0)
		keep_medium(&p->keep, vm);
	if (error == EBUSY)
		fail_set(&f, EBUSY,
		    "the guest keeps what is in the cdrom drive of vm \"%s\"",
		    vm->conf.name);
	else
		fail_set(&f, (int)error, "cdrom of vm \"%s\": %s",
		    vm->conf.name, strerror((int)error));
	for (w = TAILQ_FIRST(&p->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->vm != vm || w->kind != WAIT_MEDIUM)
			continue;
		if (error == 0)
			answer_ok(p, w->client, vm->id, "");
		else
			answer_fail(p, w->client, &f);
		wait_free(p, w);
	}
}

static void
on_vm_state(void *arg, struct vm *vm)
{
	struct parent *p = arg;

	/* First what survives us, then what is told of it. */
	keep_state(&p->keep, vm);
	events_state(p, vm);
}

static void
on_vm_problem(void *arg, struct vm *vm)
{
	struct parent *p = arg;

	keep_note(&p->keep, vm);
	events_problem(p, vm);
}

const struct life_ops answer_life_ops = {
	on_vm_started,
	on_vm_failed,
	on_vm_ended,
	on_vm_changed,
	on_vm_saved,
	on_vm_progress,
	on_vm_paused,
	on_vm_state,
	on_vm_problem,
};
