/* SPDX-License-Identifier: ISC */
/* Statements of vm.conf(5) about control from other hosts. */
#include <arpa/inet.h>
#include <string.h>

#include "stmt.h"

void
stmt_listen_begin(struct parse *p, struct lex_loc loc, const char *on,
    const char *addr, const char *port, int64_t n)
{
	struct conf_listen *l = &p->listen;
	uint8_t a[16];

	memset(l, 0, sizeof(*l));
	p->listen_errors = p->errors;
	l->port = CONF_PORT;
	if (strcmp(on, "on") != 0) {
		stmt_error(p, loc, "listen on, not listen %.64s", on);
		return;
	}
	if (strlen(addr) < sizeof(l->addr) &&
	    (inet_pton(AF_INET, addr, a) == 1 ||
		inet_pton(AF_INET6, addr, a) == 1))
		memcpy(l->addr, addr, strlen(addr) + 1);
	else
		stmt_error(p, loc, "listen: not an IP address: %.64s", addr);
	if (port == NULL)
		return;
	if (strcmp(port, "port") != 0)
		stmt_error(p, loc, "listen has no %.64s", port);
	else if (n < 1 || n > UINT16_MAX)
		stmt_error(p, loc, "invalid port: %lld", (long long)n);
	else
		l->port = (uint16_t)n;
}

void
stmt_listen_item(
    struct parse *p, struct lex_loc loc, const char *item, const char *path)
{
	char *out;
	int i;

	for (i = 0; i < CONF_TLS_FILES; i++) {
		if (strcmp(item, conf_tls_name((enum conf_tls)i)) != 0)
			continue;
		out = p->listen.file[i];
		if (out[0] != '\0')
			stmt_error(p, loc, "%s specified more than once", item);
		else
			stmt_path(p, loc, item, path, out);
		return;
	}
	stmt_error(p, loc, "tls has no %.64s", item);
}

void
stmt_listen_end(struct parse *p, struct lex_loc loc)
{
	struct conf *c = p->conf;
	unsigned i;

	if (p->errors != p->listen_errors)
		return;
	for (i = 0; i < CONF_TLS_CRL; i++) {
		if (p->listen.file[i][0] != '\0')
			continue;
		stmt_error(p, loc, "listen on %s is missing its %s",
		    p->listen.addr, conf_tls_name((enum conf_tls)i));
		return;
	}
	for (i = 0; i < c->nlistens; i++) {
		if (strcmp(c->listen[i].addr, p->listen.addr) != 0 ||
		    c->listen[i].port != p->listen.port)
			continue;
		stmt_error(p, loc, "listen on %s port %u more than once",
		    p->listen.addr, p->listen.port);
		return;
	}
	if (c->nlistens == CONF_LISTENS_MAX)
		stmt_error(p, loc, "too many addresses to listen on");
	else
		c->listen[c->nlistens++] = p->listen;
}

/* What a certificate's subject looks like: "/C=DE/CN=alice". */
static bool
subject_ok(const char *s)
{
	size_t i;

	if (s[0] != '/' || strchr(s, '=') == NULL ||
	    strlen(s) > CONF_SUBJECT_MAX)
		return false;
	for (i = 0; s[i] != '\0'; i++) {
		if (s[i] < ' ' || s[i] > '~')
			return false;
	}
	return true;
}

void
stmt_allow_client(struct parse *p, struct lex_loc loc, const char *subject,
    const char *as, const char *user)
{
	struct conf *c = p->conf;
	struct conf_remote r;
	gid_t gid = VM_NOGID;

	memset(&r, 0, sizeof(r));
	if (strcmp(as, "as") != 0) {
		stmt_error(p, loc, "allow client ... as, not %.64s", as);
		return;
	}
	if (!subject_ok(subject)) {
		stmt_error(p, loc,
		    "not the subject of a certificate, like /CN=name: %.64s",
		    subject);
		return;
	}
	memcpy(r.subject, subject, strlen(subject) + 1);
	if (!stmt_ids(p, loc, user, &r.uid, &gid))
		return;
	if (strchr(user, ':') != NULL)
		stmt_error(
		    p, loc, "a client is a user, without a group: %.64s", user);
	else if (conf_remote(c, subject) != NULL)
		stmt_error(
		    p, loc, "client %.64s allowed more than once", subject);
	else if (c->nremotes == CONF_REMOTES_MAX)
		stmt_error(p, loc, "too many clients");
	else
		c->remote[c->nremotes++] = r;
}
