/* SPDX-License-Identifier: ISC */
/*
 * The file system of a seed disk: see seed_impl.h.
 *
 * libarchive is loaded here and not linked, as it brings a dozen libraries
 * along (libxml2, ICU), which the processes of a VM would all carry.
 */
#include <archive.h>
#include <archive_entry.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "seed_impl.h"

#define LIBRARY "libarchive.so.13"

#define FUNCTIONS(X)                        \
	X(archive_write_new)                \
	X(archive_write_free)               \
	X(archive_write_set_format_iso9660) \
	X(archive_write_set_options)        \
	X(archive_write_open_fd)            \
	X(archive_write_header)             \
	X(archive_write_data)               \
	X(archive_write_finish_entry)       \
	X(archive_write_close)              \
	X(archive_error_string)             \
	X(archive_entry_new)                \
	X(archive_entry_free)               \
	X(archive_entry_set_pathname)       \
	X(archive_entry_set_size)           \
	X(archive_entry_set_filetype)       \
	X(archive_entry_set_perm)           \
	X(archive_entry_set_mtime)

struct seed_iso {
	struct archive *archive;
	struct archive_entry *entry;
#define X(f) __typeof__(f) *f;
	FUNCTIONS(X)
#undef X
};

static int
load(struct seed_iso *iso, struct why *why)
{
	void *lib = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	bool all = true;

	if (lib == NULL)
		return why_set(why, -ENOENT, "%s", dlerror());
#define X(f) all = all && (iso->f = (__typeof__(f) *)dlsym(lib, #f)) != NULL;
	FUNCTIONS(X)
#undef X
	return all ? 0 : why_set(why, -ENOENT, LIBRARY ": %s", dlerror());
}

static int
failed(struct seed_iso *iso, struct why *why)
{
	const char *text = iso->archive_error_string(iso->archive);

	return why_set(
	    why, -EIO, "libarchive: %s", text == NULL ? "failed" : text);
}

static int
begin_file(struct seed_iso *iso, const char *name, size_t len, struct why *why)
{
	iso->archive_entry_set_pathname(iso->entry, name);
	iso->archive_entry_set_size(iso->entry, (int64_t)len);
	iso->archive_entry_set_filetype(iso->entry, AE_IFREG);
	/* Passwords may be in it. */
	iso->archive_entry_set_perm(iso->entry, 0400);
	iso->archive_entry_set_mtime(iso->entry, time(NULL), 0);
	if (iso->archive_write_header(iso->archive, iso->entry) != ARCHIVE_OK)
		return failed(iso, why);
	return 0;
}

static int
begin(struct seed_iso *iso, int fd, struct why *why)
{
	iso->archive = iso->archive_write_new();
	iso->entry = iso->archive_entry_new();
	if (iso->archive == NULL || iso->entry == NULL)
		return why_set(why, -ENOMEM, "libarchive: out of memory");
	/* zisofs is a compression that not every guest knows. */
	if (iso->archive_write_set_format_iso9660(iso->archive) != ARCHIVE_OK ||
	    iso->archive_write_set_options(iso->archive,
		"volume-id=CIDATA,rockridge=strict,joliet=1,!zisofs") !=
		ARCHIVE_OK ||
	    iso->archive_write_open_fd(iso->archive, fd) != ARCHIVE_OK)
		return failed(iso, why);
	return 0;
}

static int
end_file(struct seed_iso *iso, const void *data, size_t len, struct why *why)
{
	if (len > 0 &&
	    iso->archive_write_data(iso->archive, data, len) != (ssize_t)len)
		return failed(iso, why);
	if (iso->archive_write_finish_entry(iso->archive) != ARCHIVE_OK)
		return failed(iso, why);
	return 0;
}

int
seed_iso_open(struct seed_iso **out, int fd, const char *name, size_t len,
    struct why *why)
{
	struct seed_iso *iso = calloc(1, sizeof(*iso));
	int error;

	if (iso == NULL)
		return why_set(why, -ENOMEM, "out of memory");
	/* It writes local times: no file says which. */
	if (setenv("TZ", "UTC0", 1) == -1)
		error = why_set(why, -errno, "time zone");
	else {
		tzset();
		error = load(iso, why);
	}
	if (error == 0)
		error = begin(iso, fd, why);
	if (error == 0)
		error = begin_file(iso, name, len, why);
	if (error == 0)
		*out = iso;
	else
		seed_iso_free(iso);
	return error;
}

int
seed_iso_first(
    struct seed_iso *iso, const void *data, size_t len, struct why *why)
{
	return end_file(iso, data, len, why);
}

int
seed_iso_add(struct seed_iso *iso, const char *name, const void *data,
    size_t len, struct why *why)
{
	int error = begin_file(iso, name, len, why);

	return error == 0 ? end_file(iso, data, len, why) : error;
}

int
seed_iso_finish(struct seed_iso *iso, struct why *why)
{
	if (iso->archive_write_close(iso->archive) != ARCHIVE_OK)
		return failed(iso, why);
	return 0;
}

void
seed_iso_free(struct seed_iso *iso)
{
	if (iso->entry != NULL)
		iso->archive_entry_free(iso->entry);
	if (iso->archive != NULL)
		iso->archive_write_free(iso->archive);
	free(iso);
}
