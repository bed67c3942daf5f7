/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_CMD_H
#define VMCTL_CMD_H

#include <stdbool.h>

/*
 * The commands.  One row each: the dispatch, the usage text and the prototype
 * come from it.  X(name, function, arguments)
 */
#define CMD_LIST(X)                                                             \
	X("check", check_run, "[-j] [-k device]")                               \
	X("console", console_run, "[-2nv] id")                                  \
	X("create", create_run, "[-b base | -i input] [-s size] disk")          \
	X("events", events_run, "[-j] [id]")                                    \
	X("image", image_run,                                                   \
	    "check [-jr] disk | info [-j] disk\n"                               \
	    "\t    | snapshot create | delete | revert disk tag\n"              \
	    "\t    | snapshot list [-j] disk")                                  \
	X("key", key_run, "[-t] id key ...")                                    \
	X("load", daemon_load, "file")                                          \
	X("log", daemon_log, "brief | verbose")                                 \
	X("metrics", metrics_run, "")                                           \
	X("pause", pause_run, "id")                                             \
	X("reload", daemon_reload, "")                                          \
	X("reset", daemon_reset, "[all | switches | vms]")                      \
	X("restart", restart_run, "[-f] id")                                    \
	X("restore", restore_run, "[-n name] file")                             \
	X("run", run_run,                                                       \
	    "[-Lq] [-a cmdline] [-B device] [-b path] [-d disk]\n"              \
	    "\t    [-I initrd] [-i count] [-m size] [-n switch] [-p count] "    \
	    "[-r path]\n"                                                       \
	    "\t    [-t name] "                                                  \
	    "id | name")                                                        \
	X("save", save_run, "[-kz] id file")                                    \
	X("screen", screen_run, "[-fj] id")                                     \
	X("send", send_run,                                                     \
	    "[-dq] [-r rate] [-s percent] [-t milliseconds] id host")           \
	X("set", set_run,                                                       \
	    "[-f] id cdrom path | none | id link n up | down | id memory size") \
	X("show", status_run, "[-jrv] [id]")                                    \
	X("snapshot", snapshot_run,                                             \
	    "create | delete | revert id tag | list [-j] id")                   \
	X("start", start_run,                                                   \
	    "[-cLq] [-a cmdline] [-B device] [-b path] [-d disk]\n"             \
	    "\t    [-I initrd] [-i count] [-m size] [-n switch] [-p count] "    \
	    "[-r path]\n"                                                       \
	    "\t    [-t name] "                                                  \
	    "id | name")                                                        \
	X("status", status_run, "[-jrv] [id]")                                  \
	X("stop", stop_run, "[-fqw] id | -a")                                   \
	X("top", top_run, "[-1] [-d seconds]")                                  \
	X("unpause", unpause_run, "id")                                         \
	X("wait", stop_wait, "id")

enum cmd_result {
	CMD_OK,
	CMD_FAILED, /* has been said on stderr */
	CMD_USAGE, /* print the command's usage */
};

/* Exit statuses with --exit-codes; without it all but the first are 1. */
enum cmd_exit {
	CMD_EXIT_OK,
	CMD_EXIT_FAILED, /* none of the others */
	CMD_EXIT_USAGE,
	CMD_EXIT_VMD, /* there is no vmd, or it does not answer */
	CMD_EXIT_DENIED,
	CMD_EXIT_ABSENT, /* no such VM, or no such file */
	CMD_EXIT_STATE, /* it runs already, or does not run, or is busy */
	CMD_EXIT_FULL, /* no memory, disk space or VM more */
	CMD_EXIT_FILE, /* a disk, medium or kernel is of no use */
	/* The end of what vmctl run waited for, also without --exit-codes. */
	CMD_EXIT_RESETS = 10,
	CMD_EXIT_FORCED,
	CMD_EXIT_DIED,
};

struct cmd_env {
	const char *socket; /* path */
	const char *host; /* vmd's, instead; NULL: this one */
	enum cmd_exit *why; /* what went wrong first; NULL: nobody asks */
};

void cmd_why(const struct cmd_env *, enum cmd_exit);

/* argv[0] is the command's name; getopt(3) is ready to begin. */
#define X(name, function, args) \
	enum cmd_result function(int argc, char **argv, const struct cmd_env *);
CMD_LIST(X)
#undef X

/*
 * getopt(3) with our messages: an option, -1 at the end, or '?' after saying
 * what is wrong.  Options come before the operands.
 */
int cmd_getopt(int argc, char **argv, const char *options);
/* Remember an option's value; false after saying that it is there twice. */
bool cmd_once(const char **value, const char *what);

/* The whole program; the exit status: 0 or 1. */
int cmd_main(int argc, char **argv);

#endif
