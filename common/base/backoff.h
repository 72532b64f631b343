/* SPDX-License-Identifier: MIT */
/*
 * How long to wait before the next try: doubles from first_us up to cap_us,
 * with jitter of a quarter so that a fleet does not return in step.
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t first_us;
    int64_t cap_us;
    unsigned tries;
};

/* The next wait in microseconds; counts the try. */
int64_t backoff_next_us(struct backoff *backoff);

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->tries = 0;
}

#endif /* BASE_BACKOFF_H */
