/* SPDX-License-Identifier: ISC */
/*
 * usage: kapi [-l] [-d device] [-t seconds] [pattern ...]
 *
 * Runs the tests whose "group/name" contains a pattern, without those that are
 * named as !group/name, each in a process of
 * its own with a time limit (-t); -l lists them.  One line per test, then
 * "N passed, M failed, K skipped"; exit 1 when anything failed.
 */
#include <sys/wait.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

/* Seconds per test, on software SVM under load. */
static unsigned limit = 60;

extern const struct test tests_system[], tests_memory[], tests_dirty[],
    tests_regs[], tests_state[], tests_io[], tests_mmio[], tests_exits[],
    tests_events[], tests_faults[], tests_debug[], tests_irq[], tests_ioevent[],
    tests_lapic[], tests_timer[], tests_smp[], tests_signals[], tests_priv[],
    tests_bad[], tests_attack[], tests_vapic[], tests_pveoi[], tests_stats[],
    tests_tables[], tests_chips[], tests_coalesced[], tests_kvmtool[];

static const struct {
	const char *name;
	const struct test *tests;
} groups[] = {
	{ "system", tests_system },
	{ "memory", tests_memory },
	{ "dirty", tests_dirty },
	{ "regs", tests_regs },
	{ "state", tests_state },
	{ "io", tests_io },
	{ "mmio", tests_mmio },
	{ "exits", tests_exits },
	{ "events", tests_events },
	{ "faults", tests_faults },
	{ "tables", tests_tables },
	{ "debug", tests_debug },
	{ "irq", tests_irq },
	{ "chips", tests_chips },
	{ "coalesced", tests_coalesced },
	{ "kvmtool", tests_kvmtool },
	{ "ioevent", tests_ioevent },
	{ "lapic", tests_lapic },
	{ "vapic", tests_vapic },
	{ "pveoi", tests_pveoi },
	{ "stats", tests_stats },
	{ "timer", tests_timer },
	{ "smp", tests_smp },
	{ "signals", tests_signals },
	{ "priv", tests_priv },
	{ "bad", tests_bad },
	{ "attack", tests_attack },
};
#define NGROUPS (sizeof(groups) / sizeof(groups[0]))

/* The child's part; fd 3 takes the reason of a failure. */
static void
child(const char *device, const struct test *t, int why)
{
	int dev;

	if (dup2(why, 3) < 0)
		_exit(1);
	alarm(limit);
	dev = open(device, O_RDWR | O_CLOEXEC);
	if (dev < 0)
		fail("%s: %s", device, strerror(errno));
	t->run(dev);
	_exit(0);
}

static int
one(const char *device, const char *group, const struct test *t)
{
	char why[513];
	ssize_t n;
	int p[2], status;
	pid_t pid;

	if (pipe(p) != 0 || (pid = fork()) < 0) {
		perror("kapi");
		exit(1);
	}
	if (pid == 0)
		child(device, t, p[1]);
	close(p[1]);
	waitpid(pid, &status, 0);
	/* Whoever the child left behind may hold the other end. */
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	n = read(p[0], why, sizeof(why) - 1);
	close(p[0]);
	why[n > 0 ? n : 0] = '\0';
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		strcpy(why, "time limit");
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "signal %d", WTERMSIG(status));
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	printf("%s %s/%s%s%s\n",
	    status == 0		    ? "ok  "
		: status == SKIPPED ? "skip"
				    : "FAIL",
	    group, t->name, status == 0 ? "" : ": ", why);
	fflush(stdout);
	return status;
}

static bool
wanted(const char *group, const char *name, char **patterns)
{
	char full[128];

	bool some = false, found = false;

	snprintf(full, sizeof(full), "%s/%s", group, name);
	for (; *patterns != NULL; patterns++) {
		if (**patterns == '!') {
			if (strcmp(full, *patterns + 1) == 0)
				return false;
			continue;
		}
		some = true;
		if (strstr(full, *patterns) != NULL)
			found = true;
	}
	return found || !some;
}

int
main(int argc, char **argv)
{
	const char *device = "/dev/kvm";
	unsigned i, count[3] = { 0 };
	const struct test *t;
	bool list = false;
	int o, r;

	while ((o = getopt(argc, argv, "d:lt:")) != -1) {
		if (o == 'd')
			device = optarg;
		else if (o == 't')
			limit = strtoul(optarg, NULL, 10);
		else if (o == 'l')
			list = true;
		else
			return 2;
	}
	for (i = 0; i < NGROUPS; i++)
		for (t = groups[i].tests; t->name != NULL; t++) {
			if (!wanted(groups[i].name, t->name, argv + optind))
				continue;
			if (list) {
				printf("%s/%s\n", groups[i].name, t->name);
				continue;
			}
			r = one(device, groups[i].name, t);
			count[r == 0 ? 0 : r == SKIPPED ? 2 : 1]++;
		}
	if (!list)
		printf("%u passed, %u failed, %u skipped\n", count[0], count[1],
		    count[2]);
	return count[1] != 0;
}
