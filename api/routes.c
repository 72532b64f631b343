/* SPDX-License-Identifier: MIT */
#include "routes.h"

#include "auth.h"
#include "handlers/handlers.h"
#include "http/probes.h"
#include "webhook/body.h"

static const struct http_route routes[] = {
    {"GET", "/", handle_page, 0, ROUTE_OPEN},
    {"GET", "/app.js", handle_page_script, 0, ROUTE_OPEN},
    {"GET", "/app.css", handle_page_style, 0, ROUTE_OPEN},
    {"GET", "/openapi.json", handle_openapi, 0, ROUTE_OPEN},
    {"GET", "/health", handle_health, 0, HTTP_ROUTE_INLINE},
    {"GET", "/healthz", probe_healthz, 0, HTTP_ROUTE_INLINE},
    {"GET", "/readyz", handle_ready, 0, HTTP_ROUTE_PROBE},
    {"GET", "/metrics", probe_metrics, 0,
     HTTP_ROUTE_PROBE | HTTP_ROUTE_METRICS},
    {"GET", "/api/v1/health", handle_health, 0, HTTP_ROUTE_INLINE},
    {"GET", "/api/v1/webhooks/health", handle_webhook_health, 0, ROUTE_OPEN},
    {"GET", "/api/v1/webhook/health", handle_webhook_health, 0, ROUTE_OPEN},
    {"POST", "/api/v1/webhooks/{chain}", handle_webhook, WEBHOOK_BODY_MAX,
     ROUTE_OPEN},
    {"POST", "/api/v1/webhook/{chain}", handle_webhook, WEBHOOK_BODY_MAX,
     ROUTE_OPEN},
    {"POST", "/api/v1/auth/register", handle_register, REGISTER_BODY_MAX,
     ROUTE_OPEN},
    {"POST", "/api/v1/register", handle_register, REGISTER_BODY_MAX,
     ROUTE_OPEN},
    {"GET", "/api/v1/transactions", handle_transactions, 0, SCOPE_READ},
    {"GET", "/api/v1/transactions/{tx_id}", handle_transaction, 0, SCOPE_READ},
    {"GET", "/api/v1/wallets/{user_id}", handle_wallet, 0, SCOPE_READ},
    {"POST", "/api/v1/tasks/{name}", handle_task_send, TASK_BODY_MAX,
     SCOPE_TASKS},
    {"GET", "/api/v1/tasks/{id}", handle_task_result, 0, SCOPE_TASKS},
};

const struct http_route *api_routes(size_t *ret_count)
{
    *ret_count = sizeof routes / sizeof routes[0];
    return routes;
}
