/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: what a guest sends to the servers of a local interface (local.h).
 * An answer has to fit, to be addressed to the guest, and to have checksums
 * that add up.
 */
#include <stdlib.h>
#include <string.h>

#include "local.h"

static unsigned
sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (; n > 1; p += 2, n -= 2)
		s += (uint32_t)p[0] << 8 | p[1];
	if (n == 1)
		s += (uint32_t)p[0] << 8;
	while (s >> 16 != 0)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void
check(const struct local_conf *c, const uint8_t *f, size_t n)
{
	if (n < 14 + 40 || n > LOCAL_FRAME_MAX ||
	    memcmp(f + 6, c->host_mac, 6) != 0)
		abort();
	if (f[12] == 0x08 && sum(f + 14, 20, 0) != 0xffff)
		abort();
	if (f[12] == 0x86 &&
	    sum(f + 54, n - 54,
		f[20] + (uint32_t)(n - 54) + sum(f + 22, 32, 0)) != 0xffff)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct local_conf c = {
		.host_mac = { 2, 1, 2, 3, 4, 5 },
		.host = 0x64400102,
		.guest = 0x64400103,
		.mtu = 1500,
		.inet6 = true,
		.host6 = { 0xfd, [15] = 1 },
		.guest6 = { 0xfd, [15] = 2 },
	};
	/* Memory that ends where the frame does. */
	uint8_t *frame = malloc(len != 0 ? len : 1);
	uint8_t *out = malloc(LOCAL_FRAME_MAX);
	size_t n;

	if (frame == NULL || out == NULL)
		abort();
	memcpy(frame, data, len);
	n = local_answer(&c, frame, len, out, LOCAL_FRAME_MAX);
	if (n != 0)
		check(&c, out, n);
	free(frame);
	free(out);
	return 0;
}
