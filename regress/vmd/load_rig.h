/* SPDX-License-Identifier: ISC */
#ifndef LOAD_RIG_H
#define LOAD_RIG_H

/* An image in memory, and its way into a guest's. */
#include <sys/mman.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "acpi.h"
#include "load.h"

#define MIB (1ULL << 20)

static uint8_t image[16384];
static size_t image_len;

static int
memfile(const void *data, size_t len)
{
	int fd;

	fd = memfd_create("image", MFD_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, data, len), len);
	return fd;
}

struct run {
	struct gmem mem;
	struct load_out out;
	char why[LOAD_WHY_MAX];
};

/* Kernels are told of a screen. */
static bool load_screen __attribute__((unused));

static int
load(struct run *r, uint64_t memory, size_t initrd_len, const char *cmdline)
{
	struct load_in in = { .mem = &r->mem,
		.initrd = -1,
		.cmdline = cmdline,
		.rsdp = { ACPI_TABLES_GPA },
		.screen = load_screen };
	uint8_t *initrd;
	int e;

	assert_int_equal(gmem_create(&r->mem, memory), 0);
	in.kernel = memfile(image, image_len);
	if (initrd_len != 0) {
		initrd = malloc(initrd_len);
		memset(initrd, 0x5a, initrd_len);
		in.initrd = memfile(initrd, initrd_len);
		free(initrd);
	}
	e = load_kernel(&in, &r->out, r->why);
	close(in.kernel);
	if (in.initrd != -1)
		close(in.initrd);
	return e;
}

#endif
