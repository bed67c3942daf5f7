/* SPDX-License-Identifier: ISC */
/* What clients are told of VMs, which of them, and how much at most. */
#include "parent_rig.h"

#include "events.h"

static const char vms[] =
    "vm crashes {\n\tboot $k\n\tcmdline crash\n\tdisable\n}\n"
    "vm fails {\n\tboot $k\n\tcmdline error\n\tdisable\n}\n"
    "vm again {\n\tboot $k\n\tcmdline reset\n\tdisable\n}\n"
    "vm off {\n\tboot $k\n\tcmdline quit\n\tdisable\n}\n";

static void
subscribe(struct session *s)
{
	hello(s);
	post(s, CTL_EVENTS, -1, NULL);
	/* It is in force once the next request is answered. */
	assert_int_equal(ask(s, CTL_LIST, NULL), 0);
}

/* These are the next events, all of them. */
static void
heard(struct session *s, const char *want)
{
	while (strlen(s->events) < strlen(want))
		if (chan_recv(s->chan, WAIT_MS) != 0)
			break;
	assert_string_equal(s->events, want);
	s->events[0] = '\0';
}

static void
test_lives(void **state)
{
	struct session s;

	NEED_VMD();
	write_conf(vms);
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	subscribe(&s);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	heard(&s, "twice starting\ntwice running\n");
	assert_int_equal(once(CTL_PAUSE, target("twice", -1)), 0);
	assert_int_equal(once(CTL_UNPAUSE, target("twice", -1)), 0);
	heard(&s, "twice paused\ntwice unpaused\n");
	assert_int_equal(once(CTL_STOP, target("twice", 0)), 0);
	heard(&s, "twice stopping\ntwice stopped: powered off by the guest\n");
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	heard(&s,
	    "twice starting\ntwice running\ntwice stopping\ntwice stopped\n");
	assert_int_equal(once(CTL_START, target("off", -1)), 0);
	heard(&s,
	    "off starting\noff running\n"
	    "off stopped: powered off by the guest\n");
	assert_int_equal(once(CTL_START, target("fails", -1)), ENOEXEC);
	heard(&s, "fails starting\nfails stopped: kernel: not a kernel\n");
	assert_int_equal(once(CTL_START, target("again", -1)), 0);
	heard(&s,
	    "again starting\nagain running\n"
	    "again restarting\nagain running\n"
	    "again restarting\nagain running\n"
	    "again restarting\nagain running\n"
	    "again stopped: restarted too quickly\n");
	assert_int_equal(once(CTL_START, target("crashes", -1)), 0);
	heard(&s,
	    "crashes starting\ncrashes running\n"
	    "crashes stopped: vm process killed by signal 4 (Illegal "
	    "instruction)\n");
	/* Once is enough. */
	assert_int_equal(ask(&s, CTL_EVENTS, NULL), EALREADY);
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	heard(&s, "twice starting\ntwice running\n");
	assert_int_equal(once(CTL_STOP, target("twice", 1)), 0);
	heard(&s, "twice stopping\ntwice stopped\n");
	/* With the daemon. */
	write_conf("vm self {\n\tboot $k\n}\n");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	heard(&s, "self waiting\nself starting\nself running\n");
	assert_int_equal(once(CTL_STOP, target("self", 1)), 0);
	heard(&s, "self stopping\nself stopped\n");
	write_conf("");
	assert_int_equal(once(CTL_RELOAD, NULL), 0);
	bye(&s);
}

/* The events of all three VMs, as those who are told only of some hear them. */
static void
hears(const char *want)
{
	struct session s;

	subscribe(&s);
	/* The other end of the pipe starts and stops them. */
	if (write(STDIN_FILENO, "", 1) != 1)
		_exit(1);
	while (strlen(s.events) < strlen(want))
		if (chan_recv(s.chan, WAIT_MS) != 0)
			_exit(2);
	if (chan_recv(s.chan, QUIET_MS) != -ETIMEDOUT)
		_exit(3);
	if (strcmp(s.events, want) != 0)
		_exit(4);
}

static void
alice_hears(void)
{
	hears("hers starting\nhers running\nhers stopping\nhers stopped\n");
}

static void
bob_hears(void)
{
	hears("theirs starting\ntheirs running\ntheirs stopping\n"
	      "theirs stopped\n");
}

static void
eve_hears(void)
{
	hears("");
}

static void
each_vm_runs(void)
{
	static const char *const names[] = { "hers", "theirs", "twice" };
	size_t i;

	for (i = 0; i < 3; i++) {
		WANT(CTL_START, target(names[i], -1), 0);
		WANT(CTL_STOP, target(names[i], 1), 0);
		becomes(names[i], CTL_ST_STOPPED);
	}
}

/* Somebody listens in a child; once he does, the VMs run here. */
static void
while_listening(uid_t uid, gid_t group, void (*listen)(void))
{
	int pair[2], saved = dup(STDIN_FILENO);
	char byte;
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_not_equal(dup2(pair[0], STDIN_FILENO), -1);
	close(pair[0]);
	if ((pid = fork()) == 0) {
		if (read(pair[1], &byte, 1) != 1)
			_exit(9);
		each_vm_runs();
		_exit(0);
	}
	close(pair[1]);
	as_user(uid, group, listen);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_int_equal(waitpid(pid, &(int){ 0 }, 0), pid);
}

static void
test_whose(void **state)
{
	NEED_VMD();
	while_listening(ALICE, ALICE, alice_hears);
	while_listening(BOB, OPS, bob_hears);
	while_listening(EVE, EVE, eve_hears);
}

/* Who never reads is dropped; nobody waits for him. */
static void
test_deaf(void **state)
{
	struct imsg_hdr hdr = { CTL_EVENTS, sizeof(hdr), 0, 0 };
	struct pollfd p = { .events = POLLRDHUP };
	struct session s;
	int i;

	NEED_VMD();
	assert_int_equal(once(CTL_START, target("twice", -1)), 0);
	p.fd = raw_connect();
	send_raw(p.fd, &hdr, sizeof(hdr));
	hello(&s);
	for (i = 0; i < 20000 && poll(&p, 1, 0) == 0; i++) {
		assert_int_equal(ask(&s, CTL_PAUSE, target("twice", -1)), 0);
		assert_int_equal(ask(&s, CTL_UNPAUSE, target("twice", -1)), 0);
	}
	print_message("dropped after %d events\n", 2 * i);
	assert_true(i < 20000);
	close(p.fd);
	assert_int_equal(ask(&s, CTL_STOP, target("twice", 1)), 0);
	becomes("twice", CTL_ST_STOPPED);
	bye(&s);
}

/* The parent's own half, before a control process that does not read. */

static const struct chan_ops no_ops = { NULL, 0, fake_closed };

struct half {
	struct parent p;
	struct vm vm;
	int control; /* control's end */
};

static void
half_open(struct half *h)
{
	int s[2], c[2];

	memset(h, 0, sizeof(*h));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, c), 0);
	clients_init(&h->p.clients);
	TAILQ_INIT(&h->p.waits);
	h->p.control.chan = chan_new(NULL, s[0], &no_ops, NULL);
	h->control = s[1];
	assert_int_equal(clients_add(&h->p.clients, 7, c[0]), 0);
	close(c[0]);
	close(c[1]);
	strcpy(h->vm.conf.name, "web");
	h->vm.conf.uid = geteuid();
	h->vm.state = VM_RUNNING;
	assert_int_equal(events_request(&h->p, 7, -1, NULL), 0);
}

static void
half_close(struct half *h)
{
	clients_clear(&h->p.clients);
	chan_free(h->p.control.chan);
	close(h->control);
}

static void
test_bounded(void **state)
{
	struct client *c;
	struct half h;
	size_t most;
	int i;

	half_open(&h);
	c = clients_find(&h.p.clients, 7);
	for (i = 0; i < 100000; i++)
		events_state(&h.p, &h.vm);
	assert_false(c->events);
	most = chan_queued(h.p.control.chan);
	assert_true(most < CHAN_QUEUE_MAX / 2);
	/* He may ask again. */
	assert_int_equal(events_request(&h.p, 7, -1, NULL), 0);
	assert_true(c->events);
	half_close(&h);
}

/* A process of a VM that says again and again that something is wrong. */
static void
test_problems(void **state)
{
	struct half h;
	size_t one, all;
	int i;

	half_open(&h);
	strcpy(h.vm.problem, "vioblk0: broken");
	/* Without a reader's queue in the kernel, all of it counts. */
	for (i = 0; i < 3000; i++)
		events_state(&h.p, &h.vm);
	all = chan_queued(h.p.control.chan);
	events_problem(&h.p, &h.vm);
	one = chan_queued(h.p.control.chan) - all;
	assert_true(one > 0);
	for (i = 0; i < 1000; i++)
		events_problem(&h.p, &h.vm);
	assert_int_equal(chan_queued(h.p.control.chan) - all, 8 * one);
	half_close(&h);
}

int
main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, each)
	const struct CMUnitTest tests[] = {
		T(test_lives),
		T(test_whose),
		T(test_deaf),
		T(test_bounded),
		T(test_problems),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, setup, teardown);
}
