/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>

#include "imsg.h"
#include "screen.h"

int
screen_ok(const struct screen *s)
{
	uint32_t cells;

	if (s->mode > SCREEN_GRAPHICS || s->cols > SCREEN_CELLS ||
	    s->rows > SCREEN_CELLS)
		return 0;
	cells = s->cols * s->rows;
	if (s->mode != SCREEN_TEXT)
		return cells == 0 && s->cursor == SCREEN_NOCURSOR;
	return cells > 0 && cells <= SCREEN_CELLS &&
	    (s->cursor < cells || s->cursor == SCREEN_NOCURSOR);
}

int
screen_put(struct ibuf *b, const struct screen *s)
{
	uint32_t i;

	if (!screen_ok(s))
		return -EINVAL;
	if (ibuf_add_n32(b, s->mode) == -1 || ibuf_add_n32(b, s->cols) == -1 ||
	    ibuf_add_n32(b, s->rows) == -1 || ibuf_add_n32(b, s->cursor) == -1)
		return -ENOMEM;
	for (i = 0; i < s->cols * s->rows; i++) {
		if (ibuf_add_n16(b, s->cell[i]) == -1)
			return -ENOMEM;
	}
	return 0;
}

int
screen_get(struct ibuf *b, struct screen *out)
{
	struct screen s;
	uint32_t i;

	memset(&s, 0, sizeof(s));
	if (ibuf_get_n32(b, &s.mode) == -1 || ibuf_get_n32(b, &s.cols) == -1 ||
	    ibuf_get_n32(b, &s.rows) == -1 ||
	    ibuf_get_n32(b, &s.cursor) == -1 || !screen_ok(&s))
		return -EBADMSG;
	for (i = 0; i < s.cols * s.rows; i++) {
		if (ibuf_get_n16(b, &s.cell[i]) == -1)
			return -EBADMSG;
	}
	*out = s;
	return 0;
}

static int
key_ok(uint32_t key)
{
	return (key & ~(SCREEN_KEY_UP | SCREEN_KEY_EXT | SCREEN_KEY_CODE)) ==
	    0 &&
	    (key & SCREEN_KEY_CODE) != 0;
}

int
screen_put_keys(struct ibuf *b, const uint32_t *key, uint32_t n)
{
	uint32_t i;

	if (n > SCREEN_KEYS_MAX)
		return -EINVAL;
	if (ibuf_add_n32(b, n) == -1)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		if (ibuf_add_n32(b, key[i]) == -1)
			return -ENOMEM;
	}
	return 0;
}

int
screen_get_keys(struct ibuf *b, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n)
{
	uint32_t i;

	if (ibuf_get_n32(b, n) == -1 || *n > SCREEN_KEYS_MAX)
		return -EBADMSG;
	for (i = 0; i < *n; i++) {
		if (ibuf_get_n32(b, &key[i]) == -1 || !key_ok(key[i]))
			return -EBADMSG;
	}
	return 0;
}
