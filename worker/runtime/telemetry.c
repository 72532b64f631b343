/* SPDX-License-Identifier: MIT */
/*
 * The worker's metrics, with celery-exporter's names and labels, so that its
 * dashboards and alerts work on our /metrics unchanged; ours stand beside them.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/worker_state.h"

enum {
    SCRAPE_WAIT_MS = 500,
    LEAD_S = 45, /* three of the usual scrapes */
};

#define TASK_LABELS                            \
    {                                          \
        "name", "hostname", "queue_name", NULL \
    }

static void show_queue(struct worker *worker, size_t i)
{
    const struct worker_metrics *m = &worker->metrics;
    struct broker_depth depth;
    const char *queue[] = {broker_queue_name(worker->broker, i)};
    if (!broker_connected(worker->broker)
        || !broker_queue_active(worker->broker, i)
        || broker_depth(worker->broker, i, &depth, NULL) != CELERY_OK)
        return;
    metric_set(m->queue_length, (double)depth.ready, queue);
    metric_set(m->unacked, (double)depth.unacked, queue);
    metric_set(m->dead, (double)depth.dead, queue);
    metric_set(m->oldest, depth.oldest_s > 0 ? depth.oldest_s : 0, NULL);
}

static void hide_queue(struct worker *worker, size_t i)
{
    const struct worker_metrics *m = &worker->metrics;
    const char *queue[] = {broker_queue_name(worker->broker, i)};
    metric_forget(m->queue_length, queue);
    metric_forget(m->unacked, queue);
    metric_forget(m->dead, queue);
    metric_forget(m->oldest, NULL);
}

/* What the broker knows; asked only when somebody wants to know. The queues are
 * everybody's: one worker of all shows them, or sums would count them often. */
static void look_up(struct worker *worker)
{
    const struct worker_metrics *m = &worker->metrics;
    const char *host[] = {worker->host_label};
    bool leading = false;
    metric_set(m->up, worker->phase == WORKER_RUNNING, host);
    metric_set(m->active, (double)consumer_active(worker), host);
    metric_set(m->eta, (double)worker->parked, NULL);
    metric_set(m->broker_up, broker_connected(worker->broker), NULL);
    if (broker_connected(worker->broker)
        && broker_lead(worker->broker, BROKER_WORKS, LEAD_S, &leading, NULL)
               != CELERY_OK)
        leading = false;
    for (size_t i = 0; i < broker_queue_count(worker->broker); i++) {
        if (leading)
            show_queue(worker, i);
        else
            hide_queue(worker, i);
    }
}

void telemetry_serve(struct worker *worker)
{
    lock_acquire(&worker->scrape_lock);
    uint64_t wanted = worker->scrapes_wanted;
    bool serve = wanted != worker->scrapes_served;
    lock_release(&worker->scrape_lock);
    if (!serve)
        return;
    look_up(worker);
    lock_acquire(&worker->scrape_lock);
    worker->scrapes_served = wanted;
    (void)pthread_cond_broadcast(&worker->scrape_done);
    lock_release(&worker->scrape_lock);
}

/* thread: http. Asks the consumer and waits for it, but not long: a scrape of a
 * worker whose broker hangs shows the last values. */
static void on_scrape(void *arg)
{
    struct worker *worker = arg;
    static const uint64_t one = 1;
    int64_t until_us = clock_monotonic_us() + SCRAPE_WAIT_MS * USEC_PER_MSEC;
    const struct timespec until = {.tv_sec = until_us / USEC_PER_SEC,
                                   .tv_nsec = until_us % USEC_PER_SEC * 1000};
    int rc = 0;
    lock_acquire(&worker->scrape_lock);
    uint64_t mine = ++worker->scrapes_wanted;
    (void)!write(worker->done.fd, &one, sizeof one);
    while (worker->scrapes_served < mine && rc == 0)
        rc = pthread_cond_timedwait(&worker->scrape_done,
                                    &worker->scrape_lock.mutex, &until);
    lock_release(&worker->scrape_lock);
}

static void start_scrapes(struct worker *worker)
{
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&worker->scrape_lock.mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->scrape_done, &attr);
    (void)pthread_condattr_destroy(&attr);
    metrics_on_collect(on_scrape, worker);
}

static const struct metric_desc received_desc = {
    "celery_task_received_total",
    "Sent when the worker receives a task.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc started_desc = {
    "celery_task_started_total",
    "Sent just before the worker executes the task.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc succeeded_desc = {
    "celery_task_succeeded_total",
    "Sent if the task executed successfully.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc failed_desc = {
    "celery_task_failed_total",
    "Sent if the execution of the task failed.",
    METRIC_COUNTER,
    {"name", "hostname", "queue_name", "exception", NULL},
    NULL,
    0};
static const struct metric_desc retried_desc = {
    "celery_task_retried_total",
    "Sent if the task failed, but will be retried in the future.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc revoked_desc = {
    "celery_task_revoked_total",
    "Sent if the task has been revoked.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc rejected_desc = {
    "celery_task_rejected_total",
    "The task was rejected by the worker, possibly to be re-queued or "
    "moved "
    "to a dead letter queue.",
    METRIC_COUNTER,
    TASK_LABELS,
    NULL,
    0};
static const struct metric_desc runtime_desc = {
    "celery_task_runtime",  "Histogram of task runtime measurements.",
    METRIC_HISTOGRAM,       TASK_LABELS,
    metric_default_buckets, 14};

static void register_tasks(struct worker_metrics *m)
{
    m->received = metric_register(&received_desc);
    m->started = metric_register(&started_desc);
    m->succeeded = metric_register(&succeeded_desc);
    m->failed = metric_register(&failed_desc);
    m->retried = metric_register(&retried_desc);
    m->revoked = metric_register(&revoked_desc);
    m->rejected = metric_register(&rejected_desc);
    m->runtime = metric_register(&runtime_desc);
}

static const struct metric_desc up_desc = {
    "celery_worker_up",
    "Indicates if a worker has recently sent a heartbeat.",
    METRIC_GAUGE,
    {"hostname", NULL},
    NULL,
    0};
static const struct metric_desc active_desc = {
    "celery_worker_tasks_active",
    "The number of tasks the worker is currently processing",
    METRIC_GAUGE,
    {"hostname", NULL},
    NULL,
    0};
static const struct metric_desc length_desc = {
    "celery_queue_length",
    "The number of message in broker queue.",
    METRIC_GAUGE,
    {"queue_name", NULL},
    NULL,
    0};
static const struct metric_desc unacked_desc = {
    "celery_c_unacked",
    "Messages claimed by workers and not settled.",
    METRIC_GAUGE,
    {"queue_name", NULL},
    NULL,
    0};
static const struct metric_desc eta_desc = {
    "celery_c_eta_backlog",
    "Tasks this worker holds until their ETA.",
    METRIC_GAUGE,
    {NULL},
    NULL,
    0};
static const struct metric_desc dead_desc = {
    "celery_c_dead_letters",
    "Messages in the queue's dead-letter list.",
    METRIC_GAUGE,
    {"queue_name", NULL},
    NULL,
    0};
static const struct metric_desc oldest_desc = {
    "celery_c_oldest_claim_seconds",
    "Seconds since what the oldest claim is stamped with; a running worker of "
    "ours stamps 60 s ahead.",
    METRIC_GAUGE,
    {NULL},
    NULL,
    0};
static const struct metric_desc broker_up_desc = {
    "celery_c_broker_up",
    "1 while the worker is connected to its broker.",
    METRIC_GAUGE,
    {NULL},
    NULL,
    0};
static const struct metric_desc lost_desc = {
    "lease_lost_total",
    "Claims that a peer took over before we settled them.",
    METRIC_COUNTER,
    {NULL},
    NULL,
    0};
static const struct metric_desc reconnects_desc = {
    "celery_c_broker_reconnects_total",
    "Times the connection to the broker was lost.",
    METRIC_COUNTER,
    {NULL},
    NULL,
    0};
static const struct metric_desc dead_lettered_desc = {
    "celery_c_dead_lettered_total",
    "Messages sent to the dead letters.",
    METRIC_COUNTER,
    {"queue_name", "reason", NULL},
    NULL,
    0};

static void register_broker(struct worker_metrics *m)
{
    m->up = metric_register(&up_desc);
    m->active = metric_register(&active_desc);
    m->queue_length = metric_register(&length_desc);
    m->unacked = metric_register(&unacked_desc);
    m->eta = metric_register(&eta_desc);
    m->dead = metric_register(&dead_desc);
    m->oldest = metric_register(&oldest_desc);
    m->broker_up = metric_register(&broker_up_desc);
    m->lease_lost = metric_register(&lost_desc);
    m->reconnects = metric_register(&reconnects_desc);
    m->dead_lettered = metric_register(&dead_lettered_desc);
    metric_add(m->lease_lost, 0, NULL);
    metric_add(m->reconnects, 0, NULL);
}

/* A counter must be there with 0 before it counts: rates and ratios of what is
 * not there are nothing. */
static void begin_at_zero(struct worker *worker)
{
    const struct worker_metrics *m = &worker->metrics;
    struct metric *const counters[] = {m->received, m->started, m->succeeded,
                                       m->retried,  m->revoked, m->rejected};
    for (size_t t = 0; t < worker->app->registry.count; t++) {
        for (size_t q = 0; q < broker_queue_count(worker->broker); q++) {
            const char *values[] = {worker->app->registry.tasks[t].name,
                                    worker->host_label,
                                    broker_queue_name(worker->broker, q), ""};
            for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
                metric_add(counters[i], 0, values);
            metric_add(m->failed, 0, values);
        }
    }
}

void telemetry_register(struct worker *worker)
{
    register_tasks(&worker->metrics);
    register_broker(&worker->metrics);
    start_scrapes(worker);
    const char *at = strchr(worker->settings.nodename, '@');
    worker->host_label = at != NULL ? at + 1 : worker->settings.nodename;
    begin_at_zero(worker);
}

void telemetry_count(struct worker *worker, struct metric *metric,
                     const struct celery_request *request)
{
    const char *values[] = {request->task != NULL ? request->task->name
                                                  : "unregistered",
                            worker->host_label,
                            broker_queue_name(worker->broker, request->queue)};
    metric_add(metric, 1, values);
}
