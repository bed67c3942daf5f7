/* SPDX-License-Identifier: ISC */
#include <errno.h>

#include "jsonout.h"

json_t *
jsonout_u64(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

json_t *
jsonout_text(const char *s)
{
	return s == NULL || *s == '\0' ? json_null() : json_string(s);
}

json_t *
jsonout_object(const struct jsonout_member *m, size_t n)
{
	json_t *o = json_object();
	int failed = o == NULL;
	size_t i;

	/* The setter takes the value also when it fails. */
	for (i = 0; i < n; i++)
		failed |= json_object_set_new(o, m[i].name, m[i].value) != 0;
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static int
print(FILE *fp, json_t *j, size_t how)
{
	int error = 0;

	if (j == NULL)
		return -ENOMEM;
	if (json_dumpf(j, fp, how) != 0 || fputc('\n', fp) == EOF)
		error = -EIO;
	json_decref(j);
	return error;
}

int
jsonout_print(FILE *fp, json_t *j)
{
	return print(fp, j, JSON_INDENT(2));
}

int
jsonout_line(FILE *fp, json_t *j)
{
	return print(fp, j, JSON_COMPACT);
}
