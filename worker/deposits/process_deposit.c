/* SPDX-License-Identifier: MIT */
#include "deposits/process_deposit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "celery/json_write.h"
#include "deposits/deposit_message.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { RETRY_FIRST_S = 1, RETRY_CAP_S = 600, MAX_RETRIES = 10 };

static struct metric *duration;
static struct metric *failed_total;
static struct metric *settled_total;
static struct metric *wait_seconds;
static struct metric *credit_delay;

/* The bounds hold the alerts' thresholds: a quantile never passes the last. */
static const double task_buckets[] = {.005, .01, .025, .05, .1, .25, .5, 1,
                                      2.5,  5,   10,   30,  60, 120, 300};
static const double delay_buckets[] = {.01, .025, .05, .1, .25, .5,  1,
                                       2.5, 5,    10,  30, 60,  300, 3600};

static void register_metrics(void)
{
    static const struct metric_desc delay_desc = {
        "deposit_credit_delay_seconds",
        "Time from a deposit's 202 to its credit; waited: it lacked "
        "confirmations or a user.",
        METRIC_HISTOGRAM,
        {"waited", NULL},
        delay_buckets,
        sizeof delay_buckets / sizeof delay_buckets[0]};
    static const struct metric_desc duration_desc = {
        "deposit_task_duration_seconds",
        "Time to settle a deposit.",
        METRIC_HISTOGRAM,
        {NULL},
        task_buckets,
        sizeof task_buckets / sizeof task_buckets[0]};
    static const struct metric_desc failed_desc = {
        "deposit_task_failed_total",
        "Deposit tasks that could not settle.",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    static const struct metric_desc settled_desc = {
        "deposits_settled_total",
        "Deposit tasks by the state they found or left.",
        METRIC_COUNTER,
        {"state", "credited", NULL},
        NULL,
        0};
    static const struct metric_desc wait_desc = {
        "deposit_queue_wait_seconds",
        "Time from the publish of a deposit's task to its start.",
        METRIC_HISTOGRAM,
        {NULL},
        task_buckets,
        sizeof task_buckets / sizeof task_buckets[0]};
    duration = metric_register(&duration_desc);
    failed_total = metric_register(&failed_desc);
    settled_total = metric_register(&settled_desc);
    wait_seconds = metric_register(&wait_desc);
    credit_delay = metric_register(&delay_desc);
    metric_add(failed_total, 0, NULL);
    metric_add(duration, 0, NULL);
    metric_add(wait_seconds, 0, NULL);
    metric_add(credit_delay, 0, (const char *const[]){"no"});
    metric_add(credit_delay, 0, (const char *const[]){"yes"});
}

/* One member of a batch that has a readable tx_id. */
struct member {
    struct celery_request *request;
    char tx_id[LEDGER_ID_MAX];
    char traceparent[LEDGER_TRACE_MAX];
};

static double now_s(void)
{
    return (double)clock_wall_us() / USEC_PER_SEC;
}

static bool read_member(struct celery_request *request, struct member *ret)
{
    struct celery_str tx_id;
    struct celery_str trace;
    if (!celery_args_at_most(request, 1)
        || !celery_arg_str(request, 0, "tx_id", &tx_id))
        return false;
    if (!celery_task_id_valid(tx_id)) {
        celery_raise(request, "ValueError", NULL, "tx_id '%.40s' is no UUID",
                     tx_id.data);
        metric_add(failed_total, 1, NULL);
        return false;
    }
    *ret = (struct member){.request = request};
    memcpy(ret->tx_id, tx_id.data, tx_id.len);
    if (celery_request_header(request, "traceparent", &trace)
        && trace.len < sizeof ret->traceparent)
        memcpy(ret->traceparent, trace.data, trace.len);
    return true;
}

static const char *or_null(const char *text)
{
    return *text != '\0' ? text : NULL;
}

static void log_started(const struct member *m, double started_at)
{
    LOG_EVENT(LOG_LEVEL_INFO, "deposit_task_started",
              LOG_STR("tx_id", m->tx_id),
              LOG_STR("task_id", celery_request_id(m->request)),
              LOG_DOUBLE("started_at", started_at),
              LOG_STR("traceparent", or_null(m->traceparent)));
}

static void log_failed(const struct member *m, const char *error)
{
    metric_add(failed_total, 1, NULL);
    LOG_EVENT(LOG_LEVEL_ERROR, "deposit_task_failed",
              LOG_STR("tx_id", m->tx_id),
              LOG_STR("task_id", celery_request_id(m->request)),
              LOG_STR("error", error),
              LOG_STR("traceparent", or_null(m->traceparent)));
}

/* Exponential with full jitter, as Celery's retry_backoff and retry_jitter. */
static double retry_delay(const struct celery_request *request)
{
    int64_t retries = celery_request_message(request)->retries;
    double delay =
        RETRY_FIRST_S * pow(2, (double)(retries < 16 ? retries : 16));
    if (delay > RETRY_CAP_S)
        delay = RETRY_CAP_S;
    return delay / 2 + (double)random_below(1000) / 1000 * delay / 2;
}

static void fail_member(const struct member *m, const struct celery_error *err)
{
    log_failed(m, err->msg);
    if (err->retryable)
        celery_retry(m->request, retry_delay(m->request), "OperationalError",
                     "app.errors", "%s", err->msg);
    else
        celery_raise(m->request, "LedgerError", "app.errors", "%s", err->msg);
}

static void return_state(const struct member *m, const char *state)
{
    struct celery_buf json = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&json);
    celery_json_begin_object(&w);
    celery_json_key(&w, "tx_id");
    celery_json_put_text(&w, m->tx_id);
    celery_json_key(&w, "state");
    celery_json_put_text(&w, state);
    celery_json_end_object(&w);
    celery_return_json(m->request, celery_buf_str(&json));
    celery_buf_done(&json);
}

/* The service's promise counts from the 202. What lacked confirmations or a user
 * was not ours to hurry. */
static void observe_delay(const struct ledger_settled *settled,
                          double completed_at)
{
    const char *waited[] = {settled->waited ? "yes" : "no"};
    double delay = completed_at - settled->created_at;
    metric_observe(credit_delay, delay > 0 ? delay : 0, waited);
}

static void complete_member(const struct member *m,
                            const struct ledger_settled *settled,
                            double started_at)
{
    const char *state = ledger_state_name(settled->state);
    double completed_at = now_s();
    double duration_s = completed_at - started_at;
    const char *labels[] = {state, settled->credited_now ? "now" : "no"};
    double wait = settled->enqueued_at > 0 && started_at > settled->enqueued_at
                    ? started_at - settled->enqueued_at
                    : 0;
    return_state(m, state);
    metric_observe(duration, duration_s, NULL);
    metric_observe(wait_seconds, wait, NULL);
    metric_add(settled_total, 1, labels);
    if (settled->credited_now)
        observe_delay(settled, completed_at);
    LOG_EVENT(LOG_LEVEL_INFO, "deposit_task_completed",
              LOG_STR("tx_id", m->tx_id),
              LOG_STR("task_id", celery_request_id(m->request)),
              LOG_STR("tx_hash", settled->tx_hash), LOG_STR("state", state),
              LOG_BOOL("credited", settled->credited_now),
              LOG_DOUBLE("enqueued_at", settled->enqueued_at),
              LOG_DOUBLE("started_at", started_at),
              LOG_DOUBLE("completed_at", completed_at),
              LOG_DOUBLE("duration_s", duration_s),
              LOG_DOUBLE("queue_wait_s", wait),
              LOG_STR("traceparent", or_null(m->traceparent)));
}

static void end_member(const struct member *m,
                       const struct ledger_settled *settled, double started_at)
{
    if (settled->failed) {
        fail_member(m, &settled->error);
    } else if (!settled->found) {
        log_failed(m, "no such deposit");
        celery_raise(m->request, "LookupError", NULL, "no deposit %s",
                     m->tx_id);
    } else {
        complete_member(m, settled, started_at);
    }
}

static void settle_members(struct ledger *ledger, const struct member *members,
                           size_t count)
{
    char(*ids)[LEDGER_ID_MAX] = xcalloc(count, sizeof *ids);
    struct ledger_settled *settled = xcalloc(count, sizeof *settled);
    struct celery_error err = {0};
    double started_at = now_s();
    for (size_t i = 0; i < count; i++) {
        memcpy(ids[i], members[i].tx_id, LEDGER_ID_MAX);
        log_started(&members[i], started_at);
    }
    enum celery_status st =
        ledger_settle(ledger, (const char(*)[LEDGER_ID_MAX])ids, count, settled,
                      &err);
    for (size_t i = 0; i < count; i++) {
        if (st != CELERY_OK)
            fail_member(&members[i], &err);
        else
            end_member(&members[i], &settled[i], started_at);
    }
    free(ids);
    free(settled);
}

static void process_deposits(struct celery_request **requests, size_t count,
                             void *data)
{
    struct ledger *const *ledger = data;
    struct member *members = xcalloc(count, sizeof *members);
    size_t good = 0;
    for (size_t i = 0; i < count; i++)
        good += read_member(requests[i], &members[good]);
    if (good > 0)
        settle_members(*ledger, members, good);
    free(members);
}

enum celery_status process_deposit_register(struct celery_app *app,
                                            struct ledger **ledger,
                                            struct celery_error *err)
{
    static const char *const names[] = {DEPOSIT_TASK, DEPOSIT_TASK_ALIAS};
    register_metrics();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct celery_task task = {
            .name = names[i],
            .run_batch = process_deposits,
            .data = ledger,
            .acks_late = true,
            .reject_on_worker_lost = true,
            .max_retries = MAX_RETRIES,
        };
        enum celery_status st = celery_app_register(app, &task, err);
        if (st != CELERY_OK)
            return st;
    }
    return CELERY_OK;
}
