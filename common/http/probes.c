/* SPDX-License-Identifier: MIT */
#include "http/probes.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { LOG_EVERY_US = 10000000 };

void probe_healthz(void *arg, struct http_request *request,
                   struct http_response *response)
{
    (void)arg;
    (void)request;
    celery_buf_append(&response->body, CELERY_STR("{\"status\":\"ok\"}"));
}

void probe_metrics(void *arg, struct http_request *request,
                   struct http_response *response)
{
    (void)arg;
    (void)request;
    response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&response->body);
}

/* Strangers learn one word, the log the rest; probes come every few seconds. */
static void log_reason(const struct celery_error *err)
{
    static _Atomic int64_t logged_us;
    int64_t now_us = clock_monotonic_us();
    int64_t before_us = logged_us;
    if ((before_us == 0 || now_us - before_us >= LOG_EVERY_US)
        && atomic_compare_exchange_strong(&logged_us, &before_us, now_us))
        LOG_EVENT(LOG_LEVEL_WARNING, "not_ready", LOG_STR("error", err->msg));
}

void probe_answer_ready(probe_ready_fn ready, void *arg,
                        const struct http_request *request,
                        struct http_response *response)
{
    struct celery_error err = {0};
    if (ready(arg, &err) == CELERY_OK) {
        celery_buf_append(&response->body,
                          CELERY_STR("{\"status\":\"ready\"}"));
        return;
    }
    log_reason(&err);
    http_unavailable(response, request, "unavailable");
}

static void readyz(void *arg, struct http_request *request,
                   struct http_response *response)
{
    const struct probes *probes = arg;
    probe_answer_ready(probes->ready, probes->arg, request, response);
}

const struct http_route *probe_routes(size_t *ret_count)
{
    static const struct http_route routes[] = {
        {"GET", "/healthz", probe_healthz, 0, HTTP_ROUTE_INLINE},
        {"GET", "/health", probe_healthz, 0, HTTP_ROUTE_INLINE},
        {"GET", "/worker_health", probe_healthz, 0, HTTP_ROUTE_INLINE},
        {"GET", "/readyz", readyz, 0, HTTP_ROUTE_PROBE},
        {"GET", "/metrics", probe_metrics, 0, HTTP_ROUTE_PROBE},
    };
    *ret_count = sizeof routes / sizeof routes[0];
    return routes;
}
