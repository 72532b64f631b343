/* SPDX-License-Identifier: MIT */
#include "broker/broker.h"

#include <stdlib.h>
#include <string.h>

#include "base/url.h"
#include "base/xalloc.h"
#include "broker/broker_driver.h"
#include "celery/json_scan.h"

/* Adding a broker is a row here. */
static const struct broker_driver *const drivers[] = {
    &redis_broker_driver,
    &spool_broker_driver,
    &amqp_broker_driver,
};

static void add_queue(struct broker *broker, const char *name)
{
    broker->queues = xrealloc(broker->queues, (broker->queue_count + 1)
                                                  * sizeof broker->queues[0]);
    broker->queues[broker->queue_count++] =
        (struct broker_queue){xstrdup(name), true};
}

static enum celery_status check_transport_options(const char *text,
                                                  struct celery_error *err)
{
    struct celery_json root;
    if (text == NULL
        || (celery_json_parse((struct celery_str){text, strlen(text)}, NULL,
                              &root, NULL)
                == CELERY_OK
            && root.type == CELERY_JSON_OBJECT))
        return CELERY_OK;
    return celery_fail(
        err, CELERY_INVALID,
        "CELERY_BROKER_TRANSPORT_OPTIONS='%.80s' is not accepted; "
        "accepted: a JSON object",
        text);
}

enum celery_status broker_open(const struct broker_options *options,
                               struct broker **ret, struct celery_error *err)
{
    enum celery_status checked =
        check_transport_options(options->transport_options, err);
    if (checked != CELERY_OK)
        return checked;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (!url_has_scheme(options->url, drivers[i]->schemes))
            continue;
        enum celery_status st = drivers[i]->open(options, ret, err);
        if (st != CELERY_OK)
            return st;
        (*ret)->driver = drivers[i];
        for (size_t q = 0; q < options->queue_count; q++)
            add_queue(*ret, options->queues[q]);
        return CELERY_OK;
    }
    char *masked = url_masked(options->url);
    enum celery_status st = celery_fail(
        err, CELERY_INVALID,
        "broker '%.80s' is not accepted; accepted: redis://, rediss://, "
        "redis+socket://, sentinel://, amqp://, amqps://, filesystem://",
        masked);
    free(masked);
    return st;
}

void broker_close(struct broker *broker)
{
    if (broker == NULL)
        return;
    for (size_t i = 0; i < broker->queue_count; i++)
        free(broker->queues[i].name);
    free(broker->queues);
    broker->driver->close(broker);
}

enum celery_status broker_connect(struct broker *broker,
                                  struct celery_error *err)
{
    return broker->driver->connect(broker, err);
}

bool broker_connected(const struct broker *broker)
{
    return broker->connected;
}

size_t broker_fds(const struct broker *broker,
                  struct pollfd ret[BROKER_FDS_MAX])
{
    return broker->connected ? broker->driver->fds(broker, ret) : 0;
}

enum celery_status broker_receive(struct broker *broker, bool *ret_wake,
                                  struct celery_error *err)
{
    return broker->driver->receive(broker, ret_wake, err);
}

bool broker_wakes(const struct broker *broker)
{
    return broker->driver->wakes(broker);
}

enum celery_status broker_claim(struct broker *broker, size_t max,
                                struct broker_delivery *ret, size_t *ret_count,
                                struct celery_error *err)
{
    return broker->driver->claim(broker, max, ret, ret_count, err);
}

enum celery_status broker_settle(struct broker *broker,
                                 struct broker_settlement *settlements,
                                 size_t count, struct celery_error *err)
{
    return broker->driver->settle(broker, settlements, count, err);
}

enum celery_status broker_renew(struct broker *broker,
                                const struct broker_lease *leases, size_t count,
                                struct celery_error *err)
{
    return broker->driver->renew(broker, leases, count, err);
}

enum celery_status broker_fence(struct broker *broker, char *tag, bool starting,
                                struct celery_buf *raw, bool *ret_ours,
                                struct celery_error *err)
{
    return broker->driver->fence(broker, tag, starting, raw, ret_ours, err);
}

bool broker_keeps_messages(const struct broker *broker)
{
    return broker->driver->fetch != NULL;
}

enum celery_status broker_fetch(struct broker *broker, struct broker_kept *kept,
                                size_t count, struct celery_error *err)
{
    return broker->driver->fetch(broker, kept, count, err);
}

enum celery_status broker_peek(struct broker *broker, struct broker_kept *kept,
                               size_t count, struct celery_error *err)
{
    return broker->driver->peek(broker, kept, count, err);
}

enum celery_status broker_reclaim(struct broker *broker, broker_known_fn known,
                                  void *arg, struct celery_error *err)
{
    return broker->driver->reclaim(broker, known, arg, err);
}

enum celery_status broker_maintain(struct broker *broker,
                                   struct celery_error *err)
{
    return broker->driver->maintain(broker, err);
}

static size_t find_queue(const struct broker *broker, const char *queue)
{
    size_t i = 0;
    while (i < broker->queue_count
           && strcmp(broker->queues[i].name, queue) != 0)
        i++;
    return i;
}

enum celery_status broker_add_queue(struct broker *broker, const char *queue,
                                    struct celery_error *err)
{
    enum celery_status st = broker->driver->declare(broker, queue, err);
    if (st != CELERY_OK)
        return st;
    size_t i = find_queue(broker, queue);
    if (i < broker->queue_count)
        broker->queues[i].active = true;
    else
        add_queue(broker, queue);
    return CELERY_OK;
}

void broker_cancel_queue(struct broker *broker, const char *queue)
{
    size_t i = find_queue(broker, queue);
    if (i == broker->queue_count)
        return;
    broker->queues[i].active = false;
    if (broker->driver->cancel != NULL)
        broker->driver->cancel(broker, i);
}

void broker_stop(struct broker *broker)
{
    if (broker->connected && broker->driver->stop != NULL)
        broker->driver->stop(broker);
}

void broker_set_prefetch(struct broker *broker, size_t count)
{
    broker->prefetch = count;
}

bool broker_claims_end_with_connection(const struct broker *broker)
{
    return broker->driver->claims_end_with_connection;
}

size_t broker_queue_count(const struct broker *broker)
{
    return broker->queue_count;
}

const char *broker_queue_name(const struct broker *broker, size_t index)
{
    return broker->queues[index].name;
}

bool broker_queue_active(const struct broker *broker, size_t index)
{
    return broker->queues[index].active;
}

enum celery_status broker_depth(struct broker *broker, size_t queue,
                                struct broker_depth *ret,
                                struct celery_error *err)
{
    return broker->driver->depth(broker, queue, ret, err);
}

enum celery_status broker_dead_each(struct broker *broker, const char *queue,
                                    broker_dead_fn fn, void *arg,
                                    struct broker_dead_counts *ret,
                                    struct celery_error *err)
{
    *ret = (struct broker_dead_counts){0};
    if (!broker->connected) {
        enum celery_status st = broker->driver->connect(broker, err);
        if (st != CELERY_OK)
            return st;
    }
    if (broker->driver->dead_each == NULL)
        return celery_fail(err, CELERY_UNSUPPORTED,
                           "dead letters of this broker cannot be listed");
    return broker->driver->dead_each(broker, queue, fn, arg, ret, err);
}

enum celery_status broker_publish(struct broker *broker,
                                  const struct broker_message *messages,
                                  size_t count, size_t *ret_sent,
                                  struct celery_error *err)
{
    size_t sent = 0;
    enum celery_status st =
        broker->driver->publish(broker, messages, count, &sent, err);
    if (ret_sent != NULL)
        *ret_sent = st == CELERY_OK ? count : sent;
    return st;
}

void broker_info(const struct broker *broker, struct broker_info *ret)
{
    broker->driver->info(broker, ret);
}
