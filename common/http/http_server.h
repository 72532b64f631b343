/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server of both programs: a table of routes between the front, which
 * owns the connections (front.h), and civetweb's threads, which run the handlers
 * (engine.h). Every answer carries X-Request-Id; errors are JSON problems;
 * requests are counted in http_requests_total and http_request_duration_seconds
 * by the route's pattern.
 */
#ifndef HTTP_HTTP_SERVER_H
#define HTTP_HTTP_SERVER_H

#include <stdbool.h>

#include "celery/error.h"
#include "http/peers.h"
#include "http/router.h"

struct http_server;

/* May the request go on? When not it has filled the response. Called before the
 * body is read, in the front's thread: it must not block. */
typedef bool (*http_guard_fn)(void *arg, const struct http_route *route,
                              const struct http_request *request,
                              struct http_response *response);

struct http_server_options {
    const char *host;    /* an address or a name of one */
    int port;            /* 0: the kernel picks one */
    bool has_probe_port; /* listen on probe_port as well, for probes alone */
    int probe_port;      /* 0: the kernel picks one */
    int threads;         /* requests that are answered at a time */
    int probe_threads;   /* and so many more for HTTP_ROUTE_PROBE */
    int connections_max;
    int connections_per_peer;        /* 0: no limit */
    const struct peer_set *trusted;  /* NULL: no proxy; borrowed */
    const struct http_route *routes; /* borrowed while the server runs */
    size_t route_count;
    void *arg;
    http_guard_fn guard; /* NULL: every request may go on */
};

/* All signals must be blocked in the calling thread. */
enum celery_status http_server_start(const struct http_server_options *options,
                                     struct http_server **ret,
                                     struct celery_error *err)
    CELERY_MUST_CHECK;

/* The ports it listens on; the second is -1 without has_probe_port. */
int http_server_port(const struct http_server *server);
int http_server_probe_port(const struct http_server *server);

/* From now on new requests are answered 503. thread: any */
void http_server_drain(struct http_server *server);

/* Drains, waits at most grace_s for the requests that are being answered, ends
 * the connections and threads, frees. NULL is fine. */
void http_server_stop(struct http_server *server, double grace_s);

#endif /* HTTP_HTTP_SERVER_H */
