/* SPDX-License-Identifier: ISC */
/*
 * The lexer of vm.conf (OpenBSD's vm.conf(5): comments with `#', strings in
 * single or double quotes, `\' newline continues a line, $name at the
 * beginning of a word is replaced by the macro's text).
 *
 * Invariants
 *  1. Sources form a stack: files below, at most one macro text on top.  The
 *     text of a macro is read as if it stood in the file, except that a `$'
 *     in it is plain text: expansion ends.
 *  2. What is read is bounded: file size, files open, files in all, bytes of
 *     macro text.
 *  3. Each file ends with a newline token, whether it has one or not, and no
 *     word or string goes on behind the end of its file.
 */
#include <sys/stat.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "lex.h"

struct source {
	SLIST_ENTRY(source) entry;
	const char *name; /* of the file */
	char *buf;
	size_t len, pos;
	unsigned line;
	bool macro;
};

struct filename {
	SLIST_ENTRY(filename) entry;
	char path[];
};

struct lex {
	SLIST_HEAD(sources, source) stack;
	SLIST_HEAD(filenames, filename)
	names; /* for locations, which outlive files */
	unsigned depth, nfiles;
	size_t expanded;
	bool roots; /* files have to be root's alone */
	struct macros *macros;
	lex_report *report;
	void *arg;
	struct lex_loc last; /* of the last character read */
	bool owed; /* a newline: a string ran to the end of its file */
};

struct lex *
lex_new(struct macros *macros, lex_report *report, void *arg)
{
	struct lex *lex = calloc(1, sizeof(*lex));

	if (lex == NULL)
		return NULL;
	SLIST_INIT(&lex->stack);
	SLIST_INIT(&lex->names);
	lex->macros = macros;
	lex->report = report;
	lex->arg = arg;
	lex->last.file = "";
	return lex;
}

void
lex_trust_root(struct lex *lex)
{
	lex->roots = true;
}

static void
pop(struct lex *lex)
{
	struct source *s = SLIST_FIRST(&lex->stack);

	SLIST_REMOVE_HEAD(&lex->stack, entry);
	if (!s->macro)
		lex->depth--;
	free(s->buf);
	free(s);
}

void
lex_free(struct lex *lex)
{
	struct filename *n;

	if (lex == NULL)
		return;
	while (!SLIST_EMPTY(&lex->stack))
		pop(lex);
	while ((n = SLIST_FIRST(&lex->names)) != NULL) {
		SLIST_REMOVE_HEAD(&lex->names, entry);
		free(n);
	}
	free(lex);
}

/* Takes buf. */
static int
push(struct lex *lex, const char *name, unsigned line, char *buf, size_t len,
    bool macro)
{
	struct source *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		free(buf);
		return -ENOMEM;
	}
	s->name = name;
	s->line = line;
	s->buf = buf;
	s->len = len;
	s->macro = macro;
	if (!macro)
		lex->depth++;
	SLIST_INSERT_HEAD(&lex->stack, s, entry);
	return 0;
}

static int
read_all(int fd, char **bufp, size_t *lenp)
{
	char *buf = malloc(LEX_FILE_MAX + 1);
	size_t len = 0;
	ssize_t n = 0;

	if (buf == NULL)
		return -ENOMEM;
	while (len <= LEX_FILE_MAX &&
	    (n = read(fd, buf + len, LEX_FILE_MAX + 1 - len)) > 0)
		len += (size_t)n;
	if (n == -1 || len > LEX_FILE_MAX) {
		n = n == -1 ? -errno : -EFBIG;
		free(buf);
		return (int)n;
	}
	*bufp = buf;
	*lenp = len;
	return 0;
}

/* Root, or whoever we are where we are not root. */
static bool
is_roots(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	    (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static int
read_file(const struct lex *lex, const char *path, char **bufp, size_t *lenp)
{
	struct stat st;
	int fd, error;

	/* Not blocking: a FIFO must not hang the daemon. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return -errno;
	if (fstat(fd, &st) == -1)
		error = -errno;
	else if (S_ISDIR(st.st_mode))
		error = -EISDIR;
	else if (lex->roots && !is_roots(&st))
		error = -EPERM;
	else
		error = read_all(fd, bufp, lenp);
	fd_close(&fd);
	return error;
}

/* path as seen from the directory of the file being read. */
static char *
beside(const struct lex *lex, const char *path)
{
	const struct source *s = SLIST_FIRST(&lex->stack);
	const char *slash = s != NULL ? strrchr(s->name, '/') : NULL;
	char *out;

	if (*path == '/' || slash == NULL)
		return strdup(path);
	if (asprintf(&out, "%.*s/%s", (int)(slash - s->name), s->name, path) ==
	    -1)
		return NULL;
	return out;
}

char *
lex_path(const struct lex *lex, const char *path)
{
	char *near = beside(lex, path), *cwd, *out = NULL;

	if (near == NULL || *near == '/')
		return near;
	if ((cwd = getcwd(NULL, 0)) != NULL &&
	    asprintf(&out, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, near) ==
		-1)
		out = NULL;
	free(cwd);
	free(near);
	return out;
}

int
lex_include(struct lex *lex, const char *path)
{
	struct filename *n;
	char *full = NULL, *buf = NULL;
	size_t len = 0, plen;
	int error;

	if (lex->depth >= LEX_DEPTH_MAX || lex->nfiles >= LEX_FILES_MAX)
		return -E2BIG;
	if ((full = beside(lex, path)) == NULL)
		return -ENOMEM;
	plen = strlen(full) + 1;
	if ((n = malloc(sizeof(*n) + plen)) == NULL) {
		free(full);
		return -ENOMEM;
	}
	memcpy(n->path, full, plen);
	free(full);
	SLIST_INSERT_HEAD(&lex->names, n, entry);
	if ((error = read_file(lex, n->path, &buf, &len)) != 0)
		return error;
	lex->nfiles++;
	return push(lex, n->path, 1, buf, len, false);
}

/* The next character, or EOF. */
static int
get(struct lex *lex)
{
	struct source *s;

	while ((s = SLIST_FIRST(&lex->stack)) != NULL) {
		lex->last.file = s->name;
		lex->last.line = s->line;
		if (s->pos < s->len) {
			if (!s->macro && s->len - s->pos >= 2 &&
			    s->buf[s->pos] == '\\' &&
			    s->buf[s->pos + 1] == '\n') {
				s->pos += 2;
				s->line++;
				continue;
			}
			if (s->buf[s->pos] == '\n' && !s->macro)
				s->line++;
			return (unsigned char)s->buf[s->pos++];
		}
		/* A file that does not end in a newline gets one. */
		if (!s->macro && s->pos == s->len) {
			s->pos++;
			if (s->len > 0 && s->buf[s->len - 1] != '\n')
				return '\n';
		}
		pop(lex);
	}
	return EOF;
}

/* Puts back what get() returned last, which was not EOF. */
static void
unget(struct lex *lex, int c)
{
	struct source *s = SLIST_FIRST(&lex->stack);

	s->pos--;
	if (s->pos < s->len && c == '\n' && !s->macro)
		s->line--;
}

static bool
in_macro(const struct lex *lex)
{
	const struct source *s = SLIST_FIRST(&lex->stack);

	return s != NULL && s->macro;
}

static void
complain(struct lex *lex, struct lex_token *tok, const char *text)
{
	lex->report(lex->arg, tok->loc, text);
	tok->kind = LEX_ERROR;
}

bool
lex_word_start(int c)
{
	return isalnum(c) || c == ':' || c == '_' || c == '/';
}

bool
lex_word_char(int c)
{
	return isalnum(c) || (ispunct(c) && strchr("(){}!=#,\"'", c) == NULL);
}

/* $name was read up to `$': its text becomes the top source. */
static bool
expand(struct lex *lex, struct lex_token *tok)
{
	char name[MACRO_NAME_MAX + 1], msg[128], *copy;
	const char *value = NULL;
	size_t n = 0;
	int c;

	for (; (c = get(lex)) != EOF && (isalnum(c) || c == '_'); n++) {
		if (n < sizeof(name) - 1)
			name[n] = (char)c;
	}
	if (c != EOF)
		unget(lex, c);
	name[n < sizeof(name) ? n : sizeof(name) - 1] = '\0';
	if (n == 0) {
		complain(lex, tok, "syntax error");
		return false;
	}
	if (n < sizeof(name))
		value = macro_get(lex->macros, name);
	if (value == NULL) {
		snprintf(msg, sizeof(msg), "macro '%s' not defined", name);
		complain(lex, tok, msg);
		return false;
	}
	lex->expanded += strlen(value);
	if (lex->expanded > LEX_EXPAND_MAX) {
		complain(lex, tok, "macro expansion too large");
		return false;
	}
	copy = strdup(value);
	if (copy == NULL ||
	    push(lex, tok->loc.file, tok->loc.line, copy, strlen(copy), true) !=
		0) {
		complain(lex, tok, "out of memory");
		return false;
	}
	return true;
}

/* n bytes were read, or one more than there is room for. */
static void
end_token(struct lex *lex, struct lex_token *tok, size_t n)
{
	if (n > LEX_TOKEN_MAX)
		complain(lex, tok, "string too long");
	else
		tok->text[n] = '\0';
}

static void
quoted(struct lex *lex, struct lex_token *tok, int quote)
{
	unsigned depth = lex->depth;
	bool nul = false;
	size_t n = 0;
	int c, next;

	tok->kind = LEX_STRING;
	while ((c = get(lex)) != quote || lex->depth < depth) {
		if (c == EOF || lex->depth < depth) {
			complain(lex, tok, "unterminated string");
			if (c != EOF) {
				unget(lex, c);
				lex->owed = true;
			}
			return;
		}
		if (c == '\n')
			continue; /* as in OpenBSD: the line goes on */
		if (c == '\0')
			nul = true;
		if (c == '\\') {
			next = get(lex);
			if (next == quote || next == ' ' || next == '\t')
				c = next;
			else if (next != EOF)
				unget(lex, next);
		}
		if (n <= LEX_TOKEN_MAX)
			tok->text[n++] = (char)c;
	}
	if (nul)
		complain(lex, tok, "NUL byte in a string");
	else
		end_token(lex, tok, n);
}

static void
word(struct lex *lex, struct lex_token *tok, int c)
{
	size_t n = 0;

	tok->kind = LEX_WORD;
	do {
		if (n <= LEX_TOKEN_MAX)
			tok->text[n++] = (char)c;
	} while ((c = get(lex)) != EOF && lex_word_char(c));
	if (c != EOF)
		unget(lex, c);
	end_token(lex, tok, n);
}

void
lex_next(struct lex *lex, struct lex_token *tok)
{
	int c;

	if (lex->owed) {
		lex->owed = false;
		tok->kind = LEX_NEWLINE;
		return;
	}
	for (;;) {
		while ((c = get(lex)) == ' ' || c == '\t' || c == '\r')
			;
		tok->loc = lex->last;
		if (c == '#') {
			while ((c = get(lex)) != '\n' && c != EOF)
				;
			tok->loc = lex->last;
		}
		if (c != '$' || in_macro(lex))
			break;
		if (!expand(lex, tok))
			return;
	}
	tok->text[0] = (char)c;
	tok->text[1] = '\0';
	if (c == EOF)
		tok->kind = LEX_EOF;
	else if (c == '\n')
		tok->kind = LEX_NEWLINE;
	else if (c == '"' || c == '\'')
		quoted(lex, tok, c);
	else if (lex_word_start(c))
		word(lex, tok, c);
	else
		tok->kind = LEX_CHAR;
}
