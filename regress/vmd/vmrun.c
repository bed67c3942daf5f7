/* SPDX-License-Identifier: ISC */
/*
 * vmrun: one VM without the rest of vmd.  Plays the parent: spawns the vm
 * process and a vioblk process per disk, passes them what they need, and puts
 * the guest's console on standard input and output.
 *
 *   vmrun [-v] [-D device] [-m MiB] [-p cpus] [-I initrd] [-a cmdline]
 *         [-d disk]... [-F floppy] [-S video-bios] [-s seconds] [-t seconds]
 *         [-r text=line]... [-e text] -k kernel
 *
 * -S is a screen and what firmware gets for it.  -s presses the power button
 * after so many seconds, -t gives up, -e ends with status 0 and the time when the
 * text is on the console.  Before that, -r types a line and a return when the
 * text is there: one after the other, in their order.  The exit status: 0 power-off, 2 reset, 3 triple fault, 4 error, 5 start failed,
 * 6 a process ended without a word, 7 time is up.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <event2/event.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "log.h"
#include "msg.h"
#include "page.h"
#include "role.h"
#include "spawn.h"
#include "vmconf.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID)
#define MIB	   (1ULL << 20)
#define REPLIES	   16

struct run {
	struct event_base *base;
	struct chan *vm, *disk[VM_DISKS_MAX];
	struct vmconf conf;
	const char *device, *expect, *video_bios;
	char *reply[REPLIES]; /* text=line */
	unsigned nreplies, replied;
	char seen[8192]; /* console output, for expect */
	size_t nseen;
	int master, slave;
	int status;
	struct timespec start;
};

static double
since(const struct run *run)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - run->start.tv_sec) +
	    (double)(now.tv_nsec - run->start.tv_nsec) / 1e9;
}

static void
done(struct run *run, int status)
{
	if (run->status == -1)
		run->status = status;
	event_base_loopbreak(run->base);
}

static int
on_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	fprintf(stderr, "vmrun: ready after %.6f s\n", since(arg));
	return 0;
}

static int
on_error(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	char line[512];
	uint32_t error;

	if (ibuf_get_n32(body, &error) == -1 ||
	    ctl_get_str(body, line, sizeof(line)) < 0)
		return -EBADMSG;
	fprintf(stderr, "vmrun: %s (error %u)\n", line, error);
	done(arg, 5);
	return 0;
}

static int
on_ended(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	static const char *const names[] = { "power-off", "reset",
		"triple fault", "error" };
	char detail[512];
	uint32_t how;

	if (ibuf_get_n32(body, &how) == -1 || how > VM_END_ERROR ||
	    ctl_get_str(body, detail, sizeof(detail)) < 0)
		return -EBADMSG;
	fprintf(stderr, "vmrun: %s after %.6f s %s\n", names[how], since(arg),
	    detail);
	done(arg, how == VM_END_POWEROFF ? 0 : (int)how + 1);
	return 0;
}

static int
on_devstate(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	char line[512];
	uint32_t index;

	if (ibuf_get_n32(body, &index) == -1 ||
	    ctl_get_str(body, line, sizeof(line)) < 0)
		return -EBADMSG;
	fprintf(stderr, "vmrun: disk %u: %s\n", index, line);
	return 0;
}

static int
on_ack(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	fprintf(stderr, "vmrun: power button seen after %.6f s\n", since(arg));
	return 0;
}

static const struct chan_row vm_rows[] = {
	{ VM_READY, "VM_READY", CHAN_NOFD, on_ready },
	{ VM_ERROR, "VM_ERROR", CHAN_NOFD, on_error },
	{ VM_ENDED, "VM_ENDED", CHAN_NOFD, on_ended },
	{ VM_DEVSTATE, "VM_DEVSTATE", CHAN_NOFD, on_devstate },
	{ VM_SHUTDOWN_ACK, "VM_SHUTDOWN_ACK", CHAN_NOFD, on_ack },
};

static int
on_blk_ready(void *arg, uint32_t id, int fd, struct ibuf *body)
{
	return 0;
}

static const struct chan_row blk_rows[] = {
	{ BLK_READY, "BLK_READY", CHAN_NOFD, on_blk_ready },
	{ BLK_ERROR, "BLK_ERROR", CHAN_NOFD, on_error },
};

static void
on_closed(void *arg, const char *why)
{
	fprintf(stderr, "vmrun: a process is gone %s\n", why);
	done(arg, 6);
}

static void
on_blk_closed(void *arg, const char *why)
{
	fprintf(stderr, "vmrun: a disk process is gone %s\n", why);
}

static const struct chan_ops vm_ops = { vm_rows, 5, on_closed };
static const struct chan_ops blk_ops = { blk_rows, 2, on_blk_closed };

/* What has been answered is not looked at again. */
static void
reply(struct run *run)
{
	char *text = run->reply[run->replied], *line = strchr(text, '=') + 1;
	char buf[256];
	int n;

	snprintf(buf, sizeof(buf), "%.*s", (int)(line - text - 1), text);
	if (strstr(run->seen, buf) == NULL)
		return;
	n = snprintf(buf, sizeof(buf), "%s\r", line);
	if (write(run->slave, buf, (size_t)n) != n)
		done(run, 6);
	run->replied++;
	run->nseen = 0;
}

static void
look_for(struct run *run, const char *buf, size_t n)
{
	if (run->expect == NULL)
		return;
	if (run->nseen + n >= sizeof(run->seen)) /* start again */
		run->nseen = 0;
	memcpy(run->seen + run->nseen, buf, n);
	run->nseen += n;
	run->seen[run->nseen] = '\0';
	if (run->replied < run->nreplies) {
		reply(run);
		return;
	}
	if (strstr(run->seen, run->expect) == NULL)
		return;
	fprintf(stderr, "vmrun: text after %.6f s\n", since(run));
	done(run, 0);
}

static void
on_output(evutil_socket_t fd, short what, void *arg)
{
	char buf[4096];
	ssize_t n;

	n = read(fd, buf, sizeof(buf));
	if (n <= 0)
		return;
	if (write(STDOUT_FILENO, buf, (size_t)n) != n)
		done(arg, 6);
	look_for(arg, buf, (size_t)n);
}

static void
on_input(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;
	char buf[256];
	ssize_t n;

	n = read(fd, buf, sizeof(buf));
	if (n > 0 && write(run->slave, buf, (size_t)n) != n)
		done(run, 6);
}

static void
on_button(evutil_socket_t fd, short what, void *arg)
{
	struct run *run = arg;

	chan_send(run->vm, VM_SHUTDOWN, 1, -1, NULL);
}

static void
on_time_up(evutil_socket_t fd, short what, void *arg)
{
	fprintf(stderr, "vmrun: time is up\n");
	done(arg, 7);
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static struct chan *
spawn_role(struct run *run, const char *role, const char *title,
    const struct chan_ops *ops)
{
	struct spawn s = { role, title, title, NAMESPACES, -1 };
	struct chan *c;
	pid_t pid;
	int fd;

	if ((pid = spawn_child(&s, &fd)) < 0) {
		errno = (int)-pid;
		die(role);
	}
	if ((c = chan_new(run->base, fd, ops, run)) == NULL)
		die("chan_new");
	return c;
}

static void
send_fd(struct run *run, uint32_t kind, uint32_t index, int fd)
{
	struct ibuf *body = chan_body();

	ibuf_add_n32(body, kind);
	ibuf_add_n32(body, index);
	chan_send(run->vm, VM_FD, 1, fd, body);
}

static int
open_file(const char *path, int flags)
{
	int fd;

	if ((fd = open(path, flags | O_CLOEXEC)) == -1)
		die(path);
	return fd;
}

static void
start_disk(struct run *run, unsigned i)
{
	char title[32], serial[32];
	struct ibuf *body;
	int pair[2], image, k;

	snprintf(title, sizeof(title), "vmrun/vioblk%u", i);
	snprintf(serial, sizeof(serial), "vmrun-%u", i);
	run->disk[i] = spawn_role(run, "vioblk", title, &blk_ops);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		die("socketpair");
	image = open_file(run->conf.disk[i].path, O_RDWR);
	body = chan_body();
	ibuf_add_n32(body, i);
	ibuf_add_n32(body, 0);
	ibuf_add_n32(body, 0);
	ibuf_add_n32(body, run->conf.cpus);
	ctl_put_str(body, serial);
	for (k = 0; k < 4; k++)
		ibuf_add_n64(body, 0);
	ibuf_add_n32(body, 1);
	ibuf_add_n32(body, VM_DISK_RAW);
	chan_send(run->disk[i], BLK_CONF, 1, -1, body);
	body = chan_body();
	ibuf_add_n32(body, BLK_FD_IMAGE);
	chan_send(run->disk[i], BLK_FD, 1, image, body);
	body = chan_body();
	ibuf_add_n32(body, BLK_FD_CHANNEL);
	chan_send(run->disk[i], BLK_FD, 1, pair[0], body);
	send_fd(run, VM_FD_DISK, i, pair[1]);
}

static void
start_screen(struct run *run)
{
	void *page;
	int fd;

	if (page_create(&fd, false, &page) != 0)
		die("a page");
	send_fd(run, VM_FD_SCREEN, 0, fd);
	send_fd(run, VM_FD_VGABIOS, 0, open_file(run->video_bios, O_RDONLY));
}

static void
start(struct run *run)
{
	struct termios t;
	struct ibuf *body;
	unsigned i;

	if (openpty(&run->master, &run->slave, NULL, NULL, NULL) == -1)
		die("openpty");
	tcgetattr(run->slave, &t);
	cfmakeraw(&t);
	tcsetattr(run->slave, TCSANOW, &t);
	run->vm = spawn_role(run, "vm", "vm/vmrun", &vm_ops);
	body = chan_body();
	ibuf_add_n32(body, 1);
	if (vmconf_put(body, &run->conf) < 0)
		die("vmconf_put");
	chan_send(run->vm, VM_CONF, 1, -1, body);
	send_fd(run, VM_FD_HYPERVISOR, 0, open_file(run->device, O_RDWR));
	send_fd(run, VM_FD_KERNEL, 0, open_file(run->conf.kernel, O_RDONLY));
	if (run->conf.initrd[0] != '\0')
		send_fd(run, VM_FD_INITRD, 0,
		    open_file(run->conf.initrd, O_RDONLY));
	if (run->conf.floppy[0] != '\0')
		send_fd(run, VM_FD_FLOPPY, 0,
		    open_file(run->conf.floppy, O_RDONLY));
	if (run->video_bios != NULL)
		start_screen(run);
	send_fd(run, VM_FD_CONSOLE, 0, run->master);
	for (i = 0; i < run->conf.ndisks; i++)
		start_disk(run, i);
	chan_send(run->vm, VM_GO, 1, -1, NULL);
}

static void
add_timer(struct run *run, event_callback_fn f, int seconds)
{
	struct timeval tv = { seconds, 0 };

	if (seconds > 0)
		event_base_once(run->base, -1, EV_TIMEOUT, f, run, &tv);
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: vmrun [-v] [-D device] [-m MiB] [-p cpus] [-I initrd]\n"
	    "\t[-a cmdline] [-d disk]... [-F floppy] [-S video-bios]\n"
	    "\t[-s seconds] [-t seconds] [-r text=line]... [-e text] -k kernel\n");
	exit(1);
}

static void
parse(struct run *run, int argc, char **argv, int *button, int *limit)
{
	struct vmconf *c = &run->conf;
	int ch;

	while ((ch = getopt(argc, argv, "vD:m:p:I:a:d:F:S:s:t:r:e:k:")) != -1) {
		switch (ch) {
		case 'v':
			log_setverbose(1);
			break;
		case 'D':
			run->device = optarg;
			break;
		case 'm':
			c->memory = strtoull(optarg, NULL, 10) * MIB;
			break;
		case 'p':
			c->cpus = (uint32_t)atoi(optarg);
			break;
		case 'I':
			snprintf(c->initrd, sizeof(c->initrd), "%s", optarg);
			break;
		case 'a':
			snprintf(c->cmdline, sizeof(c->cmdline), "%s", optarg);
			break;
		case 'd':
			if (c->ndisks == VM_DISKS_MAX)
				usage();
			snprintf(c->disk[c->ndisks].path,
			    sizeof(c->disk[c->ndisks].path), "%s", optarg);
			c->ndisks++;
			break;
		case 'F':
			snprintf(c->floppy, sizeof(c->floppy), "%s", optarg);
			break;
		case 'S':
			run->video_bios = optarg;
			c->flags |= VM_F_SCREEN;
			break;
		case 'r':
			if (run->nreplies == REPLIES ||
			    strchr(optarg, '=') == NULL)
				usage();
			run->reply[run->nreplies++] = optarg;
			break;
		case 's':
			*button = atoi(optarg);
			break;
		case 't':
			*limit = atoi(optarg);
			break;
		case 'e':
			run->expect = optarg;
			break;
		case 'k':
			snprintf(c->kernel, sizeof(c->kernel), "%s", optarg);
			break;
		default:
			usage();
		}
	}
	if (c->kernel[0] == '\0' || optind != argc)
		usage();
}

static int
child_main(const struct spawned *s)
{
	if (strcmp(s->role, "vm") == 0)
		return vm_main();
	if (strcmp(s->role, "vioblk") == 0)
		return vioblk_main();
	return 1;
}

int
main(int argc, char **argv)
{
	static struct run run = { .device = "/dev/kvm", .status = -1 };
	struct spawned child;
	struct event *out, *in;
	int button = 0, limit = 120;

	if (spawn_is_child(argc, argv, &child))
		return child_main(&child);
	log_init(LOG_TO_STDERR, "vmrun");
	if (spawn_init("vmrun") < 0)
		die("spawn_init");
	vmconf_init(&run.conf);
	snprintf(run.conf.name, sizeof(run.conf.name), "vmrun");
	run.conf.cpus = 1;
	run.conf.memory = VM_MEMORY_DFLT;
	parse(&run, argc, argv, &button, &limit);
	signal(SIGPIPE, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &run.start);
	run.base = event_base_new();
	start(&run);
	out = event_new(
	    run.base, run.slave, EV_READ | EV_PERSIST, on_output, &run);
	event_add(out, NULL);
	in = event_new(
	    run.base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, &run);
	if (isatty(STDIN_FILENO))
		event_add(in, NULL);
	add_timer(&run, on_button, button);
	add_timer(&run, on_time_up, limit);
	event_base_dispatch(run.base);
	event_base_loop(
	    run.base, EVLOOP_ONCE | EVLOOP_NONBLOCK); /* the last output */
	return run.status;
}
