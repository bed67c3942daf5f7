/* SPDX-License-Identifier: ISC */
/* vmctl(8): control the virtual machines of vmd(8); vmmctl(8). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "check.h"
#include "cmd.h"
#include "image.h"
#include "log.h"
#include "remote.h"
#include "spawn.h"
#include "vmmctl.h"

int
main(int argc, char **argv)
{
	struct spawned child;
	const char *name;
	int fd, error;

	/* Started without 0, 1 or 2, a socket must not take their places. */
	do {
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			return 1;
	} while (fd <= STDERR_FILENO);
	close(fd);

	if (spawn_is_child(argc, argv, &child)) {
		if (strcmp(child.role, IMAGE_ROLE) == 0)
			return image_worker();
		if (strcmp(child.role, CHECK_ROLE) == 0)
			return check_child();
		if (strcmp(child.role, REMOTE_ROLE) == 0)
			return remote_relay();
		return vmmctl_child(child.role);
	}
	name = argc > 0 && vmmctl_name(argv[0]) ? "vmmctl" : "vmctl";
	log_init(LOG_TO_STDERR, name);
	if ((error = spawn_init(name)) != 0)
		fatalx("cannot find myself: %s", strerror(-error));
	/* Nothing that this program becomes needs a set-id bit. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("no_new_privs");
	if (strcmp(name, "vmmctl") == 0)
		return vmmctl_main(argc, argv);
	return cmd_main(argc, argv);
}
