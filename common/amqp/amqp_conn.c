/* SPDX-License-Identifier: MIT */
#include "amqp/amqp_conn.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "amqp/amqp_watchdog.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "log/log.h"
#include "net/socket.h"
#include "version.h"

enum {
    /* The server's limit is taken (131072 unless configured): a producer that has
     * a larger one than we do could send what ends our connection, for ever. */
    FRAME_MAX = 16 << 20,
    /* RabbitMQ takes frames that are larger by an empty frame, and sends such
     * headers on as they came (rabbit_reader.erl, FRAME_SIZE_FUDGE). */
    FRAME_FUDGE = 8,
    CLOSE_US = 1000000,
    /* Given to the watchdog beyond our own deadline: librabbitmq's timeouts are
     * the gentler ones, where they exist. */
    WATCH_EXTRA_US = 500000,
};

/* A content that is being put together. */
struct content {
    bool open;
    amqp_method_t method;
    const amqp_basic_properties_t *properties; /* NULL: header not yet */
    uint64_t left;
    struct celery_buf body;
};

struct amqp_conn {
    amqp_connection_state_t state;
    struct amqp_watch watch;
    bool watched;
    bool dead;
    bool blocked;
    int64_t timeout_us;
    struct content contents[AMQP_CONN_CHANNELS + 1];
    int release; /* channel whose input was handed out; -1: none */
};

static struct timeval timeval_of(int64_t us)
{
    return (struct timeval){.tv_sec = us / USEC_PER_SEC,
                            .tv_usec = us % USEC_PER_SEC};
}

int amqp_conn_fd(const struct amqp_conn *conn)
{
    return amqp_get_sockfd(conn->state);
}

int amqp_conn_heartbeat(const struct amqp_conn *conn)
{
    return amqp_get_heartbeat(conn->state);
}

size_t amqp_conn_frame_max(const struct amqp_conn *conn)
{
    return (size_t)amqp_get_frame_max(conn->state);
}

const amqp_table_t *amqp_conn_server(const struct amqp_conn *conn)
{
    return amqp_get_server_properties(conn->state);
}

bool amqp_conn_pending(const struct amqp_conn *conn)
{
    return amqp_frames_enqueued(conn->state)
        || amqp_data_in_buffer(conn->state);
}

bool amqp_conn_blocked(const struct amqp_conn *conn)
{
    return conn->blocked;
}

amqp_connection_state_t amqp_conn_begin(struct amqp_conn *conn)
{
    amqp_watch_arm(&conn->watch,
                   clock_monotonic_us() + conn->timeout_us + WATCH_EXTRA_US);
    return conn->state;
}

/* The watchdog's doing looks like any closed socket. */
static enum celery_status ended(struct amqp_conn *conn, enum celery_status st,
                                const char *what, struct celery_error *err)
{
    amqp_watch_disarm(&conn->watch);
    if (conn->watch.fired)
        st = celery_fail(err, CELERY_TIMEOUT, "%s: no progress in time", what);
    if (amqp_is_fatal(st))
        conn->dead = true;
    return st;
}

enum celery_status amqp_conn_end(struct amqp_conn *conn, int status,
                                 const char *what, struct celery_error *err)
{
    enum celery_status st = CELERY_OK;
    if (status != AMQP_STATUS_OK)
        st = amqp_fail_status(err, status, what);
    return ended(conn, st, what, err);
}

enum celery_status amqp_conn_end_rpc(struct amqp_conn *conn,
                                     amqp_channel_t channel, const char *what,
                                     struct celery_error *err)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn->state);
    enum celery_status st = CELERY_OK;
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        st = amqp_fail_reply(err, reply, what);
    st = ended(conn, st, what, err);
    if (st == CELERY_INVALID || st == CELERY_MALFORMED)
        conn->dead = true;
    if (st != CELERY_CONFLICT)
        return st;
    enum celery_status reopened = amqp_conn_reopen(conn, channel, err);
    return reopened == CELERY_OK ? CELERY_CONFLICT : reopened;
}

void amqp_conn_release(struct amqp_conn *conn, amqp_channel_t channel)
{
    if (channel <= AMQP_CONN_CHANNELS && !conn->contents[channel].open)
        amqp_maybe_release_buffers_on_channel(conn->state, channel);
}

enum celery_status amqp_conn_channel(struct amqp_conn *conn,
                                     amqp_channel_t channel,
                                     struct celery_error *err)
{
    (void)amqp_channel_open(amqp_conn_begin(conn), channel);
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn->state);
    enum celery_status st = CELERY_OK;
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        st = amqp_fail_reply(err, reply, "opening a channel");
    if (st == CELERY_CONFLICT || st == CELERY_INVALID)
        st = CELERY_CLOSED;
    st = ended(conn, st, "opening a channel", err);
    amqp_conn_release(conn, channel);
    return st;
}

enum celery_status amqp_conn_reopen(struct amqp_conn *conn,
                                    amqp_channel_t channel,
                                    struct celery_error *err)
{
    amqp_channel_close_ok_t ok = {0};
    conn->contents[channel].open = false;
    celery_buf_clear(&conn->contents[channel].body);
    enum celery_status st =
        amqp_conn_end(conn,
                      amqp_send_method(amqp_conn_begin(conn), channel,
                                       AMQP_CHANNEL_CLOSE_OK_METHOD, &ok),
                      "closing a channel", err);
    if (st != CELERY_OK)
        return st;
    /* err keeps what the caller knows of the close. */
    return amqp_conn_channel(conn, channel, NULL);
}

/* --- opening and closing --------------------------------------------------- */

static enum celery_status connect_plain(struct amqp_conn *conn,
                                        const struct amqp_endpoint *ep,
                                        int64_t deadline,
                                        struct celery_error *err)
{
    int fd = -1;
    amqp_socket_t *sock = amqp_tcp_socket_new(conn->state);
    if (sock == NULL)
        return celery_fail(err, CELERY_NOMEM, "out of memory");
    enum celery_status st =
        net_connect_tcp(ep->host, ep->port, deadline, &fd, err);
    if (st == CELERY_OK)
        amqp_tcp_socket_set_sockfd(sock, fd);
    return st;
}

static enum celery_status connect_tls(struct amqp_conn *conn,
                                      const struct amqp_endpoint *ep,
                                      int64_t deadline,
                                      struct celery_error *err)
{
    amqp_socket_t *sock = amqp_ssl_socket_new(conn->state);
    int status = AMQP_STATUS_OK;
    if (sock == NULL)
        return celery_fail(err, CELERY_NOMEM, "no TLS context");
    amqp_ssl_socket_set_verify_peer(sock, ep->verify);
    amqp_ssl_socket_set_verify_hostname(sock, ep->verify);
    (void)amqp_ssl_socket_set_ssl_versions(sock, AMQP_TLSv1_2, AMQP_TLSvLATEST);
    const char *ca = ep->ca_certs;
    if (ca == NULL)
        ca = "/etc/ssl/certs/ca-certificates.crt";
    if (ep->verify)
        status = amqp_ssl_socket_set_cacert(sock, ca);
    if (status != AMQP_STATUS_OK)
        return celery_fail(err, CELERY_INVALID, "cannot read ca_certs '%.120s'",
                           ca);
    if (ep->certfile != NULL)
        status = amqp_ssl_socket_set_key(sock, ep->certfile,
                                         ep->keyfile != NULL ? ep->keyfile
                                                             : ep->certfile);
    if (status != AMQP_STATUS_OK)
        return celery_fail(err, CELERY_INVALID,
                           "cannot read certfile '%.80s' and its key",
                           ep->certfile);
    int64_t left = deadline - clock_monotonic_us();
    const struct timeval timeout = timeval_of(left > 1000 ? left : 1000);
    status = amqp_socket_open_noblock(sock, ep->host, ep->port, &timeout);
    return status == AMQP_STATUS_OK
             ? CELERY_OK
             : amqp_fail_status(err, status, "connecting with TLS");
}

static void put_bool(amqp_table_entry_t *entry, const char *key)
{
    entry->key = amqp_cstring_bytes(key);
    entry->value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry->value.value.boolean = 1;
}

static void put_text(amqp_table_entry_t *entry, const char *key,
                     const char *text)
{
    entry->key = amqp_cstring_bytes(key);
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    entry->value.value.bytes = amqp_cstring_bytes(text);
}

static enum celery_status log_in(struct amqp_conn *conn,
                                 const struct amqp_endpoint *ep,
                                 const struct amqp_conn_options *options,
                                 struct celery_error *err)
{
    amqp_table_entry_t abilities[4];
    amqp_table_entry_t entries[4];
    put_bool(&abilities[0], "consumer_cancel_notify");
    put_bool(&abilities[1], "connection.blocked");
    put_bool(&abilities[2], "authentication_failure_close");
    put_bool(&abilities[3], "basic.nack");
    put_text(&entries[0], "product", "celery-c");
    put_text(&entries[1], "version", CRICALGO_VERSION);
    put_text(&entries[2], "connection_name", options->name);
    entries[3].key = amqp_cstring_bytes("capabilities");
    entries[3].value.kind = AMQP_FIELD_KIND_TABLE;
    entries[3].value.value.table = (amqp_table_t){4, abilities};
    const amqp_table_t properties = {4, entries};
    amqp_connection_state_t state = amqp_conn_begin(conn);
    amqp_rpc_reply_t reply =
        ep->external
            ? amqp_login_with_properties(state, ep->vhost, AMQP_CONN_CHANNELS,
                                         FRAME_MAX, options->heartbeat_s,
                                         &properties, AMQP_SASL_METHOD_EXTERNAL,
                                         ep->user)
            : amqp_login_with_properties(state, ep->vhost, AMQP_CONN_CHANNELS,
                                         FRAME_MAX, options->heartbeat_s,
                                         &properties, AMQP_SASL_METHOD_PLAIN,
                                         ep->user, ep->password);
    enum celery_status st = CELERY_OK;
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        st = amqp_fail_reply(err, reply, "logging in to RabbitMQ");
    else if (amqp_tune_connection(state, amqp_get_channel_max(state),
                                  amqp_get_frame_max(state) + FRAME_FUDGE,
                                  amqp_get_heartbeat(state))
             != AMQP_STATUS_OK)
        st = celery_fail(err, CELERY_NOMEM, "no memory for a frame");
    return ended(conn, st, "logging in to RabbitMQ", err);
}

enum celery_status amqp_conn_open(const struct amqp_endpoint *endpoint,
                                  const struct amqp_conn_options *options,
                                  struct amqp_conn **ret,
                                  struct celery_error *err)
{
    struct amqp_conn *conn = xcalloc(1, sizeof *conn);
    conn->state = amqp_new_connection();
    conn->timeout_us = options->timeout_us;
    conn->release = -1;
    if (conn->state == NULL) {
        free(conn);
        return celery_fail(err, CELERY_NOMEM, "out of memory");
    }
    int64_t timeout = options->timeout_us;
    if (endpoint->connect_timeout_s > 0)
        timeout = (int64_t)(endpoint->connect_timeout_s * USEC_PER_SEC);
    const struct timeval handshake = timeval_of(timeout);
    const struct timeval rpc = timeval_of(options->timeout_us);
    (void)amqp_set_handshake_timeout(conn->state, &handshake);
    (void)amqp_set_rpc_timeout(conn->state, &rpc);
    int64_t deadline = clock_monotonic_us() + timeout;
    enum celery_status st = endpoint->tls
                              ? connect_tls(conn, endpoint, deadline, err)
                              : connect_plain(conn, endpoint, deadline, err);
    if (st == CELERY_OK) {
        amqp_watch_add(&conn->watch, amqp_get_sockfd(conn->state));
        conn->watched = true;
        st = log_in(conn, endpoint, options, err);
    }
    if (st != CELERY_OK) {
        amqp_conn_close(conn, false);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}

void amqp_conn_close(struct amqp_conn *conn, bool clean)
{
    if (conn == NULL)
        return;
    if (clean && !conn->dead) {
        const struct timeval second = timeval_of(CLOSE_US);
        (void)amqp_set_rpc_timeout(conn->state, &second);
        amqp_watch_arm(&conn->watch,
                       clock_monotonic_us() + CLOSE_US + WATCH_EXTRA_US);
        (void)amqp_connection_close(conn->state, AMQP_REPLY_SUCCESS);
        amqp_watch_disarm(&conn->watch);
    }
    if (conn->watched)
        amqp_watch_remove(&conn->watch);
    for (size_t i = 0; i <= AMQP_CONN_CHANNELS; i++)
        celery_buf_done(&conn->contents[i].body);
    (void)amqp_destroy_connection(conn->state);
    free(conn);
}

/* --- input ------------------------------------------------------------------ */

static bool has_content(amqp_method_number_t id)
{
    return id == AMQP_BASIC_DELIVER_METHOD || id == AMQP_BASIC_RETURN_METHOD
        || id == AMQP_BASIC_GET_OK_METHOD;
}

static void note_blocked(struct amqp_conn *conn, const amqp_method_t *method)
{
    if (method->id == AMQP_CONNECTION_BLOCKED_METHOD) {
        const amqp_connection_blocked_t *m = method->decoded;
        conn->blocked = true;
        LOG_EVENT(LOG_LEVEL_WARNING, "amqp_blocked",
                  LOG_SLICE("reason", amqp_str(m->reason)),
                  LOG_STR("msg", "the server takes no publishes for now"));
    } else if (method->id == AMQP_CONNECTION_UNBLOCKED_METHOD) {
        conn->blocked = false;
        LOG_EVENT(LOG_LEVEL_INFO, "amqp_unblocked",
                  LOG_STR("msg", "the server takes publishes again"));
    }
}

static enum celery_status on_method(struct amqp_conn *conn,
                                    const amqp_frame_t *frame,
                                    struct amqp_input *ret,
                                    struct celery_error *err)
{
    const amqp_method_t *method = &frame->payload.method;
    struct content *content = &conn->contents[frame->channel];
    if (content->open)
        return celery_fail(err, CELERY_MALFORMED,
                           "a method in the middle of a content");
    if (has_content(method->id)) {
        content->open = true;
        content->method = *method;
        content->properties = NULL;
        celery_buf_clear(&content->body);
        return CELERY_OK;
    }
    if (method->id == AMQP_CONNECTION_CLOSE_METHOD) {
        amqp_connection_close_ok_t ok = {0};
        enum celery_status st =
            amqp_fail_closed(err, method, "RabbitMQ closed the connection");
        (void)amqp_send_method(conn->state, 0, AMQP_CONNECTION_CLOSE_OK_METHOD,
                               &ok);
        conn->dead = true;
        return st == CELERY_INVALID ? CELERY_CLOSED : st;
    }
    if (frame->channel == 0)
        note_blocked(conn, method);
    ret->kind = AMQP_INPUT_METHOD;
    ret->channel = frame->channel;
    ret->method = *method;
    return CELERY_OK;
}

static void complete(struct amqp_conn *conn, amqp_channel_t channel,
                     struct amqp_input *ret)
{
    struct content *content = &conn->contents[channel];
    content->open = false;
    *ret = (struct amqp_input){
        .kind = AMQP_INPUT_CONTENT,
        .channel = channel,
        .method = content->method,
        .properties = content->properties,
        .body = celery_buf_str(&content->body),
    };
}

static enum celery_status on_header(struct amqp_conn *conn,
                                    const amqp_frame_t *frame,
                                    struct amqp_input *ret,
                                    struct celery_error *err)
{
    struct content *content = &conn->contents[frame->channel];
    if (!content->open || content->properties != NULL
        || frame->payload.properties.class_id != AMQP_BASIC_CLASS)
        return celery_fail(err, CELERY_MALFORMED, "an unexpected header frame");
    content->properties = frame->payload.properties.decoded;
    content->left = frame->payload.properties.body_size;
    if (content->left == 0)
        complete(conn, frame->channel, ret);
    return CELERY_OK;
}

static enum celery_status on_body(struct amqp_conn *conn,
                                  const amqp_frame_t *frame,
                                  struct amqp_input *ret,
                                  struct celery_error *err)
{
    struct content *content = &conn->contents[frame->channel];
    const amqp_bytes_t part = frame->payload.body_fragment;
    if (!content->open || content->properties == NULL
        || part.len > content->left)
        return celery_fail(err, CELERY_MALFORMED, "an unexpected body frame");
    celery_buf_append(&content->body, amqp_str(part));
    content->left -= part.len;
    if (celery_buf_status(&content->body) != CELERY_OK)
        return celery_fail(err, CELERY_NOMEM, "no memory for a message");
    if (content->left == 0)
        complete(conn, frame->channel, ret);
    return CELERY_OK;
}

static enum celery_status on_frame(struct amqp_conn *conn,
                                   const amqp_frame_t *frame,
                                   struct amqp_input *ret,
                                   struct celery_error *err)
{
    if (frame->channel > AMQP_CONN_CHANNELS)
        return celery_fail(err, CELERY_MALFORMED, "a frame on channel %u",
                           (unsigned)frame->channel);
    switch (frame->frame_type) {
    case AMQP_FRAME_METHOD:
        return on_method(conn, frame, ret, err);
    case AMQP_FRAME_HEADER:
        return on_header(conn, frame, ret, err);
    case AMQP_FRAME_BODY:
        return on_body(conn, frame, ret, err);
    default:
        return CELERY_OK;
    }
}

enum celery_status amqp_conn_next(struct amqp_conn *conn, int64_t deadline_us,
                                  struct amqp_input *ret,
                                  struct celery_error *err)
{
    *ret = (struct amqp_input){.kind = AMQP_INPUT_NONE};
    if (conn->release >= 0)
        amqp_conn_release(conn, (amqp_channel_t)conn->release);
    conn->release = -1;
    enum celery_status st = CELERY_OK;
    while (st == CELERY_OK && ret->kind == AMQP_INPUT_NONE) {
        amqp_frame_t frame;
        int64_t left =
            deadline_us == 0 ? 0 : deadline_us - clock_monotonic_us();
        const struct timeval timeout = timeval_of(left > 0 ? left : 0);
        int status = amqp_simple_wait_frame_noblock(amqp_conn_begin(conn),
                                                    &frame, &timeout);
        if (status == AMQP_STATUS_TIMEOUT && !conn->watch.fired) {
            amqp_watch_disarm(&conn->watch);
            return CELERY_OK;
        }
        st = amqp_conn_end(conn, status, "reading from RabbitMQ", err);
        if (st == CELERY_OK)
            st = on_frame(conn, &frame, ret, err);
    }
    if (st != CELERY_OK)
        conn->dead = true;
    else
        conn->release = ret->channel;
    return st;
}
