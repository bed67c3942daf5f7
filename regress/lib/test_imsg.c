/* SPDX-License-Identifier: ISC */
/*
 * Message buffers and framed messages against good and hostile peers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "fd.h"
#include "imsg.h"

#define MARK 0x80000000U

/* How many descriptors this process has. */
static int
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/*
 * ibuf
 */

static void
test_ibuf_integers(void **state)
{
	struct ibuf *b = ibuf_dynamic(0, 64);
	uint8_t v8, bytes[] = { 1, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78 };
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	assert_non_null(b);
	assert_int_equal(ibuf_add_n8(b, 1), 0);
	assert_int_equal(ibuf_add_n16(b, 0x1234), 0);
	assert_int_equal(ibuf_add_n32(b, 0x12345678), 0);
	assert_memory_equal(ibuf_data(b), bytes, sizeof(bytes));
	assert_int_equal(ibuf_add_n64(b, 0x123456789abcdef0), 0);
	assert_int_equal(ibuf_add_h16(b, 0xfffe), 0);
	assert_int_equal(ibuf_add_h32(b, 0xfffffffe), 0);
	assert_int_equal(ibuf_add_h64(b, UINT64_MAX - 1), 0);
	assert_int_equal(ibuf_size(b), 29);

	assert_int_equal(ibuf_get_n8(b, &v8), 0);
	assert_int_equal(v8, 1);
	assert_int_equal(ibuf_get_n16(b, &v16), 0);
	assert_int_equal(v16, 0x1234);
	assert_int_equal(ibuf_get_n32(b, &v32), 0);
	assert_int_equal(v32, 0x12345678);
	assert_int_equal(ibuf_get_n64(b, &v64), 0);
	assert_int_equal(v64, 0x123456789abcdef0);
	assert_int_equal(ibuf_get_h16(b, &v16), 0);
	assert_int_equal(v16, 0xfffe);
	assert_int_equal(ibuf_get_h32(b, &v32), 0);
	assert_int_equal(v32, 0xfffffffe);
	assert_int_equal(ibuf_get_h64(b, &v64), 0);
	assert_int_equal(v64, UINT64_MAX - 1);
	assert_int_equal(ibuf_size(b), 0);
	assert_int_equal(ibuf_get_n8(b, &v8), -1);
	assert_int_equal(errno, EBADMSG);
	ibuf_free(b);
}

static void
test_ibuf_values_too_large(void **state)
{
	static const struct {
		int (*add)(struct ibuf *, uint64_t);
		uint64_t value;
	} rows[] = {
		{ ibuf_add_n8, 256 },
		{ ibuf_add_n16, 65536 },
		{ ibuf_add_h16, 65536 },
		{ ibuf_add_n32, 1ULL << 32 },
		{ ibuf_add_h32, 1ULL << 32 },
	};
	struct imsgbuf ib;
	struct ibuf *b;
	size_t i;

	assert_int_equal(imsgbuf_init(&ib, -1), 0);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		b = ibuf_dynamic(0, 64);
		assert_int_equal(rows[i].add(b, rows[i].value), -1);
		assert_int_equal(errno, EINVAL);
		assert_int_equal(ibuf_size(b), 0);
		/* It is not sent by mistake either. */
		assert_int_equal(imsg_compose_ibuf(&ib, 1, 0, 0, b), -1);
		assert_int_equal(errno, EMSGSIZE);
	}
	imsgbuf_clear(&ib);
}

static void
test_ibuf_short_reads(void **state)
{
	uint8_t bytes[7] = { 1, 2, 3, 4, 5, 6, 7 }, out[8];
	struct ibuf b, view;
	uint64_t v64;
	uint32_t v32 = 99;
	char str[8];

	ibuf_from_buffer(&b, bytes, sizeof(bytes));
	assert_int_equal(ibuf_get_n64(&b, &v64), -1);
	assert_int_equal(ibuf_get(&b, out, 8), -1);
	assert_int_equal(ibuf_skip(&b, 8), -1);
	assert_int_equal(ibuf_skip(&b, SIZE_MAX), -1);
	assert_int_equal(ibuf_get_strbuf(&b, str, 8), -1);
	assert_null(ibuf_get_string(&b, 8));
	assert_int_equal(ibuf_get_ibuf(&b, 8, &view), -1);
	assert_int_equal(ibuf_size(&b), 7); /* nothing was consumed */
	assert_int_equal(ibuf_get_ibuf(&b, 3, &view), 0);
	assert_int_equal(ibuf_size(&view), 3);
	assert_int_equal(ibuf_get_n32(&view, &v32), -1);
	assert_int_equal(v32, 99);
	assert_int_equal(ibuf_get_n32(&b, &v32), 0);
	assert_int_equal(v32, 0x04050607);
	assert_int_equal(ibuf_add(&b, out, 1), -1); /* a view */
	ibuf_free(&b); /* harmless */
}

static void
test_ibuf_limits(void **state)
{
	struct ibuf *b;
	char big[100] = "";

	assert_null(ibuf_dynamic(2, 1));
	assert_null(ibuf_dynamic(0, 0));
	b = ibuf_dynamic(0, 100);
	assert_int_equal(ibuf_add(b, big, 99), 0);
	assert_int_equal(ibuf_left(b), 1);
	assert_int_equal(ibuf_add_n16(b, 1), -1);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(ibuf_add_zero(b, SIZE_MAX), -1);
	assert_int_equal(ibuf_size(b), 99);
	assert_int_equal(ibuf_add_n8(b, 1), 0);
	assert_null(ibuf_reserve(b, 1));
	assert_null(ibuf_seek(b, 99, 2));
	assert_null(ibuf_seek(b, SIZE_MAX, 2));
	assert_null(ibuf_seek(b, 2, SIZE_MAX));
	assert_non_null(ibuf_seek(b, 99, 1));
	assert_int_equal(ibuf_set_n32(b, 97, 1), -1);
	assert_int_equal(ibuf_set_n32(b, 96, 0x01020304), 0);
	assert_int_equal(*((uint8_t *)ibuf_data(b) + 99), 4);
	assert_int_equal(ibuf_truncate(b, 10), 0);
	assert_int_equal(ibuf_size(b), 10);
	assert_int_equal(ibuf_truncate(b, 101), -1);
	ibuf_free(b);
}

static void
test_ibuf_strings(void **state)
{
	struct ibuf *b = ibuf_dynamic(0, 64);
	char out[4], *s;

	assert_int_equal(ibuf_add_strbuf(b, "abc", 4), 0);
	assert_int_equal(ibuf_add_strbuf(b, "abcd", 4), -1);
	assert_int_equal(errno, EOVERFLOW);
	assert_int_equal(ibuf_add(b, "wxyz", 4), 0);
	assert_int_equal(ibuf_add(b, "text", 4), 0);
	assert_int_equal(ibuf_get_strbuf(b, out, 4), 0);
	assert_string_equal(out, "abc");
	assert_int_equal(ibuf_get_strbuf(b, out, 4), -1);
	assert_int_equal(errno, EOVERFLOW);
	assert_string_equal(out, "wxy");
	s = ibuf_get_string(b, 4);
	assert_string_equal(s, "text");
	free(s);
	ibuf_rewind(b);
	assert_int_equal(ibuf_size(b), 12);
	ibuf_free(b);
}

/*
 * imsg between two ends of ours
 */

struct pair {
	int fd[2];
	struct imsgbuf a, b;
};

static void
pair_open(struct pair *p, bool fds)
{
	assert_int_equal(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fd),
	    0);
	assert_int_equal(imsgbuf_init(&p->a, p->fd[0]), 0);
	assert_int_equal(imsgbuf_init(&p->b, p->fd[1]), 0);
	if (fds) {
		imsgbuf_allow_fdpass(&p->a);
		imsgbuf_allow_fdpass(&p->b);
	}
}

static void
pair_close(struct pair *p)
{
	imsgbuf_clear(&p->a);
	imsgbuf_clear(&p->b);
	close(p->fd[0]);
	close(p->fd[1]);
}

static void
test_imsg_roundtrip(void **state)
{
	struct pair p;
	struct imsg m;
	char ab[] = "ab", cde[] = "cde";
	struct iovec iov[2] = { { ab, 2 }, { cde, 3 } };
	struct ibuf *body, view;
	uint32_t v32;
	char out[8];

	pair_open(&p, false);
	body = ibuf_dynamic(0, 100);
	ibuf_add_n32(body, 77);
	assert_int_equal(imsg_compose(&p.a, 1, 2, 0, -1, "hello", 5), 1);
	assert_int_equal(imsg_compose(&p.a, 3, 4, 5, -1, NULL, 0), 1);
	assert_int_equal(imsg_composev(&p.a, 6, 7, 0, -1, iov, 2), 1);
	assert_int_equal(imsg_compose_ibuf(&p.a, 8, 9, 0, body), 1);
	assert_int_equal(imsgbuf_queuelen(&p.a), 4);
	assert_int_equal(imsgbuf_queued(&p.a), 4 * 16 + 5 + 5 + 4);
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	assert_int_equal(imsgbuf_queuelen(&p.a), 0);
	assert_int_equal(imsgbuf_queued(&p.a), 0);

	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	assert_int_equal(imsg_get_type(&m), 1);
	assert_int_equal(imsg_get_id(&m), 2);
	assert_int_equal(imsg_get_pid(&m), getpid());
	assert_int_equal(imsg_get_len(&m), 5);
	assert_int_equal(imsg_get_fd(&m), -1);
	assert_int_equal(imsg_get_data(&m, out, 4), -1); /* exact sizes */
	assert_int_equal(imsg_get_data(&m, out, 6), -1);
	assert_int_equal(imsg_get_data(&m, out, 5), 0);
	assert_memory_equal(out, "hello", 5);
	imsg_free(&m);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	assert_int_equal(imsg_get_pid(&m), 5);
	assert_int_equal(imsg_get_len(&m), 0);
	assert_int_equal(imsg_get_data(&m, out, 1), -1);
	imsg_free(&m);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	assert_int_equal(imsg_get_buf(&m, out, 3), 0);
	assert_memory_equal(out, "abc", 3);
	assert_int_equal(imsg_get_buf(&m, out, 3), -1);
	imsg_free(&m);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	assert_int_equal(imsg_get_ibuf(&m, &view), 0);
	assert_int_equal(ibuf_get_n32(&view, &v32), 0);
	assert_int_equal(v32, 77);
	imsg_free(&m);
	assert_int_equal(imsgbuf_get(&p.b, &m), 0);
	assert_false(imsgbuf_partial(&p.b));
	assert_int_equal(imsgbuf_read(&p.b), 1); /* nothing there: no block */
	pair_close(&p);
}

/* Descriptors come with the right messages, in any interleaving. */
static void
test_imsg_descriptors(void **state)
{
	struct pair p;
	struct imsg m;
	struct stat sent[20], got;
	int before = count_fds(), i, fd, type = 0;
	char path[] = "/tmp/test_imsg.XXXXXX";

	pair_open(&p, true);
	for (i = 0; i < 20; i++) {
		fd = -1;
		if (i % 3 != 1) {
			memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
			fd = mkstemp(path);
			assert_int_not_equal(fd, -1);
			unlink(path);
			fstat(fd, &sent[i]);
		}
		assert_int_equal(
		    imsg_compose(&p.a, (uint32_t)i, 0, 0, fd, path, 8), 1);
	}
	while (type < 20) {
		assert_int_equal(imsgbuf_write(&p.a), 0);
		assert_int_equal(imsgbuf_read(&p.b), 1);
		while (imsgbuf_get(&p.b, &m) == 1) {
			assert_int_equal(imsg_get_type(&m), type);
			fd = imsg_get_fd(&m);
			if (type % 3 == 1) {
				assert_int_equal(fd, -1);
			} else {
				assert_int_equal(fstat(fd, &got), 0);
				assert_int_equal(got.st_ino, sent[type].st_ino);
				assert_int_equal(
				    fcntl(fd, F_GETFD), FD_CLOEXEC);
				close(fd);
			}
			assert_int_equal(imsg_get_fd(&m), -1);
			imsg_free(&m);
			type++;
		}
	}
	pair_close(&p);
	assert_int_equal(count_fds(), before);
}

/* A message that is freed unread takes its descriptor along. */
static void
test_imsg_descriptor_unused(void **state)
{
	struct pair p;
	struct imsg m;
	int before = count_fds();

	pair_open(&p, true);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "x", 1), 1);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "x", 1), 1);
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	imsg_free(&m);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	/* The second one stays in the buffer: clearing closes it. */
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "x", 1), 1);
	pair_close(&p);
	assert_int_equal(count_fds(), before);
}

static void
test_imsg_fdpass_off(void **state)
{
	struct pair p;
	struct imsg m;
	int before = count_fds();

	/* Sending: refused, and the descriptor is closed. */
	pair_open(&p, false);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "x", 1), -1);
	assert_int_equal(errno, EINVAL);
	/* Receiving: the kernel closes it, the mark is an error. */
	imsgbuf_allow_fdpass(&p.a);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "x", 1), 1);
	assert_int_equal(imsgbuf_forbid_fdpass(&p.a), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	assert_int_equal(imsgbuf_forbid_fdpass(&p.a), 0);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), -1);
	assert_int_equal(errno, EBADMSG);
	assert_int_equal(imsgbuf_get(&p.b, &m), -1); /* and stays one */
	pair_close(&p);
	assert_int_equal(count_fds(), before);
}

static void
test_imsg_sizes(void **state)
{
	static char big[MAX_IMSGSIZE];
	struct pair p;
	struct imsg m;
	struct ibuf *b;
	size_t max = MAX_IMSGSIZE - IMSG_HEADER_SIZE;

	pair_open(&p, false);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, -1, big, max + 1), -1);
	assert_int_equal(errno, ERANGE);
	assert_null(imsg_create(&p.a, 1, 0, 0, max + 1));
	assert_null(imsg_create(&p.a, 1, 0, 0, SIZE_MAX));
	b = imsg_create(&p.a, 1, 0, 0, 0);
	assert_int_equal(imsg_add(b, big, max), max);
	assert_int_equal(imsg_close(&p.a, b), 0);
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	assert_int_equal(imsg_get_len(&m), max);
	imsg_free(&m);

	assert_int_equal(imsgbuf_set_maxsize(&p.b, 15), -1);
	assert_int_equal(imsgbuf_set_maxsize(&p.b, UINT32_MAX), -1);
	assert_int_equal(imsgbuf_set_maxsize(&p.b, 17), 0);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, -1, big, 1), 1);
	assert_int_equal(imsg_compose(&p.a, 2, 0, 0, -1, big, 2), 1);
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), 1);
	imsg_free(&m);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), -1);
	assert_int_equal(errno, EBADMSG);
	pair_close(&p);
}

/* A peer that does not read: memory stays bounded, nobody blocks. */
static void
test_imsg_queue_bound(void **state)
{
	static char body[1000];
	struct pair p;
	int n = 0, i;

	pair_open(&p, true);
	imsgbuf_set_maxqueue(&p.a, 100000);
	for (;;) {
		if (imsg_compose(&p.a, 1, 0, 0, -1, body, 1000) == -1)
			break;
		assert_int_equal(imsgbuf_write(&p.a), 0);
		assert_true(++n < 100000);
	}
	assert_int_equal(errno, ENOBUFS);
	assert_true(imsgbuf_queued(&p.a) <= 100000);
	assert_true(imsgbuf_queued(&p.a) > 98000);
	pair_close(&p);

	/* The same for descriptors. */
	pair_open(&p, true);
	for (i = 0; i < IMSG_QUEUE_FDS; i++)
		assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "", 0), 1);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, dup(0), "", 0), -1);
	assert_int_equal(errno, ENOBUFS);
	pair_close(&p);
}

/* More than a socket buffer and more than one gather, both ways at once. */
static void
test_imsg_bulk(void **state)
{
	struct pair p;
	struct imsg m;
	uint8_t body[700];
	uint32_t sent = 0, got = 0;
	size_t i;

	pair_open(&p, false);
	while (got < 2000) {
		for (i = 0; i < 100 && sent < 2000; i++, sent++) {
			memset(body, (int)sent, sizeof(body));
			assert_int_equal(imsg_compose(&p.a, sent, 0, 0, -1,
					     body, sent % 700),
			    1);
		}
		assert_int_equal(imsgbuf_write(&p.a), 0);
		assert_int_equal(imsgbuf_read(&p.b), 1);
		while (imsgbuf_get(&p.b, &m) == 1) {
			assert_int_equal(imsg_get_type(&m), got);
			assert_int_equal(imsg_get_len(&m), got % 700);
			for (i = 0; i < got % 700; i++)
				assert_int_equal(
				    ((uint8_t *)m.data)[i], (uint8_t)got);
			imsg_free(&m);
			got++;
		}
	}
	pair_close(&p);
}

/*
 * imsg against raw bytes
 */

struct raw {
	const char *name;
	bool fdpass; /* the receiver's side */
	uint32_t word[8]; /* what is sent: words of the header, payload */
	size_t len; /* bytes of it */
	int fds; /* attached to the first byte */
	int messages; /* complete ones before the verdict */
	int verdict; /* of the last imsgbuf_get(): 0 or -1 */
};

static void
send_raw(int s, const void *data, size_t len, int nfds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int) * 32)];
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	int i, zero = 0;

	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
		for (i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &zero,
			    sizeof(int));
	}
	assert_int_equal(sendmsg(s, &m, 0), (ssize_t)len);
}

/* Read and parse until nothing more comes; the verdict. */
static int
consume(struct imsgbuf *b, int *messages)
{
	struct imsg m;
	int i, n = 0;

	for (i = 0; i < 40; i++) {
		n = imsgbuf_read(b);
		if (n == -1)
			return -1;
		while ((n = imsgbuf_get(b, &m)) == 1) {
			(*messages)++;
			imsg_free(&m);
		}
		if (n == -1)
			return -1;
	}
	return 0;
}

static const struct raw raws[] = {
	{ "nothing", true, { 0 }, 0, 0, 0, 0 },
	{ "whole", true, { 1, 20, 3, 4, 5 }, 20, 0, 1, 0 },
	{ "truncated header", true, { 1, 20, 3, 4 }, 15, 0, 0, 0 },
	{ "truncated payload", true, { 1, 24, 3, 4, 5 }, 23, 0, 0, 0 },
	{ "length 0", true, { 1, 0, 3, 4 }, 16, 0, 0, -1 },
	{ "length 15", true, { 1, 15, 3, 4 }, 16, 0, 0, -1 },
	{ "length one too long", true, { 1, MAX_IMSGSIZE + 1, 3, 4 }, 16, 0, 0,
	    -1 },
	{ "longest length", true, { 1, MAX_IMSGSIZE, 3, 4 }, 16, 0, 0, 0 },
	{ "length 2^31 - 1", true, { 1, 0x7fffffff, 3, 4 }, 16, 0, 0, -1 },
	{ "good, then bad", true, { 1, 16, 3, 4, 1, 3, 3, 4 }, 32, 0, 1, -1 },
	{ "descriptor", true, { 1, 16 | MARK, 3, 4 }, 16, 1, 1, 0 },
	{ "marked, none came", true, { 1, 16 | MARK, 3, 4 }, 16, 0, 0, -1 },
	{ "marked, too short", true, { 1, 15 | MARK, 3, 4 }, 16, 1, 0, -1 },
	{ "unmarked, one came", true, { 1, 16, 3, 4 }, 16, 1, 1, -1 },
	{ "unmarked part, one came", true, { 1, 24, 3, 4 }, 20, 1, 0, -1 },
	{ "marked part", true, { 1, 24 | MARK, 3, 4 }, 20, 1, 0, 0 },
	{ "part of a header, one came", true, { 1, 24 }, 8, 1, 0, 0 },
	{ "two came for one", true, { 1, 16 | MARK, 3, 4 }, 16, 2, 1, -1 },
	{ "two came for two", true, { 1, 16 | MARK, 3, 4, 1, 16 | MARK, 3, 4 },
	    32, 2, 2, 0 },
	{ "one came for two", true, { 1, 16 | MARK, 3, 4, 1, 16 | MARK, 3, 4 },
	    32, 1, 1, -1 },
	{ "flood of 32", true, { 1, 16 | MARK, 3, 4 }, 16, 32, 0, -1 },
	{ "off: marked", false, { 1, 16 | MARK, 3, 4 }, 16, 1, 0, -1 },
	{ "off: marked, none came", false, { 1, 16 | MARK, 3, 4 }, 16, 0, 0,
	    -1 },
	{ "off: unmarked, dropped", false, { 1, 16, 3, 4 }, 16, 32, 1, 0 },
};

static void
run_raw(const struct raw *r, bool bytewise)
{
	int before = count_fds(), messages = 0, verdict = 0, s[2];
	const uint8_t *p = (const uint8_t *)r->word;
	struct imsgbuf b;
	size_t i;

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	assert_int_equal(imsgbuf_init(&b, s[1]), 0);
	if (r->fdpass)
		imsgbuf_allow_fdpass(&b);
	if (!bytewise) {
		if (r->len > 0)
			send_raw(s[0], p, r->len, r->fds);
		verdict = consume(&b, &messages);
	}
	for (i = 0; bytewise && i < r->len && verdict == 0; i++) {
		send_raw(s[0], p + i, 1, i == 0 ? r->fds : 0);
		verdict = consume(&b, &messages);
	}
	if (verdict != r->verdict || messages != r->messages)
		fail_msg(
		    "%s: %d messages, verdict %d", r->name, messages, verdict);
	if (verdict == -1)
		assert_int_equal(errno, EBADMSG);
	imsgbuf_clear(&b);
	close(s[0]);
	close(s[1]);
	if (count_fds() != before)
		fail_msg("%s: descriptors leak", r->name);
}

static void
test_imsg_hostile(void **state)
{
	size_t i;

	for (i = 0; i < sizeof(raws) / sizeof(raws[0]); i++) {
		run_raw(&raws[i], false);
		/* Two descriptors on the first byte are one too many. */
		if (strcmp(raws[i].name, "two came for two") == 0 ||
		    strcmp(raws[i].name, "two came for one") == 0)
			continue;
		run_raw(&raws[i], true);
	}
}

/* A descriptor that comes with a later byte of its message is its own; one
 * that comes after its message has none. */
static void
test_imsg_late_descriptor(void **state)
{
	uint32_t w[5] = { 1, 20 | MARK, 0, 0, 7 };
	uint8_t *p = (uint8_t *)w;
	int before = count_fds(), messages = 0, s[2], at;
	struct imsgbuf b;

	for (at = 1; at < 20; at++) {
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s);
		assert_int_equal(imsgbuf_init(&b, s[1]), 0);
		imsgbuf_allow_fdpass(&b);
		send_raw(s[0], p, (size_t)at, 0);
		assert_int_equal(consume(&b, &messages), 0);
		send_raw(s[0], p + at, 20 - (size_t)at, 1);
		messages = 0;
		assert_int_equal(consume(&b, &messages), 0);
		assert_int_equal(messages, 1);
		/* Once more, the descriptor behind the message. */
		send_raw(s[0], p, 20, 0);
		assert_int_equal(consume(&b, &messages), -1);
		imsgbuf_clear(&b);
		close(s[0]);
		close(s[1]);
	}
	assert_int_equal(count_fds(), before);
}

/* A flood of descriptors on many small writes is stopped early. */
static void
test_imsg_fd_flood(void **state)
{
	uint32_t w[4] = { 1, 16, 0, 0 };
	int before = count_fds(), messages = 0, s[2], i;
	struct imsgbuf b;

	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s);
	assert_int_equal(imsgbuf_init(&b, s[1]), 0);
	imsgbuf_allow_fdpass(&b);
	for (i = 0; i < 100; i++)
		send_raw(s[0], w, sizeof(w), 1);
	assert_int_equal(consume(&b, &messages), -1);
	assert_true(count_fds() <= before + 2 + IMSG_READ_FDS);
	/* Also when only reads happen and nobody parses. */
	for (i = 0; i < 100; i++)
		if (imsgbuf_read(&b) == -1)
			break;
	assert_true(count_fds() <= before + 2 + IMSG_READ_FDS);
	imsgbuf_clear(&b);
	close(s[0]);
	close(s[1]);
	assert_int_equal(count_fds(), before);
}

static void
test_imsg_eof(void **state)
{
	uint32_t w[4] = { 1, 20, 0, 0 };
	struct pair p;
	struct imsg m;

	pair_open(&p, true);
	send_raw(p.fd[0], w, sizeof(w), 0);
	shutdown(p.fd[0], SHUT_WR);
	assert_int_equal(imsgbuf_read(&p.b), 1);
	assert_int_equal(imsgbuf_get(&p.b, &m), 0);
	assert_int_equal(imsgbuf_read(&p.b), 0);
	assert_true(imsgbuf_partial(&p.b));
	pair_close(&p);
	/* Writing to a closed peer is an error and no signal. */
	pair_open(&p, true);
	close(p.fd[1]);
	p.fd[1] = open("/dev/null", O_RDWR);
	assert_int_equal(imsg_compose(&p.a, 1, 0, 0, -1, "x", 1), 1);
	assert_int_equal(imsgbuf_write(&p.a), -1);
	assert_int_equal(errno, EPIPE);
	pair_close(&p);
}

static void
on_alarm(int sig)
{
}

/* Signals interrupt a flush and a read; neither notices. */
static void
test_imsg_interrupted(void **state)
{
	static char body[10000];
	struct sigaction sa = { .sa_handler = on_alarm };
	struct pair p;
	struct imsg m;
	int i, got = 0, status;
	pid_t pid, killer;

	pair_open(&p, true);
	sigaction(SIGUSR1, &sa, NULL); /* no SA_RESTART */
	for (i = 0; i < 100; i++)
		assert_int_equal(
		    imsg_compose(&p.a, 1, 0, 0, -1, body, sizeof(body)), 1);
	pid = fork();
	if (pid == 0) {
		/* Blocking reads, slowly. */
		fcntl(p.fd[1], F_SETFL, 0);
		close(p.fd[0]);
		while (imsgbuf_read(&p.b) == 1)
			while (imsgbuf_get(&p.b, &m) == 1) {
				got++;
				imsg_free(&m);
				usleep(500);
			}
		_exit(got == 100 ? 0 : 1);
	}
	killer = fork();
	if (killer == 0) {
		for (i = 0; i < 400; i++) {
			kill(getppid(), SIGUSR1);
			kill(pid, SIGUSR1);
			usleep(100);
		}
		_exit(0);
	}
	assert_int_equal(imsgbuf_flush(&p.a), 0);
	shutdown(p.fd[0], SHUT_WR);
	while (waitpid(pid, &status, 0) == -1)
		assert_int_equal(errno, EINTR);
	assert_int_equal(status, 0);
	while (waitpid(killer, &status, 0) == -1)
		assert_int_equal(errno, EINTR);
	pair_close(&p);
}

/* Random bytes from a fixed seed: any verdict, but no crash and no leak. */
static void
test_imsg_random(void **state)
{
	uint32_t w[64], x = 12345;
	int before = count_fds(), messages, s[2], i, j, round;
	struct imsgbuf b;

	for (round = 0; round < 2000; round++) {
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s);
		assert_int_equal(imsgbuf_init(&b, s[1]), 0);
		imsgbuf_allow_fdpass(&b);
		for (i = 0; i < 4; i++) {
			for (j = 0; j < 64; j++) {
				x = x * 1664525 + 1013904223;
				w[j] = x >> 16;
				if (j % 4 == 1)
					w[j] = (x >> 20 & 63) |
					    (x & 1 << 19 ? MARK : 0);
			}
			send_raw(s[0], w, 1 + (x >> 8) % sizeof(w),
			    (int)(x >> 28) % 4);
			if (consume(&b, &messages) == -1)
				break;
		}
		imsgbuf_clear(&b);
		close(s[0]);
		close(s[1]);
	}
	assert_int_equal(count_fds(), before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ibuf_integers),
		cmocka_unit_test(test_ibuf_values_too_large),
		cmocka_unit_test(test_ibuf_short_reads),
		cmocka_unit_test(test_ibuf_limits),
		cmocka_unit_test(test_ibuf_strings),
		cmocka_unit_test(test_imsg_roundtrip),
		cmocka_unit_test(test_imsg_descriptors),
		cmocka_unit_test(test_imsg_descriptor_unused),
		cmocka_unit_test(test_imsg_fdpass_off),
		cmocka_unit_test(test_imsg_sizes),
		cmocka_unit_test(test_imsg_queue_bound),
		cmocka_unit_test(test_imsg_bulk),
		cmocka_unit_test(test_imsg_hostile),
		cmocka_unit_test(test_imsg_late_descriptor),
		cmocka_unit_test(test_imsg_fd_flood),
		cmocka_unit_test(test_imsg_eof),
		cmocka_unit_test(test_imsg_interrupted),
		cmocka_unit_test(test_imsg_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
