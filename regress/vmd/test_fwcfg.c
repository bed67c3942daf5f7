/* SPDX-License-Identifier: ISC */

/*
 * fw_cfg by its ports, against "QEMU Firmware Configuration (fw_cfg) Device",
 * with descriptors and selectors as a hostile guest writes them; the ACPI
 * tables put together by a loader that does what etc/table-loader says.
 */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "acpi.h"
#include "fwcfg.h"

#define LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MEM	(64ULL << 20)
#define ABSENT	0x7777
#define TEXT	"0123456789"
#define TEXTKEY 0x20

struct bed {
	struct gmem mem;
	struct bus pio;
	struct fwcfg f;
};

static void
bed_init(struct bed *b)
{
	uint16_t cpus = htole16(3);

	assert_int_equal(gmem_create(&b->mem, MEM), 0);
	bus_init(&b->pio, 0x10000);
	assert_int_equal(fwcfg_init(&b->f, &b->mem), 0);
	assert_int_equal(fwcfg_attach(&b->f, &b->pio), 0);
	assert_int_equal(
	    fwcfg_add(&b->f, FWCFG_NB_CPUS, &cpus, sizeof(cpus)), 0);
	assert_int_equal(
	    fwcfg_add_file(&b->f, "opt/text", TEXT, sizeof(TEXT) - 1), 0);
}

static void
bed_free(struct bed *b)
{
	fwcfg_free(&b->f);
	gmem_destroy(&b->mem);
}

static void
pick(struct bed *b, uint16_t key)
{
	bus_write(&b->pio, 0x510, 2, key);
}

static void
take(struct bed *b, void *buf, size_t n)
{
	uint8_t *p = buf;

	while (n-- > 0)
		*p++ = (uint8_t)bus_read(&b->pio, 0x511, 1);
}

/* "Data Register": what is read after a selection. */
static const struct {
	const char *name;
	uint16_t key;
	unsigned n;
	uint8_t want[14];
} reads[] = {
	{ "signature", 0x0000, 6, "QEMU\0\0" },
	{ "revision: ports and DMA, little-endian", 0x0001, 5, { 3 } },
	{ "CPUs", 0x0005, 3, { 3 } },
	{ "file", TEXTKEY, 12, "0123456789\0\0" },
	{ "bit 14 selects the same", TEXTKEY | 0x4000, 4, "0123" },
	{ "bit 15 is another space", 0x8000, 4, { 0 } },
	{ "no such item", ABSENT, 4, { 0 } },
	{ "directory: one file", 0x0019, 14,
	    { 0, 0, 0, 1, 0, 0, 0, 10, 0, 0x20, 0, 0, 'o', 'p' } },
};

static void
test_reads(void **state)
{
	struct bed b;
	uint8_t got[14];

	bed_init(&b);
	for (unsigned i = 0; i < LEN(reads); i++) {
		pick(&b, reads[i].key);
		take(&b, got, reads[i].n);
		if (memcmp(got, reads[i].want, reads[i].n) != 0)
			print_message("%s\n", reads[i].name);
		assert_memory_equal(got, reads[i].want, reads[i].n);
	}
	bed_free(&b);
}

static void
test_ports(void **state)
{
	struct bed b;
	char got[4];

	bed_init(&b);
	/* "Register Locations", "Guest-side DMA Interface". */
	assert_int_equal(bus_read(&b.pio, 0x510, 2), 0xffff);
	assert_int_equal(bus_read(&b.pio, 0x510, 1), 0xff);
	assert_int_equal(bus_read(&b.pio, 0x514, 4), 0x554d4551);
	assert_int_equal(bus_read(&b.pio, 0x518, 4), 0x47464320);
	assert_int_equal(bus_read(&b.pio, 0x514, 1), 0xff);
	/* The data register is read on, whatever is written to it. */
	pick(&b, TEXTKEY | 0x4000);
	bus_write(&b.pio, 0x511, 1, 'x');
	take(&b, got, 4);
	assert_memory_equal(got, "0123", 4);
	/* A byte to the selector's port is no selection. */
	bus_write(&b.pio, 0x510, 1, 0);
	take(&b, got, 4);
	assert_memory_equal(got, "4567", 4);
	bed_free(&b);
}

static void
descriptor(struct bed *b, uint64_t at, uint32_t control, uint32_t length,
    uint64_t address)
{
	struct {
		uint32_t control, length;
		uint64_t address;
	} d = { htobe32(control), htobe32(length), htobe64(address) };

	assert_int_equal(
	    gmem_write(&b->mem, (struct gpa){ at }, &d, sizeof(d)), 0);
}

static void
start(struct bed *b, uint64_t at)
{
	bus_write(&b->pio, 0x514, 4, htobe32((uint32_t)(at >> 32)));
	bus_write(&b->pio, 0x518, 4, htobe32((uint32_t)at));
}

static uint32_t
result(struct bed *b, uint64_t at)
{
	uint32_t v;

	assert_int_equal(
	    gmem_read(&b->mem, (struct gpa){ at }, &v, sizeof(v)), 0);
	return be32toh(v);
}

#define SEL   (TEXTKEY << 16 | 8)
#define TO    0x2000
#define BEGIN 0x1000

/* One transfer after "2" of the text is next; 10 is how long it is. */
static const struct {
	const char *name;
	uint32_t control, length;
	uint64_t address;
	uint32_t result;
	const char *want; /* at TO, 12 bytes; '.' is untouched */
	const char *next; /* by the data register */
} transfers[] = {
	{ "read", 0x02, 3, TO, 0, "234.........", "5" },
	{ "select and read", SEL | 2, 3, TO, 0, "012.........", "3" },
	{ "select alone", SEL, 3, TO, 0, "............", "0" },
	{ "skip", 0x04, 3, TO, 0, "............", "5" },
	{ "skip past the end", 0x04, 0xffffffff, TO, 0, "............", "" },
	{ "read past the end: zeros", 0x02, 10, TO, 0, "2345678900..", "" },
	{ "nothing", 0x02, 0, TO, 0, "............", "2" },
	{ "nothing, nowhere", 0x02, 0, ~0ULL, 0, "............", "2" },
	{ "read before skip", 0x06, 1, TO, 0, "2...........", "3" },
	{ "read before write", 0x12, 1, TO, 0, "2...........", "3" },
	{ "write", 0x10, 3, TO, 1, "............", "2" },
	{ "write before skip", 0x14, 3, TO, 1, "............", "2" },
	{ "select, then write", SEL | 0x10, 3, TO, 1, "............", "0" },
	{ "no operation", 0x00, 3, TO, 0, "............", "2" },
	{ "its own error bit", 0x01, 3, TO, 0, "............", "2" },
	{ "absent item: zeros", ABSENT << 16 | 0xa, 4, TO, 0, "0000........",
	    "" },
	{ "to no RAM", 0x02, 3, MEM, 1, "............", "2" },
	{ "across the end of RAM", 0x02, 3, MEM - 2, 1, "............", "2" },
	{ "address wraps", 0x02, 3, ~0ULL - 1, 1, "............", "2" },
	{ "to the ROM's place", 0x02, 3, 0xfffffff0, 1, "............", "2" },
	{ "too long", 0x02, (16 << 20) + 1, TO, 1, "............", "2" },
	{ "4 GiB - 1", 0x02, 0xffffffff, 0, 1, "............", "2" },
};

static void
test_transfers(void **state)
{
	struct bed b;
	uint8_t *to;
	bool marked;
	char got;

	bed_init(&b);
	to = gmem_range(&b.mem, (struct gpa){ TO }, 12);
	for (unsigned i = 0; i < LEN(transfers); i++) {
		print_message("%s\n", transfers[i].name);
		pick(&b, TEXTKEY);
		take(&b, to, 2);
		memset(to, '.', 12);
		descriptor(&b, BEGIN, transfers[i].control, transfers[i].length,
		    transfers[i].address);
		(void)gmem_take(&b.mem, TO / 4096 / 64);
		start(&b, BEGIN);
		assert_int_equal(result(&b, BEGIN), transfers[i].result);
		marked =
		    (gmem_take(&b.mem, TO / 4096 / 64) >> (TO / 4096 % 64) &
			1) != 0;
		assert_true(marked || memcmp(to, "............", 12) == 0);
		for (unsigned k = 0; k < 12; k++)
			if (to[k] == 0)
				to[k] = '0';
		assert_memory_equal(to, transfers[i].want, 12);
		take(&b, &got, 1);
		assert_int_equal(got, transfers[i].next[0]);
	}
	bed_free(&b);
}

/* The descriptor itself: where it is, and what is written over it. */
static void
test_descriptors(void **state)
{
	static const uint64_t nowhere[] = { MEM, MEM - 15, MEM - 1, ~0ULL,
		~0ULL - 15, 0xfffffff0, 1ULL << 63 };
	struct bed b;
	char got[16];

	bed_init(&b);
	pick(&b, TEXTKEY);
	for (unsigned i = 0; i < LEN(nowhere); i++)
		start(&b, nowhere[i]);
	take(&b, got, 2);
	assert_memory_equal(got, "01", 2);

	/* At the last place where it fits, not aligned at another. */
	descriptor(&b, MEM - 16, SEL | 2, 4, TO);
	start(&b, MEM - 16);
	assert_int_equal(result(&b, MEM - 16), 0);
	descriptor(&b, BEGIN + 3, SEL | 2, 4, TO);
	start(&b, BEGIN + 3);
	assert_int_equal(result(&b, BEGIN + 3), 0);

	/* The data is the descriptor: the result is written last. */
	descriptor(&b, BEGIN, SEL | 2, 10, BEGIN);
	start(&b, BEGIN);
	gmem_read(&b.mem, (struct gpa){ BEGIN }, got, 16);
	assert_memory_equal(got,
	    "\0\0\0\0"
	    "456789",
	    10);

	/* The upper half counts for one transfer only. */
	bus_write(&b.pio, 0x514, 4, htobe32(1));
	bus_write(&b.pio, 0x518, 4, htobe32(BEGIN));
	descriptor(&b, BEGIN, SEL | 2, 1, TO);
	bus_write(&b.pio, 0x518, 4, htobe32(BEGIN));
	assert_int_equal(result(&b, BEGIN), 0);
	bed_free(&b);
}

static void
test_adding(void **state)
{
	struct bed b;
	char name[FWCFG_NAME + 1], got[10];
	unsigned n = 0;

	bed_init(&b);
	assert_int_equal(fwcfg_add(&b.f, FWCFG_FILE_DIR, "x", 1), -EINVAL);
	assert_int_equal(fwcfg_add(&b.f, 0x20, "x", 1), -EINVAL);
	assert_int_equal(fwcfg_add_file(&b.f, "", "x", 1), -EINVAL);
	memset(name, 'n', sizeof(name));
	name[FWCFG_NAME] = '\0';
	assert_int_equal(fwcfg_add_file(&b.f, name, "x", 1), -EINVAL);
	name[FWCFG_NAME - 1] = '\0';
	assert_int_equal(fwcfg_add_file(&b.f, name, "x", 1), 0);
	/* Replaced while it is being read. */
	pick(&b, TEXTKEY);
	take(&b, got, 8);
	assert_int_equal(fwcfg_add_file(&b.f, "opt/text", "abc", 3), 0);
	take(&b, got, 2);
	assert_memory_equal(got, "\0\0", 2);
	assert_int_equal(b.f.nfiles, 2);
	while (n <= FWCFG_ITEMS) {
		snprintf(name, sizeof(name), "opt/%u", n++);
		if (fwcfg_add_file(&b.f, name, "x", 1) == -ENOSPC)
			break;
	}
	assert_true(n < FWCFG_ITEMS);
	bed_free(&b);
}

/* A loader after "BiosLinkerLoaderEntry", as firmware has one. */

static struct file {
	char name[FWCFG_NAME];
	uint32_t key, size, at;
	bool placed;
} files[FWCFG_ITEMS];
static unsigned nfiles;

static void
directory(struct bed *b)
{
	uint8_t e[64];

	pick(b, FWCFG_FILE_DIR);
	take(b, e, 4);
	nfiles = e[3];
	for (unsigned i = 0; i < nfiles; i++) {
		take(b, e, 64);
		files[i] = (struct file){
			.size = (uint32_t)e[2] << 8 | e[3],
			.key = (uint32_t)e[4] << 8 | e[5],
		};
		memcpy(files[i].name, e + 8, FWCFG_NAME);
	}
}

static struct file *
named(const char *name)
{
	for (unsigned i = 0; i < nfiles; i++)
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
	fail_msg("no file %s", name);
	return NULL;
}

static uint8_t *
mem_at(struct bed *b, uint64_t at, size_t len)
{
	uint8_t *p = gmem_range(&b->mem, (struct gpa){ at }, len);

	assert_non_null(p);
	return p;
}

static uint32_t
le32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static void
command_pointer(struct bed *b, const char *c)
{
	struct file *in = named(c + 4), *to = named(c + 60);
	uint32_t off = le32(c + 116);
	uint64_t v = 0;
	unsigned size = (uint8_t)c[120];
	uint8_t *p;

	assert_true(in->placed && to->placed);
	assert_true((size == 4 || size == 8) && off + size <= in->size);
	p = mem_at(b, in->at + off, size);
	memcpy(&v, p, size);
	assert_true(v < to->size);
	v += to->at;
	memcpy(p, &v, size);
}

static void
command_checksum(struct bed *b, const char *c)
{
	struct file *in = named(c + 4);
	uint32_t off = le32(c + 60), from = le32(c + 64), len = le32(c + 68);
	uint8_t sum = 0, *p;

	assert_true(in->placed && off < in->size && from + len <= in->size);
	p = mem_at(b, in->at + from, len);
	while (len-- > 0)
		sum += *p++;
	/* As OVMF; SeaBIOS takes the sum off what is there. */
	*mem_at(b, in->at + off, 1) = (uint8_t)-sum;
}

static void
command_allocate(struct bed *b, const char *c, uint32_t *high, uint32_t *fseg)
{
	struct file *in = named(c + 4);
	uint32_t align = le32(c + 60);
	uint32_t *next = c[64] == 2 ? fseg : high;

	assert_true(c[64] == 1 || c[64] == 2);
	*next = (*next + align - 1) & ~(align - 1);
	in->at = *next;
	in->placed = true;
	*next += in->size;
	pick(b, (uint16_t)in->key);
	take(b, mem_at(b, in->at, in->size), in->size);
}

static void
check_sum(struct bed *b, uint64_t at, size_t len)
{
	const uint8_t *p = mem_at(b, at, len);
	uint8_t sum = 0;

	while (len-- > 0)
		sum += *p++;
	assert_int_equal(sum, 0);
}

static void
check_table(struct bed *b, uint64_t at, const char *signature)
{
	const uint8_t *p = mem_at(b, at, 36);

	assert_memory_equal(p, signature, 4);
	check_sum(b, at, le32(p + 4));
}

static void
test_loader(void **state)
{
	static const struct acpi_conf conf = { 4, 0x600, true, 0xc0000000,
		0x3ec00000, 0xc000, 0x4000, false };
	uint32_t high = 0x123440, fseg = 0xf5a30, size;
	struct bed b;
	char c[64 * 128];
	const uint8_t *r, *x, *f;

	bed_init(&b);
	assert_int_equal(acpi_fwcfg(&b.f, &conf), 0);
	directory(&b);
	pick(&b, (uint16_t)named("etc/table-loader")->key);
	size = named("etc/table-loader")->size;
	assert_true(size % 128 == 0 && size <= sizeof(c));
	take(&b, c, size);
	for (uint32_t i = 0; i < size; i += 128) {
		switch (le32(c + i)) {
		case 1:
			command_allocate(&b, c + i, &high, &fseg);
			break;
		case 2:
			command_pointer(&b, c + i);
			break;
		case 3:
			command_checksum(&b, c + i);
			break;
		default:
			fail_msg("command %u", le32(c + i));
		}
	}
	r = mem_at(&b, named("etc/acpi/rsdp")->at, 36);
	assert_int_equal(named("etc/acpi/rsdp")->at, 0xf5a30);
	assert_memory_equal(r, "RSD PTR ", 8);
	check_sum(&b, 0xf5a30, 20);
	check_sum(&b, 0xf5a30, 36);
	check_table(&b, le32(r + 24), "XSDT");
	x = mem_at(&b, le32(r + 24), 52);
	check_table(&b, le32(x + 36), "FACP");
	check_table(&b, le32(x + 44), "APIC");
	check_table(&b, le32(r + 16), "RSDT");
	assert_int_equal(le32(mem_at(&b, le32(r + 16), 44) + 36), le32(x + 36));
	assert_int_equal(le32(mem_at(&b, le32(r + 16), 44) + 40), le32(x + 44));
	f = mem_at(&b, le32(x + 36), 244);
	check_table(&b, le32(f + 40), "DSDT");
	assert_int_equal(le32(f + 140), le32(f + 40));
	assert_int_equal(le32(f + 36) & 63, 0);
	assert_memory_equal(mem_at(&b, le32(f + 36), 64), "FACS", 4);
	assert_int_equal(le32(f + 56), 0x600); /* PM1a_EVT_BLK */
	assert_int_equal(le32(f + 76), 0x608); /* PM_TMR_BLK */
	bed_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_transfers),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_adding),
		cmocka_unit_test(test_loader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
