/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: saved states.  A stream is refused with a line or its chips are
 * within their limits.  Most inputs are one chip's section, with a checksum that
 * is right, or nothing would be found behind it; the others are all of a stream.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "state.h"
#include "state_chips.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* One section of that chip, whose checksum is right. */
static size_t
frame(uint8_t *to, const struct state_chip *c, const uint8_t *data, size_t len)
{
	const uint32_t version = htole32(STATE_VERSION), one = htole32(1),
		       n = htole32((uint32_t)len);
	uint32_t crc = htole32((uint32_t)crc32(0, data, (uInt)len));

	memset(to, 0, STATE_HEAD + 32);
	memcpy(to, STATE_MAGIC, sizeof(STATE_MAGIC));
	memcpy(to + 8, &version, 4);
	to[16] = 'x';
	to += STATE_HEAD;
	memcpy(to, c->name, strlen(c->name));
	memcpy(to + 16, &one, 4);
	memcpy(to + 20, &crc, 4);
	memcpy(to + 24, &n, 4);
	memcpy(to + 32, data, len);
	return STATE_HEAD + 32 + len;
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
	size_t n;

	if (len < 1 || len > 65536)
		return 0;
	if (fd == -1)
		fd = memfd_create("fuzz", 0);
	kind = (enum state_chip_kind)(data[0] % STATE_CHIPS);
	chip = calloc(1, state_chips[kind].size);
	p = malloc(len + STATE_HEAD + 32);
	if (fd == -1 || p == NULL || chip == NULL)
		abort();
	if (data[0] < 128) {
		n = frame(p, &state_chips[kind], data + 1, len - 1);
	} else {
		n = len - 1;
		memcpy(p, data + 1, n);
	}
	if (ftruncate(fd, 0) == -1 || pwrite(fd, p, n, 0) != (ssize_t)n ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	if (state_read_head(&s, fd, name) == 0)
		state_chip(&s, kind, chip);
	check(&state_chips[kind], chip);
	if ((s.error != 0) != (s.why[0] != '\0'))
		abort();
	state_free(&s);
	free(chip);
	free(p);
	return 0;
}
