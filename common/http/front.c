/* SPDX-License-Identifier: MIT */
#include "http/front.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "http/front_conn.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
    EVENTS_MAX = 256,
    ACCEPTS_MAX = 64, /* in one round */
    BACKLOG = 4096,
    TICK_MS = 1000,
    STOPPING_TICK_MS = 20,
    PROBE_CONNECTIONS_MAX = 64,
    FILES_BESIDE = 256, /* what the rest of the program may have open */
};

static struct metric *refused_total;
static struct metric *connections;

void front_count_refused(const char *reason)
{
    METRIC_INC(refused_total, reason);
}

static void register_metrics(void)
{
    static const struct metric_desc refused = {
        "http_front_refused_total",
        "Requests and connections that the front refused or ended, by reason.",
        METRIC_COUNTER,
        {"reason", NULL},
        NULL,
        0};
    static const struct metric_desc open = {
        "http_front_connections",
        "Connections of clients that are open.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    /* What is not there has no rate: the series that alerts look at. */
    static const char *const reasons[] = {
        "busy",           "chunked",          "connections",
        "content_length", "evicted_idle",     "evicted_slow",
        "field",          "line_end",         "obs_fold",
        "silent",         "peer_connections", "slow",
        "slow_reader",    "transfer_encoding"};
    refused_total = metric_register(&refused);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        metric_add(refused_total, 0, (const char *const[]){reasons[i], NULL});
    connections = metric_register(&open);
    metric_set(connections, 0, NULL);
}

static void take_done(struct front *front)
{
    struct op *op = op_queue_take(&front->done);
    while (op != NULL) {
        struct op *next = op->next;
        /* op is the first member */
        conn_on_done(front, (struct exchange *)(void *)op);
        op = next;
    }
    conn_run_queue(front);
}

/* --- accepting ---------------------------------------------------------- */

/* Reads and drops what has come: with that unread, the close would be a reset
 * that overtakes the answer. */
static void drop_input(int fd)
{
    char piece[4096];
    (void)shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16; i++) {
        if (recv(fd, piece, sizeof piece, MSG_DONTWAIT) <= 0)
            return;
    }
}

/* What the kernel does not take at once of the answer is lost. */
static void turn_away(int fd, const char *reason, int status)
{
    struct http_request request = {.method = "other"};
    struct http_response response = HTTP_RESPONSE_INIT;
    CLEANUP(celery_buf_done) struct celery_buf wire = CELERY_BUF_INIT;
    front_count_refused(reason);
    http_request_identify(&request);
    http_problem(&response, &request, status, "too many connections", NULL);
    http_response_header(&response, "Retry-After", "5");
    response.close = true;
    http_response_write(&response, &request, false, &wire);
    (void)!send(fd, wire.data, wire.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    drop_input(fd);
    (void)close(fd);
    http_response_done(&response);
}

static bool watch(const struct front *front, int fd, uint32_t events,
                  void *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(front->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Connections that were answered by a thread are idle, but the loop may not have
 * heard of it yet. */
static bool has_place(struct front *front, struct front_listener *listener)
{
    if (listener->count < listener->max || conn_evict(front, listener))
        return true;
    take_done(front);
    return listener->count < listener->max || conn_evict(front, listener);
}

static void welcome(struct front *front, struct front_listener *listener,
                    int fd, const struct sockaddr_storage *from)
{
    const int on = 1;
    struct peer_address address;
    peer_address_of(from, &address);
    bool counted = !listener->probes && front->options.connections_per_peer > 0
                && !peer_set_has(front->options.trusted, &address);
    if (counted
        && !peer_count_add(front->peers, &address,
                           front->options.connections_per_peer)) {
        turn_away(fd, "peer_connections", 429);
        return;
    }
    if (!has_place(front, listener)) {
        if (counted)
            peer_count_remove(front->peers, &address);
        turn_away(fd, "connections", 503);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct front_conn *conn = conn_open(front, listener, fd, &address);
    conn->counted = counted;
    if (!watch(front, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, conn)) {
        conn_close(front, conn);
        return;
    }
    /* Most clients send at once: often the request is here already. */
    conn->readable = true;
    conn_pump(front, conn);
}

/* Without a file descriptor left the listener would be reported for ever. */
static void pause_accepting(struct front *front,
                            struct front_listener *listener)
{
    if (conn_evict(front, listener))
        return;
    (void)epoll_ctl(front->epoll_fd, EPOLL_CTL_DEL, listener->fd, NULL);
    listener->paused = true;
}

static void accept_some(struct front *front, struct front_listener *listener)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            welcome(front, listener, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM
            || errno == ENOBUFS)
            pause_accepting(front, listener);
        if (errno == EAGAIN || listener->paused)
            return;
    }
}

/* --- the loop ----------------------------------------------------------- */

static void on_event(struct front *front, const struct epoll_event *event)
{
    enum front_source *source = event->data.ptr;
    if (*source == SOURCE_LISTENER)
        accept_some(front, (struct front_listener *)(void *)source);
    else if (*source == SOURCE_CONN)
        conn_on_event(front, (struct front_conn *)(void *)source,
                      event->events);
}

static void tick(struct front *front)
{
    for (size_t i = front->count; i-- > 0;) {
        if (front->conns[i]->deadline_us <= front->now_us)
            conn_on_deadline(front, front->conns[i]);
        if (i > front->count)
            i = front->count; /* more than one was closed */
    }
    conn_run_queue(front);
    engine_trim(front->engine, front->now_us);
    for (size_t i = 0; i < 2; i++) {
        struct front_listener *listener = &front->listeners[i];
        if (listener->paused && watch(front, listener->fd, EPOLLIN, listener))
            listener->paused = false;
    }
}

static bool must_end(const struct front *front)
{
    int64_t stop_at_us = atomic_load(&front->stop_at_us);
    return stop_at_us != 0
        && (conn_count_active(front) == 0 || front->now_us >= stop_at_us);
}

static int patience_ms(const struct front *front)
{
    if (front->again != NULL)
        return 0;
    if (atomic_load(&front->stop_at_us) != 0)
        return STOPPING_TICK_MS;
    bool ticks = front->count > 0 || front->listeners[0].paused
              || engine_has_links(front->engine);
    return ticks ? TICK_MS : -1;
}

static void *loop(void *arg)
{
    struct front *front = arg;
    struct epoll_event events[EVENTS_MAX];
    int64_t next_tick_us = 0;
    while (!must_end(front)) {
        int n =
            epoll_wait(front->epoll_fd, events, EVENTS_MAX, patience_ms(front));
        front->now_us = clock_monotonic_us();
        for (int i = 0; i < n; i++) {
            if (*(enum front_source *)events[i].data.ptr == SOURCE_DONE)
                take_done(front);
        }
        for (int i = 0; i < n; i++)
            on_event(front, &events[i]);
        conn_run_again(front);
        if (front->now_us >= next_tick_us) {
            tick(front);
            metric_set(connections, (double)front->count, NULL);
            next_tick_us = front->now_us + TICK_MS * USEC_PER_MSEC;
        }
        conn_bury(front);
    }
    return NULL;
}

/* Runs in the engine's threads. The answer goes to the client from here: the
 * loop hears of it later. */
static void run(void *arg, struct exchange *exchange)
{
    struct front *front = arg;
    const struct front_app *app = &front->options.app;
    app->handle(app->arg, exchange);
    app->seal(app->arg, exchange);
    ssize_t n = send(exchange->fd, exchange->wire.data, exchange->wire.len,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        exchange->sent = (size_t)n;
    op_queue_push(&front->done, &exchange->op);
}

/* --- start and stop ----------------------------------------------------- */

static int port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return -1;
    memcpy(&in, &address, sizeof in);
    memcpy(&in6, &address, sizeof in6);
    return ntohs(address.ss_family == AF_INET ? in.sin_port : in6.sin6_port);
}

/* -1: errno says why. */
static int bind_to(const struct addrinfo *ai, int port)
{
    const int on = 1;
    struct sockaddr_storage address = {0};
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    memcpy(&in, ai->ai_addr, sizeof in);
    in.sin_port = htons((uint16_t)port);
    memcpy(&address, &in, sizeof in);
    if (ai->ai_family == AF_INET6) {
        memcpy(&in6, ai->ai_addr, sizeof in6);
        in6.sin6_port = htons((uint16_t)port);
        memcpy(&address, &in6, sizeof in6);
    }
    int fd =
        socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address, ai->ai_addrlen) != 0
        || listen(fd, BACKLOG) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static enum celery_status listen_at(struct front *front, size_t which, int port,
                                    struct celery_error *err)
{
    struct front_listener *listener = &front->listeners[which];
    const char *host = front->options.host;
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc != 0)
        return celery_fail(err, CELERY_INVALID, "HOST='%.60s': %s", host,
                           gai_strerror(rc));
    listener->fd = bind_to(found, port);
    int error = errno;
    freeaddrinfo(found);
    if (listener->fd < 0)
        return celery_fail(err, CELERY_IO, "cannot listen on %s:%d: %s", host,
                           port, strerrordesc_np(error));
    listener->port = port_of(listener->fd);
    return watch(front, listener->fd, EPOLLIN, listener)
             ? CELERY_OK
             : celery_fail(err, CELERY_IO, "cannot watch %s:%d", host, port);
}

/* As many connections as asked for, or as the kernel lets us have beside what
 * the engine (two ends of a link for each thread) and the program open. */
static int connection_limit(const struct front_options *options)
{
    struct rlimit limit = {0};
    rlim_t beside =
        FILES_BESIDE + 2 * (rlim_t)(options->threads + options->reserve);
    rlim_t wanted = (rlim_t)options->connections_max;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return options->connections_max;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= wanted + beside)
        return options->connections_max;
    int possible = limit.rlim_cur > 2 * beside ? (int)(limit.rlim_cur - beside)
                                               : (int)(limit.rlim_cur / 2);
    LOG_EVENT(LOG_LEVEL_WARNING, "connections_limited",
              LOG_INT("wanted", options->connections_max),
              LOG_INT("possible", possible),
              LOG_INT("open_files", limit.rlim_cur));
    return possible;
}

static enum celery_status open_all(struct front *front,
                                   struct celery_error *err)
{
    static enum front_source done = SOURCE_DONE;
    const struct front_options *options = &front->options;
    front->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (front->epoll_fd < 0 || !watch(front, front->done.fd, EPOLLIN, &done))
        return celery_fail(err, CELERY_IO, "epoll: %s", strerrordesc_np(errno));
    enum celery_status st = listen_at(front, 0, options->port, err);
    if (st == CELERY_OK && options->probe_port >= 0)
        st = listen_at(front, 1, options->probe_port, err);
    if (st == CELERY_OK)
        st = engine_start(options->threads, options->reserve, run, front,
                          &front->engine, err);
    if (st != CELERY_OK)
        return st;
    front->started = pthread_create(&front->thread, NULL, loop, front) == 0;
    return front->started
             ? CELERY_OK
             : celery_fail(err, CELERY_IO, "cannot start the front's thread");
}

enum celery_status front_start(const struct front_options *options,
                               struct front **ret, struct celery_error *err)
{
    struct front *front = xcalloc(1, sizeof *front);
    register_metrics();
    front->options = *options;
    front->peers = peer_count_new();
    front->queue_end = &front->queue;
    front->now_us = clock_monotonic_us();
    op_queue_init(&front->done);
    for (size_t i = 0; i < 2; i++)
        front->listeners[i] = (struct front_listener){.source = SOURCE_LISTENER,
                                                      .fd = -1,
                                                      .port = -1};
    front->listeners[0].max = connection_limit(options);
    front->listeners[1].max = PROBE_CONNECTIONS_MAX;
    front->listeners[1].probes = true;
    enum celery_status st = open_all(front, err);
    if (st != CELERY_OK) {
        front_stop(front, 0);
        return st;
    }
    *ret = front;
    return CELERY_OK;
}

int front_port(const struct front *front)
{
    return front->listeners[0].port;
}

int front_probe_port(const struct front *front)
{
    return front->listeners[1].port;
}

static void end_loop(struct front *front, double grace_s)
{
    uint64_t one = 1;
    int64_t at =
        clock_monotonic_us() + (int64_t)(grace_s * (double)USEC_PER_SEC);
    atomic_store(&front->stop_at_us, at);
    (void)!write(front->done.fd, &one, sizeof one);
    (void)pthread_join(front->thread, NULL);
}

void front_stop(struct front *front, double grace_s)
{
    if (front == NULL)
        return;
    if (front->started)
        end_loop(front, grace_s);
    for (size_t i = 0; i < 2; i++) {
        if (front->listeners[i].fd >= 0)
            (void)close(front->listeners[i].fd);
    }
    /* The last answers go to connections that are still open. */
    engine_stop(front->engine);
    while (front->count > 0)
        conn_close(front, front->conns[0]);
    front->again = NULL;
    conn_bury(front);
    while (front->spare != NULL) {
        struct exchange *next = front->spare->next;
        exchange_free(front->spare);
        front->spare = next;
    }
    if (front->epoll_fd >= 0)
        (void)close(front->epoll_fd);
    op_queue_done(&front->done);
    peer_count_free(front->peers);
    free(front->conns);
    free(front);
}
