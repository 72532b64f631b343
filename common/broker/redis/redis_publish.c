/* SPDX-License-Identifier: MIT */
/*
 * Publishing as kombu lays it out: a task is LPUSHed to its queue's list, a
 * broadcast PUBLISHed on /{db}.{exchange}[/{routing key}], a reply LPUSHed to
 * the queues bound to its routing key, if there are any: a client that gave up
 * has removed its binding, and a blind LPUSH would leave a key for ever.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/redis/redis_broker.h"

enum { REPLY_EXPIRE_S = 60, PIDBOX_TTL_MS = 3600000, PIPELINE_MAX = 1000 };

/* kombu 5.7's REFRESH_BINDING: the member, and the server time in ms after which
 * the table may be swept. KEYS: table, deadlines. ARGV: member, ttl, exchange. */
static struct redis_script bind_script = {
    .source = "local t = redis.call('TIME')\n"
              "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
              "redis.call('SADD', KEYS[1], ARGV[1])\n"
              "redis.call('ZADD', KEYS[2], 'GT', now + ARGV[2], ARGV[3])\n"
              "return 1\n"};

enum celery_status redis_publish_load(struct redis_broker *rb,
                                      struct celery_error *err)
{
    return redis_script_load(rb->commands, &bind_script,
                             redis_broker_deadline(rb), err);
}

static bool is_declared(const struct redis_broker *rb, const char *queue)
{
    for (size_t i = 0; i < rb->declared_count; i++) {
        if (strcmp(rb->declared[i], queue) == 0)
            return true;
    }
    return false;
}

static void remember_declared(struct redis_broker *rb, const char *queue)
{
    rb->declared = xrealloc(rb->declared,
                            (rb->declared_count + 1) * sizeof rb->declared[0]);
    rb->declared[rb->declared_count++] = xstrdup(queue);
}

/* A durable queue's binding stands in the table and in the permanent set: a 5.7
 * peer sweeps tables without one. */
enum celery_status redis_declare(struct broker *broker, const char *queue,
                                 struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    if (is_declared(rb, queue))
        return CELERY_OK;
    char *member = xasprintf("%s" REDIS_SEP REDIS_SEP "%s", queue, queue);
    static const char *const tables[] = {"_kombu.binding.",
                                         "_kombu.binding_permanent."};
    for (size_t i = 0; i < 2; i++) {
        char *name = xasprintf("%s%s", tables[i], queue);
        char *key = redis_key(rb, name);
        redis_appendf(rb->commands, "SADD %s %b", key, member, strlen(member));
        free(name);
        free(key);
    }
    free(member);
    enum celery_status st =
        redis_expect_ok(rb->commands, 2, redis_broker_deadline(rb), err);
    if (st == CELERY_OK)
        remember_declared(rb, queue);
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}

enum celery_status redis_bind_pidbox(struct redis_broker *rb,
                                     struct celery_error *err)
{
    char *table = redis_key(rb, "_kombu.binding.celery.pidbox");
    char *deadlines = redis_key(rb, "_kombu.binding_deadlines");
    char *member =
        xasprintf(REDIS_SEP REDIS_SEP "%s.celery.pidbox", rb->nodename);
    char *ttl = xasprintf("%d", PIDBOX_TTL_MS);
    const struct celery_str argv[] = {{table, strlen(table)},
                                      {deadlines, strlen(deadlines)},
                                      {member, strlen(member)},
                                      {ttl, strlen(ttl)},
                                      CELERY_STR("celery.pidbox")};
    redisReply *reply = NULL;
    enum celery_status st =
        redis_script_run(rb->commands, &bind_script, 2, 5, argv,
                         redis_broker_deadline(rb), &reply, err);
    if (st == CELERY_OK)
        freeReplyObject(reply);
    free(table);
    free(deadlines);
    free(member);
    free(ttl);
    return st;
}

static void append_list(struct redis_broker *rb,
                        const struct broker_message *message,
                        struct celery_str envelope)
{
    char *key = redis_list_key(rb, message->out.routing_key,
                               redis_step_of(message->out.priority));
    redis_appendf(rb->commands, "LPUSH %s %b", key, envelope.data,
                  envelope.len);
    free(key);
}

static void append_broadcast(struct redis_broker *rb,
                             const struct broker_message *message,
                             struct celery_str envelope)
{
    const char *rk = message->out.routing_key;
    char *channel =
        xasprintf("%s/%d.%s%s%s", rb->prefix, rb->endpoint.db,
                  message->out.exchange, *rk != '\0' ? "/" : "", rk);
    redis_appendf(rb->commands, "PUBLISH %s %b", channel, envelope.data,
                  envelope.len);
    free(channel);
}

/* Is the member "routing key SEP pattern SEP queue" one for rk? Its queue. */
static const char *bound_queue(const redisReply *member, const char *rk)
{
    size_t len = strlen(rk);
    const char *end = member->str + member->len;
    if (member->len < len + 4 || memcmp(member->str, rk, len) != 0
        || memcmp(member->str + len, REDIS_SEP, 2) != 0)
        return NULL;
    const char *pattern = member->str + len + 2;
    const char *sep = memmem(pattern, (size_t)(end - pattern), REDIS_SEP, 2);
    return sep != NULL ? sep + 2 : NULL;
}

static enum celery_status publish_reply(struct redis_broker *rb,
                                        const struct broker_message *message,
                                        struct celery_str envelope,
                                        struct celery_error *err)
{
    char *name = xasprintf("_kombu.binding.%s", message->out.exchange);
    char *table = redis_key(rb, name);
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "SMEMBERS %s", table);
    free(name);
    free(table);
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    size_t replies = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const char *queue =
            bound_queue(reply->element[i], message->out.routing_key);
        if (queue == NULL)
            continue;
        char *key = redis_key(rb, queue);
        redis_appendf(rb->commands, "LPUSH %s %b", key, envelope.data,
                      envelope.len);
        /* The client may go away before it reads: nobody else will. */
        redis_appendf(rb->commands, "EXPIRE %s %d", key, REPLY_EXPIRE_S);
        free(key);
        replies += 2;
    }
    freeReplyObject(reply);
    return redis_expect_ok(rb->commands, replies, redis_broker_deadline(rb),
                           err);
}

static enum celery_status publish_some(struct redis_broker *rb,
                                       const struct broker_message *messages,
                                       size_t count, size_t *sent,
                                       struct celery_error *err)
{
    struct celery_buf envelope = CELERY_BUF_INIT;
    size_t pending = 0;
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        celery_buf_clear(&envelope);
        celery_envelope_encode(&envelope, &messages[i].out);
        st = celery_buf_status(&envelope);
        if (st != CELERY_OK)
            break;
        if (messages[i].route == BROKER_TO_QUEUE)
            append_list(rb, &messages[i], celery_buf_str(&envelope));
        else
            append_broadcast(rb, &messages[i], celery_buf_str(&envelope));
        pending++;
    }
    celery_buf_done(&envelope);
    if (st != CELERY_OK)
        return celery_fail(err, st, "encoding a message: %s",
                           celery_status_text(st));
    /* Every reply is read, also past a refused one (out of memory): the next call
     * would take what is left for its own. */
    for (; pending > 0; pending--) {
        enum celery_status one =
            redis_expect_ok(rb->commands, 1, redis_broker_deadline(rb),
                            st == CELERY_OK ? err : NULL);
        if (st == CELERY_OK)
            st = one;
        *sent += st == CELERY_OK;
        if (redis_broker_fatal(one))
            return one;
    }
    return st;
}

static enum celery_status publish_replies(struct redis_broker *rb,
                                          const struct broker_message *message,
                                          size_t *sent,
                                          struct celery_error *err)
{
    struct celery_buf envelope = CELERY_BUF_INIT;
    celery_envelope_encode(&envelope, &message->out);
    enum celery_status st = celery_buf_status(&envelope);
    if (st == CELERY_OK)
        st = publish_reply(rb, message, celery_buf_str(&envelope), err);
    celery_buf_done(&envelope);
    *sent += st == CELERY_OK;
    return st;
}

enum celery_status redis_publish(struct broker *broker,
                                 const struct broker_message *messages,
                                 size_t count, size_t *ret_sent,
                                 struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    enum celery_status st = CELERY_OK;
    size_t at = 0;
    *ret_sent = 0;
    if (!broker->connected)
        st = broker_connect(broker, err);
    while (at < count && st == CELERY_OK) {
        if (messages[at].route == BROKER_REPLY) {
            st = publish_replies(rb, &messages[at++], ret_sent, err);
            continue;
        }
        if (messages[at].route == BROKER_TO_QUEUE)
            st = redis_declare(broker, messages[at].out.routing_key, err);
        size_t end = at + 1;
        while (end < count && end - at < PIPELINE_MAX
               && messages[end].route == messages[at].route
               && strcmp(messages[end].out.routing_key,
                         messages[at].out.routing_key)
                      == 0)
            end++;
        if (st == CELERY_OK)
            st = publish_some(rb, messages + at, end - at, ret_sent, err);
        at = end;
    }
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}
