/* SPDX-License-Identifier: ISC */
/*
 * The order of the sections: what the VM is, its memory, its vCPUs, its chips,
 * its devices.  Devices go on from rings that are in memory, and raise
 * interrupts that local APICs have to take.
 *
 * Memory that is zero is left out.  The rest is written into the memory that the
 * device processes share, so it cannot be the file itself: a private mapping of
 * the file would be this process's alone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "mirror.h"
#include "pager.h"
#include "pages.h"
#include "save.h"
#include "send.h"
#include "state.h"
#include "viobal.h"
#include "viocon.h"
#include "viornd.h"
#include "virtio_chan.h"
#include "vmm.h"
#include "vmmci.h"

#define MIB (1ULL << 20)

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

/* What the machine's maker put there, ACPI's tables, has to be as it was. */
static void
clear(struct state *s, const struct gmem *mem)
{
	int e = gmem_discard(mem, mem->region[0].host, mem->size);

	if (e != 0)
		state_fail(s, e, "memory: %s", strerrordesc_np(-e));
}

/* A file has it as pages, what was sent as pieces in the order of the rounds. */
static void
read_memory(const struct save *v, struct state *s)
{
	struct pages p = { 0 };
	int e;

	clear(s, v->mem);
	if (s->file && state_next(s, PAGES_NAME)) {
		pages_read(s, &p, v->mem);
	} else {
		if (v->disks != NULL && state_next(s, "disks"))
			mirror_read_disks(s, v->disks);
		send_read(s, v->mem, v->disks);
	}
	if (v->pager == NULL)
		pages_all(s, &p, v->mem);
	else if (s->error == 0 &&
	    (e = pager_go(v->pager, &p, p.n > 0 ? s->fd : -1)) != 0)
		state_fail(s, e, "memory: %s", strerrordesc_np(-e));
	pages_free(&p);
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
	if (s->writing)
		pages_write(s, v->mem, v->zstd);
	else
		read_memory(v, s);
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

	/* Some of it may be in the file still that it was restored from. */
	if (v->pager != NULL && (e = pager_wait(v->pager)) != 0) {
		snprintf(why, SAVE_WHY_MAX,
		    "the state that it goes on from cannot be read");
		return e;
	}
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
	if (s.error == 0 && !stream &&
	    (!s.file || pread(fd, &more, 1, (off_t)s.at) != 0))
		state_fail(&s, -EINVAL, "something follows");
	e = s.error;
	snprintf(why, SAVE_WHY_MAX, "%s", s.why);
	state_free(&s);
	return e;
}
