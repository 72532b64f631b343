/* SPDX-License-Identifier: MIT */
#include "http/probes.h"

#include "metrics/metrics.h"

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

void probe_answer_ready(probe_ready_fn ready, void *arg,
                        const struct http_request *request,
                        struct http_response *response)
{
    struct celery_error err = {0};
    if (ready(arg, &err) == CELERY_OK)
        celery_buf_append(&response->body,
                          CELERY_STR("{\"status\":\"ready\"}"));
    else
        http_unavailable(response, request, err.msg);
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
