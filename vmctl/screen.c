/* SPDX-License-Identifier: ISC */
/*
 * vmctl screen: what a VM's text screen shows, once or as it changes.
 *
 * The names in the JSON are an interface (vmctl(8), "OUTPUT"): names may be
 * added at the end, none changes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "client.h"
#include "cmd.h"
#include "cp437.h"
#include "jsonout.h"
#include "log.h"

#define FOLLOW_NS 100000000L /* from one look to the next */
#define PLAIN	  0x07 /* attribute: grey on black */

static const char *const modes[] = {
	[SCREEN_OFF] = "off",
	[SCREEN_TEXT] = "text",
	[SCREEN_GRAPHICS] = "graphics",
};

struct look {
	bool follow, json;
	bool tty, colour;
};

static uint16_t
cell(const struct screen *s, uint32_t row, uint32_t col)
{
	return s->cell[row * s->cols + col];
}

/* Columns to the last that is not blank; ground counts as not. */
static uint32_t
width(const struct screen *s, uint32_t row, bool ground)
{
	uint32_t n = s->cols;
	uint16_t c;

	while (n > 0) {
		c = cell(s, row, n - 1);
		if (((c & 0xff) != ' ' && (c & 0xff) != '\0') ||
		    (ground && (c & 0x7000) != 0))
			break;
		n--;
	}
	return n;
}

/* A PC's colours have blue where a terminal's have red. */
static void
colour(uint8_t attr)
{
	static const uint8_t order[8] = { 0, 4, 2, 6, 1, 5, 3, 7 };
	unsigned fg = attr & 0x0f, bg = attr >> 4 & 7;

	if (attr == PLAIN)
		fputs("\033[0m", stdout);
	else
		printf("\033[0;%u;%um", (fg & 8 ? 90U : 30U) + order[fg & 7],
		    40U + order[bg]);
}

static void
print_row(const struct screen *s, uint32_t row, const struct look *l)
{
	uint32_t col, n = width(s, row, l->colour);
	uint8_t attr = PLAIN;
	char text[CP437_MAX];

	for (col = 0; col < n; col++) {
		uint16_t c = cell(s, row, col);

		if (l->colour && c >> 8 != attr)
			colour(attr = (uint8_t)(c >> 8));
		cp437_utf8((uint8_t)c, text);
		fputs(text, stdout);
	}
	if (attr != PLAIN)
		colour(PLAIN);
}

static void
print_text(const struct screen *s, const struct look *l)
{
	bool again = l->follow && l->tty;
	uint32_t row;

	if (again)
		fputs("\033[H", stdout);
	if (s->mode != SCREEN_TEXT)
		printf("(%s)%s\n",
		    s->mode == SCREEN_OFF ? "the screen is off"
					  : "graphics, not shown",
		    again ? "\033[K" : "");
	for (row = 0; row < s->rows; row++) {
		print_row(s, row, l);
		fputs(again ? "\033[K\n" : "\n", stdout);
	}
	if (again)
		fputs("\033[J", stdout);
	if (again && s->cursor != SCREEN_NOCURSOR)
		printf("\033[%u;%uH", s->cursor / s->cols + 1,
		    s->cursor % s->cols + 1);
}

static json_t *
json_row(const struct screen *s, uint32_t row)
{
	char line[SCREEN_CELLS * (CP437_MAX - 1) + 1] = "";
	uint32_t col, n = width(s, row, false);
	char *at = line;

	for (col = 0; col < n; col++) {
		cp437_utf8((uint8_t)cell(s, row, col), at);
		at += strlen(at);
	}
	return json_string(line);
}

static json_t *
json_rows(const struct screen *s)
{
	json_t *a = json_array();
	uint32_t row;

	for (row = 0; a != NULL && row < s->rows; row++) {
		if (json_array_append_new(a, json_row(s, row)) != 0) {
			json_decref(a);
			return NULL;
		}
	}
	return a;
}

static json_t *
json_cursor(const struct screen *s)
{
	if (s->cursor == SCREEN_NOCURSOR)
		return json_null();
	const struct jsonout_member members[] = {
		{ "row", jsonout_u64(s->cursor / s->cols) },
		{ "column", jsonout_u64(s->cursor % s->cols) },
	};
	return jsonout_object(members, sizeof(members) / sizeof(members[0]));
}

static int
print_json(const struct screen *s, const struct look *l)
{
	const struct jsonout_member members[] = {
		{ "mode", json_string(modes[s->mode]) },
		{ "columns", jsonout_u64(s->cols) },
		{ "rows", jsonout_u64(s->rows) },
		{ "cursor", json_cursor(s) },
		{ "lines", json_rows(s) },
	};
	json_t *o =
	    jsonout_object(members, sizeof(members) / sizeof(members[0]));

	return l->follow ? jsonout_line(stdout, o) : jsonout_print(stdout, o);
}

static int
print(const struct screen *s, const struct look *l)
{
	if (!l->json) {
		print_text(s, l);
		return 0;
	}
	if (print_json(s, l) != -ENOMEM)
		return 0;
	log_warnx("screen: out of memory");
	return -ENOMEM;
}

/* The screen now; 0, or -1 after saying why not. */
static int
ask(struct client *c, const struct target *t, struct screen *s)
{
	struct client_answer a;

	if (client_send_target(c, CTL_SCREEN, t, NULL) != 0 ||
	    client_next(c, &a, CLIENT_PROMPT) != 0)
		return -1;
	if (a.kind == CLIENT_CELLS) {
		*s = a.screen;
		if (client_next(c, &a, CLIENT_PROMPT) != 0)
			return -1;
		if (a.kind == CLIENT_OK)
			return 0;
	}
	log_warnx("screen command failed: %s", client_reason(&a));
	return -1;
}

static enum cmd_result
show(struct client *c, const struct target *t, const struct look *l)
{
	static const struct timespec pause = { 0, FOLLOW_NS };
	struct screen now, before;
	bool first = true;

	memset(&before, 0, sizeof(before));
	if (l->follow && l->tty && !l->json)
		fputs("\033[2J", stdout);
	for (;;) {
		if (ask(c, t, &now) != 0)
			return CMD_FAILED;
		if (first || memcmp(&now, &before, sizeof(now)) != 0) {
			if (print(&now, l) != 0)
				return CMD_FAILED;
			if (fflush(stdout) == EOF)
				return CMD_OK; /* cmd.c sees that error */
		}
		if (!l->follow)
			return CMD_OK;
		first = false;
		before = now;
		nanosleep(&pause, NULL);
	}
}

enum cmd_result
screen_run(int argc, char **argv, const struct cmd_env *env)
{
	const char *no = getenv("NO_COLOR");
	struct look l = { .tty = isatty(STDOUT_FILENO) == 1 };
	enum cmd_result result;
	struct target target;
	struct client *c;
	int ch;

	while ((ch = cmd_getopt(argc, argv, "fj")) != -1) {
		if (ch == 'f')
			l.follow = true;
		else if (ch == 'j')
			l.json = true;
		else
			return CMD_USAGE;
	}
	if (argc - optind != 1)
		return CMD_USAGE;
	l.colour = l.tty && (no == NULL || *no == '\0');
	if (args_target(argv[optind], &target) != 0 ||
	    (c = client_open(env)) == NULL)
		return CMD_FAILED;
	result = show(c, &target, &l);
	client_close(c);
	return result;
}
