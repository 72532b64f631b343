/* SPDX-License-Identifier: MIT */
/*
 * A claim is a lease. kombu restores what has a score older than its visibility
 * timeout, and a peer's timeout may be smaller than ours: so ours are stamped
 * again every few seconds, and each time with a score in the future, which kombu
 * leaves alone; parked ones beyond their ETA. And each worker says that it lives,
 * so that the claims of one that was killed return in seconds, not in an hour.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "broker/redis/redis_broker.h"

enum {
    LEASES_PER_SCRIPT = 500,
    ORPHANS_EVERY_S = 10,
    REGISTER_EVERY_S = 60,
    RESTORE_EVERY_S = 30,
    BINDINGS_EVERY_S = 20 * 60,
};

/* KEYS: unacked_index. ARGV: pairs of (tag, until or 0). XX: a tag that a peer
 * took over is not brought back. */
static struct redis_script renew_script = {
    .source =
        "local t = redis.call('TIME')\n"
        "local now = t[1] + t[2] / 1000000\n"
        "for i = 1, #ARGV, 2 do\n"
        "  local till = math.max(now, tonumber(ARGV[i + 1]))\n"
        "  local at = math.min(till + " REDIS_LEASE_AHEAD_S ", now + 900)\n"
        "  redis.call('ZADD', KEYS[1], 'XX', string.format('%.6f', at), "
        "ARGV[i])\n"
        "end\n"
        "return #ARGV\n"};

enum celery_status redis_lease_load(struct redis_broker *rb,
                                    struct celery_error *err)
{
    return redis_script_load(rb->commands, &renew_script,
                             redis_broker_deadline(rb), err);
}

static enum celery_status renew_some(struct redis_broker *rb, const char *index,
                                     const struct broker_lease *leases,
                                     size_t count, struct celery_error *err)
{
    struct celery_str argv[2 * LEASES_PER_SCRIPT + 1];
    char until[LEASES_PER_SCRIPT][32];
    argv[0] = (struct celery_str){index, strlen(index)};
    for (size_t i = 0; i < count; i++) {
        uint64_t us = leases[i].until_s > 0
                        ? (uint64_t)(leases[i].until_s * USEC_PER_SEC)
                        : 0;
        int len = snprintf(until[i], sizeof until[i], "%" PRIu64 ".%06u",
                           us / USEC_PER_SEC, (unsigned)(us % USEC_PER_SEC));
        argv[1 + 2 * i] =
            (struct celery_str){leases[i].tag, strlen(leases[i].tag)};
        argv[2 + 2 * i] = (struct celery_str){until[i], (size_t)len};
    }
    redisReply *reply = NULL;
    enum celery_status st =
        redis_script_run(rb->commands, &renew_script, 1, 1 + 2 * count, argv,
                         redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK)
        freeReplyObject(reply);
    return st;
}

enum celery_status redis_renew(struct broker *broker,
                               const struct broker_lease *leases, size_t count,
                               struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char *index = redis_key(rb, "unacked_index");
    enum celery_status st = CELERY_OK;
    for (size_t at = 0; at < count && st == CELERY_OK;
         at += LEASES_PER_SCRIPT) {
        size_t some = count - at;
        if (some > LEASES_PER_SCRIPT)
            some = LEASES_PER_SCRIPT;
        st = renew_some(rb, index, leases + at, some, err);
    }
    free(index);
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}

static bool due(int64_t *at_us, int every_s)
{
    int64_t now = clock_monotonic_us();
    if (now < *at_us)
        return false;
    *at_us = now + (int64_t)every_s * USEC_PER_SEC;
    return true;
}

char *redis_alive_key(const struct redis_broker *rb, const char *uuid)
{
    char name[CELERY_TASK_ID_LEN + 32];
    (void)snprintf(name, sizeof name, "celery-c.alive.%s", uuid);
    return redis_key(rb, name);
}

enum celery_status redis_say_alive(struct redis_broker *rb,
                                   struct celery_error *err)
{
    char *alive = redis_alive_key(rb, rb->uuid);
    size_t replies = 1;
    redis_appendf(rb->commands, "SET %s %s EX %d", alive, rb->identity,
                  REDIS_ALIVE_S);
    free(alive);
    if (due(&rb->register_due_us, REGISTER_EVERY_S)) {
        char *workers = redis_key(rb, "celery-c.workers");
        redis_appendf(rb->commands, "SADD %s %s", workers, rb->uuid);
        free(workers);
        replies++;
    }
    return redis_expect_ok(rb->commands, replies, redis_broker_deadline(rb),
                           err);
}

enum celery_status redis_maintain(struct broker *broker,
                                  struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    enum celery_status st = CELERY_OK;
    if (rb->nodename == NULL)
        return CELERY_OK;
    if (due(&rb->alive_due_us, REDIS_ALIVE_EVERY_S))
        st = redis_say_alive(rb, err);
    if (st == CELERY_OK && due(&rb->orphans_due_us, ORPHANS_EVERY_S))
        st = redis_restore_orphans(rb, err);
    if (st == CELERY_OK && due(&rb->restore_due_us, RESTORE_EVERY_S))
        st = redis_restore_expired(rb, err);
    if (st == CELERY_OK && due(&rb->bindings_due_us, BINDINGS_EVERY_S))
        st = redis_bind_pidbox(rb, err);
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}
