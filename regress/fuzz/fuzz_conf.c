/* SPDX-License-Identifier: ISC */
/*
 * Fuzzer: vm.conf, with two files to include, "a" and "b", which follow it
 * behind a byte SEPARATOR each.  What was accepted is printed and read again:
 * without a word, and it is the same.
 *
 * The lexer's open(2) is the one below, so no other file is touched.
 */
#include <sys/mman.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "confprint.h"
#include "imsg.h"
#include "lex.h"

#define SEPARATOR 0x1e

static struct {
	const char *name;
	const uint8_t *data;
	size_t len;
} files[] = {
	{ "vm.conf", NULL, 0 },
	{ "a", NULL, 0 },
	{ "b", NULL, 0 },
};
#define NFILES (sizeof(files) / sizeof(files[0]))
static bool loading;

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);
int __wrap_open(const char *, int, ...);
int __real_open(const char *, int, ...);

int
__wrap_open(const char *name, int flags, ...)
{
	mode_t mode;
	va_list ap;
	size_t i;
	int fd;

	if (!loading) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
		return __real_open(name, flags, mode);
	}
	for (i = 0; i < NFILES && strcmp(files[i].name, name) != 0; i++)
		;
	if (i == NFILES || files[i].data == NULL) {
		errno = ENOENT;
		return -1;
	}
	if ((fd = memfd_create(name, MFD_CLOEXEC)) == -1 ||
	    write(fd, files[i].data, files[i].len) != (ssize_t)files[i].len ||
	    lseek(fd, 0, SEEK_SET) != 0)
		abort();
	return fd;
}

static void
ignore(void *arg, const char *file, unsigned line, const char *text)
{
}

static void
refuse(void *arg, const char *file, unsigned line, const char *text)
{
	fprintf(stderr, "%s:%u: %s\n%s", file, line, text, (char *)arg);
	abort();
}

static struct conf *
load(const struct macros *macros,
    void (*report)(void *, const char *, unsigned, const char *), void *arg)
{
	const struct conf_opts co = {
		.file = "vm.conf",
		.macros = macros,
		.report = report,
		.arg = arg,
	};
	struct conf *c;

	loading = true;
	c = conf_load(&co);
	loading = false;
	return c;
}

static void
same_vms(const struct conf *a, const struct conf *b)
{
	const struct conf_vm *v, *w = TAILQ_FIRST(&b->vms);
	struct ibuf *x, *y;

	TAILQ_FOREACH(v, &a->vms, entry)
	{
		x = ibuf_dynamic(0, 65536);
		y = ibuf_dynamic(0, 65536);
		if (w == NULL || vmconf_put(x, &v->conf) != 0 ||
		    vmconf_put(y, &w->conf) != 0 ||
		    ibuf_size(x) != ibuf_size(y) ||
		    memcmp(ibuf_data(x), ibuf_data(y), ibuf_size(x)) != 0)
			abort();
		ibuf_free(x);
		ibuf_free(y);
		w = TAILQ_NEXT(w, entry);
	}
	if (w != NULL)
		abort();
}

static char *
print(const struct conf *c, size_t *len)
{
	char *text;
	FILE *f = open_memstream(&text, len);

	if (f == NULL || confprint(f, c) != 0 || fclose(f) != 0)
		abort();
	return text;
}

static void
round_trip(const struct conf *c)
{
	struct macros none = TAILQ_HEAD_INITIALIZER(none);
	struct conf *again;
	size_t len, len2;
	char *text = print(c, &len), *text2;

	files[0].data = (const uint8_t *)text;
	files[0].len = len;
	if (len <= LEX_FILE_MAX) {
		if ((again = load(&none, refuse, text)) == NULL)
			abort();
		text2 = print(again, &len2);
		if (len != len2 || memcmp(text, text2, len) != 0)
			refuse(text, "printed again", 0, text2);
		same_vms(c, again);
		free(text2);
		conf_free(again);
	}
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t nothing[1];
	struct macros opts = TAILQ_HEAD_INITIALIZER(opts);
	const uint8_t *end;
	struct conf *c;
	size_t i;

	if (data == NULL)
		data = nothing;
	for (i = 0; i < NFILES; i++) {
		files[i].data = data;
		if (data == NULL)
			continue;
		end = i + 1 < NFILES ? memchr(data, SEPARATOR, len) : NULL;
		files[i].len = end != NULL ? (size_t)(end - data) : len;
		data = end != NULL ? end + 1 : NULL;
		if (data != NULL)
			len -= files[i].len + 1;
	}
	if (macro_set(
		&opts, "o", "vm o {\nmemory 32M # \\\n}", true, "-D", 0) ||
	    macro_set(&opts, "i", "include a\n$o\nvm", true, "-D", 0))
		abort();
	c = load(&opts, ignore, NULL);
	macro_clear(&opts);
	if (c != NULL)
		round_trip(c);
	conf_free(c);
	return 0;
}
