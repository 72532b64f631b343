/* SPDX-License-Identifier: MIT */
/*
 * From a task's end to the broker: publish what follows, store the result, ack,
 * tell. In that order: what a kill interrupts is done again, never forgotten.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/xalloc.h"
#include "celery/json_write.h"
#include "client/task_publish.h"
#include "log/log.h"
#include "runtime/worker_state.h"

void settle_push(struct worker *worker, struct celery_request *request,
                 enum broker_settle how, const char *reason, const char *detail)
{
    if (worker->pending_count == worker->pending_cap) {
        worker->pending_cap =
            worker->pending_cap == 0 ? 256 : worker->pending_cap * 2;
        worker->pending =
            xrealloc(worker->pending,
                     worker->pending_cap * sizeof worker->pending[0]);
    }
    request->state = REQUEST_ENDED;
    worker->pending[worker->pending_count++] = (struct pending){
        .request = request,
        .how = how,
        .reason = reason,
        .detail = detail != NULL ? xstrdup(detail) : NULL,
    };
}

void settle_retarget(struct worker *worker,
                     const struct celery_request *request,
                     struct celery_request *clone)
{
    for (size_t i = 0; i < worker->pending_count; i++) {
        if (worker->pending[i].request == request)
            worker->pending[i].request = clone;
    }
    clone->ack_pending = request->ack_pending;
}

static void settled(struct worker *worker, struct pending *pending, bool lost)
{
    struct celery_request *request = pending->request;
    if (lost) {
        metric_add(worker->metrics.lease_lost, 1, NULL);
        LOG_EVENT(LOG_LEVEL_WARNING, "lease_lost", LOG_STR("id", request->id),
                  LOG_STR("msg", "a peer took the claim over while we had it"));
    } else if (pending->how == BROKER_DEAD_LETTER) {
        const char *labels[] = {
            broker_queue_name(worker->broker, request->queue), pending->reason};
        metric_add(worker->metrics.dead_lettered, 1, labels);
    }
    free(pending->detail);
    request->ack_pending = false;
    if (!pending->keep)
        table_remove(worker, request);
}

void settle_flush(struct worker *worker)
{
    size_t count = worker->pending_count;
    struct celery_error err = {0};
    if (count == 0 || !broker_connected(worker->broker))
        return;
    struct broker_settlement *list = xcalloc(count, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        const struct pending *p = &worker->pending[i];
        list[i] = (struct broker_settlement){
            .how = p->how,
            .tag = p->request->tag,
            .queue = p->request->queue,
            .step = p->request->step,
            .raw = celery_buf_str(&p->request->raw),
            .reason = p->reason,
            .detail = p->detail,
        };
    }
    FAILPOINT("before-ack");
    if (broker_settle(worker->broker, list, count, &err) == CELERY_OK) {
        worker->pending_count = 0;
        for (size_t i = 0; i < count; i++) {
            struct pending p = worker->pending[i];
            if (list[i].kept)
                worker->pending[worker->pending_count++] = p;
            else
                settled(worker, &p, list[i].lost);
        }
    } else {
        LOG_EVENT(LOG_LEVEL_WARNING, "settle_failed", LOG_STR("error", err.msg),
                  LOG_INT("messages", count));
    }
    free(list);
}

static bool acks_late(const struct worker *worker,
                      const struct celery_request *request)
{
    return worker->settings.acks_late || request->task->acks_late;
}

/* The ack of a task that acks early; the request goes on. */
static void ack_early(struct worker *worker, struct celery_request *request)
{
    enum request_state state = request->state;
    settle_push(worker, request, BROKER_ACK, NULL, NULL);
    request->state = state;
    worker->pending[worker->pending_count - 1].keep = true;
    request->acked = true;
    request->ack_pending = true;
    worker->unacked--;
}

/* A request that acked early and is over: freed now, or with its ack when that
 * still waits for the broker. */
static void drop_acked(struct worker *worker, struct celery_request *request)
{
    if (!request->ack_pending) {
        table_remove(worker, request);
        return;
    }
    for (size_t i = 0; i < worker->pending_count; i++) {
        if (worker->pending[i].request == request)
            worker->pending[i].keep = false;
    }
}

static void store_started(struct worker *worker, struct celery_request *request)
{
    struct celery_buf document = CELERY_BUF_INIT;
    struct celery_buf result = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&result);
    celery_json_begin_object(&w);
    celery_json_key(&w, "pid");
    celery_json_put_int(&w, request->worker_pid);
    celery_json_key(&w, "hostname");
    celery_json_put_text(&w, worker->settings.nodename);
    celery_json_end_object(&w);
    struct celery_result_out out = {
        .status = "STARTED",
        .result = celery_buf_str(&result),
        .task_id = request->message.id,
        .group_id = request->message.group,
        .parent_id = request->message.parent_id,
    };
    result_store_extend(worker->results, request, &out);
    celery_result_encode(&document, &out);
    result_store_document(worker->results, request->id, request,
                          celery_buf_str(&document), false);
    celery_buf_done(&document);
    celery_buf_done(&result);
}

void settle_started(struct worker *worker, struct celery_request *request)
{
    if (request->abandoned)
        return;
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        base.timestamp = request->time_start;
        celery_event_started(buf, &base, request->message.id);
        events_batch_end(&worker->events);
    }
    if (worker->results != NULL
        && (worker->settings.track_started || request->task->track_started))
        store_started(worker, request);
    if (!acks_late(worker, request) && !request->acked)
        ack_early(worker, request);
}

static bool wants_result(const struct worker *worker,
                         const struct celery_request *request, bool failure)
{
    if (worker->results == NULL)
        return false;
    bool ignore = worker->settings.ignore_result
               || (request->task != NULL && request->task->ignore_result);
    if (request->message.ignore_result == CELERY_IGNORE_RESULT_YES)
        ignore = true;
    else if (request->message.ignore_result == CELERY_IGNORE_RESULT_NO)
        ignore = false;
    return !ignore
        || (failure && worker->settings.store_errors_even_if_ignored);
}

static double runtime_of(const struct celery_request *request)
{
    return (double)(request->ended_us - request->started_us) / USEC_PER_SEC;
}

static void tell_success(struct worker *worker, struct celery_request *request)
{
    double runtime = runtime_of(request);
    struct celery_json result = {CELERY_JSON_NULL, CELERY_STR("null")};
    if (request->result.len > 0
        && celery_json_parse(celery_buf_str(&request->result), NULL, &result,
                             NULL)
               != CELERY_OK)
        result = (struct celery_json){CELERY_JSON_NULL, CELERY_STR("null")};
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        celery_event_succeeded(buf, &base, request->message.id, result,
                               runtime);
        events_batch_end(&worker->events);
    }
    telemetry_count(worker, worker->metrics.succeeded, request);
    LOG_EVENT(request->task->run_batch != NULL ? LOG_LEVEL_DEBUG
                                               : LOG_LEVEL_INFO,
              "task_succeeded", LOG_STR("name", request->task->name),
              LOG_STR("id", request->id), LOG_DOUBLE("runtime_s", runtime));
}

static void tell_failure(struct worker *worker, struct celery_request *request,
                         bool retry)
{
    struct celery_exception exception = request_exception(request);
    struct celery_buf repr = CELERY_BUF_INIT;
    celery_exception_repr(&repr, &exception);
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        celery_event_failed(buf, &base, retry ? "task-retried" : "task-failed",
                            request->message.id, celery_buf_str(&repr),
                            celery_buf_str(&request->traceback));
        events_batch_end(&worker->events);
    }
    if (retry) {
        telemetry_count(worker, worker->metrics.retried, request);
    } else {
        const char *labels[] = {
            request->task != NULL ? request->task->name : "unregistered",
            worker->host_label,
            broker_queue_name(worker->broker, request->queue),
            request->exc_type};
        metric_add(worker->metrics.failed, 1, labels);
    }
    LOG_EVENT(retry ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR,
              retry ? "task_retry" : "task_failed",
              LOG_SLICE("name", request->message.task),
              LOG_STR("id", request->id),
              LOG_SLICE("exception", celery_buf_str(&repr)),
              retry ? LOG_DOUBLE("countdown_s", request->retry_countdown_s)
                    : LOG_INT("retries", request->message.retries));
    celery_buf_done(&repr);
}

static void tell_revoked(struct worker *worker, struct celery_request *request)
{
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        celery_event_revoked(buf, &base, request->message.id,
                             request->terminated, request->signum,
                             request->expired);
        events_batch_end(&worker->events);
    }
    telemetry_count(worker, worker->metrics.revoked, request);
    LOG_EVENT(LOG_LEVEL_INFO, "task_revoked",
              LOG_SLICE("name", request->message.task),
              LOG_STR("id", request->id), LOG_BOOL("expired", request->expired),
              LOG_BOOL("terminated", request->terminated));
}

static void tell_rejected(struct worker *worker, struct celery_request *request,
                          bool requeue)
{
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        celery_event_rejected(buf, &base, request->message.id, requeue);
        events_batch_end(&worker->events);
    }
    telemetry_count(worker, worker->metrics.rejected, request);
    LOG_EVENT(LOG_LEVEL_WARNING, "task_rejected",
              LOG_SLICE("name", request->message.task),
              LOG_STR("id", request->id), LOG_BOOL("requeue", requeue));
}

/* The end is told and the message settled; the result is stored already. */
static void finish(struct worker *worker, struct celery_request *request)
{
    enum broker_settle how = BROKER_ACK;
    const char *reason = NULL;
    switch (request->end) {
    case END_NONE:
    case END_SUCCESS:
        tell_success(worker, request);
        break;
    case END_FAILURE:
        tell_failure(worker, request, false);
        if (request->task == NULL) {
            how = BROKER_DEAD_LETTER;
            reason = "unknown_task";
        } else if (!worker->settings.acks_on_failure) {
            how = BROKER_DEAD_LETTER;
            reason = "failed";
        }
        break;
    case END_RETRY:
        tell_failure(worker, request, true);
        break;
    case END_REVOKED:
        tell_revoked(worker, request);
        break;
    case END_REJECT:
        tell_failure(worker, request, false);
        tell_rejected(worker, request, false);
        how = BROKER_DEAD_LETTER;
        reason = "rejected";
        break;
    case END_REQUEUE:
        tell_rejected(worker, request, true);
        how = BROKER_REQUEUE;
        break;
    case END_IGNORE:
        break;
    }
    if (request->acked)
        drop_acked(worker, request);
    else
        settle_push(worker, request, how, reason,
                    reason != NULL ? celery_buf_str(&request->exc_args).data
                                   : NULL);
}

static void store_or_finish(struct worker *worker,
                            struct celery_request *request)
{
    bool stores = request->end != END_REQUEUE && request->end != END_IGNORE;
    bool failure = request->end != END_NONE && request->end != END_SUCCESS;
    request->state = REQUEST_ENDED;
    if (stores && wants_result(worker, request, failure))
        result_store_push(worker->results, request);
    else
        finish(worker, request);
}

/* The next message of a retried task. Without a broker the claim stays and goes
 * back: the task runs again with the same count. */
static bool publish_retry(struct worker *worker, struct celery_request *request)
{
    struct celery_task_out out;
    struct celery_error err = {0};
    enum celery_status st =
        celery_message_retry(&request->message, &request->envelope,
                             &request->arena, &out);
    /* A publish would connect by itself, once for each of a whole batch. */
    if (st == CELERY_OK && !broker_connected(worker->broker))
        st = celery_fail(&err, CELERY_CLOSED, "the broker is away");
    if (st == CELERY_OK) {
        out.retries = request->message.retries + 1;
        out.eta_us = clock_wall_us()
                   + (int64_t)(request->retry_countdown_s * USEC_PER_SEC);
        out.compression = worker->settings.compression;
        /* Protocol 1 would lose the steps that are left. */
        out.protocol = out.chain.len == 0 ? worker->settings.protocol : 2;
        out.serializer = worker->settings.serializer;
        st = task_publish(worker->broker, &out, 1, NULL, &err);
        /* 2**80 came as JSON and fits nothing else. */
        if (st == CELERY_INVALID
            && out.serializer == CELERY_SERIALIZER_MSGPACK) {
            out.serializer = CELERY_SERIALIZER_JSON;
            st = task_publish(worker->broker, &out, 1, NULL, &err);
        }
    }
    FAILPOINT("between-publish-and-ack");
    if (st == CELERY_OK)
        return true;
    LOG_EVENT(LOG_LEVEL_ERROR, "retry_not_published",
              LOG_STR("id", request->id), LOG_STR("error", err.msg));
    return false;
}

void settle_ended(struct worker *worker, struct celery_request *request)
{
    if (request->abandoned) {
        request_free(request); /* its clone was settled long ago */
        pool_thread_returned(worker->pool);
        return;
    }
    worker->running--;
    worker->limited -= request->hard_limit_s > 0 || request->soft_limit_s > 0;
    suspects_ended(worker, request);
    if (request->state == REQUEST_STALE) {
        dispatch_stale(worker, request);
        return;
    }
    worker->processed++;
    worker->totals[request->task - worker->app->registry.tasks]++;
    const char *values[] = {request->task->name, worker->host_label,
                            broker_queue_name(worker->broker, request->queue)};
    telemetry_count(worker, worker->metrics.started, request);
    metric_observe(worker->metrics.runtime, runtime_of(request), values);
    if (request->terminated)
        request->end = END_REVOKED;
    if (request->end == END_RETRY && !publish_retry(worker, request)) {
        if (request->acked) {
            request->end = END_FAILURE; /* nothing is left to give back */
        } else {
            settle_push(worker, request, BROKER_GIVE_BACK, NULL, NULL);
            return;
        }
    }
    store_or_finish(worker, request);
}

void settle_stored(struct worker *worker, struct celery_request *request)
{
    if (request->result_stored) {
        finish(worker, request);
        return;
    }
    /* Shutdown while the backend is away: the message comes back, the task runs
     * again. */
    if (request->acked)
        drop_acked(worker, request);
    else
        settle_push(worker, request, BROKER_GIVE_BACK, NULL, NULL);
}

void settle_revoked(struct worker *worker, struct celery_request *request)
{
    const char *reason = "revoked";
    if (request->expired)
        reason = "expired";
    else if (request->terminated)
        reason = "terminated";
    char args[32];
    (void)snprintf(args, sizeof args, "[\"%s\"]", reason);
    request_fail(request, "TaskRevokedError", "celery.exceptions", args, NULL);
    request->end = END_REVOKED;
    store_or_finish(worker, request);
}

void settle_unknown(struct worker *worker, struct celery_request *request)
{
    struct celery_buf args = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&args);
    celery_json_begin_array(&w);
    celery_json_put_str(&w, request->message.task);
    celery_json_end_array(&w);
    LOG_EVENT(LOG_LEVEL_ERROR, "task_unregistered",
              LOG_SLICE("name", request->message.task),
              LOG_STR("id", request->id),
              LOG_STR("msg", "sent to the dead letters"));
    request_fail(request, "NotRegistered", "celery.exceptions",
                 celery_buf_str(&args).data, NULL);
    celery_buf_done(&args);
    store_or_finish(worker, request);
}
