/* SPDX-License-Identifier: ISC */
/*
 * netio: the load of `make bench' and of the suite on a network, in a guest
 * and on its host.  Static, no library but libc.
 *
 *	netio -s [-a address]
 *	netio [-mw] [-a address] [-t seconds] server job[:streams] ...
 *
 * -s serves for ever; -a gives eth0 that address (/24) first.  A client
 * prints "result JOB NUMBER" for each job: out and in, MB per second of TCP;
 * packets-out and packets-in, small datagrams per second that arrived; rtt,
 * microseconds of one datagram and its answer; check, the number of errors in
 * streams both ways, whose every byte is known.  Then it prints "netio end"
 * and, with -w, stays, as what it was the only program of ends with it.  -m
 * touches the memory that is free first: what a host does when a guest uses a
 * page for the first time is then not measured, which a job of some seconds
 * would otherwise be to a good part.
 *
 * TCP is Reno here.  Cubic, the usual one, takes the times between two
 * acknowledgements for the link's state and ends its slow start by them, also
 * without a loss: in an emulated host at a few dozen segments at times, from
 * which it grows for minutes.  Then it is measured, and not the device.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <err.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PORT	7100
#define BLOCK	(128 * 1024)
#define SMALL	18 /* with its headers the smallest frame */
#define STREAMS 16

/* What a connection is for: its first byte, by the client. */
enum {
	C_SINK = 'o', /* the server reads */
	C_SOURCE = 'i', /* the server writes until the client leaves */
	C_CHECK = 'c', /* the server sends back what it gets */
	C_COUNT = 'p', /* the server counts datagrams until the client's word */
	C_FLOOD = 'f', /* the server sends datagrams to the port that follows */
};

static char block[BLOCK];
static struct sockaddr_in server = { .sin_family = AF_INET };
static unsigned streams;
static double seconds = 3;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
read_all(int fd, void *to, size_t len)
{
	ssize_t n;
	size_t done;

	for (done = 0; done < len; done += (size_t)n) {
		n = read(fd, (char *)to + done, len - done);
		if (n <= 0)
			err(1, "short read");
	}
}

static void
write_all(int fd, const void *from, size_t len)
{
	ssize_t n;
	size_t done;

	for (done = 0; done < len; done += (size_t)n) {
		n = write(fd, (const char *)from + done, len - done);
		if (n <= 0)
			err(1, "short write");
	}
}

static void
configure(const char *address)
{
	struct ifreq r = { .ifr_name = "eth0" };
	struct sockaddr_in a = { .sin_family = AF_INET };
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		errx(1, "%s: not an address", address);
	memcpy(&r.ifr_addr, &a, sizeof(a));
	if (ioctl(s, SIOCSIFADDR, &r) == -1)
		err(1, "eth0");
	a.sin_addr.s_addr = htonl(0xffffff00);
	memcpy(&r.ifr_netmask, &a, sizeof(a));
	if (ioctl(s, SIOCSIFNETMASK, &r) == -1)
		err(1, "eth0");
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &r) == -1)
		err(1, "eth0");
	close(s);
}

/* Most of it: what runs needs some. */
static void
touch_memory(void)
{
	struct sysinfo i;
	size_t len;
	void *p;

	if (sysinfo(&i) == -1)
		err(1, "sysinfo");
	len = (size_t)i.freeram * i.mem_unit / 8 * 7;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (p == MAP_FAILED)
		err(1, "memory");
	munmap(p, len);
}

static int
datagrams(uint16_t *port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(*port),
	};
	socklen_t len = sizeof(a);
	int s = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;

	(void)setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(s, (struct sockaddr *)&a, len) == -1 ||
	    getsockname(s, (struct sockaddr *)&a, &len) == -1)
		err(1, "bind");
	*port = ntohs(a.sin_port);
	return s;
}

/* A TCP socket; what is accepted by it is like it. */
static int
stream(void)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) == -1)
		err(1, "reno");
	return s;
}

/* Datagrams until the connection says something. */
static uint64_t
count(int s, int until)
{
	struct pollfd p[2] = { { s, POLLIN, 0 }, { until, POLLIN, 0 } };
	char buf[SMALL];
	uint64_t n = 0;

	while ((p[1].revents & (POLLIN | POLLHUP)) == 0) {
		(void)poll(p, 2, -1);
		while (recv(s, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			n++;
	}
	return n;
}

/* Datagrams to a until the time or the connection ends. */
static void
flood(int s, const struct sockaddr_in *a, double until, int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };
	char buf[SMALL] = { 0 };
	unsigned i;

	if (connect(s, (const struct sockaddr *)a, sizeof(*a)) == -1)
		err(1, "connect");
	while (now() < until && (fd == -1 || poll(&p, 1, 0) == 0))
		for (i = 0; i < 64; i++)
			(void)!send(s, buf, sizeof(buf), 0);
}

/* ---- server ---- */

static void
serve_sink(int fd)
{
	while (read(fd, block, sizeof(block)) > 0)
		;
}

static void
serve_source(int fd)
{
	while (write(fd, block, sizeof(block)) > 0)
		;
}

static void
serve_check(int fd)
{
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0)
		write_all(fd, block, (size_t)n);
}

static void
serve_count(int fd)
{
	uint16_t port = 0;
	int s = datagrams(&port);
	uint64_t n;

	write_all(fd, &port, sizeof(port));
	n = count(s, fd);
	write_all(fd, &n, sizeof(n));
}

static void
serve_flood(int fd)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	uint16_t port = 0, to;
	int s = datagrams(&port);

	read_all(fd, &to, sizeof(to));
	if (getpeername(fd, (struct sockaddr *)&peer, &len) == -1)
		err(1, "getpeername");
	peer.sin_port = htons(to);
	flood(s, &peer, now() + 3600, fd);
}

static void
serve(int fd)
{
	char what;

	read_all(fd, &what, 1);
	switch (what) {
	case C_SINK:
		serve_sink(fd);
		break;
	case C_SOURCE:
		serve_source(fd);
		break;
	case C_CHECK:
		serve_check(fd);
		break;
	case C_COUNT:
		serve_count(fd);
		break;
	case C_FLOOD:
		serve_flood(fd);
		break;
	}
}

static void
echo_datagrams(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	uint16_t port = PORT;
	int s = datagrams(&port);
	char buf[SMALL];
	ssize_t n;

	for (;; len = sizeof(from)) {
		n = recvfrom(s, buf, sizeof(buf), 0, (void *)&from, &len);
		if (n > 0)
			(void)!sendto(s, buf, (size_t)n, 0, (void *)&from, len);
	}
}

static void
serve_all(void)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
	};
	int s = stream(), on = 1, fd;

	signal(SIGCHLD, SIG_IGN);
	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		echo_datagrams();
	}
	(void)setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) == -1 ||
	    listen(s, 64) == -1)
		err(1, "listen");
	printf("netio serves\n");
	fflush(stdout);
	while ((fd = accept(s, NULL, NULL)) != -1) {
		if (fork() == 0) {
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
	err(1, "accept");
}

/* ---- client ---- */

static int
connection(char what)
{
	int s = -1, try;

	for (try = 0; try < 100; try++) {
		s = stream();
		if (connect(s, (void *)&server, sizeof(server)) == 0)
			break;
		close(s);
		s = -1;
		usleep(100000);
	}
	if (s == -1)
		err(1, "connect");
	write_all(s, &what, 1);
	return s;
}

static uint64_t
out(int fd)
{
	double end = now() + seconds;
	uint64_t total = 0;
	ssize_t n;

	while (now() < end) {
		n = write(fd, block, sizeof(block));
		if (n <= 0)
			err(1, "write");
		total += (uint64_t)n;
	}
	return total;
}

static uint64_t
in(int fd)
{
	double end = now() + seconds;
	uint64_t total = 0;
	ssize_t n;

	while (now() < end) {
		n = read(fd, block, sizeof(block));
		if (n <= 0)
			err(1, "read");
		total += (uint64_t)n;
	}
	return total;
}

/* Byte i of a stream that is its own. */
static uint8_t
byte(uint64_t i, unsigned seed)
{
	uint64_t x = (i / 8 + seed) * 0x9e3779b97f4a7c15ULL;

	return (uint8_t)(x >> 8 * (i % 8));
}

/* How many bytes did not come back as they were. */
static uint64_t
check(int fd)
{
	unsigned seed = (unsigned)getpid();
	double end = now() + seconds;
	uint64_t wrong = 0, at = 0;
	uint8_t buf[16384], back[sizeof(buf)];
	size_t i;

	while (now() < end) {
		for (i = 0; i < sizeof(buf); i++)
			buf[i] = byte(at + i, seed);
		write_all(fd, buf, sizeof(buf));
		read_all(fd, back, sizeof(back));
		for (i = 0; i < sizeof(buf); i++)
			wrong += back[i] != buf[i];
		at += sizeof(buf);
	}
	return wrong;
}

/* The sum over all streams, each a process. */
static uint64_t
all_streams(char what, uint64_t (*job)(int))
{
	uint64_t sum = 0, part;
	int result[2], status;
	unsigned i;

	if (pipe(result) == -1)
		err(1, "pipe");
	for (i = 0; i < streams; i++) {
		if (fork() != 0)
			continue;
		part = job(connection(what));
		write_all(result[1], &part, sizeof(part));
		_exit(0);
	}
	close(result[1]);
	for (i = 0; i < streams; i++) {
		read_all(result[0], &part, sizeof(part));
		sum += part;
	}
	close(result[0]);
	while (wait(&status) > 0)
		;
	return sum;
}

static double
packets_out(void)
{
	struct sockaddr_in a = server;
	uint16_t port = 0, to;
	int fd = connection(C_COUNT), s = datagrams(&port);
	uint64_t n;

	read_all(fd, &to, sizeof(to));
	a.sin_port = htons(to);
	flood(s, &a, now() + seconds, -1);
	usleep(200000); /* what is still under way */
	write_all(fd, "", 1);
	read_all(fd, &n, sizeof(n));
	close(fd);
	close(s);
	return (double)n / seconds;
}

static double
packets_in(void)
{
	uint16_t port = 0;
	int fd = connection(C_FLOOD), s = datagrams(&port), timer[2];
	uint64_t n;

	if (pipe(timer) == -1)
		err(1, "pipe");
	write_all(fd, &port, sizeof(port));
	if (fork() == 0) {
		usleep((useconds_t)(seconds * 1e6));
		write_all(timer[1], "", 1);
		_exit(0);
	}
	n = count(s, timer[0]);
	close(fd);
	close(s);
	close(timer[0]);
	close(timer[1]);
	return (double)n / seconds;
}

/* The job before may have left full queues, in which datagrams are lost: until
 * one was answered and nothing more comes. */
static void
settle(int s)
{
	struct pollfd p = { s, POLLIN, 0 };
	char buf[SMALL] = { 0 };
	unsigned try;

	for (try = 0; try < 50; try++) {
		(void)!send(s, buf, sizeof(buf), 0);
		if (poll(&p, 1, 100) == 1)
			break;
	}
	while (poll(&p, 1, 100) == 1)
		(void)!recv(s, buf, sizeof(buf), 0);
}

static double
rtt(void)
{
	uint16_t port = 0;
	int s = datagrams(&port);
	struct pollfd p = { s, POLLIN, 0 };
	char buf[SMALL] = { 0 };
	double t0;
	uint64_t n = 0;

	if (connect(s, (void *)&server, sizeof(server)) == -1)
		err(1, "connect");
	settle(s);
	t0 = now();
	while (now() < t0 + seconds) {
		(void)!send(s, buf, sizeof(buf), 0);
		if (poll(&p, 1, 1000) == 1 && recv(s, buf, sizeof(buf), 0) > 0)
			n++;
	}
	close(s);
	return n > 0 ? (now() - t0) * 1e6 / (double)n : 0;
}

static double
run(const char *job)
{
	if (strcmp(job, "out") == 0)
		return (double)all_streams(C_SINK, out) / seconds / 1e6;
	if (strcmp(job, "in") == 0)
		return (double)all_streams(C_SOURCE, in) / seconds / 1e6;
	if (strcmp(job, "check") == 0)
		return (double)all_streams(C_CHECK, check);
	if (strcmp(job, "packets-out") == 0)
		return packets_out();
	if (strcmp(job, "packets-in") == 0)
		return packets_in();
	if (strcmp(job, "rtt") == 0)
		return rtt();
	errx(1, "%s: no such job", job);
}

static void
usage(void)
{
	errx(1,
	    "usage: netio [-msw] [-a address] [-t seconds] "
	    "[server job[:streams] ...]");
}

int
main(int argc, char **argv)
{
	bool serving = false, staying = false;
	char *number;
	int ch, i;

	while ((ch = getopt(argc, argv, "a:mst:w")) != -1) {
		switch (ch) {
		case 'a':
			configure(optarg);
			break;
		case 'm':
			touch_memory();
			break;
		case 's':
			serving = true;
			break;
		case 't':
			seconds = atof(optarg);
			break;
		case 'w':
			staying = true;
			break;
		default:
			usage();
		}
	}
	if (seconds <= 0)
		usage();
	if (serving)
		serve_all();
	if (argc - optind < 2)
		usage();
	server.sin_port = htons(PORT);
	if (inet_pton(AF_INET, argv[optind], &server.sin_addr) != 1)
		errx(1, "%s: not an address", argv[optind]);
	for (i = optind + 1; i < argc; i++) {
		number = strchr(argv[i], ':');
		streams = number != NULL ? (unsigned)atoi(number + 1) : 1;
		if (number != NULL)
			*number = '\0';
		if (streams < 1 || streams > STREAMS)
			usage();
		printf("result %s-%u %.1f\n", argv[i], streams, run(argv[i]));
		fflush(stdout);
	}
	printf("netio end\n");
	fflush(stdout);
	if (staying)
		pause();
	return 0;
}
