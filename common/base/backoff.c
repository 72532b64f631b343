/* SPDX-License-Identifier: MIT */
#include "base/backoff.h"

#include "base/random_id.h"

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
