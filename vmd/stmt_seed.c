/* SPDX-License-Identifier: ISC */
/* Statements of vm.conf(5) about cloud-init. */
#include <stddef.h>
#include <string.h>

#include "stmt.h"

static const struct {
	const char *name;
	size_t path; /* where it is in a struct vm_seedconf */
} files[] = {
	{ "user-data", offsetof(struct vm_seedconf, user_data) },
	{ "network-config", offsetof(struct vm_seedconf, network_config) },
	{ "ssh-key", offsetof(struct vm_seedconf, ssh_key) },
};
#define NFILES (sizeof(files) / sizeof(files[0]))

static enum stmt_once
item_bit(size_t i)
{
	return (enum stmt_once)(STMT_SEED_ITEM << i);
}

void
stmt_seed_begin(struct parse *p, struct lex_loc loc)
{
	p->nstmts++;
	if (!stmt_only_once(p, loc, STMT_SEED, "cloud-init"))
		return;
	p->vm->conf.flags |= VM_F_SEED;
	p->vm->conf.given |= VM_I_SEED;
}

static void
hostname(struct parse *p, struct lex_loc loc, const char *s)
{
	struct vm_seedconf *seed = &p->vm->conf.seed;

	if (!stmt_only_once(p, loc, item_bit(NFILES), "hostname"))
		return;
	if (vmconf_hostname_ok(s))
		memcpy(seed->hostname, s, strlen(s) + 1);
	else
		stmt_error(p, loc, "invalid hostname: %.64s", s);
}

void
stmt_seed(
    struct parse *p, struct lex_loc loc, const char *item, const char *value)
{
	char *seed = (char *)&p->vm->conf.seed;
	size_t i;

	if (strcmp(item, "hostname") == 0) {
		hostname(p, loc, value);
		return;
	}
	for (i = 0; i < NFILES; i++) {
		if (strcmp(item, files[i].name) != 0)
			continue;
		if (stmt_only_once(p, loc, item_bit(i), item))
			stmt_path(p, loc, item, value, seed + files[i].path);
		return;
	}
	stmt_error(p, loc, "cloud-init has no %.64s", item);
}

void
stmt_seed_check(struct parse *p, const struct conf_vm *cv)
{
	if ((cv->conf.flags & VM_F_SEED) != 0 &&
	    vmconf_hostname(&cv->conf) == NULL)
		stmt_error(p, (struct lex_loc){ cv->file, cv->line },
		    "vm \"%s\": not the name of a host: cloud-init needs a "
		    "hostname",
		    cv->conf.name);
}
