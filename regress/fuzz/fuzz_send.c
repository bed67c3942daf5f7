/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: a guest that is sent.  Input that begins with an even byte is what the
 * receiver says: taken in pieces it means the same as at once, and a text has
 * its end.  Otherwise it is sections of memory, each a byte of length and its
 * payload, with checksums that are right: an address and what is there.  What is
 * outside of memory is refused with a line, and nothing else is written to.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "send.h"

#define PAGES 40

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
say(const uint8_t *data, size_t len)
{
	struct send_words a = { .n = 0 }, b = { .n = 0 };
	char ta[SEND_TEXT_MAX + 1] = "", tb[SEND_TEXT_MAX + 1] = "";
	size_t used, at = 0, i;
	int wa, wb;

	while (at < len) {
		wa = send_words(&a, data + at, len - at, &used, ta);
		if (wa == 0)
			return;
		for (i = at, wb = 0; i < len && wb == 0; i++)
			wb = send_words(&b, data + i, 1, &used, tb);
		if (wa != wb)
			abort();
		if (wa < 0)
			return;
		if (strcmp(ta, tb) != 0 || strlen(ta) > SEND_TEXT_MAX)
			abort();
		at = i;
	}
}

/* One section with that payload. */
static size_t
frame(uint8_t *to, const uint8_t *data, size_t len)
{
	const uint32_t one = htole32(1), n = htole32((uint32_t)len);
	uint32_t crc = htole32((uint32_t)crc32(0, data, (uInt)len));

	memset(to, 0, 32);
	memcpy(to, "memory", 6);
	memcpy(to + 16, &one, 4);
	memcpy(to + 20, &crc, 4);
	memcpy(to + 24, &n, 4);
	memcpy(to + 32, data, len);
	return 32 + len;
}

static size_t
stream(uint8_t *to, const uint8_t *data, size_t len)
{
	size_t n = STATE_HEAD, part;
	const uint32_t one = htole32(1);

	memset(to, 0, STATE_HEAD);
	memcpy(to, STATE_MAGIC, sizeof(STATE_MAGIC));
	memcpy(to + 8, &one, 4);
	to[16] = 'x';
	while (len > 0) {
		part = 1 + data[0] % 64U;
		if (part > len - 1)
			part = len - 1;
		n += frame(to + n, data + 1, part);
		data += 1 + part;
		len -= 1 + part;
	}
	return n;
}

static void
receive(const uint8_t *data, size_t len)
{
	static struct gmem mem = { .fd = -1 };
	static int fd = -1;
	char name[STATE_NAME_MAX + 1];
	uint8_t *p = malloc(STATE_HEAD + 40 * (len + 1));
	struct state s;
	size_t n;

	if (fd == -1 &&
	    ((fd = memfd_create("fuzz", 0)) == -1 ||
		gmem_create(&mem, PAGES * 4096) != 0))
		abort();
	if (p == NULL)
		abort();
	n = stream(p, data, len);
	if (ftruncate(fd, 0) == -1 || pwrite(fd, p, n, 0) != (ssize_t)n ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	if (state_read_head(&s, fd, name) == 0)
		send_read(&s, &mem);
	if ((s.error != 0) != (s.why[0] != '\0'))
		abort();
	state_free(&s);
	free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1 || len > 65536)
		return 0;
	if (data[0] % 2 == 0)
		say(data + 1, len - 1);
	else
		receive(data + 1, len - 1);
	return 0;
}
