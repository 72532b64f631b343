/* SPDX-License-Identifier: MIT */
#include "http/http_server.h"

#include <arpa/inet.h>
#include <civetweb.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/xalloc.h"
#include "metrics/metrics.h"

struct http_server {
    struct http_server_options options;
    struct mg_context *mg;
    int port;
    _Atomic int connections;
    _Atomic bool draining;
    struct lock lock; /* guards active */
    pthread_cond_t idle;
    int active; /* requests being answered */
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

static void read_head(const struct mg_request_info *info,
                      struct http_request *request)
{
    *request = (struct http_request){0};
    request->started_us = clock_monotonic_us();
    request->method = info->request_method;
    request->path = info->local_uri != NULL ? info->local_uri : "";
    request->query = info->query_string;
    request->peer = info->remote_addr;
    for (int i = 0; i < info->num_headers && i < HTTP_HEADERS_MAX; i++) {
        request->headers[i].name = info->http_headers[i].name;
        request->headers[i].value = info->http_headers[i].value;
        request->header_count++;
    }
    http_request_identify(request);
}

/* false: the response says why. Past the limit we do not read on. */
static bool read_body(struct mg_connection *conn, size_t limit,
                      struct http_request *request,
                      struct http_response *response)
{
    const struct mg_request_info *info = mg_get_request_info(conn);
    const char *expect = http_header(request, "Expect");
    char chunk[8192];
    bool too_large =
        info->content_length >= 0 && (size_t)info->content_length > limit;
    if (!too_large && expect != NULL)
        (void)mg_write(conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    while (!too_large) {
        int n = mg_read(conn, chunk, sizeof chunk);
        if (n < 0) {
            http_problem(response, request, 400, "the body ended early", NULL);
            response->close = true;
            return false;
        }
        if (n == 0)
            break;
        celery_buf_append(&request->body,
                          (struct celery_str){chunk, (size_t)n});
        too_large = request->body.len > limit;
    }
    if (!too_large && info->content_length > 0
        && request->body.len != (size_t)info->content_length) {
        http_problem(response, request, 400, "the body ended early", NULL);
        response->close = true;
        return false;
    }
    if (too_large) {
        char text[64];
        (void)snprintf(text, sizeof text, "the body is larger than %zu bytes",
                       limit);
        http_problem(response, request, 413, text, NULL);
        response->close = true;
    }
    return !too_large;
}

/* Returns the pattern for the metrics. */
static const char *answer(struct http_server *server,
                          struct mg_connection *conn,
                          struct http_request *request,
                          struct http_response *response)
{
    const struct http_server_options *options = &server->options;
    char allowed[HTTP_ALLOW_MAX];
    const struct http_route *route =
        http_route_find(options->routes, options->route_count, request,
                        allowed);
    if (route == NULL && allowed[0] == '\0') {
        http_problem(response, request, 404, "no such path", NULL);
        return "unmatched";
    }
    if (route == NULL) {
        http_problem(response, request, 405, "method not allowed", NULL);
        http_response_header(response, "Allow", allowed);
        return "unmatched";
    }
    if (server->draining) {
        http_unavailable(response, request, "shutting down");
        response->close = true;
        return route->pattern;
    }
    if (options->guard != NULL
        && !options->guard(options->arg, route, request, response))
        return route->pattern;
    if (route->body_limit == 0
        || read_body(conn, route->body_limit, request, response))
        route->handler(options->arg, request, response);
    return route->pattern;
}

static void enter(struct http_server *server)
{
    lock_acquire(&server->lock);
    server->active++;
    lock_release(&server->lock);
}

static void leave(struct http_server *server)
{
    lock_acquire(&server->lock);
    server->active--;
    if (server->active == 0)
        (void)pthread_cond_signal(&server->idle);
    lock_release(&server->lock);
}

static bool is_crowded(const struct http_server *server)
{
    return server->connections > server->options.threads * 3 / 4;
}

static int on_request(struct mg_connection *conn)
{
    struct http_server *server = mg_get_user_data(mg_get_context(conn));
    struct http_request request;
    struct http_response response = HTTP_RESPONSE_INIT;
    CLEANUP(celery_buf_done) struct celery_buf wire = CELERY_BUF_INIT;
    enter(server);
    read_head(mg_get_request_info(conn), &request);
    const char *pattern = answer(server, conn, &request, &response);
    if (is_crowded(server) || server->draining)
        response.close = true;
    if (celery_buf_status(&response.body) != CELERY_OK)
        http_problem(&response, &request, 500, "out of memory", NULL);
    http_response_write(&response, &request,
                        strcmp(request.method, "HEAD") == 0, &wire);
    (void)mg_write(conn, wire.data, wire.len);
    if (response.close)
        mg_disable_connection_keep_alive(conn);
    observe(&request, response.status, pattern);
    http_request_done(&request);
    http_response_done(&response);
    leave(server);
    return response.status;
}

/* What civetweb refuses by itself: malformed requests, time-outs. */
static int on_error(struct mg_connection *conn, int status, const char *text)
{
    struct http_request request;
    struct http_response response = HTTP_RESPONSE_INIT;
    CLEANUP(celery_buf_done) struct celery_buf wire = CELERY_BUF_INIT;
    (void)text;
    read_head(mg_get_request_info(conn), &request);
    if (request.method == NULL)
        request.method = "other";
    http_problem(&response, &request, status, http_reason(status), NULL);
    response.close = true;
    http_response_write(&response, &request, false, &wire);
    (void)mg_write(conn, wire.data, wire.len);
    observe(&request, status, "unmatched");
    http_response_done(&response);
    return 0;
}

static int on_connection(const struct mg_connection *conn, void **data)
{
    struct http_server *server = mg_get_user_data(mg_get_context(conn));
    (void)data;
    server->connections++;
    return 0;
}

static void on_close(const struct mg_connection *conn)
{
    struct http_server *server = mg_get_user_data(mg_get_context(conn));
    server->connections--;
}

/* --- start and stop ----------------------------------------------------- */

/* civetweb wants an address, and Debian's knows IPv4 only. */
static enum celery_status resolve(const char *host,
                                  char ret_text[INET_ADDRSTRLEN],
                                  struct celery_error *err)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc != 0)
        return celery_fail(err, CELERY_INVALID, "HOST='%.60s': %s", host,
                           gai_strerror(rc));
    struct sockaddr_in address;
    memcpy(&address, found->ai_addr, sizeof address);
    freeaddrinfo(found);
    (void)inet_ntop(AF_INET, &address.sin_addr, ret_text, INET_ADDRSTRLEN);
    return CELERY_OK;
}

static struct mg_context *start(struct http_server *server, const char *address)
{
    static const struct mg_callbacks callbacks = {
        .begin_request = on_request,
        .http_error = on_error,
        .init_connection = on_connection,
        .connection_closed = on_close,
    };
    char listen[64];
    char threads[16];
    (void)snprintf(listen, sizeof listen, "%s:%d", address,
                   server->options.port);
    (void)snprintf(threads, sizeof threads, "%d", server->options.threads);
    const char *settings[] = {
        "listening_ports",
        listen, /* no document root: no files */
        "num_threads",
        threads,
        "enable_keep_alive",
        "yes",
        /* Longer than nginx keeps its side, so that nginx closes first. */
        "keep_alive_timeout_ms",
        "65000",
        "request_timeout_ms",
        "15000",
        "listen_backlog",
        "1024",
        "connection_queue",
        "256",
        "tcp_nodelay",
        "1",
        NULL,
    };
    return mg_start(&callbacks, server, settings);
}

enum celery_status http_server_start(const struct http_server_options *options,
                                     struct http_server **ret,
                                     struct celery_error *err)
{
    char address[INET_ADDRSTRLEN] = "";
    enum celery_status st = resolve(options->host, address, err);
    if (st != CELERY_OK)
        return st;
    register_metrics();
    struct http_server *server = xcalloc(1, sizeof *server);
    pthread_condattr_t attr;
    server->options = *options;
    (void)pthread_mutex_init(&server->lock.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->idle, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)mg_init_library(0);
    server->mg = start(server, address);
    if (server->mg == NULL) {
        free(server);
        return celery_fail(err, CELERY_IO, "cannot listen on %s:%d", address,
                           options->port);
    }
    struct mg_server_port ports[2];
    server->port = options->port;
    if (mg_get_server_ports(server->mg, 2, ports) > 0)
        server->port = ports[0].port;
    *ret = server;
    return CELERY_OK;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_drain(struct http_server *server)
{
    server->draining = true;
}

/* civetweb cuts answers short once it stops: wait until there are none. */
static void wait_idle(struct http_server *server, double grace_s)
{
    int64_t us = clock_monotonic_us() + (int64_t)(grace_s * USEC_PER_SEC);
    struct timespec until = {.tv_sec = us / USEC_PER_SEC,
                             .tv_nsec = us % USEC_PER_SEC * 1000};
    int rc = 0;
    lock_acquire(&server->lock);
    while (server->active > 0 && rc == 0)
        rc = pthread_cond_timedwait(&server->idle, &server->lock.mutex, &until);
    lock_release(&server->lock);
}

void http_server_stop(struct http_server *server, double grace_s)
{
    if (server == NULL)
        return;
    http_server_drain(server);
    wait_idle(server, grace_s);
    mg_stop(server->mg);
    (void)mg_exit_library();
    (void)pthread_cond_destroy(&server->idle);
    (void)pthread_mutex_destroy(&server->lock.mutex);
    free(server);
}
