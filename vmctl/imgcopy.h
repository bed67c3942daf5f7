/* SPDX-License-Identifier: ISC */
#ifndef VMCTL_IMGCOPY_H
#define VMCTL_IMGCOPY_H

/* Copying what one disk holds to another, which is empty. */
#include <stdbool.h>

#include "disk.h"

struct imgcopy {
	struct disk_layer in[DISK_LAYERS_MAX], out;
	unsigned n;
	struct aio *rd, *wr; /* engines: made before the images are read */
};

/* Everything that needs more than the sealed process may do.  Says why it
 * is false. */
bool imgcopy_prepare(struct imgcopy *, const struct disk_layer *in, unsigned n,
    struct disk_layer out);
/* The exit status: 0, or 1 after saying why. */
int imgcopy_run(struct imgcopy *, bool progress);

#endif
