/* SPDX-License-Identifier: MIT */
/*
 * rpc://: a result is a message to the queue of whoever sent the task (its
 * reply_to), with the task's correlation_id. Nothing is stored; only the sender
 * can read it. Source: celery/backends/rpc.py store_result, destination_for.
 *
 * The results' own connection: a confirm is waited for, since the task is acked
 * after it. Nobody's queue is no error: the client has gone.
 */
#include <stdlib.h>
#include <string.h>

#include "amqp/amqp_publisher.h"
#include "backend/backend_driver.h"
#include "base/clock.h"
#include "base/url.h"
#include "base/xalloc.h"

enum { DEFAULT_TIMEOUT_S = 5, CHANNEL = 1, TRANSIENT = 1 };

struct rpc_backend {
    struct backend backend;
    struct amqp_endpoints endpoints;
    size_t endpoint; /* the one to be tried */
    int64_t timeout_us;
    struct amqp_conn *conn; /* NULL: not connected */
    struct amqp_publisher publisher;
};

static struct rpc_backend *cast(struct backend *backend)
{
    return (struct rpc_backend *)(void *)backend;
}

static void rpc_close(struct backend *backend)
{
    struct rpc_backend *rb = cast(backend);
    amqp_conn_close(rb->conn, true);
    amqp_endpoints_done(&rb->endpoints);
    free(rb);
}

static enum celery_status rpc_open(const struct backend_options *options,
                                   struct backend **ret,
                                   struct celery_error *err)
{
    if (options->broker_url == NULL
        || !url_has_scheme(options->broker_url, amqp_schemes))
        return celery_fail(err, CELERY_INVALID,
                           "result backend rpc:// needs a broker amqp://");
    struct rpc_backend *rb = xcalloc(1, sizeof *rb);
    double timeout =
        options->timeout_s > 0 ? options->timeout_s : DEFAULT_TIMEOUT_S;
    rb->timeout_us = (int64_t)(timeout * USEC_PER_SEC);
    enum celery_status st =
        amqp_endpoints_parse(options->broker_url, options->broker_options,
                             &rb->endpoints, err);
    if (st != CELERY_OK) {
        free(rb);
        return st;
    }
    *ret = &rb->backend;
    return CELERY_OK;
}

static enum celery_status drop(struct rpc_backend *rb, enum celery_status st)
{
    amqp_conn_close(rb->conn, false);
    rb->conn = NULL;
    rb->endpoint = (rb->endpoint + 1) % rb->endpoints.count;
    return st;
}

static enum celery_status connect_if_needed(struct rpc_backend *rb,
                                            struct celery_error *err)
{
    /* No heartbeats: nobody would send them between two results. */
    const struct amqp_conn_options options = {
        .name = "celery-c-results",
        .timeout_us = rb->timeout_us,
    };
    if (rb->conn != NULL)
        return CELERY_OK;
    enum celery_status st = amqp_conn_open(&rb->endpoints.list[rb->endpoint],
                                           &options, &rb->conn, err);
    if (st == CELERY_OK)
        st = amqp_conn_channel(rb->conn, CHANNEL, err);
    if (st == CELERY_OK)
        st = amqp_publisher_start(&rb->publisher, rb->conn, CHANNEL, err);
    return st != CELERY_OK ? drop(rb, st) : st;
}

static struct amqp_outgoing message_of(const struct backend_item *item)
{
    struct amqp_outgoing out = {
        .routing_key = amqp_bytes_of(item->reply_to),
        .body = amqp_bytes_of(item->document),
        .properties =
            {
                ._flags =
                    AMQP_BASIC_CONTENT_TYPE_FLAG
                    | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG
                    | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG
                    | AMQP_BASIC_CORRELATION_ID_FLAG,
                .content_type = amqp_cstring_bytes("application/json"),
                .content_encoding = amqp_cstring_bytes("utf-8"),
                .delivery_mode = TRANSIENT,
                .correlation_id = amqp_bytes_of(item->correlation_id),
            },
    };
    if (item->correlation_id.len == 0)
        out.properties.correlation_id = amqp_cstring_bytes(item->task_id);
    return out;
}

static enum celery_status rpc_store(struct backend *backend,
                                    const struct backend_item *items,
                                    size_t count, struct celery_error *err)
{
    struct rpc_backend *rb = cast(backend);
    struct amqp_outgoing *out = xcalloc(count, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].reply_to.len > 0)
            out[n++] = message_of(&items[i]);
    }
    enum celery_status st = n > 0 ? connect_if_needed(rb, err) : CELERY_OK;
    if (n > 0 && st == CELERY_OK) {
        st = amqp_publisher_send(&rb->publisher, out, n,
                                 clock_monotonic_us() + rb->timeout_us, err);
        /* A refused one is a full or vanished reply queue: as good as nobody. */
        if (st == CELERY_CONFLICT)
            st = CELERY_OK;
        /* Under an alarm the connection stands, and is asked again: the server
         * would not even notice that it was closed. */
        if (st != CELERY_OK && !amqp_conn_blocked(rb->conn))
            st = drop(rb, st);
    }
    free(out);
    return st;
}

static enum celery_status rpc_get(struct backend *backend, const char *task_id,
                                  struct celery_buf *ret_document,
                                  bool *ret_found, struct celery_error *err)
{
    (void)backend;
    (void)task_id;
    (void)ret_document;
    *ret_found = false;
    return celery_fail(err, CELERY_UNSUPPORTED,
                       "results on rpc:// can be read by the sender alone");
}

static const char *const schemes[] = {"rpc", NULL};

const struct backend_driver rpc_backend_driver = {
    .schemes = schemes,
    .open = rpc_open,
    .close = rpc_close,
    .store = rpc_store,
    .get = rpc_get,
};
