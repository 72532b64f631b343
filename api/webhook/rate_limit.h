/* SPDX-License-Identifier: MIT */
/*
 * How many requests a second of one client are taken: a bucket for each address,
 * which fills at the rate and holds one second's worth (at least one). So who
 * repeats an old webhook uses up its own share, not the sender's. The addresses
 * seen last are remembered, as many as there is room for.
 */
#ifndef WEBHOOK_RATE_LIMIT_H
#define WEBHOOK_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"

enum { RATE_CLIENTS_MAX = 256, RATE_CLIENT_TEXT = 46 };

struct rate_bucket {
    char client[RATE_CLIENT_TEXT]; /* "": free */
    double tokens;
    int64_t filled_us;
};

struct rate_limit {
    double per_second;           /* 0: no limit */
    struct lock lock;            /* guards what follows */
    struct rate_bucket *buckets; /* owned; NULL: none yet */
};

void rate_limit_init(struct rate_limit *limit, double per_second);
void rate_limit_done(struct rate_limit *limit);

/* Takes one of the client's; false when there is none. thread: any. now_us:
 * monotonic, above 0. */
bool rate_limit_take(struct rate_limit *limit, const char *client,
                     int64_t now_us);

#endif /* WEBHOOK_RATE_LIMIT_H */
