/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: saved states.  A stream is refused with a line or its chips are
 * within their limits, and its memory is what its table says.
 *
 * The input is a byte that says which chip, one that says how, and the rest: the
 * chip's section, with a checksum that is right, or nothing would be found behind
 * it; the same with zeros up to the length that it has to have, which no input
 * would come to for the larger ones; or all of a stream.
 *
 * Behind the chips comes the memory: a table with the right checksum; the same
 * with lengths and checksums of its groups that are right, in front of data that
 * is there; PAGES bits for pages that are not zero, of which a file is made,
 * compressed or not, and three bytes each, where that is changed and to what; or
 * the masks of a table, and what are the compressed pages of its groups.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "gmem.h"
#include "pages.h"
#include "state.h"
#include "state_chips.h"

#define PAGES	(PAGES_EACH + 6) /* the second group is a short one */
#define GROUPS	2
#define ENTRY	16
#define DATA_AT 4096 /* behind head and table */

enum how { SECTION, FILLED, STREAM, PACKED, FRAMES, HOWS };

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t
section_len(const struct state_chip *c)
{
	size_t i, n = 0;

	for (i = 0; i < c->nsaved; i++)
		n += (size_t)c->saved[i].size * c->saved[i].count;
	return n;
}

/* One section of that name, of payload bytes, whose checksum is right. */
static size_t
frame(uint8_t *to, const char *name, uint32_t of, const uint8_t *data,
    size_t len, size_t payload)
{
	const uint32_t version = htole32(STATE_VERSION), section = htole32(of),
		       n = htole32((uint32_t)payload);
	uint32_t crc;

	memset(to, 0, STATE_HEAD + 32);
	memcpy(to, STATE_MAGIC, sizeof(STATE_MAGIC));
	memcpy(to + 8, &version, 4);
	to[16] = 'x';
	to += STATE_HEAD;
	memcpy(to, name, strlen(name));
	memcpy(to + 16, &section, 4);
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

static void
must(bool ok)
{
	if (!ok)
		abort();
}

static bool
has_bit(const uint8_t *bits, size_t len, unsigned i)
{
	return i / 8 < len && (bits[i / 8] >> i % 8 & 1) != 0;
}

/* What is in page i, nowhere zero. */
static void
fill(uint8_t *page, unsigned i)
{
	memset(page, (int)(i + 1), PAGES_PAGE);
}

/* A table of what data says; FILLED: that is right in all but the masks. */
static void
write_table(int fd, enum how how, const uint8_t *data, size_t len)
{
	uint8_t file[DATA_AT] = { 0 }, entries[GROUPS * ENTRY] = { 0 };
	static uint8_t pages[PAGES_GROUP];
	uint32_t n, sum;
	uint64_t mask;
	unsigned i, k, at = DATA_AT;

	memcpy(entries, data, len < sizeof(entries) ? len : sizeof(entries));
	for (i = 0; i < GROUPS; i++) {
		memcpy(&mask, entries + i * ENTRY, 8);
		/* What is too much for a group is refused by its mask. */
		mask = le64toh(mask) & ((1ULL << PAGES_EACH) - 1);
		n = (uint32_t)__builtin_popcountll(mask) * PAGES_PAGE;
		for (k = 0; k < n / PAGES_PAGE; k++)
			fill(pages + k * PAGES_PAGE, i * PAGES_EACH + k);
		must(pwrite(fd, pages, n, at) == (ssize_t)n);
		at += n;
		sum = htole32(n == 0 ? 0 : (uint32_t)crc32(0, pages, n));
		n = htole32(n);
		if (how == FILLED) {
			memcpy(entries + i * ENTRY + 8, &sum, 4);
			memcpy(entries + i * ENTRY + 12, &n, 4);
		}
	}
	frame(file, PAGES_NAME, 3, entries, sizeof(entries), sizeof(entries));
	must(pwrite(fd, file, sizeof(file), 0) == sizeof(file));
}

/* Masks, 16 bits each, and half of the rest each for what is to be unpacked. */
static void
write_frames(int fd, const uint8_t *data, size_t len)
{
	uint8_t file[DATA_AT] = { 0 }, entries[GROUPS * ENTRY] = { 0 };
	uint32_t n, sum;
	unsigned i, at = DATA_AT;
	uint16_t mask;
	size_t each;

	if (len < 2 * GROUPS)
		return;
	each = (len - 2 * GROUPS) / GROUPS;
	for (i = 0; i < GROUPS; i++) {
		memcpy(&mask, data + 2 * i, 2);
		memcpy(entries + i * ENTRY, &mask, 2);
		n = (uint32_t)__builtin_popcount(mask) * PAGES_PAGE;
		n = n < each ? n : (uint32_t)each;
		must(pwrite(fd, data + 2 * GROUPS + i * each, n, at) ==
		    (ssize_t)n);
		at += n;
		sum = htole32(n == 0
			? 0
			: (uint32_t)crc32(0, data + 2 * GROUPS + i * each, n));
		n = htole32(n);
		memcpy(entries + i * ENTRY + 8, &sum, 4);
		memcpy(entries + i * ENTRY + 12, &n, 4);
	}
	frame(file, PAGES_NAME, 3, entries, sizeof(entries), sizeof(entries));
	must(pwrite(fd, file, sizeof(file), 0) == sizeof(file));
}

enum done { NOTHING, ANYTHING, ONE_PAGE };

/* A file of that memory, and then what is done to it. */
static enum done
write_file(
    int fd, const struct gmem *mem, bool zstd, const uint8_t *data, size_t len)
{
	size_t bits = len < (PAGES + 7) / 8 ? len : (PAGES + 7) / 8;
	enum done done = NOTHING;
	struct state s;
	struct stat st;
	unsigned i, at;
	uint8_t old;

	for (i = 0; i < PAGES; i++)
		if (has_bit(data, bits, i))
			fill(mem->region[0].host + i * PAGES_PAGE, i);
	must(state_write_head(&s, fd, "x") == 0);
	pages_write(&s, mem, zstd);
	must(s.error == 0);
	state_free(&s);
	memset(mem->region[0].host, 0, mem->size);
	must(fstat(fd, &st) == 0);
	for (data += bits, len -= bits; len >= 3; data += 3, len -= 3) {
		/* More of the table than of the data. */
		at = (unsigned)(data[0] | data[1] << 8) % (2 * DATA_AT);
		if (at >= DATA_AT)
			at = DATA_AT + (at - DATA_AT) * 77;
		if (at >= st.st_size)
			continue;
		must(pread(fd, &old, 1, at) == 1);
		must(pwrite(fd, data + 2, 1, at) == 1);
		if (old != data[2])
			done = done == NOTHING && at >= DATA_AT ? ONE_PAGE
								: ANYTHING;
	}
	return done;
}

/* Of the tables that can be read: memory is what they say, in order. */
static void
check_pages(struct state *s, const struct pages *p, const struct gmem *mem)
{
	static uint8_t piece[PAGES_GROUP];
	char why[STATE_WHY_MAX];
	const uint8_t *from, *page;
	unsigned i;
	int e;

	for (i = 0; i < PAGES; i++) {
		must(p->group[i / PAGES_EACH].len <= PAGES_GROUP);
		must(i / PAGES_EACH == 0 ||
		    p->group[1].mask >> (PAGES - PAGES_EACH) == 0);
	}
	pages_all(s, p, mem);
	for (i = 0, from = piece; i < PAGES && s->error == 0; i++) {
		if (i % PAGES_EACH == 0) {
			e = pages_get(p, s->fd, i / PAGES_EACH, piece, why);
			must(e == 0);
			from = piece;
		}
		page = mem->region[0].host + i * PAGES_PAGE;
		if ((p->group[i / PAGES_EACH].mask >> i % PAGES_EACH & 1) !=
		    0) {
			must(memcmp(page, from, PAGES_PAGE) == 0);
			from += PAGES_PAGE;
		} else
			must(page[0] == 0 &&
			    memcmp(page, page + 1, PAGES_PAGE - 1) == 0);
	}
}

/* As far as the table goes, that is one of a guest of such a memory. */
static bool
fits(const uint8_t *data, size_t len)
{
	uint8_t entries[GROUPS * ENTRY] = { 0 };
	uint64_t mask[GROUPS];
	unsigned i;

	memcpy(entries, data, len < sizeof(entries) ? len : sizeof(entries));
	for (i = 0; i < GROUPS; i++)
		memcpy(&mask[i], entries + i * ENTRY, 8);
	return le64toh(mask[0]) >> PAGES_EACH == 0 &&
	    le64toh(mask[1]) >> (PAGES - PAGES_EACH) == 0;
}

static void
memory(int fd, enum how how, const uint8_t *data, size_t len)
{
	char name[STATE_NAME_MAX + 1];
	static struct gmem mem = { .fd = -1 };
	enum done done = ANYTHING;
	struct pages p;
	struct state s;

	if (mem.fd == -1)
		must(gmem_create(&mem, PAGES * PAGES_PAGE) == 0);
	memset(mem.region[0].host, 0, mem.size);
	must(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	if (how == STREAM || how == PACKED)
		done = write_file(fd, &mem, how == PACKED, data, len);
	else if (how == FRAMES)
		write_frames(fd, data, len);
	else
		write_table(fd, how, data, len);
	if (how == FILLED && fits(data, len))
		done = NOTHING;
	must(lseek(fd, 0, SEEK_SET) == 0);
	if (state_read_head(&s, fd, name) == 0) {
		pages_read(&s, &p, &mem);
		if (s.error == 0)
			check_pages(&s, &p, &mem);
		pages_free(&p);
	}
	must((s.error != 0) == (s.why[0] != '\0'));
	must(done != NOTHING || s.error == 0);
	must(done != ONE_PAGE || s.error == -EINVAL); /* its checksum */
	state_free(&s);
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
	kind = (enum state_chip_kind)(data[0] % (STATE_CHIPS + 1));
	how = (enum how)(data[1] % HOWS);
	data += 2;
	len -= 2;
	if (kind == STATE_CHIPS) {
		memory(fd, how, data, len);
		return 0;
	}
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
		n = frame(p, state_chips[kind].name, 1, data, len, n);
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
