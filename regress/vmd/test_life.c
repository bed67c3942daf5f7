/* SPDX-License-Identifier: ISC */
/* The lives of VMs, with fake vm and vioblk processes (fake.h). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "balloon.h"
#include "cgroup.h"
#include "fake.inc"

#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <event2/event.h>

#include "life.h"
#include "pause.h"
#include "spawn.h"

#define PATIENCE_MS 30000 /* a busy machine is slow, not wrong */

static struct life life;
static struct vmreg reg;
static struct event *chld, *deadline;
static char dir[] = "/tmp/test_life.XXXXXX";
static char kernel[64], disk[64];

static struct seen {
	unsigned started, failed, ended, changed, paused;
	uint32_t error;
	struct fail why;
	char tty[32], problem[128];
} seen;
static unsigned stop_at; /* events after which the loop ends */

static unsigned
answers(void)
{
	return seen.started + seen.failed + seen.ended + seen.changed +
	    seen.paused;
}

static void
event_seen(void)
{
	if (answers() >= stop_at)
		event_base_loopbreak(life.base);
}

static void
on_started(void *arg, struct vm *vm)
{
	seen.started++;
	memcpy(seen.tty, vm->tty[0].name, sizeof(seen.tty));
	event_seen();
}

static void
on_failed(void *arg, struct vm *vm, const struct fail *why)
{
	seen.failed++;
	seen.why = *why;
	event_seen();
}

static void
on_ended(void *arg, struct vm *vm)
{
	seen.ended++;
	memcpy(seen.problem, vm->problem, sizeof(seen.problem));
	event_seen();
}

static void
on_changed(void *arg, struct vm *vm, uint32_t error)
{
	seen.changed++;
	seen.error = error;
	event_seen();
}

static void
on_paused(void *arg, struct vm *vm)
{
	seen.paused++;
	event_seen();
}

static void
on_state(void *arg, struct vm *v)
{
}

static void
on_problem(void *arg, struct vm *v)
{
}

static void
on_saved(void *arg, struct vm *vm, const struct fail *f)
{
}

static void
on_progress(void *arg, struct vm *vm, const char *line)
{
}

static const struct life_ops ops = { on_started, on_failed, on_ended,
	on_changed, on_saved, on_progress, on_paused, on_state, on_problem };

static void
on_chld(int sig, short what, void *arg)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		assert_true(life_reaped(&life, pid, status));
}

static void
on_deadline(int fd, short what, void *arg)
{
	event_base_loopbreak(life.base);
}

/* Run until n answers were seen in all. */
static void
run_until(unsigned n)
{
	struct timeval tv = { PATIENCE_MS / 1000, 0 };

	stop_at = n;
	evtimer_add(deadline, &tv);
	if (answers() < n)
		event_base_dispatch(life.base);
	evtimer_del(deadline);
	assert_int_equal(answers(), n);
}

/* Let events happen for a while. */
static void
run_for(int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	stop_at = ~0u;
	event_base_loopexit(life.base, &tv);
	event_base_dispatch(life.base);
}

static unsigned
open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
make_file(char *path, size_t len, const char *name, off_t size)
{
	int fd;

	snprintf(path, len, "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

/* What the tests that are not about a limit do not want to see pass. */
static const struct life_limits patient = {
	.start = PATIENCE_MS,
	.press = 50,
	.ack = PATIENCE_MS,
	.shutdown = PATIENCE_MS,
	.term = 200,
	.kill = 500,
	.quick = PATIENCE_MS,
};

static int
group_setup(void **state)
{
	if (geteuid() != 0)
		return 0;
	assert_non_null(mkdtemp(dir));
	make_file(kernel, sizeof(kernel), "kernel", 4096);
	make_file(disk, sizeof(disk), "disk", 1 << 20);
	vmreg_init(&reg);
	life.base = event_base_new();
	life.reg = &reg;
	life.ops = &ops;
	life.limits = patient;
	snprintf(life.hypervisor, sizeof(life.hypervisor), "/dev/null");
	life.socket = dir;
	chld = evsignal_new(life.base, SIGCHLD, on_chld, NULL);
	evsignal_add(chld, NULL);
	deadline = evtimer_new(life.base, on_deadline, NULL);
	return spawn_init("test_life");
}

static int
group_teardown(void **state)
{
	char cmd[64];

	if (geteuid() != 0)
		return 0;
	vmreg_clear(&reg);
	event_free(chld);
	event_free(deadline);
	event_base_free(life.base);
	unlink(kernel);
	unlink(disk);
	snprintf(cmd, sizeof(cmd), "%s", dir);
	return rmdir(cmd);
}

static struct vm *
make_vm(const char *how, unsigned ndisks, uint32_t flags)
{
	struct vmconf c;
	struct vm *vm;

	if (geteuid() != 0)
		skip();
	memset(&seen, 0, sizeof(seen));
	life.ending = false;
	life.unfit[0] = '\0';
	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "web");
	snprintf(c.cmdline, sizeof(c.cmdline), "%s", how);
	snprintf(c.kernel, sizeof(c.kernel), "%s", kernel);
	c.memory = 64 << 20;
	c.flags = flags;
	/* Of such a one the files are its owner's. */
	c.uid = (flags & VM_F_ADHOC) != 0 ? 0 : 12345;
	c.ndisks = ndisks;
	if (ndisks > 0)
		snprintf(c.disk[0].path, sizeof(c.disk[0].path), "%s", disk);
	assert_int_equal(vmreg_add(&reg, &c, &vm), 0);
	return vm;
}

static void
start(struct vm *vm)
{
	struct fail why = { .code = 0 };

	if (life_start(&life, vm, NULL, &why) != 0)
		fail_msg("life_start: %s", why.text);
	assert_int_equal(vm->state, VM_STARTING);
}

/* Nothing is left of a stopped VM. */
static void
check_stopped(struct vm *vm)
{
	assert_int_equal(vm->state, VM_STOPPED);
	assert_int_equal(vm->run.vm.pid, 0);
	assert_null(vm->run.vm.chan);
	assert_int_equal(vm->run.disk[0].pid, 0);
	assert_null(vm->run.disk[0].chan);
	assert_null(vm->timer);
	assert_int_equal(vm->tty[0].master, -1);
	assert_int_equal(vm->tty[0].slave, -1);
	assert_true(life_idle(&life));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void
test_start_and_stop(void **state)
{
	struct vm *vm = make_vm("", 1, 0);
	unsigned before = open_fds();
	struct stat st;
	struct fail why;

	start(vm);
	assert_int_equal(life_start(&life, vm, NULL, &why), -EALREADY);
	run_until(1);
	assert_int_equal(seen.started, 1);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(stat(seen.tty, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_mode & 0777, 0620);
	assert_int_equal(life_stop(&life, vm, false, &why), 0);
	assert_int_equal(vm->state, VM_STOPPING);
	run_until(2);
	assert_int_equal(seen.ended, 1);
	assert_string_equal(seen.problem, "");
	check_stopped(vm);
	assert_int_equal(open_fds(), before);
	assert_int_equal(life_stop(&life, vm, false, &why), -CTL_E_NOTRUNNING);
	vmreg_remove(&reg, vm);
}

static void
test_pause(void **state)
{
	struct vm *vm = make_vm("", 1, 0);
	struct fail why;

	assert_int_equal(pause_ask(vm, true, &why), -CTL_E_NOTRUNNING);
	start(vm);
	assert_int_equal(pause_ask(vm, true, &why), -CTL_E_NOTRUNNING);
	run_until(1);
	assert_int_equal(pause_ask(vm, false, &why), -EALREADY);
	assert_string_equal(why.text, "vm \"web\" is not paused");
	assert_int_equal(pause_ask(vm, true, &why), 0);
	assert_int_equal(pause_ask(vm, true, &why), -EBUSY);
	assert_int_equal(vm_ctl_state(vm), CTL_ST_RUNNING);
	run_until(2);
	assert_int_equal(seen.paused, 1);
	assert_int_equal(vm_ctl_state(vm), CTL_ST_PAUSED);
	assert_int_equal(pause_ask(vm, true, &why), -EALREADY);
	assert_int_equal(pause_ask(vm, false, &why), 0);
	run_until(3);
	assert_int_equal(vm_ctl_state(vm), CTL_ST_RUNNING);
	assert_int_equal(pause_ask(vm, true, &why), 0);
	run_until(4);
	assert_int_equal(life_stop(&life, vm, false, &why), 0);
	assert_int_equal(vm_ctl_state(vm), CTL_ST_STOPPING);
	assert_int_equal(pause_ask(vm, false, &why), -CTL_E_NOTRUNNING);
	run_until(5);
	assert_int_equal(seen.ended, 1);
	check_stopped(vm);
	/* The next life does not begin paused. */
	start(vm);
	run_until(6);
	assert_int_equal(vm_ctl_state(vm), CTL_ST_RUNNING);
	assert_int_equal(life_stop(&life, vm, true, &why), 0);
	run_until(7);
	vmreg_remove(&reg, vm);
}

static bool
gave(const struct vm *vm, uint64_t bytes)
{
	for (int i = 0; i < 1000 && vm->run.given != bytes; i++) {
		event_base_loop(life.base, EVLOOP_NONBLOCK);
		usleep(10000);
	}
	return vm->run.given == bytes;
}

static void
test_memory(void **state)
{
	static const struct {
		uint64_t bytes;
		int result;
		const char *text;
	} rows[] = {
		{ 0, -EINVAL, "memory of vm \"web\": invalid size" },
		{ 1 << 20, -EINVAL, "memory of vm \"web\": invalid size" },
		{ (32 << 20) + 4096, -EINVAL,
		    "memory of vm \"web\": invalid size" },
		{ UINT64_MAX, -EINVAL, "memory of vm \"web\": invalid size" },
		{ 1ULL << 62, -ERANGE,
		    "vm \"web\" has 64 MB of memory, not more" },
		{ 65 << 20, -ERANGE,
		    "vm \"web\" has 64 MB of memory, not more" },
	};
	struct vm *vm = make_vm("", 1, 0);
	static const struct cgroups none = { .mount = -1, .dir = -1 };
	struct ctl_vm row;
	struct fail why;

	vm->conf.memory = 64 << 20;
	assert_int_equal(balloon_set(vm, 32 << 20, &why), -CTL_E_NOTRUNNING);
	start(vm);
	run_until(1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
		    balloon_set(vm, rows[i].bytes, &why), rows[i].result);
		assert_string_equal(why.text, rows[i].text);
	}
	vm_describe(vm, &none, &row);
	assert_int_equal(row.asked, 64 << 20);
	assert_int_equal(row.given, 0);
	assert_int_equal(balloon_set(vm, 32 << 20, &why), 0);
	assert_true(gave(vm, 32 << 20));
	vm_describe(vm, &none, &row);
	assert_int_equal(row.asked, 32 << 20);
	assert_int_equal(row.given, 32 << 20);
	assert_int_equal(balloon_set(vm, 64 << 20, &why), 0);
	assert_true(gave(vm, 0));
	assert_int_equal(life_stop(&life, vm, true, &why), 0);
	run_until(2);
	assert_int_equal(vm->keep, 0);
	vmreg_remove(&reg, vm);
}

/* One that gave up more than it has is ended. */
static void
test_memory_lie(void **state)
{
	struct vm *vm = make_vm("liar", 1, 0);
	struct fail why;

	vm->conf.memory = 64 << 20;
	start(vm);
	run_until(1);
	assert_int_equal(balloon_set(vm, 32 << 20, &why), 0);
	run_until(2);
	assert_int_equal(seen.ended, 1);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

/* It is told, and goes on. */
static void
test_panic(void **state)
{
	struct vm *vm = make_vm("panics", 1, 0);
	struct fail why;

	start(vm);
	run_until(1);
	assert_int_equal(pause_ask(vm, true, &why), 0);
	run_until(2);
	for (int i = 0; i < 1000 && seen.problem[0] == '\0'; i++) {
		event_base_loop(life.base, EVLOOP_NONBLOCK);
		usleep(10000);
	}
	assert_string_equal(vm->problem, "the guest panicked");
	assert_int_equal(vm_ctl_state(vm), CTL_ST_PAUSED);
	assert_int_equal(life_stop(&life, vm, true, &why), 0);
	run_until(3);
	vmreg_remove(&reg, vm);
}

/* One that answers with nonsense is ended. */
static void
test_pause_lie(void **state)
{
	struct vm *vm = make_vm("liar", 1, 0);
	struct fail why;

	start(vm);
	run_until(1);
	assert_int_equal(pause_ask(vm, true, &why), 0);
	run_until(2);
	assert_int_equal(seen.paused, 0);
	assert_int_equal(seen.ended, 1);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

/* And so is one that says more than it was asked. */
static void
test_pause_told_twice(void **state)
{
	struct vm *vm = make_vm("twice", 1, 0);
	struct fail why;

	start(vm);
	run_until(1);
	assert_int_equal(pause_ask(vm, true, &why), 0);
	run_until(3);
	assert_int_equal(seen.paused, 1);
	assert_int_equal(seen.ended, 1);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

static void
test_adhoc_is_forgotten(void **state)
{
	struct vm *vm = make_vm("quit", 0, VM_F_ADHOC);

	start(vm);
	run_until(2);
	assert_int_equal(seen.started, 1);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(reg.n, 0);
}

/* The command line, how it ends, and with what words. */
static const struct ending {
	const char *how;
	unsigned ndisks;
	bool fails; /* never runs */
	const char *text; /* begins with */
} endings[] = {
	{ "error", 1, true, "kernel: not a kernel" },
	{ "die", 1, true, "vm process exited with status 3" },
	{ "silent", 1, true, "not ready within" },
	{ "quit", 1, false, "" },
	{ "crash", 1, false, "vm process killed by signal" },
	{ "broken", 1, false, "vm process killed by signal 9" },
};

static void
test_endings(void **state)
{
	unsigned before;
	struct vm *vm;
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		const struct ending *e = &endings[i];

		print_message("%s\n", e->how);
		vm = make_vm(e->how, e->ndisks, 0);
		before = open_fds();
		if (strcmp(e->how, "silent") == 0)
			life.limits.start = 300;
		start(vm);
		run_until(e->fails ? 1 : 2);
		life.limits = patient;
		assert_int_equal(seen.failed, e->fails);
		assert_int_equal(seen.ended, !e->fails);
		assert_memory_equal(e->fails ? seen.why.text : seen.problem,
		    e->text, strlen(e->text));
		check_stopped(vm);
		assert_int_equal(open_fds(), before);
		vmreg_remove(&reg, vm);
	}
}

/* How a VM is stopped that does not want to. */
static const struct {
	const char *how;
	bool force;
} stops[] = {
	{ "boots", false },
	{ "deaf", false },
	{ "ack", false },
	{ "stubborn", false },
	{ "stubborn", true },
	{ "deaf", true },
	{ "", true },
};

static void
test_stops(void **state)
{
	struct fail why;
	struct vm *vm;
	size_t i;

	for (i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		print_message("%s %d\n", stops[i].how, stops[i].force);
		vm = make_vm(stops[i].how, 1, 0);
		start(vm);
		run_until(1);
		if (strcmp(stops[i].how, "boots") != 0) {
			life.limits.ack = 200;
			life.limits.shutdown = 300;
		}
		assert_int_equal(life_stop(&life, vm, stops[i].force, &why), 0);
		run_until(2);
		assert_int_equal(seen.ended, 1);
		life.limits = patient;
		assert_int_equal(vm->run.end == RUN_OFF, i == 0);
		check_stopped(vm);
		vmreg_remove(&reg, vm);
	}
}

static void
test_stop_while_starting(void **state)
{
	struct vm *vm = make_vm("silent", 1, 0);
	struct fail why;

	start(vm);
	assert_int_equal(life_stop(&life, vm, false, &why), 0);
	run_until(1);
	assert_int_equal(seen.failed, 1);
	assert_int_equal(seen.why.code, ECANCELED);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

/* Restarts in a row are counted; the tty stays the same until then. */
static void
test_reset(void **state)
{
	static const char *const how[] = { "reset", "triple" };
	struct vm *vm;
	size_t i;

	for (i = 0; i < 2; i++) {
		vm = make_vm(how[i], 1, 0);
		start(vm);
		run_until(1);
		assert_int_equal(seen.started, 1);
		assert_string_equal(vm->tty[0].name, seen.tty);
		run_until(2);
		assert_int_equal(seen.ended, 1);
		assert_string_equal(seen.problem, "restarted too quickly");
		check_stopped(vm);
		vmreg_remove(&reg, vm);
	}
}

/* One that was made to boot something ends. */
static void
test_reset_ends(void **state)
{
	struct vm *vm = make_vm("reset", 1, 0);

	vm->conf.bootdev = VM_BOOT_DISK;
	start(vm);
	run_until(2);
	assert_int_equal(seen.started, 1);
	assert_int_equal(seen.ended, 1);
	assert_string_equal(seen.problem, "");
	assert_int_equal(vm->restarts, 0);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

static void
test_reset_slowly_goes_on(void **state)
{
	struct vm *vm = make_vm("reset", 0, 0);
	struct fail why;

	life.limits.quick = 0;
	start(vm);
	run_until(1);
	run_for(300);
	assert_int_equal(seen.started, 1);
	assert_int_equal(seen.ended, 0);
	assert_string_equal(vm->tty[0].name, seen.tty);
	life_stop(&life, vm, true, &why);
	run_until(2);
	assert_int_equal(seen.ended, 1);
	check_stopped(vm);
	life.limits = patient;
	vmreg_remove(&reg, vm);
}

static void
test_disk_process_killed(void **state)
{
	struct vm *vm = make_vm("", 1, 0);
	struct fail why;
	int i;

	start(vm);
	run_until(1);
	kill(vm->run.disk[0].pid, SIGKILL);
	for (i = 0; i < PATIENCE_MS / 50 && vm->problem[0] == '\0'; i++)
		run_for(50);
	assert_int_equal(vm->state, VM_RUNNING);
	assert_memory_equal(vm->problem, "vioblk0: killed by signal 9", 27);
	life_stop(&life, vm, false, &why);
	run_until(2);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

static void
test_disk_process_killed_early(void **state)
{
	struct vm *vm = make_vm("silent", 1, 0);

	start(vm);
	kill(vm->run.disk[0].pid, SIGKILL);
	run_until(1);
	assert_int_equal(seen.failed, 1);
	assert_memory_equal(seen.why.text, "vioblk0: killed by signal 9", 27);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

/* While one VM has the disk nobody else gets it; then it is free again. */
static void
test_disk_is_locked(void **state)
{
	struct vm *vm = make_vm("", 1, 0), *other;
	struct vmconf c = vm->conf;
	struct fail why;

	start(vm);
	run_until(1);
	snprintf(c.name, sizeof(c.name), "other");
	assert_int_equal(vmreg_add(&reg, &c, &other), 0);
	assert_int_equal(life_start(&life, other, NULL, &why), -CTL_E_DISK);
	assert_non_null(strstr(why.text, disk));
	assert_non_null(strstr(why.text, "locked"));
	kill(vm->run.vm.pid, SIGKILL);
	run_until(2);
	check_stopped(vm);
	start(other);
	run_until(3);
	assert_int_equal(seen.started, 2);
	life_stop(&life, other, true, &why);
	run_until(4);
	vmreg_remove(&reg, vm);
	vmreg_remove(&reg, other);
}

/* What is refused at once, and leaves no trace. */
static void
test_refused(void **state)
{
	static const struct {
		const char *what, *text;
		int error;
	} rows[] = {
		{ "kernel", "kernel /nowhere: No such file", -ENOENT },
		{ "nokernel", "no kernel given, and no disk", -CTL_E_FIRMWARE },
		{ "initrd", "initrd /nowhere: No such file", -ENOENT },
		{ "disk", "disk /nowhere: No such file", -CTL_E_DISK },
		{ "memory", "memory of ", -ENOMEM },
		{ "device", "hypervisor /nowhere: No such file", -ENOENT },
		{ "unfit", "no can do", -ENODEV },
		{ "ending", "vmd is shutting down", -ESHUTDOWN },
	};
	unsigned before;
	struct fail why;
	struct vm *vm;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *w = rows[i].what;

		vm = make_vm("", 1, 0);
		before = open_fds();
		if (strcmp(w, "kernel") == 0)
			strcpy(vm->conf.kernel, "/nowhere");
		else if (strcmp(w, "nokernel") == 0)
			vm->conf.kernel[0] = '\0', vm->conf.ndisks = 0;
		else if (strcmp(w, "initrd") == 0)
			strcpy(vm->conf.initrd, "/nowhere");
		else if (strcmp(w, "disk") == 0)
			strcpy(vm->conf.disk[0].path, "/nowhere");
		else if (strcmp(w, "memory") == 0)
			vm->conf.memory = VM_MEMORY_MAX;
		else if (strcmp(w, "device") == 0)
			strcpy(life.hypervisor, "/nowhere");
		else if (strcmp(w, "unfit") == 0)
			strcpy(life.unfit, "no can do");
		else
			life.ending = true;
		assert_int_equal(
		    life_start(&life, vm, NULL, &why), rows[i].error);
		assert_memory_equal(
		    why.text, rows[i].text, strlen(rows[i].text));
		check_stopped(vm);
		assert_int_equal(open_fds(), before);
		strcpy(life.hypervisor, "/dev/null");
		vmreg_remove(&reg, vm);
	}
}

/* Seed disks are made by the real process, which needs its user. */

static char text_file[64];

static struct vm *
make_seeded(const char *how, unsigned ndisks, const char *keys, off_t size)
{
	struct vm *vm;
	int fd;

	if (getpwnam("_vmd") == NULL)
		skip();
	vm = make_vm(how, ndisks, VM_F_SEED);
	make_file(text_file, sizeof(text_file), "text", 0);
	fd = open(text_file, O_WRONLY | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, keys, strlen(keys)), strlen(keys));
	if (size != 0)
		assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	strcpy(vm->conf.seed.user_data, text_file);
	strcpy(vm->conf.seed.ssh_key, text_file);
	return vm;
}

static void
forget_seeded(struct vm *vm, unsigned before)
{
	check_stopped(vm);
	assert_int_equal(vm->run.seed_image, -1);
	assert_int_equal(open_fds(), before);
	vmreg_remove(&reg, vm);
	unlink(text_file);
}

/* With as many disks as there may be beside, and again after a reset. */
static void
test_seed(void **state)
{
	struct vm *vm = make_seeded("reset", 1, "ssh-rsa AAAA", 0);
	unsigned before = open_fds();
	uint32_t i;

	vm->conf.ndisks = VM_DISKS_MAX;
	for (i = 0; i < VM_DISKS_MAX; i++) {
		strcpy(vm->conf.disk[i].path, disk);
		vm->conf.disk[i].readonly = true;
	}
	life.limits.quick = 0;
	start(vm);
	run_until(1);
	assert_int_equal(seen.started, 1);
	while (vm->restarts < 2)
		event_base_loop(life.base, EVLOOP_ONCE);
	life.limits = patient;
	strcpy(vm->conf.seed.ssh_key, "/nowhere");
	run_until(2);
	assert_int_equal(seen.ended, 1);
	assert_string_equal(
	    seen.problem, "ssh-key /nowhere: No such file or directory");
	forget_seeded(vm, before);
}

static void
test_seed_refused(void **state)
{
	static const struct {
		const char *keys;
		off_t size;
		const char *text;
	} rows[] = {
		{ "-----BEGIN RSA PRIVATE KEY-----\n", 0,
		    "cloud-init: ssh-key: line 1 is not a public key" },
		{ "# none\n", 0, "cloud-init: ssh-key: no key in the file" },
		{ "ssh-rsa A\n", 1 << 20, "cloud-init: ssh-key: line 2" },
	};
	unsigned before;
	struct fail why;
	struct vm *vm;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vm = make_seeded("", 0, rows[i].keys, rows[i].size);
		before = open_fds();
		start(vm);
		run_until(1);
		assert_int_equal(seen.failed, 1);
		assert_memory_equal(
		    seen.why.text, rows[i].text, strlen(rows[i].text));
		forget_seeded(vm, before);
	}
	vm = make_seeded("", 0, "ssh-rsa A", (1 << 20) + 1);
	before = open_fds();
	assert_int_equal(life_start(&life, vm, NULL, &why), -EFBIG);
	assert_non_null(strstr(why.text, "larger than 1024 KiB"));
	forget_seeded(vm, before);
	/* One with more in it than its size says. */
	vm = make_seeded("", 0, "ssh-rsa A", 0);
	strcpy(vm->conf.seed.user_data, "/proc/cpuinfo");
	before = open_fds();
	start(vm);
	run_until(1);
	assert_string_equal(
	    seen.why.text, "cloud-init: user-data changed while it was read");
	forget_seeded(vm, before);
}

static void
test_seed_process_killed(void **state)
{
	struct vm *vm = make_seeded("", 1, "ssh-rsa AAAA", 0);
	unsigned before = open_fds();

	start(vm);
	kill(vm->run.seed.pid, SIGKILL);
	run_until(1);
	assert_int_equal(seen.failed, 1);
	assert_string_equal(
	    seen.why.text, "seed0: killed by signal 9 (Killed)");
	forget_seeded(vm, before);
}

static void
test_end_of_daemon(void **state)
{
	struct vm *vm = make_vm("deaf", 1, 0);

	start(vm);
	run_until(1);
	life_end(&life, false);
	assert_int_equal(vm->state, VM_STOPPING);
	life_end(&life, true);
	run_until(2);
	check_stopped(vm);
	vmreg_remove(&reg, vm);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_and_stop),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pause_lie),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_memory_lie),
		cmocka_unit_test(test_pause_told_twice),
		cmocka_unit_test(test_adhoc_is_forgotten),
		cmocka_unit_test(test_endings),
		cmocka_unit_test(test_stops),
		cmocka_unit_test(test_stop_while_starting),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_reset_ends),
		cmocka_unit_test(test_reset_slowly_goes_on),
		cmocka_unit_test(test_disk_process_killed),
		cmocka_unit_test(test_disk_process_killed_early),
		cmocka_unit_test(test_disk_is_locked),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_seed),
		cmocka_unit_test(test_seed_refused),
		cmocka_unit_test(test_seed_process_killed),
		cmocka_unit_test(test_end_of_daemon),
	};

	fake_role(argc, argv);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
