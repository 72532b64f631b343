/* SPDX-License-Identifier: MIT */
/*
 * Sends tasks: connects to a broker, declares the queue as kombu does, publishes
 * and waits until the broker has taken the messages.
 *
 * A producer is one connection; calls of several threads wait for each other.
 * It connects at the first send and again after a failure.
 */
#ifndef CELERY_PRODUCER_H
#define CELERY_PRODUCER_H

#include <stddef.h>

#include "celery/error.h"
#include "celery/message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct celery_producer;

struct celery_producer_options {
    const char *broker_url; /* redis://, amqp://, filesystem:// */
    const char
        *transport_options; /* broker_transport_options as JSON, or NULL */
    double timeout_s;       /* of one send, connecting included; 0: 5 s */
};

/* Checks the options; does not connect. */
CELERY_API enum celery_status celery_producer_new(
    const struct celery_producer_options *options, struct celery_producer **ret,
    struct celery_error *err) CELERY_MUST_CHECK;

CELERY_API void celery_producer_free(struct celery_producer *producer);

/* Publishes count tasks to their routing_key (the queue), pipelined. On success
 * all of them are in the broker. On failure *ret_sent says how many of the first
 * ones certainly are; the others may be: sending them again can double them.
 * ret_sent may be NULL. */
CELERY_API enum celery_status celery_producer_send(
    struct celery_producer *producer, const struct celery_task_out *tasks,
    size_t count, size_t *ret_sent, struct celery_error *err) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_PRODUCER_H */
