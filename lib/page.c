/* SPDX-License-Identifier: ISC */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fd.h"
#include "page.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int
map(int fd, bool write, void **page)
{
	void *p = mmap(NULL, PAGE_BYTES, PROT_READ | (write ? PROT_WRITE : 0),
	    MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*page = p;
	return 0;
}

int
page_create(int *out, bool write, void **page)
{
	int error, fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -errno;
	if (ftruncate(fd, PAGE_BYTES) == -1 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		error = -errno;
	else
		error = map(fd, write, page);
	if (error != 0)
		fd_close(&fd);
	else
		*out = fd;
	return error;
}

int
page_attach(int fd, bool write, void **page)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS), error;

	if (seals == -1 || fstat(fd, &st) == -1)
		error = -errno;
	else if ((seals & SEALS) != SEALS || st.st_size != PAGE_BYTES)
		error = -EINVAL;
	else
		error = map(fd, write, page);
	close(fd);
	return error;
}

void
page_detach(void *page)
{
	if (page != NULL)
		munmap(page, PAGE_BYTES);
}
