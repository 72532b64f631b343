/* SPDX-License-Identifier: MIT */
/*
 * One connection to RabbitMQ: login, channels, and what arrives on them, method
 * by method, contents put together. No call blocks past the connection's timeout.
 * A connection belongs to one thread. After IO, CLOSED, TIMEOUT or MALFORMED it
 * can only be closed.
 */
#ifndef AMQP_AMQP_CONN_H
#define AMQP_AMQP_CONN_H

#include <amqp.h>
#include <amqp_framing.h>
#include <stdint.h>

#include "amqp/amqp_endpoint.h"
#include "amqp/amqp_error.h"
#include "celery/buf.h"

enum { AMQP_CONN_CHANNELS = 4 }; /* numbers 1 … 4 */

struct amqp_conn;

struct amqp_conn_options {
    const char *name; /* shown by rabbitmqctl list_connections */
    int64_t timeout_us;
    int heartbeat_s; /* what we propose; 0: none */
};

enum celery_status amqp_conn_open(const struct amqp_endpoint *endpoint,
                                  const struct amqp_conn_options *options,
                                  struct amqp_conn **ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* clean: tells the server, for at most a second. */
void amqp_conn_close(struct amqp_conn *conn, bool clean);

int amqp_conn_fd(const struct amqp_conn *conn);
int amqp_conn_heartbeat(const struct amqp_conn *conn);
/* The largest frame, its own 8 bytes included, that may be sent or received. */
size_t amqp_conn_frame_max(const struct amqp_conn *conn);
const amqp_table_t *amqp_conn_server(const struct amqp_conn *conn);

/* For librabbitmq's own functions; each use between begin and end. */
amqp_connection_state_t amqp_conn_begin(struct amqp_conn *conn);
/* status of a function that returns one. */
enum celery_status amqp_conn_end(struct amqp_conn *conn, int status,
                                 const char *what, struct celery_error *err)
    CELERY_MUST_CHECK;
/* The answer to a call on channel; its memory lasts until amqp_conn_release().
 * CONFLICT: the server has closed the channel; it is open again, empty. */
enum celery_status amqp_conn_end_rpc(struct amqp_conn *conn,
                                     amqp_channel_t channel, const char *what,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;
void amqp_conn_release(struct amqp_conn *conn, amqp_channel_t channel);

enum celery_status amqp_conn_channel(struct amqp_conn *conn,
                                     amqp_channel_t channel,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* Answers a channel.close that arrived and opens the channel again. */
enum celery_status amqp_conn_reopen(struct amqp_conn *conn,
                                    amqp_channel_t channel,
                                    struct celery_error *err) CELERY_MUST_CHECK;

/* Something was read from the socket and not yet handed out: poll(2) on the
 * descriptor does not tell of it. */
bool amqp_conn_pending(const struct amqp_conn *conn);

/* The server takes no publishes now (connection.blocked); as far as what was
 * read says. */
bool amqp_conn_blocked(const struct amqp_conn *conn);

enum amqp_input_kind {
    AMQP_INPUT_NONE,
    AMQP_INPUT_METHOD,
    AMQP_INPUT_CONTENT, /* deliver or return, with its properties and body */
};

/* Valid until the next call with the same connection. */
struct amqp_input {
    enum amqp_input_kind kind;
    amqp_channel_t channel;
    amqp_method_t method;
    const amqp_basic_properties_t *properties;
    struct celery_str body;
};

/* The next input; waits for it until deadline_us, 0: not at all. kind NONE:
 * nothing (complete) has arrived. Heartbeats are sent and checked on the way. */
enum celery_status amqp_conn_next(struct amqp_conn *conn, int64_t deadline_us,
                                  struct amqp_input *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

#endif /* AMQP_AMQP_CONN_H */
