/* SPDX-License-Identifier: ISC */
/*
 * usage: rawctl [-s socket] [-t ms] message [field ...] [+ message ...]
 *	  rawctl [-s socket] -i
 *	  rawctl [-s socket] -u
 *	  rawctl -l
 *
 * A client of vmd that is not vmctl: it says what it is told, well formed or
 * not, by none of the code that vmctl speaks with but the encoders of strings
 * and configurations.  It prints each answer as a line, up to the first OK or
 * FAIL; or last "dropped" when vmd ended the connection, "waiting" when
 * nothing more came.  -i does so for each line of standard input, "ms message
 * ...", on a connection of its own, and ends what it prints by an empty line.
 * -u says each message that is not a request, on a
 * connection of its own, and prints those that vmd does not drop it for.  -l
 * lists requests and answers by their names.
 *
 * A message is a name of lib/ctl.h, a number, or - for no header at all.  Its
 * fields: n8= n16= n32= n64= (numbers), str=, hex= (bytes), conf=NAME:PARENT:KERNEL,
 * fd=PATH (a descriptor, open for reading), len=N (a lie in the header), end
 * (nothing more will be said).
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chan.h"
#include "ctl.h"
#include "imsg.h"
#include "screen.h"
#include "vmconf.h"

#define FDS_MAX	  8
#define TYPE_MAX  1200 /* beyond vmd/msg.h */
#define WORDS_MAX 128 /* of a line */
#define LEN_FD	  0x80000000U /* in the header: a descriptor comes along */

static const struct {
	const char *name;
	uint32_t type;
	int request;
} names[] = {
#define X(name, right, fd, fields) { #name, CTL_##name, 1 },
	CTL_REQUESTS(X)
#undef X
#define X(name, fields) { #name, CTL_##name, 0 },
	    CTL_ANSWERS(X)
#undef X
};
#define NNAMES (sizeof(names) / sizeof(names[0]))

/* What is to be said at once. */
struct message {
	struct imsg_hdr hdr;
	int bare; /* without header */
	int lie; /* hdr.len is as given */
	int end;
	struct ibuf *body;
	int fd[FDS_MAX];
	unsigned nfds;
};

static const char *const states[] = {
	[CTL_ST_STOPPED] = "stopped",
	[CTL_ST_WAITING] = "waiting",
	[CTL_ST_RUNNING] = "running",
	[CTL_ST_STOPPING] = "stopping",
	[CTL_ST_PAUSED] = "paused",
};

static const char *path = CTL_SOCKET;
static int patience = 20000;

/* -1: refused, and said so. */
static int
dial(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		err(1, "socket");
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		printf("connect: %s\n", strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

static uint32_t
number(const char *s)
{
	char *end;
	unsigned long v = strtoul(s, &end, 0);

	if (*s == '\0' || *end != '\0' || v > UINT32_MAX)
		errx(2, "no number: %s", s);
	return (uint32_t)v;
}

static void
add_hex(struct ibuf *body, const char *s)
{
	unsigned byte;
	int n;

	for (; *s != '\0'; s += n) {
		if (sscanf(s, "%2x%n", &byte, &n) != 1 ||
		    ibuf_add_n8(body, byte) == -1)
			errx(2, "no bytes: %s", s);
	}
}

static void
add_conf(struct ibuf *body, const char *text)
{
	struct vmconf c;
	char *copy = strdup(text), *rest = copy;

	vmconf_init(&c);
	c.memory = 128 << 20;
	c.flags = VM_F_ADHOC;
	snprintf(c.name, sizeof(c.name), "%s", strsep(&rest, ":"));
	if (rest != NULL)
		snprintf(c.parent, sizeof(c.parent), "%s", strsep(&rest, ":"));
	if (rest != NULL)
		snprintf(c.kernel, sizeof(c.kernel), "%s", rest);
	free(copy);
	/* Of an instance, only what it says is its own. */
	c.given = VM_I_MEMORY;
	if (vmconf_put(body, &c) != 0)
		errx(2, "configuration: %s", text);
}

static void
add_field(struct message *m, const char *word)
{
	const char *v = strchr(word, '=');
	size_t n = v == NULL ? strlen(word) : (size_t)(v - word);
	int fd;

	if (v == NULL && strcmp(word, "end") == 0) {
		m->end = 1;
		return;
	}
	if (v++ == NULL)
		errx(2, "no field: %s", word);
#define IS(name) (n == strlen(name) && memcmp(word, name, n) == 0)
	if (IS("n8"))
		ibuf_add_n8(m->body, number(v));
	else if (IS("n16"))
		ibuf_add_n16(m->body, number(v));
	else if (IS("n32"))
		ibuf_add_n32(m->body, number(v));
	else if (IS("n64"))
		ibuf_add_n64(m->body, number(v));
	else if (IS("str"))
		ctl_put_str(m->body, v);
	else if (IS("hex"))
		add_hex(m->body, v);
	else if (IS("conf"))
		add_conf(m->body, v);
	else if (IS("len")) {
		m->hdr.len = number(v);
		m->lie = 1;
	} else if (IS("fd") && m->nfds < FDS_MAX) {
		fd = open(v, O_RDONLY | O_CLOEXEC);
		if (fd == -1)
			err(2, "%s", v);
		m->fd[m->nfds++] = fd;
	} else
		errx(2, "no field: %s", word);
#undef IS
}

static void
start_message(struct message *m, const char *word)
{
	size_t i;

	memset(m, 0, sizeof(*m));
	m->body = chan_body();
	m->bare = strcmp(word, "-") == 0;
	m->hdr.peerid = CTL_VERSION;
	for (i = 0; i < NNAMES && strcmp(word, names[i].name) != 0; i++)
		;
	if (i < NNAMES)
		m->hdr.type = names[i].type;
	else if (!m->bare)
		m->hdr.type = number(word);
}

static void
add_fds(struct msghdr *mh, void *space, const struct message *m)
{
	size_t len = m->nfds * sizeof(int);
	struct cmsghdr *cmsg;

	mh->msg_control = space;
	mh->msg_controllen = CMSG_SPACE(len);
	cmsg = CMSG_FIRSTHDR(mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), m->fd, len);
}

/* Whoever hung up is found out by the answers. */
static void
say(int sock, struct message *m)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec iov[2] = { { &m->hdr, sizeof(m->hdr) },
		{ ibuf_data(m->body), ibuf_size(m->body) } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (!m->lie) {
		m->hdr.len = (uint32_t)(sizeof(m->hdr) + iov[1].iov_len);
		m->hdr.len |= m->nfds > 0 ? LEN_FD : 0;
	}
	if (m->bare)
		iov[0].iov_len = 0;
	if (m->nfds > 0)
		add_fds(&mh, space, m);
	if (sendmsg(sock, &mh, 0) == -1 && errno != EPIPE &&
	    errno != ECONNRESET)
		err(2, "sendmsg");
	if (m->end)
		shutdown(sock, SHUT_WR);
	while (m->nfds > 0)
		close(m->fd[--m->nfds]);
	ibuf_free(m->body);
}

/* A line; true when it ends the request. */
static int
show(const struct imsg_hdr *hdr, void *bytes, size_t len)
{
	char text[8192] = "";
	struct ctl_event e;
	struct ctl_vm vm;
	struct screen cells;
	struct ibuf body;
	uint32_t n = 0;
	size_t i;

	ibuf_from_buffer(&body, bytes, len);
	for (i = 0; i < NNAMES && names[i].type != hdr->type; i++)
		;
	if (i == NNAMES)
		errx(2, "answer of type %u", hdr->type);
	if (hdr->type == CTL_VM && ctl_vm_get(&body, &vm) == 0 &&
	    vm.state < sizeof(states) / sizeof(states[0]))
		snprintf(
		    text, sizeof(text), "%s %s", vm.name, states[vm.state]);
	else if (hdr->type == CTL_EVENT && ctl_event_get(&body, &e) == 0)
		snprintf(text, sizeof(text), "%s", e.name);
	else if (hdr->type == CTL_CELLS && screen_get(&body, &cells) == 0)
		snprintf(
		    text, sizeof(text), "%u by %u", cells.cols, cells.rows);
	else if ((hdr->type != CTL_LINE && ibuf_get_n32(&body, &n) == -1) ||
	    ctl_get_str(&body, text, sizeof(text)) != 0)
		errx(2, "an answer %s that is none", names[i].name);
	if (hdr->type == CTL_OK || hdr->type == CTL_FAIL)
		printf("%s %u %s\n", names[i].name, n, text);
	else
		printf("%s %s\n", names[i].name, text);
	return hdr->type == CTL_OK || hdr->type == CTL_FAIL;
}

/* "waiting", "dropped", or NULL after an OK or FAIL. */
static const char *
listen_to(int sock, int ms)
{
	static char buf[2 * CHAN_MSG_MAX];
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	struct imsg_hdr hdr;
	size_t have = 0;
	ssize_t n;

	for (;;) {
		if (poll(&pfd, 1, ms) == 0)
			return "waiting";
		n = read(sock, buf + have, sizeof(buf) - have);
		if (n <= 0)
			return "dropped";
		have += (size_t)n;
		while (have >= sizeof(hdr)) {
			memcpy(&hdr, buf, sizeof(hdr));
			if (hdr.len < sizeof(hdr) || hdr.len > CHAN_MSG_MAX)
				errx(2, "an answer of %u bytes", hdr.len);
			if (have < hdr.len)
				break;
			if (show(
				&hdr, buf + sizeof(hdr), hdr.len - sizeof(hdr)))
				return NULL;
			have -= hdr.len;
			memmove(buf, buf + hdr.len, have);
		}
	}
}

/* Everything that is not a request; the status: how many were taken. */
static int
sweep(void)
{
	static const uint32_t odd[] = { 0x7fffffff, 0x80000000, UINT32_MAX };
	struct message m;
	const char *end;
	char word[16];
	uint32_t type;
	size_t i;
	int fd, taken = 0;

	for (type = 0; type < TYPE_MAX + sizeof(odd) / sizeof(odd[0]); type++) {
		snprintf(word, sizeof(word), "%u",
		    type < TYPE_MAX ? type : odd[type - TYPE_MAX]);
		for (i = 0; i < NNAMES; i++)
			if (names[i].request && names[i].type == type)
				break;
		if (i < NNAMES)
			continue;
		if ((fd = dial()) == -1)
			return 1;
		start_message(&m, word);
		say(fd, &m);
		end = listen_to(fd, patience);
		if (end == NULL || strcmp(end, "dropped") != 0) {
			printf("%s: taken\n", word);
			taken = 1;
		}
		close(fd);
	}
	return taken;
}

static void
list(void)
{
	size_t i;

	for (i = 0; i < NNAMES; i++)
		printf("%s\n", names[i].name);
}

/* Words, as on the command line; 1 when there is no connection. */
static int
ask(char **word)
{
	struct message m;
	const char *end;
	int fd = dial();

	if (fd == -1)
		return 1;
	while (*word != NULL) {
		start_message(&m, *word++);
		while (*word != NULL && strcmp(*word, "+") != 0)
			add_field(&m, *word++);
		say(fd, &m);
		if (*word != NULL)
			word++;
	}
	if ((end = listen_to(fd, patience)) != NULL)
		puts(end);
	close(fd);
	return 0;
}

static int
ask_lines(void)
{
	char *line = NULL, *rest, *word[WORDS_MAX + 1];
	size_t size = 0;
	unsigned n;

	while (getline(&line, &size, stdin) != -1) {
		line[strcspn(line, "\n")] = '\0';
		rest = line;
		for (n = 0; n < WORDS_MAX && rest != NULL; n++)
			word[n] = strsep(&rest, " ");
		word[n] = NULL;
		if (rest != NULL)
			errx(2, "more than %d words", WORDS_MAX);
		patience = (int)number(word[0]);
		ask(word + 1);
		puts("");
		fflush(stdout);
	}
	free(line);
	return 0;
}

int
main(int argc, char **argv)
{
	int ch;

	signal(SIGPIPE, SIG_IGN);
	while ((ch = getopt(argc, argv, "+ils:t:u")) != -1) {
		switch (ch) {
		case 'i':
			return ask_lines();
		case 'l':
			list();
			return 0;
		case 's':
			path = optarg;
			break;
		case 't':
			patience = (int)number(optarg);
			break;
		case 'u':
			return sweep();
		default:
			return 2;
		}
	}
	return ask(argv + optind);
}
