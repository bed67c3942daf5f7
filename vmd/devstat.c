/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "devstat.h"

#define STORE(field) __atomic_store_n(&to->n.field, n->field, __ATOMIC_RELAXED)
#define ADD(field) \
	(sum->field += __atomic_load_n(&from->n.field, __ATOMIC_RELAXED))

void
devstat_put(struct devstat *to, const struct ctl_counters *n)
{
#define X(field, name) STORE(field);
	CTL_COUNTERS(X)
#undef X
}

void
devstat_sum(const struct devstat_page *page, struct ctl_counters *sum)
{
	const struct devstat *from;
	unsigned i;

	memset(sum, 0, sizeof(*sum));
	if (page == NULL)
		return;
	for (i = 0; i < VIRTIO_QUEUES_MAX; i++) {
		from = &page->queue[i];
#define X(field, name) ADD(field);
		CTL_COUNTERS(X)
#undef X
	}
}
