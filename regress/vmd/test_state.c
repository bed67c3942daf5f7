/* SPDX-License-Identifier: ISC */
/* The stream of saved states (vmd/state.c), and the tables of chips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "i8042.h"
#include "state.h"
#include "state_chips.h"

struct thing {
	uint8_t small;
	bool yes;
	uint32_t list[3];
	uint64_t big;
};

static const struct state_field fields[] = {
	STATE_NUM(struct thing, small, 9),
	STATE_NUM(struct thing, yes, 1),
	STATE_ARR(struct thing, list, UINT32_MAX),
	STATE_NUM(struct thing, big, UINT64_MAX),
};

#define N (sizeof(fields) / sizeof(fields[0]))

static const struct thing thing = { 7, true, { 1, 2, 0xffffffff }, 1ULL << 63 };

static int
file(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
section(struct state *s, const char *name, struct thing *t)
{
	if (state_begin(s, name, 3) != 0)
		return;
	state_fields(s, t, fields, N);
	(void)state_end(s);
}

static int
written(const struct thing *what)
{
	struct thing t = *what;
	struct state s;
	int fd = file();

	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	section(&s, "one", &t);
	section(&s, "two", &t);
	assert_int_equal(s.error, 0);
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

/* The line that it is refused with, or "". */
static const char *
read_back(int fd, struct thing *one, struct thing *two)
{
	static char why[STATE_WHY_MAX];
	char name[STATE_NAME_MAX + 1] = "";
	struct state s;

	if (state_read_head(&s, fd, name) == 0) {
		section(&s, "one", one);
		section(&s, "two", two);
	}
	assert_int_equal(s.error == 0, s.why[0] == '\0');
	memcpy(why, s.why, sizeof(why));
	state_free(&s);
	close(fd);
	return why;
}

static void
test_there_and_back(void **state)
{
	struct thing one, two;

	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	assert_string_equal(read_back(written(&thing), &one, &two), "");
	assert_int_equal(one.small, 7);
	assert_true(two.yes);
	assert_int_equal(two.list[2], 0xffffffff);
	assert_true(two.big == 1ULL << 63);
}

/* Each bit of a stream counts, and nothing of a wrong section is used. */
static void
test_every_bit(void **state)
{
	struct thing one, two;
	uint8_t byte;
	const char *why;
	off_t at, len;
	int fd;

	fd = written(&thing);
	len = lseek(fd, 0, SEEK_END);
	close(fd);
	for (at = 0; at < len * 8; at++) {
		/* The name is anybody's to choose, and its end is not looked
		 * for. */
		if (at / 8 >= 16 && at / 8 < STATE_HEAD - 1)
			continue;
		fd = written(&thing);
		assert_int_equal(pread(fd, &byte, 1, at / 8), 1);
		byte ^= (uint8_t)(1U << (at % 8));
		assert_int_equal(pwrite(fd, &byte, 1, at / 8), 1);
		memset(&one, 0, sizeof(one));
		memset(&two, 0, sizeof(two));
		why = read_back(fd, &one, &two);
		assert_memory_equal(why, "section \"", 9);
		assert_non_null(strstr(why, " at byte "));
		assert_int_equal(two.big, 0);
	}
	for (at = 0; at < len; at++) {
		fd = written(&thing);
		assert_int_equal(ftruncate(fd, at), 0);
		why = read_back(fd, &one, &two);
		assert_non_null(strstr(why, "the file ends here"));
	}
}

/* Neither written nor read. */
static void
test_limits(void **state)
{
	struct state_field f[N];
	struct thing t = thing, one, two;
	struct state s;
	int fd = file();

	t.small = 10;
	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	section(&s, "one", &t);
	assert_true(s.error < 0);
	assert_string_equal(s.why, "number out of range: 10");
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	memcpy(f, fields, sizeof(f));
	f[0].max = UINT8_MAX;
	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	assert_int_equal(state_begin(&s, "one", 3), 0);
	state_fields(&s, &t, f, N);
	assert_int_equal(state_end(&s), 0);
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	memset(&one, 0, sizeof(one));
	assert_string_equal(read_back(fd, &one, &two),
	    "section \"one\" at byte 80: number out of range: 10");
	assert_int_equal(one.small, 0);
}

static void
test_other_sections(void **state)
{
	char name[STATE_NAME_MAX + 1];
	struct thing t = thing;
	struct state s;
	int fd = written(&thing);

	assert_int_equal(state_read_head(&s, fd, name), 0);
	assert_string_equal(name, "web");
	section(&s, "three", &t);
	assert_string_equal(
	    s.why, "section \"three\" at byte 80: it is \"one\" instead");
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_read_head(&s, fd, name), 0);
	assert_true(state_begin(&s, "one", 4) < 0);
	assert_string_equal(
	    s.why, "section \"one\" at byte 80: version 3, not 4");
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(state_read_head(&s, fd, name), 0);
	assert_int_equal(state_begin(&s, "one", 3), 0);
	assert_true(state_end(&s) < 0);
	assert_non_null(strstr(s.why, "bytes are left over"));
	state_free(&s);
	close(fd);
}

/* Much of a section goes where it is to be, from a file and from what has none. */
static void
test_into(void **state)
{
	static uint8_t much[3000], got[3000];
	char name[STATE_NAME_MAX + 1];
	uint64_t number = 5;
	struct state s;
	int fd = file(), wrong;

	memset(much, 0x5a, sizeof(much));
	assert_int_equal(state_write_head(&s, -1, "web"), 0);
	assert_int_equal(state_begin(&s, "memory", 1), 0);
	state_number(&s, &number, 9);
	state_bytes(&s, much, sizeof(much));
	assert_int_equal(state_end(&s), 0);
	assert_int_equal(
	    s.nout, STATE_HEAD + STATE_SECTION_HEAD + 8 + sizeof(much));
	assert_int_equal(pwrite(fd, s.out, s.nout, 0), s.nout);
	state_free(&s);
	for (wrong = 0; wrong < 4; wrong++) {
		memset(got, 0, sizeof(got));
		if (wrong == 3) /* in the rest */
			assert_int_equal(pwrite(fd, "", 1, 1000), 1);
		assert_int_equal(state_read_head(&s, fd, name), 0);
		assert_int_equal(state_begin_first(&s, "memory", 1, 8), 0);
		number = 0;
		if (wrong != 1)
			state_number(&s, &number, 9);
		assert_int_equal(state_left(&s), sizeof(much));
		if (wrong != 2)
			state_into(&s, got);
		assert_int_equal(state_end(&s) == 0, wrong == 0);
		if (wrong == 0) {
			assert_int_equal(number, 5);
			assert_memory_equal(got, much, sizeof(much));
		} else {
			assert_non_null(strstr(s.why,
			    wrong == 3 ? "wrong checksum" : "are left over"));
		}
		state_free(&s);
	}
	close(fd);
}

static void
mark(uint8_t *map, size_t size, const struct state_field *f, size_t n)
{
	size_t i, k, b, at;

	for (i = 0; i < n; i++)
		for (k = 0; k < f[i].count; k++)
			for (b = 0; b < f[i].size; b++) {
				at = f[i].off + k * f[i].stride + b;
				assert_true(at < size);
				assert_int_equal(map[at], 0);
				map[at] = 1;
			}
}

/*
 * All of a chip is in one of its two tables, and nothing in both.  What may be
 * left over is padding: less than the alignment of what follows it, and ending
 * at such an address.
 */
static void
test_chips_are_whole(void **state)
{
	const struct state_chip *c;
	uint8_t *map;
	size_t i, at, from;

	for (i = 0; i < STATE_CHIPS; i++) {
		c = &state_chips[i];
		map = calloc(1, c->size);
		assert_non_null(map);
		mark(map, c->size, c->saved, c->nsaved);
		mark(map, c->size, c->derived, c->nderived);
		for (at = 0; at < c->size; at++) {
			for (from = at; at < c->size && map[at] == 0;)
				at++;
			if (at == from)
				continue;
			if (at - from >= 8 || (at - from >= 4 && at % 8 != 0) ||
			    (at - from >= 2 && at % 4 != 0) || at % 2 != 0)
				fail_msg("%s: bytes %zu to %zu are in no table",
				    c->name, from, at);
		}
		free(map);
	}
}

static void
on_line(void *arg, unsigned gsi, bool level)
{
}

static void
on_reset(void *arg)
{
}

/* A guest may choose the set of codes that the keyboard has none of. */
static void
test_scan_code_set(void **state)
{
	struct line line = { on_line, NULL, 1 };
	struct i8042 k, again;
	struct state s;
	char name[STATE_NAME_MAX + 1];
	int fd = file();

	i8042_init(&k, line, line, on_reset, NULL);
	i8042_write(&k, 0x60, 0xf0);
	i8042_write(&k, 0x60, 3);
	assert_int_equal(k.kbd.set, 3);
	assert_int_equal(state_write_head(&s, fd, "web"), 0);
	state_chip(&s, STATE_I8042, &k);
	assert_int_equal(s.error, 0);
	state_free(&s);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	i8042_init(&again, line, line, on_reset, NULL);
	assert_int_equal(state_read_head(&s, fd, name), 0);
	state_chip(&s, STATE_I8042, &again);
	assert_int_equal(s.error, 0);
	assert_int_equal(again.kbd.set, 3);
	state_free(&s);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_other_sections),
		cmocka_unit_test(test_into),
		cmocka_unit_test(test_chips_are_whole),
		cmocka_unit_test(test_scan_code_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
