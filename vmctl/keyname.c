/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "keyname.h"

#define EXT	 SCREEN_KEY_EXT
#define SHIFT	 0x2a
#define HELD_MAX (SCREEN_KEYS_MAX / 2 - 1)

struct name {
	const char *name;
	uint32_t code; /* of set 1 */
};

static const struct name held[] = {
	{ "alt", 0x38 },
	{ "altgr", EXT | 0x38 },
	{ "ctrl", 0x1d },
	{ "shift", SHIFT },
};

static const struct name keys[] = {
	{ "backspace", 0x0e },
	{ "delete", EXT | 0x53 },
	{ "down", EXT | 0x50 },
	{ "end", EXT | 0x4f },
	{ "esc", 0x01 },
	{ "f1", 0x3b },
	{ "f2", 0x3c },
	{ "f3", 0x3d },
	{ "f4", 0x3e },
	{ "f5", 0x3f },
	{ "f6", 0x40 },
	{ "f7", 0x41 },
	{ "f8", 0x42 },
	{ "f9", 0x43 },
	{ "f10", 0x44 },
	{ "f11", 0x57 },
	{ "f12", 0x58 },
	{ "home", EXT | 0x47 },
	{ "insert", EXT | 0x52 },
	{ "left", EXT | 0x4b },
	{ "minus", 0x0c },
	{ "pagedown", EXT | 0x51 },
	{ "pageup", EXT | 0x49 },
	{ "ret", 0x1c },
	{ "right", EXT | 0x4d },
	{ "space", 0x39 },
	{ "tab", 0x0f },
	{ "up", EXT | 0x48 },
};

/* The keys of each row, from this code on, and with shift. */
static const struct {
	uint32_t code;
	const char *plain, *shifted;
} rows[] = {
	{ 0x02, "1234567890-=", "!@#$%^&*()_+" },
	{ 0x10, "qwertyuiop[]", "QWERTYUIOP{}" },
	{ 0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~" },
	{ 0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?" },
	{ 0x39, " ", " " },
	{ 0x0f, "\t", "\t" },
	{ 0x1c, "\n", "\n" },
};

static const struct name *
find(const struct name *list, size_t n, const char *s, size_t len)
{
	for (; n > 0; n--, list++) {
		if (strlen(list->name) == len &&
		    strncmp(list->name, s, len) == 0)
			return list;
	}
	return NULL;
}

static bool
find_char(char c, uint32_t *code, bool *shift)
{
	const char *at;
	size_t i;

	for (i = 0; c != '\0' && i < sizeof(rows) / sizeof(rows[0]); i++) {
		*shift = (at = strchr(rows[i].plain, c)) == NULL;
		if (*shift && (at = strchr(rows[i].shifted, c)) == NULL)
			continue;
		*code = rows[i].code +
		    (uint32_t)(at - (*shift ? rows[i].shifted : rows[i].plain));
		return true;
	}
	return false;
}

/* down: n codes, held keys first. */
static void
press(const uint32_t *down, uint32_t n, uint32_t *key, uint32_t *nkeys)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		key[i] = down[i];
		key[n + i] = down[n - 1 - i] | SCREEN_KEY_UP;
	}
	*nkeys = 2 * n;
}

int
keyname_parse(const char *s, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n)
{
	uint32_t down[HELD_MAX + 1], k = 0;
	const struct name *m;
	const char *dash;
	bool shift = false;

	while ((dash = strchr(s, '-')) != NULL && dash != s) {
		m = find(held, sizeof(held) / sizeof(held[0]), s,
		    (size_t)(dash - s));
		if (m == NULL || k == HELD_MAX)
			return -EINVAL;
		down[k++] = m->code;
		s = dash + 1;
	}
	if ((m = find(keys, sizeof(keys) / sizeof(keys[0]), s, strlen(s))) !=
		NULL ||
	    (m = find(held, sizeof(held) / sizeof(held[0]), s, strlen(s))) !=
		NULL)
		down[k++] = m->code;
	/* A capital letter is not a key: "shift-a". */
	else if (strlen(s) == 1 && find_char(*s, &down[k], &shift) && !shift)
		k++;
	else
		return -EINVAL;
	press(down, k, key, n);
	return 0;
}

int
keyname_char(char c, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n)
{
	uint32_t down[2] = { SHIFT, 0 };
	bool shift;

	if (!find_char(c, &down[1], &shift))
		return -EINVAL;
	press(shift ? down : down + 1, shift ? 2 : 1, key, n);
	return 0;
}
