/* SPDX-License-Identifier: MIT */
/*
 * Sentinel: who is the master now. Source: the Sentinel clients' guide of Redis;
 * URL and options as kombu has them (kombu/transport/redis.py SentinelChannel).
 */
#ifndef REDIS_REDIS_SENTINEL_H
#define REDIS_REDIS_SENTINEL_H

#include "redis/redis_conn.h"

/* Asks the endpoint's sentinels in turn; the first that knows the master's
 * address is believed. The caller frees *ret_host. */
enum celery_status redis_sentinel_master(const struct redis_endpoint *endpoint,
                                         int64_t deadline_us, char **ret_host,
                                         int *ret_port,
                                         struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* REDIS_REDIS_SENTINEL_H */
