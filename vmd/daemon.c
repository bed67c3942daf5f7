/* SPDX-License-Identifier: ISC */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cap-ng.h>
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
#include "spawn.h"

#define NOFILE 65536

static const unsigned needed_caps[] = {
	CAP_CHOWN, /* ttys and the socket get their owners */
	CAP_DAC_OVERRIDE, /* images of other users */
	CAP_FOWNER, /* modes of what was given away */
	CAP_NET_ADMIN, /* netcfg keeps it */
	CAP_KILL, /* children have another uid */
	CAP_SETGID, /* children's drop of privileges, from here on: */
	CAP_SETUID, CAP_SETPCAP, CAP_SYS_CHROOT,
	CAP_SYS_ADMIN, /* their namespaces */
	CAP_SYS_RESOURCE, /* their limits */
};

static void
drop_caps(void)
{
	size_t i;
	unsigned cap;

	if (capng_get_caps_process() != 0)
		fatalx("capabilities: cannot read them");
	for (cap = 0; cap <= CAP_LAST_CAP; cap++) {
		for (i = 0; i < sizeof(needed_caps) / sizeof(needed_caps[0]);
		     i++) {
			if (needed_caps[i] == cap)
				break;
		}
		if (i < sizeof(needed_caps) / sizeof(needed_caps[0]))
			continue;
		/* What a container never gave us cannot be dropped. */
		if (capng_update(CAPNG_DROP,
			CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE |
			    CAPNG_BOUNDING_SET,
			cap) != 0)
			fatalx("capabilities: cannot drop %u", cap);
	}
	if (capng_apply(CAPNG_SELECT_BOTH) != 0)
		fatalx("capabilities: cannot apply them");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("no_new_privs");
}

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
	drop_caps();
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
