/* SPDX-License-Identifier: MIT */
/*
 * The front's inside: a client's connection and what it shares with the others.
 * All of it belongs to the front's thread.
 */
#ifndef HTTP_FRONT_CONN_H
#define HTTP_FRONT_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "http/engine.h"
#include "http/front.h"
#include "http/peer_count.h"

enum conn_state {
    CONN_HEAD,    /* a new connection, or a head on its way */
    CONN_IDLE,    /* answered before, nothing since */
    CONN_BODY,    /* head read, body on its way */
    CONN_QUEUED,  /* whole; every thread is busy */
    CONN_RUNNING, /* with the engine */
    CONN_WRITING, /* the answer is not all with the kernel */
    CONN_LINGER,  /* answered; reads until the client has seen it */
    CONN_CLOSED,  /* freed at the end of the round */
};

/* First member of whatever epoll points to. */
enum front_source { SOURCE_LISTENER, SOURCE_CONN, SOURCE_DONE };

/* Oldest first. */
struct conn_list {
    struct front_conn *first;
    struct front_conn *last;
};

struct front_listener {
    enum front_source source;
    int fd;
    int port;
    bool probes;                /* for METRICS_PORT's routes */
    bool paused;                /* no file descriptor was left */
    int count;                  /* connections */
    int max;                    /* of them */
    struct conn_list idle;      /* keep-alive connections without a request */
    struct conn_list lingering; /* answered for the last time */
    struct conn_list reading;   /* silent ones, heads and bodies on their way */
};

struct front_conn {
    enum front_source source;
    enum conn_state state;
    int fd;
    bool readable;    /* recv() may find something */
    bool hangup;      /* the client's end was seen: read until it */
    bool counted;     /* in front->peers */
    size_t index;     /* in front->conns */
    int64_t since_us; /* in this state */
    int64_t deadline_us;
    struct exchange *exchange; /* NULL: no byte of a request is here */
    struct front_listener *listener;
    struct conn_list *list; /* the one it is in, or NULL */
    struct front_conn *prev;
    struct front_conn *next;
    struct front_conn *next_queued;
    struct front_conn *next_again;
    bool in_again;
    struct peer_address address;
};

struct front {
    struct front_options options;
    struct engine *engine;
    struct op_queue done; /* exchanges that the engine answered */
    int epoll_fd;
    pthread_t thread;
    bool started;
    struct front_listener listeners[2];
    struct front_conn **conns;
    size_t count;
    size_t cap;
    struct peer_count *peers;
    struct front_conn *queue; /* CONN_QUEUED, oldest first */
    struct front_conn **queue_end;
    size_t queued;
    struct front_conn *again; /* had their share of this round */
    struct front_conn *closed;
    struct exchange *spare; /* exchanges to use again */
    size_t spares;
    int64_t now_us;             /* of this round */
    _Atomic int64_t stop_at_us; /* 0: not stopping */
};

/* A client's connection from accept(2). Takes fd. */
struct front_conn *conn_open(struct front *front,
                             struct front_listener *listener, int fd,
                             const struct peer_address *address);

/* What epoll says. */
void conn_on_event(struct front *front, struct front_conn *conn,
                   uint32_t events);

/* Goes on reading and answering as far as it can without blocking. */
void conn_pump(struct front *front, struct front_conn *conn);

/* The engine answered its exchange. */
void conn_on_done(struct front *front, struct exchange *exchange);

/* Goes on with those whose share of the last round was used up. */
void conn_run_again(struct front *front);

/* Gives queued requests to threads that became free. */
void conn_run_queue(struct front *front);

/* Its deadline has passed. */
void conn_on_deadline(struct front *front, struct front_conn *conn);

void conn_close(struct front *front, struct front_conn *conn);

/* Closes the connection that matters least: the one idle for longest, else the
 * one that was answered or has been sending for longest. false: all have
 * requests in work. */
bool conn_evict(struct front *front, struct front_listener *listener);

/* Frees what conn_close() left, at the end of a round. */
void conn_bury(struct front *front);

/* How many requests were admitted and not answered yet? */
size_t conn_count_active(const struct front *front);

/* For exchange_pool.c: an empty exchange, and back with it. */
struct exchange *exchange_take(struct front *front);
void exchange_put(struct front *front, struct exchange *exchange);
void exchange_reset(struct exchange *exchange);
void exchange_free(struct exchange *exchange);

/* Counts why something was refused. thread: any */
void front_count_refused(const char *reason);

#endif /* HTTP_FRONT_CONN_H */
