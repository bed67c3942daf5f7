/* SPDX-License-Identifier: ISC */
/*
 * The report of `vmd -c', which is lines of "name: value" and a verdict, as
 * JSON.  A line that is missing, for the check ended before it, is null.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "jsonout.h"

#define MIB (UINT64_C(1) << 20)

/* The value behind the name at the start of a line; its length, 0 for none. */
static size_t
find(const char *report, const char *name, const char **value)
{
	const char *line = report;
	size_t len = strlen(name);

	while (line != NULL && strncmp(line, name, len) != 0) {
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	if (line == NULL)
		return 0;
	*value = line + len;
	return strcspn(*value, "\n");
}

static json_t *
text(const char *report, const char *name)
{
	const char *value;
	size_t len = find(report, name, &value);

	return len == 0 ? json_null() : json_stringn(value, len);
}

static json_t *
number(const char *report, const char *name, uint64_t unit)
{
	const char *value;

	if (find(report, name, &value) == 0)
		return json_null();
	return jsonout_u64(strtoull(value, NULL, 10) * unit);
}

/* yes or no; the check may not know. */
static json_t *
answer(const char *report, const char *name)
{
	const char *value;
	size_t len = find(report, name, &value);

	if (len == 3 && strncmp(value, "yes", len) == 0)
		return json_true();
	if (len == 2 && strncmp(value, "no", len) == 0)
		return json_false();
	return json_null();
}

/* Two values on one line: the part of it before sep, or that behind it. */
static json_t *
part(const char *report, const char *sep, bool behind)
{
	const char *value, *at;
	size_t len = find(report, "processor: ", &value);

	if (len == 0)
		return json_null();
	at = memmem(value, len, sep, strlen(sep));
	if (at == NULL)
		return behind ? json_null() : json_stringn(value, len);
	if (!behind)
		return json_stringn(value, (size_t)(at - value));
	len -= (size_t)(at - value) + strlen(sep);
	at += strlen(sep);
	if (len == 4 && strncmp(at, "none", len) == 0)
		return json_null();
	return json_stringn(at, len);
}

static json_t *
words(const char *report, const char *name)
{
	json_t *list = json_array();
	const char *value;
	size_t len = find(report, name, &value), n;

	while (list != NULL && len > 0) {
		n = strcspn(value, " \n");
		if (n > len)
			n = len;
		if (n > 0 &&
		    json_array_append_new(list, json_stringn(value, n)) != 0) {
			json_decref(list);
			return NULL;
		}
		n += n < len;
		value += n;
		len -= n;
	}
	return list;
}

json_t *
check_json(const char *report)
{
	const struct jsonout_member members[] = {
		{ "device", text(report, "device: ") },
		{ "processor", part(report, ", virtualization: ", false) },
		{ "virtualization", part(report, ", virtualization: ", true) },
		{ "nested_paging", answer(report, "nested paging: ") },
		{ "api_version", number(report, "API version: ", 1) },
		{ "max_vcpus", number(report, "vCPUs: at most ", 1) },
		{ "memory", number(report, "memory: ", MIB) },
		{ "features", words(report, "features: ") },
		{ "fit", json_boolean(strstr(report, "\nfit\n") != NULL) },
		{ "reason", text(report, "unfit: ") },
	};

	return jsonout_object(members, sizeof(members) / sizeof(members[0]));
}
