/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_error.h"

static enum celery_status status_of(int status)
{
    switch (status) {
    case AMQP_STATUS_NO_MEMORY:
        return CELERY_NOMEM;
    case AMQP_STATUS_BAD_AMQP_DATA:
    case AMQP_STATUS_UNKNOWN_CLASS:
    case AMQP_STATUS_UNKNOWN_METHOD:
    case AMQP_STATUS_WRONG_METHOD:
    case AMQP_STATUS_UNEXPECTED_STATE:
    case AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION:
        return CELERY_MALFORMED;
    case AMQP_STATUS_CONNECTION_CLOSED:
    case AMQP_STATUS_SOCKET_CLOSED:
    case AMQP_STATUS_SOCKET_ERROR:
        return CELERY_CLOSED;
    case AMQP_STATUS_TIMEOUT:
    case AMQP_STATUS_HEARTBEAT_TIMEOUT:
        return CELERY_TIMEOUT;
    case AMQP_STATUS_TABLE_TOO_BIG:
        return CELERY_TOO_LARGE;
    case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD:
    case AMQP_STATUS_UNSUPPORTED:
    case AMQP_STATUS_INVALID_PARAMETER:
        return CELERY_UNSUPPORTED;
    default: /* sockets, TLS, the resolver */
        return CELERY_IO;
    }
}

enum celery_status amqp_fail_status(struct celery_error *err, int status,
                                    const char *what)
{
    return celery_fail(err, status_of(status), "%s: %s", what,
                       amqp_error_string2(status));
}

/* What the server will say again at the next try: a wrong password (403), a
 * virtual host that is not there or not ours (530). */
static bool is_final(int code)
{
    return code == AMQP_CODE_ACCESS_REFUSED || code == AMQP_CODE_NOT_ALLOWED;
}

static enum celery_status fail_code(struct celery_error *err,
                                    enum celery_status st, int code,
                                    amqp_bytes_t text, const char *what)
{
    (void)celery_fail(err, st, "%s: %d %.*s", what, code,
                      (int)(text.len < 160 ? text.len : 160),
                      text.bytes != NULL ? (const char *)text.bytes : "");
    if (err != NULL)
        err->detail = code;
    return st;
}

enum celery_status amqp_fail_closed(struct celery_error *err,
                                    const amqp_method_t *method,
                                    const char *what)
{
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        const amqp_connection_close_t *m = method->decoded;
        return fail_code(err,
                         is_final(m->reply_code) ? CELERY_INVALID
                                                 : CELERY_CLOSED,
                         m->reply_code, m->reply_text, what);
    }
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        const amqp_channel_close_t *m = method->decoded;
        return fail_code(err, CELERY_CONFLICT, m->reply_code, m->reply_text,
                         what);
    }
    return celery_fail(err, CELERY_MALFORMED, "%s: unexpected method 0x%08x",
                       what, (unsigned)method->id);
}

enum celery_status amqp_fail_reply(struct celery_error *err,
                                   amqp_rpc_reply_t reply, const char *what)
{
    switch (reply.reply_type) {
    case AMQP_RESPONSE_LIBRARY_EXCEPTION:
        return amqp_fail_status(err, reply.library_error, what);
    case AMQP_RESPONSE_SERVER_EXCEPTION:
        return amqp_fail_closed(err, &reply.reply, what);
    case AMQP_RESPONSE_NONE:
    case AMQP_RESPONSE_NORMAL:
        break;
    }
    return celery_fail(err, CELERY_CLOSED, "%s: no answer", what);
}
