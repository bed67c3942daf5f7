/* SPDX-License-Identifier: ISC */
/*
 * The older form of vmctl: -e enters VMM mode, -d leaves it, -S -c FILE starts
 * the VM that FILE declares.
 *
 * The driver has the processors in VMM mode while there is a VM.  So the mode
 * is entered by loading the driver and running a guest, vmd's probe, on each
 * processor in turn; the driver stays, for VMs to come.
 */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "check.h"
#include "client.h"
#include "cmd.h"
#include "fd.h"
#include "imsg.h"
#include "log.h"
#include "spawn.h"
#include "vmmctl.h"

#define DRIVER	 "vmm"
#define DEVICE	 "/dev/vmm"
#define MODPROBE "/sbin/modprobe"

bool
vmmctl_name(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return strcmp(slash != NULL ? slash + 1 : argv0, "vmmctl") == 0;
}

int
vmmctl_child(const char *role)
{
	char name[] = "modprobe", driver[] = DRIVER, device[] = DEVICE;
	char *args[] = { name, driver, NULL };

	if (strcmp(role, VMMCTL_CHECK) == 0)
		check_become(device);
	else {
		errno = -spawn_replace(MODPROBE, args, -1);
		log_warn("%s", MODPROBE);
	}
	return 1;
}

/* A child's work; it tells on standard error what went wrong. */
static bool
child_works(const char *role)
{
	const struct spawn s = { role, role, "vmmctl", 0, -1 };
	int fd = -1, status;
	pid_t pid;

	if ((pid = spawn_child(&s, &fd)) < 0) {
		log_warnx("no process: %s", strerror(-pid));
		return false;
	}
	while (waitpid(pid, &status, 0) == -1) {
		if (errno != EINTR)
			fatal("waitpid");
	}
	fd_close(&fd);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* This process, and its children, on one CPU; false when there is none. */
static bool
run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static int
enter(void)
{
	char device[] = DEVICE;
	int cpu, n = 0;

	if (access(DEVICE, F_OK) == -1 && !child_works(VMMCTL_LOAD)) {
		log_warnx("the driver " DRIVER " was not loaded");
		return 1;
	}
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!run_on(cpu))
			continue;
		if (!child_works(VMMCTL_CHECK)) {
			log_warnx("cpu%d: not in VMM mode", cpu);
			fflush(stdout);
			/* The same once more, with its report. */
			check_become(device);
			return 1;
		}
		printf("cpu%d: entered VMM mode\n", cpu);
		n++;
	}
	if (n == 0)
		log_warnx("no CPU to run on");
	return n > 0 ? 0 : 1;
}

static int
leave(void)
{
	int cpu;

	if (syscall(SYS_delete_module, DRIVER, O_NONBLOCK) == -1) {
		if (errno == ENOENT)
			log_warnx("not in VMM mode");
		else if (errno == EAGAIN || errno == EBUSY)
			log_warnx("the driver " DRIVER " is in use");
		else
			log_warn("the driver " DRIVER);
		return 1;
	}
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (run_on(cpu))
			printf("cpu%d: left VMM mode\n", cpu);
	}
	return 0;
}

/* vmd reads the file: what it is, and whose, is checked there. */
static int
start(const char *word)
{
	static const struct cmd_env env = { CTL_SOCKET, NULL, NULL };
	char path[VM_PATH_MAX + 1];
	struct client_answer a;
	struct ibuf *body;
	struct client *c;
	int error;

	if (args_path(word, path, sizeof(path)) != 0)
		return 1;
	if ((c = client_open(&env)) == NULL)
		return 1;
	body = chan_body();
	if ((error = ctl_put_str(body, path)) == 0)
		error = client_send(c, CTL_START_FILE, -1, body);
	else
		ibuf_free(body);
	if (error == 0)
		error = client_next(c, &a, CLIENT_FOREVER);
	client_close(c);
	if (error != 0)
		return 1;
	if (a.kind != CLIENT_OK) {
		log_warnx("%s", client_reason(&a));
		return 1;
	}
	puts(a.text);
	return 0;
}

static int
usage(void)
{
	fprintf(
	    stderr, "usage:\tvmmctl -e\n\tvmmctl -d\n\tvmmctl -S -c file\n");
	return 1;
}

int
vmmctl_main(int argc, char **argv)
{
	const char *file = NULL;
	int ch, rc, what = 0;

	while ((ch = getopt(argc, argv, "c:deS")) != -1) {
		if (ch == 'c' && file == NULL)
			file = optarg;
		else if (ch != 'c' && ch != '?' && what == 0)
			what = ch;
		else
			return usage();
	}
	if (argc != optind || what == 0 || (what == 'S') != (file != NULL))
		return usage();
	if (geteuid() != 0) {
		log_warnx("need root privileges");
		return 1;
	}
	rc = what == 'S' ? start(file) : what == 'e' ? enter() : leave();
	if (fflush(stdout) == EOF || ferror(stdout)) {
		log_warn("standard output");
		return 1;
	}
	return rc;
}
