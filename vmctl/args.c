/* SPDX-License-Identifier: ISC */
/*
 * From the words of the command line to checked values.  vmd checks all of
 * them again: what is refused here is refused for the sake of a clear and
 * early message only.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "args.h"
#include "log.h"
#include "text.h"

#define MEBIBYTE ((uint64_t)1 << 20)

/* Decimal digits only: no sign, blank or prefix as strtoul(3) has them. */
static int
scan_number(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	const char *p;
	unsigned digit;

	for (p = s; isdigit((unsigned char)*p); p++) {
		digit = (unsigned)(*p - '0');
		if (v > (max - digit) / 10)
			return -ERANGE;
		v = v * 10 + digit;
	}
	if (p == s || *p != '\0')
		return -EINVAL;
	*out = v;
	return 0;
}

int
args_target(const char *word, struct target *out)
{
	uint64_t id;

	if (word[strspn(word, "0123456789")] == '\0' && *word != '\0') {
		if (scan_number(word, UINT32_MAX, &id) != 0 || id == 0) {
			log_warnx("invalid id: %s", word);
			return -EINVAL;
		}
		out->id = (uint32_t)id;
		out->name[0] = '\0';
		return 0;
	}
	if (strlen(word) > VM_NAME_MAX) {
		log_warnx("name too long: %s", word);
		return -ENAMETOOLONG;
	}
	if (!vmconf_name_ok(word)) {
		log_warnx("invalid vm name: %s", word);
		return -EINVAL;
	}
	out->id = 0;
	memcpy(out->name, word, strlen(word) + 1);
	return 0;
}

const char *
args_target_text(const struct target *t, char buf[VM_NAME_MAX + 1])
{
	if (t->id != 0)
		snprintf(buf, VM_NAME_MAX + 1, "%" PRIu32, t->id);
	else
		snprintf(buf, VM_NAME_MAX + 1, "%s", t->name);
	return buf;
}

int
args_memory(const char *word, uint64_t *out)
{
	char scaled[TEXT_SCALED];
	uint64_t bytes, rounded;
	int error;

	error = vmconf_size(word, &bytes);
	if (error == 0 && bytes > VM_MEMORY_MAX)
		error = -ERANGE;
	if (error == -ERANGE) {
		text_scaled(VM_MEMORY_MAX, scaled);
		log_warnx(
		    "memory size too large (limit is %s): %s", scaled, word);
		return error;
	}
	if (error != 0) {
		log_warnx("invalid memory size: %s", word);
		return error;
	}
	rounded = bytes - bytes % MEBIBYTE;
	if (rounded < VM_MEMORY_MIN) {
		log_warnx("memory size must be at least %" PRIu64 "MB: %s",
		    (uint64_t)VM_MEMORY_MIN / MEBIBYTE, word);
		return -ERANGE;
	}
	if (rounded != bytes)
		log_warnx(
		    "memory size rounded to %" PRIu64 "M", rounded / MEBIBYTE);
	*out = rounded;
	return 0;
}

int
args_cpus(const char *word, uint32_t *out)
{
	uint64_t n;
	int error;

	error = scan_number(word, UINT32_MAX, &n);
	if (error == 0 && (n < 1 || n > VM_CPUS_MAX))
		error = -ERANGE;
	if (error != 0) {
		log_warnx(
		    "invalid number of cpus (1 to %d): %s", VM_CPUS_MAX, word);
		return error;
	}
	*out = (uint32_t)n;
	return 0;
}

int
args_path(const char *word, char *out, size_t len)
{
	char *cwd = NULL;
	int error = 0, n;

	if (*word == '\0') {
		log_warnx("empty path");
		return -EINVAL;
	}
	if (!vmconf_path_ok(word)) {
		/* Not printed: it would do what the check is against. */
		log_warnx("path with control characters or too long");
		return -EINVAL;
	}
	if (*word != '/' && (cwd = getcwd(NULL, 0)) == NULL) {
		error = -errno;
		log_warn("current directory");
		return error;
	}
	if (cwd == NULL)
		n = snprintf(out, len, "%s", word);
	else
		n = snprintf(
		    out, len, "%s/%s", strcmp(cwd, "/") ? cwd : "", word);
	if (n < 0 || (size_t)n >= len) {
		log_warnx("path too long: %s", word);
		error = -ENAMETOOLONG;
	}
	free(cwd);
	return error;
}

size_t
args_format(const char *word, enum vm_diskfmt *format)
{
	*format = VM_DISK_ANY;
	if (strncmp(word, "raw:", 4) == 0) {
		*format = VM_DISK_RAW;
		return 4;
	}
	if (strncmp(word, "qcow2:", 6) == 0) {
		*format = VM_DISK_QCOW2;
		return 6;
	}
	return 0;
}

int
args_disk(const char *word, struct vmconf *conf)
{
	struct vm_diskconf *disk;
	enum vm_diskfmt format;
	const char *base;
	char *name;
	int error;

	if (conf->ndisks >= VM_DISKS_MAX) {
		log_warnx(
		    "too many disks (limit is %d): %s", VM_DISKS_MAX, word);
		return -ERANGE;
	}
	word += args_format(word, &format);
	disk = &conf->disk[conf->ndisks];
	memset(disk, 0, sizeof(*disk));
	if ((base = strstr(word, ",base=")) != NULL) {
		error = args_path(
		    base + strlen(",base="), disk->base, sizeof(disk->base));
		if (error != 0)
			return error;
	}
	name =
	    strndup(word, base != NULL ? (size_t)(base - word) : strlen(word));
	if (name == NULL)
		return -ENOMEM;
	error = args_path(name, disk->path, sizeof(disk->path));
	free(name);
	if (error != 0)
		return error;
	disk->format = format;
	disk->readonly = false;
	conf->ndisks++;
	return 0;
}

int
args_nic(const char *sw, struct vmconf *conf)
{
	struct vm_nicconf *nic;

	if (conf->nnics >= VM_NICS_MAX) {
		log_warnx(
		    "too many network interfaces (limit is %d)", VM_NICS_MAX);
		return -ERANGE;
	}
	nic = &conf->nic[conf->nnics];
	memset(nic, 0, sizeof(*nic));
	if (sw == NULL)
		nic->flags = VM_NIC_LOCAL;
	else if (strlen(sw) > VM_NAME_MAX) {
		log_warnx("switch name too long: %s", sw);
		return -ENAMETOOLONG;
	} else if (*sw == '\0' || !vmconf_path_ok(sw)) {
		log_warnx("invalid switch name");
		return -EINVAL;
	} else
		memcpy(nic->sw, sw, strlen(sw) + 1);
	conf->nnics++;
	return 0;
}

int
args_nic_number(const char *word, uint32_t *nic)
{
	uint64_t n;

	if (scan_number(word, UINT32_MAX, &n) != 0 || n >= VM_NICS_MAX) {
		log_warnx("invalid network interface (0 to %d): %s",
		    VM_NICS_MAX - 1, word);
		return -EINVAL;
	}
	*nic = (uint32_t)n;
	return 0;
}

int
args_nics(const char *word, bool user, struct vmconf *conf)
{
	uint64_t n;
	int error;

	error = scan_number(word, UINT32_MAX, &n);
	if (error == 0 && (n < 1 || n > VM_NICS_MAX))
		error = -ERANGE;
	if (error != 0) {
		log_warnx("invalid number of network interfaces (1 to %d): %s",
		    VM_NICS_MAX, word);
		return error;
	}
	while (conf->nnics < n) {
		memset(&conf->nic[conf->nnics], 0, sizeof(conf->nic[0]));
		if (user)
			conf->nic[conf->nnics].flags = VM_NIC_USER;
		conf->nnics++;
	}
	return 0;
}

int
args_keyword(
    const char *word, const char *const *names, size_t n, bool ignore_case)
{
	int (*compare)(const char *, const char *, size_t);
	size_t i, len = strlen(word);
	int found = -ENOENT;

	if (len == 0)
		return -ENOENT;
	compare = ignore_case ? strncasecmp : strncmp;
	for (i = 0; i < n; i++) {
		if (compare(word, names[i], len) != 0)
			continue;
		if (names[i][len] == '\0')
			return (int)i;
		found = found == -ENOENT ? (int)i : -EEXIST;
	}
	return found;
}
