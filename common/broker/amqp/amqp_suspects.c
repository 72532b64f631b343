/* SPDX-License-Identifier: MIT */
/*
 * A message that came back twice waits in <queue>.suspects, from which a worker
 * gets one at a time. Whatever a dead worker held comes back, and AMQP has no way
 * to say which of it had been started: here only what runs is held, so from the
 * second return on a poison message is counted and its neighbours are not.
 *
 * The queue is declared when it is first needed. It gives back to the task queue
 * what nobody has taken for a while: a fleet may have no C worker any more.
 */
#include <stdio.h>
#include <string.h>

#include "broker/amqp/amqp_broker.h"
#include "log/log.h"

enum { TTL_MS = 300000 };

/* A queue's name has at most 255 bytes; one that leaves no room is refused by the
 * server. */
static void name_of(const struct amqp_broker *ab, size_t queue,
                    char ret[AMQP_SUSPECTS_NAME])
{
    (void)snprintf(ret, AMQP_SUSPECTS_NAME, "%s.suspects",
                   ab->broker.queues[queue].name);
}

enum celery_status amqp_suspects_need(struct amqp_broker *ab, size_t queue,
                                      char ret_name[AMQP_SUSPECTS_NAME],
                                      struct celery_error *err)
{
    amqp_table_entry_t arguments[] = {
        amqp_int_argument("x-message-ttl", TTL_MS),
        amqp_text_argument("x-dead-letter-exchange", ""),
        amqp_text_argument("x-dead-letter-routing-key",
                           ab->broker.queues[queue].name),
        amqp_text_argument("x-queue-type", "quorum"),
    };
    const amqp_table_t table = {ab->queues[queue].quorum ? 4 : 3, arguments};
    name_of(ab, queue, ret_name);
    enum celery_status st = amqp_need_queue(ab, ret_name, &table, err);
    if (st == CELERY_OK && !ab->queues[queue].suspects) {
        ab->queues[queue].suspects = true;
        ab->retry_due = true;
        ab->retry_at_us = 0; /* the next turn of the loop consumes it */
    }
    return st;
}

enum celery_status amqp_suspects_find(struct amqp_broker *ab, size_t queue,
                                      struct celery_error *err)
{
    char name[AMQP_SUSPECTS_NAME];
    int64_t ready = -1;
    name_of(ab, queue, name);
    enum celery_status st =
        amqp_count_messages(ab->consumer, name, &ready, err);
    ab->queues[queue].suspects = ready >= 0;
    /* A queue that we may not look at is as good as none. */
    return st == CELERY_CONFLICT ? CELERY_OK : st;
}

enum celery_status amqp_suspects_consume(struct amqp_broker *ab, size_t queue,
                                         struct celery_error *err)
{
    char name[AMQP_SUSPECTS_NAME];
    char tag[AMQP_CONSUMER_TAG];
    struct amqp_queue *q = &ab->queues[queue];
    name_of(ab, queue, name);
    q->suspects_serial++;
    (void)snprintf(tag, sizeof tag, "s%zu.%u", queue, q->suspects_serial);
    /* A limit of its own, also where the others share one; those that begin after
     * it set theirs, or have none again. */
    enum celery_status st = amqp_set_qos(ab, 1, false, err);
    if (st == CELERY_OK)
        st = amqp_consume_as(ab, CHANNEL_TASKS, name, tag, false, err);
    q->suspects_consuming = st == CELERY_OK;
    return st == CELERY_OK ? amqp_set_qos(ab, 0, false, err) : st;
}

enum celery_status amqp_suspects_cancel(struct amqp_broker *ab, size_t queue,
                                        struct celery_error *err)
{
    char tag[AMQP_CONSUMER_TAG];
    struct amqp_queue *q = &ab->queues[queue];
    if (!q->suspects_consuming)
        return CELERY_OK;
    q->suspects_consuming = false;
    (void)snprintf(tag, sizeof tag, "s%zu.%u", queue, q->suspects_serial);
    return amqp_cancel_consumer(ab, tag, err);
}
