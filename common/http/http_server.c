/* SPDX-License-Identifier: MIT */
#include "http/http_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "http/front.h"
#include "metrics/metrics.h"

enum {
    /* A body that a route has no use for is read and dropped, up to this. */
    UNUSED_BODY_MAX = 16384,
};

struct http_server {
    struct http_server_options options;
    struct front *front;
    _Atomic bool draining;
};

static struct metric *requests_total;
static struct metric *request_seconds;

/* The Python client's, with 2: an alert's threshold must be a bound. */
static const double buckets[] = {.001, .0025, .005, .01, .025, .05,
                                 .075, .1,    .25,  .5,  .75,  1,
                                 2,    2.5,   5,    7.5, 10};

static void register_metrics(void)
{
    static const struct metric_desc total = {
        "http_requests_total",
        "HTTP requests by status, method and route.",
        METRIC_COUNTER,
        {"code", "method", "path", NULL},
        NULL,
        0};
    static const struct metric_desc seconds = {"http_request_duration_seconds",
                                               "Time to answer HTTP requests.",
                                               METRIC_HISTOGRAM,
                                               {"method", "path", NULL},
                                               buckets,
                                               sizeof buckets
                                                   / sizeof buckets[0]};
    requests_total = metric_register(&total);
    request_seconds = metric_register(&seconds);
}

/* Methods are free text on the wire: the label must not be. */
static const char *method_label(const char *method)
{
    static const char *const known[] = {"GET",    "POST",  "HEAD",   "PUT",
                                        "DELETE", "PATCH", "OPTIONS"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i], method) == 0)
            return known[i];
    }
    return "other";
}

static void observe(const struct http_request *request, int status,
                    const char *pattern)
{
    char code[16];
    const char *method = method_label(request->method);
    double seconds =
        (double)(clock_monotonic_us() - request->started_us) / USEC_PER_SEC;
    (void)snprintf(code, sizeof code, "%d", status);
    METRIC_INC(requests_total, code, method, pattern);
    metric_observe(request_seconds, seconds,
                   (const char *const[]){method, pattern, NULL});
}

/* --- requests ----------------------------------------------------------- */

/* Is the route on the port that the request came to? */
static bool is_here(const struct http_server *server,
                    const struct exchange *exchange)
{
    unsigned flags = exchange->route->flags;
    unsigned probes = HTTP_ROUTE_INLINE | HTTP_ROUTE_PROBE | HTTP_ROUTE_METRICS;
    if (exchange->on_probe_port)
        return (flags & probes) != 0;
    return !server->options.has_probe_port || (flags & HTTP_ROUTE_METRICS) == 0;
}

/* false: no route is there; the response says so. */
static bool find_route(const struct http_server *server,
                       struct exchange *exchange)
{
    const struct http_server_options *options = &server->options;
    struct http_response *response = &exchange->response;
    char allowed[HTTP_ALLOW_MAX];
    exchange->route = http_route_find(options->routes, options->route_count,
                                      &exchange->request, allowed);
    if (exchange->route != NULL && !is_here(server, exchange)) {
        exchange->route = NULL;
        allowed[0] = '\0';
    }
    if (exchange->route != NULL)
        return true;
    if (allowed[0] == '\0') {
        http_problem(response, &exchange->request, 404, "no such path", NULL);
        return false;
    }
    http_problem(response, &exchange->request, 405, "method not allowed", NULL);
    http_response_header(response, "Allow", allowed);
    return false;
}

static bool admit(void *arg, struct exchange *exchange)
{
    const struct http_server *server = arg;
    const struct http_server_options *options = &server->options;
    if (!find_route(server, exchange))
        return false;
    if (server->draining) {
        http_unavailable(&exchange->response, &exchange->request,
                         "shutting down");
        exchange->response.close = true;
        return false;
    }
    exchange->body_limit = exchange->route->body_limit > 0
                             ? exchange->route->body_limit
                             : UNUSED_BODY_MAX;
    return options->guard == NULL
        || options->guard(options->arg, exchange->route, &exchange->request,
                          &exchange->response);
}

static void handle(void *arg, struct exchange *exchange)
{
    const struct http_server *server = arg;
    exchange->route->handler(server->options.arg, &exchange->request,
                             &exchange->response);
}

static void seal(void *arg, struct exchange *exchange)
{
    const struct http_server *server = arg;
    struct http_response *response = &exchange->response;
    if (server->draining || !exchange->head.keep_alive)
        response->close = true;
    if (celery_buf_status(&response->body) != CELERY_OK)
        http_problem(response, &exchange->request, 500, "out of memory", NULL);
    http_response_write(response, &exchange->request,
                        strcmp(exchange->request.method, "HEAD") == 0,
                        &exchange->wire);
    observe(&exchange->request, response->status,
            exchange->route != NULL ? exchange->route->pattern : "unmatched");
}

/* --- start and stop ----------------------------------------------------- */

enum celery_status http_server_start(const struct http_server_options *options,
                                     struct http_server **ret,
                                     struct celery_error *err)
{
    register_metrics();
    struct http_server *server = xcalloc(1, sizeof *server);
    server->options = *options;
    const struct front_options front = {
        .host = options->host,
        .port = options->port,
        .probe_port = options->has_probe_port ? options->probe_port : -1,
        .threads = options->threads,
        .reserve = options->probe_threads,
        .connections_max = options->connections_max,
        .connections_per_peer = options->connections_per_peer,
        .trusted = options->trusted,
        .app = {server, admit, handle, seal},
    };
    enum celery_status st = front_start(&front, &server->front, err);
    if (st != CELERY_OK) {
        free(server);
        return st;
    }
    *ret = server;
    return CELERY_OK;
}

int http_server_port(const struct http_server *server)
{
    return front_port(server->front);
}

int http_server_probe_port(const struct http_server *server)
{
    return front_probe_port(server->front);
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
}

void http_server_stop(struct http_server *server, double grace_s)
{
    if (server == NULL)
        return;
    http_server_drain(server);
    front_stop(server->front, grace_s);
    free(server);
}
