/* SPDX-License-Identifier: MIT */
/*
 * A message's two shapes: AMQP properties, headers and body; and kombu's
 * envelope, in which the rest of the program knows messages.
 */
#ifndef BROKER_AMQP_AMQP_ENVELOPE_H
#define BROKER_AMQP_AMQP_ENVELOPE_H

#include "amqp/amqp_publisher.h"
#include "celery/envelope.h"

struct amqp_received {
    const amqp_basic_properties_t *properties;
    struct celery_str body;
    struct celery_str exchange;
    struct celery_str routing_key;
    bool redelivered;
    const char *tag; /* ours */
};

/* Appends the envelope. False: the headers are nested too deep for one. */
bool amqp_envelope_put(struct celery_buf *buf,
                       const struct amqp_received *message) CELERY_MUST_CHECK;

/* The envelope's message again; memory is the pool's. Exchange and routing key
 * are left to the caller. */
enum celery_status amqp_envelope_read(struct celery_str raw, amqp_pool_t *pool,
                                      struct amqp_outgoing *ret,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;

/* What a producer hands over, as properties; borrows from out and the pool. */
enum celery_status amqp_outgoing_of(const struct celery_envelope_out *out,
                                    amqp_pool_t *pool,
                                    struct amqp_outgoing *ret,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* A received message, kept past its frames: published on as it came. */
struct amqp_copy {
    amqp_pool_t pool;
    amqp_basic_properties_t properties;
    struct celery_buf body;
};
struct amqp_copy *amqp_copy_of(const struct amqp_received *message);
void amqp_copy_free(struct amqp_copy *copy);

/* Takes the server's marks of dead-lettering out of headers (it drops messages
 * that seem to go in circles) and our delivery count. The old table stays. */
enum celery_status amqp_strip_headers(amqp_basic_properties_t *properties,
                                      amqp_pool_t *pool,
                                      struct celery_error *err)
    CELERY_MUST_CHECK;

/* Adds entries; the old ones stay where they are. */
enum celery_status amqp_add_headers(amqp_basic_properties_t *properties,
                                    const amqp_table_entry_t *entries,
                                    size_t count, amqp_pool_t *pool,
                                    struct celery_error *err) CELERY_MUST_CHECK;

#endif /* BROKER_AMQP_AMQP_ENVELOPE_H */
