/* SPDX-License-Identifier: ISC */
#ifndef VMD_RECORD_H
#define VMD_RECORD_H

/*
 * What the keeper keeps for a later parent, as bytes: notes of the daemon, of
 * VMs' ids, of VMs that run.  Read as if anybody had written them.
 */
#include "vmreg.h"

struct ibuf;

/* KEEP_DAEMON: the version comes first, and stays there in all versions. */
struct record_daemon {
	uint32_t version; /* MSG_VERSION of who wrote it */
	bool have_prefix6; /* of local interfaces: netproc.h */
	uint8_t prefix6[16];
	pid_t keeper; /* SO_PEERCRED of its socket is who made that */
};
int record_put_daemon(struct ibuf *, const struct record_daemon *);
/* 0, -EPROTO: another version, which is filled in, or -EBADMSG. */
int record_get_daemon(struct ibuf *, struct record_daemon *);

/* KEEP_ID */
struct record_id {
	uid_t uid;
	char name[VM_NAME_MAX + 1];
	bool up; /* ran, or was to */
};
int record_put_id(struct ibuf *, const struct vm *);
int record_get_id(struct ibuf *, struct record_id *);

/* KEEP_VM: of a VM that runs, or is asked to end, all but its descriptors. */
struct record_vm {
	struct vmconf conf;
	bool stopping, stopped, forced;
	uint32_t unplugged, restarts, quick;
	uid_t starter;
	int64_t started;
	uint64_t medium; /* bytes */
	uint64_t keep; /* bytes of memory, or 0 */
	char tty[VM_TTYS][32], problem[128];
	enum run_end end; /* if its process has said so */
	struct fail fail;
	pid_t pid[RUN_CHILDREN];
	struct run_nic net[VM_NICS_MAX]; /* without queues */
};
int record_put_vm(struct ibuf *, const struct vm *);
/* 0 or -EBADMSG. */
int record_get_vm(struct ibuf *, struct record_vm *);
/* To a VM that was just added; it runs, even if it was to be stopped. */
void record_apply(struct vm *, const struct record_vm *);

#endif
