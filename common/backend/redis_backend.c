/* SPDX-License-Identifier: MIT */
/*
 * Results in Redis: SETEX celery-task-meta-<id> and PUBLISH on a channel of the
 * same name, which wakes a waiting AsyncResult.get(). One script a result: the
 * look at what is stored and the write are one step. Source:
 * celery/backends/redis.py _set, celery/backends/base.py _store_result.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend_driver.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"
#include "redis/redis_conn.h"
#include "redis/redis_script.h"

enum {
    DEFAULT_TIMEOUT_S = 5,
    PIPELINE_MAX = 256,
    ASK_AGAIN_MAX = 16, /* tries while others change the same result */
};

/* KEYS: the result's key. ARGV: document, seconds (0: for ever), 1 for "only if
 * unknown", channel, what the caller knows to be stored and wants overwritten.
 * The state stands at the head of the document; a compressed one is returned,
 * since only the caller can read it. */
static struct redis_script store_script = {
    .source = "local v = redis.call('GET', KEYS[1])\n"
              "if v and string.byte(v, 1) == 0 then\n"
              "  if v ~= ARGV[5] then return v end\n"
              "elseif v then\n"
              "  local s = string.match(v, '^{\"status\": \"(%a+)\"') or ''\n"
              "  if s == 'SUCCESS' then return 0 end\n"
              "  if ARGV[3] == '1' and s ~= 'PENDING' and s ~= 'RECEIVED'\n"
              "    and s ~= 'RETRY' and s ~= 'REJECTED' then return 0 end\n"
              "end\n"
              "if ARGV[2] == '0' then redis.call('SET', KEYS[1], ARGV[1])\n"
              "else redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end\n"
              "redis.call('PUBLISH', ARGV[4], ARGV[1])\n"
              "return 1\n"};

struct redis_backend {
    struct backend backend;
    struct redis_endpoint endpoint;
    struct redis_conn *conn; /* NULL: not connected */
    int64_t timeout_us;
    char *expires;
    char *prefix;
};

static struct redis_backend *cast(struct backend *backend)
{
    return (struct redis_backend *)(void *)backend;
}

static void redis_backend_close(struct backend *backend)
{
    struct redis_backend *rb = cast(backend);
    redis_conn_close(rb->conn);
    redis_endpoint_done(&rb->endpoint);
    free(rb->expires);
    free(rb->prefix);
    free(rb);
}

/* global_keyprefix gets an underscore unless it ends in one of ": _ - ."
 * (celery/backends/base.py _add_global_keyprefix). */
static char *read_prefix(const char *transport_options)
{
    struct celery_json root;
    struct celery_arena arena = CELERY_ARENA_INIT;
    struct celery_str text = {"", 0};
    if (transport_options == NULL
        || celery_json_parse((struct celery_str){transport_options,
                                                 strlen(transport_options)},
                             NULL, &root, NULL)
               != CELERY_OK
        || celery_json_string(celery_json_get(root, "global_keyprefix"), &arena,
                              &text)
               != CELERY_OK)
        text = (struct celery_str){"", 0};
    const char *sep = "";
    if (text.len > 0 && strchr(":_-.", text.data[text.len - 1]) == NULL)
        sep = "_";
    char *prefix = xasprintf("%.*s%s", (int)text.len, text.data, sep);
    celery_arena_done(&arena);
    return prefix;
}

static enum celery_status redis_backend_open(
    const struct backend_options *options, struct backend **ret,
    struct celery_error *err)
{
    struct redis_backend *rb = xcalloc(1, sizeof *rb);
    double timeout =
        options->timeout_s > 0 ? options->timeout_s : DEFAULT_TIMEOUT_S;
    rb->timeout_us = (int64_t)(timeout * USEC_PER_SEC);
    rb->expires = xasprintf("%.0f", ceil(options->expires_s));
    rb->prefix = read_prefix(options->transport_options);
    enum celery_status st =
        redis_endpoint_parse(options->url, options->transport_options,
                             &rb->endpoint, err);
    if (st != CELERY_OK) {
        redis_backend_close(&rb->backend);
        return st;
    }
    *ret = &rb->backend;
    return CELERY_OK;
}

static int64_t deadline(const struct redis_backend *rb)
{
    return clock_monotonic_us() + rb->timeout_us;
}

static enum celery_status drop(struct redis_backend *rb, enum celery_status st)
{
    redis_conn_close(rb->conn);
    rb->conn = NULL;
    return st;
}

static enum celery_status connect_if_needed(struct redis_backend *rb,
                                            struct celery_error *err)
{
    if (rb->conn != NULL)
        return CELERY_OK;
    enum celery_status st = redis_conn_open(&rb->endpoint, "celery-c-results",
                                            deadline(rb), &rb->conn, err);
    if (st == CELERY_OK)
        st = redis_script_load(rb->conn, &store_script, deadline(rb), err);
    return st != CELERY_OK ? drop(rb, st) : st;
}

static void append_store(struct redis_backend *rb,
                         const struct backend_item *item,
                         struct celery_str known)
{
    char *key = xasprintf("%scelery-task-meta-%s", rb->prefix, item->task_id);
    struct celery_str name = {key, strlen(key)};
    const struct celery_str argv[] = {
        name,
        item->document,
        {rb->expires, strlen(rb->expires)},
        {item->if_unknown ? "1" : "0", 1},
        name,
        known,
    };
    redis_script_append(rb->conn, &store_script, 1, 6, argv);
    free(key);
}

/* A compressed document is stored for item: overwrites it if its state allows,
 * as long as nobody else does first. *reply is freed. */
static enum celery_status store_over(struct redis_backend *rb,
                                     const struct backend_item *item,
                                     redisReply *reply,
                                     struct celery_error *err)
{
    char state[BACKEND_STATE_MAX];
    enum celery_status st = CELERY_OK;
    for (int i = 0; i < ASK_AGAIN_MAX && reply->type == REDIS_REPLY_STRING;
         i++) {
        struct celery_str known = {reply->str, reply->len};
        redisReply *next = NULL;
        backend_state(known, state);
        if (!backend_may_store(item, state))
            break;
        append_store(rb, item, known);
        st = redis_ok_reply(rb->conn, deadline(rb), &next, err);
        if (st != CELERY_OK)
            break;
        freeReplyObject(reply);
        reply = next;
    }
    freeReplyObject(reply);
    return st;
}

/* Stores up to PIPELINE_MAX items in one round trip, and those where something
 * compressed is stored already in one more each. */
static enum celery_status store_some(struct redis_backend *rb,
                                     const struct backend_item *items,
                                     size_t count, struct celery_error *err)
{
    redisReply *stored[PIPELINE_MAX] = {NULL};
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count; i++)
        append_store(rb, &items[i], CELERY_STR(""));
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = redis_ok_reply(rb->conn, deadline(rb), &stored[i], err);
    for (size_t i = 0; i < count && stored[i] != NULL; i++) {
        if (st == CELERY_OK)
            st = store_over(rb, &items[i], stored[i], err);
        else
            freeReplyObject(stored[i]);
    }
    return st;
}

static enum celery_status redis_backend_store(struct backend *backend,
                                              const struct backend_item *items,
                                              size_t count,
                                              struct celery_error *err)
{
    struct redis_backend *rb = cast(backend);
    enum celery_status st = connect_if_needed(rb, err);
    for (size_t at = 0; at < count && st == CELERY_OK;) {
        size_t end = at + PIPELINE_MAX < count ? at + PIPELINE_MAX : count;
        st = store_some(rb, items + at, end - at, err);
        at = end;
    }
    /* An error answer (NOSCRIPT after a restart, OOM) is tried again too: on a
     * new connection, with the script loaded. */
    if (st == CELERY_OK)
        return st;
    (void)drop(rb, st);
    return st == CELERY_INVALID ? CELERY_IO : st;
}

static enum celery_status redis_backend_get(struct backend *backend,
                                            const char *task_id,
                                            struct celery_buf *ret_document,
                                            bool *ret_found,
                                            struct celery_error *err)
{
    struct redis_backend *rb = cast(backend);
    redisReply *reply = NULL;
    *ret_found = false;
    enum celery_status st = connect_if_needed(rb, err);
    if (st != CELERY_OK)
        return st;
    redis_appendf(rb->conn, "GET %scelery-task-meta-%s", rb->prefix, task_id);
    st = redis_ok_reply(rb->conn, deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return drop(rb, st);
    if (reply->type == REDIS_REPLY_STRING) {
        *ret_found = true;
        celery_buf_append(ret_document,
                          (struct celery_str){reply->str, reply->len});
    }
    freeReplyObject(reply);
    return CELERY_OK;
}

static const char *const schemes[] = {"redis",  "rediss",   "redis+socket",
                                      "socket", "sentinel", NULL};

const struct backend_driver redis_backend_driver = {
    .schemes = schemes,
    .compresses = true,
    .open = redis_backend_open,
    .close = redis_backend_close,
    .store = redis_backend_store,
    .get = redis_backend_get,
};
