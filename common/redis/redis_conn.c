/* SPDX-License-Identifier: MIT */
#include "redis/redis_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "net/socket.h"

enum { READ_CHUNK = 65536 };

struct redis_conn {
    int fd;
    int64_t id;
    redisReader *reader;
    struct celery_buf out;
    size_t sent; /* of out */
    /* Not on the stack: civetweb's threads have 100 KiB of it. */
    char chunk[READ_CHUNK];
};

int redis_conn_fd(const struct redis_conn *conn)
{
    return conn->fd;
}

int64_t redis_conn_id(const struct redis_conn *conn)
{
    return conn->id;
}

void redis_conn_close(struct redis_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->fd >= 0)
        (void)close(conn->fd);
    if (conn->reader != NULL)
        redisReaderFree(conn->reader);
    celery_buf_done(&conn->out);
    free(conn);
}

void redis_append(struct redis_conn *conn, size_t argc,
                  const struct celery_str *argv)
{
    celery_buf_printf(&conn->out, "*%zu\r\n", argc);
    for (size_t i = 0; i < argc; i++) {
        celery_buf_printf(&conn->out, "$%zu\r\n", argv[i].len);
        celery_buf_append(&conn->out, argv[i]);
        celery_buf_append(&conn->out, CELERY_STR("\r\n"));
    }
}

void redis_appendf(struct redis_conn *conn, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int len = redisvFormatCommand(&text, fmt, ap);
    va_end(ap);
    if (len < 0)
        abort(); /* a wrong format is a mistake in the program */
    celery_buf_append(&conn->out, (struct celery_str){text, (size_t)len});
    redisFreeCommand(text);
}

static enum celery_status feed(struct redis_conn *conn,
                               struct celery_error *err)
{
    ssize_t n = recv(conn->fd, conn->chunk, sizeof conn->chunk, 0);
    if (n > 0) {
        if (redisReaderFeed(conn->reader, conn->chunk, (size_t)n) != REDIS_OK)
            return celery_fail(err, CELERY_MALFORMED, "Redis protocol: %.100s",
                               conn->reader->errstr);
        return CELERY_OK;
    }
    if (n == 0)
        return celery_fail(err, CELERY_CLOSED,
                           "the Redis server closed the connection");
    if (errno == EAGAIN || errno == EINTR)
        return CELERY_OK;
    return celery_fail(err, CELERY_IO, "reading from Redis: %s",
                       strerrordesc_np(errno));
}

static enum celery_status send_some(struct redis_conn *conn,
                                    struct celery_error *err)
{
    ssize_t n = send(conn->fd, conn->out.data + conn->sent,
                     conn->out.len - conn->sent, MSG_NOSIGNAL);
    if (n >= 0) {
        conn->sent += (size_t)n;
        return CELERY_OK;
    }
    if (errno == EAGAIN || errno == EINTR)
        return CELERY_OK;
    return celery_fail(err, CELERY_IO, "writing to Redis: %s",
                       strerrordesc_np(errno));
}

enum celery_status redis_flush(struct redis_conn *conn, int64_t deadline_us,
                               struct celery_error *err)
{
    if (celery_buf_status(&conn->out) != CELERY_OK)
        return celery_fail(err, conn->out.status, "Redis pipeline: %s",
                           celery_status_text(conn->out.status));
    while (conn->sent < conn->out.len) {
        enum celery_status st = send_some(conn, err);
        if (st != CELERY_OK)
            return st;
        if (conn->sent == conn->out.len)
            break;
        short revents = 0;
        /* Replies are read meanwhile: two full buffers would wait for ever. */
        if (!net_wait(conn->fd, POLLIN | POLLOUT, deadline_us, &revents))
            return celery_fail(err, CELERY_TIMEOUT,
                               "Redis does not take commands in time");
        if ((revents & POLLIN) != 0) {
            st = feed(conn, err);
            if (st != CELERY_OK)
                return st;
        }
    }
    celery_buf_clear(&conn->out);
    conn->sent = 0;
    return CELERY_OK;
}

static enum celery_status next_reply(struct redis_conn *conn, redisReply **ret,
                                     struct celery_error *err)
{
    void *reply = NULL;
    if (redisReaderGetReply(conn->reader, &reply) != REDIS_OK)
        return celery_fail(err, CELERY_MALFORMED, "Redis protocol: %.100s",
                           conn->reader->errstr);
    *ret = reply;
    return CELERY_OK;
}

enum celery_status redis_reply(struct redis_conn *conn, int64_t deadline_us,
                               redisReply **ret, struct celery_error *err)
{
    enum celery_status st = redis_flush(conn, deadline_us, err);
    if (st != CELERY_OK)
        return st;
    for (;;) {
        redisReply *reply = NULL;
        st = next_reply(conn, &reply, err);
        if (st != CELERY_OK)
            return st;
        if (reply != NULL) {
            *ret = reply;
            return CELERY_OK;
        }
        if (!net_wait(conn->fd, POLLIN, deadline_us, NULL))
            return celery_fail(err, CELERY_TIMEOUT,
                               "Redis does not answer in time");
        st = feed(conn, err);
        if (st != CELERY_OK)
            return st;
    }
}

enum celery_status redis_poll(struct redis_conn *conn, redisReply **ret,
                              struct celery_error *err)
{
    *ret = NULL;
    enum celery_status st = next_reply(conn, ret, err);
    if (st != CELERY_OK || *ret != NULL)
        return st;
    st = feed(conn, err);
    if (st != CELERY_OK)
        return st;
    return next_reply(conn, ret, err);
}

enum celery_status redis_status(const redisReply *reply,
                                struct celery_error *err)
{
    if (reply == NULL || reply->type != REDIS_REPLY_ERROR)
        return CELERY_OK;
    /* The server's own state, which passes: not a mistake of ours. */
    static const char *const passing[] = {"LOADING",  "BUSY ",     "MASTERDOWN",
                                          "TRYAGAIN", "READONLY ", "OOM "};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (strncmp(reply->str, passing[i], strlen(passing[i])) == 0)
            return celery_fail(err, CELERY_IO, "Redis: %.150s", reply->str);
    }
    bool refused = strncmp(reply->str, "NOPERM", 6) == 0
                || strncmp(reply->str, "ERR unknown command", 19) == 0;
    return celery_fail(err, refused ? CELERY_UNSUPPORTED : CELERY_INVALID,
                       "Redis: %.150s", reply->str);
}

enum celery_status redis_ok_reply(struct redis_conn *conn, int64_t deadline_us,
                                  redisReply **ret, struct celery_error *err)
{
    redisReply *reply = NULL;
    enum celery_status st = redis_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    st = redis_status(reply, err);
    if (st != CELERY_OK) {
        freeReplyObject(reply);
        return st;
    }
    *ret = reply;
    return CELERY_OK;
}

enum celery_status redis_expect_ok(struct redis_conn *conn, size_t count,
                                   int64_t deadline_us,
                                   struct celery_error *err)
{
    enum celery_status first = CELERY_OK;
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = NULL;
        enum celery_status st = redis_reply(conn, deadline_us, &reply, err);
        if (st != CELERY_OK)
            return st;
        st = redis_status(reply, first == CELERY_OK ? err : NULL);
        if (first == CELERY_OK)
            first = st;
        freeReplyObject(reply);
    }
    return first;
}

static enum celery_status handshake(struct redis_conn *conn,
                                    const struct redis_endpoint *ep,
                                    const char *client_name,
                                    int64_t deadline_us,
                                    struct celery_error *err)
{
    size_t replies = 0;
    if (ep->password != NULL) {
        if (ep->user != NULL)
            redis_appendf(conn, "AUTH %s %s", ep->user, ep->password);
        else
            redis_appendf(conn, "AUTH %s", ep->password);
        replies++;
    }
    if (ep->db != 0) {
        redis_appendf(conn, "SELECT %d", ep->db);
        replies++;
    }
    enum celery_status st = redis_expect_ok(conn, replies, deadline_us, err);
    if (st != CELERY_OK)
        return st;

    /* Both are conveniences that an ACL may forbid. */
    redisReply *reply = NULL;
    redis_appendf(conn, "CLIENT SETNAME %s", client_name);
    redis_appendf(conn, "CLIENT ID");
    st = redis_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    freeReplyObject(reply);
    st = redis_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
        conn->id = reply->integer;
    freeReplyObject(reply);
    return CELERY_OK;
}

enum celery_status redis_conn_open(const struct redis_endpoint *endpoint,
                                   const char *client_name, int64_t deadline_us,
                                   struct redis_conn **ret,
                                   struct celery_error *err)
{
    struct redis_conn *conn = xcalloc(1, sizeof *conn);
    conn->fd = -1;
    conn->reader = redisReaderCreate();
    enum celery_status st =
        endpoint->unix_path != NULL
            ? net_connect_unix(endpoint->unix_path, &conn->fd, err)
            : net_connect_tcp(endpoint->host, endpoint->port, deadline_us,
                              &conn->fd, err);
    if (st == CELERY_OK && conn->reader == NULL)
        st = celery_fail(err, CELERY_NOMEM, "no memory for the Redis reader");
    if (st == CELERY_OK && conn->reader != NULL) {
        conn->reader->maxbuf = 0; /* keep the buffer: no churn under load */
        st = handshake(conn, endpoint, client_name, deadline_us, err);
    }
    if (st != CELERY_OK) {
        redis_conn_close(conn);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}
