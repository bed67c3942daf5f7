/* SPDX-License-Identifier: ISC */
/*
 * Networks in the lives of VMs: real netcfg, vionet and passt processes, fake
 * vm processes (fake.h), in a network namespace of the test's own.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define FAKE_WITH_REAL_NET
#include "fake.inc"

#include <sys/wait.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <event2/event.h>

#include "life.h"
#include "netproc.h"

#define PATIENCE_MS 10000

static struct life life;
static struct netproc net;
static struct vmreg reg;
static struct event *chld;
static char dir[] = "/tmp/test_life_net.XXXXXX", kernel[64];
static unsigned started, failed, ended;
static struct fail why;
static char problem[128];

/* There is no _vmd where tests run; the children are this program too. */
struct passwd *
getpwnam(const char *name)
{
	static struct passwd pw = { .pw_uid = 65534, .pw_gid = 65534 };

	return strcmp(name, "_vmd") == 0 ? &pw : NULL;
}

static void
on_started(void *arg, struct vm *vm)
{
	started++;
}

static void
on_failed(void *arg, struct vm *vm, const struct fail *f)
{
	failed++;
	why = *f;
}

static void
on_ended(void *arg, struct vm *vm)
{
	ended++;
	memcpy(problem, vm->problem, sizeof(problem));
}

static void
on_changed(void *arg, struct vm *vm, uint32_t error)
{
}

static void
on_paused(void *arg, struct vm *vm)
{
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
		assert_true(netproc_reaped(&net, pid, status) ||
		    life_reaped(&life, pid, status));
}

static bool
shell(const char *cmd)
{
	return WEXITSTATUS(system(cmd)) == 0;
}

/* Run events until cond, an expression, is true. */
#define UNTIL(cond)                                                       \
	do {                                                              \
		int left = PATIENCE_MS / 10;                              \
                                                                          \
		while (!(cond) && left-- > 0) {                           \
			event_base_loop(life.base, EVLOOP_NONBLOCK);      \
			usleep(10000);                                    \
		}                                                         \
		if (!(cond))                                              \
			fail_msg("not in time: %s; %s", #cond, why.text); \
	} while (0)

static struct conf *
make_conf(void)
{
	struct conf *c = conf_new();
	struct conf_switch *sw = calloc(1, sizeof(*sw));

	assert_non_null(c);
	assert_non_null(sw);
	snprintf(sw->name, sizeof(sw->name), "lan");
	snprintf(sw->nic.ifname, sizeof(sw->nic.ifname), "vmbr0");
	sw->nic.flags = VM_NIC_LOCKED;
	sw->create = true;
	TAILQ_INSERT_TAIL(&c->switches, sw, entry);
	c->local.prefix = 0x0a4d0000;
	c->local.len = 16;
	c->local.inet6 = true;
	return c;
}

static int
setup(void **state)
{
	int fd;

	assert_non_null(mkdtemp(dir));
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	fd = open(kernel, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096), 0);
	close(fd);
	vmreg_init(&reg);
	life.base = net.base = event_base_new();
	life.reg = net.reg = &reg;
	life.ops = &ops;
	life.net = &net;
	life.limits = life_limits_dflt;
	net.ops = &life_net_ops;
	net.arg = &life;
	snprintf(life.hypervisor, sizeof(life.hypervisor), "/dev/null");
	life.socket = dir;
	chld = evsignal_new(life.base, SIGCHLD, on_chld, NULL);
	evsignal_add(chld, NULL);
	assert_int_equal(spawn_init("test_life_net"), 0);
	netproc_configure(&net, make_conf());
	return netproc_start(&net);
}

static int
teardown(void **state)
{
	netproc_stop(&net);
	UNTIL(net.pid == 0);
	assert_false(shell("ip link show vmbr0 >/dev/null 2>&1"));
	vmreg_clear(&reg);
	event_free(chld);
	event_base_free(life.base);
	unlink(kernel);
	return rmdir(dir);
}

static struct vm *
make_vm(const char *how, struct vm_nicconf nic)
{
	struct vmconf c;
	struct vm *vm;

	started = failed = ended = 0;
	why.text[0] = problem[0] = '\0';
	vmconf_init(&c);
	snprintf(c.name, sizeof(c.name), "web");
	snprintf(c.cmdline, sizeof(c.cmdline), "%s", how);
	snprintf(c.kernel, sizeof(c.kernel), "%s", kernel);
	c.memory = 64 << 20;
	c.cpus = 2;
	c.nnics = 1;
	c.nic[0] = nic;
	assert_int_equal(vmreg_add(&reg, &c, &vm), 0);
	return vm;
}

static void
start(struct vm *vm)
{
	struct fail f = { .code = 0 };

	if (life_start(&life, vm, NULL, &f) != 0)
		fail_msg("%s", f.text);
	UNTIL(started + failed > 0);
}

static void
stop(struct vm *vm)
{
	struct fail f;

	assert_int_equal(life_stop(&life, vm, true, &f), 0);
	UNTIL(ended == 1);
	vmreg_remove(&reg, vm);
	assert_false(shell("ip link show type tun | grep -q ."));
	UNTIL(!shell("nft list table inet vmd >/dev/null 2>&1"));
}

static void
test_local(void **state)
{
	struct vm *vm =
	    make_vm("", (struct vm_nicconf){ .flags = VM_NIC_LOCAL });

	start(vm);
	assert_int_equal(started, 1);
	assert_true(shell("ip addr show tap0 | grep -q 'inet 10.77.1.2/31'"));
	assert_true(shell("ip addr show tap0 | "
			  "grep -q 'inet6 fd.*:a4d:102:0:1/96'"));
	assert_true(shell("ip link show tap0 | grep -q 'alias vm1-if0-web'"));
	assert_true(shell("nft list table inet vmd | "
			  "grep -q 'tap0. . 10.77.1.3'"));
	stop(vm);
}

static void
test_switch(void **state)
{
	struct vm *vm = make_vm("", (struct vm_nicconf){ .sw = "lan" });

	start(vm);
	assert_int_equal(started, 1);
	assert_true(vm->run.net[0].locked);
	assert_true(shell("ip link show tap0 | grep -q 'master vmbr0'"));
	stop(vm);
}

/* Refusals: nothing is left of what was made. */
static void
test_refused(void **state)
{
	static const struct {
		struct vm_nicconf nic;
		const char *text;
	} rows[] = {
		{ { .sw = "none" }, "switch \"none\" not found" },
		{ { .rdomain = 200 },
		    "interface 0: rdomain 200: there is no "
		    "VRF with table 200" },
		{ { .group = "nosuch" },
		    "group nosuch: not in /etc/iproute2/group" },
	};
	struct vm *vm;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		vm = make_vm("", rows[i].nic);
		start(vm);
		assert_int_equal(failed, 1);
		assert_string_equal(why.text, rows[i].text);
		vmreg_remove(&reg, vm);
		UNTIL(!shell("ip link show type tun | grep -q ."));
	}
}

static void
test_vionet_killed(void **state)
{
	struct vm *vm =
	    make_vm("", (struct vm_nicconf){ .flags = VM_NIC_LOCAL });

	start(vm);
	assert_int_equal(started, 1);
	kill(vm->run.nic[0].pid, SIGKILL);
	UNTIL(vm->problem[0] != '\0');
	assert_string_equal(
	    vm->problem, "vionet0: killed by signal 9 (Killed)");
	assert_int_equal(vm->state, VM_RUNNING);
	UNTIL(!shell("ip link show tap0 >/dev/null 2>&1"));
	stop(vm);
}

/* Another one takes over what the first knew. */
static void
test_netcfg_killed(void **state)
{
	struct vm *vm =
	    make_vm("", (struct vm_nicconf){ .flags = VM_NIC_LOCAL });
	pid_t pid = net.pid;

	start(vm);
	assert_int_equal(started, 1);
	kill(net.pid, SIGKILL);
	UNTIL(net.pid != 0 && net.pid != pid && net.chan != NULL);
	UNTIL(shell("nft list table inet vmd 2>/dev/null | "
		    "grep -q 'tap0. . 10.77.1.3'"));
	assert_int_equal(vm->state, VM_RUNNING);
	assert_true(shell("ip link show vmbr0 >/dev/null"));
	stop(vm);
}

/* Killed while a VM waits for it. */
static void
test_netcfg_killed_early(void **state)
{
	struct vm *vm =
	    make_vm("", (struct vm_nicconf){ .flags = VM_NIC_LOCAL });
	pid_t pid = net.pid;
	struct fail f;

	kill(pid, SIGSTOP);
	assert_int_equal(life_start(&life, vm, NULL, &f), 0);
	kill(pid, SIGKILL);
	UNTIL(failed == 1);
	assert_string_equal(why.text, "interface 0: the network process died");
	UNTIL(net.pid != 0 && net.pid != pid && net.chan != NULL);
	vmreg_remove(&reg, vm);
	assert_false(shell("ip link show type tun | grep -q ."));
}

/* A guest's resets: the network is made again each time. */
static void
test_restarts(void **state)
{
	struct vm *vm =
	    make_vm("reset", (struct vm_nicconf){ .flags = VM_NIC_LOCAL });

	start(vm);
	UNTIL(ended == 1);
	assert_string_equal(problem, "restarted too quickly");
	vmreg_remove(&reg, vm);
	assert_false(shell("ip link show type tun | grep -q ."));
}

static void
test_user(void **state)
{
	struct vm *vm;
	pid_t pid;

	if (access("/usr/bin/passt", X_OK) == -1)
		skip();
	assert_true(shell("ip link set lo up && ip link add d0 type bridge && "
			  "ip addr add 192.0.2.1/24 dev d0 && "
			  "ip link set d0 up && "
			  "ip route add default via 192.0.2.254"));
	vm = make_vm("", (struct vm_nicconf){ .flags = VM_NIC_USER });
	start(vm);
	assert_int_equal(started, 1);
	pid = vm->run.user[0].pid;
	assert_int_not_equal(pid, 0);
	kill(pid, SIGKILL);
	UNTIL(vm->problem[0] != '\0');
	assert_string_equal(vm->problem, "passt0: killed by signal 9 (Killed)");
	stop(vm);
	assert_true(shell("ip link del d0"));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_switch),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_vionet_killed),
		cmocka_unit_test(test_netcfg_killed),
		cmocka_unit_test(test_netcfg_killed_early),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_user),
	};

	fake_role(argc, argv);
	log_init(LOG_TO_STDERR, "test");
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) == -1 ||
	    access("/dev/net/tun", R_OK | W_OK) == -1) {
		printf("SKIPPED: needs root, namespaces and tun\n");
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, setup, teardown);
}
