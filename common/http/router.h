/* SPDX-License-Identifier: MIT */
/*
 * Which handler answers a method and a path: one table, read from the top. A
 * pattern is a path in which {name} stands for one part that is not empty.
 * Pure.
 */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H

#include "http/request.h"
#include "http/response.h"

/* arg is the server's. thread: one of the server's, several at once. */
typedef void (*http_handler_fn)(void *arg, struct http_request *request,
                                struct http_response *response);

struct http_route {
    const char *method;
    const char *pattern;
    http_handler_fn handler;
    size_t body_limit; /* bytes; 0: the body is not read */
    unsigned flags;    /* HTTP_ROUTE_… below; the rest is the guard's business
                        * (http_server.h) */
};

enum {
    /* Never blocks, so the front's thread runs it: it answers whatever happens
     * to all others. */
    HTTP_ROUTE_INLINE = 1 << 16,
    /* May use the threads that are kept for probes; is on METRICS_PORT. */
    HTTP_ROUTE_PROBE = 1 << 17,
    /* A probe that PORT does not have when there is a METRICS_PORT. */
    HTTP_ROUTE_METRICS = 1 << 18,
};

enum { HTTP_ALLOW_MAX = 64 };

/* The route, with request's params set, or NULL. Then ret_allow lists the
 * methods that the path has ("" when there is no such path). HEAD finds GET. */
const struct http_route *http_route_find(const struct http_route *routes,
                                         size_t count,
                                         struct http_request *request,
                                         char ret_allow[HTTP_ALLOW_MAX]);

#endif /* HTTP_ROUTER_H */
