/* SPDX-License-Identifier: MIT */
/*
 * The publishing connection. Tasks, dead letters and what else must not be lost go
 * out mandatory and with confirms; events, broadcasts and replies on a channel
 * without: nobody may listen, and nothing waits for them. Queues are declared
 * before the first publish to them, as kombu does.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_envelope.h"
#include "log/log.h"

enum { PRODUCER_HEARTBEAT_S = 0, BATCH_MAX = 10000 };

bool amqp_is_declared(const struct amqp_broker *ab, const char *name)
{
    for (size_t i = 0; i < ab->declared_count; i++) {
        if (strcmp(ab->declared[i], name) == 0)
            return true;
    }
    return false;
}

void amqp_note_declared(struct amqp_broker *ab, const char *name)
{
    ab->declared = xrealloc(ab->declared,
                            (ab->declared_count + 1) * sizeof ab->declared[0]);
    ab->declared[ab->declared_count++] = xstrdup(name);
}

void amqp_forget_declared(struct amqp_broker *ab)
{
    for (size_t i = 0; i < ab->declared_count; i++)
        free(ab->declared[i]);
    free(ab->declared);
    ab->declared = NULL;
    ab->declared_count = 0;
}

enum celery_status amqp_drop_producer(struct amqp_broker *ab,
                                      enum celery_status st)
{
    amqp_conn_close(ab->producer, false);
    ab->producer = NULL;
    amqp_forget_declared(ab);
    if (ab->nodename == NULL)
        ab->broker.connected = false;
    return st;
}

/* What belongs to the publishing side fails alone; the claims stay. */
static enum celery_status checked(struct amqp_broker *ab, enum celery_status st)
{
    if (amqp_is_fatal(st)
        && !(st == CELERY_TIMEOUT && ab->producer != NULL
             && amqp_conn_blocked(ab->producer)))
        return amqp_drop_producer(ab, st);
    return st;
}

static enum celery_status open_channels(struct amqp_broker *ab,
                                        struct celery_error *err)
{
    struct amqp_conn *conn = ab->producer;
    enum celery_status st = amqp_conn_channel(conn, CHANNEL_CONFIRM, err);
    if (st == CELERY_OK)
        st = amqp_publisher_start(&ab->publisher, conn, CHANNEL_CONFIRM, err);
    if (st == CELERY_OK)
        st = amqp_conn_channel(conn, CHANNEL_PLAIN, err);
    if (st == CELERY_OK)
        st = amqp_conn_channel(conn, CHANNEL_SCRATCH, err);
    return st;
}

/* The end of an alarm may have arrived and not been read. */
static enum celery_status may_publish(struct amqp_broker *ab,
                                      struct celery_error *err)
{
    if (!amqp_conn_blocked(ab->producer))
        return CELERY_OK;
    enum celery_status st = amqp_receive_producer(ab, err);
    if (amqp_is_fatal(st))
        return amqp_drop_producer(ab, st);
    if (!amqp_conn_blocked(ab->producer))
        return CELERY_OK;
    return celery_fail(err, CELERY_TIMEOUT,
                       "RabbitMQ takes no publishes now (it is low on memory "
                       "or disk)");
}

enum celery_status amqp_need_producer(struct amqp_broker *ab,
                                      struct celery_error *err)
{
    if (ab->producer != NULL)
        return may_publish(ab, err);
    /* A worker's every event would wait for a host that does not answer. */
    if (ab->nodename != NULL && clock_monotonic_us() < ab->producer_at_us)
        return celery_fail(err, CELERY_CLOSED,
                           "the publishing connection is away");
    /* Slower than base/backoff.h: a try may stop the loop for as long as the
     * deadline, and the consuming connection may be well. */
    ab->producer_at_us = clock_monotonic_us() + AMQP_RETRY_US;
    const struct amqp_endpoint *ep = &ab->endpoints.list[ab->endpoint];
    /* Nobody sends heartbeats for a producer between two sends. */
    const struct amqp_conn_options options = {
        .name = ab->client_name,
        .timeout_us = ab->timeout_us,
        .heartbeat_s = ab->nodename != NULL && ab->consumer != NULL
                         ? amqp_conn_heartbeat(ab->consumer)
                         : PRODUCER_HEARTBEAT_S,
    };
    enum celery_status st = amqp_conn_open(ep, &options, &ab->producer, err);
    if (st != CELERY_OK)
        return st;
    st = open_channels(ab, err);
    return st == CELERY_OK ? st : amqp_drop_producer(ab, st);
}

enum celery_status amqp_need_queue(struct amqp_broker *ab, const char *name,
                                   const amqp_table_t *arguments,
                                   struct celery_error *err)
{
    const struct amqp_queue_spec spec = {.name = name,
                                         .durable = true,
                                         .arguments = arguments != NULL
                                                        ? *arguments
                                                        : amqp_empty_table};
    enum celery_status st = amqp_need_producer(ab, err);
    if (st != CELERY_OK || amqp_is_declared(ab, name))
        return st;
    st = amqp_declare_queue(ab->producer, &spec, NULL, err);
    if (st == CELERY_OK)
        amqp_note_declared(ab, name);
    return checked(ab, st);
}

enum celery_status amqp_publish_surely(struct amqp_broker *ab,
                                       struct amqp_outgoing *items,
                                       size_t count, struct celery_error *err)
{
    enum celery_status st = amqp_need_producer(ab, err);
    if (st != CELERY_OK)
        return st;
    st = amqp_publisher_send(&ab->publisher, items, count, amqp_deadline(ab),
                             err);
    /* A queue has gone: the next publish declares it again. */
    if (st == CELERY_CONFLICT)
        amqp_forget_declared(ab);
    return checked(ab, st);
}

/* --- the driver's publish ------------------------------------------------------- */

static enum celery_status need_task_queue(struct amqp_broker *ab,
                                          const struct broker_message *message,
                                          struct celery_error *err)
{
    const char *queue = message->out.routing_key;
    if ((message->out.exchange != NULL && *message->out.exchange != '\0')
        || amqp_is_declared(ab, queue))
        return CELERY_OK;
    enum celery_status st =
        amqp_declare_task_queue(ab->producer, queue, NULL, err);
    if (st == CELERY_OK)
        amqp_note_declared(ab, queue);
    return st;
}

static enum celery_status build(struct amqp_broker *ab,
                                const struct broker_message *messages,
                                size_t count, amqp_pool_t *pool,
                                struct amqp_outgoing *items,
                                struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        st = need_task_queue(ab, &messages[i], err);
        if (st == CELERY_OK)
            st = amqp_outgoing_of(&messages[i].out, pool, &items[i], err);
        if (st == CELERY_OK)
            st = amqp_strip_headers(&items[i].properties, pool, err);
    }
    return st;
}

static size_t confirmed(const struct amqp_outgoing *items, size_t count)
{
    size_t n = 0;
    while (n < count && items[n].outcome == AMQP_CONFIRMED)
        n++;
    return n;
}

/* Sends once more what was returned for want of a queue; what is confirmed already
 * would run twice. st: of the first time. */
static enum celery_status send_returned(struct amqp_broker *ab,
                                        const struct broker_message *messages,
                                        size_t count, amqp_pool_t *pool,
                                        struct amqp_outgoing *items,
                                        enum celery_status st,
                                        struct celery_error *err)
{
    struct broker_message *again = xcalloc(count, sizeof *again);
    struct amqp_outgoing *out = xcalloc(count, sizeof *out);
    size_t *of = xcalloc(count, sizeof *of);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].outcome != AMQP_RETURNED || items[i].exchange.len > 0)
            continue;
        of[n] = i;
        again[n++] = messages[i];
    }
    if (n > 0) {
        st = checked(ab, build(ab, again, n, pool, out, err));
        if (st == CELERY_OK)
            st = amqp_publish_surely(ab, out, n, err);
        for (size_t i = 0; i < n; i++)
            items[of[i]].outcome = out[i].outcome;
    }
    free(again);
    free(out);
    free(of);
    return st;
}

/* Tasks. A queue that was deleted since the last publish is declared again. */
static enum celery_status publish_tasks(struct amqp_broker *ab,
                                        const struct broker_message *messages,
                                        size_t count, size_t *sent,
                                        struct celery_error *err)
{
    amqp_pool_t pool;
    struct amqp_outgoing *items = xcalloc(count, sizeof *items);
    init_amqp_pool(&pool, 16384);
    enum celery_status st = amqp_need_producer(ab, err);
    if (st == CELERY_OK)
        st = checked(ab, build(ab, messages, count, &pool, items, err));
    if (st == CELERY_OK)
        st = amqp_publish_surely(ab, items, count, err);
    if (st == CELERY_CONFLICT)
        st = send_returned(ab, messages, count, &pool, items, st, err);
    /* One may have been nacked while the others were sent again. */
    if (st == CELERY_OK && confirmed(items, count) < count)
        st = celery_fail(err, CELERY_CONFLICT, "the queue refused a message");
    *sent += confirmed(items, count);
    empty_amqp_pool(&pool);
    free(items);
    return st;
}

static enum celery_status publish_plain(struct amqp_broker *ab,
                                        const struct broker_message *message,
                                        struct celery_error *err)
{
    amqp_pool_t pool;
    struct amqp_outgoing item;
    enum celery_status st = amqp_need_producer(ab, err);
    if (st != CELERY_OK)
        return st;
    init_amqp_pool(&pool, 4096);
    st = amqp_outgoing_of(&message->out, &pool, &item, err);
    if (st == CELERY_OK) {
        int status =
            amqp_basic_publish(amqp_conn_begin(ab->producer), CHANNEL_PLAIN,
                               item.exchange, item.routing_key, 0, 0,
                               &item.properties, item.body);
        st = amqp_conn_end(ab->producer, status, "publishing", err);
    }
    empty_amqp_pool(&pool);
    return checked(ab, st);
}

enum celery_status amqp_publish(struct broker *broker,
                                const struct broker_message *messages,
                                size_t count, size_t *ret_sent,
                                struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    enum celery_status st = CELERY_OK;
    size_t at = 0;
    *ret_sent = 0;
    /* A worker connects in its loop, which then knows that its claims are gone. */
    if (!broker->connected && ab->nodename != NULL)
        st = celery_fail(err, CELERY_CLOSED, "not connected");
    else if (!broker->connected)
        st = broker_connect(broker, err);
    while (at < count && st == CELERY_OK) {
        if (messages[at].route != BROKER_TO_QUEUE) {
            st = publish_plain(ab, &messages[at++], err);
            *ret_sent += st == CELERY_OK;
            continue;
        }
        size_t end = at + 1;
        while (end < count && end - at < BATCH_MAX
               && messages[end].route == BROKER_TO_QUEUE)
            end++;
        st = publish_tasks(ab, messages + at, end - at, ret_sent, err);
        at = end;
    }
    return st;
}
