/* SPDX-License-Identifier: ISC */
/*
 * Confinement: what a process gives up before it makes threads.  The filter
 * of the second step is in filter.c.
 *
 * The order matters and is this: look the user up (opens files), set limits,
 * change the root (needs CAP_SYS_ADMIN), lock the secure bits and empty the
 * bounding set (needs CAP_SETPCAP), change the ids, drop the capabilities,
 * no_new_privs, Landlock, not dumpable; then try to take something back.
 * credentials(7), capabilities(7) "Effect of user ID changes on
 * capabilities" and "The securebits flags".
 */
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "filter.h"
#include "landlock.h"
#include "log.h"
#include "sandbox.h"

#define CAP_BITS 64

struct ids {
	uid_t uid;
	gid_t gid;
};

static struct ids
find_ids(const struct sandbox *sb)
{
	struct ids ids = { sb->uid, sb->gid };
	struct passwd *pw;

	if (sb->user != NULL) {
		errno = 0;
		pw = getpwnam(sb->user);
		if (pw == NULL && errno != 0)
			fatal("sandbox: user %s", sb->user);
		if (pw == NULL)
			fatalx("sandbox: no user %s", sb->user);
		ids.uid = pw->pw_uid;
		ids.gid = pw->pw_gid;
	}
	if (ids.uid == 0 || ids.gid == 0)
		fatalx("sandbox: refusing to run as root");
	return ids;
}

static void
limit(__rlimit_resource_t what, rlim_t max, const char *name)
{
	struct rlimit rl = { max, max };

	if (setrlimit(what, &rl) == -1)
		fatal("sandbox: limit %s", name);
}

static void
set_limits(const struct sandbox *sb)
{
	limit(RLIMIT_CORE, 0, "core");
	limit(RLIMIT_NOFILE, sb->nofile, "nofile");
	limit(RLIMIT_MEMLOCK, sb->memlock, "memlock");
	/* Counts the threads of the uid, not of this process. */
	if (sb->nproc != 0)
		limit(RLIMIT_NPROC, sb->nproc, "nproc");
}

/* A file system of one empty directory that nothing can be added to. */
static int
empty_mount(void)
{
	int fs, mnt = -1;

	fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs == -1)
		return -1;
	if (fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0555", 0) != -1 &&
	    fsconfig(fs, FSCONFIG_SET_STRING, "nr_inodes", "1", 0) != -1 &&
	    fsconfig(fs, FSCONFIG_SET_STRING, "size", "4096", 0) != -1 &&
	    fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) != -1 &&
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != -1)
		mnt = fsmount(fs, FSMOUNT_CLOEXEC,
		    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			MOUNT_ATTR_NOEXEC);
	fd_close(&fs);
	return mnt;
}

/*
 * Make the empty mount the root of a mount namespace of our own, and drop
 * every other mount from it.  pivot_root(2), "pivot_root(".", ".")": the old
 * root ends up stacked on the new one, where it is detached.
 */
static void
empty_root(void)
{
	int mnt;

	/* Also when the spawner did it: never touch the host's mounts. */
	if (unshare(CLONE_NEWNS) == -1)
		fatal("sandbox: mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1)
		fatal("sandbox: private mounts");
	mnt = empty_mount();
	if (mnt == -1)
		fatal("sandbox: empty file system");
	if (move_mount(mnt, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) == -1)
		fatal("sandbox: mount of the empty root");
	if (fchdir(mnt) == -1)
		fatal("sandbox: empty root");
	if (syscall(SYS_pivot_root, ".", ".") == -1)
		fatal("sandbox: pivot_root");
	if (umount2(".", MNT_DETACH) == -1)
		fatal("sandbox: detach of the old root");
	if (chdir("/") == -1)
		fatal("sandbox: /");
	fd_close(&mnt);
}

static void
change_root(const char *root)
{
	struct stat st;

	if (chroot(root) == -1 || chdir("/") == -1)
		fatal("sandbox: chroot %s", root);
	if (stat("/", &st) == -1)
		fatal("sandbox: stat %s", root);
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		fatalx("sandbox: %s: others than root may write to it", root);
}

/* The bounding set, of what is in it: needs CAP_SETPCAP. */
static void
bound_capabilities(uint64_t keep)
{
	unsigned long cap;
	int has;

	for (cap = 0; cap < CAP_BITS; cap++) {
		has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has == -1)
			break; /* past the last one */
		if (has == 1 && !(keep & (1ULL << cap)) &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			fatal("sandbox: capability bounding set");
	}
}

/* From here on nothing is gained by uid 0 or by exec. */
static void
lock_capabilities(uint64_t keep)
{
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
	    SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
	    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
	    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	bound_capabilities(keep);
	if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) == -1)
		fatal("sandbox: secure bits");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		fatal("sandbox: ambient capabilities");
}

static void
change_ids(struct ids ids)
{
	if (setgroups(0, NULL) == -1)
		fatal("sandbox: setgroups");
	if (setresgid(ids.gid, ids.gid, ids.gid) == -1)
		fatal("sandbox: setresgid");
	if (setresuid(ids.uid, ids.uid, ids.uid) == -1)
		fatal("sandbox: setresuid");
}

static void
get_capabilities(struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};

	if (syscall(SYS_capget, &head, data) == -1)
		fatal("sandbox: capget");
}

static void
set_capabilities(const struct __user_cap_data_struct data[2])
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};

	if (syscall(SYS_capset, &head, data) == -1)
		fatal("sandbox: capset");
}

/* The secure bits kept all of them across change_ids(). */
static void
drop_capabilities(uint64_t keep)
{
	const struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)keep, .permitted = (uint32_t)keep },
		{ .effective = (uint32_t)(keep >> 32),
		    .permitted = (uint32_t)(keep >> 32) },
	};

	set_capabilities(data);
}

void
sandbox_give_up(uint64_t keep)
{
	struct __user_cap_data_struct data[2];
	uint32_t k;
	int i;

	get_capabilities(data);
	/* Who may not do this cannot confine a child either, and is told so. */
	if (data[CAP_TO_INDEX(CAP_SETPCAP)].effective &
	    CAP_TO_MASK(CAP_SETPCAP))
		bound_capabilities(keep);
	for (i = 0; i < 2; i++) {
		k = (uint32_t)(keep >> (32 * i));
		data[i].effective &= k;
		data[i].permitted &= k;
		data[i].inheritable &= k;
	}
	set_capabilities(data);
}

static void
check_ids(struct ids ids)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) == -1 ||
	    getresgid(&rgid, &egid, &sgid) == -1)
		fatal("sandbox: ids");
	if (ruid != ids.uid || euid != ids.uid || suid != ids.uid ||
	    rgid != ids.gid || egid != ids.gid || sgid != ids.gid ||
	    getgroups(0, NULL) != 0)
		fatalx("sandbox: ids did not change");
}

static void
check_capabilities(uint64_t keep)
{
	struct __user_cap_data_struct d[2];
	uint64_t permitted;

	get_capabilities(d);
	permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	if (permitted != keep || (d[0].inheritable | d[1].inheritable) != 0)
		fatalx("sandbox: capabilities did not go");
}

/* A door that still opens is a bug of ours: stop here. */
static void
check_closed(const struct sandbox *sb)
{
	if ((sb->keepcaps & (1ULL << CAP_SETUID)) == 0 &&
	    (setresuid(0, 0, 0) != -1 || seteuid(0) != -1))
		fatalx("sandbox: uid 0 came back");
	if ((sb->keepcaps & (1ULL << CAP_SETGID)) == 0 &&
	    (setresgid(0, 0, 0) != -1 || setgroups(0, NULL) != -1))
		fatalx("sandbox: gid 0 came back");
	if (chroot("/") != -1)
		fatalx("sandbox: chroot still works");
}

void
sandbox_confine(const struct sandbox *sb)
{
	struct ids ids = find_ids(sb);
	int abi;

	/*
	 * One arena: a second thread's first malloc(3) would count the
	 * processors, and an arena that shrinks would look at overcommit,
	 * both by opening files, which is death after the seal.
	 */
	mallopt(M_ARENA_MAX, 1);
	set_limits(sb);
	if (sb->root == NULL)
		empty_root();
	else
		change_root(sb->root);
	lock_capabilities(sb->keepcaps);
	change_ids(ids);
	drop_capabilities(sb->keepcaps);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("sandbox: no_new_privs");
	abi = landlock_deny_all();
	if (abi < 0) {
		errno = -abi;
		fatal("sandbox: landlock");
	}
	if (abi == 0)
		log_debug("sandbox: this kernel has no landlock");
	/* After the change of ids, which sets it too. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("sandbox: dumpable");
	check_ids(ids);
	check_capabilities(sb->keepcaps);
	check_closed(sb);
}

void
sandbox_seal(
    const char *promises, const struct sandbox_ioctl *ioctls, size_t nioctls)
{
	const char *why;
	int error;

	error = filter_load(promises, ioctls, nioctls, &why);
	if (error != 0) {
		errno = -error;
		fatal("sandbox: seal \"%s\": %s", promises, why);
	}
}

int
sandbox_hide(void *p, size_t len)
{
	if (madvise(p, len, MADV_DONTDUMP) == -1 ||
	    madvise(p, len, MADV_DONTFORK) == -1)
		return -errno;
	return 0;
}
