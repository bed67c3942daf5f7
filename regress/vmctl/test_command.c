/* SPDX-License-Identifier: ISC */
/*
 * Each command against a vmd that follows a script: what is asked, what is
 * printed, the exit status.
 */
#include <errno.h>
#include <jansson.h>

#include "check.h"
#include "fakevmd.h"
#include "spawn.h"

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

struct row {
	const char *args[8];
	const char *script;
	const char *requests;
	const char *err; /* NULL: see begins */
	int status;
	const char *out; /* NULL: nothing */
};

static int
setup(void **state)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fake_init(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	fake_done(*state);
	free(*state);
	return 0;
}

static void
check_rows(struct fake *f, const struct row *rows, size_t n)
{
	const struct row *r;

	for (r = rows; r < rows + n; r++) {
		fake_run(f, r->args, r->script);
		assert_string_equal(f->err, r->err);
		assert_string_equal(f->out, r->out == NULL ? "" : r->out);
		assert_string_equal(f->requests, r->requests);
		assert_int_equal(f->status, r->status);
	}
}

static void
test_stop(void **state)
{
	static const struct row rows[] = {
		{ { "stop", "web" }, "ok:3:", "STOP 0 web 0\n",
		    "stopping vm web: requested to shutdown vm 3\n", 0, NULL },
		{ { "stop", "-f", "3" }, "ok:3:", "STOP 3  1\n",
		    "stopping vm 3: forced to terminate vm 3\n", 0, NULL },
		{ { "stop", "-fw", "web" },
		    "ok:3: | ended:3:web ok:0:", "STOP 0 web 1\nWAIT 3 \n",
		    "stopping vm web: terminated vm 3\n", 0, NULL },
		{ { "stop", "-w", "web" },
		    "ok:3: | fail:1004:", "STOP 0 web 0\nWAIT 3 \n",
		    "stopping vm web: terminated vm 3\n", 0, NULL },
		{ { "stop", "-w", "web" }, "fail:114: | ended:3:web",
		    "STOP 0 web 0\nWAIT 0 web\n",
		    "stopping vm web: terminated vm 3\n", 0, NULL },
		{ { "stop", "-w", "web" }, "ok:3: |", "STOP 0 web 0\nWAIT 3 \n",
		    "stopping vm web: vmctl: vmd closed the connection\n", 1,
		    NULL },
		{ { "stop", "web" }, "fail:114:", "STOP 0 web 0\n",
		    "stopping vm web: failed: Operation already in progress\n",
		    1, NULL },
		{ { "stop", "web" }, "fail:1004:", "STOP 0 web 0\n",
		    "stopping vm web: cannot stop vm that is not running\n", 1,
		    NULL },
		{ { "stop", "-q", "web" }, "fail:1004:", "STOP 0 web 0\n",
		    "stopping vm web: not running\n", 0, NULL },
		{ { "stop", "-qfw", "web" }, "fail:1004:", "STOP 0 web 1\n",
		    "stopping vm web: not running\n", 0, NULL },
		{ { "stop", "-q", "web" }, "fail:114:", "STOP 0 web 0\n",
		    "stopping vm web: stops already\n", 0, NULL },
		{ { "stop", "-q", "nix" }, "fail:2:", "STOP 0 nix 0\n",
		    "stopping vm nix: vm not found\n", 1, NULL },
		{ { "stop", "-q", "web" }, "fail:1:", "STOP 0 web 0\n",
		    "stopping vm web: failed: Operation not permitted\n", 1,
		    NULL },
		{ { "stop", "nix" }, "fail:2:web:_no_such_vm", "STOP 0 nix 0\n",
		    "stopping vm nix: vm not found\n", 1, NULL },
		{ { "stop", "web" }, "fail:1:", "STOP 0 web 0\n",
		    "stopping vm web: failed: Operation not permitted\n", 1,
		    NULL },
		{ { "stop", "web" }, "fail:1:not_yours", "STOP 0 web 0\n",
		    "stopping vm web: failed: not yours\n", 1, NULL },
		{ { "stop", "web" }, "", "STOP 0 web 0\n",
		    "stopping vm web: vmctl: vmd closed the connection\n", 1,
		    NULL },
		{ { "stop", "-a" },
		    "vm:1:a:9:: vm:2:b:0:: vm:3:c:8:: ok:0: |"
		    " ok:1: | ok:3:",
		    "LIST\nSTOP 1  0\nSTOP 3  0\n",
		    "stopping vm a: requested to shutdown vm 1\n"
		    "stopping vm c: requested to shutdown vm 3\n",
		    0, NULL },
		{ { "stop", "-afw" },
		    "vm:1:a:9:: vm:3:c:8:: ok:0: |"
		    " fail:1004: | ok:3: | ended:3:c",
		    "LIST\nSTOP 1  1\nSTOP 3  1\nWAIT 3 \n",
		    "stopping vm a: terminated vm 1\n"
		    "stopping vm c: terminated vm 3\n",
		    0, NULL },
		{ { "stop", "-a" },
		    "vm:1:a:9:: vm:3:c:8:: ok:0: | fail:1: | ok:3:",
		    "LIST\nSTOP 1  0\nSTOP 3  0\n",
		    "stopping vm a: failed: Operation not permitted\n"
		    "stopping vm c: requested to shutdown vm 3\n",
		    1, NULL },
		{ { "stop", "-a" }, "ok:0:", "LIST\n", "", 0, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_pause(void **state)
{
	static const struct row rows[] = {
		{ { "pause", "web" }, "ok:3:", "PAUSE 0 web\n",
		    "vmctl: paused vm 3 successfully\n", 0, NULL },
		{ { "unpause", "3" }, "ok:3:", "UNPAUSE 3 \n",
		    "vmctl: unpaused vm 3 successfully\n", 0, NULL },
		{ { "pau", "web" }, "fail:114:vm_web_is_paused_already",
		    "PAUSE 0 web\n",
		    "vmctl: pause vm command failed: vm web is paused "
		    "already\n",
		    1, NULL },
		{ { "unpause", "web" }, "fail:1:", "UNPAUSE 0 web\n",
		    "vmctl: unpause vm command failed: Operation not "
		    "permitted\n",
		    1, NULL },
		{ { "pause", "web" }, "", "PAUSE 0 web\n",
		    "vmctl: vmd closed the connection\n", 1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_snapshot(void **state)
{
	static const struct row rows[] = {
		{ { "snapshot", "create", "web", "a" },
		    "ok:3:", "SNAPSHOT 0 web 0 a\n",
		    "vmctl: created snapshot a of vm 3\n", 0, NULL },
		{ { "snap", "del", "3", "a" }, "ok:3:", "SNAPSHOT 3  1 a\n",
		    "vmctl: deleted snapshot a of vm 3\n", 0, NULL },
		{ { "snapshot", "create", "web", "a" }, "fail:17:it_is_there",
		    "SNAPSHOT 0 web 0 a\n",
		    "vmctl: snapshot vm command failed: it is there\n", 1,
		    NULL },
		{ { "snapshot", "list", "web" },
		    "kept:b:2000:2048 kept:a\033[2J:1000:1024 ok:3:",
		    "SNAPSHOTS 0 web\n", "", 0,
		    "TIME                      STATE NAME\n"
		    "1970-01-01T00:00:01.000Z   1.0K a?[2J\n"
		    "1970-01-01T00:00:02.000Z   2.0K b\n" },
		{ { "snapshot", "list", "-j", "web" },
		    "kept:b:1000:7 ok:3:", "SNAPSHOTS 0 web\n", "", 0,
		    "[\n  {\n    \"name\": \"b\",\n"
		    "    \"time\": \"1970-01-01T00:00:01.000Z\",\n"
		    "    \"state_size\": 7\n  }\n]\n" },
		{ { "snapshot", "list", "-j", "web" },
		    "ok:3:", "SNAPSHOTS 0 web\n", "", 0, "[]\n" },
		{ { "snapshot", "list", "web" }, "kept:b:1000:7",
		    "SNAPSHOTS 0 web\n", "vmctl: vmd closed the connection\n",
		    1, NULL },
		/* It runs, and could be reverted. */
		{ { "snapshot", "revert", "web", "a" },
		    "ok:3: | ok:3: | ended:3:web | ok:3:/dev/pts/1",
		    "SNAPSHOT 0 web 2 a\nSTOP 0 web 1\nWAIT 3 \n"
		    "REVERT 0 web a\n",
		    "stopping vm web: terminated vm 3\n"
		    "vmctl: reverted vm 3, tty /dev/pts/1\n",
		    0, NULL },
		{ { "snapshot", "revert", "web", "a" }, "fail:2:not_there",
		    "SNAPSHOT 0 web 2 a\n",
		    "vmctl: snapshot vm command failed: not there\n", 1, NULL },
		{ { "snapshot", "revert", "web", "a" },
		    "fail:1004: | ok:3:/dev/pts/1",
		    "SNAPSHOT 0 web 2 a\nREVERT 0 web a\n",
		    "vmctl: reverted vm 3, tty /dev/pts/1\n", 0, NULL },
		{ { "snapshot", "revert", "web", "a" },
		    "fail:1004: | fail:22:memory",
		    "SNAPSHOT 0 web 2 a\nREVERT 0 web a\n",
		    "vmctl: snapshot vm command failed: memory\n", 1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_restart(void **state)
{
	static const struct row rows[] = {
		{ { "restart", "web" }, "ok:3: | ended:3:web | ok:3:/dev/pts/1",
		    "STOP 0 web 0\nWAIT 3 \nSTART 0 web\n",
		    "stopping vm web: terminated vm 3\n"
		    "vmctl: started vm 3 successfully, tty /dev/pts/1\n",
		    0, NULL },
		{ { "restart", "-f", "3" }, "ok:3: | fail:1004: | ok:3:",
		    "STOP 3  1\nWAIT 3 \nSTART 3 \n",
		    "stopping vm 3: terminated vm 3\n"
		    "vmctl: started vm 3 successfully\n",
		    0, NULL },
		{ { "restart", "web" }, "fail:1004:", "STOP 0 web 0\n",
		    "stopping vm web: cannot stop vm that is not running\n", 1,
		    NULL },
		{ { "restart", "web" }, "fail:1:", "STOP 0 web 0\n",
		    "stopping vm web: failed: Operation not permitted\n", 1,
		    NULL },
		{ { "restart", "web" }, "ok:3: |", "STOP 0 web 0\nWAIT 3 \n",
		    "stopping vm web: vmctl: vmd closed the connection\n", 1,
		    NULL },
		{ { "restart", "try" },
		    "ok:3: | ended:3:try | fail:2:try:_no_such_vm",
		    "STOP 0 try 0\nWAIT 3 \nSTART 0 try\n",
		    "stopping vm try: terminated vm 3\n"
		    "vmctl: start vm command failed: try: no such vm\n",
		    1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_wait(void **state)
{
	static const struct row rows[] = {
		{ { "wait", "web" }, "ended:3:web ok:3:", "WAIT 0 web\n",
		    "waiting for vm web: terminated vm 3\n", 0, NULL },
		{ { "wait", "3" }, "ok:0:", "WAIT 3 \n",
		    "waiting for vm 3: terminated vm 3\n", 0, NULL },
		{ { "w", "nix" }, "fail:2:", "WAIT 0 nix\n",
		    "waiting for vm nix: vm not found\n", 1, NULL },
		{ { "wait", "web" }, "fail:1004:", "WAIT 0 web\n",
		    "waiting for vm web: vm is not running\n", 1, NULL },
		{ { "wait", "web" }, "", "WAIT 0 web\n",
		    "waiting for vm web: vmctl: vmd closed the connection\n", 1,
		    NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_daemon(void **state)
{
	static const struct row rows[] = {
		{ { "log", "brief" }, "ok:0:", "LOG 0\n", "", 0, NULL },
		{ { "log", "verbose" }, "ok:0:", "LOG 1\n", "", 0, NULL },
		{ { "log", "VERB" }, "ok:0:", "LOG 1\n", "", 0, NULL },
		{ { "log", "b" }, "ok:0:", "LOG 0\n", "", 0, NULL },
		{ { "top", "-1", "-d", "1" },
		    "vm:1:web:9:: vm:2:db:0:: ok:0: |"
		    " vm:1:web:9:: vm:2:db:0:: ok:0:",
		    "LIST\nLIST\n", "", 0,
		    "   ID   %CPU  CURMEM  MAXMEM  READ/S WRITE/S NETIN/S "
		    "NETOUT/S NAME\n"
		    "    1    0.0    128M    512M      0B      0B      0B "
		    "      0B web\n" },
		{ { "top", "-d", "1" }, "ok:0: | fail:11:", "LIST\nLIST\n",
		    "vmctl: command failed: Resource temporarily unavailable\n",
		    1, NULL },
		{ { "top", "-d", "0" }, "", "",
		    "vmctl: seconds are 1 to 3600: 0\n", 1, NULL },
		{ { "top", "-d", "1x" }, "", "",
		    "vmctl: seconds are 1 to 3600: 1x\n", 1, NULL },
		{ { "metrics" }, "vm:1:web:0::", "LIST\n",
		    "vmctl: vmd closed the connection\n", 1, NULL },
		{ { "reload" }, "ok:0:", "RELOAD\n", "", 0, NULL },
		{ { "reload" }, "line:vm_web:_added line:vm_db:_x\x1b ok:0:",
		    "RELOAD\n", "", 0, "vm web: added\nvm db: x?\n" },
		{ { "reload" }, "line:vm_web:_added", "RELOAD\n",
		    "vmctl: vmd closed the connection\n", 1,
		    "vm web: added\n" },
		{ { "reload" }, "fail:1:", "RELOAD\n",
		    "vmctl: command failed: Operation not permitted\n", 1,
		    NULL },
		{ { "reload" }, "fail:22:/etc/vm.conf:3:_syntax_error",
		    "RELOAD\n",
		    "vmctl: command failed: /etc/vm.conf:3: syntax error\n", 1,
		    NULL },
		{ { "reload" }, "fail:99999:", "RELOAD\n",
		    "vmctl: command failed: Unknown error 99999\n", 1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_load_reset(void **state)
{
	static const struct row rows[] = {
		{ { "load", "/etc/more.conf" },
		    "ok:0:", "LOAD /etc/more.conf\n", "", 0, NULL },
		{ { "loa", "/m" },
		    "line:/m:1:_x_defined_before line:vm_y ok:0:", "LOAD /m\n",
		    "", 0, "/m:1: x defined before\nvm y\n" },
		{ { "load", "/m" }, "fail:1:", "LOAD /m\n",
		    "vmctl: command failed: Operation not permitted\n", 1,
		    NULL },
		{ { "load", "/m" }, "fail:22:/m:1:_syntax_error", "LOAD /m\n",
		    "vmctl: command failed: /m:1: syntax error\n", 1, NULL },
		{ { "reset" }, "ok:0:", "RESET 3\n", "", 0, NULL },
		{ { "reset", "all" }, "ok:0:", "RESET 3\n", "", 0, NULL },
		{ { "reset", "VMs" }, "ok:0:", "RESET 1\n", "", 0, NULL },
		{ { "reset", "s" }, "ok:0:", "RESET 2\n", "", 0, NULL },
		{ { "reset" }, "fail:1:", "RESET 3\n",
		    "vmctl: command failed: Operation not permitted\n", 1,
		    NULL },
		{ { "reset" }, "", "RESET 3\n",
		    "vmctl: vmd closed the connection\n", 1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

#define HEADER                                                            \
	"   ID   PID VCPUS  MAXMEM  CURMEM     TTY        OWNER    STATE" \
	" NAME\n"
#define ROW_WEB                                                           \
	"    1    99     1    512M    128M   pts/7         root  running" \
	" web\n"
#define ROW_B                                                             \
	"    2     -     1    512M       -       -         root  stopped" \
	" b\n"

static void
test_status(void **state)
{
	static const char two[] = "vm:1:web:99:/dev/pts/7: vm:2:b:0:: ok:0:";
	static const struct row rows[] = {
		{ { "status" }, two, "LIST\n", "", 0, HEADER ROW_WEB ROW_B },
		{ { "show" }, two, "LIST\n", "", 0, HEADER ROW_WEB ROW_B },
		{ { "stat", "-r" }, two, "LIST\n", "", 0, HEADER ROW_WEB },
		{ { "status", "2" }, two, "LIST\n", "", 0, HEADER ROW_B },
		{ { "status", "web" }, two, "LIST\n", "", 0, HEADER ROW_WEB },
		{ { "status", "-r", "b" }, two, "LIST\n",
		    "vmctl: vm not found: b\n", 1, HEADER },
		{ { "status", "3" }, two, "LIST\n", "vmctl: vm not found: 3\n",
		    1, HEADER },
		{ { "status", "-j", "3" }, two, "LIST\n",
		    "vmctl: vm not found: 3\n", 1, "[]\n" },
		{ { "status", "-j" }, "ok:0:", "LIST\n", "", 0, "[]\n" },
		{ { "status" }, "ok:0:", "LIST\n", "", 0, HEADER },
		{ { "status" },
		    "vm:1:web:99:/dev/pts/7:vioblk0_broke ok:0:", "LIST\n",
		    "vmctl: web: vioblk0_broke\n", 0, HEADER ROW_WEB },
		{ { "status" }, "vmctlchars ok:0:", "LIST\n",
		    "vmctl: a?[2Jb: ???\n", 0,
		    HEADER "    1     1     0      0B      0B      ??"
			   "         root  stopped a?[2Jb\n" },
		{ { "status" }, "fail:13:", "LIST\n",
		    "vmctl: command failed: Permission denied\n", 1, NULL },
		{ { "status" }, "ended:1:x", "LIST\n",
		    "vmctl: command failed: unexpected answer\n", 1, NULL },
	};

	check_rows(*state, rows, NROWS(rows));
}

static void
test_status_json(void **state)
{
	static const char *const args[] = { "status", "-j", NULL };
	json_error_t error;
	struct fake *f = *state;
	json_t *j;

	fake_run(f, args, "vmctlchars vm:1:web:99:/dev/pts/7: ok:0:");
	assert_int_equal(f->status, 0);
	j = json_loads(f->out, JSON_REJECT_DUPLICATES, &error);
	assert_non_null(j);
	assert_int_equal(json_array_size(j), 2);
	assert_string_equal(
	    json_string_value(json_object_get(json_array_get(j, 0), "name")),
	    "a?[2Jb");
	json_decref(j);

	fake_run(f, args, "many:150 ok:0:");
	assert_int_equal(f->status, 0);
	j = json_loads(f->out, JSON_REJECT_DUPLICATES, &error);
	assert_int_equal(json_array_size(j), 150);
	json_decref(j);
}

/* Answers that break the protocol: one line, exit 1, no crash. */
static void
test_broken_answers(void **state)
{
	static const struct {
		const char *script, *reason;
	} rows[] = {
		{ "", "vmctl: vmd closed the connection\n" },
		{ "unread", "vmctl: vmd closed the connection\n" },
		{ "vm:1:web:99::", "vmctl: vmd closed the connection\n" },
		{ "short:1", "vmctl: answer of vmd not understood: " },
		{ "short:15", "vmctl: answer of vmd not understood: " },
		{ "short:16", "vmctl: answer of vmd not understood: " },
		{ "short:23", "vmctl: answer of vmd not understood: " },
		{ "junk", "vmctl: answer of vmd not understood: " },
		{ "type", "vmctl: answer of vmd not understood: " },
		{ "extra", "vmctl: answer of vmd not understood: CTL_OK: " },
		{ "nul", "vmctl: answer of vmd not understood: CTL_OK: " },
		{ "fd", "vmctl: answer of vmd not understood: CTL_OK: " },
		{ "long", "vmctl: answer of vmd not understood: CTL_VM: " },
	};
	static const char *const args[] = { "status", NULL };
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(f, args, rows[i].script);
		assert_memory_equal(
		    f->err, rows[i].reason, strlen(rows[i].reason));
		assert_ptr_equal(
		    strchr(f->err, '\n'), f->err + strlen(f->err) - 1);
		assert_string_equal(f->out, "");
		assert_int_equal(f->status, 1);
	}
}

/* Whatever comes: exit 0 or 1, and nothing that steers a terminal. */
static void
test_mutations(void **state)
{
	static const char *const args[][4] = { { "status" },
		{ "status", "-j" } };
	struct fake *f = *state;
	char script[32];
	const char *p;
	int i;

	for (i = 0; i < 150; i++) {
		snprintf(script, sizeof(script), "mutate:%d", i);
		fake_run(f, args[i % 2], script);
		assert_in_range(f->status, 0, 1);
		for (p = f->out; *p != '\0'; p++)
			assert_true(*p == '\n' || (uint8_t)*p >= ' ');
		for (p = f->err; *p != '\0'; p++)
			assert_true(*p == '\n' || (uint8_t)*p >= ' ');
	}
}

static void
test_verbose(void **state)
{
	static const char *const args[] = { "-v", "reload", NULL };
	struct fake *f = *state;
	char want[128];

	fake_run(f, args, "ok:0:");
	snprintf(want, sizeof(want), "vmctl: connected to %s\n", f->socket);
	assert_non_null(strstr(f->err, want));
	assert_int_equal(f->status, 0);
}

static void
test_connect(void **state)
{
	static const char *const args[][4] = {
		{ "status" },
		{ "stop", "web" },
		{ "stop", "-a" },
		{ "wait", "web" },
		{ "start", "web" },
		{ "console", "web" },
		{ "log", "brief" },
		{ "reload" },
	};
	struct fake *f = *state, g = *f;
	char want[256], path[64], lots[200];
	size_t i;

	snprintf(g.socket, sizeof(g.socket), "%s/none", f->dir);
	snprintf(want, sizeof(want),
	    "vmctl: connect: %s/none: No such file or directory\n", f->dir);
	for (i = 0; i < NROWS(args); i++) {
		fake_run(&g, args[i], "");
		assert_string_equal(g.err, want);
		assert_int_equal(g.status, 1);
	}

	/* A socket without a server; something that is no socket. */
	snprintf(path, sizeof(path), "%s/none", f->dir);
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	fake_run(&g, args[0], "");
	snprintf(want, sizeof(want),
	    "vmctl: connect: %s/none: Connection refused\n", f->dir);
	assert_string_equal(g.err, want);
	assert_int_equal(g.status, 1);
	unlink(path);

	/* Too long for a socket's address; nothing at all. */
	memset(lots, 'x', sizeof(lots));
	lots[sizeof(lots) - 1] = '\0';
	g.socket[0] = '\0';
	fake_run(&g, (const char *const[]){ "-s", lots, "status", NULL }, "");
	assert_non_null(strstr(g.err, ": File name too long\n"));
	assert_int_equal(g.status, 1);
	fake_run(&g, (const char *const[]){ "-s", "", "status", NULL }, "");
	assert_string_equal(
	    g.err, "vmctl: connect: : No such file or directory\n");
	assert_int_equal(g.status, 1);
}

/* What is wrong with the command line itself: nobody is asked. */
static void
test_usage(void **state)
{
	static const struct {
		const char *args[8];
		const char *err; /* its beginning */
	} rows[] = {
		{ { NULL },
		    "usage:\tvmctl [-v] [--exit-codes] [-H host | -s socket] command" },
		{ { "-x" }, "vmctl: unknown option: -x\nusage:\t" },
		{ { "--codes" }, "vmctl: unknown option: --codes\nusage:\t" },
		{ { "-s" }, "vmctl: missing argument of -s\nusage:\t" },
		{ { "sta" }, "vmctl: ambiguous argument: sta\nusage:\t" },
		{ { "s" }, "vmctl: ambiguous argument: s\nusage:\t" },
		{ { "c" }, "vmctl: ambiguous argument: c\nusage:\t" },
		{ { "" }, "vmctl: unknown argument: \nusage:\t" },
		{ { "frob" }, "vmctl: unknown argument: frob\nusage:\t" },
		{ { "pause" }, "usage: vmctl [-v] [-s socket] pause id\n" },
		{ { "pause", "-f", "1" }, "vmctl: unknown option: -f\nusage:" },
		{ { "pause", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "unpause", "a", "b" }, "usage: vmctl " },
		{ { "unload", "x" }, "vmctl: unknown argument: unload\n" },
		{ { "stop" }, "usage: vmctl [-v] [-s socket] stop " },
		{ { "stop", "-a", "web" }, "usage: vmctl " },
		{ { "stop", "a", "b" }, "usage: vmctl " },
		{ { "stop", "-x" }, "vmctl: unknown option: -x\nusage: " },
		{ { "stop", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "stop", "0" }, "vmctl: invalid id: 0\n" },
		{ { "stop", "--", "-w" }, "vmctl: invalid vm name: -w\n" },
		{ { "snapshot" }, "usage: vmctl [-v] [-s socket] snapshot " },
		{ { "snapshot", "a" }, "vmctl: unknown argument: a\nusage: " },
		{ { "snapshot", "create", "a" }, "usage: vmctl " },
		{ { "snapshot", "create", "-j", "a", "b" },
		    "vmctl: unknown option: -j\nusage: " },
		{ { "snapshot", "list", "a", "b" }, "usage: vmctl " },
		{ { "snapshot", "list", "a/b" },
		    "vmctl: invalid vm name: a/b\n" },
		{ { "restart" }, "usage: vmctl [-v] [-s socket] restart [-f]" },
		{ { "restart", "-x" }, "vmctl: unknown option: -x\nusage: " },
		{ { "restart", "a", "b" }, "usage: vmctl " },
		{ { "restart", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "re", "web" }, "vmctl: ambiguous argument: re\nusage:\t" },
		{ { "wait" }, "usage: vmctl [-v] [-s socket] wait id\n" },
		{ { "wait", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "status", "a", "b" }, "usage: vmctl " },
		{ { "status", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "status", "-x" }, "vmctl: unknown option: -x\nusage: " },
		{ { "console" }, "usage: vmctl " },
		{ { "console", "a/b" }, "vmctl: invalid vm name: a/b\n" },
		{ { "log" }, "usage: vmctl " },
		{ { "log", "loud" }, "vmctl: unknown argument: loud\nusage: " },
		{ { "log", "brief", "x" }, "usage: vmctl " },
		{ { "reload", "x" }, "usage: vmctl [-v] [-s socket] reload\n" },
		{ { "load" }, "usage: vmctl [-v] [-s socket] load file\n" },
		{ { "load", "" }, "vmctl: empty path\n" },
		{ { "reset", "x" }, "vmctl: unknown argument: x\nusage: " },
		{ { "reset", "vms", "x" }, "usage: vmctl " },
		{ { "res" }, "vmctl: ambiguous argument: res\nusage:" },
		{ { "check", "x" }, "usage: vmctl " },
		{ { "-H", "there", "status" },
		    "vmctl: a host and a socket exclude each other\nusage:" },
		{ { "check", "-k" }, "vmctl: missing argument of -k\nusage: " },
		{ { "check", "-k", "a", "-k", "b" },
		    "vmctl: device specified multiple times\nusage: " },
	};
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		fake_run(f, rows[i].args, "unread");
		assert_memory_equal(f->err, rows[i].err, strlen(rows[i].err));
		assert_string_equal(f->requests, "");
		assert_string_equal(f->out, "");
		assert_int_equal(f->status, 1);
	}
}

/* Distinct statuses for who asks for them, for others the 1 of all tests. */
static void
test_exit_codes(void **state)
{
	static const struct {
		const char *args[8], *script;
		int status;
	} rows[] = {
		{ { "stop", "web" }, "ok:3:", 0 },
		{ { "stop", "-q", "web" }, "fail:1004:", 0 },
		{ { "stop", "-w", "web" }, "ok:3: | fail:1004:", 0 },
		{ { "stop", "web" }, "fail:5:", 1 },
		{ { "stop", "a/b" }, "", 1 },
		{ { "stop" }, "", 2 },
		{ { "frob" }, "", 2 },
		{ { NULL }, "", 2 },
		{ { "--frob" }, "", 2 },
		{ { "stop", "web" }, "", 3 },
		{ { "-s", "/nonexistent", "stop", "web" }, "", 2 },
		{ { "stop", "web" }, "fail:1:", 4 },
		{ { "reload" }, "fail:1:", 4 },
		{ { "stop", "web" }, "fail:2:", 5 },
		{ { "status", "web" }, "ok:0:", 5 },
		{ { "console", "web" }, "ok:0:", 5 },
		{ { "start", "-t", "web", "db" }, "fail:1007:", 5 },
		{ { "stop", "web" }, "fail:1004:", 6 },
		{ { "start", "web" }, "fail:114:", 6 },
		{ { "console", "web" }, "vm:3:web:0:: ok:0:", 6 },
		{ { "start", "web" }, "fail:12:", 7 },
		{ { "start", "web" }, "fail:122:", 7 },
		{ { "start", "web" }, "fail:1002:", 8 },
		{ { "start", "web" }, "fail:8:", 8 },
		/* What went wrong first; what ended by itself did not. */
		{ { "stop", "-a" },
		    "vm:1:a:9:: vm:2:b:9:: vm:3:c:9:: ok:0: |"
		    " fail:1004: | fail:1: | fail:5:",
		    4 },
	};
	const char *args[9] = { "--exit-codes" };
	struct fake *f = *state;
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		memcpy(args + 1, rows[i].args, sizeof(rows[i].args));
		fake_run(f, args, rows[i].script);
		if (f->status != rows[i].status)
			fail_msg("row %zu: %d, not %d: %s", i, f->status,
			    rows[i].status, f->err);
		fake_run(f, rows[i].args, rows[i].script);
		assert_int_equal(f->status, rows[i].status != 0);
	}
}

static void
test_output_error(void **state)
{
	static const char *const args[] = { "status", NULL };
	struct fake *f = *state;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), pipefd[2];
	int status;
	pid_t pid;

	/* A full disk; a pipe that nobody reads. */
	assert_int_equal(pipe(pipefd), 0);
	close(pipefd[0]);
	for (int i = 0; i < 2; i++) {
		if ((pid = fork()) == 0) {
			int null = open("/dev/null", O_WRONLY);

			fake_exec(f, args, i == 0 ? full : pipefd[1], null);
		}
		char script[] = "vm:1:web:0:: ok:0:", *rest = script;

		fake_serve(f, accept(f->listener, NULL, NULL), &rest);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	}
	close(full);
	close(pipefd[1]);
}

static void
write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	assert_true(write(fd, text, strlen(text)) > 0);
	close(fd);
}

static void
copy_self(const char *path)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		assert_int_equal(write(to, buf, (size_t)n), n);
	assert_int_equal(n, 0);
	close(from);
	close(to);
}

/* Run self with the arguments; what it prints, and its exit status. */
static int
run_self(const char *const *argv, char *out, size_t len)
{
	int fds[2], status;
	size_t done = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	if ((pid = fork()) == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	close(fds[1]);
	while ((n = read(fds[0], out + done, len - 1 - done)) > 0)
		done += (size_t)n;
	out[done] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A directory as `make install' makes it, with this test as vmctl. */
static void
test_check(void **state)
{
	struct fake *f = *state;
	char bin[64], sbin[64], vmd[96], self[96], want[128], out[1024];
	const char *argv[] = { self, "--vmctl", "check", "-k", "/dev/x", NULL };
	const char *json[] = { self, "--vmctl", "check", "-j", "-k", "/dev/x",
		NULL };
	json_t *j;

	snprintf(bin, sizeof(bin), "%s/bin", f->dir);
	snprintf(sbin, sizeof(sbin), "%s/sbin", f->dir);
	snprintf(vmd, sizeof(vmd), "%s/vmd", sbin);
	snprintf(self, sizeof(self), "%s/vmctl", bin);
	snprintf(want, sizeof(want), "%s/../sbin/vmd", bin);
	assert_int_equal(mkdir(bin, 0755), 0);
	assert_int_equal(mkdir(sbin, 0755), 0);
	assert_int_equal(check_path(self, out, sizeof(out)), 0);
	assert_string_equal(out, PREFIX "/sbin/vmd");
	write_file(vmd, "#!/bin/sh\necho \"device: $@\"\nexit 1\n");
	assert_int_equal(check_path(self, out, sizeof(out)), 0);
	assert_string_equal(out, want);
	assert_int_equal(check_path("", out, sizeof(out)), 0);
	assert_string_equal(out, PREFIX "/sbin/vmd");
	assert_int_equal(check_path("", out, 5), -ENAMETOOLONG);

	copy_self(self);
	assert_int_equal(run_self(argv, out, sizeof(out)), 1);
	assert_string_equal(out, "device: -c -k /dev/x\n");
	assert_int_equal(run_self(json, out, sizeof(out)), 1);
	assert_non_null(j = json_loads(out, 0, NULL));
	assert_string_equal(
	    json_string_value(json_object_get(j, "device")), "-c -k /dev/x");
	json_decref(j);
	/* A status without a report is no result. */
	write_file(vmd, "#!/bin/sh\nexit 0\n");
	assert_int_equal(run_self(json, out, sizeof(out)), 1);
	assert_string_equal(out, "");
	unlink(self);
	unlink(vmd);
	rmdir(bin);
	rmdir(sbin);
}

static void
test_check_json(void **state)
{
	static const struct {
		const char *report, *want;
	} rows[] = {
		{ "",
		    "{\"device\":null,\"processor\":null,"
		    "\"virtualization\":null,\"nested_paging\":null,"
		    "\"api_version\":null,\"max_vcpus\":null,"
		    "\"memory\":null,\"features\":[],\"fit\":false,"
		    "\"reason\":null}" },
		{ "device: /dev/vmm\nprocessor: AuthenticAMD, virtualization: "
		  "SVM\nnested paging: yes\nAPI version: 12\n"
		  "vCPUs: at most 64\nmemory: 2 MiB\nfeatures: a b-c\nfit\n",
		    "{\"device\":\"/dev/vmm\","
		    "\"processor\":\"AuthenticAMD\","
		    "\"virtualization\":\"SVM\",\"nested_paging\":true,"
		    "\"api_version\":12,\"max_vcpus\":64,"
		    "\"memory\":2097152,\"features\":[\"a\",\"b-c\"],"
		    "\"fit\":true,\"reason\":null}" },
		{ "device: fit\nprocessor: x, virtualization: none\n"
		  "nested paging: no\nunfit: fit: no\n",
		    "{\"device\":\"fit\",\"processor\":\"x\","
		    "\"virtualization\":null,\"nested_paging\":false,"
		    "\"api_version\":null,\"max_vcpus\":null,"
		    "\"memory\":null,\"features\":[],\"fit\":false,"
		    "\"reason\":\"fit: no\"}" },
	};
	size_t i;
	char *got;
	json_t *j;

	for (i = 0; i < NROWS(rows); i++) {
		assert_non_null(j = check_json(rows[i].report));
		assert_non_null(got = json_dumps(j, JSON_COMPACT));
		assert_string_equal(got, rows[i].want);
		free(got);
		json_decref(j);
	}
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_load_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_status, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_status_json, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_broken_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_mutations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verbose, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_usage, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_exit_codes, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_output_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_check, setup, teardown),
		cmocka_unit_test(test_check_json),
	};
	struct spawned child;

	if (spawn_is_child(argc, argv, &child))
		return check_child();
	if (argc > 1 && strcmp(argv[1], "--vmctl") == 0) {
		if (spawn_init("vmctl") != 0)
			return 99;
		log_init(LOG_TO_STDERR, "vmctl");
		return cmd_main(argc - 1, argv + 1);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
