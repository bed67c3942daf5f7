/* SPDX-License-Identifier: ISC */
/* Statements of vm.conf(5) about instances of VMs. */
#include <string.h>

#include "instance.h"
#include "stmt.h"

#define GENERATIONS_MAX 8

void
stmt_allow_begin(struct parse *p, struct lex_loc loc)
{
	p->nstmts++;
	if (stmt_only_once(p, loc, STMT_ALLOW, "allow instance"))
		p->vm->conf.given |= VM_I_INSTANCE;
}

void
stmt_allow(struct parse *p, enum vm_item item)
{
	p->vm->conf.allow.items |= item;
}

void
stmt_allow_owner(struct parse *p, struct lex_loc loc, const char *s)
{
	struct vm_allow *a = &p->vm->conf.allow;
	uid_t uid = 0;
	gid_t gid = VM_NOGID;

	if (!stmt_ids(p, loc, s, &uid, &gid))
		return;
	a->items |= VM_I_OWNER;
	a->uid = uid;
	a->gid = gid;
}

static struct conf_vm *
find(const struct parse *p, const char *name)
{
	struct conf_vm *cv;

	TAILQ_FOREACH(cv, &p->conf->vms, entry)
	{
		if (strcmp(cv->conf.name, name) == 0)
			return cv;
	}
	return NULL;
}

/*
 * The parent, complete; NULL when it is not yet, or never will be: it may be
 * unknown because it had an error, when the file is broken.
 */
static const struct vmconf *
parent_of(struct parse *p, struct conf_vm *cv, bool broken)
{
	struct conf_vm *parent = find(p, cv->conf.parent);

	if (parent != NULL)
		return parent->merged ? &parent->conf : NULL;
	if (!broken)
		stmt_error(p, (struct lex_loc){ cv->file, cv->line },
		    "vm \"%s\" is an instance of an unknown vm: %s",
		    cv->conf.name, cv->conf.parent);
	cv->merged = true; /* said once */
	return NULL;
}

static void
merge(struct parse *p, struct conf_vm *cv, bool broken)
{
	const struct vmconf *parent;
	struct fail why;

	if (cv->merged)
		return;
	if (cv->conf.parent[0] == '\0') {
		cv->merged = true;
		cv->conf.given = 0; /* whether a default was said is nothing */
	} else if ((parent = parent_of(p, cv, broken)) != NULL) {
		cv->merged = true;
		if (instance_merge(parent, &cv->conf, &why) != 0)
			stmt_error(p, (struct lex_loc){ cv->file, cv->line },
			    "vm \"%s\": %s", cv->conf.name, why.text);
	}
}

void
stmt_instances(struct parse *p)
{
	bool broken = p->errors != 0;
	struct conf_vm *cv;
	unsigned i;

	for (i = 0; i <= GENERATIONS_MAX; i++) {
		TAILQ_FOREACH(cv, &p->conf->vms, entry)
		merge(p, cv, broken);
	}
	TAILQ_FOREACH(cv, &p->conf->vms, entry)
	{
		if (!cv->merged)
			stmt_error(p, (struct lex_loc){ cv->file, cv->line },
			    "vm \"%s\" is an instance of itself or has more "
			    "than %d generations",
			    cv->conf.name, GENERATIONS_MAX);
		stmt_seed_check(p, cv);
		cv->file = NULL;
	}
}
