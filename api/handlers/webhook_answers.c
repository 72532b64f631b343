/* SPDX-License-Identifier: MIT */
#include "handlers/webhook_answers.h"

#include <stdio.h>
#include <string.h>

#include "log/log.h"
#include "metrics/metrics.h"

static struct metric *refused_total;
static struct metric *conflicts_total;
static struct metric *inbox_total;

void webhook_answers_register_metrics(void)
{
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
    static const struct metric_desc inbox = {
        "webhook_inbox_total",
        "Webhooks that the inbox keeps, by what became of them.",
        METRIC_COUNTER,
        {"outcome", NULL},
        NULL,
        0};
    static const char *const outcomes[] = {"stored",  "partial",  "ignored",
                                           "refused", "repeated", "reused"};
    /* What the alert WebhooksNotAccepted looks at. */
    static const char *const codes[] = {"401", "403", "404"};
    refused_total = metric_register(&refused);
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        metric_add(refused_total, 0, (const char *const[]){codes[i], NULL});
    conflicts_total = metric_register(&conflicts);
    inbox_total = metric_register(&inbox);
    metric_add(conflicts_total, 0, (const char *const[]){"stored", NULL});
    metric_add(conflicts_total, 0, (const char *const[]){"differs", NULL});
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++)
        metric_add(inbox_total, 0, (const char *const[]){outcomes[i], NULL});
}

static void count_refused(int status)
{
    char code[16];
    (void)snprintf(code, sizeof code, "%d", status);
    METRIC_INC(refused_total, code);
}

void webhook_refuse(const struct http_request *request,
                    struct http_response *response,
                    const struct http_problem *problem)
{
    http_problem_code(response, request, problem->status, problem->code,
                      problem->error, problem->field);
    count_refused(problem->status);
}

/* --- parts of the answer -------------------------------------------------- */

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

/* "the status contradicts …" */
static const char *contradiction(const struct ledger_ingested *stored,
                                 char *ret, size_t size)
{
    if (strcmp(stored->detail, "status") == 0)
        (void)snprintf(ret, size,
                       "the status contradicts what was announced of this "
                       "deposit before");
    else
        (void)snprintf(ret, size,
                       "this deposit was announced before with another %s",
                       stored->detail);
    return ret;
}

static const char *error_of(const struct webhook_kept *kept,
                            const struct ledger_ingested *stored, char *ret,
                            size_t size)
{
    if (stored->result == LEDGER_INGEST_DIFFERS)
        return contradiction(stored, ret, size);
    if (stored->result != LEDGER_INGEST_FAILED)
        return NULL;
    return kept->answer->result == LEDGER_INBOX_REUSED
             ? "the event id was used with another body"
             : "the ledger refused this deposit";
}

static void put_item(struct celery_json_writer *w,
                     const struct webhook_item *item,
                     const struct webhook_kept *kept)
{
    char text[160];
    celery_json_begin_object(w);
    if (item->result == ITEM_DEPOSIT) {
        const struct ledger_ingested *stored =
            &kept->answer->deposits[item->index];
        bool failed = stored->result == LEDGER_INGEST_FAILED;
        put_text(w, "tx_id", failed ? NULL : stored->tx_id);
        put_text(w, "state",
                 failed ? "refused" : ledger_state_name(stored->state));
        put_text(w, "error", error_of(kept, stored, text, sizeof text));
    } else {
        put_text(w, "tx_id", NULL);
        put_text(w, "state",
                 item->result == ITEM_IGNORED ? "ignored" : "refused");
        put_text(w, "error", item->fault.error);
    }
    celery_json_end_object(w);
}

/* The members that every answer about a kept webhook ends with. */
static void put_kept(struct celery_json_writer *w,
                     const struct webhook_kept *kept)
{
    put_text(w, "inbox_id", kept->answer->inbox_id);
    celery_json_key(w, "deposits");
    celery_json_begin_array(w);
    for (size_t i = 0; i < kept->read->item_count; i++)
        put_item(w, &kept->read->items[i], kept);
    celery_json_end_array(w);
    celery_json_end_object(w);
}

/* The one deposit of a body; NULL when it has none or several. */
static const struct ledger_ingested *the_one(const struct webhook_kept *kept)
{
    return kept->webhook->deposit_count == 1 ? &kept->answer->deposits[0]
                                             : NULL;
}

static void put_one(struct celery_json_writer *w,
                    const struct ledger_ingested *one)
{
    if (one == NULL || one->result == LEDGER_INGEST_FAILED)
        return;
    put_text(w, "tx_id", one->tx_id);
    put_text(w, "state", ledger_state_name(one->state));
}

static void answer_stored(const struct webhook_kept *kept,
                          struct http_response *response)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(&response->body);
    response->status = 202;
    celery_json_begin_object(&w);
    celery_json_key(&w, "ok");
    celery_json_put_bool(&w, true);
    put_one(&w, the_one(kept));
    put_kept(&w, kept);
}

static void answer_problem(const struct http_request *request,
                           const struct webhook_kept *kept,
                           const struct http_problem *problem,
                           struct http_response *response)
{
    struct celery_json_writer w;
    http_problem_begin(response, request, problem, &w);
    put_one(&w, the_one(kept));
    put_kept(&w, kept);
    count_refused(problem->status);
    /* The sender was told of an error, but may not be able to bear one. */
    if (problem->status == 400 || problem->status == 422)
        response->status =
            kept->source->refused_status == 200 ? 200 : problem->status;
}

/* --- what it is about ------------------------------------------------------- */

static void log_conflict(const char *kind, const struct ledger_deposit *deposit,
                         const struct ledger_ingested *stored)
{
    METRIC_INC(conflicts_total, kind);
    LOG_EVENT(LOG_LEVEL_WARNING, "deposit_conflict", LOG_STR("kind", kind),
              LOG_STR("tx_id", stored->tx_id), LOG_STR("chain", deposit->chain),
              LOG_STR("tx_hash", deposit->tx_hash),
              LOG_STR("reason", deposit->conflict_reason != NULL
                                    ? deposit->conflict_reason
                                    : stored->detail));
}

static void watch_deposits(const struct webhook_kept *kept,
                           const char *request_id)
{
    for (size_t i = 0; i < kept->webhook->deposit_count; i++) {
        const struct ledger_ingested *stored = &kept->answer->deposits[i];
        const struct ledger_deposit *deposit = &kept->webhook->deposits[i];
        if (stored->result == LEDGER_INGEST_DIFFERS)
            log_conflict("differs", deposit, stored);
        else if (stored->result == LEDGER_INGEST_NEW
                 && stored->state == LEDGER_CONFLICT)
            log_conflict("stored", deposit, stored);
        else if (stored->result == LEDGER_INGEST_FAILED)
            LOG_EVENT(LOG_LEVEL_ERROR, "webhook_not_stored",
                      LOG_STR("error", stored->error.msg),
                      LOG_STR("request_id", request_id));
    }
}

static bool any_refused(const struct webhook_read *read)
{
    for (size_t i = 0; i < read->item_count; i++) {
        if (read->items[i].result == ITEM_REFUSED)
            return true;
    }
    return false;
}

static void watch_inbox(const struct webhook_kept *kept, const char *request_id)
{
    const struct ledger_webhook *webhook = kept->webhook;
    /* Refused is what somebody has to look at, also in part. */
    bool refused = any_refused(kept->read);
    const char *outcome =
        refused ? "refused" : ledger_outcome_name(webhook->outcome);
    if (kept->answer->result == LEDGER_INBOX_REPEATED)
        outcome = "repeated";
    else if (kept->answer->result == LEDGER_INBOX_REUSED)
        outcome = "reused";
    METRIC_INC(inbox_total, outcome);
    if (!refused && webhook->outcome != LEDGER_REFUSED
        && kept->answer->result != LEDGER_INBOX_REUSED)
        return;
    LOG_EVENT(LOG_LEVEL_WARNING, "webhook_kept_refused",
              LOG_STR("source", webhook->source),
              LOG_STR("inbox_id", kept->answer->inbox_id),
              LOG_STR("outcome", outcome), LOG_STR("error", webhook->error),
              LOG_STR("field", webhook->field),
              LOG_STR("request_id", request_id));
}

/* Every deposit of the body contradicts what is known? */
static bool all_differ(const struct webhook_kept *kept)
{
    for (size_t i = 0; i < kept->webhook->deposit_count; i++) {
        if (kept->answer->deposits[i].result != LEDGER_INGEST_DIFFERS)
            return false;
    }
    return kept->webhook->deposit_count > 0
        && kept->webhook->deposit_count == kept->read->item_count;
}

static bool any_stands(const struct webhook_kept *kept)
{
    for (size_t i = 0; i < kept->webhook->deposit_count; i++) {
        if (kept->answer->deposits[i].result != LEDGER_INGEST_FAILED)
            return true;
    }
    return false;
}

void webhook_answer(const struct http_request *request,
                    const struct webhook_kept *kept,
                    struct http_response *response)
{
    char text[160];
    struct http_problem problem = {422, NULL, "the ledger refused this deposit",
                                   NULL};
    watch_inbox(kept, request->id);
    if (kept->answer->result == LEDGER_INBOX_REUSED) {
        problem =
            (struct http_problem){409, "event_reused",
                                  "the event id was used with another body",
                                  "event_id"};
    } else {
        watch_deposits(kept, request->id);
        if (all_differ(kept)) {
            problem = (struct http_problem){
                409, "contradiction",
                contradiction(&kept->answer->deposits[0], text, sizeof text),
                NULL};
        } else if (any_stands(kept)
                   || kept->webhook->outcome == LEDGER_IGNORED) {
            answer_stored(kept, response);
            return;
        } else if (kept->fault->status != 0) {
            problem =
                (struct http_problem){kept->fault->status, NULL,
                                      kept->fault->error, kept->fault->field};
        }
    }
    answer_problem(request, kept, &problem, response);
}
