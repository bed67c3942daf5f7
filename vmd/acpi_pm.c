/* SPDX-License-Identifier: ISC */

/*
 * ACPI fixed hardware: PM1a event and control blocks, the PM timer, and general
 * purpose events, where the PIIX4 has them.
 * After: ACPI specification, "Fixed Hardware Features", "PM1 Event Grouping",
 * "PM1 Control Grouping", "Power Management Timer (PM_TMR)" and
 * "General-Purpose Event Register Blocks".
 *
 * Invariants
 *  1. SCI_EN says whether the machine is in ACPI mode, which a guest does
 *     not change here.  There is no SMI.
 *  2. SCI is asserted exactly while the machine is in ACPI mode and (status &
 *     enable) of one of both pairs has a bit.
 *  3. The timer is floor(now() * 3579545 / 1 s): no drift, no overflow within
 *     the life of a 64-bit count of nanoseconds.
 */
#include <string.h>
#include "acpi.h"

#define NS 1000000000ULL

#define TMR_STS	   0x0001
#define GBL_STS	   0x0020
#define PWRBTN_STS 0x0100
#define RTC_STS	   0x0400
#define WAK_STS	   0x8000
#define STS_W1C	   (TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS | WAK_STS)
#define EN_WRITE   (TMR_STS | GBL_STS | PWRBTN_STS | RTC_STS)

#define SCI_EN	      0x0001
#define BM_RLD	      0x0002
#define SLP_TYP	      0x1c00
#define SLP_EN	      0x2000
#define CNT_WRITE     (BM_RLD | SLP_TYP) /* GBL_RLS and SLP_EN read 0 */
#define SLP_TYP_OF(v) ((v) >> 10 & 7)
#define S5	      5 /* as \_S5 in the DSDT says */
#define SOFT_OFF      0 /* PIIX4, "PMCNTRL": the same; OVMF says so */

#define CARRY (1ULL << 31) /* the top bit of the 32-bit counter */

static uint64_t
timer_now(const struct acpi_pm *pm)
{
	uint64_t now = pm->env.now(pm->env.arg);

	return now / NS * ACPI_PM_HZ + now % NS * ACPI_PM_HZ / NS;
}

static void
sci_update(struct acpi_pm *pm)
{
	bool level = ((pm->pm1_status & pm->pm1_enable) != 0 ||
			 (pm->gpe_status & pm->gpe_enable) != 0) &&
	    (pm->pm1_control & SCI_EN) != 0;

	if (level == pm->level)
		return;
	pm->level = level;
	line_set(&pm->sci, level);
}

/* TMR_STS: the top bit changed since it was last looked at. */
static void
timer_carry(struct acpi_pm *pm)
{
	uint64_t carries = timer_now(pm) / CARRY;

	if (carries == pm->carries)
		return;
	pm->carries = carries;
	pm->pm1_status |= TMR_STS;
	sci_update(pm);
}

void
acpi_pm_init(struct acpi_pm *pm, struct line sci, struct devenv env,
    void (*poweroff)(void *), void (*button_read)(void *), void *arg)
{
	memset(pm, 0, sizeof(*pm));
	pm->sci = sci;
	pm->env = env;
	pm->poweroff = poweroff;
	pm->button_read = button_read;
	pm->arg = arg;
	pm->pm1_control = SCI_EN;
	pm->carries = timer_now(pm) / CARRY;
}

/* The whole block as bytes: status, enable, control, -, timer, GPE0. */
static uint8_t
byte_read(struct acpi_pm *pm, unsigned off, uint32_t timer)
{
	switch (off) {
	case 0:
	case 1:
		return (uint8_t)(pm->pm1_status >> off * 8);
	case 2:
	case 3:
		return (uint8_t)(pm->pm1_enable >> (off - 2) * 8);
	case 4:
	case 5:
		return (uint8_t)(pm->pm1_control >> (off - 4) * 8);
	case 8:
	case 9:
	case 10:
	case 11:
		return (uint8_t)(timer >> (off - 8) * 8);
	case 12:
	case 13:
		return (uint8_t)(pm->gpe_status >> (off - 12) * 8);
	case 14:
	case 15:
		return (uint8_t)(pm->gpe_enable >> (off - 14) * 8);
	}
	return 0;
}

uint64_t
acpi_pm_read(struct acpi_pm *pm, uint64_t off, unsigned size)
{
	uint32_t timer = (uint32_t)timer_now(pm);
	uint64_t val = 0;
	unsigned i;

	if (off == 8 && size == 4) /* the one access that matters for speed */
		return timer;
	timer_carry(pm);
	for (i = 0; i < size && i < 8 && off + i < ACPI_PM_LEN; i++)
		val |= (uint64_t)byte_read(pm, (unsigned)off + i, timer)
		    << i * 8;
	return val;
}

static void
control_write(struct acpi_pm *pm, uint16_t val)
{
	pm->pm1_control = (pm->pm1_control & SCI_EN) | (val & CNT_WRITE);
	if ((val & SLP_EN) &&
	    (SLP_TYP_OF(val) == S5 || SLP_TYP_OF(val) == SOFT_OFF))
		pm->poweroff(pm->arg);
}

/* One byte of a 16-bit register replaced. */
static uint16_t
with_byte(uint16_t old, unsigned n, uint8_t val)
{
	return (uint16_t)((old & ~(0xff << n * 8)) | val << n * 8);
}

static void
byte_write(struct acpi_pm *pm, unsigned off, uint8_t val)
{
	uint16_t clear;

	switch (off) {
	case 0:
	case 1:
		clear = (uint16_t)(val << off * 8) & STS_W1C & pm->pm1_status;
		pm->pm1_status &= (uint16_t)~clear;
		sci_update(pm);
		if (clear & PWRBTN_STS)
			pm->button_read(pm->arg);
		break;
	case 2:
	case 3:
		pm->pm1_enable =
		    with_byte(pm->pm1_enable, off - 2, val) & EN_WRITE;
		sci_update(pm);
		if (off == 2)
			pm->env.rearm(pm->env.arg);
		break;
	case 4:
	case 5:
		control_write(pm, with_byte(pm->pm1_control, off - 4, val));
		break;
	case 12:
	case 13:
		pm->gpe_status &= (uint16_t) ~(val << (off - 12) * 8);
		sci_update(pm);
		break;
	case 14:
	case 15:
		pm->gpe_enable = with_byte(pm->gpe_enable, off - 14, val);
		sci_update(pm);
		break;
	}
}

void
acpi_pm_write(struct acpi_pm *pm, uint64_t off, unsigned size, uint64_t val)
{
	unsigned i;

	timer_carry(pm);
	for (i = 0; i < size && i < 8 && off + i < ACPI_PM_LEN; i++)
		byte_write(pm, (unsigned)off + i, (uint8_t)(val >> i * 8));
}

void
acpi_pm_enable(struct acpi_pm *pm, bool on)
{
	pm->pm1_control &= (uint16_t)~SCI_EN;
	if (on)
		pm->pm1_control |= SCI_EN;
	sci_update(pm);
}

void
acpi_pm_power_button(struct acpi_pm *pm)
{
	pm->pm1_status |= PWRBTN_STS;
	sci_update(pm);
}

void
acpi_pm_gpe(struct acpi_pm *pm, unsigned n)
{
	pm->gpe_status |= (uint16_t)(1U << n);
	sci_update(pm);
}

void
acpi_pm_rtc(struct acpi_pm *pm)
{
	pm->pm1_status |= RTC_STS;
	sci_update(pm);
}

void
acpi_pm_run(struct acpi_pm *pm)
{
	timer_carry(pm);
}

uint64_t
acpi_pm_deadline(const struct acpi_pm *pm)
{
	uint64_t tick;

	if (!(pm->pm1_enable & TMR_STS) || (pm->pm1_status & TMR_STS))
		return DEV_NEVER;
	tick = (pm->carries + 1) * CARRY;
	return tick / ACPI_PM_HZ * NS +
	    (tick % ACPI_PM_HZ * NS + ACPI_PM_HZ - 1) / ACPI_PM_HZ;
}
