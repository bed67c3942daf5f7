/* SPDX-License-Identifier: ISC */
#ifndef VMD_CONF_H
#define VMD_CONF_H

/* vm.conf(5) as a whole: what parse.y makes of a file. */
#include <sys/queue.h>
#include <stdbool.h>
#include "macro.h"
#include "vmconf.h"

#define CONF_FILE    "/etc/vm.conf"
#define CONF_VMS_MAX 1024
#define CONF_DELAY   30 /* seconds, staggered start */

struct conf_vm {
	TAILQ_ENTRY(conf_vm) entry;
	struct vmconf conf;
};

struct conf {
	uid_t sock_uid; /* of the control socket */
	gid_t sock_gid;
	char hypervisor[VM_PATH_MAX + 1]; /* "" = the usual devices */
	unsigned parallel; /* 0 = one per CPU of the host */
	unsigned delay;
	unsigned nvms;
	TAILQ_HEAD(, conf_vm) vms;
};

struct conf_opts {
	const char *file;
	bool optional; /* no such file is like an empty one */
	bool check_paths; /* -n: kernels, initrds and disks must exist */
	const struct macros *macros; /* from -D */
	/* Errors and warnings, one line each. */
	void (*report)(
	    void *arg, const char *file, unsigned line, const char *text);
	void *arg;
};

/* NULL when there was an error; all of them have been reported then. */
struct conf *conf_load(const struct conf_opts *);
struct conf *conf_new(void);
void conf_free(struct conf *);
const struct vmconf *conf_find(const struct conf *, const char *name);

#endif
