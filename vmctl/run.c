/* SPDX-License-Identifier: ISC */
/*
 * vmctl run: a VM as long as it runs, for service managers and engines that
 * run what they manage in the foreground.
 *
 * Two threads: one follows the events, the other waits for signals, which are
 * requests to stop.  What vmd does meanwhile is of no matter: the guest of a
 * vmd that is started again is waited for as before.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "events.h"
#include "log.h"
#include "sdnotify.h"
#include "start.h"
#include "status.h"
#include "stop.h"

#define AWAY_SEC 60 /* that vmd may take to come back */
/* One a second, once somebody listens: it may be a process that vmd leaves
 * behind, or one that begins. */
#define TRIES 60

/* What the thread of the signals needs, which ends with the process. */
struct stopper {
	const struct cmd_env *env;
	sigset_t signals;
	pthread_mutex_t lock; /* (l) */
	struct target target; /* (l) */
	bool started; /* (l) target is valid */
	bool asked; /* (l) for an end, before that */
};

static void
stop(struct stopper *s, bool force)
{
	const struct stop_flags flags = { .force = force, .quiet = true };
	enum cmd_exit why = CMD_EXIT_FAILED;
	struct cmd_env env = { s->env->socket, s->env->host, &why };
	char name[VM_NAME_MAX + 1];
	struct target target;
	bool started;
	unsigned n;

	pthread_mutex_lock(&s->lock);
	target = s->target;
	started = s->started;
	s->asked = true;
	pthread_mutex_unlock(&s->lock);
	if (!started)
		return; /* it is stopped as soon as it runs */
	sdnotify("STOPPING=1");
	args_target_text(&target, name);
	for (n = 0; n < TRIES; n++) {
		/* It may be on its way back. */
		client_close(client_await(&env, AWAY_SEC));
		why = CMD_EXIT_FAILED;
		if (stop_one(&env, &target, &flags, name, false) == CMD_OK ||
		    why != CMD_EXIT_VMD)
			return;
		sleep(1);
	}
}

/* The first asks, those that follow insist. */
static void *
wait_for_signals(void *arg)
{
	struct stopper *s = arg;
	bool again = false;
	int sig;

	for (;; again = true)
		if (sigwait(&s->signals, &sig) == 0)
			stop(s, again);
	return NULL;
}

/* Before vmd is asked for anything, so that no signal ends us half-way. */
static int
catch_signals(struct stopper *s)
{
	pthread_t thread;

	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &s->signals, NULL);
	return -pthread_create(&thread, NULL, wait_for_signals, s);
}

static struct client *
listen_to(struct client *c)
{
	if (c == NULL || client_send(c, CTL_EVENTS, -1, NULL) == 0)
		return c;
	client_close(c);
	return NULL;
}

/* 1, 0, or negative after saying that nobody knows. */
static int
still_runs(const struct cmd_env *env, const struct target *target)
{
	struct ctl_vm *vms;
	size_t i, n;
	int runs = 0;

	if (client_list(env, &vms, &n) != 0)
		return -EIO;
	for (i = 0; i < n; i++)
		runs |=
		    status_match(&vms[i], target) && status_running(&vms[i]);
	free(vms);
	return runs;
}

/*
 * vmd went away.  The events of the one that comes back, or NULL: the VM has
 * ended, or nobody knows; said on stderr.
 */
static struct client *
find_again(const struct cmd_env *env, const struct target *target)
{
	char name[VM_NAME_MAX + 1];
	struct client *c;
	unsigned n;
	int runs = -EIO;

	for (n = 0; n < TRIES; n++) {
		c = listen_to(client_await(env, AWAY_SEC));
		if (c != NULL && (runs = still_runs(env, target)) == 1)
			return c;
		client_close(c);
		if (runs == 0)
			break;
		sleep(1);
	}
	if (runs == 0)
		log_warnx("%s: ended while vmd was away",
		    args_target_text(target, name));
	return NULL;
}

static enum cmd_result
ended(const struct ctl_event *e, const struct cmd_env *env)
{
	switch ((enum ctl_outcome)e->outcome) {
	case CTL_OUT_OFF:
	case CTL_OUT_STOPPED:
		return CMD_OK;
	case CTL_OUT_RESETS:
		*env->why = CMD_EXIT_RESETS;
		break;
	case CTL_OUT_FORCED:
		*env->why = CMD_EXIT_FORCED;
		break;
	case CTL_OUT_ERROR:
	case CTL_OUT_NONE:
	case CTL_OUT_END:
		*env->why = CMD_EXIT_DIED;
		break;
	case CTL_OUT_UNSTARTED:
		break;
	}
	log_warnx("%s: %s", e->name,
	    e->text[0] != '\0' ? e->text : ctl_outcome_name(e->outcome));
	return CMD_FAILED;
}

/* 1: the VM's end, by its event; 0: the connection is of no use any more; or
 * negative: no other one would be. */
static int
follow(struct client *c, const struct target *target, struct ctl_event *e)
{
	struct client_answer a;

	while (client_next(c, &a, CLIENT_FOREVER) == 0) {
		if (a.kind != CLIENT_EVENT) {
			log_warnx("events: %s", client_reason(&a));
			/* We were too slow, or refused. */
			return a.kind == CLIENT_FAIL && a.code == ENOBUFS
			    ? 0
			    : -EPERM;
		}
		if (a.event.what != CTL_EV_STOPPED ||
		    !events_about(&a.event, target))
			continue;
		*e = a.event;
		return 1;
	}
	return 0;
}

static enum cmd_result
wait_end(
    struct client *c, const struct cmd_env *env, const struct target *target)
{
	struct ctl_event e;
	int end = 0;

	while (c != NULL && end == 0) {
		end = follow(c, target, &e);
		client_close(c);
		if (end == 0)
			c = find_again(env, target);
	}
	if (end == 1)
		return ended(&e, env);
	*env->why = CMD_EXIT_FAILED;
	return CMD_FAILED;
}

enum cmd_result
run_run(int argc, char **argv, const struct cmd_env *env)
{
	/* Its thread has it until the process ends. */
	struct stopper *s = calloc(1, sizeof(*s));
	enum cmd_result result;
	struct client_answer a;
	struct target target;
	struct client *c;
	bool asked;
	int error;

	if (s == NULL || pthread_mutex_init(&s->lock, NULL) != 0) {
		log_warnx("out of memory");
		return CMD_FAILED;
	}
	s->env = env;
	if ((error = catch_signals(s)) != 0) {
		errno = -error;
		log_warn("thread");
		return CMD_FAILED;
	}
	/* What happens from the start on is told to us. */
	if ((c = listen_to(client_open(env))) == NULL)
		return CMD_FAILED;
	result = start_by_options(argc, argv, env, &target, &a, NULL);
	if (result != CMD_OK) {
		client_close(c);
		return result;
	}
	if (a.kind == CLIENT_OK)
		target = (struct target){ .id = a.id };
	sdnotify("READY=1");
	pthread_mutex_lock(&s->lock);
	s->target = target;
	s->started = true;
	asked = s->asked;
	pthread_mutex_unlock(&s->lock);
	if (asked)
		stop(s, false);
	return wait_end(c, env, &target);
}
