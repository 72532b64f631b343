/* SPDX-License-Identifier: MIT */
/*
 * Soft limits set the request's cancel flag. A thread cannot be killed: past the
 * hard limit its request is settled as a copy, the thread is given up and
 * another one takes its slot. (A batch's calls have deadlines of their own: its
 * members share one thread, so none of them can be given up alone.) After max(2, concurrency) lost threads the worker
 * drains and exits with 1.
 */
#include <stdio.h>

#include "base/clock.h"
#include "log/log.h"
#include "runtime/worker_state.h"

static void give_up(struct worker *worker, struct celery_request *request)
{
    char args[32];
    struct celery_request *clone =
        request_clone(request, worker->settings.accept,
                      &worker->settings.limits);
    if (clone == NULL)
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, "hard_time_limit",
              LOG_STR("name", request->task->name), LOG_STR("id", request->id),
              LOG_DOUBLE("limit_s", request->hard_limit_s));
    clone->hard_limit_s = request->hard_limit_s;
    clone->soft_limit_s = request->soft_limit_s;
    clone->ended_us = clock_monotonic_us();
    clone->slot = request->slot;
    worker->table[clone->slot] = clone;
    settle_retarget(worker, request, clone);
    request->cancelled = true;
    request->abandoned = true;
    (void)snprintf(args, sizeof args, "[%g]", request->hard_limit_s);
    request_fail(clone, "TimeLimitExceeded", "billiard.exceptions", args, NULL);
    pool_replace_thread(worker->pool);
    settle_ended(worker, clone);

    size_t most =
        worker->settings.concurrency > 2 ? worker->settings.concurrency : 2;
    if (pool_lost_threads(worker->pool) >= most
        && worker->phase == WORKER_RUNNING) {
        LOG_EVENT(LOG_LEVEL_CRITICAL, "too_many_lost_threads",
                  LOG_INT("lost", pool_lost_threads(worker->pool)),
                  LOG_STR("msg", "the worker drains and exits with status 1"));
        worker->exit_status = 1;
        consumer_shutdown(worker, false);
    }
}

void timelimit_check(struct worker *worker)
{
    int64_t now = clock_monotonic_us();
    for (size_t i = 0; i < worker->count; i++) {
        struct celery_request *request = worker->table[i];
        if (request->state != REQUEST_ACTIVE)
            continue;
        double ran = (double)(now - request->started_us) / USEC_PER_SEC;
        if (request->soft_limit_s > 0 && ran > request->soft_limit_s
            && !request->soft_timeout) {
            request->soft_timeout = true;
            LOG_EVENT(LOG_LEVEL_WARNING, "soft_time_limit",
                      LOG_STR("name", request->task->name),
                      LOG_STR("id", request->id),
                      LOG_DOUBLE("limit_s", request->soft_limit_s));
        }
        if (request->hard_limit_s > 0 && ran > request->hard_limit_s
            && request->task->run_batch == NULL)
            give_up(worker, request);
    }
}
