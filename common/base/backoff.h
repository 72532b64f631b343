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

/* The same for connecting to a broker again, which has been away for away_us: from
 * 20 ms up to 0.5 s in the first minute, so that work resumes within two seconds of
 * its return; up to 2 s then. first_us and cap_us are set. */
int64_t backoff_reconnect_us(struct backoff *backoff, int64_t away_us);

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->tries = 0;
}

#endif /* BASE_BACKOFF_H */
