/* SPDX-License-Identifier: MIT */
/*
 * /api/v1/health answers without touching any server; /readyz asks the ledger.
 */
#include "api.h"
#include "handlers/handlers.h"
#include "http/probes.h"

void handle_health(void *arg, struct http_request *request,
                   struct http_response *response)
{
    probe_healthz(arg, request, response);
}

static enum celery_status is_ready(void *arg, struct celery_error *err)
{
    struct api *api = arg;
    if (api->draining)
        return celery_fail(err, CELERY_CLOSED, "shutting down");
    return ledger_ready(api->ledger, err);
}

void handle_ready(void *arg, struct http_request *request,
                  struct http_response *response)
{
    probe_answer_ready(is_ready, arg, request, response);
}
