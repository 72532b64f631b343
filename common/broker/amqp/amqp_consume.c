/* SPDX-License-Identifier: MIT */
/*
 * The consuming connection: consumers on the task queues, the mailbox and the
 * neighbours' events, prefetch. Source: celery/worker/consumer/
 * tasks.py, kombu/pidbox.py, celery/events/receiver.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_table.h"
#include "base/xalloc.h"
#include "broker/amqp/amqp_broker.h"
#include "log/log.h"

enum {
    PREFETCH_MAX = 65535,
    PIDBOX_EXPIRES_MS = 10000,
    PIDBOX_TTL_MS = 300000,
    EVENTS_EXPIRES_MS = 60000,
    EVENTS_TTL_MS = 5000,
};

/* --- consumers --------------------------------------------------------------- */

enum celery_status amqp_consume_as(struct amqp_broker *ab,
                                   amqp_channel_t channel, const char *queue,
                                   const char *tag, bool no_ack,
                                   struct celery_error *err)
{
    (void)amqp_basic_consume(amqp_conn_begin(ab->consumer), channel,
                             amqp_cstring_bytes(queue), amqp_cstring_bytes(tag),
                             0, no_ack, 0, amqp_empty_table);
    enum celery_status st =
        amqp_conn_end_rpc(ab->consumer, channel, "consuming", err);
    amqp_conn_release(ab->consumer, channel);
    /* The channel was closed, and with it the claims and the other consumers. */
    if (st == CELERY_CONFLICT && channel == CHANNEL_TASKS)
        return CELERY_CLOSED;
    return st;
}

enum celery_status amqp_set_qos(struct amqp_broker *ab, size_t count,
                                bool global, struct celery_error *err)
{
    (void)amqp_basic_qos(amqp_conn_begin(ab->consumer), CHANNEL_TASKS, 0,
                         (uint16_t)count, global);
    enum celery_status st = amqp_conn_end_rpc(ab->consumer, CHANNEL_TASKS,
                                              "setting the prefetch", err);
    amqp_conn_release(ab->consumer, CHANNEL_TASKS);
    return st == CELERY_CONFLICT ? CELERY_CLOSED : st;
}

static size_t wanted_prefetch(const struct amqp_broker *ab)
{
    size_t n = ab->broker.prefetch;
    return n == 0 || n > PREFETCH_MAX ? PREFETCH_MAX : n;
}

/* Without a global limit each consumer has its own: together about as many. */
static size_t share_of(const struct amqp_broker *ab, size_t n)
{
    size_t active = 0;
    for (size_t i = 0; i < ab->broker.queue_count; i++)
        active += ab->broker.queues[i].active;
    if (active == 0)
        return n;
    size_t share = (n + active - 1) / active;
    return share > 0 ? share : 1;
}

static void tag_of(const struct amqp_broker *ab, size_t queue,
                   char ret[AMQP_CONSUMER_TAG])
{
    (void)snprintf(ret, AMQP_CONSUMER_TAG, "q%zu.%u", queue,
                   ab->queues[queue].serial);
}

static enum celery_status start_consumer(struct amqp_broker *ab, size_t queue,
                                         struct celery_error *err)
{
    char tag[AMQP_CONSUMER_TAG];
    struct celery_error why = {0};
    enum celery_status st = CELERY_OK;
    if (!ab->qos_global)
        st = amqp_set_qos(ab, share_of(ab, wanted_prefetch(ab)), false, err);
    if (st != CELERY_OK)
        return st;
    ab->queues[queue].serial++;
    tag_of(ab, queue, tag);
    st = amqp_consume_as(ab, CHANNEL_TASKS, ab->broker.queues[queue].name, tag,
                         false, &why);
    ab->queues[queue].consuming = st == CELERY_OK;
    /* A quorum queue that no declaration told of: the next connection knows. */
    if (why.detail == AMQP_CODE_NOT_IMPLEMENTED && ab->qos_global)
        ab->queues[queue].refuses_global = true;
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}

enum celery_status amqp_cancel_consumer(struct amqp_broker *ab, const char *tag,
                                        struct celery_error *err)
{
    (void)amqp_basic_cancel(amqp_conn_begin(ab->consumer), CHANNEL_TASKS,
                            amqp_cstring_bytes(tag));
    enum celery_status st = amqp_conn_end_rpc(ab->consumer, CHANNEL_TASKS,
                                              "cancelling a consumer", err);
    amqp_conn_release(ab->consumer, CHANNEL_TASKS);
    return st == CELERY_CONFLICT ? CELERY_CLOSED : st;
}

static enum celery_status stop_consumer(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
{
    char tag[AMQP_CONSUMER_TAG];
    if (!ab->queues[queue].consuming)
        return CELERY_OK;
    tag_of(ab, queue, tag);
    ab->queues[queue].consuming = false;
    return amqp_cancel_consumer(ab, tag, err);
}

enum celery_status amqp_cancel_queue(struct amqp_broker *ab, size_t queue,
                                     struct celery_error *err)
{
    enum celery_status st = stop_consumer(ab, queue, err);
    return st == CELERY_OK ? amqp_suspects_cancel(ab, queue, err) : st;
}

/* A consumer keeps the limit that it began with: all begin again. */
static enum celery_status consume_again(struct amqp_broker *ab,
                                        struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < ab->queue_count && st == CELERY_OK; i++) {
        if (!ab->queues[i].consuming)
            continue;
        st = stop_consumer(ab, i, err);
        if (st == CELERY_OK)
            st = start_consumer(ab, i, err);
    }
    return st;
}

/* Quorum queues refuse a global limit (540, which ends the connection): all
 * consumers get their own. */
static enum celery_status leave_global(struct amqp_broker *ab,
                                       struct celery_error *err)
{
    ab->qos_global = false;
    enum celery_status st = amqp_set_qos(ab, 0, true, err);
    return st == CELERY_OK ? consume_again(ab, err) : st;
}

static enum celery_status consume_queue(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
{
    const char *name = ab->broker.queues[queue].name;
    struct celery_error why = {0};
    enum celery_status st =
        amqp_declare_task_queue(ab->consumer, name, &ab->queues[queue], &why);
    /* Somebody else's exclusive queue, a name we may not use: tried again. */
    if (st == CELERY_CONFLICT) {
        LOG_EVENT(LOG_LEVEL_ERROR, "amqp_queue_not_consumed",
                  LOG_STR("queue", name), LOG_STR("error", why.msg));
        ab->retry_due = true;
        return CELERY_OK;
    }
    if (st == CELERY_OK && ab->queues[queue].quorum && ab->qos_global)
        st = leave_global(ab, &why);
    if (st == CELERY_OK && ab->queues[queue].topic)
        st = amqp_delayed_declare(ab, queue, &why);
    if (st == CELERY_OK)
        st = start_consumer(ab, queue, &why);
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}

enum celery_status amqp_apply_prefetch(struct amqp_broker *ab,
                                       struct celery_error *err)
{
    size_t n = wanted_prefetch(ab);
    if (n == ab->prefetch)
        return CELERY_OK;
    bool first = ab->prefetch == 0;
    size_t before = share_of(ab, ab->prefetch);
    ab->prefetch = n;
    if (ab->qos_global)
        return amqp_set_qos(ab, n, true, err);
    if (first || share_of(ab, n) == before)
        return CELERY_OK;
    return consume_again(ab, err);
}

/* A queue of ours alone: of our mailbox, or for the neighbours' events. */
struct own_queue {
    amqp_channel_t channel;
    const char *name;
    const char *exchange;
    const char *routing_key;
    int32_t expires_ms;
    int32_t ttl_ms;
};

static enum celery_status start_own(struct amqp_broker *ab,
                                    const struct own_queue *own,
                                    struct celery_error *err)
{
    amqp_table_entry_t arguments[] = {
        amqp_int_argument("x-expires", own->expires_ms),
        amqp_int_argument("x-message-ttl", own->ttl_ms),
    };
    const struct amqp_queue_spec spec = {.name = own->name,
                                         .exclusive = true,
                                         .auto_delete = true,
                                         .arguments = {2, arguments}};
    struct celery_error other = {0};
    enum celery_status st =
        amqp_declare_queue(ab->consumer, &spec, &other, err);
    if (st == CELERY_OK)
        st = amqp_bind(ab->consumer, own->name, own->exchange, own->routing_key,
                       err);
    if (st == CELERY_OK)
        st = amqp_consume_as(ab, own->channel, own->name, "own", true, err);
    return st;
}

/* What the connection before this one has left may still be there for a moment:
 * then it is tried again. */
static enum celery_status consume_own(struct amqp_broker *ab,
                                      const struct own_queue *own,
                                      bool *ret_running,
                                      struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = start_own(ab, own, &why);
    *ret_running = st == CELERY_OK;
    if (st == CELERY_CONFLICT) {
        if (!ab->retry_due)
            LOG_EVENT(LOG_LEVEL_WARNING, "amqp_queue_not_ours",
                      LOG_STR("queue", own->name), LOG_STR("error", why.msg),
                      LOG_STR("msg", "tried again every second"));
        ab->retry_due = true;
        return CELERY_OK;
    }
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}

static enum celery_status consume_mailboxes(struct amqp_broker *ab,
                                            struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    char *name = xasprintf("%s.celery.pidbox", ab->nodename);
    const struct own_queue pidbox = {
        .channel = CHANNEL_PIDBOX,
        .name = name,
        .exchange = "celery.pidbox",
        .routing_key = "",
        .expires_ms = PIDBOX_EXPIRES_MS,
        .ttl_ms = PIDBOX_TTL_MS,
    };
    const struct own_queue gossip = {
        .channel = CHANNEL_GOSSIP,
        .name = ab->event_queue,
        .exchange = "celeryev",
        .routing_key = "worker.#",
        .expires_ms = EVENTS_EXPIRES_MS,
        .ttl_ms = EVENTS_TTL_MS,
    };
    if (!ab->pidbox)
        st = consume_own(ab, &pidbox, &ab->pidbox, err);
    if (st == CELERY_OK && !ab->gossip)
        st = consume_own(ab, &gossip, &ab->gossip, err);
    free(name);
    return st;
}

/* Queues that were added since. */
static void know_queues(struct amqp_broker *ab)
{
    size_t count = ab->broker.queue_count;
    if (count <= ab->queue_count)
        return;
    ab->queues = xrealloc(ab->queues, count * sizeof ab->queues[0]);
    memset(ab->queues + ab->queue_count, 0,
           (count - ab->queue_count) * sizeof ab->queues[0]);
    ab->queue_count = count;
}

static enum celery_status consume_suspects(struct amqp_broker *ab, size_t queue,
                                           struct celery_error *err)
{
    struct amqp_queue *q = &ab->queues[queue];
    enum celery_status st = CELERY_OK;
    if (!q->consuming)
        st = amqp_suspects_find(ab, queue, err);
    if (st != CELERY_OK || !q->suspects || q->suspects_consuming)
        return st;
    /* A limit of its own takes that of the channel away (rabbit_channel.erl,
     * basic.qos): until it stands again, nobody else consumes. */
    for (size_t i = 0; ab->qos_global && i < ab->queue_count; i++) {
        if (st == CELERY_OK)
            st = stop_consumer(ab, i, err);
    }
    if (st == CELERY_OK)
        st = amqp_suspects_consume(ab, queue, err);
    if (st == CELERY_OK && ab->qos_global)
        st = amqp_set_qos(ab, ab->prefetch, true, err);
    return st;
}

static enum celery_status consume_tasks(struct amqp_broker *ab,
                                        struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    know_queues(ab);
    if (ab->stopped)
        return CELERY_OK;
    /* The suspects first: a refusal ends the channel, and what it holds would
     * come back. */
    for (size_t i = 0; i < ab->broker.queue_count && st == CELERY_OK; i++) {
        if (ab->broker.queues[i].active)
            st = consume_suspects(ab, i, err);
    }
    for (size_t i = 0; i < ab->broker.queue_count && st == CELERY_OK; i++) {
        if (ab->broker.queues[i].active && !ab->queues[i].consuming)
            st = consume_queue(ab, i, err);
    }
    return st;
}

enum celery_status amqp_consume_missing(struct amqp_broker *ab,
                                        struct celery_error *err)
{
    ab->retry_due = false;
    ab->retry_at_us = clock_monotonic_us() + USEC_PER_SEC;
    enum celery_status st = consume_mailboxes(ab, err);
    return st == CELERY_OK ? consume_tasks(ab, err) : st;
}

/* RabbitMQ 4 has no global limit on classic queues any more. Source:
 * kombu/transport/pyamqp.py qos_semantics_matches_spec. */
static bool is_4_or_newer(const struct amqp_broker *ab)
{
    const amqp_table_t *server = amqp_conn_server(ab->consumer);
    const amqp_field_value_t *version = amqp_table_find(server, "version");
    return version != NULL && version->kind == AMQP_FIELD_KIND_UTF8
        && version->value.bytes.len > 1
        && strtol(version->value.bytes.bytes, NULL, 10) >= 4;
}

enum celery_status amqp_consume_all(struct amqp_broker *ab,
                                    struct celery_error *err)
{
    struct amqp_conn *conn = ab->consumer;
    enum celery_status st =
        amqp_declare_exchange(conn, "celeryev", "topic", true, NULL, err);
    if (st == CELERY_OK)
        st = amqp_declare_exchange(conn, "celery.pidbox", "fanout", false, NULL,
                                   err);
    if (st == CELERY_OK)
        st = amqp_declare_exchange(conn, "reply.celery.pidbox", "direct", false,
                                   NULL, err);
    know_queues(ab);
    ab->qos_global = !is_4_or_newer(ab);
    for (size_t i = 0; i < ab->queue_count && st == CELERY_OK; i++) {
        ab->queues[i].consuming = ab->queues[i].suspects_consuming = false;
        if (!ab->broker.queues[i].active)
            continue;
        st = amqp_declare_task_queue(conn, ab->broker.queues[i].name,
                                     &ab->queues[i], err);
        if (ab->queues[i].quorum)
            ab->qos_global = false;
        if (st == CELERY_CONFLICT)
            st = CELERY_OK; /* said and tried again below */
    }
    /* The limit first, or the server sends without one. */
    if (st == CELERY_OK)
        st = amqp_apply_prefetch(ab, err);
    return st == CELERY_OK ? amqp_consume_missing(ab, err) : st;
}
