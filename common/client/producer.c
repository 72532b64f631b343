/* SPDX-License-Identifier: MIT */
#include "celery/producer.h"

#include <stdlib.h>

#include "base/lock.h"
#include "base/xalloc.h"
#include "broker/broker.h"
#include "client/task_publish.h"

struct celery_producer {
    struct lock lock; /* one send at a time */
    struct broker *broker;
};

enum celery_status celery_producer_new(
    const struct celery_producer_options *options, struct celery_producer **ret,
    struct celery_error *err)
{
    const struct broker_options broker_options = {
        .url = options->broker_url,
        .transport_options = options->transport_options,
        .timeout_s = options->timeout_s,
        .client_name = "celery-c-producer",
    };
    struct broker *broker = NULL;
    enum celery_status st = broker_open(&broker_options, &broker, err);
    if (st != CELERY_OK)
        return st;
    struct celery_producer *producer = xcalloc(1, sizeof *producer);
    (void)pthread_mutex_init(&producer->lock.mutex, NULL);
    producer->broker = broker;
    *ret = producer;
    return CELERY_OK;
}

void celery_producer_free(struct celery_producer *producer)
{
    if (producer == NULL)
        return;
    broker_close(producer->broker);
    (void)pthread_mutex_destroy(&producer->lock.mutex);
    free(producer);
}

enum celery_status celery_producer_send(struct celery_producer *producer,
                                        const struct celery_task_out *tasks,
                                        size_t count, size_t *ret_sent,
                                        struct celery_error *err)
{
    lock_acquire(&producer->lock);
    /* A connection that sat idle may have been closed by the server, which shows
     * only now. As with Celery's task_publish_retry, a second try can double a task
     * whose answer alone was lost. */
    bool fresh = !broker_connected(producer->broker);
    size_t sent = 0;
    enum celery_status st =
        task_publish(producer->broker, tasks, count, &sent, err);
    if (!fresh && sent == 0 && (st == CELERY_CLOSED || st == CELERY_IO))
        st = task_publish(producer->broker, tasks, count, &sent, err);
    lock_release(&producer->lock);
    if (ret_sent != NULL)
        *ret_sent = sent;
    return st;
}
