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

/* A message that is requeued after that goes back uncounted, so not too short. */
enum { TTL_MS = 900000, NAME_LEN_MAX = 255 };

/* False: there are none for us. */
static bool name_of(const struct amqp_broker *ab, size_t queue,
                    char ret[AMQP_SUSPECTS_NAME])
{
    int len = snprintf(ret, AMQP_SUSPECTS_NAME, "%s.suspects",
                       ab->broker.queues[queue].name);
    return len <= NAME_LEN_MAX && !ab->queues[queue].suspects_refused;
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
    if (!name_of(ab, queue, ret_name))
        return celery_fail(err, CELERY_CONFLICT, "no suspects of this queue");
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
    enum celery_status st = CELERY_OK;
    if (name_of(ab, queue, name))
        st = amqp_count_messages(ab->consumer, name, &ready, err);
    ab->queues[queue].suspects = ready >= 0;
    /* A queue that we may not look at is as good as none. */
    return st == CELERY_CONFLICT ? CELERY_OK : st;
}

/* A refusal ends the channel or the connection: once is enough. A queue that has
 * just gone is looked for again. */
static void note_refused(struct amqp_broker *ab, size_t queue, const char *name,
                         const struct celery_error *why)
{
    if (why->detail == 0 || why->detail == AMQP_CODE_NOT_FOUND)
        return;
    ab->queues[queue].suspects_refused = true;
    ab->queues[queue].suspects = false;
    LOG_EVENT(LOG_LEVEL_ERROR, "amqp_suspects_refused", LOG_STR("queue", name),
              LOG_STR("error", why->msg),
              LOG_STR("msg", "what came back waits in its own queue"));
}

enum celery_status amqp_suspects_consume(struct amqp_broker *ab, size_t queue,
                                         struct celery_error *err)
{
    char name[AMQP_SUSPECTS_NAME];
    char tag[AMQP_CONSUMER_TAG];
    struct amqp_queue *q = &ab->queues[queue];
    struct celery_error why = {0};
    if (!name_of(ab, queue, name))
        return CELERY_OK;
    q->suspects_serial++;
    (void)snprintf(tag, sizeof tag, "s%zu.%u", queue, q->suspects_serial);
    /* A limit of its own, also where the others share one; those that begin after
     * it set theirs, or have none again. */
    enum celery_status st = amqp_set_qos(ab, 1, false, err);
    if (st == CELERY_OK)
        st = amqp_consume_as(ab, CHANNEL_TASKS, name, tag, false, &why);
    q->suspects_consuming = st == CELERY_OK;
    if (st == CELERY_OK)
        return amqp_set_qos(ab, 0, false, err);
    note_refused(ab, queue, name, &why);
    if (err != NULL)
        *err = why;
    return st;
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
