/* SPDX-License-Identifier: ISC */
#ifndef VMD_LEX_H
#define VMD_LEX_H

/*
 * Characters of vm.conf to words: comments, line continuation, quoting,
 * included files and macro expansion.  It knows no keyword.
 */
#include "macro.h"

#define LEX_TOKEN_MAX  8191 /* bytes of one word or string */
#define LEX_FILE_MAX   (1 << 20) /* bytes of one file */
#define LEX_DEPTH_MAX  16 /* files open at a time */
#define LEX_FILES_MAX  256 /* files in all */
#define LEX_EXPAND_MAX (1 << 20) /* bytes that macros expand to, in all */

struct lex;

struct lex_loc {
	const char *file; /* lives as long as the lexer */
	unsigned line;
};

enum lex_kind {
	LEX_EOF,
	LEX_NEWLINE,
	LEX_CHAR, /* one of "{}=,", or one that fits nowhere */
	LEX_WORD, /* unquoted */
	LEX_STRING, /* quoted */
	LEX_ERROR, /* already reported */
};

struct lex_token {
	enum lex_kind kind;
	struct lex_loc loc;
	char text[LEX_TOKEN_MAX + 1];
};

typedef void lex_report(void *arg, struct lex_loc, const char *text);

/* macros stay the caller's; report is called for each error found here. */
struct lex *lex_new(struct macros *, lex_report *, void *arg);
void lex_free(struct lex *);
/* Files have to be root's, or -EPERM, and others may not write them. */
void lex_trust_root(struct lex *);
/*
 * Read path next; relative to the file being read.  0 or -errno, -E2BIG when
 * these are too many files.
 */
int lex_include(struct lex *, const char *path);
void lex_next(struct lex *, struct lex_token *);
/* path made absolute, relative to the file being read; the caller frees. */
char *lex_path(const struct lex *, const char *path);
/* What words, which are strings without quotes, begin with and consist of. */
bool lex_word_start(int c);
bool lex_word_char(int c);

#endif
