/* SPDX-License-Identifier: ISC */
/*
 * The texts of a seed disk for cloud-init ("NoCloud", its documentation):
 * user-data and network-config are files as they are; meta-data is made here,
 * in YAML, with every string in double quotes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sha2.h>

#include "imsg.h"
#include "seed_impl.h"

#define KEYS_MAX   64
#define KEY_MAX	   8191 /* bytes of a line */
#define ID_DIGITS  16 /* of the sum, in hexadecimal */
#define LENGTH_LEN 8

/* Each with its length, so that no two sets of data look the same. */
static void
sum_add(SHA2_CTX *ctx, const void *data, size_t len)
{
	uint8_t n[LENGTH_LEN];
	unsigned i;

	for (i = 0; i < LENGTH_LEN; i++)
		n[i] = (uint8_t)((uint64_t)len >> 8 * i);
	SHA256Update(ctx, n, sizeof(n));
	SHA256Update(ctx, data, len);
}

static void
sum(const struct seed_data *d, char text[SHA256_DIGEST_STRING_LENGTH])
{
	SHA2_CTX ctx;
	unsigned i;

	SHA256Init(&ctx);
	sum_add(&ctx, d->name, strlen(d->name));
	sum_add(&ctx, d->hostname, strlen(d->hostname));
	for (i = 0; i < SEED_FILES; i++)
		sum_add(&ctx, d->file[i].data == NULL ? "" : d->file[i].data,
		    d->file[i].len);
	SHA256End(&ctx, text);
}

static int
add(struct ibuf *b, const char *text, size_t len)
{
	return ibuf_add(b, text, len) == -1 ? -errno : 0;
}

static int
add_quoted(struct ibuf *b, const char *text, size_t len)
{
	int error = add(b, "\"", 1);
	size_t i;

	for (i = 0; i < len && error == 0; i++) {
		if (text[i] == '"' || text[i] == '\\')
			error = add(b, "\\", 1);
		if (error == 0)
			error = add(b, &text[i], 1);
	}
	return error == 0 ? add(b, "\"\n", 2) : error;
}

static int
add_item(struct ibuf *b, const char *name, const char *value)
{
	int error = add(b, name, strlen(name));

	return error == 0 ? add_quoted(b, value, strlen(value)) : error;
}

/*
 * A line of sshd(8), "AUTHORIZED_KEYS FILE FORMAT": options, a type, a key, a
 * comment.  A private key, which somebody may have named instead, is not.
 */
static const char *
judge_key(const char *line, size_t len)
{
	bool letter, blank = false;
	size_t i;

	if (len > KEY_MAX)
		return "is too long";
	for (i = 0; i < len; i++) {
		if ((line[i] < ' ' && line[i] != '\t') || line[i] > '~')
			return "has other characters than printable ASCII";
		blank |= line[i] == ' ' || line[i] == '\t';
	}
	letter = (line[0] | 0x20) >= 'a' && (line[0] | 0x20) <= 'z';
	return letter && blank ? NULL : "is not a public key";
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks around it. */
static size_t
trim(const char **line, size_t len)
{
	while (len > 0 && is_blank(**line)) {
		(*line)++;
		len--;
	}
	while (len > 0 && is_blank((*line)[len - 1]))
		len--;
	return len;
}

static int
add_key(struct ibuf *b, const char *line, size_t len, unsigned lineno,
    unsigned *nkeys, struct why *why)
{
	const char *bad;
	int error;

	len = trim(&line, len);
	if (len == 0 || line[0] == '#')
		return 0;
	if ((bad = judge_key(line, len)) != NULL)
		return why_set(
		    why, -EINVAL, "ssh-key: line %u %s", lineno, bad);
	if ((*nkeys)++ == KEYS_MAX)
		return why_set(
		    why, -E2BIG, "ssh-key: more than %u keys", KEYS_MAX);
	if ((error = add(b, "  - ", 4)) == 0)
		error = add_quoted(b, line, len);
	return error == 0 ? 0 : why_set(why, error, "ssh-key: out of memory");
}

static int
add_keys(struct ibuf *b, const struct seed_text *f, struct why *why)
{
	const char *line = f->data, *end = f->data + f->len, *nl;
	unsigned lineno = 0, nkeys = 0;
	int error = add(b, "public-keys:\n", 13);

	if (error != 0)
		return why_set(why, error, "ssh-key: out of memory");
	while (line < end && error == 0) {
		nl = memchr(line, '\n', (size_t)(end - line));
		if (nl == NULL)
			nl = end;
		error = add_key(
		    b, line, (size_t)(nl - line), ++lineno, &nkeys, why);
		line = nl == end ? end : nl + 1;
	}
	if (error == 0 && nkeys == 0)
		return why_set(why, -EINVAL, "ssh-key: no key in the file");
	return error;
}

int
seed_meta(const struct seed_data *d, struct ibuf *b, struct why *why)
{
	char digest[SHA256_DIGEST_STRING_LENGTH];
	char id[VM_NAME_MAX + 1 + ID_DIGITS + 1];
	int error;

	sum(d, digest);
	snprintf(id, sizeof(id), "%s-%.*s", d->name, ID_DIGITS, digest);
	if ((error = add_item(b, "instance-id: ", id)) != 0 ||
	    (error = add_item(b, "local-hostname: ", d->hostname)) != 0)
		return why_set(why, error, "meta-data: out of memory");
	if (d->file[SEED_SSH_KEY].data == NULL)
		return 0;
	return add_keys(b, &d->file[SEED_SSH_KEY], why);
}
