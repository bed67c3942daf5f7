/* SPDX-License-Identifier: ISC */
/*
 * The pager of pager.h.
 *
 * Invariants
 *  1. A page gets into the memory by UFFDIO_COPY or UFFDIO_ZEROPAGE of this
 *     process's own mapping, whole, and only where there is none: what the guest
 *     has written is never overwritten.  All processes share the memory, so the
 *     others are only woken.
 *  2. A group's bits in due are pages that still have to come.  They are cleared
 *     under the lock, by the pager when they are there and by pager_discard()
 *     before the page is thrown away: what was thrown away does not come back.
 *  3. A page that is touched and is not due is zero, as it was when the state
 *     was saved, or thrown away since.
 *  4. Under the lock nobody touches guest memory by the mapping.
 *  5. After a failure the descriptors stay open, and each device process has its
 *     own: whoever waits there waits until it is ended.  This process gets other
 *     memory, which nobody else sees, so that it can end in order.
 *
 * A device process is not trusted: it can say where its memory is as it likes,
 * and then its own faults are not served.
 */
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "fd.h"
#include "log.h"
#include "pager.h"
#include "thread.h"
#include "uffd.h"

#define PAGE	 PAGES_PAGE
#define GROUP	 PAGES_GROUP
#define FAULTS	 16 /* read at once */
#define FIRST_MS 5 /* of a guest that runs, for its faults alone */
#define ENDS_MAX 32 /* processes; a power of two: sandbox.h */
/* The descriptors of all: a run of numbers, the last ones there are. */
#define FD_BASE (1024 - ENDS_MAX)

struct end {
	int fd;
	uint64_t at; /* where it has the memory */
};

struct pager {
	const struct gmem *mem;
	void (*failed)(void *arg, const char *why);
	void *arg;
	int dev; /* until the seal */
	int wake; /* eventfd: hurry */
	unsigned nends;
	struct end end[ENDS_MAX]; /* the first one is ours */
	pthread_t thread;
	int fd; /* the file, from pager_go() on */
	uint8_t *piece; /* a group */
	char why[STATE_WHY_MAX];

	pthread_mutex_t lock;
	pthread_cond_t cond; /* something of these changed */
	struct pages pages; /* (l) */
	uint64_t *due; /* (l) NULL: nothing is */
	bool going, hurry, done, lost; /* (l) */
};

static size_t
group_len(const struct pager *p, uint64_t group)
{
	uint64_t left = p->mem->size - group * GROUP;

	return left < GROUP ? (size_t)left : GROUP;
}

/* Pages of one run of a group, as far as they are due: invariant 2. */
static int
copy(struct pager *p, uint64_t group, unsigned first, unsigned n,
    const uint8_t *from)
{
	uint64_t to = p->end[0].at + group * GROUP, due;
	unsigned at, run;
	int e;

	for (; n > 0; first += run, n -= run, from += (size_t)run * PAGE) {
		due = p->due[group] >> first;
		run = 1;
		if ((due & 1) == 0)
			continue;
		run = pages_run(due, &at);
		run = run < n ? run : n;
		e = uffd_copy(p->end[0].fd, to + (uint64_t)first * PAGE, from,
		    (size_t)run * PAGE);
		if (e != 0) {
			snprintf(p->why, sizeof(p->why), "memory: %s",
			    strerrordesc_np(-e));
			return e;
		}
	}
	return 0;
}

/* (l) */
static int
fill(struct pager *p, uint64_t group)
{
	const uint8_t *from = p->piece;
	uint64_t mask;
	unsigned first, n;
	int e;

	if (p->due[group] == 0)
		return 0;
	if ((e = pages_get(&p->pages, p->fd, group, p->piece, p->why)) != 0)
		return e;
	for (mask = p->pages.group[group].mask;
	     (n = pages_run(mask, &first)) != 0;
	     mask = pages_without(mask, first, n)) {
		if ((e = copy(p, group, first, n, from)) != 0)
			return e;
		from += (size_t)n * PAGE;
	}
	p->due[group] = 0;
	return 0;
}

/* (l) One process waits for a page. */
static int
serve(struct pager *p, const struct end *end, uint64_t address)
{
	uint64_t off = address - end->at, group = off / GROUP;
	bool due;
	int e;

	if (address < end->at || off >= p->mem->size)
		return 0;
	due = (p->due[group] >> (off % GROUP / PAGE) & 1) != 0;
	if ((e = fill(p, group)) != 0)
		return e;
	off &= ~(uint64_t)(PAGE - 1);
	if (!due &&
	    (e = uffd_zero(p->end[0].fd, p->end[0].at + off, PAGE)) != 0) {
		snprintf(
		    p->why, sizeof(p->why), "memory: %s", strerrordesc_np(-e));
		return e;
	}
	/* A process that is gone waits for nothing. */
	(void)uffd_wake(end->fd, end->at + group * GROUP, group_len(p, group));
	return 0;
}

/* (l) */
static int
serve_all(struct pager *p, const struct end *end)
{
	struct uffd_msg m[FAULTS];
	ssize_t i, n;
	int e = 0;

	n = read(end->fd, m, sizeof(m));
	for (i = 0; i < n / (ssize_t)sizeof(m[0]) && e == 0; i++) {
		if (m[i].event == UFFD_EVENT_PAGEFAULT)
			e = serve(p, end, m[i].arg.pagefault.address);
	}
	return e;
}

/* Waits so many ms, -1 for ever, for faults or for pager_hurry(). */
static int
look(struct pager *p, int ms)
{
	struct pollfd pfd[ENDS_MAX + 1];
	uint64_t count;
	unsigned i;
	int e = 0;

	for (i = 0; i < p->nends; i++)
		pfd[i] = (struct pollfd){ p->end[i].fd, POLLIN, 0 };
	pfd[i] = (struct pollfd){ p->wake, POLLIN, 0 };
	if (poll(pfd, p->nends + 1, ms) <= 0)
		return 0;
	if (pfd[i].revents != 0)
		(void)!read(p->wake, &count, sizeof(count));
	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->nends && e == 0; i++) {
		if ((pfd[i].revents & POLLIN) != 0)
			e = serve_all(p, &p->end[i]);
	}
	pthread_mutex_unlock(&p->lock);
	return e;
}

static bool
hurried(struct pager *p)
{
	bool yes;

	pthread_mutex_lock(&p->lock);
	yes = p->hurry;
	pthread_mutex_unlock(&p->lock);
	return yes;
}

/*
 * What is wanted, until pager_hurry() and for a moment after it: a vCPU that wakes up
 * on the processor where this thread is busy would stay behind it until the
 * scheduler looks at both.
 */
static int
serve_first(struct pager *p)
{
	long long end, left;
	int e = 0;

	while (e == 0 && !hurried(p))
		e = look(p, -1);
	end = fd_now_ms() + FIRST_MS;
	while (e == 0 && (left = end - fd_now_ms()) > 0)
		e = look(p, (int)left);
	return e;
}

/* All groups, in between whatever is wanted at once. */
static int
bring(struct pager *p)
{
	uint64_t group = 0;
	int e;

	if (p->pages.n > 0 && (e = serve_first(p)) != 0)
		return e;
	while (group < p->pages.n) {
		if ((e = look(p, 0)) != 0)
			return e;
		pthread_mutex_lock(&p->lock);
		while (group < p->pages.n && p->due[group] == 0)
			group++;
		e = group < p->pages.n ? fill(p, group) : 0;
		pthread_mutex_unlock(&p->lock);
		if (e != 0)
			return e;
	}
	return 0;
}

/* Everything is there: faults are the kernel's again. */
static void
finish(struct pager *p)
{
	unsigned i;

	pthread_mutex_lock(&p->lock);
	for (i = 0; i < p->nends; i++) {
		(void)uffd_disarm(p->end[i].fd, p->end[i].at, p->mem->size);
		fd_close(&p->end[i].fd);
	}
	(void)madvise(p->mem->region[0].host, p->mem->size, MADV_HUGEPAGE);
	fd_close(&p->fd);
	pages_free(&p->pages);
	free(p->due);
	free(p->piece);
	p->due = NULL;
	p->piece = NULL;
	p->done = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	log_debug("memory: all of it was read");
}

/* Invariant 5. */
static void
give_up(struct pager *p)
{
	void *host = p->mem->region[0].host;

	pthread_mutex_lock(&p->lock);
	p->lost = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	p->failed(p->arg, p->why);
	if (mmap(host, p->mem->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		0) == MAP_FAILED)
		fatal("memory");
	(void)uffd_wake(p->end[0].fd, p->end[0].at, p->mem->size);
}

static void *
run(void *arg)
{
	struct pager *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->going)
		pthread_cond_wait(&p->cond, &p->lock);
	pthread_mutex_unlock(&p->lock);
	if (bring(p) == 0)
		finish(p);
	else
		give_up(p);
	return NULL;
}

/* To its number.  Takes fd. */
static int
add(struct pager *p, int fd, uint64_t address)
{
	int to = FD_BASE + (int)p->nends;

	if (p->nends == ENDS_MAX || fcntl(to, F_GETFD) != -1) {
		close(fd);
		return -EMFILE;
	}
	if (dup3(fd, to, O_CLOEXEC) == -1) {
		to = -errno;
		close(fd);
		return to;
	}
	close(fd);
	p->end[p->nends++] = (struct end){ to, address };
	return 0;
}

static int
set_up(struct pager *p)
{
	int fd, e;

	if ((p->piece = malloc(GROUP)) == NULL)
		return -ENOMEM;
	if ((p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) == -1)
		return -errno;
	if ((fd = uffd_new(p->dev)) < 0)
		return fd;
	if ((e = add(p, fd, (uintptr_t)p->mem->region[0].host)) != 0)
		return e;
	return thread_new(&p->thread, "pager", run, p);
}

int
pager_new(struct pager **out, int dev, const struct gmem *mem,
    void (*failed)(void *arg, const char *why), void *arg)
{
	struct pager *p = calloc(1, sizeof(*p));
	int e;

	if (p == NULL) {
		close(dev);
		return -ENOMEM;
	}
	p->mem = mem;
	p->failed = failed;
	p->arg = arg;
	p->dev = dev;
	p->fd = p->wake = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->cond, NULL);
	if ((e = set_up(p)) == 0) {
		*out = p;
		return 0;
	}
	while (p->nends > 0)
		fd_close(&p->end[--p->nends].fd);
	fd_close(&p->wake);
	fd_close(&p->dev);
	free(p->piece);
	free(p);
	return e;
}

int
pager_device(const struct pager *p)
{
	return p->dev;
}

int
pager_add(struct pager *p, int uffd, uint64_t address)
{
	if (address % PAGE != 0 || address > UINT64_MAX - p->mem->size) {
		close(uffd);
		return -EINVAL;
	}
	return add(p, uffd, address);
}

size_t
pager_seal(struct pager *p, struct sandbox_ioctl *list, size_t max)
{
	const struct sandbox_ioctl need[] = {
		/* REGISTER: in pager_go() */
		{ UFFDIO_REGISTER, FD_BASE, 1 },
		{ UFFDIO_COPY, FD_BASE, 1 },
		{ UFFDIO_ZEROPAGE, FD_BASE, 1 },
		{ UFFDIO_WAKE, FD_BASE, ENDS_MAX },
		{ UFFDIO_UNREGISTER, FD_BASE, ENDS_MAX },
	};
	size_t i;

	fd_close(&p->dev);
	for (i = 0; i < sizeof(need) / sizeof(need[0]) && i < max; i++)
		list[i] = need[i];
	return i;
}

int
pager_go(struct pager *p, struct pages *pages, int fd)
{
	uint64_t i, *due = calloc(pages->n + 1, sizeof(*due));
	int e = due == NULL ? -ENOMEM : uffd_arm(p->end[0].fd, p->mem);

	if (e != 0) {
		free(due);
		return e;
	}
	for (i = 0; i < pages->n; i++)
		due[i] = pages->group[i].mask;
	pthread_mutex_lock(&p->lock);
	p->pages = *pages;
	p->due = due;
	p->fd = fd;
	p->going = true;
	pthread_cond_broadcast(&p->cond);
	pthread_mutex_unlock(&p->lock);
	*pages = (struct pages){ 0 };
	return 0;
}

bool
pager_went(struct pager *p)
{
	bool going;

	pthread_mutex_lock(&p->lock);
	going = p->going;
	pthread_mutex_unlock(&p->lock);
	return going;
}

void
pager_hurry(struct pager *p)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&p->lock);
	p->hurry = true;
	pthread_mutex_unlock(&p->lock);
	(void)!write(p->wake, &one, sizeof(one));
}

int
pager_wait(struct pager *p)
{
	bool done;

	pager_hurry(p);
	pthread_mutex_lock(&p->lock);
	while (p->going && !p->done && !p->lost)
		pthread_cond_wait(&p->cond, &p->lock);
	done = !p->lost;
	pthread_mutex_unlock(&p->lock);
	return done ? 0 : -EIO;
}

/* (l) Whole pages, as gmem_discard() takes them. */
static void
forget(struct pager *p, uint64_t off, uint64_t len)
{
	uint64_t page = (off + PAGE - 1) / PAGE, end = (off + len) / PAGE;

	for (; page < end; page++)
		p->due[page / PAGES_EACH] &= ~(1ULL << (page % PAGES_EACH));
}

int
pager_discard(struct pager *p, void *at, size_t len)
{
	const uint8_t *base = p->mem->region[0].host;
	uint64_t off = (uint64_t)((uint8_t *)at - base);
	int e = 0;

	if ((uint8_t *)at < base || off > p->mem->size ||
	    len > p->mem->size - off)
		return -EFAULT;
	pthread_mutex_lock(&p->lock);
	if (p->due != NULL)
		forget(p, off, len);
	if (!p->lost)
		e = gmem_discard(p->mem, at, len);
	pthread_mutex_unlock(&p->lock);
	return e;
}
