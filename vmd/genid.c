/* SPDX-License-Identifier: ISC */
/*
 * See genid.h.
 */
#include <sys/mman.h>
#include <sys/random.h>
#include <errno.h>
#include <sha2.h>
#include <string.h>

#include "genid.h"
#include "log.h"
#include "state.h"

#define PAGE 4096

int
genid_new(uint8_t **out, struct vmm *vmm, const char *name)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;
	uint8_t *page;
	int e;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return -errno;
	e = vmm_set_slot(
	    vmm, VMM_SLOT_GENID, (struct gpa){ GENID_GPA }, PAGE, page, true);
	if (e < 0) {
		munmap(page, PAGE);
		return e;
	}
	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)"generation", 11);
	SHA256Update(&ctx, (const uint8_t *)name, strlen(name));
	SHA256Final(sum, &ctx);
	memcpy(page, sum, GENID_LEN);
	*out = page;
	return 0;
}

void
genid_renew(uint8_t *page)
{
	if (getrandom(page, GENID_LEN, 0) != GENID_LEN)
		fatal("random bytes");
}

void
genid_state(uint8_t *page, struct state *s)
{
	if (state_begin(s, "genid", 1) != 0)
		return;
	state_bytes(s, page, GENID_LEN);
	(void)state_end(s);
}
