/* SPDX-License-Identifier: ISC */
/*
 * How a test ends: the reason goes to descriptor 3.
 */
#include <sys/ioctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "kapi.h"

static void __attribute__((format(printf, 2, 0)))
outcome(int status, const char *fmt, va_list ap)
{
	char why[512];

	vsnprintf(why, sizeof(why), fmt, ap);
	if (write(3, why, strlen(why)) < 0)
		status = 1;
	_exit(status);
}

void
fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	outcome(1, fmt, ap);
	abort();
}

void
skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	outcome(SKIPPED, fmt, ap);
	abort();
}

void
kapi_eq(
    const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
	if (got != want)
		fail("%s:%d: %s is %#llx, not %#llx", file, line, what,
		    (unsigned long long)got, (unsigned long long)want);
}

int
kapi_do(const char *file, int line, const char *name, int fd,
    unsigned long request, unsigned long arg)
{
	int r = ioctl(fd, request, arg);

	if (r < 0)
		fail("%s:%d: %s: %s", file, line, name, strerror(errno));
	return r;
}

void
kapi_err(const char *file, int line, const char *name, int fd,
    unsigned long request, unsigned long arg, int error)
{
	int r = ioctl(fd, request, arg);

	if (r >= 0)
		fail("%s:%d: %s succeeded (%d) instead of %s", file, line, name,
		    r, strerrorname_np(error));
	if (errno != error)
		fail("%s:%d: %s: %s instead of %s", file, line, name,
		    strerrorname_np(errno), strerrorname_np(error));
}
