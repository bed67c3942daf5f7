/* SPDX-License-Identifier: ISC */
/*
 * Landlock as a second layer below the empty root: a ruleset that handles
 * every right which the running kernel knows, and has no rule.
 *
 * Rights per ABI version: "Landlock: unprivileged access control",
 * sections "Filesystem flags", "Network flags", "Scope flags" and "Previous
 * limitations".  Descriptors opened before stay usable: reading, writing,
 * truncating and device ioctls are decided when a file is opened.
 */
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include "fd.h"
#include "landlock.h"

/* The build host's header may be older than the running kernel. */
struct attr {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static const struct {
	int abi; /* first version with these */
	struct attr attr;
} rights[] = {
	{ 1, { .fs = 0x1fff } }, /* execute ... make_sym */
	{ 2, { .fs = 1ULL << 13 } }, /* refer */
	{ 3, { .fs = 1ULL << 14 } }, /* truncate */
	{ 4, { .net = 1ULL << 0 | 1ULL << 1 } }, /* bind, connect TCP */
	{ 5, { .fs = 1ULL << 15 } }, /* ioctl_dev */
	{ 6, { .scoped = 1ULL << 0 | 1ULL << 1 } }, /* abstract unix, signal */
	{ 9, { .fs = 1ULL << 16 } }, /* resolve_unix */
};

int
landlock_deny_all(void)
{
	struct attr a = { 0, 0, 0 };
	size_t i, len;
	int abi, error, fd;

	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	if (abi == -1) {
		/* Not built in, or not enabled at boot. */
		if (errno == ENOSYS || errno == EOPNOTSUPP)
			return 0;
		return -errno;
	}
	for (i = 0; i < sizeof(rights) / sizeof(rights[0]); i++) {
		if (rights[i].abi > abi)
			break;
		a.fs |= rights[i].attr.fs;
		a.net |= rights[i].attr.net;
		a.scoped |= rights[i].attr.scoped;
	}
	/* Older kernels know shorter structures only. */
	len = abi >= 6 ? sizeof(a) : abi >= 4 ? 16 : 8;
	fd = (int)syscall(SYS_landlock_create_ruleset, &a, len, 0);
	if (fd == -1)
		return -errno;
	error = syscall(SYS_landlock_restrict_self, fd, 0) == -1 ? -errno : 0;
	fd_close(&fd);
	return error != 0 ? error : abi;
}
