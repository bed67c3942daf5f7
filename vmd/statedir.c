/* SPDX-License-Identifier: ISC */
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "life.h"
#include "statedir.h"

#define DIRECTORY "/var/lib/vmd"

int
statedir_open(const struct life *l, bool make)
{
	char path[PATH_MAX], *p;
	int fd, n;

	n = snprintf(path, sizeof(path), DIRECTORY "/%s",
	    l->socket + strspn(l->socket, "/"));
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	for (p = path + sizeof(DIRECTORY); *p != '\0'; p++) {
		if (*p == '/')
			*p = '-';
	}
	if (make &&
	    ((mkdir(DIRECTORY, 0700) == -1 && errno != EEXIST) ||
		(mkdir(path, 0700) == -1 && errno != EEXIST)))
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

const char *
statedir_file(const char *name, const char *kind, char out[NAME_MAX])
{
	snprintf(out, NAME_MAX, "%s%s", name, kind);
	return out;
}

int
statedir_turn(int dir, const char *name, const char *from, const char *to)
{
	char old[NAME_MAX], new[NAME_MAX];

	if (renameat(dir, statedir_file(name, from, old), dir,
		statedir_file(name, to, new)) == -1 ||
	    fsync(dir) == -1)
		return -errno;
	return 0;
}
