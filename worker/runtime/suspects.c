/* SPDX-License-Identifier: MIT */
/*
 * Messages that came back from a worker that died with them. Most are innocent
 * neighbours of the one that killed it. So each is started alone, outside of any
 * batch, and its claim is marked as started just before: when this worker dies
 * too, only those that were marked are counted (broker/deliveries.h). At most as
 * many as there are slots are marked at a time, and one that the next count would
 * send to the dead letters only when no other suspect runs, so that it is never
 * condemned for its neighbour.
 */
#include "base/clock.h"
#include "broker/deliveries.h"
#include "runtime/worker_state.h"

void suspects_add(struct worker *worker, struct celery_request *request)
{
    request->batch_next = NULL;
    *worker->suspects_tail = request;
    worker->suspects_tail = &request->batch_next;
}

struct celery_request *suspects_take(struct worker *worker)
{
    struct celery_request *request = worker->suspects;
    if (request == NULL)
        return NULL;
    worker->suspects = request->batch_next;
    request->batch_next = NULL;
    if (worker->suspects == NULL)
        worker->suspects_tail = &worker->suspects;
    return request;
}

static bool has_last_chance(const struct worker *worker,
                            const struct celery_request *request)
{
    unsigned most = worker->settings.max_deliveries;
    return most > 0
        && broker_deliveries_next(request->deliveries, true) >= most;
}

static bool may_start(const struct worker *worker)
{
    if (worker->suspects_running == 0)
        return true;
    return !worker->last_chance_runs
        && !has_last_chance(worker, worker->suspects)
        && worker->suspects_running < pool_concurrency(worker->pool);
}

void suspects_run(struct worker *worker)
{
    while (worker->suspects != NULL && may_start(worker)) {
        struct celery_request *request = worker->suspects;
        bool ours = false;
        if (!dispatch_fence(worker, request, true, &ours))
            return; /* the broker is away */
        (void)suspects_take(worker);
        if (!ours) {
            table_remove(worker, request);
            continue;
        }
        request->suspect_runs = true;
        worker->suspects_running++;
        worker->last_chance_runs = has_last_chance(worker, request);
        worker->running++;
        worker->limited +=
            request->hard_limit_s > 0 || request->soft_limit_s > 0;
        pool_submit_first(worker->pool, request);
    }
}

void suspects_ended(struct worker *worker, struct celery_request *request)
{
    if (!request->suspect_runs)
        return;
    request->suspect_runs = false;
    worker->suspects_running--;
    worker->last_chance_runs = false;
}
