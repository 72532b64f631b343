/* SPDX-License-Identifier: MIT */
/*
 * Claims of workers that are gone go back into their lists: those of our own
 * kind when a registered worker's key has expired, those of any kind when their
 * score is older than the visibility timeout (kombu's restore_visible). Both
 * under kombu's mutex, so that a fleet does it once. An entry that no kombu
 * could restore is dead-lettered: it would stop the restore of all others.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "broker/dead_letter.h"
#include "broker/deliveries.h"
#include "broker/redis/redis_broker.h"
#include "celery/json_scan.h"
#include "log/log.h"

enum {
    MUTEX_MS = 60000, /* each move asks again by itself: it only saves work */
    MUTEX_TOKEN_MAX = CELERY_TASK_ID_LEN + 1 + PROCESS_IDENTITY_MAX + 1,
    SCAN_COUNT = 1000,
    EXPIRED_MAX = 1000
};

struct restored {
    char *tag;
    double order; /* the counter of our tags, the score of others */
};

/* What must still hold when a claim is moved. */
struct guard {
    const char *alive_key;
    const char *max_score;
    bool counts; /* its worker had it and did not settle it */
};

struct restore_list {
    struct restored *items;
    size_t count;
};

static void list_done(struct restore_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].tag);
    free(list->items);
    *list = (struct restore_list){0};
}

static void list_add(struct restore_list *list, const char *tag, size_t len,
                     double order)
{
    list->items =
        xrealloc(list->items, (list->count + 1) * sizeof list->items[0]);
    list->items[list->count++] = (struct restored){xstrndup(tag, len), order};
}

/* Newest first: each goes to the front, so the oldest ends up foremost. */
static int newest_first(const void *a, const void *b)
{
    double x = ((const struct restored *)a)->order;
    double y = ((const struct restored *)b)->order;
    return (x < y) - (x > y);
}

/* Deletes a key as long as it says the same. */
static enum celery_status delete_if(struct redis_broker *rb, const char *key,
                                    const char *value, struct celery_error *err)
{
    redis_appendf(rb->commands, "EVAL %s 1 %s %s",
                  "if redis.call('GET', KEYS[1]) == ARGV[1] then "
                  "return redis.call('DEL', KEYS[1]) end return 0",
                  key, value);
    return redis_expect_ok(rb->commands, 1, redis_broker_deadline(rb), err);
}

/* kombu's Mutex: SET NX PX, released by compare and delete. */
static enum celery_status try_mutex(struct redis_broker *rb, const char *mutex,
                                    const char *token, bool *ret_taken,
                                    struct celery_error *err)
{
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "SET %s %s NX PX %d", mutex, token, MUTEX_MS);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    *ret_taken = reply->type != REDIS_REPLY_NIL;
    freeReplyObject(reply);
    return CELERY_OK;
}

/* A worker that was killed while it held the mutex does not keep others on its host
 * from it. */
static enum celery_status break_mutex(struct redis_broker *rb,
                                      const char *mutex,
                                      struct celery_error *err)
{
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "GET %s", mutex);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    const char *space =
        reply->type == REDIS_REPLY_STRING ? strchr(reply->str, ' ') : NULL;
    if (space != NULL && process_is_gone(space + 1))
        st = delete_if(rb, mutex, reply->str, err);
    freeReplyObject(reply);
    return st;
}

/* *ret_token empty: somebody else holds it. */
static enum celery_status take_mutex(struct redis_broker *rb,
                                     char ret_token[MUTEX_TOKEN_MAX],
                                     struct celery_error *err)
{
    char *mutex = redis_key(rb, "unacked_mutex");
    char id[CELERY_TASK_ID_LEN + 1];
    bool taken = false;
    random_id(id);
    (void)snprintf(ret_token, MUTEX_TOKEN_MAX, "%s %s", id, rb->identity);
    enum celery_status st = try_mutex(rb, mutex, ret_token, &taken, err);
    if (st == CELERY_OK && !taken) {
        st = break_mutex(rb, mutex, err);
        if (st == CELERY_OK)
            st = try_mutex(rb, mutex, ret_token, &taken, err);
    }
    free(mutex);
    if (!taken)
        ret_token[0] = '\0';
    return st;
}

static enum celery_status release_mutex(struct redis_broker *rb,
                                        const char *token,
                                        struct celery_error *err)
{
    char *mutex = redis_key(rb, "unacked_mutex");
    enum celery_status st = delete_if(rb, mutex, token, err);
    free(mutex);
    return st;
}

struct claim_parts {
    struct celery_json envelope;
    char *queue; /* owned */
    unsigned step;
};

/* [envelope, exchange, routing_key] as kombu and we write it; false for what is
 * neither. */
static bool parse_claim(struct celery_str value, struct claim_parts *ret)
{
    struct celery_json root;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str queue = {NULL, 0};
    bool good = celery_json_parse(value, NULL, &root, NULL) == CELERY_OK
             && celery_json_count(root) == 3;
    if (good) {
        struct celery_json envelope = celery_json_at(root, 0);
        int64_t priority = 0;
        good = envelope.type == CELERY_JSON_OBJECT
            && celery_json_string(celery_json_at(root, 2), &arena, &queue)
                   == CELERY_OK
            && queue.len > 0;
        (void)celery_json_int64(celery_json_get(celery_json_get(envelope,
                                                                "properties"),
                                                "priority"),
                                &priority);
        ret->envelope = envelope;
        ret->step = redis_step_of(priority);
        ret->queue = good ? xstrndup(queue.data, queue.len) : NULL;
    }
    celery_arena_done(&arena);
    return good;
}

/* What goes where: back to the front of its list with its deliveries counted, or
 * to the dead letters when it has killed too many. */
static void route_claim(struct redis_broker *rb, const char *tag,
                        struct celery_str value, bool counts,
                        struct celery_buf *text, char **ret_list,
                        bool *ret_to_front)
{
    struct claim_parts parts = {.queue = NULL};
    *ret_to_front = false;
    if (!parse_claim(value, &parts)) {
        *ret_list = redis_key(rb, "unacked.dead");
        broker_dead_entry(text, "unacked", "undecodable",
                          "not [envelope, exchange, routing_key]", value);
        return;
    }
    unsigned before =
        broker_deliveries(celery_json_get(parts.envelope, "headers"));
    unsigned count = counts
                       ? broker_deliveries_next(before, redis_tag_started(tag))
                       : before;
    if (counts && rb->max_deliveries > 0 && count >= rb->max_deliveries) {
        char *dead = xasprintf("%s.dead", parts.queue);
        *ret_list = redis_key(rb, dead);
        free(dead);
        broker_dead_poison(text, parts.queue, count, parts.envelope.text);
    } else {
        *ret_list = redis_list_key(rb, parts.queue, parts.step);
        *ret_to_front = true;
        if (count != before)
            broker_deliveries_put(text, parts.envelope, count);
        else
            celery_buf_append(text, parts.envelope.text);
    }
    free(parts.queue);
}

static enum celery_status move_back(struct redis_broker *rb, const char *tag,
                                    struct celery_str value,
                                    const struct guard *guard, bool *ret_moved,
                                    struct celery_error *err)
{
    struct celery_buf text = CELERY_BUF_INIT;
    char *list = NULL;
    struct redis_move move = {.tag = {tag, strlen(tag)},
                              .alive_key = guard->alive_key,
                              .max_score = guard->max_score};
    route_claim(rb, tag, value, guard->counts, &text, &list, &move.to_front);
    move.text = celery_buf_str(&text);
    move.list_key = list;
    enum celery_status st = redis_move_claim(rb, &move, ret_moved, err);
    free(list);
    celery_buf_done(&text);
    return st;
}

static enum celery_status restore_one(struct redis_broker *rb, const char *tag,
                                      const struct guard *guard,
                                      size_t *moved_count,
                                      struct celery_error *err)
{
    char *unacked = redis_key(rb, "unacked");
    redisReply *reply = NULL;
    bool moved = false;
    redis_appendf(rb->commands, "HGET %s %s", unacked, tag);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK && reply->type == REDIS_REPLY_STRING) {
        st = move_back(rb, tag, (struct celery_str){reply->str, reply->len},
                       guard, &moved, err);
    } else if (st == CELERY_OK) {
        /* An index entry without a message: kombu drops it too. */
        char *index = redis_key(rb, "unacked_index");
        redis_appendf(rb->commands, "ZREM %s %s", index, tag);
        free(index);
        st = redis_expect_ok(rb->commands, 1, redis_broker_deadline(rb), err);
    }
    if (reply != NULL)
        freeReplyObject(reply);
    free(unacked);
    *moved_count += moved;
    return st;
}

static enum celery_status restore_all(struct redis_broker *rb,
                                      struct restore_list *list,
                                      const struct guard *guard,
                                      const char *event, const char *whose,
                                      struct celery_error *err)
{
    size_t moved = 0;
    enum celery_status st = CELERY_OK;
    if (list->count > 1)
        qsort(list->items, list->count, sizeof list->items[0], newest_first);
    for (size_t i = 0; i < list->count && st == CELERY_OK; i++)
        st = restore_one(rb, list->items[i].tag, guard, &moved, err);
    if (moved > 0)
        LOG_EVENT(LOG_LEVEL_WARNING, event, LOG_STR("worker", whose),
                  LOG_INT("restored", moved));
    return st;
}

/* All claims whose tag starts with the worker's uuid. */
static enum celery_status find_claims(struct redis_broker *rb, const char *uuid,
                                      struct restore_list *list,
                                      struct celery_error *err)
{
    char *unacked = redis_key(rb, "unacked");
    char *cursor = xstrdup("0");
    enum celery_status st = CELERY_OK;
    do {
        redisReply *reply = NULL;
        redis_appendf(rb->commands, "HSCAN %s %s MATCH %s.* COUNT %d", unacked,
                      cursor, uuid, SCAN_COUNT);
        st = redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply,
                            err);
        if (st != CELERY_OK)
            break;
        free(cursor);
        cursor = xstrdup(reply->element[0]->str);
        const redisReply *pairs = reply->element[1];
        for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
            const redisReply *tag = pairs->element[i];
            list_add(list, tag->str, tag->len,
                     strtod(tag->str + strlen(uuid) + 1, NULL));
        }
        freeReplyObject(reply);
    } while (strcmp(cursor, "0") != 0);
    free(cursor);
    free(unacked);
    return st;
}

/* Not one that was only stopped and goes on. */
static enum celery_status forget_worker(struct redis_broker *rb,
                                        const char *alive_key, const char *uuid,
                                        struct celery_error *err)
{
    char *workers = redis_key(rb, "celery-c.workers");
    redis_appendf(rb->commands, "EVAL %s 2 %s %s %s",
                  "if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end "
                  "return redis.call('SREM', KEYS[1], ARGV[1])",
                  workers, alive_key, uuid);
    free(workers);
    return redis_expect_ok(rb->commands, 1, redis_broker_deadline(rb), err);
}

static enum celery_status restore_worker(struct redis_broker *rb,
                                         const char *uuid,
                                         struct celery_error *err)
{
    struct restore_list list = {0};
    enum celery_status st = find_claims(rb, uuid, &list, err);
    char *alive = redis_alive_key(rb, uuid);
    const struct guard guard = {.alive_key = alive, .counts = true};
    if (st == CELERY_OK)
        st = restore_all(rb, &list, &guard, "orphans_restored", uuid, err);
    list_done(&list);
    if (st == CELERY_OK)
        st = forget_worker(rb, alive, uuid, err);
    free(alive);
    return st;
}

/* The key of a process that is certainly gone need not expire first: a worker that
 * was killed and started again on its host goes on at once. */
static enum celery_status is_alive(struct redis_broker *rb, const char *uuid,
                                   bool *ret_alive, struct celery_error *err)
{
    char *key = redis_alive_key(rb, uuid);
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "GET %s", key);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK) {
        *ret_alive = reply->type != REDIS_REPLY_NIL;
        if (reply->type == REDIS_REPLY_STRING && process_is_gone(reply->str)) {
            *ret_alive = false;
            st = delete_if(rb, key, reply->str, err);
        }
        freeReplyObject(reply);
    }
    free(key);
    return st;
}

static enum celery_status restore_if_dead(struct redis_broker *rb,
                                          const char *uuid,
                                          struct celery_error *err)
{
    char token[MUTEX_TOKEN_MAX];
    bool alive = true;
    enum celery_status st = is_alive(rb, uuid, &alive, err);
    if (st != CELERY_OK || alive)
        return st;
    st = take_mutex(rb, token, err);
    if (st != CELERY_OK || token[0] == '\0')
        return st;
    st = restore_worker(rb, uuid, err);
    if (redis_broker_fatal(st))
        return st; /* the mutex expires */
    enum celery_status released = release_mutex(rb, token, err);
    return st != CELERY_OK ? st : released;
}

enum celery_status redis_reclaim(struct broker *broker, broker_known_fn known,
                                 void *arg, struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    struct restore_list ours = {0};
    struct restore_list unknown = {0};
    static const struct guard no_guard = {NULL, NULL, false};
    if (!rb->claim_unsure)
        return CELERY_OK;
    enum celery_status st = find_claims(rb, rb->uuid, &ours, err);
    for (size_t i = 0; i < ours.count && st == CELERY_OK; i++) {
        const char *tag = ours.items[i].tag;
        if (!known(arg, tag))
            list_add(&unknown, tag, strlen(tag), ours.items[i].order);
    }
    if (st == CELERY_OK)
        st = restore_all(rb, &unknown, &no_guard, "lost_claims_given_back",
                         rb->uuid, err);
    list_done(&ours);
    list_done(&unknown);
    if (st == CELERY_OK)
        rb->claim_unsure = false;
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}

enum celery_status redis_restore_orphans(struct redis_broker *rb,
                                         struct celery_error *err)
{
    char *workers = redis_key(rb, "celery-c.workers");
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "SMEMBERS %s", workers);
    free(workers);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    for (size_t i = 0; i < reply->elements && st == CELERY_OK; i++) {
        const redisReply *uuid = reply->element[i];
        if (strcmp(uuid->str, rb->uuid) != 0
            && celery_task_id_valid((struct celery_str){uuid->str, uuid->len}))
            st = restore_if_dead(rb, uuid->str, err);
    }
    freeReplyObject(reply);
    return st;
}

enum celery_status redis_restore_expired(struct redis_broker *rb,
                                         struct celery_error *err)
{
    char token[MUTEX_TOKEN_MAX];
    enum celery_status st = take_mutex(rb, token, err);
    if (st != CELERY_OK || token[0] == '\0')
        return st;

    double now = 0;
    st = redis_server_time(rb, &now, err);
    if (st != CELERY_OK)
        return st;
    char *index = redis_key(rb, "unacked_index");
    double before = now - rb->visibility_timeout_s;
    char *limit = xasprintf("%.6f", before);
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "ZRANGEBYSCORE %s 0 %s WITHSCORES LIMIT 0 %d",
                  index, limit, EXPIRED_MAX);
    free(index);
    st = redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK) {
        free(limit);
        return st;
    }
    struct restore_list list = {0};
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        list_add(&list, reply->element[i]->str, reply->element[i]->len,
                 strtod(reply->element[i + 1]->str, NULL));
    freeReplyObject(reply);
    const struct guard guard = {.max_score = limit, .counts = true};
    st = restore_all(rb, &list, &guard, "expired_claims_restored", "any", err);
    free(limit);
    list_done(&list);
    if (redis_broker_fatal(st))
        return st;
    enum celery_status released = release_mutex(rb, token, err);
    return st != CELERY_OK ? st : released;
}
