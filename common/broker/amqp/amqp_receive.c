/* SPDX-License-Identifier: MIT */
/*
 * What arrives on both connections: deliveries, broadcasts, cancelled consumers and
 * closed channels; late confirms and the end of alarms.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_envelope.h"
#include "log/log.h"

enum { INPUTS_MAX = 2000 }; /* read in one call; the rest in the next one */

void amqp_inbound_free(struct amqp_inbound *item)
{
    celery_buf_done(&item->raw);
    amqp_copy_free(item->copy);
    free(item);
}

void amqp_forget_deliveries(struct amqp_broker *ab)
{
    while (ab->inbound != NULL) {
        struct amqp_inbound *item = ab->inbound;
        ab->inbound = item->next;
        amqp_inbound_free(item);
    }
    ab->inbound_tail = &ab->inbound;
    ab->claim_first = ab->claim_count = 0;
}

/* The queue whose consumer the tag names; queue_count: none of ours. */
static size_t queue_of(const struct amqp_broker *ab, amqp_bytes_t tag,
                       bool *ret_suspects)
{
    char text[48];
    if (tag.len >= sizeof text || tag.len < 2)
        return ab->queue_count;
    memcpy(text, tag.bytes, tag.len);
    text[tag.len] = '\0';
    size_t queue = strtoul(text + 1, NULL, 10);
    *ret_suspects = text[0] == 's';
    return (text[0] == 'q' || text[0] == 's') && queue < ab->queue_count
             ? queue
             : ab->queue_count;
}

static void deliver_broadcast(struct amqp_broker *ab,
                              const struct amqp_input *input)
{
    const amqp_basic_deliver_t *m = input->method.decoded;
    const struct amqp_received received = {
        .properties = input->properties,
        .body = input->body,
        .exchange = amqp_str(m->exchange),
        .routing_key = amqp_str(m->routing_key),
        .tag = "",
    };
    struct celery_buf raw = CELERY_BUF_INIT;
    bool pidbox = input->channel == CHANNEL_PIDBOX;
    if (ab->on_broadcast != NULL && amqp_envelope_put(&raw, &received))
        ab->on_broadcast(ab->broadcast_arg,
                         pidbox ? "celery.pidbox" : "celeryev",
                         celery_buf_str(&raw));
    celery_buf_done(&raw);
}

static enum celery_status on_content(struct amqp_broker *ab,
                                     const struct amqp_input *input,
                                     bool *ret_wake, struct celery_error *err)
{
    if (input->method.id != AMQP_BASIC_DELIVER_METHOD)
        return CELERY_OK;
    if (input->channel != CHANNEL_TASKS) {
        deliver_broadcast(ab, input);
        return CELERY_OK;
    }
    const amqp_basic_deliver_t *m = input->method.decoded;
    bool suspects = false;
    size_t queue = queue_of(ab, m->consumer_tag, &suspects);
    if (queue == ab->queue_count)
        return celery_fail(err, CELERY_MALFORMED,
                           "a delivery for a consumer that is not ours");
    struct amqp_inbound *item = amqp_take_inbound(ab, input, queue, suspects);
    amqp_claim_add(ab, m->delivery_tag);
    *ab->inbound_tail = item;
    ab->inbound_tail = &item->next;
    *ret_wake = true;
    return CELERY_OK;
}

/* The queue was deleted, or its leader went away. Python rebuilds the whole
 * connection then; the other claims need not pay for it. */
static void on_cancel(struct amqp_broker *ab, const struct amqp_input *input)
{
    const amqp_basic_cancel_t *m = input->method.decoded;
    bool suspects = false;
    size_t queue = queue_of(ab, m->consumer_tag, &suspects);
    ab->retry_due = true;
    if (input->channel == CHANNEL_PIDBOX) {
        ab->pidbox = false;
    } else if (input->channel == CHANNEL_GOSSIP) {
        ab->gossip = false;
    } else if (queue < ab->queue_count && suspects) {
        amqp_forget_declared(ab);
        ab->queues[queue].suspects = ab->queues[queue].suspects_consuming =
            false;
    } else if (queue < ab->queue_count) {
        ab->queues[queue].consuming = false;
        LOG_EVENT(LOG_LEVEL_WARNING, "amqp_consumer_cancelled",
                  LOG_STR("queue", ab->broker.queues[queue].name),
                  LOG_STR("msg", "declared and consumed again"));
    }
}

static enum celery_status on_method(struct amqp_broker *ab,
                                    const struct amqp_input *input,
                                    struct celery_error *err)
{
    if (input->method.id == AMQP_BASIC_CANCEL_METHOD) {
        on_cancel(ab, input);
        return CELERY_OK;
    }
    if (input->method.id != AMQP_CHANNEL_CLOSE_METHOD)
        return CELERY_OK;
    if (input->channel == CHANNEL_TASKS) {
        /* The claims are gone: consumer_timeout, a tag that was unknown. */
        (void)amqp_fail_closed(err, &input->method,
                               "RabbitMQ closed a channel");
        return CELERY_CLOSED;
    }
    if (input->channel == CHANNEL_PIDBOX)
        ab->pidbox = false;
    if (input->channel == CHANNEL_GOSSIP)
        ab->gossip = false;
    ab->retry_due = true;
    return amqp_conn_reopen(ab->consumer, input->channel, err);
}

static enum celery_status receive_consumer(struct amqp_broker *ab,
                                           bool *ret_wake,
                                           struct celery_error *err)
{
    for (int i = 0; i < INPUTS_MAX; i++) {
        struct amqp_input input;
        enum celery_status st = amqp_conn_next(ab->consumer, 0, &input, err);
        if (st == CELERY_OK && input.kind == AMQP_INPUT_NONE)
            return CELERY_OK;
        if (st == CELERY_OK && input.kind == AMQP_INPUT_CONTENT)
            st = on_content(ab, &input, ret_wake, err);
        else if (st == CELERY_OK)
            st = on_method(ab, &input, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}

/* Late confirms, blocked and unblocked, the end of the connection. */
enum celery_status amqp_receive_producer(struct amqp_broker *ab,
                                         struct celery_error *err)
{
    for (int i = 0; i < INPUTS_MAX; i++) {
        struct amqp_input input;
        enum celery_status st = amqp_conn_next(ab->producer, 0, &input, err);
        if (st != CELERY_OK || input.kind == AMQP_INPUT_NONE)
            return st;
        if (input.channel == CHANNEL_CONFIRM)
            st = amqp_publisher_input(&ab->publisher, &input, err);
        else if (input.kind == AMQP_INPUT_METHOD
                 && input.method.id == AMQP_CHANNEL_CLOSE_METHOD)
            st = amqp_conn_reopen(ab->producer, input.channel, err);
        if (amqp_is_fatal(st))
            return st;
    }
    return CELERY_OK;
}

enum celery_status amqp_receive(struct broker *broker, bool *ret_wake,
                                struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct celery_error why = {0};
    enum celery_status st = CELERY_OK;
    uint64_t count = 0;
    *ret_wake = false;
    (void)!read(ab->wake_fd, &count, sizeof count);
    if (ab->producer != NULL && amqp_receive_producer(ab, &why) != CELERY_OK) {
        LOG_EVENT(LOG_LEVEL_WARNING, "amqp_publisher_lost",
                  LOG_STR("error", why.msg));
        (void)amqp_drop_producer(ab, CELERY_OK);
    }
    if (ab->consumer != NULL)
        st = receive_consumer(ab, ret_wake, err);
    if (st == CELERY_OK && ab->consumer != NULL && ab->retry_due
        && clock_monotonic_us() >= ab->retry_at_us)
        st = amqp_consume_missing(ab, err);
    amqp_wake_if_pending(ab);
    return st != CELERY_OK ? amqp_drop(ab, st) : st;
}
