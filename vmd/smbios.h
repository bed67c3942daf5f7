/* SPDX-License-Identifier: ISC */
#ifndef VMD_SMBIOS_H
#define VMD_SMBIOS_H

/*
 * SMBIOS: what the machine says of itself to those who ask its firmware
 * (dmidecode(8), cloud-init, installers).  The serial number is the VM's name,
 * and the UUID is made from it: both are the same at each start.
 */
#include <stdint.h>
#include "gmem.h"

#define SMBIOS_GPA 0xf0000 /* the entry point's, without firmware ... */
#define SMBIOS_LEN 0x1000 /* ... and of all of it */

struct fwcfg;

/* As firmware would have left it.  0, -EFAULT or -ENOSPC. */
int smbios_memory(const struct gmem *, const char *name, unsigned cpus);
/* The same as files of fw_cfg, for firmware that finds a place for them and
 * says itself which BIOS it is.  0 or -errno. */
int smbios_fwcfg(
    struct fwcfg *, const struct gmem *, const char *name, unsigned cpus);

#endif
