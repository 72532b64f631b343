/* SPDX-License-Identifier: MIT */
/*
 * Dead letters on RabbitMQ: in <queue>.dead, a durable queue, the message as it
 * came (body, properties, headers) and the facts as headers x-dead-*.
 */
#ifndef BROKER_AMQP_AMQP_DEAD_H
#define BROKER_AMQP_AMQP_DEAD_H

#include "broker/amqp/amqp_broker.h"
#include "broker/amqp/amqp_envelope.h"

/* Of a claimed message, from its envelope. Declares the dead queue. */
enum celery_status amqp_dead_of_raw(struct amqp_broker *ab,
                                    const struct broker_settlement *settlement,
                                    amqp_pool_t *pool,
                                    struct amqp_outgoing *ret,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* Of one that nobody claimed; ret borrows from copy. */
enum celery_status amqp_dead_of_copy(struct amqp_broker *ab, const char *queue,
                                     struct amqp_copy *copy, const char *reason,
                                     const char *detail,
                                     struct amqp_outgoing *ret,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* amqp_dead_each.c */
enum celery_status amqp_dead_each(struct broker *broker, const char *queue,
                                  broker_dead_fn fn, void *arg,
                                  struct broker_dead_counts *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

void amqp_note_dead_failed(const struct celery_error *err);

#endif /* BROKER_AMQP_AMQP_DEAD_H */
