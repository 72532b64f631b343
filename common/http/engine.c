/* SPDX-License-Identifier: MIT */
#include "http/engine.h"

#include <civetweb.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "http/exchange.h"

enum {
    KEY_BYTES = 32,
    KEY_TEXT = 2 * KEY_BYTES,
    LINK_DIGITS = 5,
    TICKET_MAX = 192,
};

static const char key_field[] = "X-Front-Ticket";
static const int64_t link_idle_us = 30 * USEC_PER_SEC;

struct link {
    int fd; /* -1: closed */
    int64_t idle_since_us;
    _Atomic(struct exchange *) exchange; /* until a thread takes it */
};

struct engine {
    struct mg_context *mg;
    engine_run_fn run;
    void *arg;
    int port;
    int threads;
    int reserve;
    char key[KEY_TEXT + 1];
    struct link *links; /* threads + reserve */
    int *idle;          /* a stack of links that are not in use */
    int idle_count;
    int busy;
};

/* --- civetweb's side ---------------------------------------------------- */

/* The number of a link whose key is right, or -1. */
static int read_ticket(const struct engine *engine, const char *ticket)
{
    if (ticket == NULL || strlen(ticket) != KEY_TEXT + LINK_DIGITS
        || CRYPTO_memcmp(ticket, engine->key, KEY_TEXT) != 0)
        return -1;
    long link = strtol(ticket + KEY_TEXT, NULL, 10);
    return link >= 0 && link < engine->threads + engine->reserve ? (int)link
                                                                 : -1;
}

static int on_request(struct mg_connection *conn)
{
    struct engine *engine = mg_get_user_data(mg_get_context(conn));
    int link = read_ticket(engine, mg_get_header(conn, key_field));
    if (link < 0) {
        static const char no[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: "
                                 "0\r\nConnection: close\r\n\r\n";
        (void)mg_write(conn, no, sizeof no - 1);
        mg_disable_connection_keep_alive(conn);
        return 403;
    }
    struct exchange *exchange =
        atomic_exchange(&engine->links[link].exchange, NULL);
    if (exchange != NULL) /* NULL: it was withdrawn */
        engine->run(engine->arg, exchange);
    return 200; /* nothing is written: the answer goes to the client's socket */
}

/* What civetweb refuses by itself comes from a stranger: no word. */
static int on_error(struct mg_connection *conn, int status, const char *text)
{
    (void)conn;
    (void)status;
    (void)text;
    return 0;
}

static struct mg_context *start(struct engine *engine)
{
    static const struct mg_callbacks callbacks = {
        .begin_request = on_request,
        .http_error = on_error,
    };
    char threads[16];
    (void)snprintf(threads, sizeof threads, "%d",
                   engine->threads + engine->reserve);
    const char *settings[] = {
        "listening_ports",
        "127.0.0.1:0", /* no document root: no files */
        "num_threads",
        threads,
        "enable_keep_alive",
        "yes",
        /* The front closes first, see link_idle_us. */
        "keep_alive_timeout_ms",
        "600000",
        /* How long a stranger can hold a thread. */
        "request_timeout_ms",
        "1000",
        "listen_backlog",
        "1024",
        "connection_queue",
        "1024",
        "tcp_nodelay",
        "1",
        NULL,
    };
    return mg_start(&callbacks, engine, settings);
}

/* --- links -------------------------------------------------------------- */

static bool make_key(char ret_key[KEY_TEXT + 1])
{
    unsigned char bytes[KEY_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(ret_key + 2 * i, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof bytes);
    return true;
}

/* The kernel completes it at once, for the listener is this process's; unless a
 * stranger has filled its backlog, and then the front must not wait. */
static int link_open(const struct engine *engine)
{
    const int on = 1;
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)engine->port),
        .sin_addr = {htonl(INADDR_LOOPBACK)},
    };
    const struct timeval patience = {.tv_usec = 50000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void link_close(struct link *link)
{
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
}

static bool send_ticket(const struct engine *engine, struct link *link,
                        int number)
{
    char ticket[TICKET_MAX];
    int len = snprintf(ticket, sizeof ticket,
                       "GET / HTTP/1.1\r\n%s: %s%0*d\r\nHost: f\r\n\r\n",
                       key_field, engine->key, (int)LINK_DIGITS, number);
    return link->fd >= 0
        && send(link->fd, ticket, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT)
               == (ssize_t)len;
}

bool engine_submit(struct engine *engine, struct exchange *exchange,
                   bool reserved)
{
    int most = engine->threads + (reserved ? engine->reserve : 0);
    if (engine->busy >= most || engine->idle_count == 0)
        return false;
    int number = engine->idle[engine->idle_count - 1];
    struct link *link = &engine->links[number];
    atomic_store(&link->exchange, exchange);
    exchange->link = number;
    bool sent = send_ticket(engine, link, number);
    if (!sent) { /* not open, or not any more */
        link_close(link);
        link->fd = link_open(engine);
        sent = send_ticket(engine, link, number);
    }
    if (!sent) {
        link_close(link);
        atomic_store(&link->exchange, NULL);
        exchange->link = -1;
        return false;
    }
    engine->idle_count--;
    engine->busy++;
    return true;
}

bool engine_withdraw(struct engine *engine, struct exchange *exchange)
{
    struct link *link = &engine->links[exchange->link];
    if (atomic_exchange(&link->exchange, NULL) == NULL)
        return false;
    link_close(link); /* its thread is not there */
    engine_release(engine, exchange, clock_monotonic_us());
    return true;
}

void engine_release(struct engine *engine, struct exchange *exchange,
                    int64_t now_us)
{
    if (exchange->link < 0)
        return;
    engine->links[exchange->link].idle_since_us = now_us;
    engine->idle[engine->idle_count++] = exchange->link;
    engine->busy--;
    exchange->link = -1;
}

bool engine_has_links(const struct engine *engine)
{
    for (int i = 0; i < engine->threads + engine->reserve; i++) {
        if (engine->links[i].fd >= 0)
            return true;
    }
    return false;
}

void engine_trim(struct engine *engine, int64_t now_us)
{
    for (int i = 0; i < engine->idle_count; i++) {
        struct link *link = &engine->links[engine->idle[i]];
        if (link->fd >= 0 && now_us - link->idle_since_us > link_idle_us)
            link_close(link);
    }
}

/* --- start and stop ----------------------------------------------------- */

enum celery_status engine_start(int threads, int reserve, engine_run_fn run,
                                void *arg, struct engine **ret,
                                struct celery_error *err)
{
    struct engine *engine = xcalloc(1, sizeof *engine);
    int count = threads + reserve;
    struct mg_server_port port[2];
    engine->run = run;
    engine->arg = arg;
    engine->threads = threads;
    engine->reserve = reserve;
    engine->links = xcalloc((size_t)count, sizeof *engine->links);
    engine->idle = xcalloc((size_t)count, sizeof *engine->idle);
    for (int i = 0; i < count; i++) {
        engine->links[i].fd = -1;
        engine->idle[engine->idle_count++] = count - 1 - i;
    }
    (void)mg_init_library(0);
    if (make_key(engine->key))
        engine->mg = start(engine);
    if (engine->mg == NULL || mg_get_server_ports(engine->mg, 2, port) <= 0) {
        engine_stop(engine);
        return celery_fail(err, CELERY_IO,
                           "cannot start the HTTP server's %d threads", count);
    }
    engine->port = port[0].port;
    *ret = engine;
    return CELERY_OK;
}

void engine_stop(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (int i = 0; i < engine->threads + engine->reserve; i++)
        link_close(&engine->links[i]);
    if (engine->mg != NULL)
        mg_stop(engine->mg);
    (void)mg_exit_library();
    explicit_bzero(engine->key, sizeof engine->key);
    free(engine->links);
    free(engine->idle);
    free(engine);
}
