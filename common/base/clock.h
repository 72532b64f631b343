/* SPDX-License-Identifier: MIT */
/*
 * The two clocks, in microseconds. Thread-safe.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define USEC_PER_MSEC INT64_C(1000)
#define USEC_PER_SEC  INT64_C(1000000)

/* For durations and deadlines; never goes back. */
int64_t clock_monotonic_us(void);

/* Microseconds since 1970-01-01 UTC. */
int64_t clock_wall_us(void);

/* The milliseconds from now until deadline_us (monotonic), for poll(2): 0 when
 * it has passed, rounded up, -1 for INT64_MAX (no deadline). */
int clock_poll_ms(int64_t deadline_us);

/* Hours west of UTC as Celery's events carry it; DST-aware. */
double clock_utcoffset_hours(void);

#endif /* BASE_CLOCK_H */
