/* SPDX-License-Identifier: ISC */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "fd.h"
#include "log.h"
#include "sandbox.h"
#include "spawn.h"

#define NOFILE 65536

#define CAP(c) (1ULL << (c))

static const uint64_t needed_caps = CAP(CAP_CHOWN) | /* ttys, the socket */
    CAP(CAP_DAC_OVERRIDE) | /* images of other users */
    CAP(CAP_FOWNER) | /* modes of what was given away */
    CAP(CAP_NET_ADMIN) | /* netcfg keeps it */
    CAP(CAP_KILL) | /* children have another uid */
    /* children's drop of privileges, from here on: */
    CAP(CAP_SETGID) | CAP(CAP_SETUID) | CAP(CAP_SETPCAP) | CAP(CAP_SYS_CHROOT) |
    CAP(CAP_SYS_ADMIN) | /* their namespaces */
    CAP(CAP_SYS_RESOURCE); /* their limits */

void
daemon_restrict(void)
{
	struct rlimit rl;

	umask(077);
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max < NOFILE ? rl.rlim_max : NOFILE;
		if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
			log_warn("RLIMIT_NOFILE");
	}
	sandbox_give_up(needed_caps);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("no_new_privs");
}

void
daemon_background(void)
{
	int error;

	if ((error = spawn_background()) != 0)
		fatalx("cannot go to the background: %s", strerror(-error));
	if ((error = log_to_syslog()) != 0) {
		/* No syslog: nobody listens, but the VMs do run. */
		errno = -error;
		return;
	}
	log_init(LOG_TO_SYSLOG, "vmd");
}

int
daemon_in_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	return s != NULL && sscanf(s, "%ju:%ju", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}
