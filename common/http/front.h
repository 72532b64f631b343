/* SPDX-License-Identifier: MIT */
/*
 * The front: one thread that owns every client's connection. It reads heads and
 * bodies without blocking, refuses what is malformed, too large or too slow, and
 * hands whole requests to the engine's threads (engine.h). A slow client costs a
 * few hundred bytes, or one exchange while a request of its is on the way, and
 * never a thread.
 */
#ifndef HTTP_FRONT_H
#define HTTP_FRONT_H

#include "celery/error.h"
#include "http/exchange.h"
#include "http/peers.h"

struct front;

/* What the server does with a request. */
struct front_app {
    void *arg;
    /* The head is whole: sets route and body_limit. false: the response is
     * filled, and no body is read. thread: the front's; must not block. */
    bool (*admit)(void *arg, struct exchange *exchange);
    /* Fills the response. thread: the engine's; the front's for routes with
     * HTTP_ROUTE_INLINE. */
    void (*handle)(void *arg, struct exchange *exchange);
    /* The response is final: writes it to wire and counts it. thread: any */
    void (*seal)(void *arg, struct exchange *exchange);
};

struct front_options {
    const char *host; /* an address of either family or a name of one */
    int port;         /* 0: the kernel picks one */
    int probe_port;   /* a second listener, for probes; -1: none */
    int threads;      /* of the engine */
    int reserve;      /* more of them, for probes alone */
    int connections_max;
    int connections_per_peer;       /* 0: no limit */
    const struct peer_set *trusted; /* borrowed */
    struct front_app app;
};

/* All signals must be blocked in the calling thread. Raises the soft limit of
 * open files to the hard one. */
enum celery_status front_start(const struct front_options *options,
                               struct front **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

int front_port(const struct front *front);
int front_probe_port(const struct front *front); /* -1: there is none */

/* Waits at most grace_s for the requests that are being answered, ends the
 * connections and threads, frees. NULL is fine. */
void front_stop(struct front *front, double grace_s);

#endif /* HTTP_FRONT_H */
