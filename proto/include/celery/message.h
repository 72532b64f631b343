/* SPDX-License-Identifier: MIT */
/*
 * The task message, protocol 2 and 1: who is to run what, with which
 * arguments, when, and what follows. Source: celery/app/amqp.py (as_task_v2,
 * as_task_v1), celery/worker/strategy.py, celery/worker/request.py.
 */
#ifndef CELERY_MESSAGE_H
#define CELERY_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "celery/arena.h"
#include "celery/buf.h"
#include "celery/envelope.h"
#include "celery/error.h"
#include "celery/json_scan.h"
#include "celery/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CELERY_TIME_NONE = 0 }; /* an eta or expires that is not set */

enum celery_ignore_result {
    CELERY_IGNORE_RESULT_UNSET, /* null: the task's own setting */
    CELERY_IGNORE_RESULT_NO,
    CELERY_IGNORE_RESULT_YES,
};

/* Empty strings stand for null and absent. Values of type CELERY_JSON_NONE are
 * absent. Everything borrows from the envelope or its arena. */
struct celery_message {
    int protocol; /* 1 or 2 */
    struct celery_str task;
    struct celery_str id;
    struct celery_str shadow;
    struct celery_str root_id;
    struct celery_str parent_id;
    struct celery_str group;
    struct celery_str argsrepr;
    struct celery_str kwargsrepr;
    struct celery_str origin;
    struct celery_str reply_to;
    struct celery_str correlation_id;
    struct celery_str eta_text;     /* as it came */
    struct celery_str expires_text; /* as it came */
    int64_t eta_us;                 /* since 1970 UTC, or CELERY_TIME_NONE */
    int64_t expires_us;
    int64_t group_index; /* -1: none */
    int64_t retries;
    int64_t replaced_task_nesting;
    double time_limit_s; /* hard; 0: none */
    double soft_time_limit_s;
    enum celery_ignore_result ignore_result;
    struct celery_json args;      /* array */
    struct celery_json kwargs;    /* object */
    struct celery_json callbacks; /* array, or NONE */
    struct celery_json errbacks;
    struct celery_json chain; /* the steps left, last one first */
    struct celery_json chord; /* a signature */
    struct celery_json stamped_headers;
    struct celery_json stamps;
    struct celery_json headers; /* the whole headers object (v2) */
};

/* CELERY_MALFORMED: a body or header that is broken (the message goes to the
 * dead letters); CELERY_UNSUPPORTED: a content type that is not accepted, or
 * no task message at all. On failure ret->task and ret->id are set when they
 * could be read, else empty. */
CELERY_API enum celery_status celery_message_decode(
    const struct celery_envelope *envelope, unsigned accept,
    const struct celery_limits *limits, struct celery_arena *arena,
    struct celery_message *ret, struct celery_error *err) CELERY_MUST_CHECK;

/* task_serializer: what a body is written as. */
enum celery_serializer {
    CELERY_SERIALIZER_JSON,
    CELERY_SERIALIZER_MSGPACK, /* integers have 64 bits, texts are UTF-8 */
};

/* A task to publish. NULL texts and empty strings are written as Python writes
 * None. Times are absolute. */
struct celery_task_out {
    int protocol; /* task_protocol: 1 or 2; 0: 2. 1 has no chain, stamps,
                     parent_id, root_id, shadow, origin and ignore_result */
    enum celery_serializer serializer;
    const char *task;
    const char *id;
    struct celery_str args;   /* JSON array text; empty: [] */
    struct celery_str kwargs; /* JSON object text; empty: {} */
    const char *root_id;      /* NULL: the id */
    const char *parent_id;
    const char *group;
    const char *shadow;
    const char *origin;         /* "gen<pid>@<host>" */
    const char *reply_to;       /* "" when no rpc backend is used */
    const char *correlation_id; /* NULL: the id */
    int64_t eta_us;
    int64_t expires_us;
    int64_t now_us;      /* the publisher's clock: with expires_us it makes the
                       property "expiration". 0: that is left out, or, for a
                       producer, the time of the send */
    int64_t group_index; /* -1: none */
    int64_t retries;
    int64_t replaced_task_nesting;
    double time_limit_s;
    double soft_time_limit_s;
    enum celery_ignore_result ignore_result;
    int priority;
    struct celery_str callbacks; /* JSON texts; empty: null */
    struct celery_str errbacks;
    struct celery_str chain;
    struct celery_str chord;
    struct celery_str stamped_headers;
    struct celery_str stamps;         /* empty: {} */
    struct celery_json extra_headers; /* object merged on top; may be NONE.
                                         Members that protocol 2 defines, and
                                         x-death and its kin, are skipped */
    const char *compression;          /* alias or MIME; NULL: none */
    const char *exchange;             /* NULL: the default exchange */
    const char *routing_key;          /* the queue, on the default exchange */
};

/* What AMQP carries as headers and body. headers gets JSON text; body gets
 * bytes, compressed when asked for. On failure what the two hold is not to be
 * used. CELERY_INVALID: no name or id, a text that is not the JSON it should
 * be, another protocol, a chain in protocol 1: its next steps would be lost, or
 * what msgpack cannot hold. */
CELERY_API enum celery_status celery_message_encode(
    const struct celery_task_out *task, struct celery_buf *headers,
    struct celery_buf *body, struct celery_error *err) CELERY_MUST_CHECK;

/* The content type of such bodies. */
CELERY_API const char *celery_serializer_type(
    enum celery_serializer serializer);

enum { CELERY_EXPIRATION_MAX = 24 }; /* bytes with the NUL */

/* The property "expiration" of a task with expires_us and now_us: the whole
 * milliseconds that are left, 0 for a task that is too late. false: it has
 * none. RabbitMQ drops the message then; other brokers only carry it. */
CELERY_API bool celery_task_expiration(const struct celery_task_out *task,
                                       char ret_text[CELERY_EXPIRATION_MAX]);

/* What goes around headers and body that celery_message_encode made of task.
 * expiration may be NULL. Borrows everything. */
CELERY_API void celery_message_envelope(const struct celery_task_out *task,
                                        const struct celery_buf *headers,
                                        const struct celery_buf *body,
                                        const char *expiration,
                                        const char *delivery_tag,
                                        struct celery_envelope_out *ret);

/* The same as one envelope, appended to buf. delivery_tag is a fresh UUID. */
CELERY_API enum celery_status celery_message_encode_envelope(
    const struct celery_task_out *task, const char *delivery_tag,
    struct celery_buf *buf, struct celery_error *err) CELERY_MUST_CHECK;

/* Fills out from a received message so that publishing it again is what
 * Task.retry() does: same id, arguments, workflow, custom headers; retries, eta,
 * now, protocol and serializer are the caller's. The texts are copied into the arena. CELERY_INVALID: a
 * NUL within an id or a name. Source: celery/app/task.py
 * Context.as_execution_options. */
CELERY_API enum celery_status celery_message_retry(
    const struct celery_message *message,
    const struct celery_envelope *envelope, struct celery_arena *arena,
    struct celery_task_out *ret) CELERY_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif /* CELERY_MESSAGE_H */
