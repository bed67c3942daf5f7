/* SPDX-License-Identifier: ISC */
/*
 * The vm process: programs of cards that firmware runs.  They are files of the
 * host's, opened by the parent; the guest gets copies.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "machine.h"
#include "pci.h"
#include "vga.h"
#include "vm_impl.h"

#define VGABIOS_MAX 0x10000 /* what follows is not its own */
#define NET_ROM_MAX (1 << 20)

/* How much there is of it, at most max; or -errno. */
static int
read_rom(int fd, size_t max, uint8_t **rom)
{
	ssize_t n;
	int e;

	if ((*rom = malloc(max)) == NULL)
		return -ENOMEM;
	if ((n = pread(fd, *rom, max, 0)) > 0)
		return (int)n;
	e = n == 0 ? -ENODATA : -errno;
	free(*rom);
	*rom = NULL;
	return e;
}

int
vm_video_bios(struct vm *vm)
{
	uint8_t *rom;
	int n;

	if (vm->vgabios == -1)
		return vm_fail(vm, -ENOENT, "screen: no %s", VGA_BIOS);
	n = read_rom(vm->vgabios, VGABIOS_MAX, &rom);
	if (n > 0) {
		n = machine_video_bios(vm->machine, rom, (uint32_t)n);
		free(rom);
	}
	fd_close(&vm->vgabios);
	return n < 0
	    ? vm_fail(vm, n, "screen: %s: %s", VGA_BIOS, strerrordesc_np(-n))
	    : 0;
}

/* Without a file, firmware that needs none boots all the same. */
int
vm_net_rom(struct vm *vm)
{
	int n;

	if (vm->netrom == -1)
		return 0;
	n = read_rom(vm->netrom, NET_ROM_MAX + 1, &vm->net_rom);
	if (n > NET_ROM_MAX)
		n = -EFBIG;
	if (n > 0)
		n = machine_net_rom(vm->machine, vm->net_rom, (uint32_t)n);
	fd_close(&vm->netrom);
	return n < 0 ? vm_fail(vm, n, "boot device net: %s: %s", NET_ROM,
			   strerrordesc_np(-n))
		     : 0;
}
