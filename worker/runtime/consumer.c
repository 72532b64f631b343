/* SPDX-License-Identifier: MIT */
/*
 * The loop: wait for the broker, the pool, the results, signals and the next
 * deadline; then claim, hand over, settle, tell. One thread; nothing in it waits
 * for a task.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/supervisor.h"
#include "base/xalloc.h"
#include "log/log.h"
#include "runtime/parked.h"
#include "runtime/worker_state.h"

enum {
    RENEW_EVERY_S = 10,
    CLAIM_EVERY_S = 1,
    LIMITS_EVERY_MS = 100,
    ACKED_MAX = 4096,
    POLL_MIN_MS = 5,
    POLL_MAX_MS = 100,
};

size_t consumer_active(const struct worker *worker)
{
    size_t active = 0;
    for (size_t i = 0; i < worker->count; i++)
        active += worker->table[i]->state == REQUEST_ACTIVE;
    return active;
}

size_t consumer_prefetch(const struct worker *worker)
{
    size_t base = pool_concurrency(worker->pool);
    if (worker->settings.fair)
        return base;
    if (worker->settings.prefetch_multiplier == 0)
        return 0;
    return base * worker->settings.prefetch_multiplier + worker->parked;
}

/* The window is for claims that are not acked; parked ones widen it by one each,
 * as Celery's QoS does. */
size_t consumer_free(const struct worker *worker)
{
    if (worker->phase != WORKER_RUNNING)
        return 0;
    /* Acked early and not over: while the result backend is away they pile up. */
    if (worker->count - worker->schedule.held - worker->unacked >= ACKED_MAX)
        return 0;
    size_t used = worker->unacked;
    if (worker->settings.fair && worker->running > used)
        used = worker->running; /* early acks: the slot is taken all the same */
    size_t window = consumer_prefetch(worker);
    if (window == 0)
        return BROKER_CLAIM_MAX;
    if (!worker->settings.fair)
        window -= worker->parked;
    if (used >= window)
        return 0;
    size_t left = window - used;
    return left < BROKER_CLAIM_MAX ? left : BROKER_CLAIM_MAX;
}

/* --- broker connection ---------------------------------------------------- */

/* What has not started leaves the pool and the schedule, as a list of requests;
 * the caller frees the array. */
static struct celery_request **take_unstarted(struct worker *worker,
                                              size_t *ret_count)
{
    size_t count = 0;
    struct celery_request *list = pool_take_back(worker->pool);
    struct celery_request **back = xcalloc(worker->count + 1, sizeof(void *));
    while (list != NULL) {
        struct celery_request *next =
            (struct celery_request *)(void *)list->op.next;
        worker->running--;
        worker->limited -= list->hard_limit_s > 0 || list->soft_limit_s > 0;
        suspects_ended(worker, list);
        back[count++] = list;
        list = next;
    }
    struct celery_request *suspect = NULL;
    while ((suspect = suspects_take(worker)) != NULL)
        back[count++] = suspect;
    struct celery_request *held = NULL;
    while ((held = parked_take_held(worker)) != NULL)
        back[count++] = held;
    *ret_count = count;
    return back;
}

/* The claims ended with the connection, and the broker gives what they held to
 * somebody else, or to us again: what has not started must not run from here. */
static void forget_unstarted(struct worker *worker)
{
    size_t count = 0;
    struct celery_request **lost = take_unstarted(worker, &count);
    for (size_t i = 0; i < count; i++)
        table_remove(worker, lost[i]);
    free(lost);
    worker->orphans = worker->count > 0;
    if (count > 0)
        LOG_EVENT(LOG_LEVEL_INFO, "claims_forgotten",
                  LOG_INT("messages", count),
                  LOG_STR("msg", "the broker delivers them again"));
}

static void note_lost(struct worker *worker, const char *error)
{
    worker->connected = false;
    if (worker->lost_since_us != 0)
        return;
    if (broker_claims_end_with_connection(worker->broker))
        forget_unstarted(worker);
    worker->lost_since_us = clock_monotonic_us();
    worker->reconnect_due_us = 0;
    backoff_reset(&worker->backoff);
    metric_add(worker->metrics.reconnects, 1, NULL);
    LOG_EVENT(LOG_LEVEL_WARNING, "broker_lost", LOG_STR("error", error),
              LOG_STR("msg",
                      "Connection to broker lost. Trying to re-establish "
                      "the connection..."));
}

static void check_broker(struct worker *worker, enum celery_status st,
                         const struct celery_error *err)
{
    if (st != CELERY_OK && !broker_connected(worker->broker))
        note_lost(worker, err->msg);
}

/* All claims we hold, stamped again: their leases ran on meanwhile. */
static void renew_leases(struct worker *worker)
{
    struct celery_error err = {0};
    int64_t now = clock_monotonic_us();
    double soon = (double)clock_wall_us() / USEC_PER_SEC + 300;
    struct broker_lease *leases = calloc(worker->count + 1, sizeof *leases);
    size_t count = 0;
    worker->renew_due_us = now + (int64_t)RENEW_EVERY_S * USEC_PER_SEC;
    for (size_t i = 0; i < worker->count && leases != NULL; i++) {
        const struct celery_request *r = worker->table[i];
        double until = 0;
        if (r->acked)
            continue;
        if (r->state == REQUEST_PARKED) {
            until = (double)r->message.eta_us / USEC_PER_SEC;
            /* A parked claim's score is up to 900 s ahead: it is moved on when
             * less than 300 s of that are left, not every time. */
            if (until > soon && r->parked_until_s > soon)
                continue;
            worker->table[i]->parked_until_s = soon + 600;
        }
        leases[count++] = (struct broker_lease){r->tag, until};
    }
    if (count > 0 && leases != NULL)
        check_broker(worker, broker_renew(worker->broker, leases, count, &err),
                     &err);
    free(leases);
}

/* Gives back what a claim took whose answer was lost with the connection. */
static void reclaim(struct worker *worker)
{
    struct celery_error err = {0};
    check_broker(worker,
                 broker_reclaim(worker->broker, parked_knows, worker, &err),
                 &err);
    parked_knows_done(worker);
}

static void connected(struct worker *worker)
{
    worker->connected = true;
    if (worker->lost_since_us != 0)
        LOG_EVENT(LOG_LEVEL_INFO, "broker_back",
                  LOG_DOUBLE("lost_s", (double)(clock_monotonic_us()
                                                - worker->lost_since_us)
                                           / USEC_PER_SEC));
    worker->lost_since_us = 0;
    worker->claim_due_us = 0;
    for (size_t i = 0; i < worker->count; i++)
        worker->table[i]->parked_until_s = 0;
    renew_leases(worker);
    reclaim(worker);
    heartbeat_send(worker, "worker-online");
}

static void reconnect_if_due(struct worker *worker)
{
    struct celery_error err = {0};
    int64_t now = clock_monotonic_us();
    if (broker_connected(worker->broker)) {
        /* A publish (of a retry) may have connected again by itself. */
        if (worker->lost_since_us != 0)
            connected(worker);
        return;
    }
    if (worker->lost_since_us == 0)
        note_lost(worker, "not connected");
    if (now < worker->reconnect_due_us)
        return;
    if (broker_connect(worker->broker, &err) == CELERY_OK) {
        connected(worker);
        return;
    }
    worker->reconnect_due_us =
        clock_monotonic_us()
        + backoff_reconnect_us(&worker->backoff, now - worker->lost_since_us);
    LOG_EVENT(LOG_LEVEL_DEBUG, "broker_still_lost", LOG_STR("error", err.msg));
}

/* --- claiming -------------------------------------------------------------- */

static int64_t next_claim_us(struct worker *worker, size_t got)
{
    if (broker_wakes(worker->broker))
        return clock_monotonic_us() + (int64_t)CLAIM_EVERY_S * USEC_PER_SEC;
    worker->poll_us = got > 0 || worker->poll_us == 0
                        ? POLL_MIN_MS * USEC_PER_MSEC
                        : worker->poll_us * 2;
    if (worker->poll_us > POLL_MAX_MS * USEC_PER_MSEC)
        worker->poll_us = POLL_MAX_MS * USEC_PER_MSEC;
    return clock_monotonic_us() + worker->poll_us;
}

/* One claim a turn: between two of them ends are settled and requests answered. */
static void claim(struct worker *worker)
{
    static struct broker_delivery deliveries[BROKER_CLAIM_MAX];
    struct celery_error err = {0};
    size_t free_slots = consumer_free(worker);
    size_t count = 0;
    if (!broker_connected(worker->broker) || free_slots == 0)
        return;
    if (!worker->more && clock_monotonic_us() < worker->claim_due_us)
        return;
    broker_set_prefetch(worker->broker, consumer_prefetch(worker));
    enum celery_status st =
        broker_claim(worker->broker, free_slots, deliveries, &count, &err);
    if (st != CELERY_OK) {
        LOG_EVENT(LOG_LEVEL_WARNING, "claim_failed", LOG_STR("error", err.msg));
        check_broker(worker, st, &err);
        worker->claim_due_us =
            clock_monotonic_us() + (int64_t)CLAIM_EVERY_S * USEC_PER_SEC;
        worker->more = false;
        return;
    }
    if (count > 0)
        FAILPOINT("after-claim");
    worker->more = count > 0;
    worker->claim_due_us = next_claim_us(worker, count);
    for (size_t i = 0; i < count; i++)
        dispatch_delivery(worker, &deliveries[i]);
    dispatch_flush(worker);
}

/* --- what came back --------------------------------------------------------- */

static struct celery_request *request_of_start(struct op *op)
{
    return (struct celery_request *)(void *)((char *)op
                                             - offsetof(struct celery_request,
                                                        start_op));
}

/* Ends are taken first and starts second, so that every start is seen before its
 * end. */
static void drain_pool(struct worker *worker)
{
    struct op *done = op_queue_take(&worker->done);
    for (struct op *op = op_queue_take(&worker->started); op != NULL;) {
        struct op *next = op->next;
        settle_started(worker, request_of_start(op));
        op = next;
    }
    while (done != NULL) {
        struct op *next = done->next;
        settle_ended(worker, (struct celery_request *)(void *)done);
        done = next;
    }
    for (struct op *op = op_queue_take(&worker->stored); op != NULL;) {
        struct op *next = op->next;
        settle_stored(worker, (struct celery_request *)(void *)op);
        op = next;
    }
}

static void receive(struct worker *worker)
{
    struct celery_error err = {0};
    bool wake = false;
    if (!broker_connected(worker->broker))
        return;
    check_broker(worker, broker_receive(worker->broker, &wake, &err), &err);
    if (wake)
        worker->claim_due_us = 0;
}

/* --- time ------------------------------------------------------------------- */

static bool due(int64_t *at_us, int64_t every_us)
{
    int64_t now = clock_monotonic_us();
    if (now < *at_us)
        return false;
    *at_us = now + every_us;
    return true;
}

static void run_timers(struct worker *worker)
{
    struct celery_error err = {0};
    if (worker->limited > 0
        && due(&worker->limits_due_us, LIMITS_EVERY_MS * USEC_PER_MSEC))
        timelimit_check(worker);
    if (!broker_connected(worker->broker))
        return;
    if (worker->settings.heartbeat_s > 0
        && due(&worker->heartbeat_due_us,
               (int64_t)(worker->settings.heartbeat_s * USEC_PER_SEC)))
        heartbeat_send(worker, "worker-heartbeat");
    if (due(&worker->tick_due_us, USEC_PER_SEC)) {
        check_broker(worker, broker_maintain(worker->broker, &err), &err);
        parked_renew(worker);
        revoked_purge(&worker->revoked);
    }
    if (broker_connected(worker->broker)
        && clock_monotonic_us() >= worker->renew_due_us)
        renew_leases(worker);
}

static void earlier(int64_t *deadline, int64_t other)
{
    if (other < *deadline)
        *deadline = other;
}

static int64_t next_deadline(const struct worker *worker)
{
    int64_t deadline = INT64_MAX;
    if (worker->limited > 0)
        earlier(&deadline, worker->limits_due_us);
    if (worker->phase != WORKER_RUNNING)
        earlier(&deadline, worker->drain_until_us);
    if (!broker_connected(worker->broker)) {
        earlier(&deadline, worker->reconnect_due_us);
        return deadline;
    }
    earlier(&deadline, worker->tick_due_us);
    earlier(&deadline, worker->renew_due_us);
    if (worker->settings.heartbeat_s > 0)
        earlier(&deadline, worker->heartbeat_due_us);
    if (consumer_free(worker) > 0)
        earlier(&deadline, worker->more ? 0 : worker->claim_due_us);
    int64_t eta = schedule_next_us(&worker->schedule);
    if (eta != INT64_MAX)
        earlier(&deadline, clock_monotonic_us() + eta - clock_wall_us());
    return deadline;
}

static void wait(struct worker *worker)
{
    struct pollfd fds[BROKER_FDS_MAX + 4];
    size_t count = broker_fds(worker->broker, fds);
    fds[count++] = (struct pollfd){worker->signal_fd, POLLIN, 0};
    fds[count++] = (struct pollfd){worker->done.fd, POLLIN, 0};
    fds[count++] = (struct pollfd){worker->started.fd, POLLIN, 0};
    fds[count++] = (struct pollfd){worker->stored.fd, POLLIN, 0};
    (void)poll(fds, count, clock_poll_ms(next_deadline(worker)));
}

/* --- shutdown ---------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
    const struct celery_request *x = *(struct celery_request *const *)a;
    const struct celery_request *y = *(struct celery_request *const *)b;
    return (x->seq < y->seq) - (x->seq > y->seq);
}

/* What has not started goes back, newest first, each to the front of its list: so
 * the oldest is the next one out. */
static void give_back(struct worker *worker)
{
    size_t count = 0;
    struct celery_request **back = take_unstarted(worker, &count);
    size_t parked = parked_give_back(worker);
    if (count > 0)
        qsort(back, count, sizeof(void *), newest_first);
    for (size_t i = 0; i < count; i++)
        settle_push(worker, back[i], BROKER_GIVE_BACK, NULL, NULL);
    free(back);
    broker_stop(worker->broker);
    if (count + parked > 0)
        LOG_EVENT(LOG_LEVEL_INFO, "given_back",
                  LOG_INT("messages", count + parked));
}

void consumer_shutdown(struct worker *worker, bool cold)
{
    if (worker->phase == WORKER_COLD)
        return;
    if (worker->phase == WORKER_DRAINING)
        cold = true;
    LOG_EVENT(LOG_LEVEL_INFO, "shutdown",
              LOG_STR("msg", cold ? "worker: Cold shutdown (MainProcess)"
                                  : "worker: Warm shutdown (MainProcess)"));
    (void)supervisor_stopping(cold ? "not waiting for running tasks"
                                   : "waiting for running tasks");
    if (worker->phase == WORKER_RUNNING)
        give_back(worker);
    worker->phase = cold ? WORKER_COLD : WORKER_DRAINING;
    worker->drain_until_us =
        clock_monotonic_us()
        + (cold ? 0 : (int64_t)(worker->settings.shutdown_s * USEC_PER_SEC));
}

/* Running tasks that acks late go back when their time is over: somebody runs
 * them again. */
static void give_back_running(struct worker *worker)
{
    for (size_t i = 0; i < worker->count; i++) {
        struct celery_request *request = worker->table[i];
        if (request->state != REQUEST_ACTIVE)
            continue;
        request->cancelled = true;
        LOG_EVENT(LOG_LEVEL_WARNING, "task_left_running",
                  LOG_STR("name", request->task->name),
                  LOG_STR("id", request->id),
                  LOG_BOOL("given_back", !request->acked));
        if (request->acked)
            continue;
        struct celery_request *clone =
            request_clone(request, worker->settings.accept,
                          &worker->settings.limits);
        if (clone == NULL)
            continue;
        clone->slot = i;
        worker->table[i] = clone;
        settle_retarget(worker, request, clone);
        request->abandoned = true;
        settle_push(worker, clone, BROKER_GIVE_BACK, NULL, NULL);
    }
}

static void handle_signals(struct worker *worker)
{
    struct signalfd_siginfo info;
    while (read(worker->signal_fd, &info, sizeof info)
           == (ssize_t)sizeof info) {
        LOG_EVENT(LOG_LEVEL_INFO, "signal", LOG_INT("number", info.ssi_signo));
        consumer_shutdown(worker, info.ssi_signo == SIGQUIT);
    }
}

static bool finished(const struct worker *worker)
{
    if (worker->phase == WORKER_RUNNING)
        return false;
    bool over = clock_monotonic_us() >= worker->drain_until_us;
    return over || (worker->running == 0 && worker->count == 0);
}

static void turn(struct worker *worker)
{
    struct celery_error err = {0};
    handle_signals(worker);
    reconnect_if_due(worker);
    receive(worker);
    mailbox_drain(worker);
    drain_pool(worker);
    settle_flush(worker);
    if (worker->phase == WORKER_RUNNING) {
        parked_due(worker);
        claim(worker);
        suspects_run(worker);
    }
    dispatch_flush(worker);
    check_broker(worker, events_flush(&worker->events, worker->broker, &err),
                 &err);
    telemetry_serve(worker);
    run_timers(worker);
}

void consumer_run(struct worker *worker)
{
    while (!finished(worker)) {
        wait(worker);
        turn(worker);
    }
    give_back_running(worker);
    settle_flush(worker);
}
