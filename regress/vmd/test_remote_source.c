/* SPDX-License-Identifier: ISC */
/* How many clients of other hosts may come from where. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "remote_impl.h"

#define T0 1000000

static struct sockaddr_storage
address(const char *s)
{
	struct sockaddr_storage ss = { 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, s, &sin.sin_addr) == 1)
		memcpy(&ss, &sin, sizeof(sin));
	else {
		assert_int_equal(inet_pton(AF_INET6, s, &sin6.sin6_addr), 1);
		memcpy(&ss, &sin6, sizeof(sin6));
	}
	return ss;
}

static struct source *
take(struct sources *all, const char *s, int64_t now)
{
	struct sockaddr_storage ss = address(s);

	return source_take(all, &ss, now);
}

static unsigned
count(const struct sources *all)
{
	const struct source *s;
	unsigned n = 0;

	TAILQ_FOREACH(s, all, entry)
	n++;
	return n;
}

/* All go, and after a while nothing is known of them. */
static void
forget(struct sources *all)
{
	struct source *s;

	TAILQ_FOREACH(s, all, entry)
	s->n = 0;
	s = take(all, "192.0.2.99", T0 * 1000);
	assert_non_null(s);
	assert_int_equal(count(all), 1);
	source_give(s);
	assert_non_null(take(all, "192.0.2.98", T0 * 2000));
	assert_int_equal(count(all), 1);
	TAILQ_REMOVE(all, TAILQ_FIRST(all), entry);
}

static void
test_at_a_time(void **state)
{
	struct sources all = TAILQ_HEAD_INITIALIZER(all);
	struct source *s = NULL;
	unsigned i;

	for (i = 0; i < REMOTE_CLIENTS_PER_SOURCE; i++) {
		s = take(&all, "192.0.2.1", T0);
		assert_non_null(s);
	}
	assert_null(take(&all, "192.0.2.1", T0));
	/* Others are others. */
	assert_non_null(take(&all, "192.0.2.2", T0));
	source_give(s);
	assert_non_null(take(&all, "192.0.2.1", T0));
	forget(&all);
}

static void
test_rate(void **state)
{
	struct sources all = TAILQ_HEAD_INITIALIZER(all);
	struct source *s;
	unsigned i;

	for (i = 0; i < REMOTE_BURST; i++) {
		s = take(&all, "192.0.2.1", T0);
		assert_non_null(s);
		source_give(s);
	}
	assert_null(take(&all, "192.0.2.1", T0));
	assert_null(take(&all, "192.0.2.1", T0 + 999));
	/* One a second, and no more than the burst. */
	assert_non_null(take(&all, "192.0.2.1", T0 + 1000));
	assert_null(take(&all, "192.0.2.1", T0 + 1500));
	/* A clock that goes back gives nothing. */
	assert_null(take(&all, "192.0.2.1", T0 - 100000));
	for (i = 0; i < REMOTE_CLIENTS_PER_SOURCE - 1; i++)
		assert_non_null(take(&all, "192.0.2.1", T0 + 3600000));
	assert_null(take(&all, "192.0.2.1", T0 + 3600000));
	forget(&all);
}

/* Who has a network of IPv6 has all of its addresses. */
static void
test_networks(void **state)
{
	struct sources all = TAILQ_HEAD_INITIALIZER(all);
	unsigned i;
	char s[64];

	for (i = 0; i < REMOTE_CLIENTS_PER_SOURCE; i++) {
		snprintf(s, sizeof(s), "2001:db8:1:2::%x", i);
		assert_non_null(take(&all, s, T0));
	}
	assert_null(take(&all, "2001:db8:1:2:ffff::1", T0));
	assert_non_null(take(&all, "2001:db8:1:3::1", T0));
	/* An IPv4 address is not taken for a network's beginning. */
	assert_non_null(take(&all, "32.1.13.184", T0));
	forget(&all);
}

static void
test_in_all(void **state)
{
	struct sources all = TAILQ_HEAD_INITIALIZER(all);
	struct source *s;
	unsigned i;
	char text[32];

	for (i = 0; i < REMOTE_SOURCES_MAX; i++) {
		snprintf(text, sizeof(text), "10.1.%u.%u", i >> 8, i & 255);
		s = take(&all, text, T0);
		assert_non_null(s);
		source_give(s);
	}
	assert_null(take(&all, "192.0.2.1", T0));
	/* As soon as one is forgotten there is room. */
	assert_non_null(take(&all, "192.0.2.1", T0 + 1000));
	forget(&all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_a_time),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_in_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
