/* SPDX-License-Identifier: ISC */
#ifndef VMD_TTY_H
#define VMD_TTY_H

/*
 * The console of a VM as seen from the host: a pty whose slave belongs to
 * the VM's owner.  The parent holds both ends for as long as the VM is not
 * stopped, so name and contents survive a guest's reboot.
 */
#include <sys/types.h>
#include "fail.h"

struct tty {
	int master, slave; /* -1: not open */
	char name[32];
};

void tty_init(struct tty *);
/* gid VM_NOGID: the group "tty", which may only write. */
int tty_open(struct tty *, uid_t, gid_t, struct fail *why);
void tty_close(struct tty *);

#endif
