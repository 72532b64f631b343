/* SPDX-License-Identifier: MIT */
/*
 * POST /api/v1/webhooks/{chain}. The order of checks: size (the server's) →
 * signature over the raw bytes → its timestamp → content type → JSON → fields →
 * the ledger. 202 is sent when the commit has returned.
 */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "handlers/handlers.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { TRACEPARENT_LEN = LEDGER_TRACE_MAX - 1 };

static struct metric *processing_seconds;
static struct metric *unsigned_total;
static struct metric *refused_total;
static struct metric *conflicts_total;

void webhook_register_metrics(void)
{
    static const double buckets[] = {.001, .0025, .005, .01, .025, .05, .1,
                                     .25,  .5,    1,    2,   2.5,  5,   10};
    static const struct metric_desc seconds = {
        "webhook_processing_duration_seconds",
        "Time from a webhook's arrival to its answer.",
        METRIC_HISTOGRAM,
        {NULL},
        buckets,
        sizeof buckets / sizeof buckets[0]};
    static const struct metric_desc no_signature = {
        "webhook_unsigned_total",
        "Webhooks accepted without a signature (WEBHOOK_ALLOW_UNSIGNED).",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    static const struct metric_desc refused = {
        "webhook_refused_total",
        "Webhooks that were refused, by status.",
        METRIC_COUNTER,
        {"code", NULL},
        NULL,
        0};
    static const struct metric_desc conflicts = {
        "deposit_conflicts_total",
        "Deposits that need a human: unusable amounts, contradicting webhooks.",
        METRIC_COUNTER,
        {"kind", NULL},
        NULL,
        0};
    processing_seconds = metric_register(&seconds);
    unsigned_total = metric_register(&no_signature);
    refused_total = metric_register(&refused);
    conflicts_total = metric_register(&conflicts);
    metric_add(processing_seconds, 0, NULL);
    metric_add(unsigned_total, 0, NULL);
    metric_add(conflicts_total, 0, (const char *const[]){"stored", NULL});
    metric_add(conflicts_total, 0, (const char *const[]){"differs", NULL});
}

/* --- checks ------------------------------------------------------------- */

static void refuse(const struct http_request *request,
                   struct http_response *response, int status,
                   const char *error, const char *field)
{
    char code[16];
    http_problem(response, request, status, error, field);
    (void)snprintf(code, sizeof code, "%d", status);
    METRIC_INC(refused_total, code);
}

static bool check_signature(struct api *api, const struct http_request *request,
                            struct http_response *response)
{
    struct secrets *secrets = secrets_hold(&api->secrets);
    enum signature_verdict verdict =
        signature_check(&secrets->keys, request,
                        clock_wall_us() / USEC_PER_SEC);
    bool keyless = secrets->keys.count == 0;
    secrets_release(&api->secrets, secrets);
    /* Without a secret there is nothing to check a signature against. */
    if (api->allow_unsigned && (verdict == SIGNATURE_MISSING || keyless)) {
        metric_add(unsigned_total, 1, NULL);
        return true;
    }
    if (verdict == SIGNATURE_VALID)
        return true;
    refuse(request, response, 401,
           verdict == SIGNATURE_STALE
               ? "the webhook's timestamp is too far from now"
               : "Invalid webhook signature",
           NULL);
    LOG_EVENT(LOG_LEVEL_WARNING, "webhook_refused",
              LOG_STR("reason", verdict == SIGNATURE_STALE     ? "stale"
                                : verdict == SIGNATURE_MISSING ? "unsigned"
                                                               : "signature"),
              LOG_STR("peer", request->peer),
              LOG_STR("request_id", request->id));
    return false;
}

/* Browsers cannot send this type across origins without asking first. */
static bool check_content_type(const struct http_request *request,
                               struct http_response *response)
{
    if (http_content_type_is(request, "application/json"))
        return true;
    refuse(request, response, 415, "Content-Type must be application/json",
           NULL);
    return false;
}

/* W3C's traceparent, version 00; what is none is ignored. */
static void take_traceparent(const struct http_request *request,
                             struct ledger_deposit *deposit)
{
    const char *value = http_header(request, "traceparent");
    if (value == NULL || strlen(value) != TRACEPARENT_LEN
        || strspn(value, "0123456789abcdef-") != TRACEPARENT_LEN
        || value[2] != '-' || value[35] != '-' || value[52] != '-'
        || strncmp(value, "ff", 2) == 0)
        return;
    memcpy(deposit->traceparent, value, TRACEPARENT_LEN + 1);
}

/* --- answers ------------------------------------------------------------ */

static void answer_stored(const struct ledger_ingested *stored,
                          struct http_response *response)
{
    response->status = 202;
    celery_buf_printf(&response->body,
                      "{\"ok\":true,\"tx_id\":\"%s\",\"state\":\"%s\"}",
                      stored->tx_id, ledger_state_name(stored->state));
}

static void answer_differs(const struct http_request *request,
                           const struct ledger_ingested *stored,
                           struct http_response *response)
{
    response->status = 409;
    celery_buf_printf(
        &response->body,
        "{\"ok\":false,\"error\":\"this deposit was announced before with "
        "another amount, user or currency\",\"field\":null,\"tx_id\":\"%s\","
        "\"state\":\"%s\",\"request_id\":\"%s\"}",
        stored->tx_id, ledger_state_name(stored->state), request->id);
}

static void log_conflict(const char *kind, const struct ledger_deposit *deposit,
                         const struct ledger_ingested *stored)
{
    METRIC_INC(conflicts_total, kind);
    LOG_EVENT(LOG_LEVEL_WARNING, "deposit_conflict", LOG_STR("kind", kind),
              LOG_STR("tx_id", stored->tx_id), LOG_STR("chain", deposit->chain),
              LOG_STR("tx_hash", deposit->tx_hash),
              LOG_STR("reason", deposit->conflict_reason));
}

static void answer_failed(const struct http_request *request,
                          const struct ledger_ingested *stored,
                          struct http_response *response)
{
    LOG_EVENT(LOG_LEVEL_ERROR, "webhook_not_stored",
              LOG_STR("error", stored->error.msg),
              LOG_STR("request_id", request->id));
    refuse(request, response, 422, "the ledger refused this deposit", NULL);
}

static void answer(const struct http_request *request,
                   const struct ledger_deposit *deposit,
                   const struct ledger_ingested *stored,
                   struct http_response *response)
{
    switch (stored->result) {
    case LEDGER_INGEST_NEW:
        if (stored->state == LEDGER_CONFLICT)
            log_conflict("stored", deposit, stored);
        answer_stored(stored, response);
        return;
    case LEDGER_INGEST_DUPLICATE:
        answer_stored(stored, response);
        return;
    case LEDGER_INGEST_DIFFERS:
        log_conflict("differs", deposit, stored);
        answer_differs(request, stored, response);
        return;
    case LEDGER_INGEST_FAILED:
        answer_failed(request, stored, response);
        return;
    }
}

static void store(struct api *api, const struct http_request *request,
                  const struct ledger_deposit *deposit,
                  struct http_response *response)
{
    struct ledger_ingested stored = {0};
    struct celery_error err = {0};
    if (ingest_deposit(api->ingest, deposit, &stored, &err) == CELERY_OK) {
        answer(request, deposit, &stored, response);
        return;
    }
    LOG_EVENT(LOG_LEVEL_ERROR, "webhook_not_stored", LOG_STR("error", err.msg),
              LOG_STR("request_id", request->id));
    http_unavailable(response, request, "the ledger is not available");
}

void handle_webhook(void *arg, struct http_request *request,
                    struct http_response *response)
{
    struct api *api = arg;
    CLEANUP(celery_arena_done) struct celery_arena arena = CELERY_ARENA_INIT;
    struct ledger_deposit deposit;
    struct webhook_fault fault = {0};
    if (check_signature(api, request, response)
        && check_content_type(request, response)) {
        if (webhook_body_read(celery_buf_str(&request->body),
                              http_param(request, "chain"), &api->rules, &arena,
                              &deposit, &fault)) {
            take_traceparent(request, &deposit);
            store(api, request, &deposit, response);
        } else {
            refuse(request, response, fault.status, fault.error, fault.field);
        }
    }
    metric_observe(processing_seconds,
                   (double)(clock_monotonic_us() - request->started_us)
                       / USEC_PER_SEC,
                   NULL);
}

void handle_webhook_health(void *arg, struct http_request *request,
                           struct http_response *response)
{
    (void)arg;
    (void)request;
    celery_buf_append(&response->body,
                      CELERY_STR(
                          "{\"status\":\"ok\",\"service\":\"webhooks\"}"));
}
