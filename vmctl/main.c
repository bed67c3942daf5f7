/* SPDX-License-Identifier: ISC */
/* vmctl(8): control the virtual machines of vmd(8). */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cmd.h"
#include "image.h"
#include "log.h"
#include "spawn.h"

int
main(int argc, char **argv)
{
	struct spawned child;
	int fd, error;

	/* Started without 0, 1 or 2, a socket must not take their places. */
	do {
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			return 1;
	} while (fd <= STDERR_FILENO);
	close(fd);

	if (spawn_is_child(argc, argv, &child))
		return image_worker();
	log_init(LOG_TO_STDERR, "vmctl");
	if ((error = spawn_init("vmctl")) != 0)
		fatalx("cannot find myself: %s", strerror(-error));
	/* Nothing that this program becomes needs a set-id bit. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("no_new_privs");
	return cmd_main(argc, argv);
}
