/* SPDX-License-Identifier: ISC */
/*
 * The grammar of vm.conf(5); stmt.c gives it its meaning.
 *
 * An error is reported once, and parsing goes on at the next statement that
 * can be told apart: at the end of the line, or behind the closing brace of
 * a block that the bad line opened.
 */
%define api.pure full
%define api.location.type {struct lex_loc}
%define parse.error simple
/* An error is seen before the statement's block is given up for it. */
%define lr.default-reduction consistent
%locations
%param {struct parse *p}
%initial-action { @$ = (struct lex_loc){ p->opts->file, 0 }; }

%code requires {
#include "stmt.h"
}

%code {
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YYLLOC_DEFAULT(cur, rhs, n)                                            \
	((cur) = (n) != 0 ? YYRHSLOC(rhs, 1) : YYRHSLOC(rhs, 0))

static int yylex(YYSTYPE *, YYLTYPE *, struct parse *);
static void yyerror(YYLTYPE *, struct parse *, const char *);
static void recover(struct parse *, int depth);
static char *join(char *, char *);
static void once(struct parse *, struct lex_loc, bool, const char *);
}

%union {
	int64_t number;
	char *string;
	bool flag;
	struct stmt_disk disk;
}

%token AGENTX ALLOW CLIENT CLOUD_INIT CONSOLE CONTEXT INSTANCE PATH_KW SCREEN SEV SEVES
%token BANDWIDTH BASE BOOT BURST CDROM CMDLINE CPU CPUS CREATE DELAY DEVICE DISABLE DISK DOWN EFIVARS ENABLE FLOPPY FORMAT GROUP
%token HYPERVISOR INCLUDE INET6 INITRD INTERFACE INTERFACES IOPS LIMIT LISTEN LLADDR LOCAL
%token LOCKED SERIAL
%token MEMORY OWNER PARALLEL PREFIX_KW RDOMAIN READONLY SOCKET STAGGERED START
%token SWITCH TLS UP VM BAD
%token <number> NUMBER
%token <string> STRING
%type <string> string size owner ifname lladdr parent burst word
%type <number> iopsburst
%type <flag> local
%type <disk> diskopts
%destructor { free($$); } <string>
%destructor { stmt_disk_free(&$$); } <disk>

%%

file
	: %empty
	| file '\n'
	| file include '\n'
	| file define '\n'
	| file global '\n'
	| file switch '\n'
	| file listen '\n'
	| file vm '\n'
	| file error '\n'		{ recover(p, 0); yyerrok; }
	;

include
	: INCLUDE string		{ stmt_include(p, @1, $2); free($2); }
	;

define
	: STRING '=' string {
		stmt_define(p, @1, $1, $3);
		free($1);
		free($3);
	}
	;

global
	: SOCKET OWNER owner		{ stmt_socket(p, @1, $3); free($3); }
	| HYPERVISOR string		{ stmt_hypervisor(p, @1, $2); free($2); }
	| ALLOW CLIENT STRING STRING owner {
		stmt_allow_client(p, @1, $3, $4, $5);
		free($3);
		free($4);
		free($5);
	}
	| AGENTX agentx {
		stmt_error(p, @1, "agentx is not supported: "
		    "see status -j in vmctl(8)");
	}
	| STAGGERED START PARALLEL NUMBER DELAY NUMBER {
		stmt_staggered(p, @1, $4, $6);
	}
	| LOCAL PREFIX_KW string		{ stmt_local_prefix(p, @1, $3); free($3); }
	| LOCAL INET6			{ stmt_local_inet6(p, @1, NULL); }
	| LOCAL INET6 PREFIX_KW string	{ stmt_local_inet6(p, @1, $4); free($4); }
	;

agentx
	: %empty
	| agentx CONTEXT string		{ free($3); }
	| agentx PATH_KW string		{ free($3); }
	;

listen
	: LISTEN STRING STRING TLS '{' {
		stmt_listen_begin(p, @1, $2, $3, NULL, 0);
		free($2);
		free($3);
		$2 = $3 = NULL; /* they stay on the stack: the destructor */
	} tlsbody '}'			{ stmt_listen_end(p, @1); }
	| LISTEN STRING STRING STRING NUMBER TLS '{' {
		stmt_listen_begin(p, @1, $2, $3, $4, $5);
		free($2);
		free($3);
		free($4);
		$2 = $3 = $4 = NULL;
	} tlsbody '}'			{ stmt_listen_end(p, @1); }
	;

tlsbody
	: tlslines
	| tlslines tlsitem
	;

tlslines
	: %empty
	| tlslines nicsep
	| tlslines tlsitem nicsep
	;

tlsitem
	: STRING string {
		stmt_listen_item(p, @1, $1, $2);
		free($1);
		free($2);
	}
	;

switch
	: SWITCH string '{' {
		stmt_switch_begin(p, @1, $2);
		free($2);
		$2 = NULL;
	} swbody '}'			{ stmt_switch_end(p, @1); }
	;

swbody
	: swlines
	| swlines swstmt
	;

swlines
	: %empty
	| swlines '\n'
	| swlines swstmt '\n'
	| swlines error '\n'		{ recover(p, 1); yyerrok; }
	;

swstmt
	: INTERFACE string		{ stmt_switch_interface(p, @1, $2); free($2); }
	| CREATE			{ stmt_switch_create(p); }
	| ENABLE			{ stmt_switch_enable(p, true); }
	| DISABLE			{ stmt_switch_enable(p, false); }
	| GROUP string			{ stmt_group(p, @1, $2); free($2); }
	| LOCKED LLADDR			{ stmt_lladdr(p, @1, true, NULL); }
	| RDOMAIN NUMBER		{ stmt_rdomain(p, @1, $2); }
	| UP				{ stmt_up(p, true); }
	| DOWN				{ stmt_up(p, false); }
	;

vm
	: VM string parent '{' {
		/* `vm PARENT instance NAME' */
		stmt_vm_begin(p, @1, $3 == NULL ? $2 : $3,
		    $3 == NULL ? NULL : $2);
		free($2);
		free($3);
		$2 = $3 = NULL; /* they stay on the stack: the destructor */
	} body '}'			{ stmt_vm_end(p, @7); }
	;

parent
	: %empty			{ $$ = NULL; }
	| INSTANCE string		{ $$ = $2; }
	;

body
	: lines
	| lines vmstmt
	;

lines
	: %empty
	| lines '\n'
	| lines vmstmt '\n'
	| lines error '\n'		{ recover(p, 1); yyerrok; }
	;

vmstmt
	: MEMORY size			{ stmt_memory(p, @1, $2); free($2); }
	| CPUS NUMBER			{ stmt_cpus(p, @1, $2); }
	| CPU string			{ stmt_cpu(p, @1, $2); free($2); }
	| BOOT string			{ stmt_boot(p, @1, $2); free($2); }
	| BOOT DEVICE CDROM		{ stmt_boot_device(p, @1, "cdrom"); }
	| BOOT DEVICE DISK		{ stmt_boot_device(p, @1, "disk"); }
	| BOOT DEVICE string		{ stmt_boot_device(p, @1, $3); free($3); }
	| INITRD string			{ stmt_initrd(p, @1, $2); free($2); }
	| CMDLINE string		{ stmt_cmdline(p, @1, $2); free($2); }
	| FLOPPY string			{ stmt_floppy(p, @1, $2); free($2); }
	| EFIVARS string		{ stmt_efivars(p, @1, $2); free($2); }
	| DISK string diskopts {
		stmt_disk(p, @1, $2, &$3);
		free($2);
		stmt_disk_free(&$3);
	}
	| CDROM string			{ stmt_cdrom(p, @1, $2); free($2); }
	| CLOUD_INIT			{ stmt_seed_begin(p, @1); } seed
	| ALLOW INSTANCE		{ stmt_allow_begin(p, @1); } allow
	| LIMIT				{ stmt_limit_begin(p, @1); } limit
	| SCREEN			{ stmt_screen(p); }
	| CONSOLE STRING {
		stmt_console(p, @2, $2);
		free($2);
	}
	| STRING STRING STRING {
		if (strcmp($1, "on") == 0)
			stmt_on(p, @2, $2, @3, $3);
		else
			stmt_error(p, @1, "syntax error");
		free($1);
		free($2);
		free($3);
	}
	| SEV				{ stmt_sev(p, false); }
	| SEVES				{ stmt_sev(p, true); }
	| ENABLE			{ stmt_enable(p, true); }
	| DISABLE			{ stmt_enable(p, false); }
	| OWNER owner			{ stmt_owner(p, @1, $2); free($2); }
	| INTERFACES NUMBER		{ stmt_interfaces(p, @1, $2); }
	| local INTERFACE ifname {
		stmt_nic_begin(p, @2, $1, $3);
		free($3);
		$3 = NULL; /* it stays on the stack: the destructor */
	} nicopts			{ stmt_nic_end(p, @2); }
	;

seed
	: '{' seedlines '}'
	| '{' seedlines seeditem '}'
	;

seedlines
	: %empty
	| seedlines nicsep
	| seedlines seeditem nicsep
	;

/* Words that mean something here are words like others elsewhere. */
seeditem
	: STRING string {
		stmt_seed(p, @1, $1, $2);
		free($1);
		free($2);
	}
	;

allow
	: allowitem
	| '{' allowlines '}'
	| '{' allowlines allowitem '}'
	;

allowlines
	: %empty
	| allowlines nicsep
	| allowlines allowitem nicsep
	;

allowitem
	: BOOT				{ stmt_allow(p, VM_I_BOOT); }
	| CDROM				{ stmt_allow(p, VM_I_CDROM); }
	| CLOUD_INIT			{ stmt_allow(p, VM_I_SEED); }
	| CPU				{ stmt_allow(p, VM_I_CPU); }
	| CPUS				{ stmt_allow(p, VM_I_CPUS); }
	| DISK				{ stmt_allow(p, VM_I_DISK); }
	| INSTANCE			{ stmt_allow(p, VM_I_INSTANCE); }
	| INTERFACE			{ stmt_allow(p, VM_I_INTERFACE); }
	| LIMIT				{ stmt_allow(p, VM_I_LIMIT); }
	| MEMORY			{ stmt_allow(p, VM_I_MEMORY); }
	| OWNER owner			{ stmt_allow_owner(p, @1, $2); free($2); }
	;

limit
	: limititem
	| '{' limitlines '}'
	| '{' limitlines limititem '}'
	;

limitlines
	: %empty
	| limitlines nicsep
	| limitlines limititem nicsep
	;

/* Words that are none elsewhere: `read' may be the name of a VM. */
limititem
	: MEMORY word {
		stmt_limit(p, @1, "memory", NULL, $2);
		free($2);
	}
	| CPU word {
		stmt_limit(p, @1, "cpu", NULL, $2);
		free($2);
	}
	| CPU STRING word {
		stmt_limit(p, @1, "cpu", $2, $3);
		free($2);
		free($3);
	}
	| STRING word {
		stmt_limit(p, @1, $1, NULL, $2);
		free($1);
		free($2);
	}
	| STRING STRING word {
		stmt_limit(p, @1, $1, $2, $3);
		free($1);
		free($2);
		free($3);
	}
	;

local
	: %empty			{ $$ = false; }
	| LOCAL				{ $$ = true; }
	;

ifname
	: %empty			{ $$ = NULL; }
	| STRING
	;

nicopts
	: %empty
	| nicopt
	| nicopts ',' nicopt
	| '{' niclines '}'
	| '{' niclines nicopt '}'
	;

niclines
	: %empty
	| niclines nicsep
	| niclines nicopt nicsep
	;

nicsep
	: '\n'
	| ','
	;

nicopt
	: GROUP STRING			{ stmt_group(p, @1, $2); free($2); }
	| LLADDR lladdr			{ stmt_lladdr(p, @1, false, $2); free($2); }
	| LOCKED LLADDR lladdr		{ stmt_lladdr(p, @1, true, $3); free($3); }
	| RDOMAIN NUMBER		{ stmt_rdomain(p, @1, $2); }
	| SWITCH string			{ stmt_nic_switch(p, @1, $2); free($2); }
	| BANDWIDTH size burst {
		stmt_nic_bandwidth(p, @1, $2, $3);
		free($2);
		free($3);
	}
	| UP				{ stmt_up(p, true); }
	| DOWN				{ stmt_up(p, false); }
	;

lladdr
	: %empty			{ $$ = NULL; }
	| STRING
	;

diskopts
	: %empty			{ $$ = (struct stmt_disk){ 0 }; }
	| diskopts FORMAT string {
		$$ = $1;
		once(p, @2, $$.format != NULL, "format");
		free($$.format);
		$$.format = $3;
	}
	| diskopts BASE string {
		$$ = $1;
		once(p, @2, $$.base != NULL, "base");
		free($$.base);
		$$.base = $3;
	}
	| diskopts READONLY {
		$$ = $1;
		once(p, @2, $$.readonly, "readonly");
		$$.readonly = true;
	}
	| diskopts SERIAL string {
		$$ = $1;
		once(p, @2, $$.serial != NULL, "serial");
		free($$.serial);
		$$.serial = $3;
	}
	| diskopts IOPS NUMBER iopsburst {
		$$ = $1;
		once(p, @2, $$.has_iops, "iops");
		$$.has_iops = true;
		$$.iops = $3;
		$$.has_iops_burst = $4 != -1;
		$$.iops_burst = $4;
	}
	| diskopts BANDWIDTH size burst {
		$$ = $1;
		once(p, @2, $$.bandwidth != NULL, "bandwidth");
		free($$.bandwidth);
		free($$.bandwidth_burst);
		$$.bandwidth = $3;
		$$.bandwidth_burst = $4;
	}
	;

iopsburst
	: %empty			{ $$ = -1; }
	| BURST NUMBER			{ $$ = $2; }
	;

burst
	: %empty			{ $$ = NULL; }
	| BURST size			{ $$ = $2; }
	;

size
	: string
	| NUMBER {
		if (asprintf(&$$, "%lld", (long long)$1) == -1) {
			$$ = NULL;
			YYNOMEM;
		}
	}
	;

word
	: STRING
	| NUMBER {
		if (asprintf(&$$, "%lld", (long long)$1) == -1) {
			$$ = NULL;
			YYNOMEM;
		}
	}
	;

owner
	: string
	| NUMBER {
		if (asprintf(&$$, "%lld", (long long)$1) == -1) {
			$$ = NULL;
			YYNOMEM;
		}
	}
	;

/* Adjacent strings are one: `disk $dir "file.img"'. */
string
	: STRING
	| string STRING {
		if (($$ = join($1, $2)) == NULL)
			YYNOMEM;
	}
	;

%%

static const struct keyword {
	const char *name;
	int token;
} keywords[] = {
	{ "agentx", AGENTX },
	{ "allow", ALLOW },
	{ "bandwidth", BANDWIDTH },
	{ "base", BASE },
	{ "boot", BOOT },
	{ "burst", BURST },
	{ "cdrom", CDROM },
	{ "client", CLIENT },
	{ "cloud-init", CLOUD_INIT },
	{ "cmdline", CMDLINE },
	{ "console", CONSOLE },
	{ "context", CONTEXT },
	{ "cpu", CPU },
	{ "cpus", CPUS },
	{ "create", CREATE },
	{ "delay", DELAY },
	{ "device", DEVICE },
	{ "disable", DISABLE },
	{ "disk", DISK },
	{ "down", DOWN },
	{ "efivars", EFIVARS },
	{ "enable", ENABLE },
	{ "floppy", FLOPPY },
	{ "format", FORMAT },
	{ "group", GROUP },
	{ "hypervisor", HYPERVISOR },
	{ "include", INCLUDE },
	{ "inet6", INET6 },
	{ "initrd", INITRD },
	{ "instance", INSTANCE },
	{ "interface", INTERFACE },
	{ "interfaces", INTERFACES },
	{ "iops", IOPS },
	{ "limit", LIMIT },
	{ "listen", LISTEN },
	{ "lladdr", LLADDR },
	{ "local", LOCAL },
	{ "locked", LOCKED },
	{ "memory", MEMORY },
	{ "owner", OWNER },
	{ "parallel", PARALLEL },
	{ "path", PATH_KW },
	{ "prefix", PREFIX_KW },
	{ "rdomain", RDOMAIN },
	{ "readonly", READONLY },
	{ "screen", SCREEN },
	{ "serial", SERIAL },
	{ "sev", SEV },
	{ "seves", SEVES },
	{ "socket", SOCKET },
	{ "staggered", STAGGERED },
	{ "start", START },
	{ "switch", SWITCH },
	{ "tls", TLS },
	{ "up", UP },
	{ "vm", VM },
};

/* Consumes both, whatever the result. */
static char *
join(char *a, char *b)
{
	char *s;

	if (asprintf(&s, "%s%s", a, b) == -1)
		s = NULL;
	free(a);
	free(b);
	return s;
}

/* Of an option of a disk. */
static void
once(struct parse *p, struct lex_loc loc, bool seen, const char *what)
{
	if (seen)
		stmt_error(p, loc, "%s specified more than once", what);
}

static void
yyerror(YYLTYPE *loc, struct parse *p, const char *text)
{
	if (!p->reported)
		stmt_error(p, *loc, "%s", text);
	p->reported = false;
}

static void
lex_error(void *arg, struct lex_loc loc, const char *text)
{
	struct parse *p = arg;

	stmt_error(p, loc, "%s", text);
	p->reported = true;
}

static int
word(const char *text, YYSTYPE *val)
{
	size_t i;

	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (strcmp(text, keywords[i].name) == 0)
			return keywords[i].token;
	}
	if (strspn(text, "0123456789") == strlen(text)) {
		errno = 0;
		val->number = strtoll(text, NULL, 10);
		if (errno == 0)
			return NUMBER;
	}
	if ((val->string = strdup(text)) == NULL)
		return BAD;
	return STRING;
}

/* The next token, with braces counted. */
static int
next(YYSTYPE *val, struct parse *p)
{
	struct lex_token *tok = &p->tok;

	lex_next(p->lex, tok);
	switch (tok->kind) {
	case LEX_EOF:
		return YYEOF;
	case LEX_NEWLINE:
		return '\n';
	case LEX_WORD:
		return word(tok->text, val);
	case LEX_STRING:
		if ((val->string = strdup(tok->text)) == NULL)
			return BAD;
		return STRING;
	case LEX_ERROR:
		return BAD;
	case LEX_CHAR:
		break;
	}
	switch (tok->text[0]) {
	case '{':
		p->depth++;
		return '{';
	case '}':
		if (p->depth > 0)
			p->depth--;
		return '}';
	case '=':
		return '=';
	case ',':
		return ',';
	}
	return BAD;
}

static int
yylex(YYSTYPE *val, YYLTYPE *loc, struct parse *p)
{
	int token;

	p->reported = false;
	if (p->errors > STMT_ERRORS_MAX)
		token = YYEOF;
	else if (p->npending > 0)
		token = p->pending[--p->npending];
	else
		token = next(val, p);
	*loc = p->tok.loc;
	return token;
}

/*
 * A line with an error was thrown away; it should have left depth braces
 * open.  Skip a block that it opened, or close the one that it closed.
 */
static void
recover(struct parse *p, int depth)
{
	YYSTYPE val;
	int token;

	if (p->depth < depth) {
		p->pending[0] = '\n';
		p->pending[1] = '}';
		p->npending = 2;
		return;
	}
	while (p->depth > depth) {
		token = next(&val, p);
		if (token == YYEOF)
			break;
		if (token == STRING)
			free(val.string);
	}
}

static void
unused_macros(struct parse *p)
{
	struct macro *m;

	TAILQ_FOREACH(m, &p->macros, entry) {
		if (!m->used && !m->option)
			stmt_warn(p, (struct lex_loc){ m->file, m->line },
			    "macro '%s' not used", m->name);
	}
}

static void
run(struct parse *p)
{
	struct lex_loc top = { p->opts->file, 0 };
	int error;

	error = macro_copy(&p->macros, p->opts->macros);
	if (error == 0)
		error = lex_include(p->lex, p->opts->file);
	if (error == -ENOENT && p->opts->optional)
		return;
	if (error != 0) {
		stmt_error(p, top, "%s", stmt_file_error(error));
		return;
	}
	if (yyparse(p) != 0 && p->errors == 0)
		stmt_error(p, p->tok.loc, "out of memory");
	stmt_instances(p);
	unused_macros(p);
}

struct conf *
conf_load(const struct conf_opts *opts)
{
	struct parse *p = calloc(1, sizeof(*p));
	struct conf *conf = NULL;

	if (p == NULL)
		return NULL;
	p->opts = opts;
	TAILQ_INIT(&p->macros);
	p->conf = opts->onto != NULL ? conf_copy(opts->onto) : conf_new();
	p->vm = calloc(1, sizeof(*p->vm));
	p->lex = lex_new(&p->macros, lex_error, p);
	if (p->lex != NULL && opts->onto != NULL)
		lex_trust_root(p->lex);
	if (p->conf == NULL || p->vm == NULL || p->lex == NULL)
		opts->report(opts->arg, opts->file, 0, "out of memory");
	else {
		run(p);
		if (p->errors == 0) {
			conf = p->conf;
			p->conf = NULL;
		}
	}
	macro_clear(&p->macros);
	lex_free(p->lex);
	conf_free(p->conf);
	free(p->vm);
	free(p);
	return conf;
}
