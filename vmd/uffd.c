/* SPDX-License-Identifier: ISC */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "uffd.h"

#define PAGE 4096
/* Of a range that is registered. */
#define NEEDED \
	(1ULL << _UFFDIO_COPY | 1ULL << _UFFDIO_ZEROPAGE | 1ULL << _UFFDIO_WAKE)

int
uffd_new(int dev)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MISSING_SHMEM,
	};
	int fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	int error;

	if (fd == -1)
		return -errno;
	if (ioctl(fd, UFFDIO_API, &api) == -1) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

int
uffd_arm(int fd, const struct gmem *mem)
{
	struct uffdio_register r = {
		.range = { (uintptr_t)mem->region[0].host, mem->size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	/* Advice: a kernel without huge pages refuses it. */
	(void)madvise(mem->region[0].host, mem->size, MADV_NOHUGEPAGE);
	if (ioctl(fd, UFFDIO_REGISTER, &r) == -1)
		return -errno;
	return (r.ioctls & NEEDED) == NEEDED ? 0 : -EOPNOTSUPP;
}

/* How far a call came that did not do all; 0: it is to be made again. */
static int64_t
came(int64_t done)
{
	if (done > 0)
		return done;
	if (errno == EAGAIN)
		return 0;
	return errno == EEXIST ? PAGE : -errno;
}

int
uffd_copy(int fd, uint64_t to, const uint8_t *from, size_t len)
{
	struct uffdio_copy c;
	int64_t n;

	while (len > 0) {
		c = (struct uffdio_copy){
			.dst = to,
			.src = (uintptr_t)from,
			.len = len,
		};
		if (ioctl(fd, UFFDIO_COPY, &c) == 0)
			return 0;
		if ((n = came(c.copy)) < 0)
			return (int)n;
		to += (uint64_t)n;
		from += n;
		len -= (size_t)n;
	}
	return 0;
}

int
uffd_zero(int fd, uint64_t to, size_t len)
{
	struct uffdio_zeropage z;
	int64_t n;

	while (len > 0) {
		z = (struct uffdio_zeropage){ .range = { to, len } };
		if (ioctl(fd, UFFDIO_ZEROPAGE, &z) == 0)
			return 0;
		if ((n = came(z.zeropage)) < 0)
			return (int)n;
		to += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int
uffd_wake(int fd, uint64_t at, size_t len)
{
	struct uffdio_range r = { at, len };

	return ioctl(fd, UFFDIO_WAKE, &r) == -1 ? -errno : 0;
}

int
uffd_disarm(int fd, uint64_t at, size_t len)
{
	struct uffdio_range r = { at, len };

	return ioctl(fd, UFFDIO_UNREGISTER, &r) == -1 ? -errno : 0;
}
