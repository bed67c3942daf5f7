/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: a guest that is sent.  Input that begins with an even byte is what the
 * receiver says: taken in pieces it means the same as at once, and a text has
 * its end.  Otherwise it is sections, each two bytes that say its length and its
 * kind, and its payload, with checksums that are right: of memory an address and
 * what is there, of disks which there are, and pieces of them.  What is outside
 * of memory or of a disk is refused with a line, and nothing else is written to.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "mirror.h"
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
frame(uint8_t *to, unsigned kind, const uint8_t *data, size_t len)
{
	static const char *const names[] = { "memory", "disk", "disks" };
	const uint32_t one = htole32(1), n = htole32((uint32_t)len);
	uint32_t crc = htole32((uint32_t)crc32(0, data, (uInt)len));

	memset(to, 0, 32);
	memcpy(to, names[kind % 3], strlen(names[kind % 3]));
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
	const uint32_t version = htole32(STATE_VERSION);

	memset(to, 0, STATE_HEAD);
	memcpy(to, STATE_MAGIC, sizeof(STATE_MAGIC));
	memcpy(to + 8, &version, 4);
	to[16] = 'x';
	while (len > 1) {
		part = 1 + data[0] % 64U;
		/* Some are as long as a piece of a disk has to be. */
		if (data[1] >= 192)
			part = 24 + part % 3 * 512;
		if (part > len - 2)
			part = len - 2;
		n += frame(to + n, data[1], data + 2, part);
		data += 2 + part;
		len -= 2 + part;
	}
	return n;
}

/* Two disks that can be copied to, one that cannot. */
static const uint64_t sizes[3] = { 65536, 4096, 1024 * 1024 + 512 };
static struct vmconf conf;
static bool begun;

static int
begin(void *arg, char why[MIRROR_WHY_MAX])
{
	if (begun)
		abort();
	begun = true;
	return 0;
}

static int
put(void *arg, unsigned disk, const struct mirror_msg *m,
    char why[MIRROR_WHY_MAX])
{
	static uint8_t to[1024 * 1024 + 512];

	if (!begun || disk > 2 || conf.disk[disk].readonly ||
	    m->off > sizes[disk] || m->len > sizes[disk] - m->off ||
	    m->len == 0 || m->len % 512 != 0 || m->off % 512 != 0)
		abort();
	if (m->bytes != NULL)
		memcpy(to + m->off, m->bytes, (size_t)m->len);
	if (m->off == 0) {
		snprintf(why, MIRROR_WHY_MAX, "disk %u: full", disk);
		return -ENOSPC;
	}
	return 0;
}

static void
disks_init(struct mirror_to *d)
{
	unsigned i;

	*d = (struct mirror_to){ .conf = &conf, .begin = begin, .put = put };
	conf.ndisks = 3;
	conf.disk[1].readonly = true;
	for (i = 0; i < 3; i++)
		d->disk[i].size = sizes[i];
	begun = false;
}

static void
receive(const uint8_t *data, size_t len)
{
	static struct gmem mem = { .fd = -1 };
	static int fd = -1;
	char name[STATE_NAME_MAX + 1];
	uint8_t *p = malloc(STATE_HEAD + 40 * (len + 1));
	struct mirror_to disks;
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
	disks_init(&disks);
	if (state_read_head(&s, fd, name) == 0) {
		if (state_next(&s, "disks"))
			mirror_read_disks(&s, &disks);
		send_read(&s, &mem, len % 8 == 7 ? NULL : &disks);
	}
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
