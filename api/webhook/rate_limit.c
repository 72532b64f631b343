/* SPDX-License-Identifier: MIT */
#include "webhook/rate_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"

static double capacity(const struct rate_limit *limit)
{
    return limit->per_second > 1 ? limit->per_second : 1;
}

void rate_limit_init(struct rate_limit *limit, double per_second)
{
    limit->per_second = per_second;
    limit->buckets = NULL;
    (void)pthread_mutex_init(&limit->lock.mutex, NULL);
}

void rate_limit_done(struct rate_limit *limit)
{
    free(limit->buckets);
    limit->buckets = NULL;
    (void)pthread_mutex_destroy(&limit->lock.mutex);
}

/* The client's bucket, or the one that was not used for longest, filled anew. */
static struct rate_bucket *bucket_of(struct rate_limit *limit,
                                     const char *client, int64_t now_us)
{
    if (limit->buckets == NULL)
        limit->buckets = xcalloc(RATE_CLIENTS_MAX, sizeof *limit->buckets);
    struct rate_bucket *oldest = &limit->buckets[0];
    for (size_t i = 0; i < RATE_CLIENTS_MAX; i++) {
        struct rate_bucket *bucket = &limit->buckets[i];
        if (strcmp(bucket->client, client) == 0)
            return bucket;
        if (bucket->filled_us < oldest->filled_us)
            oldest = bucket;
    }
    (void)snprintf(oldest->client, sizeof oldest->client, "%s", client);
    oldest->tokens = capacity(limit);
    oldest->filled_us = now_us;
    return oldest;
}

bool rate_limit_take(struct rate_limit *limit, const char *client,
                     int64_t now_us)
{
    if (limit->per_second <= 0)
        return true;
    lock_acquire(&limit->lock);
    struct rate_bucket *bucket = bucket_of(limit, client, now_us);
    bucket->tokens +=
        (double)(now_us - bucket->filled_us) / USEC_PER_SEC * limit->per_second;
    if (bucket->tokens > capacity(limit))
        bucket->tokens = capacity(limit);
    bucket->filled_us = now_us;
    bool taken = bucket->tokens >= 1;
    if (taken)
        bucket->tokens -= 1;
    lock_release(&limit->lock);
    return taken;
}
