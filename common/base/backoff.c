/* SPDX-License-Identifier: MIT */
#include "base/backoff.h"

#include "base/clock.h"
#include "base/random_id.h"

enum {
    RECONNECT_FIRST_MS = 20,
    CAP_FIRST_MINUTE_MS = 500,
    CAP_LATER_MS = 2000,
    FIRST_MINUTE_S = 60,
};

int64_t backoff_next_us(struct backoff *backoff)
{
    int64_t wait = backoff->first_us;
    for (unsigned i = 0; i < backoff->tries && wait < backoff->cap_us; i++)
        wait *= 2;
    if (wait > backoff->cap_us)
        wait = backoff->cap_us;
    backoff->tries++;
    if (wait < 4)
        return wait;
    return wait - (int64_t)random_below((uint64_t)wait / 4);
}

int64_t backoff_reconnect_us(struct backoff *backoff, int64_t away_us)
{
    bool first_minute = away_us < (int64_t)FIRST_MINUTE_S * USEC_PER_SEC;
    backoff->first_us = RECONNECT_FIRST_MS * USEC_PER_MSEC;
    backoff->cap_us =
        (first_minute ? CAP_FIRST_MINUTE_MS : CAP_LATER_MS) * USEC_PER_MSEC;
    return backoff_next_us(backoff);
}
