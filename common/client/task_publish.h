/* SPDX-License-Identifier: MIT */
/*
 * Tasks to broker messages: what the producer and the worker's own publishes
 * (retries, send_task from a task) share.
 */
#ifndef CLIENT_TASK_PUBLISH_H
#define CLIENT_TASK_PUBLISH_H

#include <stddef.h>

#include "broker/broker.h"
#include "celery/message.h"

/* Encodes and publishes count tasks on broker. ret_sent as broker_publish(). */
enum celery_status task_publish(struct broker *broker,
                                const struct celery_task_out *tasks,
                                size_t count, size_t *ret_sent,
                                struct celery_error *err) CELERY_MUST_CHECK;

/* "gen<pid>@<host>", as celery.utils.nodenames.anon_nodename. Static text, made
 * at the first call. */
const char *task_origin(void);

#endif /* CLIENT_TASK_PUBLISH_H */
