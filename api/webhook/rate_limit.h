/* SPDX-License-Identifier: MIT */
/*
 * How many requests a second are taken: a bucket that fills at the rate and
 * holds one second's worth (at least one).
 */
#ifndef WEBHOOK_RATE_LIMIT_H
#define WEBHOOK_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"

struct rate_limit {
    double per_second; /* 0: no limit */
    struct lock lock;  /* guards what follows */
    double tokens;
    int64_t filled_us;
};

void rate_limit_init(struct rate_limit *limit, double per_second);
void rate_limit_done(struct rate_limit *limit);

/* Takes one; false when there is none. thread: any. now_us: monotonic. */
bool rate_limit_take(struct rate_limit *limit, int64_t now_us);

#endif /* WEBHOOK_RATE_LIMIT_H */
