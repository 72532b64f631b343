/* SPDX-License-Identifier: MIT */
/*
 * Where a task waits whose ETA is far. Hold queues: <queue>.eta.<n> gives its
 * messages back to the queue after 2^n seconds; the largest n that is not too
 * late, again and again until less than a minute is left. Native delayed delivery
 * (Celery 5.5) where the queue's exchange is not direct. Source:
 * kombu/transport/native_delayed_delivery.py, celery/worker/consumer/
 * delayed_delivery.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/xalloc.h"
#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_envelope.h"
#include "log/log.h"

enum {
    LEVELS = 28,   /* MAX_NUMBER_OF_BITS_TO_USE */
    HOLD_MAX = 22, /* 2^22 s in ms is the largest power that fits 32 bits */
    KEY_MAX = 512,
};

static const char delivery_exchange[] = "celery_delayed_delivery";

static char *pool_text(amqp_pool_t *pool, const char *text)
{
    char *copy = amqp_pool_alloc(pool, strlen(text) + 1);
    if (copy != NULL)
        memcpy(copy, text, strlen(text) + 1);
    return copy;
}

static enum celery_status hold_queue(struct amqp_broker *ab, const char *queue,
                                     int level, const char *name,
                                     struct celery_error *err)
{
    amqp_table_entry_t arguments[] = {
        amqp_int_argument("x-message-ttl", (INT64_C(1) << level) * 1000),
        amqp_text_argument("x-dead-letter-exchange", ""),
        amqp_text_argument("x-dead-letter-routing-key", queue),
    };
    const amqp_table_t table = {3, arguments};
    return amqp_need_queue(ab, name, &table, err);
}

/* 28 binary digits of the seconds, most significant first, then the key. */
static void delayed_key(char ret[KEY_MAX], int64_t seconds, const char *key)
{
    char *p = ret;
    for (int bit = LEVELS - 1; bit >= 0; bit--) {
        *p++ = (seconds >> bit & 1) != 0 ? '1' : '0';
        *p++ = '.';
    }
    (void)snprintf(p, (size_t)(ret + KEY_MAX - p), "%s", key);
}

enum celery_status amqp_hold_route(struct amqp_broker *ab,
                                   const struct amqp_inbound *item,
                                   struct amqp_outgoing *ret,
                                   struct celery_error *err)
{
    const char *queue = ab->broker.queues[item->queue].name;
    struct amqp_copy *copy = item->copy;
    int64_t seconds = (item->eta_us - clock_wall_us()) / USEC_PER_SEC;
    char key[KEY_MAX];
    const char *exchange = "";
    int level = 0;
    enum celery_status st = CELERY_OK;
    if (seconds < 1)
        seconds = 1;
    if (ab->queues[item->queue].delayed) {
        const int64_t longest = (INT64_C(1) << LEVELS) - 1;
        exchange = "celery_delayed_27";
        delayed_key(key, seconds < longest ? seconds : longest, queue);
    } else {
        while (level < HOLD_MAX && (INT64_C(2) << level) <= seconds)
            level++;
        (void)snprintf(key, sizeof key, "%s.eta.%d", queue, level);
        st = hold_queue(ab, queue, level, key, err);
    }
    char *routing_key = pool_text(&copy->pool, key);
    if (st == CELERY_OK && routing_key == NULL)
        st = celery_fail(err, CELERY_NOMEM, "out of memory");
    if (st != CELERY_OK)
        return st;
    *ret = (struct amqp_outgoing){
        .exchange = amqp_cstring_bytes(exchange),
        .routing_key = amqp_cstring_bytes(routing_key),
        .mandatory = true,
        .properties = copy->properties,
        .body = amqp_bytes_of(celery_buf_str(&copy->body)),
    };
    return amqp_strip_headers(&ret->properties, &copy->pool, err);
}

/* --- native delayed delivery ------------------------------------------------------ */

static void level_name(char ret[32], int level)
{
    if (level < 0)
        (void)snprintf(ret, 32, "%s", delivery_exchange);
    else
        (void)snprintf(ret, 32, "celery_delayed_%d", level);
}

/* "*.*.1.#": level 27 has no star. */
static void level_key(char ret[KEY_MAX], int level, char digit)
{
    char *p = ret;
    for (int i = level; i < LEVELS - 1; i++) {
        *p++ = '*';
        *p++ = '.';
    }
    (void)snprintf(p, 8, "%c.#", digit);
}

static enum celery_status bind_exchange(struct amqp_conn *conn,
                                        const char *destination,
                                        const char *source, const char *key,
                                        struct celery_error *err)
{
    (void)amqp_exchange_bind(amqp_conn_begin(conn), CHANNEL_SCRATCH,
                             amqp_cstring_bytes(destination),
                             amqp_cstring_bytes(source),
                             amqp_cstring_bytes(key), amqp_empty_table);
    enum celery_status st =
        amqp_conn_end_rpc(conn, CHANNEL_SCRATCH, "binding an exchange", err);
    amqp_conn_release(conn, CHANNEL_SCRATCH);
    return st;
}

static enum celery_status declare_level(struct amqp_conn *conn, int level,
                                        struct celery_error *err)
{
    char name[32];
    char next[32];
    char key[KEY_MAX];
    level_name(name, level);
    level_name(next, level - 1);
    amqp_table_entry_t arguments[] = {
        amqp_text_argument("x-queue-type", "quorum"),
        amqp_text_argument("x-overflow", "reject-publish"),
        amqp_int_argument("x-message-ttl", (INT64_C(1) << level) * 1000),
        amqp_text_argument("x-dead-letter-exchange", next),
        amqp_text_argument("x-dead-letter-strategy", "at-least-once"),
    };
    const struct amqp_queue_spec spec = {.name = name,
                                         .durable = true,
                                         .arguments = {5, arguments}};
    enum celery_status st =
        amqp_declare_exchange(conn, name, "topic", true, NULL, err);
    if (st == CELERY_OK)
        st = amqp_declare_queue(conn, &spec, NULL, err);
    level_key(key, level, '1');
    if (st == CELERY_OK)
        st = amqp_bind(conn, name, name, key, err);
    return st;
}

static enum celery_status declare_levels(struct amqp_conn *conn,
                                         struct celery_error *err)
{
    char name[32];
    char next[32];
    char key[KEY_MAX];
    enum celery_status st = CELERY_OK;
    for (int level = LEVELS - 1; level >= 0 && st == CELERY_OK; level--)
        st = declare_level(conn, level, err);
    if (st == CELERY_OK)
        st = amqp_declare_exchange(conn, delivery_exchange, "topic", true, NULL,
                                   err);
    for (int level = LEVELS - 1; level >= 0 && st == CELERY_OK; level--) {
        level_name(name, level);
        level_name(next, level - 1);
        level_key(key, level, '0');
        st = bind_exchange(conn, next, name, key, err);
    }
    return st;
}

enum celery_status amqp_delayed_declare(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
{
    const char *name = ab->broker.queues[queue].name;
    struct celery_error why = {0};
    char key[KEY_MAX];
    enum celery_status st = CELERY_OK;
    if (ab->queues[queue].delayed)
        return CELERY_OK;
    (void)snprintf(key, sizeof key, "%s%s", name[0] == '#' ? "" : "#.", name);
    st = declare_levels(ab->consumer, &why);
    if (st == CELERY_OK)
        st = bind_exchange(ab->consumer, name, delivery_exchange, key, &why);
    if (st == CELERY_OK)
        st = amqp_bind(ab->consumer, name, name, key, &why);
    ab->queues[queue].delayed = st == CELERY_OK;
    if (st == CELERY_CONFLICT) {
        LOG_EVENT(LOG_LEVEL_WARNING, "amqp_no_delayed_delivery",
                  LOG_STR("queue", name), LOG_STR("error", why.msg),
                  LOG_STR("msg", "hold queues are used"));
        return CELERY_OK;
    }
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}
