/* SPDX-License-Identifier: ISC */
/*
 * The parent: set up, then one loop of events.
 *
 * Order of set-up: control socket and configuration first, so that their
 * errors reach the user's terminal; then the background, guests that are
 * there, the host check, the children.
 */
#include <sys/wait.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>

#include "adopt.h"
#include "daemon.h"
#include "fd.h"
#include "log.h"
#include "parent.h"
#include "sdnotify.h"

#define END_TICK_MS 100
#define NET_TICKS   30 /* 3 s for netcfg to clean up */

static void
end_begin(struct parent *p)
{
	struct timeval tv = { 0, END_TICK_MS * 1000 };

	p->ending = true;
	log_info("ending");
	sdnotify("STOPPING=1\nSTATUS=Waiting for guests to power off");
	ctlproc_stop(p);
	remoteproc_stop(p);
	listen_stop(&p->listener);
	if (p->boot != NULL)
		evtimer_del(p->boot);
	life_end(&p->life, false);
	if (event_add(p->endtimer, &tv) == -1)
		fatalx("end: no timer");
}

/* Guests that run do not notice: the next parent adopts them. */
static void
leave(struct parent *p)
{
	if (p->ending)
		return;
	if (!keep_ready(&p->keep)) {
		log_warnx("no keeper: guests cannot be left alone");
		end_begin(p);
		return;
	}
	p->ending = p->leaving = true;
	log_info("ending, guests go on");
	sdnotify("STOPPING=1");
	ctlproc_stop(p);
	remoteproc_stop(p);
	event_base_loopbreak(p->base);
}

static void
on_end_tick(int fd, short what, void *arg)
{
	struct parent *p = arg;

	if (!life_idle(&p->life) || !snapdel_idle(p))
		return; /* they have time limits of their own */
	if (!p->net.ending)
		netproc_stop(&p->net);
	if (p->net.pid == 0 || ++p->netticks == NET_TICKS)
		event_base_loopbreak(p->base);
}

static void
reap(struct parent *p)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (!ctlproc_reaped(p, pid, status) &&
		    !remoteproc_reaped(p, pid, status) &&
		    !netproc_reaped(&p->net, pid, status) &&
		    !keep_reaped(&p->keep, pid, status) &&
		    !snapdel_reaped(p, pid, status) &&
		    !life_reaped(&p->life, pid, status))
			log_debug("process %d is not ours", (int)pid);
	}
}

static void
on_signal(int sig, short what, void *arg)
{
	struct parent *p = arg;
	struct fail why;

	switch (sig) {
	case SIGCHLD:
		reap(p);
		break;
	case SIGHUP:
		if (!p->ending)
			reload_again(p, NULL, &why);
		break;
	case SIGUSR1:
		leave(p);
		break;
	default:
		if (p->ending) {
			life_end(&p->life, true);
			snapdel_forget(p);
		} else
			end_begin(p);
	}
}

static void
init_events(struct parent *p)
{
	static const int sigs[] = { SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1 };
	size_t i;

	if ((p->base = event_base_new()) == NULL)
		fatalx("event_base_new failed");
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		p->sig[i] = evsignal_new(p->base, sigs[i], on_signal, p);
		if (p->sig[i] == NULL || evsignal_add(p->sig[i], NULL) == -1)
			fatalx("evsignal_add failed");
	}
	p->endtimer = event_new(p->base, -1, EV_PERSIST, on_end_tick, p);
	if (p->endtimer == NULL)
		fatalx("event_new failed");
	if (spares_init(&p->life.spares, p->base) != 0)
		fatalx("evtimer_new failed");
	p->life.base = p->net.base = p->keep.base = p->base;
}

static void
init(struct parent *p, const struct options *o)
{
	memset(p, 0, sizeof(*p));
	p->opts = o;
	vmreg_init(&p->reg);
	p->life.reg = &p->reg;
	p->life.socket = o->socket;
	p->life.ops = &answer_life_ops;
	p->life.arg = p;
	p->life.limits = life_limits_dflt;
	p->life.net = &p->net;
	p->life.groups = &p->groups;
	p->net.reg = &p->reg;
	p->net.ops = &life_net_ops;
	p->net.arg = &p->life;
	p->net.keep = &p->keep;
	p->keep.reg = &p->reg;
	p->keep.net = &p->net;
	p->keep.groups = &p->groups;
	listen_init(&p->listener);
	clients_init(&p->clients);
	remoteproc_init(p);
	snapdel_init(p);
	TAILQ_INIT(&p->waits);
}

static void
cleanup(struct parent *p)
{
	size_t i;

	if (p->leaving) {
		keep_leave(&p->keep);
		cgroup_leave(&p->groups);
	} else {
		keep_end(&p->keep);
		cgroup_exit(&p->groups);
	}
	snapdel_forget(p);
	listen_close(&p->listener);
	for (i = 0; i < sizeof(p->sig) / sizeof(p->sig[0]); i++)
		event_free(p->sig[i]);
	event_free(p->endtimer);
	spares_clear(&p->life.spares);
	if (p->boot != NULL)
		event_free(p->boot);
	event_base_free(p->base);
	vmreg_clear(&p->reg);
	conf_free(p->conf);
}

/* The report has several lines; so has the log then. */
static void
log_lines(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (*line != '\0')
			log_warnx("%s", line);
	}
}

/* A host that is known to be unfit gets no VM started. */
static void
check_host(struct parent *p)
{
	struct hostcheck hc;
	struct fail why;

	if (hostcheck_run(p->life.hypervisor, &hc, &why) != 0) {
		log_warnx("%s", why.text);
		snprintf(
		    p->life.unfit, sizeof(p->life.unfit), "%.250s", why.text);
	} else if (!hc.fit) {
		log_lines(hc.text);
		snprintf(p->life.unfit, sizeof(p->life.unfit),
		    "this host cannot run virtual machines, see vmctl check");
	}
}

static int
have_hypervisor(const struct parent *p, struct fail *why)
{
	const char *name;
	int fd = -1, error;

	error = start_hypervisor(p->life.hypervisor, &fd, &name, why);
	fd_close(&fd);
	return error;
}

/* What has to be there; errors go to the user's terminal. */
static int
open_first(struct parent *p)
{
	struct fail why;

	if (listen_open(&p->listener, p->opts->socket, &why) != 0) {
		fprintf(stderr, "vmd: %s\n", why.text);
		return -why.code;
	}
	if ((p->adopt = adopt_find(p, &why)) == NULL)
		goto close_listener;
	if (reload_first(p) != 0) {
		listen_close(&p->listener);
		return -EINVAL;
	}
	adopt_stopped(p->adopt, p);
	if (have_hypervisor(p, &why) == 0)
		return 0;

close_listener:
	fprintf(stderr, "vmd: %s\n", why.text);
	listen_close(&p->listener);
	return -why.code;
}

int
parent_run(const struct options *o)
{
	struct parent p;

	init(&p, o);
	if (open_first(&p) != 0)
		return 1;
	if (!o->foreground)
		daemon_background();
	log_setverbose(o->verbose);
	daemon_restrict();
	init_events(&p);
	cgroup_init(&p.groups, CGROUP_MOUNT);
	adopt_running(p.adopt, &p);
	keep_start(&p.keep);
	check_host(&p);
	if (ctlproc_start(&p) != 0)
		log_warnx("control process not started, trying again");
	if (netproc_start(&p.net) != 0)
		log_warnx("network process not started, trying again");
	if (listen_owner(&p.listener, p.conf->sock_uid, p.conf->sock_gid) != 0)
		log_warn("%s", p.listener.path);
	remoteproc_configure(&p);
	log_info("started, %u vms configured", p.reg.n);
	spares_soon(&p.life.spares);
	sdnotify("READY=1");
	reload_boot(&p);
	event_base_dispatch(p.base);
	cleanup(&p);
	log_info(p.leaving ? "ended, guests run" : "ended");
	return 0;
}

int
parent_check_host(const struct options *o)
{
	struct hostcheck hc;
	struct fail why;

	if (hostcheck_run(o->device != NULL ? o->device : "", &hc, &why) != 0) {
		fprintf(stderr, "vmd: %s\n", why.text);
		return 1;
	}
	printf("%s", hc.text);
	if (hc.text[0] != '\0' && hc.text[strlen(hc.text) - 1] != '\n')
		printf("\n");
	return hc.fit ? 0 : 1;
}
