/* SPDX-License-Identifier: ISC */
/*
 * The CD-ROM drive's commands, and those that are none.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cdrom.h"

#define BLOCKS 1000 /* of the medium */
#define LEN(a) (sizeof(a) / sizeof((a)[0]))

static struct cdrom drive;
static struct cdrom_reply reply;

static void
run(const uint8_t *cdb, size_t len)
{
	uint8_t full[CDROM_CDB_MAX] = { 0 };

	memcpy(full, cdb, len);
	cdrom_command(&drive, CDROM_LUN_DRIVE, full, &reply);
}

#define RUN(...)                              \
	run((const uint8_t[]){ __VA_ARGS__ }, \
	    sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void
checked(uint8_t key, uint16_t code)
{
	uint8_t sense[CDROM_SENSE];

	assert_int_equal(reply.status, CDROM_CHECK);
	assert_int_equal(reply.len + reply.count, 0);
	cdrom_sense(&reply, sense);
	assert_int_equal(sense[0], 0x70);
	assert_int_equal(sense[2], key);
	assert_int_equal(sense[7], 10);
	assert_int_equal(sense[12] << 8 | sense[13], code);
}

static void
good(size_t len)
{
	assert_int_equal(reply.status, CDROM_GOOD);
	assert_int_equal(reply.len, len);
	assert_int_equal(reply.count, 0);
}

static int
fresh(void **state)
{
	cdrom_init(&drive, BLOCKS);
	RUN(0x00);
	checked(6, 0x2900);
	RUN(0x00);
	good(0);
	return 0;
}

/* Commands with their data; "Data-In" as the standards draw it. */
static const struct row {
	const char *name;
	uint8_t cdb[16];
	size_t len;
	uint8_t data[64];
} rows[] = {
	{ "INQUIRY", { 0x12, 0, 0, 0, 36 }, 36,
	    "\x05\x80\x05\x12\x1f\0\0\x02"
	    "VMM     CD-ROM          1   " },
	{ "INQUIRY, cut", { 0x12, 0, 0, 0, 5 }, 5, "\x05\x80\x05\x12\x1f" },
	{ "INQUIRY, supported pages", { 0x12, 1, 0, 0, 255 }, 7,
	    "\x05\0\0\x03\0\x80\x83" },
	{ "INQUIRY, serial number", { 0x12, 1, 0x80, 0, 255 }, 12,
	    "\x05\x80\0\x08vioscsi0" },
	{ "INQUIRY, identification", { 0x12, 1, 0x83, 1, 0 }, 40,
	    "\x05\x83\0\x24\x02\x01\0\x20"
	    "VMM     CD-ROM          vioscsi0" },
	{ "READ CAPACITY(10)", { 0x25 }, 8, "\0\0\x03\xe7\0\0\x08\0" },
	{ "READ CAPACITY(16)", { 0x9e, 0x10, [13] = 32 }, 32,
	    "\0\0\0\0\0\0\x03\xe7\0\0\x08\0" },
	{ "REPORT LUNS", { 0xa0, [9] = 16 }, 16, "\0\0\0\x08" },
	{ "REPORT LUNS, well-known", { 0xa0, 0, 1, [9] = 255 }, 8, "" },
	{ "REQUEST SENSE", { 0x03, 0, 0, 0, 18 }, 18, "\x70\0\0\0\0\0\0\x0a" },
	{ "READ TOC", { 0x43, [8] = 255 }, 20,
	    "\0\x12\x01\x01\0\x14\x01\0\0\0\0\0\0\x14\xaa\0\0\0\x03\xe8" },
	{ "READ TOC, MSF", { 0x43, 2, [8] = 255 }, 20,
	    "\0\x12\x01\x01\0\x14\x01\0\0\0\x02\0\0\x14\xaa\0\0\0\x0f\x19" },
	{ "READ TOC, lead-out", { 0x43, [6] = 0xaa, [8] = 255 }, 12,
	    "\0\x0a\x01\x01\0\x14\xaa\0\0\0\x03\xe8" },
	{ "READ TOC, sessions", { 0x43, 0, 1, [8] = 255 }, 12,
	    "\0\x0a\x01\x01\0\x14\x01\0" },
	{ "READ TOC, sessions as of old", { 0x43, [8] = 255, [9] = 0x40 }, 12,
	    "\0\x0a\x01\x01\0\x14\x01\0" },
	{ "MODE SENSE(6), recovery", { 0x1a, 0, 1, 0, 255 }, 16,
	    "\x0f\0\0\0\x01\x0a" },
	{ "MODE SENSE(10), recovery", { 0x5a, 0, 1, [8] = 255 }, 20,
	    "\0\x12\0\0\0\0\0\0\x01\x0a" },
	{ "MODE SENSE(10), capabilities", { 0x5a, 0, 0x2a, [8] = 255 }, 28,
	    "\0\x1a\0\0\0\0\0\0\x2a\x12\x03\0\x70\0\x29\0\x0b\x08\0\0\x02\0"
	    "\x0b\x08" },
	{ "MODE SENSE(10), changeable", { 0x5a, 0, 0x6a, [8] = 255 }, 28,
	    "\0\x1a\0\0\0\0\0\0\x2a\x12" },
	{ "GET EVENT STATUS", { 0x4a, 1, 0, 0, 0x10, [8] = 8 }, 8,
	    "\0\x06\x04\x10\0\x02" },
	{ "GET EVENT STATUS, other class", { 0x4a, 1, 0, 0, 2, [8] = 8 }, 4,
	    "\0\x02\x80\x10" },
	{ "GET CONFIGURATION, one", { 0x46, 2, 0, 3, [8] = 255 }, 16,
	    "\0\0\0\x0c\0\0\0\x08\0\x03\x03\x04\x29" },
	{ "GET CONFIGURATION, header", { 0x46, 0, 0, 0, [8] = 8 }, 8,
	    "\0\0\0\x30\0\0\0\x08" },
	{ "MECHANISM STATUS", { 0xbd, [9] = 8 }, 8, "" },
	{ "START STOP UNIT", { 0x1b, 0, 0, 0, 1 }, 0, "" },
	{ "SEEK(10)", { 0x2b, 0, 0, 0, 3, 0xe7 }, 0, "" },
};

static void
test_replies(void **state)
{
	size_t i;

	for (i = 0; i < LEN(rows); i++) {
		print_message("%s\n", rows[i].name);
		run(rows[i].cdb, sizeof(rows[i].cdb));
		good(rows[i].len);
		assert_memory_equal(reply.data, rows[i].data, rows[i].len);
	}
}

/* Reads, and where they end: CHV #8388's sums that wrap, among them. */
static const struct {
	const char *name;
	uint8_t cdb[16];
	uint64_t block;
	uint32_t count; /* 0: out of range */
} reads[] = {
	{ "READ(6)", { 0x08, 0, 0, 5, 2 }, 5, 2 },
	{ "READ(6), 256", { 0x08, 0, 0, 5, 0 }, 5, 256 },
	{ "READ(6), address", { 0x08, 0xff, 0xff, 0xff, 1 }, 0, 0 },
	{ "READ(10)", { 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 1 }, 999, 1 },
	{ "READ(10), all", { 0x28, 0, 0, 0, 0, 0, 0, 3, 0xe8 }, 0, 1000 },
	{ "READ(10), too many", { 0x28, 0, 0, 0, 0, 0, 0, 3, 0xe9 }, 0, 0 },
	{ "READ(10), end", { 0x28, 0, 0, 0, 3, 0xe8, 0, 0, 1 }, 0, 0 },
	{ "READ(10), last", { 0x28, 0, 255, 255, 255, 255, 0, 0, 1 }, 0, 0 },
	{ "READ(12)", { 0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 2 }, 1, 2 },
	{ "READ(12), wraps", { 0xa8, 0, 0, 0, 0, 1, 255, 255, 255, 255 }, 0,
	    0 },
	{ "READ(16)", { 0x88, [9] = 7, [13] = 3 }, 7, 3 },
	{ "READ(16), wraps",
	    { 0x88, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 2 }, 0,
	    0 },
};

static void
test_reads(void **state)
{
	size_t i;

	for (i = 0; i < LEN(reads); i++) {
		print_message("%s\n", reads[i].name);
		run(reads[i].cdb, sizeof(reads[i].cdb));
		if (reads[i].count == 0) {
			checked(5, 0x2100);
			continue;
		}
		assert_int_equal(reply.status, CDROM_GOOD);
		assert_int_equal(reply.block, reads[i].block);
		assert_int_equal(reply.count, reads[i].count);
	}
	RUN(0x28, 0, 0, 0, 3, 0xe8, 0, 0, 0); /* nothing, at the end */
	good(0);
	cdrom_failed(&reply);
	checked(3, 0x1100);
}

static const struct {
	const char *name;
	uint8_t cdb[16];
	uint16_t code;
} illegal[] = {
	{ "INQUIRY, page without VPD", { 0x12, 0, 0x80, 0, 36 }, 0x2400 },
	{ "INQUIRY, unknown page", { 0x12, 1, 0xb0, 0, 36 }, 0x2400 },
	{ "REQUEST SENSE, descriptors", { 0x03, 1, 0, 0, 18 }, 0x2400 },
	{ "REPORT LUNS, short", { 0xa0, [9] = 15 }, 0x2400 },
	{ "REPORT LUNS, selection", { 0xa0, 0, 3, [9] = 16 }, 0x2400 },
	{ "MODE SENSE, unknown page", { 0x1a, 0, 0x08, 0, 255 }, 0x2400 },
	{ "MODE SENSE, subpage", { 0x1a, 0, 0x01, 1, 255 }, 0x2400 },
	{ "MODE SENSE, saved", { 0x1a, 0, 0xc1, 0, 255 }, 0x3900 },
	{ "READ TOC, track", { 0x43, [6] = 2, [8] = 255 }, 0x2400 },
	{ "READ TOC, raw", { 0x43, 0, 2, [8] = 255 }, 0x2400 },
	{ "GET EVENT STATUS, waiting", { 0x4a, 0, 0, 0, 16, [8] = 8 }, 0x2400 },
	{ "GET CONFIGURATION, type", { 0x46, 3, [8] = 8 }, 0x2400 },
	{ "SERVICE ACTION IN", { 0x9e, 0x11, [13] = 32 }, 0x2400 },
	{ "SEEK(10), end", { 0x2b, 0, 0, 0, 3, 0xe8 }, 0x2100 },
	{ "WRITE(10)", { 0x2a }, 0x2000 },
	{ "READ DISC INFORMATION", { 0x51 }, 0x2000 },
	{ "ATA PASS-THROUGH(16)", { 0x85 }, 0x2000 },
	{ "PERSISTENT RESERVE OUT", { 0x5f }, 0x2000 },
};

static void
test_illegal(void **state)
{
	size_t i;

	for (i = 0; i < LEN(illegal); i++) {
		print_message("%s\n", illegal[i].name);
		run(illegal[i].cdb, sizeof(illegal[i].cdb));
		checked(5, illegal[i].code);
	}
}

/* Any bytes: GOOD with less than fits, or CHECK CONDITION. */
static void
test_any_bytes(void **state)
{
	uint8_t cdb[CDROM_CDB_MAX];
	unsigned i, k;

	srandom(1);
	for (i = 0; i < 2000000; i++) {
		for (k = 0; k < sizeof(cdb); k++)
			cdb[k] = (uint8_t)random();
		if ((i & 3) != 0)
			cdb[0] = rows[i % LEN(rows)].cdb[0];
		cdrom_command(&drive, (enum cdrom_lun)(i % 3), cdb, &reply);
		assert_true(reply.len <= CDROM_DATA_MAX);
		assert_true(reply.block <= drive.blocks &&
		    reply.count <= drive.blocks - reply.block);
		if (reply.status == CDROM_GOOD)
			continue;
		assert_int_equal(reply.status, CDROM_CHECK);
		assert_int_not_equal(reply.key, 0);
		assert_int_equal(reply.len + reply.count, 0);
	}
}

static void
test_other_units(void **state)
{
	uint8_t cdb[CDROM_CDB_MAX] = { 0x12, [4] = 36 };

	/* No device, and none can be: "Peripheral qualifier". */
	cdrom_command(&drive, CDROM_LUN_NONE, cdb, &reply);
	good(36);
	assert_int_equal(reply.data[0], 0x7f);
	cdrom_command(&drive, CDROM_LUN_REPORT, cdb, &reply);
	good(36);
	assert_int_equal(reply.data[0], 0x1e);
	cdb[0] = 0x00;
	cdrom_command(&drive, CDROM_LUN_REPORT, cdb, &reply);
	good(0);
	cdrom_command(&drive, CDROM_LUN_NONE, cdb, &reply);
	checked(5, 0x2500);
	cdb[0] = 0x28;
	cdrom_command(&drive, CDROM_LUN_NONE, cdb, &reply);
	checked(5, 0x2500);
	cdrom_command(&drive, CDROM_LUN_REPORT, cdb, &reply);
	checked(5, 0x2000);
	cdb[0] = 0x03;
	cdrom_command(&drive, CDROM_LUN_NONE, cdb, &reply);
	good(18);
	assert_int_equal(reply.data[12], 0x25);
	cdb[0] = 0xa0;
	cdb[9] = 16;
	cdrom_command(&drive, CDROM_LUN_REPORT, cdb, &reply);
	good(16);
}

static void
event(enum cdrom_event want, uint8_t status)
{
	RUN(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8);
	good(8);
	assert_int_equal(reply.data[4], want);
	assert_int_equal(reply.data[5], status);
}

static void
test_medium_change(void **state)
{
	assert_int_equal(cdrom_change(&drive, 0, false), 0);
	event(CDROM_EV_REMOVAL, 0);
	event(CDROM_EV_NONE, 0); /* told once */
	RUN(0x00);
	checked(2, 0x3a01);
	RUN(0x28, 0, 0, 0, 0, 0, 0, 0, 1);
	checked(2, 0x3a01);
	RUN(0x03, 0, 0, 0, 18);
	good(18);
	assert_int_equal(reply.data[2], 2);
	assert_int_equal(cdrom_change(&drive, 5, false), 0);
	/* Neither of these takes the attention away. */
	RUN(0x12, 0, 0, 0, 36);
	good(36);
	event(CDROM_EV_NEW_MEDIA, 2);
	RUN(0x00);
	checked(6, 0x2800);
	RUN(0x25);
	good(8);
	assert_int_equal(reply.data[3], 4);
	/* Asked for the sense data first: told as well, and once. */
	assert_int_equal(cdrom_change(&drive, 6, false), 0);
	RUN(0x03, 0, 0, 0, 18);
	assert_int_equal(reply.data[2] << 8 | reply.data[12], 0x628);
	RUN(0x00);
	good(0);
	/* A reply that is cut before the event does not tell it. */
	RUN(0x4a, 1, 0, 0, 0x10, 0, 0, 0, 4);
	good(4);
	event(CDROM_EV_NEW_MEDIA, 2);
}

static void
test_prevented_removal(void **state)
{
	RUN(0x1e, 0, 0, 0, 1);
	good(0);
	RUN(0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255);
	assert_int_equal(reply.data[8 + 6], 0x2b);
	RUN(0x1b, 0, 0, 0, 2); /* eject */
	checked(5, 0x5302);
	assert_int_equal(cdrom_change(&drive, 7, false), -EBUSY);
	event(CDROM_EV_EJECT_REQUEST, 2);
	RUN(0x00); /* it is the old one still */
	good(0);
	assert_int_equal(drive.blocks, BLOCKS);
	assert_int_equal(cdrom_change(&drive, 7, true), 0);
	assert_false(drive.locked);
	event(CDROM_EV_NEW_MEDIA, 2);
	RUN(0x1e, 0, 0, 0, 1);
	checked(6, 0x2800);
	RUN(0x1e, 0, 0, 0, 1);
	good(0);
	cdrom_reset(&drive);
	assert_false(drive.locked);
	RUN(0x00);
	checked(6, 0x2900);
	assert_int_equal(cdrom_change(&drive, 0, false), 0);
}

static void
test_tray(void **state)
{
	RUN(0x1b, 0, 0, 0, 2);
	good(0);
	event(CDROM_EV_REMOVAL, 1);
	RUN(0x00);
	checked(2, 0x3a02);
	RUN(0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8);
	assert_int_equal(reply.data[1], 0x10);
	RUN(0x46, 0, 0, 0, 0, 0, 0, 0, 8);
	assert_int_equal(reply.data[7], 0); /* no profile */
	RUN(0x1b, 0, 0, 0, 3); /* load */
	good(0);
	event(CDROM_EV_NEW_MEDIA, 2);
	RUN(0x00);
	checked(6, 0x2800);
	/* A new one from outside closes it. */
	RUN(0x1b, 0, 0, 0, 2);
	assert_int_equal(cdrom_change(&drive, 9, false), 0);
	assert_false(drive.open);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_replies, fresh),
		cmocka_unit_test_setup(test_reads, fresh),
		cmocka_unit_test_setup(test_illegal, fresh),
		cmocka_unit_test_setup(test_any_bytes, fresh),
		cmocka_unit_test_setup(test_other_units, fresh),
		cmocka_unit_test_setup(test_medium_change, fresh),
		cmocka_unit_test_setup(test_prevented_removal, fresh),
		cmocka_unit_test_setup(test_tray, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
