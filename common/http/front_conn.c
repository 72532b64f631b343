/* SPDX-License-Identifier: MIT */
#include "http/front_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "http/front_input.h"

enum {
    QUEUE_MAX = 1024,
    /* Requests that one connection may have answered on the front's thread
     * before the others have their turn. */
    SHARE = 32,
    LINGER_PIECE = 16384,
};

static const int64_t head_us = 10 * USEC_PER_SEC;
/* Longer than nginx keeps its side (60 s), so that nginx closes first. */
static const int64_t idle_us = 65 * USEC_PER_SEC;
static const int64_t queue_us = 5 * USEC_PER_SEC;
static const int64_t write_us = 30 * USEC_PER_SEC;
static const int64_t write_rate = 1024; /* bytes a second, beyond that */
static const int64_t linger_us = 5 * USEC_PER_SEC;

/* --- lists and states --------------------------------------------------- */

static void unlist(struct front_conn *conn)
{
    struct conn_list *list = conn->list;
    if (list == NULL)
        return;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        list->first = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    else
        list->last = conn->prev;
    conn->list = NULL;
    conn->prev = conn->next = NULL;
}

static void enlist(struct front_conn *conn, struct conn_list *list)
{
    if (conn->list == list)
        return;
    unlist(conn);
    conn->list = list;
    conn->prev = list->last;
    if (list->last != NULL)
        list->last->next = conn;
    else
        list->first = conn;
    list->last = conn;
}

static void enter(struct front *front, struct front_conn *conn,
                  enum conn_state state, int64_t patience_us)
{
    conn->state = state;
    conn->since_us = front->now_us;
    conn->deadline_us = front->now_us + patience_us;
    if (state == CONN_IDLE)
        enlist(conn, &conn->listener->idle);
    else if (state == CONN_LINGER)
        enlist(conn, &conn->listener->lingering);
    else if (state == CONN_HEAD || state == CONN_BODY)
        enlist(conn, &conn->listener->reading);
    else
        unlist(conn);
}

static bool is_reading(const struct front_conn *conn)
{
    return conn->state == CONN_HEAD || conn->state == CONN_IDLE
        || conn->state == CONN_BODY;
}

/* --- open and close ----------------------------------------------------- */

struct front_conn *conn_open(struct front *front,
                             struct front_listener *listener, int fd,
                             const struct peer_address *address)
{
    struct front_conn *conn = xcalloc(1, sizeof *conn);
    conn->source = SOURCE_CONN;
    conn->fd = fd;
    conn->listener = listener;
    conn->address = *address;
    if (front->count == front->cap) {
        front->cap = front->cap > 0 ? 2 * front->cap : 64;
        front->conns =
            xrealloc(front->conns, front->cap * sizeof(struct front_conn *));
    }
    conn->index = front->count;
    front->conns[front->count++] = conn;
    listener->count++;
    enter(front, conn, CONN_HEAD, head_us);
    return conn;
}

void conn_close(struct front *front, struct front_conn *conn)
{
    unlist(conn);
    (void)close(conn->fd); /* epoll forgets it */
    conn->state = CONN_CLOSED;
    conn->listener->count--;
    if (conn->counted)
        peer_count_remove(front->peers, &conn->address);
    if (conn->exchange != NULL)
        exchange_put(front, conn->exchange);
    conn->exchange = NULL;
    struct front_conn *moved = front->conns[--front->count];
    front->conns[conn->index] = moved;
    moved->index = conn->index;
    conn->next = front->closed;
    front->closed = conn;
}

/* One that is to come again is freed after that. */
void conn_bury(struct front *front)
{
    struct front_conn **at = &front->closed;
    while (*at != NULL) {
        struct front_conn *conn = *at;
        if (conn->in_again) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        free(conn);
    }
}

bool conn_evict(struct front *front, struct front_listener *listener)
{
    struct front_conn *const candidates[] = {
        listener->idle.first,
        listener->lingering.first,
        listener->reading.first,
    };
    static const char *const reasons[] = {"evicted_idle", "evicted_answered",
                                          "evicted_slow"};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (candidates[i] == NULL)
            continue;
        front_count_refused(reasons[i]);
        conn_close(front, candidates[i]);
        return true;
    }
    return false;
}

size_t conn_count_active(const struct front *front)
{
    size_t active = 0;
    for (size_t i = 0; i < front->count; i++) {
        enum conn_state state = front->conns[i]->state;
        active += state == CONN_BODY || state == CONN_QUEUED
               || state == CONN_RUNNING || state == CONN_WRITING;
    }
    return active;
}

/* Its share of the round is used up, and epoll will not name it again. */
static void come_again(struct front *front, struct front_conn *conn)
{
    if (conn->in_again)
        return;
    conn->in_again = true;
    conn->next_again = front->again;
    front->again = conn;
}

/* --- the end of a request ----------------------------------------------- */

/* Reads and drops what still comes, so that no reset destroys the answer on its
 * way (RFC 9112 section 9.6). */
static void linger(struct front *front, struct front_conn *conn)
{
    char piece[LINGER_PIECE];
    for (int i = 0; i < SHARE; i++) {
        ssize_t n = recv(conn->fd, piece, sizeof piece, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            conn_close(front, conn);
            return;
        }
        if (n < 0)
            return;
    }
    come_again(front, conn);
}

static void start_lingering(struct front *front, struct front_conn *conn)
{
    exchange_put(front, conn->exchange);
    conn->exchange = NULL;
    (void)shutdown(conn->fd, SHUT_WR);
    enter(front, conn, CONN_LINGER, linger_us);
    linger(front, conn);
}

/* The answer is with the kernel: close, or read the next request. */
static void finish(struct front *front, struct front_conn *conn)
{
    struct exchange *exchange = conn->exchange;
    size_t rest = exchange->len - exchange->used;
    if (exchange->response.close) {
        start_lingering(front, conn);
        return;
    }
    if (rest > 0) { /* pipelined */
        memmove(exchange->input, exchange->input + exchange->used, rest);
        exchange_reset(exchange);
        exchange->len = rest;
        enter(front, conn, CONN_HEAD, head_us);
        return;
    }
    exchange_put(front, exchange);
    conn->exchange = NULL;
    enter(front, conn, CONN_IDLE, idle_us);
}

static void write_answer(struct front *front, struct front_conn *conn)
{
    struct exchange *exchange = conn->exchange;
    while (exchange->sent < exchange->wire.len) {
        ssize_t n = send(conn->fd, exchange->wire.data + exchange->sent,
                         exchange->wire.len - exchange->sent,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            if (conn->state != CONN_WRITING)
                enter(front, conn, CONN_WRITING, write_us);
            /* What was taken buys time for the rest. */
            conn->deadline_us =
                conn->since_us + write_us
                + (int64_t)exchange->sent * USEC_PER_SEC / write_rate;
            return;
        }
        if (n < 0) {
            conn_close(front, conn);
            return;
        }
        exchange->sent += (size_t)n;
    }
    finish(front, conn);
}

static void answer(struct front *front, struct front_conn *conn)
{
    front->options.app.seal(front->options.app.arg, conn->exchange);
    write_answer(front, conn);
}

/* An answer of the front's own; the connection ends after it. */
static void refuse(struct front *front, struct front_conn *conn,
                   const struct http_refusal *refusal)
{
    struct exchange *exchange = conn->exchange;
    front_count_refused(refusal->reason);
    input_ensure_request(exchange);
    if (refusal->status == 503)
        http_unavailable(&exchange->response, &exchange->request,
                         refusal->text);
    else
        http_problem(&exchange->response, &exchange->request, refusal->status,
                     refusal->text, NULL);
    exchange->response.close = true;
    answer(front, conn);
}

/* --- running ------------------------------------------------------------ */

static bool is_reserved(const struct exchange *exchange)
{
    return (exchange->route->flags & HTTP_ROUTE_PROBE) != 0;
}

static void enqueue(struct front *front, struct front_conn *conn)
{
    static const struct http_refusal busy = {
        503, "busy", "every thread is busy; nothing was done"};
    if (front->queued >= QUEUE_MAX) {
        refuse(front, conn, &busy);
        return;
    }
    enter(front, conn, CONN_QUEUED, queue_us);
    conn->next_queued = NULL;
    *front->queue_end = conn;
    front->queue_end = &conn->next_queued;
    front->queued++;
}

/* The request is whole. */
static void dispatch(struct front *front, struct front_conn *conn)
{
    struct exchange *exchange = conn->exchange;
    const struct front_app *app = &front->options.app;
    if (exchange->route->body_limit == 0)
        celery_buf_clear(&exchange->request.body);
    if ((exchange->route->flags & HTTP_ROUTE_INLINE) != 0) {
        app->handle(app->arg, exchange);
        answer(front, conn);
        return;
    }
    exchange->fd = conn->fd;
    bool reserved = is_reserved(exchange);
    if ((front->queue == NULL || reserved)
        && engine_submit(front->engine, exchange, reserved))
        enter(front, conn, CONN_RUNNING, queue_us);
    else
        enqueue(front, conn);
}

void conn_run_queue(struct front *front)
{
    struct front_conn **at = &front->queue;
    while (*at != NULL) {
        struct front_conn *conn = *at;
        struct exchange *exchange = conn->exchange;
        if (!engine_submit(front->engine, exchange, is_reserved(exchange)))
            return;
        *at = conn->next_queued;
        if (*at == NULL)
            front->queue_end = at;
        front->queued--;
        enter(front, conn, CONN_RUNNING, queue_us);
    }
}

static void leave_queue(struct front *front, const struct front_conn *conn)
{
    struct front_conn **at = &front->queue;
    while (*at != NULL && *at != conn)
        at = &(*at)->next_queued;
    if (*at == NULL)
        return;
    *at = conn->next_queued;
    if (*at == NULL)
        front->queue_end = at;
    front->queued--;
}

void conn_on_done(struct front *front, struct exchange *exchange)
{
    struct front_conn *conn = exchange->conn;
    engine_release(front->engine, exchange, front->now_us);
    write_answer(front, conn);
    if (is_reading(conn))
        conn_pump(front, conn);
}

/* --- reading ------------------------------------------------------------ */

static void continue_body(struct exchange *exchange, int fd)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (!exchange->head.expect_continue || exchange->len > exchange->head_len)
        return;
    exchange->head.expect_continue = false;
    /* Nothing else is on its way to the client: it fits, or the client is gone,
     * which the next read tells. */
    (void)!send(fd, go_on, sizeof go_on - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Each step is true when it got further, false when it needs more input. */
static bool step_head(struct front *front, struct front_conn *conn)
{
    struct exchange *exchange = conn->exchange;
    struct http_refusal refusal = {0};
    const struct front_app *app = &front->options.app;
    enum input_state found = input_read_head(exchange, &refusal);
    if (found == INPUT_MORE) {
        if (conn->state == CONN_IDLE)
            enter(front, conn, CONN_HEAD, head_us);
        return false;
    }
    if (found == INPUT_REFUSED) {
        refuse(front, conn, &refusal);
        return true;
    }
    exchange->on_probe_port = conn->listener->probes;
    input_make_request(exchange, &conn->address, front->options.trusted);
    if (app->admit(app->arg, exchange)) {
        exchange->body_started_us = front->now_us;
        enter(front, conn, CONN_BODY, head_us);
        return true;
    }
    /* What is not read would be taken for the next request. */
    if (input_has_body(exchange))
        exchange->response.close = true;
    answer(front, conn);
    return true;
}

static bool step_body(struct front *front, struct front_conn *conn)
{
    struct http_refusal refusal = {0};
    switch (input_read_body(conn->exchange, &refusal)) {
    case INPUT_REFUSED:
        refuse(front, conn, &refusal);
        return true;
    case INPUT_DONE:
        dispatch(front, conn);
        return true;
    case INPUT_MORE:
    default:
        continue_body(conn->exchange, conn->fd);
        conn->deadline_us = input_body_deadline(conn->exchange);
        return false;
    }
}

static bool step(struct front *front, struct front_conn *conn)
{
    if (conn->state == CONN_BODY)
        return step_body(front, conn);
    return conn->exchange != NULL && conn->exchange->len > 0
        && step_head(front, conn);
}

static void at_end(struct front *front, struct front_conn *conn)
{
    static const struct http_refusal early = {400, "incomplete",
                                              "the request ended early"};
    if (conn->exchange->len == 0)
        conn_close(front, conn);
    else
        refuse(front, conn, &early);
}

static void fill(struct front *front, struct front_conn *conn)
{
    size_t room = 0;
    if (conn->exchange == NULL) {
        conn->exchange = exchange_take(front);
        conn->exchange->conn = conn;
    }
    char *at = input_room(conn->exchange, &room);
    ssize_t n = recv(conn->fd, at, room, 0);
    if (n > 0) {
        conn->exchange->len += (size_t)n;
        /* Less than there was room for: epoll says when there is more. */
        conn->readable = (size_t)n == room || conn->hangup;
    } else if (n == 0) {
        at_end(front, conn);
    } else if (errno == EAGAIN) {
        conn->readable = false;
    } else if (errno != EINTR) {
        conn_close(front, conn);
    }
}

/* A connection that waits holds no exchange. */
static void give_back_empty(struct front *front, struct front_conn *conn)
{
    if (conn->exchange == NULL || conn->exchange->len > 0)
        return;
    exchange_put(front, conn->exchange);
    conn->exchange = NULL;
}

void conn_run_again(struct front *front)
{
    struct front_conn *conn = front->again;
    front->again = NULL;
    while (conn != NULL) {
        struct front_conn *next = conn->next_again;
        conn->in_again = false;
        if (conn->state == CONN_LINGER)
            linger(front, conn);
        else if (is_reading(conn))
            conn_pump(front, conn);
        conn = next;
    }
}

void conn_pump(struct front *front, struct front_conn *conn)
{
    for (int i = 0; i < SHARE; i++) {
        if (!is_reading(conn))
            return;
        if (step(front, conn))
            continue;
        if (!conn->readable) {
            give_back_empty(front, conn);
            return;
        }
        fill(front, conn);
    }
    if (is_reading(conn))
        come_again(front, conn);
}

void conn_on_event(struct front *front, struct front_conn *conn,
                   uint32_t events)
{
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
        conn->hangup = true;
    if (conn->hangup || (events & EPOLLIN) != 0)
        conn->readable = true;
    if (conn->state == CONN_WRITING) {
        write_answer(front, conn);
    } else if (conn->state == CONN_LINGER) {
        linger(front, conn);
        return;
    }
    if (is_reading(conn))
        conn_pump(front, conn);
}

/* --- deadlines ---------------------------------------------------------- */

static void give_up_waiting(struct front *front, struct front_conn *conn)
{
    static const struct http_refusal busy = {
        503, "busy", "every thread is busy; nothing was done"};
    if (conn->state == CONN_QUEUED)
        leave_queue(front, conn);
    else if (!engine_withdraw(front->engine, conn->exchange))
        return; /* a thread has it: that one has its own deadlines */
    refuse(front, conn, &busy);
}

void conn_on_deadline(struct front *front, struct front_conn *conn)
{
    static const struct http_refusal slow = {408, "slow",
                                             "the request came too slowly"};
    switch (conn->state) {
    case CONN_QUEUED:
    case CONN_RUNNING:
        give_up_waiting(front, conn);
        return;
    case CONN_HEAD:
    case CONN_BODY:
        if (conn->exchange != NULL) {
            refuse(front, conn, &slow);
            return;
        }
        front_count_refused("silent");
        conn_close(front, conn);
        return;
    case CONN_WRITING:
        front_count_refused("slow_reader");
        conn_close(front, conn);
        return;
    case CONN_IDLE:
    case CONN_LINGER:
    case CONN_CLOSED:
    default:
        conn_close(front, conn);
        return;
    }
}
