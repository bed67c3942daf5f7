/* SPDX-License-Identifier: ISC */
/*
 * The order of the sections: what the VM is, its memory, its vCPUs, its chips,
 * its devices.  Devices go on from rings that are in memory, and raise
 * interrupts that local APICs have to take.
 *
 * Memory that is zero is left out.  It is read by the descriptor, not by the
 * mapping: a hole stays one.  It is written into the memory that the device
 * processes share, so it cannot be the file itself: a private mapping of the
 * file would be this process's alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "mirror.h"
#include "save.h"
#include "send.h"
#include "state.h"
#include "viobal.h"
#include "viocon.h"
#include "viornd.h"
#include "virtio_chan.h"
#include "vmm.h"
#include "vmmci.h"

#define PAGE  4096U
#define PIECE (128 * PAGE) /* of memory, in one section */
#define MIB   (1ULL << 20)

const char *
save_cannot(const struct vmconf *c)
{
	return (c->flags & VM_F_ADHOC) != 0 ? "a vm that is not in vm.conf"
					    : NULL;
}

static void
same(struct state *s, const char *what, uint64_t is)
{
	uint64_t was = is;

	state_number(s, &was, UINT64_MAX);
	if (s->error == 0 && was != is)
		state_fail(s, -EINVAL, "%s: the vm has %llu, and had %llu",
		    what, (unsigned long long)is, (unsigned long long)was);
}

static void
state_conf(struct state *s, const struct save *v)
{
	const struct vmconf *c = v->conf;

	if (state_begin(s, "conf", 2) != 0)
		return;
	same(s, "memory in MiB", c->memory / MIB);
	same(s, "vCPUs", c->cpus);
	same(s, "block devices", vmconf_nblks(c));
	same(s, "interfaces", c->nnics);
	same(s, "drives", c->cdrom[0] != '\0');
	same(s, "screens", (c->flags & VM_F_SCREEN) != 0);
	same(s, "virtio consoles", (c->flags & VM_F_VIOCON) != 0);
	same(s, "bytes of firmware", v->rom_len);
	same(s, "bytes of UEFI variables", v->flash_len);
	(void)state_end(s);
}

static bool
is_zero(const uint8_t *p)
{
	return p[0] == 0 && memcmp(p, p + 1, PAGE - 1) == 0;
}

/* The pages of [p, p + len) that are not zero, run by run. */
static void
write_piece(struct state *s, uint64_t gpa, uint8_t *p, size_t len)
{
	size_t from, to;

	for (from = 0; from < len && s->error == 0; from = to) {
		to = from + PAGE;
		if (is_zero(p + from))
			continue;
		while (to < len && !is_zero(p + to))
			to += PAGE;
		if (state_begin(s, "memory", 1) != 0)
			return;
		gpa += from;
		state_number(s, &gpa, UINT64_MAX);
		gpa -= from;
		state_bytes(s, p + from, to - from);
		(void)state_end(s);
	}
}

static int
read_file(int fd, uint8_t *p, size_t len, uint64_t off)
{
	ssize_t n;

	while (len > 0) {
		n = pread(fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EIO : -errno;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static void
write_memory(struct state *s, const struct gmem *mem)
{
	const struct gmem_region *r;
	uint64_t off;
	uint8_t *piece;
	unsigned i;
	size_t n;
	int e;

	if ((piece = malloc(PIECE)) == NULL) {
		state_fail(s, -ENOMEM, "out of memory");
		return;
	}
	for (i = 0; i < mem->nregions; i++) {
		r = &mem->region[i];
		for (off = 0; off < r->len && s->error == 0; off += n) {
			n = r->len - off < PIECE ? (size_t)(r->len - off)
						 : PIECE;
			if ((e = read_file(mem->fd, piece, n, r->off + off)) !=
			    0)
				state_fail(
				    s, e, "memory: %s", strerrordesc_np(-e));
			write_piece(s, r->gpa + off, piece, n);
		}
	}
	free(piece);
}

/* What the machine's maker put there, ACPI's tables, has to be as it was. */
static void
clear_low(const struct gmem *mem)
{
	void *p = gmem_range(mem, (struct gpa){ 0 }, MIB);

	if (p != NULL)
		memset(p, 0, MIB);
}

static void
end_memory(struct state *s)
{
	uint64_t last = UINT64_MAX;

	if (state_begin(s, "memory", 1) != 0)
		return;
	state_number(s, &last, UINT64_MAX);
	(void)state_end(s);
}

/* All but what it is and its memory. */
static void
state_rest(const struct save *v, struct state *s)
{
	unsigned i;

	vmm_state(v->vmm, s);
	machine_state(v->machine, s);
	if (state_begin(s, "viornd", 1) == 0) {
		viornd_state(v->rnd, s);
		(void)state_end(s);
	}
	for (i = 0; i < v->ndevs; i++) {
		if (state_begin(s, v->dev[i].name, 1) != 0)
			return;
		virtio_chan_state(v->dev[i].front, s);
		(void)state_end(s);
	}
	if (state_begin(s, "viobal", 1) == 0) {
		viobal_state(v->bal, s);
		(void)state_end(s);
	}
	if (state_begin(s, "vmmci", 1) == 0) {
		vmmci_state(v->ci, s);
		(void)state_end(s);
	}
	if (v->con != NULL && state_begin(s, "viocon", 1) == 0) {
		viocon_state(v->con, s);
		(void)state_end(s);
	}
	if (state_begin(s, "end", 1) == 0)
		(void)state_end(s);
}

static void
state_all(const struct save *v, struct state *s)
{
	state_conf(s, v);
	if (s->writing) {
		write_memory(s, v->mem);
		end_memory(s);
	} else {
		clear_low(v->mem);
		if (v->disks != NULL && state_is_next(s, "disks"))
			mirror_read_disks(s, v->disks);
		send_read(s, v->mem, v->disks);
	}
	state_rest(v, s);
}

void
save_begin(const struct save *v, struct state *s)
{
	state_conf(s, v);
}

void
save_end(const struct save *v, struct state *s)
{
	end_memory(s);
	state_rest(v, s);
}

int
save_write(const struct save *v, int fd, char why[SAVE_WHY_MAX])
{
	struct state s;
	int e;

	if (state_write_head(&s, fd, v->conf->name) == 0)
		state_all(v, &s);
	if (s.error == 0 && fsync(fd) == -1)
		state_fail(&s, -errno, "%s", strerrordesc_np(errno));
	e = s.error;
	snprintf(why, SAVE_WHY_MAX, "%s", s.why);
	state_free(&s);
	return e;
}

int
save_read(const struct save *v, int fd, bool stream, char why[SAVE_WHY_MAX])
{
	char name[STATE_NAME_MAX + 1], more;
	struct state s;
	int e;

	if (state_read_head(&s, fd, name) == 0)
		state_all(v, &s);
	if (s.error == 0 && !stream && read(fd, &more, 1) != 0)
		state_fail(&s, -EINVAL, "something follows");
	e = s.error;
	snprintf(why, SAVE_WHY_MAX, "%s", s.why);
	state_free(&s);
	return e;
}
