/* SPDX-License-Identifier: MIT */
/*
 * librabbitmq's ways to report failure, as ours. What ends the connection is
 * IO, CLOSED, TIMEOUT or MALFORMED; an exception of the server that ends only a
 * channel is CONFLICT, with the AMQP reply code in err->detail (404 no such
 * queue, 405 exclusive to another, 406 other arguments).
 */
#ifndef AMQP_AMQP_ERROR_H
#define AMQP_AMQP_ERROR_H

#include <amqp.h>
#include <stdbool.h>
#include <string.h>

#include "celery/buf.h"
#include "celery/error.h"

enum {
    AMQP_CODE_ACCESS_REFUSED = 403,
    AMQP_CODE_NOT_FOUND = 404,
    AMQP_CODE_RESOURCE_LOCKED = 405,
    AMQP_CODE_PRECONDITION_FAILED = 406,
    AMQP_CODE_NOT_ALLOWED = 530,
    AMQP_CODE_NOT_IMPLEMENTED = 540,
};

/* A negative amqp_status_enum. what: "connecting", "publishing", … */
enum celery_status amqp_fail_status(struct celery_error *err, int status,
                                    const char *what);

/* A reply that is not AMQP_RESPONSE_NORMAL. */
enum celery_status amqp_fail_reply(struct celery_error *err,
                                   amqp_rpc_reply_t reply, const char *what);

/* connection.close or channel.close as a frame's method. */
enum celery_status amqp_fail_closed(struct celery_error *err,
                                    const amqp_method_t *method,
                                    const char *what);

/* Is the connection over after st? */
static inline bool amqp_is_fatal(enum celery_status st)
{
    return st == CELERY_IO || st == CELERY_CLOSED || st == CELERY_TIMEOUT
        || st == CELERY_MALFORMED || st == CELERY_NOMEM;
}

static inline struct celery_str amqp_str(amqp_bytes_t bytes)
{
    return (struct celery_str){bytes.bytes != NULL ? bytes.bytes : "",
                               bytes.len};
}

/* The library's bytes are not const; it writes through none of those it sends. */
static inline amqp_bytes_t amqp_bytes_of(struct celery_str s)
{
    amqp_bytes_t bytes = {.len = s.len};
    memcpy(&bytes.bytes, &s.data, sizeof bytes.bytes);
    return bytes;
}

#endif /* AMQP_AMQP_ERROR_H */
