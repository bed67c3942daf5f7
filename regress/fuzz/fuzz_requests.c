/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what a control process in a stranger's hands can say to the parent:
 * clients that are there and some that are not, requests of theirs with any
 * fields and descriptors, while VMs run and end.  Whatever it is, the parent
 * lives; a control that breaks a rule is ended, with a line that says why, and
 * another one is started; nobody is answered more often than he asked; only who
 * connected has VMs started, his own; nothing is left of clients and of VMs.
 *
 * The input is records (record.h): a message of control with a client's number
 * and a kind of descriptor in its flags, or, with a type from ACTS on, what else
 * happens.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "ctl.h"
#include "log.h"
#include "msg.h"
#include "parent.h"
#include "snapdel.h"
#include "spawn.h"
#include "statedir.h"

#include "../../vmd/parent.h"

#define ENDS	  100 /* turns until all is gone */
#define IDS	  4 /* of clients */
#define ID(flags) (F_WHICH(flags) % IDS)
#define FD(flags) (F_WHICH(flags) / IDS)
#define ALICE	  4001 /* owns a VM */
#define EVE	  4003 /* owns none */
#define USERS	  3

/* Types of records: a message of control is CTL_NONE and the type, or */
enum {
	M_CONNECT = 0xe0,
	M_GONE,
	M_ANY, /* of another child: its first byte is the type */
	ACTS = 0xf0,
	A_END = ACTS, /* of a process: its channel, then it; first byte: how */
	A_CLOSE, /* its channel alone */
	A_REAP, /* it, while its channel is open */
	A_TIME, /* is up */
	A_RUN, /* guests do */
	A_LOAD, /* of a file: first byte: which */
	A_FILE, /* the same for START_FILE */
};

/* Descriptors that control has. */
enum {
	FD_ROOT, /* a client's socket */
	FD_ALICE,
	FD_EVE,
	FD_FILE,
	FD_WRITE,
	FD_SAVED, /* a file, to be read */
	FD_NULL,
	FD_DIR,
	FD_SOCKET, /* of nobody */
	FDS
};

static struct parent p;
static struct options options;
static char dir[] = "/tmp/fuzz_requests.XXXXXX";
static char kernel[64], disk[64], cdrom[64], saved[64], states[64], conf[64],
    more[64], single[64], sock[64];
static int fd[FDS];
static bool passed[USERS]; /* a client's socket, by now */
static unsigned asked[IDS], answered[IDS];
static bool counting; /* what was asked is known */
static unsigned ncontrols, nlines;

pid_t __wrap_spawn_child(const struct spawn *, int *);
int __wrap_statedir_open(const struct life *, bool);
void __wrap_log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));

pid_t
__wrap_spawn_child(const struct spawn *s, int *to)
{
	ncontrols += strcmp(s->role, "control") == 0;
	return proc_new(s->role, to);
}

int
__wrap_statedir_open(const struct life *l, bool make)
{
	return open(states, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Two lines at most for each control: why, and how it ended. */
void
__wrap_log_warnx(const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	va_start(ap, fmt);
	check(vsnprintf(line, sizeof(line), fmt, ap) > 0);
	va_end(ap);
	if (strncmp(line, "control: ", 9) == 0)
		check(++nlines <= 2 * ncontrols);
}

static void
path_of(char path[64], const char *name)
{
	snprintf(path, 64, "%s/%s", dir, name);
}

static void
make_file(char path[64], const char *name, off_t size)
{
	int f;

	path_of(path, name);
	f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(f != -1 && ftruncate(f, size) == 0);
	close(f);
}

static void __attribute__((format(printf, 3, 4)))
write_file(char path[64], const char *name, const char *fmt, ...)
{
	va_list ap;
	FILE *f;

	path_of(path, name);
	check((f = fopen(path, "we")) != NULL);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	check(fclose(f) == 0);
}

/* Files of states, which snapshots leave. */
static void
clear_states(void)
{
	DIR *d = opendir(states);
	const struct dirent *e;

	check(d != NULL);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
}

static void
remove_files(void)
{
	clear_states();
	rmdir(states);
	listen_close(&p.listener);
	unlink(kernel);
	unlink(disk);
	unlink(cdrom);
	unlink(saved);
	unlink(conf);
	unlink(more);
	unlink(single);
	rmdir(dir);
}

static void
make_files(void)
{
	check(mkdtemp(dir) != NULL);
	path_of(states, "states");
	check(mkdir(states, 0700) == 0);
	make_file(kernel, "kernel", 4096);
	make_file(disk, "disk", 1 << 20);
	make_file(cdrom, "cdrom", 1 << 20);
	make_file(saved, "saved", 4096);
	write_file(conf, "conf",
	    "hypervisor \"/dev/null\"\n"
	    "vm web {\n\tboot \"%s\"\n\tmemory 64M\n\tdisk \"%s\"\n"
	    "\tcdrom \"%s\"\n\towner %d\n\tdisable\n}\n"
	    "vm db {\n\tboot \"%s\"\n\tmemory 64M\n\tinterface user\n\tscreen\n"
	    "\tdisable\n}\n",
	    kernel, disk, cdrom, ALICE, kernel);
	write_file(more, "more", "vm more {\n\tboot \"%s\"\n\tmemory 64M\n}\n",
	    kernel);
	write_file(single, "single",
	    "vm single {\n\tboot \"%s\"\n\tmemory 64M\n\tdisable\n}\n", kernel);
}

/* What the kernel says of it is who we are now. */
static int
socket_of(uid_t uid)
{
	int pair[2];

	if (geteuid() == 0)
		check(seteuid(uid) == 0);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	if (getuid() == 0)
		check(seteuid(0) == 0);
	return pair[0];
}

static void
open_all(void)
{
	unsigned i;

	fd[FD_ROOT] = socket_of(0);
	fd[FD_ALICE] = socket_of(ALICE);
	fd[FD_EVE] = socket_of(EVE);
	fd[FD_FILE] = open(kernel, O_RDONLY | O_CLOEXEC);
	fd[FD_WRITE] = open(saved, O_WRONLY | O_CLOEXEC);
	fd[FD_SAVED] = open(saved, O_RDONLY | O_CLOEXEC);
	fd[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fd[FD_DIR] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd[FD_SOCKET] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	for (i = 0; i < FDS; i++)
		check(fd[i] != -1);
}

/* As parent.c does. */
static void
make_parent(void)
{
	struct fail why;

	options.file = conf;
	options.file_given = true;
	options.socket = sock;
	TAILQ_INIT(&options.macros);
	p.opts = &options;
	p.base = event_base_new();
	check(p.base != NULL);
	p.life.base = p.net.base = p.base;
	p.life.reg = p.net.reg = p.keep.reg = &p.reg;
	p.life.socket = sock;
	p.life.ops = &answer_life_ops;
	p.life.arg = &p;
	p.life.limits = life_limits_dflt;
	p.life.net = &p.net;
	p.net.ops = &life_net_ops;
	p.net.arg = &p.life;
	listen_init(&p.listener);
	clients_init(&p.clients);
	remoteproc_init(&p);
	snapdel_init(&p);
	TAILQ_INIT(&p.waits);
	path_of(sock, "sock");
	check(listen_open(&p.listener, sock, &why) == 0);
}

static struct proc *
which(const struct record *rec)
{
	return &proc[F_WHICH(rec->flags) % nprocs];
}

/* NULL: there is none at the moment. */
static struct proc *
control(void)
{
	unsigned i;

	for (i = nprocs; i-- > 0;)
		if (strcmp(proc[i].role, "control") == 0)
			return proc[i].sock != -1 ? &proc[i] : NULL;
	return NULL;
}

/* Rights: whoever passed no socket has no VM started. */
static void
check_vms(void)
{
	const struct vm *vm;

	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	{
		if ((vm->conf.flags & VM_F_ADHOC) == 0 && !vm_active(vm))
			continue;
		check(passed[FD_ROOT] ||
		    (vm->conf.uid == ALICE && passed[FD_ALICE]) ||
		    (vm->conf.uid == EVE && passed[FD_EVE]));
	}
}

static void
turn(void)
{
	static struct heard m;
	unsigned i;

	event_base_loop(p.base, EVLOOP_NONBLOCK);
	for (i = 0; i < nprocs; i++)
		while (proc_hear(&proc[i], &m)) {
			if (strcmp(proc[i].role, "control") != 0 ||
			    m.h.peerid >= IDS ||
			    (m.h.type != CTL_OK && m.h.type != CTL_FAIL))
				continue;
			answered[m.h.peerid]++;
			check(!counting ||
			    answered[m.h.peerid] <= asked[m.h.peerid]);
		}
	check_vms();
}

static void
reap(struct proc *q, int status)
{
	pid_t pid = proc_pid(q);

	if (!q->there)
		return;
	q->there = false;
	check(ctlproc_reaped(&p, pid, status) ||
	    remoteproc_reaped(&p, pid, status) ||
	    snapdel_reaped(&p, pid, status) ||
	    netproc_reaped(&p.net, pid, status) ||
	    life_reaped(&p.life, pid, status));
}

static void
time_is_up(void)
{
	const struct vm *vm;

	timer_due(p.control.respawn);
	timer_due(p.net.respawn);
	timer_due(p.boot);
	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	timer_due(vm->timer);
}

static void
guests_run(void)
{
	const struct record rec = { 0 };
	unsigned i;

	for (i = 0; i < nprocs; i++)
		if (strcmp(proc[i].role, "vm") == 0)
			proc_say(&proc[i], &rec, VM_READY, 0, NULL, 0, -1);
}

/* Control's word. */
static void
say(const struct record *rec, uint32_t type, const uint8_t *body, size_t n)
{
	const struct proc *c = control();
	unsigned user = FD(rec->flags) % FDS;

	if (c == NULL)
		return;
	if ((rec->flags & F_FD) != 0 && user < USERS)
		passed[user] = true;
	if ((rec->flags & F_RAW) != 0)
		counting = false;
	asked[ID(rec->flags)]++;
	proc_say(c, rec, type, ID(rec->flags), body, n, fd[user]);
}

static void
say_path(const struct record *rec, uint32_t type, const char *path)
{
	struct record plain = { .flags = rec->flags & ~(F_FD | F_RAW) };
	uint8_t body[66] = { 0, (uint8_t)strlen(path) };

	memcpy(body + 2, path, strlen(path));
	say(&plain, type, body, 2 + strlen(path));
}

static void
act(const struct record *rec, const uint8_t *body, size_t n)
{
	const char *const files[] = { conf, more, single, kernel, dir,
		"/nothing" };
	const char *path = files[(n > 0 ? body[0] : 0) % 6];
	struct proc *q = which(rec);

	if (rec->type == A_END || rec->type == A_CLOSE)
		fd_close(&q->sock);
	if (rec->type == A_END)
		turn();
	switch (rec->type) {
	case A_END:
	case A_REAP:
		reap(q, n > 0 ? body[0] << 8 : SIGKILL);
		break;
	case A_TIME:
		time_is_up();
		break;
	case A_RUN:
		guests_run();
		break;
	case A_LOAD:
		say_path(rec, CTL_LOAD, path);
		break;
	case A_FILE:
		say_path(rec, CTL_START_FILE, path);
		break;
	}
}

static void
happen(const struct record *rec, const uint8_t *body, size_t n)
{
	const struct proc *q = which(rec);

	switch (rec->type) {
	case M_CONNECT:
		say(rec, CONTROL_CONNECT, body, n);
		break;
	case M_GONE:
		say(rec, CONTROL_GONE, body, n);
		break;
	case M_ANY:
		if (n > 0 && strcmp(q->role, "control") != 0)
			proc_say(q, rec, VMD_MSG_BASE + body[0], 0, body + 1,
			    n - 1, fd[FD_FILE]);
		break;
	default:
		if (rec->type >= ACTS)
			act(rec, body, n);
		else
			say(rec, CTL_NONE + rec->type, body, n);
	}
}

static void
begin(void)
{
	nprocs = ncontrols = nlines = 0;
	counting = true;
	memset(passed, 0, sizeof(passed));
	memset(asked, 0, sizeof(asked));
	memset(answered, 0, sizeof(answered));
	p.ending = p.life.ending = p.net.ending = false;
	p.net.last_key = 0;
	vmreg_init(&p.reg);
	check(reload_first(&p) == 0);
	check(ctlproc_start(&p) == 0 && netproc_start(&p.net) == 0);
}

/* All is over, and nothing of it is there any more. */
static void
end(void)
{
	const struct vm *vm;
	unsigned i, k;

	p.ending = p.life.ending = true;
	ctlproc_stop(&p);
	remoteproc_stop(&p);
	netproc_stop(&p.net);
	if (p.boot != NULL)
		evtimer_del(p.boot);
	for (k = 0;
	     k == 0 || (k < ENDS && !(life_idle(&p.life) && snapdel_idle(&p)));
	     k++) {
		for (i = 0; i < nprocs; i++) {
			fd_close(&proc[i].sock);
			reap(&proc[i], 0);
		}
		turn();
	}
	check(life_idle(&p.life) && snapdel_idle(&p));
	check(p.net.pid == 0 && p.net.respawn == NULL);
	check(p.control.pid == 0 && p.control.chan == NULL);
	check(p.clients.n == 0 && TAILQ_EMPTY(&p.waits));
	TAILQ_FOREACH(vm, &p.reg.vms, entry)
	check(!vm_active(vm) && vm->timer == NULL && vm->stream == -1 &&
	    vm->starter == (uid_t)-1 && (vm->conf.flags & VM_F_ADHOC) == 0);
	vmreg_clear(&p.reg);
	conf_free(p.conf);
	p.conf = NULL;
	p.net.conf = NULL;
	clear_states();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *body;
	struct record rec;
	unsigned fds;
	size_t n;

	if (p.base == NULL) {
		make_files();
		atexit(remove_files);
		open_all();
		make_parent();
	}
	fds = open_fds();
	begin();
	while (record_next(&data, &len, &rec, &body, &n)) {
		happen(&rec, body, n);
		turn();
	}
	end();
	check(open_fds() == fds);
	return 0;
}
