/* SPDX-License-Identifier: ISC */
/*
 * Threads with a small stack and without signals: see thread.h.
 */
#include <signal.h>

#include "thread.h"

/* Untouched pages cost nothing; the default of 8 MiB of address space for
 * each thread would only hide a runaway recursion. */
#define STACK_SIZE (128 * 1024)

int
thread_new(pthread_t *t, const char *name, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int error;

	error = pthread_attr_init(&attr);
	if (error != 0)
		return -error;
	error = pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (error == 0) {
		/* The mask is inherited. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = pthread_create(t, &attr, run, arg);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	pthread_attr_destroy(&attr);
	if (error == 0)
		(void)pthread_setname_np(*t, name);
	return -error;
}
