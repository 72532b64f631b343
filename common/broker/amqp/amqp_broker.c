/* SPDX-License-Identifier: MIT */
/*
 * The RabbitMQ driver: opening, connecting (to the next host of a list when one
 * fails), closing, and the small calls.
 */
#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/random_id.h"
#include "base/xalloc.h"
#include "celery/json_scan.h"
#include "log/log.h"

enum {
    DEFAULT_TIMEOUT_S = 5,
    DEFAULT_HOLD_S = 60,
    /* Python proposes 120 s. Ours finds a dead peer in 20 s. */
    DEFAULT_HEARTBEAT_S = 10,
};

enum celery_status amqp_drop(struct amqp_broker *ab, enum celery_status st)
{
    (void)amqp_drop_producer(ab, st);
    amqp_conn_close(ab->consumer, false);
    ab->consumer = NULL;
    amqp_forget_deliveries(ab);
    for (size_t i = 0; i < ab->queue_count; i++)
        ab->queues[i].consuming = ab->queues[i].suspects_consuming = false;
    ab->pidbox = ab->gossip = false;
    ab->retry_due = false;
    ab->prefetch = 0;
    ab->epoch++;
    ab->broker.connected = false;
    return st;
}

static void amqp_close(struct broker *broker)
{
    struct amqp_broker *ab = amqp_broker(broker);
    /* What was published is confirmed, what was acked is on its way: the close
     * makes it arrive. */
    amqp_conn_close(ab->producer, true);
    amqp_conn_close(ab->consumer, true);
    ab->producer = ab->consumer = NULL;
    (void)amqp_drop(ab, CELERY_OK);
    amqp_endpoints_done(&ab->endpoints);
    if (ab->wake_fd >= 0)
        (void)close(ab->wake_fd);
    free(ab->queues);
    free(ab->claims);
    free(ab->client_name);
    free(ab->nodename);
    free(ab);
}

/* What this driver knows of broker_transport_options. */
static enum celery_status read_options(struct amqp_broker *ab, const char *text,
                                       struct celery_error *err)
{
    struct celery_json root = {.type = CELERY_JSON_NONE};
    enum celery_status st = CELERY_OK;
    if (text != NULL)
        st = celery_json_parse((struct celery_str){text, strlen(text)}, NULL,
                               &root, err);
    if (st != CELERY_OK)
        return st;
    double hold = DEFAULT_HOLD_S;
    struct celery_json above = celery_json_get(root, "hold_eta_above");
    if (!celery_json_null(above)
        && (!celery_json_double(above, &hold) || !(hold >= 1)))
        return celery_fail(err, CELERY_INVALID,
                           "hold_eta_above=%.*s is not accepted; accepted: "
                           "seconds of at least 1",
                           (int)(above.text.len < 40 ? above.text.len : 40),
                           above.text.data);
    ab->hold_above_us = (int64_t)(hold * USEC_PER_SEC);
    return CELERY_OK;
}

static enum celery_status amqp_open(const struct broker_options *options,
                                    struct broker **ret,
                                    struct celery_error *err)
{
    struct amqp_broker *ab = xcalloc(1, sizeof *ab);
    char id[CELERY_TASK_ID_LEN + 1];
    double timeout =
        options->timeout_s > 0 ? options->timeout_s : DEFAULT_TIMEOUT_S;
    ab->timeout_us = (int64_t)(timeout * USEC_PER_SEC);
    ab->client_name = xstrdup(
        options->client_name != NULL ? options->client_name : "celery-c");
    ab->nodename =
        options->nodename != NULL ? xstrdup(options->nodename) : NULL;
    ab->on_broadcast = options->on_broadcast;
    ab->runs_here = options->runs_here;
    ab->broadcast_arg = options->broadcast_arg;
    ab->max_deliveries = options->max_deliveries;
    ab->inbound_tail = &ab->inbound;
    ab->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    random_id(id);
    (void)snprintf(ab->event_queue, sizeof ab->event_queue, "celeryev.%s", id);
    enum celery_status st =
        amqp_endpoints_parse(options->url, options->transport_options,
                             &ab->endpoints, err);
    if (st == CELERY_OK)
        st = read_options(ab, options->transport_options, err);
    if (st != CELERY_OK) {
        amqp_close(&ab->broker);
        return st;
    }
    *ret = &ab->broker;
    return CELERY_OK;
}

static enum celery_status connect_consumer(struct amqp_broker *ab,
                                           struct celery_error *err)
{
    const struct amqp_endpoint *ep = &ab->endpoints.list[ab->endpoint];
    const struct amqp_conn_options options = {
        .name = ab->client_name,
        .timeout_us = ab->timeout_us,
        .heartbeat_s =
            ep->heartbeat_s >= 0 ? ep->heartbeat_s : DEFAULT_HEARTBEAT_S,
    };
    ab->producer_at_us = 0;
    enum celery_status st = amqp_conn_open(ep, &options, &ab->consumer, err);
    static const amqp_channel_t channels[] = {CHANNEL_TASKS, CHANNEL_PIDBOX,
                                              CHANNEL_GOSSIP, CHANNEL_SCRATCH};
    for (size_t i = 0; i < 4 && st == CELERY_OK; i++)
        st = amqp_conn_channel(ab->consumer, channels[i], err);
    if (st == CELERY_OK)
        st = amqp_need_producer(ab, err);
    if (st == CELERY_OK)
        st = amqp_consume_all(ab, err);
    /* A refusal that is not worked around ends the try. */
    return st == CELERY_CONFLICT ? CELERY_CLOSED : st;
}

static enum celery_status amqp_connect(struct broker *broker,
                                       struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    enum celery_status st = CELERY_CLOSED;
    for (size_t i = 0; i < ab->endpoints.count; i++) {
        (void)amqp_drop(ab, CELERY_OK);
        if (ab->nodename != NULL)
            st = connect_consumer(ab, err);
        else
            st = amqp_need_producer(ab, err);
        if (st == CELERY_OK) {
            broker->connected = true;
            amqp_wake_if_pending(ab);
            return CELERY_OK;
        }
        ab->endpoint = (ab->endpoint + 1) % ab->endpoints.count;
    }
    return amqp_drop(ab, st);
}

static size_t amqp_fds(const struct broker *broker, struct pollfd *ret)
{
    const struct amqp_broker *ab =
        (const struct amqp_broker *)(const void *)broker;
    size_t count = 0;
    if (ab->consumer != NULL)
        ret[count++] = (struct pollfd){amqp_conn_fd(ab->consumer), POLLIN, 0};
    if (ab->producer != NULL)
        ret[count++] = (struct pollfd){amqp_conn_fd(ab->producer), POLLIN, 0};
    if (ab->consumer != NULL)
        ret[count++] = (struct pollfd){ab->wake_fd, POLLIN, 0};
    return count;
}

static void wake(struct amqp_broker *ab)
{
    static const uint64_t one = 1;
    (void)!write(ab->wake_fd, &one, sizeof one);
}

void amqp_wake_if_pending(struct amqp_broker *ab)
{
    if (ab->consumer != NULL && amqp_conn_pending(ab->consumer))
        wake(ab);
}

static bool amqp_wakes(const struct broker *broker)
{
    (void)broker;
    return true;
}

/* The connection is the lease; it has no clock. */
static enum celery_status amqp_renew(struct broker *broker,
                                     const struct broker_lease *leases,
                                     size_t count, struct celery_error *err)
{
    (void)broker;
    (void)leases;
    (void)count;
    (void)err;
    return CELERY_OK;
}

/* The server gives back by itself what a lost connection held. */
static enum celery_status amqp_reclaim(struct broker *broker,
                                       broker_known_fn known, void *arg,
                                       struct celery_error *err)
{
    (void)broker;
    (void)known;
    (void)arg;
    (void)err;
    return CELERY_OK;
}

/* Heartbeats go out, and their absence shows, in amqp_receive(), which the loop
 * calls every second; the publishing side comes back here. */
static enum celery_status amqp_maintain(struct broker *broker,
                                        struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct celery_error why = {0};
    (void)err;
    if (broker->connected && ab->producer == NULL
        && amqp_need_producer(ab, &why) != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "amqp_publisher_still_lost",
                  LOG_STR("error", why.msg));
    return CELERY_OK;
}

static enum celery_status amqp_declare(struct broker *broker, const char *queue,
                                       struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct amqp_conn *conn = ab->consumer != NULL ? ab->consumer : ab->producer;
    if (conn == NULL)
        return celery_fail(err, CELERY_CLOSED, "not connected");
    enum celery_status st = amqp_declare_task_queue(conn, queue, NULL, err);
    ab->retry_due = true;
    ab->retry_at_us = 0;
    wake(ab); /* the next turn of the loop consumes it */
    return amqp_is_fatal(st) ? amqp_drop(ab, st) : st;
}

static void amqp_cancel(struct broker *broker, size_t queue)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct celery_error err = {0};
    if (ab->consumer == NULL || queue >= ab->queue_count)
        return;
    enum celery_status st = amqp_cancel_queue(ab, queue, &err);
    if (st != CELERY_OK)
        (void)amqp_drop(ab, st);
    amqp_wake_if_pending(ab);
}

/* The consumers end, and what nobody has claimed goes back at once. */
static void amqp_stop(struct broker *broker)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct celery_error err = {0};
    bool wake = false;
    if (ab->consumer == NULL)
        return;
    enum celery_status st = CELERY_OK;
    for (size_t i = 0; i < ab->queue_count && st == CELERY_OK; i++)
        st = amqp_cancel_queue(ab, i, &err);
    ab->stopped = true;
    if (st == CELERY_OK)
        st = amqp_receive(broker, &wake, &err);
    while (ab->inbound != NULL && st == CELERY_OK) {
        struct amqp_inbound *item = ab->inbound;
        st = amqp_reject_tag(ab, item->tag, &err);
        ab->inbound = item->next;
        amqp_inbound_free(item);
    }
    if (ab->inbound == NULL)
        ab->inbound_tail = &ab->inbound;
    if (st != CELERY_OK && ab->consumer != NULL)
        (void)amqp_drop(ab, st);
}

static enum celery_status amqp_depth(struct broker *broker, size_t queue,
                                     struct broker_depth *ret,
                                     struct celery_error *err)
{
    struct amqp_broker *ab = amqp_broker(broker);
    struct amqp_conn *conn = ab->consumer != NULL ? ab->consumer : ab->producer;
    if (conn == NULL)
        return celery_fail(err, CELERY_CLOSED, "not connected");
    const char *name = broker->queues[queue].name;
    char *dead = xasprintf("%s.dead", name);
    *ret = (struct broker_depth){.oldest_s = -1,
                                 .unacked = (int64_t)ab->claim_count};
    enum celery_status st = amqp_count_messages(conn, name, &ret->ready, err);
    if (st == CELERY_OK)
        st = amqp_count_messages(conn, dead, &ret->dead, err);
    free(dead);
    amqp_wake_if_pending(ab);
    if (ret->ready < 0)
        ret->ready = 0;
    if (ret->dead < 0)
        ret->dead = 0;
    return amqp_is_fatal(st) ? amqp_drop(ab, st) : st;
}

static void amqp_info(const struct broker *broker, struct broker_info *ret)
{
    const struct amqp_broker *ab =
        (const struct amqp_broker *)(const void *)broker;
    const struct amqp_endpoint *ep = &ab->endpoints.list[ab->endpoint];
    *ret = (struct broker_info){
        .transport = "amqp",
        .hostname = ep->host,
        .userid = ep->user,
        .virtual_host = ep->vhost,
        .login_method = ep->external ? "EXTERNAL" : "PLAIN",
        .port = ep->port,
        .heartbeat_s =
            ep->heartbeat_s >= 0 ? ep->heartbeat_s : DEFAULT_HEARTBEAT_S,
        .fanout = true,
        .ssl = ep->tls,
    };
}

const struct broker_driver amqp_broker_driver = {
    .schemes = amqp_schemes,
    .open = amqp_open,
    .close = amqp_close,
    .connect = amqp_connect,
    .fds = amqp_fds,
    .receive = amqp_receive,
    .wakes = amqp_wakes,
    .claim = amqp_claim_messages,
    .settle = amqp_settle,
    .renew = amqp_renew,
    .fence = amqp_fence,
    .reclaim = amqp_reclaim,
    .maintain = amqp_maintain,
    .declare = amqp_declare,
    .cancel = amqp_cancel,
    .stop = amqp_stop,
    .depth = amqp_depth,
    .dead_each = amqp_dead_each,
    .publish = amqp_publish,
    .info = amqp_info,
    .claims_end_with_connection = true,
};
