/* SPDX-License-Identifier: MIT */
/*
 * The Redis driver: two connections (commands, pub/sub), opening and closing
 * them, what arrives on pub/sub. Idle waiting is a wake-up, not a pop: the
 * pub/sub connection subscribes __redis__:invalidate, and the command connection
 * runs CLIENT TRACKING ON REDIRECT to it.
 */
#include "broker/redis/redis_broker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/url.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"
#include "log/log.h"

enum { DEFAULT_TIMEOUT_S = 5, DEFAULT_VISIBILITY_S = 3600 };

static const int steps[REDIS_STEPS] = {0, 3, 6, 9};

unsigned redis_step_of(int64_t priority)
{
    unsigned step = 0;
    while (step + 1 < REDIS_STEPS && steps[step + 1] <= priority)
        step++;
    return step;
}

char *redis_key(const struct redis_broker *rb, const char *name)
{
    return xasprintf("%s%s", rb->prefix, name);
}

char *redis_list_key(const struct redis_broker *rb, const char *queue,
                     unsigned step)
{
    if (step == 0)
        return redis_key(rb, queue);
    return xasprintf("%s%s" REDIS_SEP "%d", rb->prefix, queue, steps[step]);
}

int64_t redis_broker_deadline(const struct redis_broker *rb)
{
    return clock_monotonic_us() + rb->timeout_us;
}

enum celery_status redis_broker_drop(struct redis_broker *rb,
                                     enum celery_status st)
{
    redis_conn_close(rb->commands);
    redis_conn_close(rb->pubsub);
    rb->commands = NULL;
    rb->pubsub = NULL;
    rb->broker.connected = false;
    for (size_t i = 0; i < rb->declared_count; i++)
        free(rb->declared[i]);
    free(rb->declared);
    rb->declared = NULL;
    rb->declared_count = 0;
    rb->register_due_us = 0;
    return st;
}

static void redis_close(struct broker *broker)
{
    struct redis_broker *rb = redis_broker(broker);
    (void)redis_broker_drop(rb, CELERY_OK);
    redis_endpoint_done(&rb->endpoint);
    free(rb->prefix);
    free(rb->client_name);
    free(rb->nodename);
    free(rb);
}

/* broker_transport_options: what this driver knows of them. */
static enum celery_status read_options(struct redis_broker *rb,
                                       const char *text,
                                       struct celery_error *err)
{
    struct celery_json root = {.type = CELERY_JSON_OBJECT,
                               .text = CELERY_STR("{}")};
    struct celery_arena arena = CELERY_ARENA_INIT;
    if (text != NULL) {
        enum celery_status st =
            celery_json_parse((struct celery_str){text, strlen(text)}, NULL,
                              &root, err);
        if (st != CELERY_OK)
            return st;
    }
    rb->visibility_timeout_s = DEFAULT_VISIBILITY_S;
    struct celery_json timeout = celery_json_get(root, "visibility_timeout");
    if (!celery_json_null(timeout)
        && (!celery_json_double(timeout, &rb->visibility_timeout_s)
            || !(rb->visibility_timeout_s >= 1)))
        return celery_fail(err, CELERY_INVALID,
                           "visibility_timeout=%.*s is not accepted; accepted: "
                           "seconds of at least 1",
                           (int)timeout.text.len, timeout.text.data);
    struct celery_str prefix = {"", 0};
    struct celery_json key_prefix = celery_json_get(root, "global_keyprefix");
    if (!celery_json_null(key_prefix)
        && celery_json_string(key_prefix, &arena, &prefix) != CELERY_OK)
        return celery_fail(
            err, CELERY_INVALID,
            "global_keyprefix is not accepted; accepted: a text");
    rb->prefix = xstrndup(prefix.data, prefix.len);
    celery_arena_done(&arena);
    return CELERY_OK;
}

static enum celery_status redis_open(const struct broker_options *options,
                                     struct broker **ret,
                                     struct celery_error *err)
{
    struct redis_broker *rb = xcalloc(1, sizeof *rb);
    double timeout =
        options->timeout_s > 0 ? options->timeout_s : DEFAULT_TIMEOUT_S;
    rb->timeout_us = (int64_t)(timeout * USEC_PER_SEC);
    rb->client_name = xstrdup(
        options->client_name != NULL ? options->client_name : "celery-c");
    rb->nodename =
        options->nodename != NULL ? xstrdup(options->nodename) : NULL;
    rb->on_broadcast = options->on_broadcast;
    rb->broadcast_arg = options->broadcast_arg;
    rb->max_deliveries = options->max_deliveries;
    random_id(rb->uuid);
    process_identity(rb->identity);
    enum celery_status st =
        redis_endpoint_parse(options->url, options->transport_options,
                             &rb->endpoint, err);
    if (st == CELERY_OK)
        st = read_options(rb, options->transport_options, err);
    if (st != CELERY_OK) {
        redis_close(&rb->broker);
        return st;
    }
    (void)snprintf(rb->db_text, sizeof rb->db_text, "%d", rb->endpoint.db);
    *ret = &rb->broker;
    return CELERY_OK;
}

/* The claim needs RPOP in scripts, kombu 5.7 beside us ZADD GT and BYSCORE. */
static enum celery_status check_version(struct redis_broker *rb,
                                        struct celery_error *err)
{
    redisReply *reply = NULL;
    long major = 0;
    long minor = 0;
    redis_appendf(rb->commands, "INFO server");
    enum celery_status st =
        redis_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply->type == REDIS_REPLY_STRING) {
        const char *version = strstr(reply->str, "\nredis_version:");
        if (version != NULL) {
            char *end = NULL;
            major = strtol(version + strlen("\nredis_version:"), &end, 10);
            minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
        }
        if (version != NULL && (major < 6 || (major == 6 && minor < 2)))
            st = celery_fail(err, CELERY_UNSUPPORTED,
                             "Redis %ld.%ld is too old; needed: 6.2 or newer",
                             major, minor);
        if (strstr(reply->str, "redis_mode:cluster") != NULL)
            st = celery_fail(err, CELERY_UNSUPPORTED,
                             "Redis Cluster is not supported, as in kombu; use "
                             "a single server or Sentinel");
    }
    freeReplyObject(reply);
    return st;
}

enum celery_status redis_server_time(struct redis_broker *rb,
                                     double *ret_seconds,
                                     struct celery_error *err)
{
    redisReply *reply = NULL;
    redis_appendf(rb->commands, "TIME");
    enum celery_status st =
        redis_ok_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        *ret_seconds = strtod(reply->element[0]->str, NULL)
                     + strtod(reply->element[1]->str, NULL) / USEC_PER_SEC;
    freeReplyObject(reply);
    return CELERY_OK;
}

/* Leases are compared by the server's clock; ours matters for ETAs. */
static enum celery_status check_clock(struct redis_broker *rb,
                                      struct celery_error *err)
{
    double server = 0;
    enum celery_status st = redis_server_time(rb, &server, err);
    if (st != CELERY_OK)
        return st;
    double off = (double)clock_wall_us() / USEC_PER_SEC - server;
    if (fabs(off) > rb->visibility_timeout_s / 3)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "our clock is %.1f s off the Redis server's, more "
                           "than a third of visibility_timeout; set the clocks",
                           off);
    if (fabs(off) > 1)
        LOG_EVENT(LOG_LEVEL_WARNING, "clock_skew", LOG_DOUBLE("seconds", off));
    return CELERY_OK;
}

/* One command a channel: each has one answer, whether it is allowed or not. */
static enum celery_status subscribe(struct redis_broker *rb,
                                    const char *command, const char *channel,
                                    struct celery_error *err)
{
    redis_appendf(rb->pubsub, "%s %s", command, channel);
    return redis_expect_ok(rb->pubsub, 1, redis_broker_deadline(rb), err);
}

static enum celery_status subscribe_broadcasts(struct redis_broker *rb,
                                               struct celery_error *err)
{
    static const char *const exchanges[] = {"celery.pidbox",
                                            "celeryev/worker.*"};
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < 2 && st == CELERY_OK; i++) {
        char *channel =
            xasprintf("%s/%d.%s", rb->prefix, rb->endpoint.db, exchanges[i]);
        st = subscribe(rb, "PSUBSCRIBE", channel, err);
        free(channel);
    }
    return st;
}

/* Wake-ups are a convenience that an ACL or a proxy may refuse. */
static enum celery_status start_tracking(struct redis_broker *rb,
                                         struct celery_error *err)
{
    struct celery_error refused = {0};
    enum celery_status st =
        subscribe(rb, "SUBSCRIBE", "__redis__:invalidate", &refused);
    if (st == CELERY_OK) {
        redis_appendf(rb->commands, "CLIENT TRACKING ON REDIRECT %lld",
                      (long long)redis_conn_id(rb->pubsub));
        st = redis_expect_ok(rb->commands, 1, redis_broker_deadline(rb),
                             &refused);
    }
    if (redis_broker_fatal(st))
        return celery_fail(err, st, "%s", refused.msg);
    rb->tracking = st == CELERY_OK;
    if (!rb->tracking && !rb->warned_no_tracking) {
        rb->warned_no_tracking = true;
        LOG_EVENT(LOG_LEVEL_WARNING, "redis_tracking_refused",
                  LOG_STR("reason", refused.msg),
                  LOG_STR("msg", "polling for new messages"));
    }
    return CELERY_OK;
}

static enum celery_status start_pubsub(struct redis_broker *rb,
                                       struct celery_error *err)
{
    enum celery_status st =
        redis_conn_open(&rb->endpoint, rb->client_name,
                        redis_broker_deadline(rb), &rb->pubsub, err);
    if (st == CELERY_OK)
        st = subscribe_broadcasts(rb, err);
    if (st == CELERY_OK)
        st = start_tracking(rb, err);
    return st;
}

static enum celery_status start_consumer(struct redis_broker *rb,
                                         struct celery_error *err)
{
    enum celery_status st = check_version(rb, err);
    if (st == CELERY_OK)
        st = check_clock(rb, err);
    if (st == CELERY_OK)
        st = redis_claim_load(rb, err);
    if (st == CELERY_OK)
        st = redis_settle_load(rb, err);
    if (st == CELERY_OK)
        st = redis_lease_load(rb, err);
    if (st == CELERY_OK)
        st = start_pubsub(rb, err);
    if (st == CELERY_OK)
        st = redis_bind_pidbox(rb, err);
    for (size_t i = 0; i < rb->broker.queue_count && st == CELERY_OK; i++)
        st = redis_declare(&rb->broker, rb->broker.queues[i].name, err);
    if (st == CELERY_OK)
        st = redis_say_alive(rb, err);
    return st;
}

static enum celery_status redis_connect(struct broker *broker,
                                        struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    (void)redis_broker_drop(rb, CELERY_OK);
    enum celery_status st =
        redis_conn_open(&rb->endpoint, rb->client_name,
                        redis_broker_deadline(rb), &rb->commands, err);
    if (st == CELERY_OK)
        st = redis_publish_load(rb, err);
    if (st == CELERY_OK && rb->nodename != NULL)
        st = start_consumer(rb, err);
    if (st != CELERY_OK)
        return redis_broker_drop(rb, st);
    broker->connected = true;
    return CELERY_OK;
}

static size_t redis_fds(const struct broker *broker, struct pollfd *ret)
{
    const struct redis_broker *rb =
        (const struct redis_broker *)(const void *)broker;
    size_t count = 0;
    ret[count++] = (struct pollfd){redis_conn_fd(rb->commands), POLLIN, 0};
    if (rb->pubsub != NULL)
        ret[count++] = (struct pollfd){redis_conn_fd(rb->pubsub), POLLIN, 0};
    return count;
}

/* "/0.celery.pidbox" to "celery.pidbox", "/0.celeryev/worker.online" to
 * "celeryev": kombu strips up to the first dot and cuts at the next slash. */
static void deliver(struct redis_broker *rb, const char *channel,
                    struct celery_str raw)
{
    const char *exchange = strchr(channel + strlen(rb->prefix), '.');
    if (exchange == NULL || rb->on_broadcast == NULL)
        return;
    exchange++;
    char *name = xstrndup(exchange, strcspn(exchange, "/"));
    rb->on_broadcast(rb->broadcast_arg, name, raw);
    free(name);
}

static void handle_push(struct redis_broker *rb, const redisReply *reply,
                        bool *ret_wake)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3
        || reply->element[0]->type != REDIS_REPLY_STRING)
        return;
    if (strcmp(reply->element[0]->str, "message") == 0) {
        *ret_wake = true;
    } else if (strcmp(reply->element[0]->str, "pmessage") == 0
               && reply->elements == 4) {
        const redisReply *raw = reply->element[3];
        deliver(rb, reply->element[2]->str,
                (struct celery_str){raw->str, raw->len});
    }
}

static enum celery_status redis_receive(struct broker *broker, bool *ret_wake,
                                        struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    enum celery_status st = CELERY_OK;
    *ret_wake = false;
    redisReply *reply = NULL;
    while (rb->pubsub != NULL) {
        st = redis_poll(rb->pubsub, &reply, err);
        if (st != CELERY_OK || reply == NULL)
            break;
        handle_push(rb, reply, ret_wake);
        freeReplyObject(reply);
    }
    /* Nothing is owed on the command connection: what is readable is its end. */
    if (st == CELERY_OK) {
        st = redis_poll(rb->commands, &reply, err);
        if (st == CELERY_OK && reply != NULL)
            freeReplyObject(reply);
    }
    return st != CELERY_OK ? redis_broker_drop(rb, st) : st;
}

static bool redis_wakes(const struct broker *broker)
{
    return ((const struct redis_broker *)(const void *)broker)->tracking;
}

static enum celery_status append_depth(struct redis_broker *rb,
                                       const char *queue)
{
    char *dead_name = xasprintf("%s.dead", queue);
    char *dead = redis_key(rb, dead_name);
    char *unacked = redis_key(rb, "unacked");
    char *index = redis_key(rb, "unacked_index");
    for (unsigned step = 0; step < REDIS_STEPS; step++) {
        char *list = redis_list_key(rb, queue, step);
        redis_appendf(rb->commands, "LLEN %s", list);
        free(list);
    }
    redis_appendf(rb->commands, "LLEN %s", dead);
    redis_appendf(rb->commands, "HLEN %s", unacked);
    redis_appendf(rb->commands, "ZRANGE %s 0 0 WITHSCORES", index);
    free(dead_name);
    free(dead);
    free(unacked);
    free(index);
    return CELERY_OK;
}

static enum celery_status redis_depth(struct broker *broker, size_t queue,
                                      struct broker_depth *ret,
                                      struct celery_error *err)
{
    struct redis_broker *rb = redis_broker(broker);
    *ret = (struct broker_depth){.oldest_s = -1};
    enum celery_status st = append_depth(rb, broker->queues[queue].name);
    for (unsigned i = 0; i < REDIS_STEPS + 3 && st == CELERY_OK; i++) {
        redisReply *reply = NULL;
        st = redis_reply(rb->commands, redis_broker_deadline(rb), &reply, err);
        if (st != CELERY_OK)
            break;
        if (i < REDIS_STEPS)
            ret->ready += reply->integer;
        else if (i == REDIS_STEPS)
            ret->dead = reply->integer;
        else if (i == REDIS_STEPS + 1)
            ret->unacked = reply->integer;
        else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
            ret->oldest_s = (double)clock_wall_us() / USEC_PER_SEC
                          - strtod(reply->element[1]->str, NULL);
        freeReplyObject(reply);
    }
    return redis_broker_fatal(st) ? redis_broker_drop(rb, st) : st;
}

static void redis_info(const struct broker *broker, struct broker_info *ret)
{
    const struct redis_broker *rb =
        (const struct redis_broker *)(const void *)broker;
    const struct redis_endpoint *ep = &rb->endpoint;
    const char *where = ep->host != NULL ? ep->host : ep->unix_path;
    *ret = (struct broker_info){
        .transport = ep->sentinel_count > 0 ? "sentinel" : "redis",
        .hostname = ep->sentinel_count > 0 ? ep->sentinels[0].host : where,
        .userid = rb->endpoint.user,
        .virtual_host = rb->db_text,
        .port = ep->sentinel_count > 0 ? ep->sentinels[0].port : ep->port,
        .fanout = true,
    };
}

static const char *const redis_schemes[] = {"redis", "rediss", "redis+socket",
                                            "sentinel", NULL};

const struct broker_driver redis_broker_driver = {
    .schemes = redis_schemes,
    .open = redis_open,
    .close = redis_close,
    .connect = redis_connect,
    .fds = redis_fds,
    .receive = redis_receive,
    .wakes = redis_wakes,
    .claim = redis_claim,
    .settle = redis_settle,
    .renew = redis_renew,
    .fence = redis_fence,
    .fetch = redis_fetch,
    .peek = redis_peek,
    .reclaim = redis_reclaim,
    .maintain = redis_maintain,
    .declare = redis_declare,
    .depth = redis_depth,
    .dead_each = redis_dead_each,
    .publish = redis_publish,
    .info = redis_info,
};
