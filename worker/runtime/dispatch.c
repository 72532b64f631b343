/* SPDX-License-Identifier: MIT */
/*
 * From a claimed message to a task: decode, look up, expiry, revocation, ETA,
 * then to the pool, alone or in a batch. What cannot be a task goes to the dead
 * letters with the reason; nothing is dropped.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "client/task_publish.h"
#include "log/log.h"
#include "runtime/parked.h"
#include "runtime/worker_state.h"

enum { BATCH_MAX = 256, BATCH_BYTES = 1 << 20, READY_MAX = BROKER_CLAIM_MAX };

/* What was dispatched and waits for dispatch_flush(). thread: consumer. */
static struct celery_request *ready[READY_MAX];
static size_t ready_count;

void table_add(struct worker *worker, struct celery_request *request)
{
    if (worker->count == worker->cap) {
        worker->cap = worker->cap == 0 ? 256 : worker->cap * 2;
        worker->table = xrealloc(worker->table,
                                 worker->cap * sizeof(struct celery_request *));
    }
    request->slot = worker->count;
    worker->table[worker->count++] = request;
    worker->unacked++;
}

void table_remove(struct worker *worker, struct celery_request *request)
{
    size_t slot = request->slot;
    worker->table[slot] = worker->table[--worker->count];
    worker->table[slot]->slot = slot;
    if (!request->acked)
        worker->unacked--;
    request_free(request);
}

static double positive(double a, double b, double c)
{
    if (a > 0)
        return a;
    return b > 0 ? b : c;
}

static void set_limits(struct worker *worker, struct celery_request *request)
{
    request->soft_limit_s = positive(request->message.soft_time_limit_s,
                                     request->task->soft_time_limit_s,
                                     worker->settings.soft_time_limit_s);
    request->hard_limit_s =
        positive(request->message.time_limit_s, request->task->time_limit_s,
                 worker->settings.time_limit_s);
}

static bool acks_late(const struct worker *worker,
                      const struct celery_request *request)
{
    return worker->settings.acks_late || request->task->acks_late;
}

static void make_ready(struct worker *worker, struct celery_request *request)
{
    request->state = REQUEST_RESERVED;
    set_limits(worker, request);
    request->notify_start =
        worker->events.task_events || worker->settings.track_started
        || request->task->track_started || !acks_late(worker, request);
    if (request->deliveries > 0) {
        suspects_add(worker, request);
        return;
    }
    if (ready_count == READY_MAX)
        dispatch_flush(worker);
    ready[ready_count++] = request;
}

static bool joins(const struct celery_request *head,
                  const struct celery_request *request)
{
    return head->task == request->task && head->queue == request->queue;
}

static void count_running(struct worker *worker,
                          const struct celery_request *request)
{
    worker->running++;
    worker->limited += request->hard_limit_s > 0 || request->soft_limit_s > 0;
}

/* Links what may run together, in the order of the claims. */
void dispatch_flush(struct worker *worker)
{
    parked_flush(worker);
    struct celery_request *heads[READY_MAX];
    size_t count = 0;
    for (size_t i = 0; i < ready_count; i++) {
        if (ready[i] == NULL)
            continue;
        struct celery_request *head = ready[i];
        heads[count++] = head;
        count_running(worker, head);
        if (head->task->run_batch == NULL)
            continue;
        struct celery_request *last = head;
        size_t members = 1;
        size_t bytes = head->raw.len;
        for (size_t j = i + 1; j < ready_count && members < BATCH_MAX; j++) {
            if (ready[j] == NULL || !joins(head, ready[j])
                || bytes + ready[j]->raw.len > BATCH_BYTES)
                continue;
            last->batch_next = ready[j];
            last = ready[j];
            ready[j] = NULL;
            count_running(worker, last);
            members++;
            bytes += last->raw.len;
        }
    }
    ready_count = 0;
    if (count > 0)
        pool_submit(worker->pool, heads, count);
}

static bool is_empty(struct celery_json value)
{
    return celery_json_null(value) || celery_json_count(value) == 0;
}

/* Workflows are continued by whoever runs the task; to run it and forget what
 * follows would lose the rest. */
static const char *unsupported_part(const struct celery_message *message)
{
    if (!is_empty(message->chord))
        return "a chord";
    if (!is_empty(message->chain))
        return "a chain";
    if (!is_empty(message->callbacks))
        return "callbacks (link)";
    if (!is_empty(message->errbacks))
        return "errbacks (link_error)";
    return NULL;
}

static void send_received(struct worker *worker,
                          const struct celery_request *request)
{
    struct celery_buf *buf = events_batch_begin(&worker->events);
    if (buf != NULL) {
        struct celery_event_base base = events_base(&worker->events);
        celery_event_received(buf, &base, &request->message);
        events_batch_end(&worker->events);
    }
    telemetry_count(worker, worker->metrics.received, request);
    LOG_EVENT(request->task->run_batch != NULL ? LOG_LEVEL_DEBUG
                                               : LOG_LEVEL_INFO,
              "task_received", LOG_SLICE("name", request->message.task),
              LOG_STR("id", request->id));
}

static bool is_expired(const struct celery_message *message)
{
    return message->expires_us != CELERY_TIME_NONE
        && clock_wall_us() > message->expires_us;
}

/* Known to be a task of ours. */
static void accept(struct worker *worker, struct celery_request *request)
{
    if (is_expired(&request->message)
        || revoked_has(&worker->revoked, request->id)) {
        request->expired = is_expired(&request->message);
        settle_revoked(worker, request);
        return;
    }
    if (!request->was_parked)
        send_received(worker, request);
    if (!request->was_parked && request->message.eta_us != CELERY_TIME_NONE
        && request->message.eta_us > clock_wall_us())
        parked_add(worker, request);
    else
        make_ready(worker, request);
}

/* The reason for which a message must not run: it is not signed as its queue
 * demands; or NULL. */
static const char *seal_problem(const struct worker *worker,
                                struct celery_request *request)
{
    const char *queue = broker_queue_name(worker->broker, request->queue);
    enum celery_seal seal = CELERY_SEAL_BAD;
    if (!settings_require_signed(&worker->settings, queue))
        return NULL;
    /* Out of memory counts as bad: nothing unverified runs. */
    if (celery_seal_verify(task_sign_keys(), &request->envelope,
                           (struct celery_str){queue, strlen(queue)},
                           &request->arena, &seal, NULL)
        != CELERY_OK)
        seal = CELERY_SEAL_BAD;
    if (seal == CELERY_SEAL_GOOD)
        return NULL;
    return seal == CELERY_SEAL_UNSIGNED ? "unsigned" : "bad_signature";
}

static void refuse(struct worker *worker, struct celery_request *request,
                   const char *reason, const char *detail)
{
    LOG_EVENT(
        LOG_LEVEL_ERROR, "message_refused",
        LOG_STR("queue", broker_queue_name(worker->broker, request->queue)),
        LOG_STR("id", request->id), LOG_STR("reason", reason),
        LOG_STR("error", detail), LOG_STR("msg", "sent to the dead letters"));
    settle_push(worker, request, BROKER_DEAD_LETTER, reason, detail);
}

/* Decoded and signed as it should be. */
static void look_up(struct worker *worker, struct celery_request *request)
{
    const char *part = unsupported_part(&request->message);
    request->task =
        registry_find(&worker->app->registry, request->message.task);
    if (request->task == NULL)
        settle_unknown(worker, request);
    else if (part != NULL)
        refuse(worker, request, "workflow", part);
    else
        accept(worker, request);
}

/* Does the table hold a task that runs, or ends, without a claim? Some other one
 * than request. */
static bool is_orphan(struct worker *worker, struct celery_request *other,
                      const struct celery_request *request)
{
    struct celery_error err = {0};
    bool ours = false;
    if (other == request || other->acked || other->id == NULL
        || (other->state != REQUEST_ACTIVE && other->state != REQUEST_ENDED))
        return false;
    return broker_fence(worker->broker, other->tag, false, NULL, &ours, &err)
            == CELERY_OK
        && !ours;
}

bool dispatch_runs_here(void *arg, struct celery_str task_id)
{
    struct worker *worker = arg;
    if (!worker->orphans)
        return false;
    for (size_t i = 0; i < worker->count; i++) {
        struct celery_request *other = worker->table[i];
        if (is_orphan(worker, other, NULL) && strlen(other->id) == task_id.len
            && memcmp(other->id, task_id.data, task_id.len) == 0)
            return true;
    }
    return false;
}

/* After a lost connection the broker delivers again what still runs here: the
 * running one gets the new claim, instead of a second run beside it. */
static bool adopt(struct worker *worker, struct celery_request *request)
{
    bool orphans = false;
    if (!worker->orphans)
        return false;
    for (size_t i = 0; i < worker->count; i++) {
        struct celery_request *other = worker->table[i];
        if (!is_orphan(worker, other, request))
            continue;
        orphans = true;
        if (strcmp(other->id, request->id) != 0
            || other->message.retries != request->message.retries)
            continue;
        memcpy(other->tag, request->tag, sizeof other->tag);
        other->queue = request->queue;
        LOG_EVENT(LOG_LEVEL_INFO, "claim_renewed", LOG_STR("id", other->id),
                  LOG_STR("msg", "delivered again while it runs"));
        table_remove(worker, request);
        return true;
    }
    worker->orphans = orphans;
    return false;
}

static void take_delivery(struct worker *worker,
                          struct broker_delivery *delivery, bool was_parked)
{
    struct celery_request *request = request_new(delivery);
    struct celery_error err = {0};
    request->was_parked = was_parked;
    request->hostname = worker->settings.nodename;
    request->seq = worker->next_seq++;
    table_add(worker, request);
    enum celery_status st = request_decode(request, worker->settings.accept,
                                           &worker->settings.limits, &err);
    if (st == CELERY_OK && adopt(worker, request))
        return;
    const char *seal = st == CELERY_OK ? seal_problem(worker, request) : NULL;
    if (st == CELERY_UNSUPPORTED)
        refuse(worker, request, "content_refused", err.msg);
    else if (st != CELERY_OK)
        refuse(worker, request, "undecodable", err.msg);
    else if (seal != NULL)
        refuse(worker, request, seal, "CELERY_C_REQUIRE_SIGNED");
    else
        look_up(worker, request);
}

void dispatch_delivery(struct worker *worker, struct broker_delivery *delivery)
{
    take_delivery(worker, delivery, false);
}

void dispatch_due(struct worker *worker, struct broker_delivery *delivery)
{
    take_delivery(worker, delivery, true);
}

bool dispatch_fence(struct worker *worker, struct celery_request *request,
                    bool starting, bool *ret_ours)
{
    struct celery_error err = {0};
    if (!broker_connected(worker->broker)
        || broker_fence(worker->broker, request->tag, starting, NULL, ret_ours,
                        &err)
               != CELERY_OK)
        return false;
    if (*ret_ours) {
        request->fresh_us = clock_monotonic_us();
        return true;
    }
    metric_add(worker->metrics.lease_lost, 1, NULL);
    LOG_EVENT(LOG_LEVEL_WARNING, "lease_lost", LOG_STR("id", request->id),
              LOG_STR("msg",
                      "a peer took the claim over before it was started"));
    return true;
}

void dispatch_stale(struct worker *worker, struct celery_request *request)
{
    bool ours = false;
    if (worker->phase != WORKER_RUNNING) {
        settle_push(worker, request, BROKER_GIVE_BACK, NULL, NULL);
        return;
    }
    if (!dispatch_fence(worker, request, false, &ours)) {
        /* The broker is away: asked again when it is back. */
        request->state = REQUEST_PARKED;
        worker->parked++;
        worker->unacked--;
        schedule_hold(&worker->schedule, clock_wall_us() + USEC_PER_SEC,
                      request);
        return;
    }
    if (ours)
        make_ready(worker, request);
    else
        table_remove(worker, request);
}

void dispatch_held(struct worker *worker, struct celery_request *request)
{
    request->was_parked = true;
    if (is_expired(&request->message)
        || revoked_has(&worker->revoked, request->id)) {
        request->expired = is_expired(&request->message);
        settle_revoked(worker, request);
        return;
    }
    dispatch_stale(worker, request);
}
