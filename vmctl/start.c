/* SPDX-License-Identifier: ISC */
/*
 * vmctl start: a configured VM by name or number, or one that the options
 * describe (ad-hoc), alone or as an instance of a configured one.
 *
 * Kernel and initrd of an ad-hoc VM are opened here, so that the caller's own
 * right to read them counts, and travel by descriptor.  Disks are opened by
 * vmd's parent, which locks them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "chan.h"
#include "client.h"
#include "cmd.h"
#include "console.h"
#include "imsg.h"
#include "log.h"
#include "start.h"

struct start_opts {
	const char *kernel, *initrd, *cmdline, *memory, *cpus, *interfaces;
	const char *cdrom, *template, *bootdev;
	bool adhoc; /* any option but -c and -q */
	bool console;
	bool quiet; /* no error: it runs already */
};

static int
parse_options(int argc, char **argv, struct start_opts *o, struct vmconf *conf)
{
	bool ok = true;
	int ch;

	while (ok &&
	    (ch = cmd_getopt(argc, argv, "a:B:b:cd:I:i:Lm:n:p:qr:t:")) != -1) {
		o->adhoc |= ch != 'c' && ch != 'q';
		switch (ch) {
		case 'a':
			ok = cmd_once(&o->cmdline, "command line");
			break;
		case 'B':
			ok = cmd_once(&o->bootdev, "boot device");
			break;
		case 'b':
			ok = cmd_once(&o->kernel, "kernel");
			break;
		case 'c':
			o->console = true;
			break;
		case 'd':
			ok = args_disk(optarg, conf) == 0;
			break;
		case 'I':
			ok = cmd_once(&o->initrd, "initrd");
			break;
		case 'i':
			ok = cmd_once(&o->interfaces, "interfaces");
			break;
		case 'L':
			ok = args_nic(NULL, conf) == 0;
			break;
		case 'm':
			ok = cmd_once(&o->memory, "memory");
			break;
		case 'n':
			ok = args_nic(optarg, conf) == 0;
			break;
		case 'p':
			ok = cmd_once(&o->cpus, "cpus");
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'r':
			ok = cmd_once(&o->cdrom, "cdrom");
			break;
		case 't':
			ok = cmd_once(&o->template, "template");
			break;
		default:
			return -EINVAL;
		}
	}
	return ok ? 0 : -EPERM;
}

/* What has to be there, or to be together; a template has some of it. */
static int
check_options(
    const struct start_opts *o, const struct target *t, struct vmconf *conf)
{
	struct target template;

	if (t->id != 0) {
		log_warnx("invalid vm name: %" PRIu32
			  " (a new vm needs a name)",
		    t->id);
		return -EINVAL;
	}
	if (o->template != NULL) {
		if (args_target(o->template, &template) != 0)
			return -EINVAL;
		if (template.id != 0) {
			log_warnx("invalid vm name: %s (a template is given "
				  "by its name)",
			    o->template);
			return -EINVAL;
		}
		memcpy(conf->parent, template.name, sizeof(conf->parent));
	} else if (o->kernel == NULL && conf->ndisks == 0 && o->cdrom == NULL) {
		log_warnx("no kernel or disk/cdrom specified");
		return -EINVAL;
	}
	if (o->kernel == NULL &&
	    (o->initrd != NULL ||
		(o->cmdline != NULL && o->template == NULL))) {
		log_warnx("%s without a kernel",
		    o->initrd != NULL ? "initrd" : "command line");
		return -EINVAL;
	}
	return 0;
}

/* What the options say, checked as far as it can be checked from here. */
static int
describe(
    const struct start_opts *o, const struct target *t, struct vmconf *conf)
{
	int error = check_options(o, t, conf);

	if (error != 0)
		return error;
	if (o->bootdev != NULL && !vmconf_bootdev(o->bootdev, &conf->bootdev)) {
		log_warnx(
		    "invalid boot device: %s (cdrom, disk or net)", o->bootdev);
		return -EINVAL;
	}
	if (o->cmdline != NULL && strlen(o->cmdline) > VM_CMDLINE_MAX) {
		log_warnx("command line too long (limit is %d bytes)",
		    VM_CMDLINE_MAX);
		return -ENAMETOOLONG;
	}
	if ((o->memory != NULL && args_memory(o->memory, &conf->memory)) ||
	    (o->cpus != NULL && args_cpus(o->cpus, &conf->cpus)) ||
	    (o->interfaces != NULL &&
		args_nics(o->interfaces, geteuid() != 0, conf)) ||
	    (o->kernel != NULL &&
		args_path(o->kernel, conf->kernel, sizeof(conf->kernel))) ||
	    (o->initrd != NULL &&
		args_path(o->initrd, conf->initrd, sizeof(conf->initrd))) ||
	    (o->cdrom != NULL &&
		args_path(o->cdrom, conf->cdrom, sizeof(conf->cdrom))))
		return -EINVAL;
	if (o->cmdline != NULL)
		memcpy(conf->cmdline, o->cmdline, strlen(o->cmdline) + 1);
	memcpy(conf->name, t->name, sizeof(conf->name));
	/* vmd sees the other items itself. */
	if (o->memory != NULL)
		conf->given |= VM_I_MEMORY;
	if (o->cpus != NULL)
		conf->given |= VM_I_CPUS;
	conf->flags = VM_F_ADHOC;
	conf->uid = getuid();
	if (conf->ndisks == 0)
		log_warnx("starting without disks");
	return 0;
}

int
start_open_image(const char *what, const char *path)
{
	struct stat st;
	int error, fd;

	/* O_NONBLOCK: a FIFO must not hang us before it is refused. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1) {
		error = -errno;
		log_warn("%s: %s", what, path);
		return error;
	}
	if (fstat(fd, &st) == -1) {
		error = -errno;
		log_warn("%s: %s", what, path);
	} else if (!S_ISREG(st.st_mode)) {
		error = -EINVAL;
		log_warnx("%s: %s: not a regular file", what, path);
	} else if (st.st_size == 0) {
		error = -EINVAL;
		log_warnx("%s: %s: empty file", what, path);
	} else
		return fd;
	close(fd);
	return error;
}

/* The caller owns the descriptors (-1: none), also after a failure. */
static int
open_images(const struct vmconf *conf, int *kernel, int *initrd)
{
	if (conf->kernel[0] != '\0') {
		*kernel = start_open_image("kernel", conf->kernel);
		if (*kernel < 0)
			return -EINVAL;
	}
	if (conf->initrd[0] != '\0') {
		*initrd = start_open_image("initrd", conf->initrd);
		if (*initrd < 0)
			return -EINVAL;
	}
	return 0;
}

static int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static int
send_adhoc(
    struct client *c, const struct vmconf *conf, int *kernel, int *initrd)
{
	struct ibuf *body;
	int error = 0;

	if (*kernel >= 0)
		error = client_send(c, CTL_START_KERNEL, fd_take(kernel), NULL);
	if (error == 0 && *initrd >= 0)
		error = client_send(c, CTL_START_INITRD, fd_take(initrd), NULL);
	if (error != 0)
		return error;
	body = chan_body();
	if ((error = vmconf_put(body, conf)) != 0) {
		errno = -error;
		log_warn("start vm command failed");
		ibuf_free(body);
		return error;
	}
	return client_send(c, CTL_START_ADHOC, -1, body);
}

static void
say_failed(const struct client_answer *a)
{
	const char *text = NULL;

	if (a->kind == CLIENT_FAIL && a->code == CTL_E_FIRMWARE)
		text = "vmm bios firmware file not found";
	else if (a->kind == CLIENT_FAIL && a->code == CTL_E_DISK)
		text = "could not open disk image(s)";
	if (text == NULL)
		log_warnx("start vm command failed: %s", client_reason(a));
	else if (a->text[0] == '\0')
		log_warnx("%s%s", text, a->code == CTL_E_FIRMWARE ? "." : "");
	else
		log_warnx("%s: %s", text, a->text);
}

/* The answer that ends the request; 0 when the VM was started. */
static int
receive(struct client *c, bool quiet, struct client_answer *a)
{
	int error;

	/*
	 * vmd may or may not acknowledge the descriptors sent ahead; only
	 * the OK that ends the request carries a VM's number.
	 */
	do {
		error = client_next(c, a, CLIENT_FOREVER);
		if (error != 0)
			return error;
	} while (a->kind == CLIENT_OK && a->id == 0);
	if (quiet && a->kind == CLIENT_FAIL && a->code == EALREADY)
		return 0;
	if (a->kind != CLIENT_OK) {
		say_failed(a);
		return -EPROTO;
	}
	fprintf(stderr, "vmctl: started vm %" PRIu32 " successfully%s%s\n",
	    a->id, a->text[0] == '\0' ? "" : ", tty ", a->text);
	return 0;
}

/* 0: started, *a tells what vmd said. */
static int
start_adhoc(const struct cmd_env *env, const struct vmconf *conf,
    struct client_answer *a)
{
	struct client *c = NULL;
	int error, initrd = -1, kernel = -1;

	error = open_images(conf, &kernel, &initrd);
	if (error == 0 && conf->nnics == 0 && conf->parent[0] == '\0')
		log_warnx("starting without network interfaces");
	if (error == 0 && (c = client_open(env)) == NULL)
		error = -ENOTCONN;
	if (error == 0)
		error = send_adhoc(c, conf, &kernel, &initrd);
	if (error == 0)
		error = receive(c, false, a);
	client_close(c);
	if (kernel >= 0)
		close(kernel);
	if (initrd >= 0)
		close(initrd);
	return error;
}

/* As above; quiet: or it runs already, then *a is no OK. */
static int
start_configured(const struct cmd_env *env, const struct target *target,
    bool quiet, struct client_answer *a)
{
	struct client *c;
	int error;

	if ((c = client_open(env)) == NULL)
		return -ENOTCONN;
	error = client_send_target(c, CTL_START, target, NULL);
	if (error == 0)
		error = receive(c, quiet, a);
	client_close(c);
	return error;
}

int
start_target(const struct cmd_env *env, const struct target *target)
{
	struct client_answer a;

	return start_configured(env, target, false, &a);
}

enum cmd_result
start_by_options(int argc, char **argv, const struct cmd_env *env,
    struct target *target, struct client_answer *a, bool *console)
{
	struct start_opts opts = { 0 };
	struct vmconf conf;
	int error;

	vmconf_init(&conf);
	error = parse_options(argc, argv, &opts, &conf);
	if (error != 0)
		return error == -EINVAL ? CMD_USAGE : CMD_FAILED;
	if (argc - optind != 1 || (opts.console && console == NULL))
		return CMD_USAGE;
	if (args_target(argv[optind], target) != 0)
		return CMD_FAILED;
	if (!opts.adhoc)
		error = start_configured(env, target, opts.quiet, a);
	else if ((error = describe(&opts, target, &conf)) == 0)
		error = start_adhoc(env, &conf, a);
	if (console != NULL)
		*console = opts.console;
	return error == 0 ? CMD_OK : CMD_FAILED;
}

enum cmd_result
start_run(int argc, char **argv, const struct cmd_env *env)
{
	enum cmd_result result;
	struct client_answer a;
	struct target target;
	bool console;

	result = start_by_options(argc, argv, env, &target, &a, &console);
	if (result != CMD_OK || !console)
		return result;
	if (a.kind != CLIENT_OK)
		return console_of(env, &target, VM_TTY_SERIAL, true);
	if (a.text[0] == '\0') {
		log_warnx("console not found");
		return CMD_FAILED;
	}
	return console_attach(env, &target, a.text);
}
