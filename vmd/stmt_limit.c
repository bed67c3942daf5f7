/* SPDX-License-Identifier: ISC */
/* The statement of vm.conf(5) about what a VM may use of the host. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "stmt.h"

void
stmt_limit_begin(struct parse *p, struct lex_loc loc)
{
	p->nstmts++;
	if (stmt_only_once(p, loc, STMT_LIMIT, "limit"))
		p->vm->conf.given |= VM_I_LIMIT;
}

/* Digits, and then this. */
static bool
number(const char *s, const char *suffix, uint64_t *value)
{
	size_t n = strspn(s, "0123456789");

	if (n == 0 || strcmp(s + n, suffix) != 0)
		return false;
	errno = 0;
	*value = strtoull(s, NULL, 10);
	return errno == 0;
}

static bool
parse(enum vm_quota_form form, const char *s, uint64_t *value)
{
	switch (form) {
	case VM_Q_PERCENT:
		return number(s, "%", value);
	case VM_Q_NUMBER:
		return number(s, "", value);
	case VM_Q_SIZE:
		break;
	}
	return vmconf_size(s, value) == 0;
}

/* The kind that these words name; VM_QUOTAS if none does. */
static unsigned
find(const char *what, const char *which)
{
	const char *words;
	size_t n = strlen(what);
	unsigned i;

	for (i = 0; i < VM_QUOTAS; i++) {
		words = vm_quota_rows[i].words;
		if (strncmp(words, what, n) != 0)
			continue;
		if (which == NULL
			? words[n] == '\0'
			: words[n] == ' ' && strcmp(words + n + 1, which) == 0)
			break;
	}
	return i;
}

void
stmt_limit(struct parse *p, struct lex_loc loc, const char *what,
    const char *which, const char *s)
{
	unsigned i = find(what, which);
	const struct vm_quota_row *row;
	uint64_t value;

	if (i == VM_QUOTAS) {
		stmt_error(p, loc, "unknown limit: %.64s%s%.64s", what,
		    which != NULL ? " " : "", which != NULL ? which : "");
		return;
	}
	row = &vm_quota_rows[i];
	if (!parse(row->form, s, &value))
		stmt_error(
		    p, loc, "failed to parse limit: %s %.64s", row->words, s);
	else if (value < row->min || value > row->max)
		stmt_error(
		    p, loc, "limit out of range: %s %.64s", row->words, s);
	else if (p->vm->conf.quota[i] != 0)
		stmt_error(
		    p, loc, "limit of %s specified more than once", row->words);
	else
		p->vm->conf.quota[i] = value;
}
