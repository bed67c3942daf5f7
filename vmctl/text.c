/* SPDX-License-Identifier: ISC */
/*
 * Strings for people.  Names, messages and ttys come from vmd, but parts of
 * them from whoever configured a VM; they must not be able to steer the
 * reader's terminal.
 *
 * Invariant of text_clean(): what stays is valid UTF-8 without C0 and C1
 * control characters, DEL, line and paragraph separators and bidirectional
 * controls (Unicode Standard, "Bidirectional Algorithm", "Explicit
 * Directional Embedding, Override and Isolate").
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#include "text.h"

/*
 * The length of the well-formed sequence at s and its code point, or 0
 * (Unicode Standard, "Well-Formed UTF-8 Byte Sequences").
 */
static size_t
utf8_decode(const unsigned char *s, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t i, n;

	if (s[0] < 0x80) {
		*cp = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	*cp = s[0] & (0x7f >> n);
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if (*cp < least[n] || *cp > 0x10ffff ||
	    (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return n;
}

static bool
harmless(uint32_t cp)
{
	if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
		return false;
	if (cp == 0x061c || (cp >= 0x200e && cp <= 0x200f) ||
	    (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069))
		return false;
	return true;
}

void
text_clean(char *str)
{
	unsigned char *s = (unsigned char *)str;
	uint32_t cp;
	size_t i, n;

	while (*s != '\0') {
		n = utf8_decode(s, &cp);
		if (n != 0 && harmless(cp)) {
			s += n;
			continue;
		}
		for (i = 0; i < (n == 0 ? 1 : n); i++)
			*s++ = '?';
	}
}

void
text_scaled(uint64_t bytes, char out[TEXT_SCALED])
{
	static const char units[] = "BKMGTPE";
	uint64_t whole = bytes, rest = 0;
	unsigned unit = 0, tenths;

	while (whole >= 1024) {
		rest = whole & 1023;
		whole >>= 10;
		unit++;
	}
	tenths = (unsigned)(rest * 10 + 512) / 1024;
	if (tenths == 10) {
		tenths = 0;
		whole++;
	}
	/* Three digits are precise enough; fewer get a tenth. */
	if (unit == 0)
		snprintf(out, TEXT_SCALED, "%uB", (unsigned)whole);
	else if (whole >= 100)
		snprintf(out, TEXT_SCALED, "%u%c",
		    (unsigned)whole + (tenths >= 5), units[unit]);
	else
		snprintf(out, TEXT_SCALED, "%u.%u%c", (unsigned)whole, tenths,
		    units[unit]);
}

void
text_time(uint64_t ms, char out[TEXT_TIME])
{
	time_t t = (time_t)(ms / 1000);
	char day[24];
	struct tm tm;

	out[0] = '\0';
	if (gmtime_r(&t, &tm) != NULL &&
	    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) != 0)
		snprintf(
		    out, TEXT_TIME, "%s.%03uZ", day, (unsigned)(ms % 1000));
}
