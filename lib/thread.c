/* SPDX-License-Identifier: ISC */
/*
 * Threads with a small stack and without signals: see thread.h.
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>

#include "thread.h"

/* Untouched pages cost nothing; the default of 8 MiB of address space for
 * each thread would only hide a runaway recursion. */
#define STACK_SIZE (128 * 1024)

struct start {
	const char *name;
	void *(*run)(void *);
	void *arg;
	sem_t begun;
};

static void *
begin(void *p)
{
	struct start *s = p;
	void *(*run)(void *) = s->run;
	void *arg = s->arg;

	/* Of another thread this would need /proc. */
	(void)pthread_setname_np(pthread_self(), s->name);
	sem_post(&s->begun);
	return run(arg);
}

int
thread_new(pthread_t *t, const char *name, void *(*run)(void *), void *arg)
{
	struct start s = { .name = name, .run = run, .arg = arg };
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	error = pthread_attr_init(&attr);
	if (error != 0)
		return -error;
	sem_init(&s.begun, 0, 0);
	error = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (error == 0) {
		/* The mask is inherited. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = pthread_create(t, &attr, begin, &s);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (error == 0)
		while (sem_wait(&s.begun) == -1 && errno == EINTR)
			;
	sem_destroy(&s.begun);
	pthread_attr_destroy(&attr);
	return -error;
}
