/* SPDX-License-Identifier: MIT */
/*
 * Publishing with confirms on one channel: what send() says is taken has been
 * acked by the server. A returned message (mandatory, no queue) and a nacked one
 * (a full queue) are failures of that message; the others stand.
 */
#ifndef AMQP_AMQP_PUBLISHER_H
#define AMQP_AMQP_PUBLISHER_H

#include <stdint.h>

#include "amqp/amqp_conn.h"

enum amqp_outcome {
    AMQP_UNKNOWN, /* not sent, or sent and not answered */
    AMQP_CONFIRMED,
    AMQP_RETURNED,
    AMQP_NACKED,
};

struct amqp_outgoing {
    amqp_bytes_t exchange;
    amqp_bytes_t routing_key;
    bool mandatory;
    amqp_basic_properties_t properties;
    amqp_bytes_t body;
    enum amqp_outcome outcome; /* out */
};

struct amqp_publisher {
    struct amqp_conn *conn;
    amqp_channel_t channel;
    uint64_t next_tag; /* of the next publish on the channel */
};

/* Puts the open channel into confirm mode. */
enum celery_status amqp_publisher_start(struct amqp_publisher *publisher,
                                        struct amqp_conn *conn,
                                        amqp_channel_t channel,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

/* Do the properties fit into a frame? librabbitmq finds out when the first frame of
 * the message is sent already, and the connection is lost. */
bool amqp_publisher_fits(const struct amqp_conn *conn,
                         const amqp_basic_properties_t *properties);

/* Sends all, in order, and waits for the answers until deadline_us. OK: all are
 * confirmed. CONFLICT: some were returned or nacked, or the server closed the
 * channel (err->detail is its code then), which is open again. TIMEOUT with
 * amqp_conn_blocked(): the server takes no publishes now; what was sent may still
 * be taken later; the connection stands. TOO_LARGE: one does not fit into a frame,
 * and nothing was sent. */
enum celery_status amqp_publisher_send(struct amqp_publisher *publisher,
                                       struct amqp_outgoing *items,
                                       size_t count, int64_t deadline_us,
                                       struct celery_error *err)
    CELERY_MUST_CHECK;

/* Takes an input of the publisher's connection that arrived between two sends. */
enum celery_status amqp_publisher_input(struct amqp_publisher *publisher,
                                        const struct amqp_input *input,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;

#endif /* AMQP_AMQP_PUBLISHER_H */
