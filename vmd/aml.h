/* SPDX-License-Identifier: ISC */
#ifndef VMD_AML_H
#define VMD_AML_H

/*
 * A writer of ACPI Machine Language into a buffer of fixed size, enough for
 * a DSDT that only declares.  Errors are sticky: check aml_error() once at
 * the end.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AML_DEPTH 8

struct aml {
	uint8_t *buf;
	size_t size, len;
	bool failed; /* did not fit, nested too deeply, or badly closed */
	unsigned depth;
	size_t open[AML_DEPTH]; /* where the contents of open blocks start */
	bool buffer[AML_DEPTH]; /* DefBuffer: gets its size at the end */
};

void aml_init(struct aml *, uint8_t *buf, size_t size);
bool aml_error(const struct aml *);

/* Blocks; each is ended by aml_close().  Names are one NameSeg of four
 * characters, with an optional leading '\\'. */
void aml_scope(struct aml *, const char *name);
void aml_device(struct aml *, const char *name);
/* Without arguments. */
void aml_method(struct aml *, const char *name);
void aml_package(struct aml *, uint8_t elements);
void aml_close(struct aml *);

void aml_name(struct aml *, const char *name); /* the object follows */
/* In a method: a device of the scope \_SB is told this. */
void aml_notify(struct aml *, const char *device, uint8_t val);
void aml_int(struct aml *, uint64_t);
void aml_string(struct aml *, const char *); /* ASCII */
void aml_eisaid(struct aml *, const char *id); /* "PNP0A03" */

/* A resource template: descriptors, then aml_close() adds the end tag. */
void aml_resources(struct aml *);
void aml_res_io(struct aml *, uint16_t base, uint8_t len);
void aml_res_irq(struct aml *, unsigned irq);
void aml_res_bus(struct aml *, uint16_t first, uint16_t last);
void aml_res_io_window(struct aml *, uint16_t base, uint16_t len);
void aml_res_mem_window(struct aml *, uint32_t base, uint32_t len);

#endif
