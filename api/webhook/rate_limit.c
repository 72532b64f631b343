/* SPDX-License-Identifier: MIT */
#include "webhook/rate_limit.h"

#include "base/clock.h"

static double capacity(const struct rate_limit *limit)
{
    return limit->per_second > 1 ? limit->per_second : 1;
}

void rate_limit_init(struct rate_limit *limit, double per_second)
{
    limit->per_second = per_second;
    limit->tokens = capacity(limit);
    limit->filled_us = 0;
    (void)pthread_mutex_init(&limit->lock.mutex, NULL);
}

void rate_limit_done(struct rate_limit *limit)
{
    (void)pthread_mutex_destroy(&limit->lock.mutex);
}

bool rate_limit_take(struct rate_limit *limit, int64_t now_us)
{
    if (limit->per_second <= 0)
        return true;
    lock_acquire(&limit->lock);
    if (limit->filled_us != 0 && now_us > limit->filled_us)
        limit->tokens += (double)(now_us - limit->filled_us) / USEC_PER_SEC
                       * limit->per_second;
    if (limit->tokens > capacity(limit))
        limit->tokens = capacity(limit);
    limit->filled_us = now_us;
    bool taken = limit->tokens >= 1;
    if (taken)
        limit->tokens -= 1;
    lock_release(&limit->lock);
    return taken;
}
