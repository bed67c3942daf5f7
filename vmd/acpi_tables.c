/* SPDX-License-Identifier: ISC */

/*
 * The ACPI tables: RSDP, XSDT, FADT, FACS, MADT and a DSDT in AML.
 * After: ACPI specification, "ACPI Software Programming Model" (sections of
 * the tables' names), "PCI Interrupt Routing"; identifiers of devices after
 * "Device Identification Objects".
 *
 * As few tables and objects as describe the machine: each costs every guest
 * time at every boot.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include "acpi_impl.h"
#include "aml.h"
#include "genid.h"
#include "ioapic.h"
#include "pci.h"
#include "pvpanic.h"

#define LAPIC_BASE 0xfee00000u

/* FADT, "Fixed ACPI Description Table Fixed Feature Flags" */
#define WBINVD	      (1u << 0)
#define PROC_C1	      (1u << 2)
#define SLP_BUTTON    (1u << 5) /* no fixed sleep button */
#define TMR_VAL_EXT   (1u << 8)
#define RESET_REG_SUP (1u << 10)
/* "IA-PC Boot Architecture Flags" */
#define LEGACY_DEVICES (1u << 0)
#define HAS_8042       (1u << 1)
#define NO_VGA	       (1u << 2)
#define NO_ASPM	       (1u << 4)

#define MADT_PCAT     1u /* an 8259 pair is there */
#define MADT_LAPIC    0
#define MADT_IOAPIC   1
#define MADT_OVERRIDE 2
#define MADT_NMI      4
/* "MPS INTI Flags" */
#define INTI_ISA	0x0
#define INTI_HIGH_LEVEL 0xd
#define LAPIC_ENABLED	1u
#define ALL_CPUS	0xff
#define MAX_CPUS	255 /* APIC IDs of one byte */

#define RESET_VALUE 6
#define SPACE_IO    1
#define CENTURY	    0x32 /* CMOS index, mc146818.c */
#define NO_C_STATE  0xfff

/* All layouts are little-endian and packed by the specification. */
struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct gas {
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t checksum_all, reserved[3];
} __attribute__((packed));

struct xsdt {
	struct header h;
	uint64_t fadt, madt;
} __attribute__((packed));

struct rsdt {
	struct header h;
	uint32_t fadt, madt;
} __attribute__((packed));

struct fadt {
	struct header h;
	uint32_t facs, dsdt;
	uint8_t reserved0, profile;
	uint16_t sci;
	uint32_t smi_cmd;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm2_cnt, pm_tmr, gpe0,
	    gpe1;
	uint8_t pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_len,
	    gpe1_len, gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct gas reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct gas x_pm1a_evt, x_pm1b_evt, x_pm1a_cnt, x_pm1b_cnt, x_pm2_cnt,
	    x_pm_tmr, x_gpe0, x_gpe1;
} __attribute__((packed));

struct facs {
	char signature[4];
	uint32_t length, hardware, waking, global_lock, flags;
	uint64_t x_waking;
	uint8_t version, reserved[31];
} __attribute__((packed));

struct madt {
	struct header h;
	uint32_t lapic, flags;
} __attribute__((packed));

struct madt_lapic {
	uint8_t type, len, uid, id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic {
	uint8_t type, len, id, reserved;
	uint32_t address, gsi;
} __attribute__((packed));

struct madt_override {
	uint8_t type, len, bus, source;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_nmi {
	uint8_t type, len, uid;
	uint16_t flags;
	uint8_t lint;
} __attribute__((packed));

static_assert(sizeof(struct header) == 36, "DESCRIPTION_HEADER");
static_assert(sizeof(struct gas) == 12, "Generic Address Structure");
static_assert(sizeof(struct rsdp) == 36, "RSDP revision 2");
static_assert(sizeof(struct fadt) == 244, "FADT revision 4");
static_assert(sizeof(struct facs) == 64, "FACS");
static_assert(sizeof(struct madt_lapic) == 8, "Processor Local APIC");
static_assert(sizeof(struct madt_ioapic) == 12, "I/O APIC");
static_assert(sizeof(struct madt_override) == 10, "Source Override");
static_assert(sizeof(struct madt_nmi) == 6, "Local APIC NMI");

static_assert(sizeof(struct rsdp) == ACPI_RSDP_LEN, "RSDP in the image");
static_assert(
    offsetof(struct header, checksum) == ACPI_CHECKSUM_AT, "Checksum");

static uint8_t
checksum(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint8_t sum = 0;

	while (len-- > 0)
		sum += *b++;
	return (uint8_t)-sum;
}

/* Length and checksum are known last. */
static void
header_finish(
    struct header *h, const char *signature, uint8_t revision, size_t len)
{
	memcpy(h->signature, signature, 4);
	h->length = (uint32_t)len;
	h->revision = revision;
	memcpy(h->oem_id, "VMM   ", 6);
	memcpy(h->oem_table, "VMMPC   ", 8);
	h->oem_revision = 1;
	memcpy(h->creator, "VMM ", 4);
	h->creator_revision = 1;
	h->checksum = 0;
	h->checksum = checksum(h, len);
}

/* Appends len bytes at a multiple of align; the address, or 0 when full. */
static uint32_t
append(struct acpi_image *im, const void *p, size_t len, size_t align)
{
	size_t at = (im->len + align - 1) & ~(align - 1);

	if (at > sizeof(im->b) || len > sizeof(im->b) - at)
		return 0;
	memcpy(im->b + at, p, len);
	im->len = at + len;
	return (uint32_t)(im->base + at);
}

/* The same for a table with a header, whose checksum covers it. */
static uint32_t
append_table(struct acpi_image *im, const void *p, size_t len)
{
	uint32_t address = append(im, p, len, 16);

	if (address != 0) {
		assert(im->ntables < ACPI_FIXES);
		im->table[im->ntables++] = (struct acpi_fix){
			.at = (uint16_t)(address - im->base),
			.len = (uint16_t)len,
		};
	}
	return address;
}

/* A field of the table at address, off bytes into it, that is an address. */
static void
pointer(struct acpi_image *im, uint32_t address, size_t off, uint16_t len)
{
	assert(im->npointers < ACPI_FIXES);
	im->pointer[im->npointers++] = (struct acpi_fix){
		.at = (uint16_t)(address - im->base + off),
		.len = len,
	};
}

static struct gas
io_gas(uint16_t port, uint8_t width, uint8_t access)
{
	struct gas g = { SPACE_IO, width, 0, access, port };

	return g;
}

static uint32_t
put_fadt(struct acpi_image *im, const struct acpi_conf *conf, uint32_t facs,
    uint32_t dsdt)
{
	uint16_t pm = conf->pm_base;
	uint32_t at;
	struct fadt f;

	memset(&f, 0, sizeof(f));
	f.facs = facs;
	f.dsdt = dsdt;
	f.sci = ACPI_SCI;
	if (conf->smi) {
		f.smi_cmd = ACPI_SMI_PORT;
		f.acpi_enable = ACPI_SMI_ENABLE;
		f.acpi_disable = ACPI_SMI_DISABLE;
	}
	f.pm1a_evt = pm;
	f.pm1a_cnt = pm + 4;
	f.pm_tmr = pm + 8;
	f.pm1_evt_len = 4;
	f.pm1_cnt_len = 2;
	f.pm_tmr_len = 4;
	f.gpe0 = pm + 12;
	f.gpe0_len = 4;
	f.c2_latency = f.c3_latency = NO_C_STATE;
	f.century = CENTURY;
	f.boot_arch = LEGACY_DEVICES | HAS_8042 | NO_ASPM;
	if (!conf->vga)
		f.boot_arch |= NO_VGA;
	/* PWR_BUTTON and FIX_RTC stay clear: both are fixed features. */
	f.flags = WBINVD | PROC_C1 | SLP_BUTTON | TMR_VAL_EXT | RESET_REG_SUP;
	f.reset = io_gas(ACPI_RESET_PORT, 8, 1);
	f.reset_value = RESET_VALUE;
	f.x_dsdt = dsdt;
	f.x_pm1a_evt = io_gas(pm, 32, 2);
	f.x_pm1a_cnt = io_gas(pm + 4, 16, 2);
	f.x_pm_tmr = io_gas(pm + 8, 32, 3);
	f.x_gpe0 = io_gas(pm + 12, 32, 2);
	header_finish(&f.h, "FACP", 4, sizeof(f));
	if ((at = append_table(im, &f, sizeof(f))) != 0) {
		pointer(im, at, offsetof(struct fadt, facs), 4);
		pointer(im, at, offsetof(struct fadt, dsdt), 4);
		pointer(im, at, offsetof(struct fadt, x_dsdt), 8);
	}
	return at;
}

static size_t
put(uint8_t *buf, size_t at, const void *p, size_t len)
{
	memcpy(buf + at, p, len);
	return at + len;
}

static uint32_t
put_madt(struct acpi_image *im, unsigned cpus)
{
	uint8_t buf[sizeof(struct madt) + MAX_CPUS * sizeof(struct madt_lapic) +
	    sizeof(struct madt_ioapic) + 2 * sizeof(struct madt_override) +
	    sizeof(struct madt_nmi)];
	struct madt m;
	struct madt_lapic lapic = { MADT_LAPIC, sizeof(lapic), 0, 0,
		LAPIC_ENABLED };
	struct madt_ioapic io = { MADT_IOAPIC, sizeof(io), ACPI_IOAPIC_ID, 0,
		IOAPIC_BASE, 0 };
	struct madt_override timer = { MADT_OVERRIDE, sizeof(timer), 0, 0, 2,
		INTI_ISA };
	struct madt_override sci = { MADT_OVERRIDE, sizeof(sci), 0, ACPI_SCI,
		ACPI_SCI, INTI_HIGH_LEVEL };
	struct madt_nmi nmi = { MADT_NMI, sizeof(nmi), ALL_CPUS, INTI_ISA, 1 };
	size_t len = sizeof(m);
	unsigned i;

	for (i = 0; i < cpus; i++) {
		lapic.uid = lapic.id = (uint8_t)i;
		len = put(buf, len, &lapic, sizeof(lapic));
	}
	len = put(buf, len, &io, sizeof(io));
	len = put(buf, len, &timer, sizeof(timer));
	len = put(buf, len, &sci, sizeof(sci));
	len = put(buf, len, &nmi, sizeof(nmi));
	memset(&m, 0, sizeof(m));
	m.lapic = LAPIC_BASE;
	m.flags = MADT_PCAT;
	put(buf, 0, &m, sizeof(m));
	header_finish((struct header *)buf, "APIC", 3, len);
	return append_table(im, buf, len);
}

static void
dsdt_device(struct aml *a, const char *name, const char *id)
{
	aml_device(a, name);
	aml_name(a, "_HID");
	aml_eisaid(a, id);
	aml_name(a, "_CRS");
	aml_resources(a);
}

/* "_PRT (PCI Routing Table)": { slot and any function, pin, 0, GSI }. */
static void
dsdt_prt(struct aml *a)
{
	unsigned slot, pin;

	aml_name(a, "_PRT");
	aml_package(a, PCI_SLOTS * 4);
	for (slot = 0; slot < PCI_SLOTS; slot++)
		for (pin = 0; pin < 4; pin++) {
			aml_package(a, 4);
			aml_int(a, slot << 16 | 0xffff);
			aml_int(a, pin);
			aml_int(a, 0);
			aml_int(a, pci_gsi(slot, pin));
			aml_close(a);
		}
	aml_close(a);
}

static void
dsdt_pci(struct aml *a, const struct acpi_conf *conf)
{
	dsdt_device(a, "PCI0", "PNP0A03");
	aml_res_bus(a, 0, 0);
	aml_res_io(a, 0xcf8, 8);
	aml_res_io_window(a, 0, 0xcf8); /* the ISA bridge's */
	aml_res_io_window(a, conf->pci_io_base, conf->pci_io_len);
	aml_res_mem_window(a, conf->pci_mmio_base, conf->pci_mmio_len);
	aml_close(a);
	dsdt_prt(a);
	aml_close(a);
}

static void
dsdt_serial(
    struct aml *a, const char *name, unsigned uid, uint16_t port, unsigned irq)
{
	dsdt_device(a, name, "PNP0501");
	aml_res_io(a, port, 8);
	aml_res_irq(a, irq);
	aml_close(a);
	aml_name(a, "_UID");
	aml_int(a, uid);
	aml_close(a);
}

static void
dsdt_isa(struct aml *a)
{
	dsdt_serial(a, "COM1", 1, 0x3f8, 4);
	dsdt_serial(a, "COM2", 2, 0x2f8, 3);

	dsdt_device(a, "RTC0", "PNP0B00");
	aml_res_io(a, 0x70, 2);
	aml_res_irq(a, 8);
	aml_close(a);
	aml_close(a);

	/* By a string: this one is no EISA identifier. */
	aml_device(a, "PANC");
	aml_name(a, "_HID");
	aml_string(a, "QEMU0001");
	aml_name(a, "_CRS");
	aml_resources(a);
	aml_res_io(a, PVPANIC_PORT, 1);
	aml_close(a);
	aml_close(a);

	dsdt_device(a, "KBD0", "PNP0303");
	aml_res_io(a, 0x60, 1);
	aml_res_io(a, 0x64, 1);
	aml_res_irq(a, 1);
	aml_close(a);
	aml_close(a);

	/* Where there is a keyboard, Linux looks for a mouse here alone. */
	dsdt_device(a, "MOU0", "PNP0F13");
	aml_res_irq(a, 12);
	aml_close(a);
	aml_close(a);
}

/* "Virtual Machine Generation ID", "Exposing the generation ID". */
static void
dsdt_genid(struct aml *a)
{
	aml_device(a, "VGEN");
	aml_name(a, "_HID");
	aml_string(a, "VMMG0001");
	aml_name(a, "_CID");
	aml_package(a, 2);
	aml_string(a, "VM_Gen_Counter");
	aml_string(a, "VMGENCTR"); /* Linux looks for this one */
	aml_close(a);
	aml_name(a, "_DDN");
	aml_string(a, "VM_Gen_Counter");
	aml_name(a, "ADDR");
	aml_package(a, 2);
	aml_int(a, (uint32_t)GENID_GPA);
	aml_int(a, GENID_GPA >> 32);
	aml_close(a);
	aml_close(a);
}

/* "GPE Event Methods": an edge. */
static void
dsdt_gpe(struct aml *a)
{
	static_assert(GENID_GPE == 0, "its method's name");

	aml_scope(a, "\\_GPE");
	aml_method(a, "_E00");
	aml_notify(a, "VGEN", 0x80);
	aml_close(a);
	aml_close(a);
}

static uint32_t
put_dsdt(struct acpi_image *im, const struct acpi_conf *conf)
{
	uint8_t buf[4096];
	struct header h;
	struct aml a;

	memset(&h, 0, sizeof(h));
	aml_init(&a, buf + sizeof(h), sizeof(buf) - sizeof(h));
	aml_name(&a, "\\_S5_");
	aml_package(&a, 4);
	aml_int(&a, 5); /* SLP_TYP of PM1a, acpi_pm.c */
	aml_int(&a, 0);
	aml_int(&a, 0);
	aml_int(&a, 0);
	aml_close(&a);
	aml_scope(&a, "\\_SB_");
	dsdt_pci(&a, conf);
	dsdt_isa(&a);
	dsdt_genid(&a);
	aml_close(&a);
	dsdt_gpe(&a);
	if (aml_error(&a))
		return 0;
	memcpy(buf, &h, sizeof(h));
	header_finish((struct header *)buf, "DSDT", 2, sizeof(h) + a.len);
	return append_table(im, buf, sizeof(h) + a.len);
}

static uint32_t
put_facs(struct acpi_image *im)
{
	struct facs f;

	memset(&f, 0, sizeof(f));
	memcpy(f.signature, "FACS", 4);
	f.length = sizeof(f);
	f.version = 2;
	return append(im, &f, sizeof(f), 64);
}

/* For systems of ACPI 1.0, which know no XSDT. */
static uint32_t
put_rsdt(struct acpi_image *im, const struct xsdt *x)
{
	struct rsdt r = { .fadt = (uint32_t)x->fadt,
		.madt = (uint32_t)x->madt };
	uint32_t at;

	header_finish(&r.h, "RSDT", 1, sizeof(r));
	if ((at = append_table(im, &r, sizeof(r))) != 0) {
		pointer(im, at, offsetof(struct rsdt, fadt), 4);
		pointer(im, at, offsetof(struct rsdt, madt), 4);
	}
	return at;
}

static uint32_t
put_xsdt(struct acpi_image *im, struct xsdt *x)
{
	uint32_t at;

	header_finish(&x->h, "XSDT", 1, sizeof(*x));
	if ((at = append_table(im, x, sizeof(*x))) != 0) {
		pointer(im, at, offsetof(struct xsdt, fadt), 8);
		pointer(im, at, offsetof(struct xsdt, madt), 8);
	}
	return at;
}

int
acpi_build(struct acpi_image *im, const struct acpi_conf *conf, uint32_t base)
{
	struct rsdp r;
	struct xsdt x;
	uint32_t facs, dsdt;

	memset(im, 0, sizeof(*im));
	im->base = base;
	im->len = sizeof(r);
	if (conf->cpus == 0 || conf->cpus > MAX_CPUS)
		return -ENOSPC;
	memset(&x, 0, sizeof(x));
	facs = put_facs(im);
	dsdt = put_dsdt(im, conf);
	x.fadt = put_fadt(im, conf, facs, dsdt);
	x.madt = put_madt(im, conf->cpus);
	if (facs == 0 || dsdt == 0 || x.fadt == 0 || x.madt == 0)
		return -ENOSPC;

	memset(&r, 0, sizeof(r));
	memcpy(r.signature, "RSD PTR ", 8);
	memcpy(r.oem_id, "VMM   ", 6);
	r.revision = 2;
	r.length = sizeof(r);
	r.rsdt = put_rsdt(im, &x);
	r.xsdt = put_xsdt(im, &x);
	if (r.rsdt == 0 || r.xsdt == 0)
		return -ENOSPC;
	pointer(im, base, offsetof(struct rsdp, rsdt), 4);
	pointer(im, base, offsetof(struct rsdp, xsdt), 8);
	/* The first 20 bytes have a checksum of their own. */
	r.checksum = checksum(&r, 20);
	r.checksum_all = checksum(&r, sizeof(r));
	memcpy(im->b, &r, sizeof(r));
	return 0;
}

int
acpi_tables(
    const struct gmem *g, const struct acpi_conf *conf, struct gpa *rsdp)
{
	struct gpa at = { ACPI_TABLES_GPA };
	struct acpi_image im;
	int error;

	if ((error = acpi_build(&im, conf, ACPI_TABLES_GPA)) == 0)
		error = gmem_write(g, at, im.b, im.len);
	if (error == 0)
		*rsdp = at;
	return error;
}
