/* SPDX-License-Identifier: ISC */
#ifndef LIB_SCREEN_H
#define LIB_SCREEN_H

/*
 * What a VM's text screen shows: in a page (page.h) that the vm process
 * writes and the parent reads, and in the answer to a SCREEN request.
 */
#include <stdint.h>

struct ibuf;

#define SCREEN_CELLS	2000U /* 80 by 25; what is more is not shown */
#define SCREEN_NOCURSOR UINT32_MAX

enum screen_mode {
	SCREEN_OFF, /* blank */
	SCREEN_TEXT,
	SCREEN_GRAPHICS, /* not drawn */
};

struct screen {
	uint32_t mode; /* enum screen_mode */
	uint32_t cols,
	    rows; /* of text; their product is SCREEN_CELLS at most */
	uint32_t cursor; /* a cell's number, or SCREEN_NOCURSOR */
	uint16_t cell[SCREEN_CELLS]; /* attribute << 8 | character, page 437 */
};

/* A key's event: code of set 1, which the keyboard translates. */
#define SCREEN_KEY_CODE 0x7fU
#define SCREEN_KEY_EXT	0x100U /* after E0 */
#define SCREEN_KEY_UP	0x8000U
#define SCREEN_KEYS_MAX 16U /* in one request */

/* Is this what screen_put() may be given? */
int screen_ok(const struct screen *);
/* "u32 mode, u32 cols, u32 rows, u32 cursor, cols * rows x u16". */
int screen_put(struct ibuf *, const struct screen *);
int screen_get(struct ibuf *, struct screen *); /* 0 or -EBADMSG */

/* Keys: "u32 count, count x u32"; at most SCREEN_KEYS_MAX.  0 or -errno. */
int screen_put_keys(struct ibuf *, const uint32_t *, uint32_t n);
int screen_get_keys(struct ibuf *, uint32_t key[SCREEN_KEYS_MAX], uint32_t *n);

#endif
