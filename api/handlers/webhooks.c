/* SPDX-License-Identifier: MIT */
/*
 * POST /api/v1/webhooks/{chain or source}. The order of checks: size (the
 * server's) → the source → where it comes from → signature over the raw bytes →
 * its timestamp → rate; from here on the body is kept, whatever is in it:
 * content type → JSON → fields → the ledger. 202 is sent when the commit has
 * returned.
 */
#include <string.h>

#include "api.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "handlers/handlers.h"
#include "handlers/webhook_answers.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { TRACEPARENT_LEN = LEDGER_TRACE_MAX - 1, HEADER_KEPT_MAX = 512 };

static struct metric *processing_seconds;
static struct metric *unsigned_total;
static struct metric *signatures_refused;

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
    static const struct metric_desc signatures = {
        "webhook_signatures_refused_total",
        "Webhooks without a right signature, by reason.",
        METRIC_COUNTER,
        {"reason", NULL},
        NULL,
        0};
    static const char *const reasons[] = {"missing", "wrong", "stale"};
    processing_seconds = metric_register(&seconds);
    unsigned_total = metric_register(&no_signature);
    metric_add(processing_seconds, 0, NULL);
    metric_add(unsigned_total, 0, NULL);
    signatures_refused = metric_register(&signatures);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        metric_add(signatures_refused, 0,
                   (const char *const[]){reasons[i], NULL});
    webhook_answers_register_metrics();
}

/* --- who sends it ---------------------------------------------------------- */

/* What is known of a webhook before its body is read. */
struct sender {
    struct webhook_source *source;
    struct signature_checked checked;
};

static bool refuse(const struct http_request *request,
                   struct http_response *response, int status, const char *code,
                   const char *error)
{
    const struct http_problem problem = {status, code, error, NULL};
    webhook_refuse(request, response, &problem);
    return false;
}

/* A sender that nobody listed shows its path here; of what is no chain's name
 * at all nothing is told. */
static bool refuse_path(const struct http_request *request,
                        struct http_response *response)
{
    char name[LEDGER_CHAIN_MAX] = "";
    (void)chain_name(http_param(request, "chain"), name);
    LOG_EVENT(LOG_LEVEL_WARNING, "webhook_refused",
              LOG_STR("reason", "unknown_source"),
              LOG_STR("source", name[0] != '\0' ? name : NULL),
              LOG_STR("peer", request->peer),
              LOG_STR("request_id", request->id));
    return refuse(request, response, 404, "unknown_source",
                  "no such chain or source");
}

static bool check_address(const struct sender *sender,
                          const struct http_request *request,
                          struct http_response *response)
{
    const struct peer_set *allowed = &sender->source->allow_from;
    struct peer_address address;
    if (allowed->count == 0
        || (peer_address_parse(request->client, strlen(request->client),
                               &address)
            && peer_set_has(allowed, &address)))
        return true;
    LOG_EVENT(LOG_LEVEL_WARNING, "webhook_refused",
              LOG_STR("reason", "address"),
              LOG_STR("source", sender->source->name),
              LOG_STR("client", request->client),
              LOG_STR("request_id", request->id));
    return refuse(request, response, 403, "source_address",
                  "this source does not send from that address");
}

/* Whether a signature was sent is known to whoever sent it; more is not said. */
static bool refuse_signature(const struct webhook_source *source,
                             enum signature_verdict verdict,
                             const struct http_request *request,
                             struct http_response *response)
{
    const char *reason = verdict == SIGNATURE_STALE   ? "stale"
                       : verdict == SIGNATURE_MISSING ? "missing"
                                                      : "wrong";
    METRIC_INC(signatures_refused, reason);
    LOG_EVENT(LOG_LEVEL_WARNING, "webhook_refused", LOG_STR("reason", reason),
              LOG_STR("source", source->name), LOG_STR("peer", request->peer),
              LOG_STR("request_id", request->id));
    if (verdict == SIGNATURE_STALE)
        return refuse(request, response, 401, "stale",
                      "the webhook's timestamp is too far from now");
    if (verdict == SIGNATURE_MISSING)
        return refuse(request, response, 401, "signature_missing",
                      "Invalid webhook signature: none was sent");
    return refuse(request, response, 401, "signature",
                  "Invalid webhook signature");
}

static bool check_signature(struct sender *sender,
                            const struct http_request *request,
                            struct http_response *response)
{
    const struct webhook_source *source = sender->source;
    sender->checked =
        signature_check(source->schemes, source->scheme_count, &source->secrets,
                        request, clock_wall_us() / USEC_PER_SEC);
    enum signature_verdict verdict = sender->checked.verdict;
    /* Without a secret there is nothing to check a signature against. */
    if (source->is_unsigned
        && (verdict == SIGNATURE_MISSING || source->secrets.count == 0)) {
        sender->checked.event_id = NULL;
        metric_add(unsigned_total, 1, NULL);
        return true;
    }
    if (verdict == SIGNATURE_VALID)
        return true;
    return refuse_signature(source, verdict, request, response);
}

static bool check_rate(struct sender *sender,
                       const struct http_request *request,
                       struct http_response *response)
{
    struct peer_address address;
    char client[INET6_ADDRSTRLEN] = "";
    if (peer_address_parse(request->client, strlen(request->client),
                           &address)) {
        address = peer_counted_as(&address);
        peer_address_text(&address, client);
    }
    if (rate_limit_take(&sender->source->rate, client, clock_monotonic_us()))
        return true;
    (void)refuse(request, response, 429, NULL,
                 "more webhooks a second than this source may send");
    http_response_header(response, "Retry-After", "1");
    return false;
}

/* Browsers cannot send JSON's type across origins without asking: what has another
 * and is not signed may be anybody's page, and is not kept. */
static bool check_origin(const struct sender *sender,
                         const struct http_request *request,
                         struct http_response *response)
{
    if (sender->checked.verdict == SIGNATURE_VALID
        || http_content_type_is(request, "application/json"))
        return true;
    return refuse(request, response, 415, NULL,
                  "Content-Type must be application/json");
}

/* Others' bodies may be larger than ours. */
static bool check_size(const struct sender *sender,
                       const struct http_request *request,
                       struct http_response *response)
{
    if (!sender->source->is_native || request->body.len <= WEBHOOK_NATIVE_MAX)
        return true;
    return refuse(request, response, 413, NULL,
                  "the body is larger than 65536 bytes");
}

static bool check_sender(struct secrets *secrets,
                         const struct http_request *request,
                         struct http_response *response, struct sender *ret)
{
    ret->source = sources_find(secrets->sources, http_param(request, "chain"));
    if (ret->source == NULL)
        return refuse_path(request, response);
    return check_size(ret, request, response)
        && check_address(ret, request, response)
        && check_signature(ret, request, response)
        && check_origin(ret, request, response)
        && check_rate(ret, request, response);
}

/* --- what it says ------------------------------------------------------------ */

/* One request's room. */
struct work {
    struct celery_arena arena;
    struct celery_buf headers;
    struct webhook_read read;
    struct webhook_fault fault;
    struct ledger_webhook webhook;
    struct ledger_webhook_answer answer;
};

/* W3C's traceparent, version 00; what is none is ignored. */
static const char *traceparent(const struct http_request *request)
{
    const char *value = http_header(request, "traceparent");
    if (value == NULL || strlen(value) != TRACEPARENT_LEN
        || strspn(value, "0123456789abcdef-") != TRACEPARENT_LEN
        || value[2] != '-' || value[35] != '-' || value[52] != '-'
        || strncmp(value, "ff", 2) == 0)
        return NULL;
    return value;
}

static void keep_header(struct celery_json_writer *w, const char *name,
                        const char *value)
{
    if (value == NULL)
        return;
    celery_json_key(w, name);
    celery_json_put_str(
        w, (struct celery_str){value, strnlen(value, HEADER_KEPT_MAX)});
}

/* What may explain the body later: who, when, in which form, how signed. */
static void keep_headers(const struct sender *sender,
                         const struct http_request *request,
                         struct celery_buf *ret)
{
    static const char *const names[] = {
        "Content-Type", "User-Agent",        "traceparent",
        "webhook-id",   "webhook-timestamp", "webhook-signature",
        "svix-id",      "svix-timestamp",    "svix-signature"};
    struct celery_json_writer w = CELERY_JSON_WRITER(ret);
    celery_json_begin_object(&w);
    keep_header(&w, "client", request->client);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        keep_header(&w, names[i], http_header(request, names[i]));
    for (size_t i = 0; i < sender->source->scheme_count; i++) {
        const struct signature_scheme *scheme = &sender->source->schemes[i];
        if (scheme->form != SIGNATURE_STANDARD)
            keep_header(&w, scheme->header,
                        http_header(request, scheme->header));
    }
    celery_json_end_object(&w);
}

static void read_body(const struct api *api, const struct sender *sender,
                      const struct http_request *request, struct work *work)
{
    struct celery_str body = celery_buf_str(&request->body);
    if (!http_content_type_is(request, "application/json"))
        work->fault =
            (struct webhook_fault){415, "Content-Type must be application/json",
                                   NULL};
    else
        (void)webhook_body_read(body, sender->source, &api->rules, &work->arena,
                                &work->read, &work->fault);
    const char *trace = traceparent(request);
    for (size_t i = 0; i < work->read.deposit_count && trace != NULL; i++)
        memcpy(work->read.deposits[i].traceparent, trace, TRACEPARENT_LEN + 1);
    work->webhook =
        (struct ledger_webhook){.source = sender->source->name,
                                .event_id = sender->checked.event_id != NULL
                                              ? sender->checked.event_id
                                              : work->read.event_id,
                                .request_id = request->id,
                                .body = body,
                                .deposits = work->read.deposits,
                                .deposit_count = work->read.deposit_count};
    ordered_id(work->webhook.inbox_id);
    keep_headers(sender, request, &work->headers);
    work->webhook.headers = celery_buf_str(&work->headers);
    webhook_judge(&work->read, &work->fault, &work->webhook);
}

/* --- the ledger ---------------------------------------------------------------- */

/* What the ledger cannot hold is kept all the same, alone. */
static enum celery_status keep_refused(struct api *api, struct work *work,
                                       struct celery_error *err)
{
    struct ledger_webhook alone = work->webhook;
    alone.deposits = NULL;
    alone.deposit_count = 0;
    alone.outcome = LEDGER_REFUSED;
    alone.error = "the ledger refused this deposit";
    work->webhook.outcome = LEDGER_REFUSED;
    work->webhook.error = alone.error;
    enum celery_status st =
        ingest_webhook(api->ingest, &alone, &work->answer, err);
    if (st == CELERY_OK && work->answer.result == LEDGER_INBOX_FAILED)
        st = celery_fail(err, CELERY_IO, "the ledger cannot keep the webhook");
    return st;
}

static bool store(struct api *api, const struct http_request *request,
                  struct work *work, struct http_response *response)
{
    struct celery_error err = {0};
    size_t room =
        (work->webhook.deposit_count + 1) * sizeof *work->answer.deposits;
    work->answer.deposits = celery_arena_alloc(&work->arena, room);
    enum celery_status st = CELERY_NOMEM;
    if (work->answer.deposits != NULL) {
        memset(work->answer.deposits, 0, room);
        st = ingest_webhook(api->ingest, &work->webhook, &work->answer, &err);
    }
    if (st == CELERY_OK && work->answer.result == LEDGER_INBOX_FAILED)
        st = keep_refused(api, work, &err);
    if (st == CELERY_OK)
        return true;
    LOG_EVENT(LOG_LEVEL_ERROR, "webhook_not_stored", LOG_STR("error", err.msg),
              LOG_STR("request_id", request->id));
    if (st == CELERY_TOO_LARGE)
        http_unavailable(response, request, "too many webhooks are waiting");
    else
        answer_ledger_error(request, response, &err);
    return false;
}

static void take(struct api *api, const struct sender *sender,
                 const struct http_request *request,
                 struct http_response *response)
{
    struct work work = {.arena = CELERY_ARENA_INIT, .headers = CELERY_BUF_INIT};
    read_body(api, sender, request, &work);
    if (store(api, request, &work, response)) {
        const struct webhook_kept kept = {sender->source, &work.webhook,
                                          &work.answer, &work.read,
                                          &work.fault};
        webhook_answer(request, &kept, response);
    }
    celery_buf_done(&work.headers);
    celery_arena_done(&work.arena);
}

void handle_webhook(void *arg, struct http_request *request,
                    struct http_response *response)
{
    struct api *api = arg;
    struct sender sender = {.source = NULL};
    struct secrets *secrets = secrets_hold(&api->secrets);
    if (check_sender(secrets, request, response, &sender))
        take(api, &sender, request, response);
    secrets_release(&api->secrets, secrets);
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
