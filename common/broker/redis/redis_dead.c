/* SPDX-License-Identifier: MIT */
/*
 * The dead letters of a queue: the list <queue>.dead, newest first, each entry as
 * broker/dead_letter.h has it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "broker/dead_letter.h"
#include "broker/redis/redis_broker.h"

enum { PAGE = 100 };

/* KEYS: the dead list, the queue's list. ARGV: the entry, what is pushed or
 * nothing. LLEN makes a list of the wrong type fail before anything is removed. */
static const char take_source[] =
    "redis.call('LLEN', KEYS[2])\n"
    "if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end\n"
    "if ARGV[2] ~= '' then redis.call('LPUSH', KEYS[2], ARGV[2]) end\n"
    "return 1\n";

static char *list_of(const struct redis_broker *rb, const char *queue,
                     struct celery_str message)
{
    struct celery_json envelope;
    int64_t priority = 0;
    if (celery_json_parse(message, NULL, &envelope, NULL) == CELERY_OK)
        (void)celery_json_int64(celery_json_get(celery_json_get(envelope,
                                                                "properties"),
                                                "priority"),
                                &priority);
    return redis_list_key(rb, queue, redis_step_of(priority));
}

/* Where the entries are, and what becomes of them. */
struct walk {
    struct redis_broker *rb;
    char *dead; /* the list's key */
    const char *queue;
    broker_dead_fn fn;
    void *arg;
    struct broker_dead_counts *counts;
    size_t
        left; /* entries that stood there at the start: what is replayed may come
                  * back meanwhile */
    bool stop;
};

/* *ret_taken false: another client was faster. */
static enum celery_status take_entry(const struct walk *walk,
                                     struct celery_str entry,
                                     struct celery_str message, bool replay,
                                     bool *ret_taken, struct celery_error *err)
{
    struct redis_broker *rb = walk->rb;
    struct celery_buf revived = CELERY_BUF_INIT;
    char *list = list_of(rb, walk->queue, message);
    redisReply *reply = NULL;
    if (replay)
        broker_dead_revive(&revived, message);
    struct celery_str text = celery_buf_str(&revived);
    redis_appendf(rb->commands, "EVAL %s 2 %s %s %b %b", take_source,
                  walk->dead, list, entry.data, entry.len, text.data, text.len);
    free(list);
    celery_buf_done(&revived);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    *ret_taken = reply->integer == 1;
    freeReplyObject(reply);
    return CELERY_OK;
}

static enum celery_status handle_entry(struct walk *walk,
                                       struct celery_str text,
                                       struct celery_error *err)
{
    struct broker_dead entry;
    bool taken = false;
    broker_dead_parse(text, &entry.facts, &entry.message);
    enum broker_dead_action action = walk->fn(walk->arg, &entry);
    walk->stop = action == BROKER_DEAD_STOP;
    if (action == BROKER_DEAD_KEEP || action == BROKER_DEAD_STOP) {
        walk->counts->kept++;
        return CELERY_OK;
    }
    enum celery_status st =
        take_entry(walk, text, entry.message, action == BROKER_DEAD_REPLAY,
                   &taken, err);
    if (action == BROKER_DEAD_REPLAY)
        walk->counts->replayed += taken;
    else
        walk->counts->purged += taken;
    return st;
}

/* The next page from the old end of the list. What was taken out is no more
 * there: only what was kept is skipped. */
static enum celery_status handle_page(struct walk *walk,
                                      struct celery_error *err)
{
    redisReply *page = NULL;
    char *first = xasprintf("-%zu", walk->counts->kept + PAGE);
    char *last = xasprintf("-%zu", walk->counts->kept + 1);
    redis_appendf(walk->rb->commands, "LRANGE %s %s %s", walk->dead, first,
                  last);
    free(first);
    free(last);
    enum celery_status st =
        redis_ok_reply(walk->rb->commands, redis_broker_deadline(walk->rb),
                       &page, err);
    if (st != CELERY_OK)
        return st;
    walk->stop = page->elements == 0 || walk->left == 0;
    for (size_t i = page->elements;
         i > 0 && walk->left > 0 && st == CELERY_OK && !walk->stop; i--) {
        walk->left--;
        const redisReply *entry = page->element[i - 1];
        st = handle_entry(walk, (struct celery_str){entry->str, entry->len},
                          err);
    }
    freeReplyObject(page);
    return st;
}

enum celery_status redis_dead_each(struct broker *broker, const char *queue,
                                   broker_dead_fn fn, void *arg,
                                   struct broker_dead_counts *ret,
                                   struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    char *name = xasprintf("%s.dead", queue);
    struct walk walk = {.rb = rb,
                        .dead = redis_key(rb, name),
                        .queue = queue,
                        .fn = fn,
                        .arg = arg,
                        .counts = ret};
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "LLEN %s", walk.dead);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK) {
        walk.left = (size_t)reply->integer;
        freeReplyObject(reply);
    }
    while (st == CELERY_OK && !walk.stop)
        st = handle_page(&walk, err);
    free(name);
    free(walk.dead);
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}
