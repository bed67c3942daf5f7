/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: the kernel loaders.  The first byte says how much memory there is,
 * and whether there is an initrd and a command line; the rest is the image.
 * Its magic chooses the loader.
 */
#include <sys/mman.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "load.h"

#define MIB   (1ULL << 20)
#define SIZES 3

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static int
file(const uint8_t *data, size_t len)
{
	int fd;

	check((fd = memfd_create("image", MFD_CLOEXEC)) != -1);
	check(write(fd, data, len) == (ssize_t)len);
	return fd;
}

/* One line when it is refused; when it is not, code to run. */
static void
judge(const struct gmem *mem, int r, const struct load_out *o, const char *why)
{
	if (r < 0) {
		check(why[0] != '\0' && strchr(why, '\n') == NULL);
		return;
	}
	check((unsigned)o->mode < LOAD_MODES);
	check(o->rip >= LOAD_HIGH_BASE);
	check(gmem_run(mem, (struct gpa){ o->rip }, 1) == 1);
}

/* Memory is zero again: it is what it costs to make. */
static void
clear(const struct gmem *mem)
{
	unsigned i;

	for (i = 0; i < mem->nregions; i++)
		check(madvise(mem->region[i].host, mem->region[i].len,
			  MADV_REMOVE) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint64_t sizes[SIZES] = { 4 * MIB, 64 * MIB, 3104 * MIB };
	static struct gmem mems[SIZES];
	struct load_out out = { .mode = LOAD_MODES };
	char why[LOAD_WHY_MAX];
	unsigned n;
	int r;

	if (len < 1)
		return 0;
	n = data[0] % SIZES;
	if (mems[n].nregions == 0)
		check(gmem_create(&mems[n], sizes[n]) == 0);
	struct load_in in = {
		.mem = &mems[n],
		.kernel = file(data + 1, len - 1),
		.initrd = (data[0] & 0x40) != 0 ? file(data, len) : -1,
		.cmdline = (data[0] & 0x80) != 0 ? "console=ttyS0" : "",
		.rsdp = { 0xe0000 },
	};

	r = load_kernel(&in, &out, why);
	judge(&mems[n], r, &out, why);
	(void)load_is_firmware(in.kernel);
	close(in.kernel);
	if (in.initrd != -1)
		close(in.initrd);
	clear(&mems[n]);
	return 0;
}
