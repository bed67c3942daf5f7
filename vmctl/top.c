/* SPDX-License-Identifier: ISC */
/*
 * vmctl top: what VMs use, again and again.
 *
 * Use is the difference of two lists of vmd.  A VM that was not there in the
 * first one, with the same process, has no figures yet; a counter that went
 * back began again at zero.
 */
#include <sys/ioctl.h>

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "cmd.h"
#include "log.h"
#include "status.h"
#include "text.h"
#include "top.h"

#define ROW_FORMAT   "%5s %6s %7s %7s %7s %7s %7s %8s %s\n"
#define HOME_CLEAR   "\033[H\033[J" /* ECMA-48: CUP, ED */
#define SECONDS_DFLT 2
#define SECONDS_MAX  3600

struct use {
	const struct ctl_vm *vm;
	bool known;
	double cpu; /* of one CPU, percent */
	/* Bytes a second: to the guest and from it. */
	uint64_t disk_in, disk_out, net_in, net_out;
};

static uint64_t
passed(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

static uint64_t
per_second(uint64_t before, uint64_t now, uint64_t us)
{
	double rate = (double)passed(before, now) * 1e6 / (double)us;

	return rate < 0x1p64 ? (uint64_t)rate : UINT64_MAX;
}

static const struct ctl_dev *
find_dev(const struct ctl_vm *vm, const char *name)
{
	uint32_t i;

	for (i = 0; i < vm->ndevs; i++) {
		if (strcmp(vm->dev[i].name, name) == 0)
			return &vm->dev[i];
	}
	return NULL;
}

static void
compare(struct use *u, const struct ctl_vm *was, uint64_t us)
{
	static const struct ctl_dev none;
	const struct ctl_dev *d, *old;
	uint64_t in, out;
	uint32_t i;

	u->known = true;
	u->cpu = (double)passed(was->cpu_us, u->vm->cpu_us) * 100 / (double)us;
	for (i = 0; i < u->vm->ndevs; i++) {
		d = &u->vm->dev[i];
		if ((old = find_dev(was, d->name)) == NULL)
			old = &none;
		in = per_second(old->n.in, d->n.in, us);
		out = per_second(old->n.out, d->n.out, us);
		if (d->is_nic) {
			u->net_in += in;
			u->net_out += out;
		} else {
			u->disk_in += in;
			u->disk_out += out;
		}
	}
}

static int
busier(const void *a, const void *b)
{
	const struct use *x = a, *y = b;

	if (x->cpu != y->cpu)
		return x->cpu < y->cpu ? 1 : -1;
	return x->vm->id < y->vm->id ? -1 : x->vm->id > y->vm->id;
}

static void
row(FILE *fp, const struct use *u)
{
	char id[12], cpu[16], mem[TEXT_SCALED], size[TEXT_SCALED];
	char rate[4][TEXT_SCALED];

	snprintf(id, sizeof(id), "%" PRIu32, u->vm->id);
	text_scaled(u->vm->curmem, mem);
	text_scaled(u->vm->maxmem, size);
	if (!u->known) {
		fprintf(fp, ROW_FORMAT, id, "-", mem, size, "-", "-", "-", "-",
		    u->vm->name);
		return;
	}
	snprintf(cpu, sizeof(cpu), "%.1f", u->cpu);
	text_scaled(u->disk_in, rate[0]);
	text_scaled(u->disk_out, rate[1]);
	text_scaled(u->net_in, rate[2]);
	text_scaled(u->net_out, rate[3]);
	fprintf(fp, ROW_FORMAT, id, cpu, mem, size, rate[0], rate[1], rate[2],
	    rate[3], u->vm->name);
}

int
top_print(FILE *fp, const struct top_sample *before,
    const struct top_sample *now, size_t lines)
{
	uint64_t us = now->us > before->us ? now->us - before->us : 1;
	struct use *uses = calloc(now->n + 1, sizeof(*uses));
	const struct ctl_vm *was;
	size_t i, k, n = 0;

	if (uses == NULL)
		return -ENOMEM;
	for (i = 0; i < now->n; i++) {
		if (!status_running(&now->vms[i]))
			continue;
		uses[n].vm = &now->vms[i];
		for (k = 0; k < before->n; k++) {
			was = &before->vms[k];
			if (was->id == now->vms[i].id &&
			    was->pid == now->vms[i].pid)
				compare(&uses[n], was, us);
		}
		n++;
	}
	qsort(uses, n, sizeof(*uses), busier);
	fprintf(fp, ROW_FORMAT, "ID", "%CPU", "CURMEM", "MAXMEM", "READ/S",
	    "WRITE/S", "NETIN/S", "NETOUT/S", "NAME");
	for (i = 0; i < n && i + 1 < lines; i++)
		row(fp, &uses[i]);
	free(uses);
	return 0;
}

static int
take(const struct cmd_env *env, struct top_sample *s)
{
	struct timespec ts;
	int error = client_list(env, &s->vms, &s->n);

	clock_gettime(CLOCK_MONOTONIC, &ts);
	s->us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	return error;
}

/* Of the terminal, the line of the cursor excepted. */
static size_t
room(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == -1 || w.ws_row < 3)
		return SIZE_MAX;
	return w.ws_row - 1U;
}

static enum cmd_result
follow(const struct cmd_env *env, unsigned seconds, bool once)
{
	struct top_sample before = { 0 }, now = { 0 };
	bool terminal = isatty(STDOUT_FILENO) == 1, first = true;
	int error = take(env, &before);

	while (error == 0) {
		sleep(seconds);
		if ((error = take(env, &now)) != 0)
			break;
		if (terminal && !once)
			fputs(HOME_CLEAR, stdout);
		else if (!first)
			putchar('\n');
		error = top_print(
		    stdout, &before, &now, terminal ? room() : SIZE_MAX);
		if (error != 0)
			log_warnx("top: %s", strerror(-error));
		free(before.vms);
		before = now;
		now.vms = NULL;
		first = false;
		/* Errors of stdout are seen by cmd.c. */
		if (fflush(stdout) == EOF || once)
			break;
	}
	free(before.vms);
	return error == 0 ? CMD_OK : CMD_FAILED;
}

static bool
interval(const char *word, unsigned *seconds)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(word, &end, 10);
	if (*word < '0' || *word > '9' || *end != '\0' || errno != 0 || n < 1 ||
	    n > SECONDS_MAX) {
		log_warnx("seconds are 1 to %d: %s", SECONDS_MAX, word);
		return false;
	}
	*seconds = (unsigned)n;
	return true;
}

enum cmd_result
top_run(int argc, char **argv, const struct cmd_env *env)
{
	const char *word = NULL;
	unsigned seconds = SECONDS_DFLT;
	bool once = false;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "1d:")) != -1) {
		switch (ch) {
		case '1':
			once = true;
			break;
		case 'd':
			if (!cmd_once(&word, "seconds"))
				return CMD_USAGE;
			if (!interval(word, &seconds))
				return CMD_FAILED;
			break;
		default:
			return CMD_USAGE;
		}
	}
	if (argc != optind)
		return CMD_USAGE;
	return follow(env, seconds, once);
}
