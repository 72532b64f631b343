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
#include "redis/redis_sentinel.h"

enum { READ_CHUNK = 65536 };

struct redis_conn {
    int fd;
    struct tls *tls; /* NULL: in the clear */
    int64_t id;
    redisReader *reader;
    struct celery_buf out;
    size_t sent; /* of out */
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
    tls_close(conn->tls);
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

/* *ret_n is 0 when nothing has arrived. */
static enum celery_status read_some(struct redis_conn *conn, void *buf,
                                    size_t size, size_t *ret_n,
                                    struct celery_error *err)
{
    *ret_n = 0;
    if (conn->tls != NULL)
        return tls_read(conn->tls, buf, size, ret_n, err);
    ssize_t n = recv(conn->fd, buf, size, 0);
    if (n > 0) {
        *ret_n = (size_t)n;
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

/* A TLS record is smaller than the chunk: nothing stays behind that poll() would
 * not tell of. */
static enum celery_status feed(struct redis_conn *conn,
                               struct celery_error *err)
{
    char chunk[READ_CHUNK];
    size_t n = 0;
    enum celery_status st = read_some(conn, chunk, sizeof chunk, &n, err);
    if (st != CELERY_OK)
        return st;
    if (n > 0 && redisReaderFeed(conn->reader, chunk, n) != REDIS_OK)
        return celery_fail(err, CELERY_MALFORMED, "Redis protocol: %.100s",
                           conn->reader->errstr);
    return CELERY_OK;
}

static enum celery_status send_some(struct redis_conn *conn,
                                    struct celery_error *err)
{
    const char *data = conn->out.data + conn->sent;
    size_t size = conn->out.len - conn->sent;
    if (conn->tls != NULL) {
        size_t written = 0;
        enum celery_status st = tls_write(conn->tls, data, size, &written, err);
        conn->sent += written;
        return st;
    }
    ssize_t n = send(conn->fd, data, size, MSG_NOSIGNAL);
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
    if (reply->type != REDIS_REPLY_ERROR)
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
    if (reply->type == REDIS_REPLY_INTEGER)
        conn->id = reply->integer;
    freeReplyObject(reply);
    return CELERY_OK;
}

/* The socket to whoever has the data, with TLS where asked for. */
static enum celery_status connect_to(struct redis_conn *conn,
                                     const struct redis_endpoint *ep,
                                     const char *host, int port,
                                     int64_t deadline_us,
                                     struct celery_error *err)
{
    if (ep->unix_path != NULL)
        return net_connect_unix(ep->unix_path, &conn->fd, err);
    enum celery_status st =
        net_connect_tcp(host, port, deadline_us, &conn->fd, err);
    if (st == CELERY_OK && ep->use_tls)
        st = tls_open(conn->fd, &ep->tls, host, deadline_us, &conn->tls, err);
    return st;
}

static enum celery_status connect_data(struct redis_conn *conn,
                                       const struct redis_endpoint *ep,
                                       int64_t deadline_us,
                                       struct celery_error *err)
{
    char *host = NULL;
    int port = 0;
    if (ep->sentinel_count == 0)
        return connect_to(conn, ep, ep->host, ep->port, deadline_us, err);
    enum celery_status st =
        redis_sentinel_master(ep, deadline_us, &host, &port, err);
    if (st == CELERY_OK)
        st = connect_to(conn, ep, host, port, deadline_us, err);
    free(host);
    return st;
}

/* The sentinels may still name a master that has become a replica. */
static enum celery_status expect_master(struct redis_conn *conn,
                                        int64_t deadline_us,
                                        struct celery_error *err)
{
    redisReply *reply = NULL;
    redis_appendf(conn, "ROLE");
    enum celery_status st = redis_ok_reply(conn, deadline_us, &reply, err);
    if (st != CELERY_OK)
        return st;
    bool master = reply->type == REDIS_REPLY_ARRAY && reply->elements > 0
               && reply->element[0]->type == REDIS_REPLY_STRING
               && strcmp(reply->element[0]->str, "master") == 0;
    freeReplyObject(reply);
    return master ? CELERY_OK
                  : celery_fail(err, CELERY_IO,
                                "the sentinels' master is a replica");
}

enum celery_status redis_conn_open(const struct redis_endpoint *ep,
                                   const char *client_name, int64_t deadline_us,
                                   struct redis_conn **ret,
                                   struct celery_error *err)
{
    struct redis_conn *conn = xcalloc(1, sizeof *conn);
    conn->fd = -1;
    conn->reader = redisReaderCreate();
    if (conn->reader == NULL)
        abort(); /* as xcalloc() */
    conn->reader->maxbuf = 0; /* keep the buffer: no churn under load */
    enum celery_status st = connect_data(conn, ep, deadline_us, err);
    if (st == CELERY_OK)
        st = handshake(conn, ep, client_name, deadline_us, err);
    if (st == CELERY_OK && ep->sentinel_count > 0)
        st = expect_master(conn, deadline_us, err);
    if (st != CELERY_OK) {
        redis_conn_close(conn);
        return st;
    }
    *ret = conn;
    return CELERY_OK;
}
