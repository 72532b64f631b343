/* SPDX-License-Identifier: MIT */
/*
 * One connection to Redis: hiredis' reader and formatter over our own socket,
 * so that nothing blocks without a deadline. Commands are appended to a pipeline
 * and flushed; replies come in order. Not thread-safe: one thread owns it.
 *
 * After CELERY_IO, CELERY_CLOSED, CELERY_TIMEOUT or CELERY_MALFORMED the
 * connection is unusable: what was sent may or may not have been done.
 */
#ifndef REDIS_REDIS_CONN_H
#define REDIS_REDIS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis.h>

#include "celery/buf.h"
#include "celery/error.h"
#include "net/tls.h"

struct redis_address {
    char *host;
    int port;
};

struct redis_endpoint {
    char *host; /* NULL when unix_path is set or the sentinels know it */
    int port;
    char *unix_path; /* NULL for TCP */
    char *user;      /* NULL: none */
    char *password;  /* NULL: none */
    int db;
    bool use_tls;
    struct tls_settings tls;
    struct redis_address *sentinels; /* none: host it is */
    size_t sentinel_count;
    char *master_name;
    char *sentinel_user;     /* NULL: none */
    char *sentinel_password; /* NULL: none */
};

/* redis://[user[:password]@]host[:port][/db]; rediss:// with kombu's ssl_cert_reqs,
 * ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_check_hostname in the query;
 * redis+socket:///path?virtual_host=n and socket:///path?virtual_host=n;
 * sentinel://[user[:password]@]host[:port][/db];sentinel://… with master_name and
 * sentinel_kwargs in the transport options (JSON object text or NULL). Errors say
 * what is accepted and never show the password. */
enum celery_status redis_endpoint_parse(const char *text,
                                        const char *transport_options,
                                        struct redis_endpoint *ret,
                                        struct celery_error *err)
    CELERY_MUST_CHECK;
void redis_endpoint_done(struct redis_endpoint *endpoint);

struct redis_conn;

/* Connects, authenticates, selects the database and names the client. */
enum celery_status redis_conn_open(const struct redis_endpoint *ep,
                                   const char *client_name, int64_t deadline_us,
                                   struct redis_conn **ret,
                                   struct celery_error *err) CELERY_MUST_CHECK;
void redis_conn_close(struct redis_conn *conn);

int redis_conn_fd(const struct redis_conn *conn);

/* CLIENT ID, as learned at the start. */
int64_t redis_conn_id(const struct redis_conn *conn);

/* Adds one command to the pipeline; argv may hold any bytes. */
void redis_append(struct redis_conn *conn, size_t argc,
                  const struct celery_str *argv);

/* printf-like, by hiredis' rules: %s, %b (pointer, size_t), %d, %lld. */
void redis_appendf(struct redis_conn *conn, const char *fmt, ...);

/* Sends all that was appended. */
enum celery_status redis_flush(struct redis_conn *conn, int64_t deadline_us,
                               struct celery_error *err) CELERY_MUST_CHECK;

/* The next reply, waiting for it; flushes first. Free with freeReplyObject. An
 * error reply is a reply. */
enum celery_status redis_reply(struct redis_conn *conn, int64_t deadline_us,
                               redisReply **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

/* What has arrived, without waiting: *ret NULL when no reply is complete. */
enum celery_status redis_poll(struct redis_conn *conn, redisReply **ret,
                              struct celery_error *err) CELERY_MUST_CHECK;

/* redis_reply() that turns an error reply into CELERY_INVALID with its text
 * (CELERY_UNSUPPORTED for NOPERM and unknown commands). */
enum celery_status redis_ok_reply(struct redis_conn *conn, int64_t deadline_us,
                                  redisReply **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

/* Reads count replies and frees them; the first error reply is the result, the
 * others are read all the same. */
enum celery_status redis_expect_ok(struct redis_conn *conn, size_t count,
                                   int64_t deadline_us,
                                   struct celery_error *err) CELERY_MUST_CHECK;

/* The reply as a status: error replies as redis_ok_reply() has them. */
enum celery_status redis_status(const redisReply *reply,
                                struct celery_error *err) CELERY_MUST_CHECK;

#endif /* REDIS_REDIS_CONN_H */
