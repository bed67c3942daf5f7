/* SPDX-License-Identifier: ISC */
/*
 * vmctl/vmctl.bash and vmctl.zsh: what is offered for which line.  Run from the
 * top of the tree, with both shells and a vmctl that only knows its status.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define NROWS(a) (sizeof(a) / sizeof((a)[0]))

static const char stub[] =
    "#!/bin/sh\n"
    "sock=\n"
    "if [ \"$1\" = -s ]; then sock=-$(basename \"$2\"); shift 2; fi\n"
    "[ \"$1\" = status ] || exit 1\n"
    "echo '   ID   PID NAME'\n"
    "echo \"    1    99 web$sock\"\n"
    "[ \"$2\" = -r ] || echo \"    2     - db$sock\"\n";

static const char script[] =
    "compopt() { :; }\n"
    ". vmctl/vmctl.bash\n"
    "COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \"_$1\"\n"
    "echo \"${COMPREPLY[*]}\"\n";

/* The last word is the one under the cursor. */
static const struct {
	const char *line, *want;
} rows[] = {
	{ "vmctl \"\"",
	    "check console create events image key load log metrics "
	    "pause reload reset restart restore run save screen send set show snapshot start status stop top unpause wait" },
	{ "vmctl sta", "start status" },
	{ "vmctl -", "--exit-codes -H -s -v" },
	{ "vmctl --exit-codes u", "unpause" },
	{ "vmctl -v w", "wait" },
	{ "vmctl pause \"\"", "web" },
	{ "vmctl u", "unpause" },
	{ "vmctl screen -", "-f -j" },
	{ "vmctl send -", "-d -q -r -s -t" },
	{ "vmctl send \"\"", "web" },
	{ "vmctl send -t 50 w", "web" },
	{ "vmctl send -t \"\"", "" },
	{ "vmctl send -d w", "web" },
	{ "vmctl send -s \"\"", "" },
	{ "vmctl key -", "-t" },
	{ "vmctl key \"\"", "web" },
	{ "vmctl status \"\"", "web db" },
	{ "vmctl start \"\"", "web db" },
	{ "vmctl start -c d", "db" },
	{ "vmctl restart \"\"", "web" },
	{ "vmctl restart -", "-f" },
	{ "vmctl snapshot \"\"", "create delete list revert" },
	{ "vmctl snapshot revert \"\"", "web db" },
	{ "vmctl snapshot revert web \"\"", "" },
	{ "vmctl snapshot list -", "-j" },
	{ "vmctl snapshot list -j d", "db" },
	{ "vmctl stop \"\"", "web" },
	{ "vmctl stop -f w", "web" },
	{ "vmctl stop -", "-a -f -q -w" },
	{ "vmctl stat -", "-j -r -v" },
	{ "vmctl set web \"\"", "cdrom link memory" },
	{ "vmctl set web link \"\"", "0 1 2 3" },
	{ "vmctl set web memory \"\"", "" },
	{ "vmctl set web link 0 \"\"", "up down" },
	{ "vmctl sta -", "" }, /* ambiguous */
	{ "vmctl log v", "verbose" },
	{ "vmctl log \"\"", "brief verbose" },
	{ "vmctl create -", "-b -i -s" },
	{ "vmctl create -s \"\"", "" },
	{ "vmctl create -i vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl create vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl image \"\"", "check info snapshot" },
	{ "vmctl image snapshot \"\"", "create delete list revert" },
	{ "vmctl image snapshot create vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl image info vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl image check -r vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl image info -j vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl image check -", "-j -r" },
	{ "vmctl reload \"\"", "" },
	{ "vmctl res", "reset restart restore" },
	{ "vmctl run -", "-a -B -b -d -I -i -L -m -n -p -q -r -t" },
	{ "vmctl run -q d", "db" },
	{ "vmctl run -b vmctl/vmctl.b", "vmctl/vmctl.bash" },
	{ "vmctl reset \"\"", "all switches vms" },
	{ "vmctl load vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl m", "metrics" },
	{ "vmctl events -", "-j" },
	{ "vmctl events d", "db" },
	{ "vmctl top -", "-1 -d" },
	{ "vmctl top -d \"\"", "" },
	{ "vmctl metrics \"\"", "" },
	{ "vmctl start -m \"\"", "" },
	{ "vmctl start -t d", "db" },
	{ "vmctl start -B \"\"", "cdrom disk net" },
	{ "vmctl start -b vmctl/vmctl.b", "vmctl/vmctl.bash" },
	{ "vmctl start -d vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmctl -s /tmp/other wait \"\"", "web-other" },
	{ "vmctl -v -s /tmp/other start \"\"", "web-other db-other" },
	{ "vmctl -s vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmmctl -S \"\"", "-c" },
	{ "vmmctl -S -", "-c" },
	{ "vmmctl -S -c vmctl/vmctl.8", "vmctl/vmctl.8" },
	{ "vmmctl -e \"\"", "" },
	{ "vmmctl -", "-S -c -d -e" },
};

static char dir[] = "/tmp/vmctl.XXXXXX";

static void
complete(const char *line, char *out, size_t len)
{
	char command[1024];
	size_t n;
	FILE *fp;

	snprintf(command, sizeof(command),
	    "PATH=%s:$PATH bash -c '%s' bash %s 2>&1", dir, script, line);
	fp = popen(command, "r");
	assert_non_null(fp);
	n = fread(out, 1, len - 1, fp);
	out[n] = '\0';
	out[strcspn(out, "\n")] = '\0';
	pclose(fp);
}

static void
test_bash(void **state)
{
	char out[1024];
	size_t i;

	for (i = 0; i < NROWS(rows); i++) {
		complete(rows[i].line, out, sizeof(out));
		assert_string_equal(out, rows[i].want);
	}
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* As complete.zsh writes it: sorted, of paths the last part. */
static void
sorted(const char *want, char *out, size_t len)
{
	char copy[1024], *rest = copy, *slash, *word[64];
	size_t i, n = 0;

	snprintf(copy, sizeof(copy), "%s", want);
	while (n < NROWS(word) && (word[n] = strsep(&rest, " ")) != NULL) {
		if ((slash = strrchr(word[n], '/')) != NULL)
			word[n] = slash + 1;
		n += *word[n] != '\0';
	}
	qsort(word, n, sizeof(*word), by_name);
	out[0] = '\0';
	for (i = 0; i < n; i++) {
		strlcat(out, word[i], len);
		strlcat(out, " ", len);
	}
}

/* One shell for all lines: it takes a while to be ready. */
static void
test_zsh(void **state)
{
	static char command[16384];
	char got[1024], want[1024];
	size_t i, n;
	FILE *fp;

	if (system("command -v zsh >/dev/null") != 0)
		skip();
	snprintf(command, sizeof(command),
	    "PATH=%s:$PATH zsh -f regress/vmctl/complete.zsh vmctl/vmctl.zsh",
	    dir);
	for (i = 0; i < NROWS(rows); i++) {
		n = strlen(rows[i].line);
		/* An empty last word is a blank. */
		if (n > 2 && strcmp(rows[i].line + n - 2, "\"\"") == 0)
			n -= 2;
		snprintf(command + strlen(command),
		    sizeof(command) - strlen(command), " '%.*s'", (int)n,
		    rows[i].line);
	}
	assert_true(strlen(command) < sizeof(command) - 1);
	fp = popen(command, "r");
	assert_non_null(fp);
	for (i = 0; i < NROWS(rows); i++) {
		assert_non_null(fgets(got, sizeof(got), fp));
		got[strcspn(got, "\n")] = '\0';
		sorted(rows[i].want, want, sizeof(want));
		if (strcmp(got, want) != 0)
			fail_msg(
			    "%s: \"%s\", not \"%s\"", rows[i].line, got, want);
	}
	assert_int_equal(pclose(fp), 0);
}

static int
setup(void **state)
{
	char path[64];
	int fd;

	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/vmctl", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	if (write(fd, stub, sizeof(stub) - 1) != (ssize_t)sizeof(stub) - 1)
		return -1;
	return close(fd);
}

static int
teardown(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/vmctl", dir);
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bash),
		cmocka_unit_test(test_zsh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
