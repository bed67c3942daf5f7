/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: saved states.  A stream is refused with a line or its chips are
 * within their limits.
 *
 * The input is a byte that says which chip, one that says how, and the rest: the
 * chip's section, with a checksum that is right, or nothing would be found behind
 * it; the same with zeros up to the length that it has to have, which no input
 * would come to for the larger ones; or all of a stream.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "state.h"
#include "state_chips.h"

enum how { SECTION, FILLED, STREAM, HOWS };

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t
section_len(const struct state_chip *c)
{
	size_t i, n = 0;

	for (i = 0; i < c->nsaved; i++)
		n += (size_t)c->saved[i].size * c->saved[i].count;
	return n;
}

/* One section of that chip, of payload bytes, whose checksum is right. */
static size_t
frame(uint8_t *to, const struct state_chip *c, const uint8_t *data, size_t len,
    size_t payload)
{
	const uint32_t version = htole32(STATE_VERSION), one = htole32(1),
		       n = htole32((uint32_t)payload);
	uint32_t crc;

	memset(to, 0, STATE_HEAD + 32);
	memcpy(to, STATE_MAGIC, sizeof(STATE_MAGIC));
	memcpy(to + 8, &version, 4);
	to[16] = 'x';
	to += STATE_HEAD;
	memcpy(to, c->name, strlen(c->name));
	memcpy(to + 16, &one, 4);
	memcpy(to + 24, &n, 4);
	memcpy(to + 32, data, len);
	memset(to + 32 + len, 0, payload - len);
	crc = htole32((uint32_t)crc32(0, to + 32, (uInt)payload));
	memcpy(to + 20, &crc, 4);
	return STATE_HEAD + 32 + payload;
}

static void
check(const struct state_chip *c, const uint8_t *chip)
{
	uint64_t v;
	size_t i, k;

	for (i = 0; i < c->nsaved; i++)
		for (k = 0; k < c->saved[i].count; k++) {
			v = 0;
			memcpy(&v,
			    chip + c->saved[i].off + k * c->saved[i].stride,
			    c->saved[i].size);
			if (v > c->saved[i].max)
				abort();
		}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char name[STATE_NAME_MAX + 1];
	static int fd = -1;
	enum state_chip_kind kind;
	uint8_t *p, *chip;
	struct state s;
	enum how how;
	size_t n;

	if (len < 2 || len > 65536)
		return 0;
	if (fd == -1)
		fd = memfd_create("fuzz", 0);
	kind = (enum state_chip_kind)(data[0] % STATE_CHIPS);
	how = (enum how)(data[1] % HOWS);
	data += 2;
	len -= 2;
	n = section_len(&state_chips[kind]);
	if (how != FILLED || n < len)
		n = len;
	chip = calloc(1, state_chips[kind].size);
	p = malloc(n + STATE_HEAD + 32);
	if (fd == -1 || p == NULL || chip == NULL)
		abort();
	if (how == STREAM)
		memcpy(p, data, len);
	else
		n = frame(p, &state_chips[kind], data, len, n);
	if (ftruncate(fd, 0) == -1 || pwrite(fd, p, n, 0) != (ssize_t)n ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	if (state_read_head(&s, fd, name) == 0)
		state_chip(&s, kind, chip);
	check(&state_chips[kind], chip);
	if ((s.error != 0) != (s.why[0] != '\0'))
		abort();
	/* Zeros are in every range. */
	if (how == FILLED && len == 0 && s.error != 0)
		abort();
	state_free(&s);
	free(chip);
	free(p);
	return 0;
}
