/* SPDX-License-Identifier: MIT */
/*
 * The ISO 8601 subset Celery puts into eta, expires and date_done. Source:
 * celery/utils/time.py maybe_iso8601; datetime.isoformat().
 */
#ifndef CELERY_TIMESTAMP_H
#define CELERY_TIMESTAMP_H

#include <stdint.h>

#include "celery/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CELERY_TIMESTAMP_MAX = 40 };

/*
 * Parses "YYYY-MM-DDTHH:MM:SS[.f…][Z|±HH[:]MM]" and the other forms that
 * dateutil's isoparse takes: dates alone, of weeks and of days of the year,
 * without dashes and colons, times without seconds or minutes, 24:00, another
 * separator, "±HH". Fraction digits past the sixth are cut. Microseconds since
 * 1970-01-01 UTC; a text without an offset is read as UTC, as the Python worker
 * does.
 */
CELERY_API enum celery_status celery_timestamp_parse(struct celery_str text,
                                                     int64_t *ret_usec)
    CELERY_MUST_CHECK;

/* "2026-11-23T21:36:48.274203+00:00", always six digits: every release reads
 * it. Years 1 to 9999; others are clamped. */
CELERY_API void celery_timestamp_format(int64_t usec,
                                        char ret_text[CELERY_TIMESTAMP_MAX]);

#ifdef __cplusplus
}
#endif

#endif /* CELERY_TIMESTAMP_H */
