/* SPDX-License-Identifier: MIT */
/*
 * Who shows the fleet's figures: the process whose name is in one key that
 * expires. A worker's name begins with 'w', that of a program that only watches
 * with 'a'.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "broker/redis/redis_broker.h"

#define LEAD_KEY "celery-c.figures"

static const char take[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if v and v ~= ARGV[1] and not (string.sub(v, 1, 1) == 'a'\n"
    "  and string.sub(ARGV[1], 1, 1) == 'w') then return 0 end\n"
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
    "return 1\n";

static const char leave[] = "local v = redis.call('GET', KEYS[1])\n"
                            "if v and string.sub(v, 2) == ARGV[1] then\n"
                            "  return redis.call('DEL', KEYS[1])\n"
                            "end\n"
                            "return 0\n";

enum celery_status redis_lead(struct broker *broker, enum broker_lead as,
                              double ttl_s, bool *ret_leading,
                              struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char *key = redis_key(rb, LEAD_KEY);
    redisReply *reply = NULL;
    *ret_leading = false;
    redis_appendf(rb->commands, "EVAL %s 1 %s %s%s %lld", take, key,
                  as == BROKER_WORKS ? "w" : "a", rb->uuid,
                  (long long)(ttl_s * 1000));
    free(key);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
    rb->leads = *ret_leading = reply->integer == 1;
    freeReplyObject(reply);
    return CELERY_OK;
}

void redis_lead_end(struct redis_broker *rb)
{
    if (!rb->leads || rb->commands == NULL)
        return;
    char *key = redis_key(rb, LEAD_KEY);
    redis_appendf(rb->commands, "EVAL %s 1 %s %s", leave, key, rb->uuid);
    free(key);
    (void)!redis_expect_ok(rb->commands, 1, clock_monotonic_us() + USEC_PER_SEC,
                           NULL);
    rb->leads = false;
}
