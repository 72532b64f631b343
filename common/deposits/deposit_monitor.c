/* SPDX-License-Identifier: MIT */
#include "deposits/deposit_monitor.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "broker/broker.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum { AUDIT_ROWS = 2000, EXPIRE_ROWS = 1000, TICK_MS = 1000, LEAD_LOOKS = 3 };

static const double broker_timeout_s = 2.0;

struct deposit_monitor {
    struct deposit_monitor_options options;
    struct broker *broker; /* NULL: no queue is watched */
    pthread_t thread;
    int stop_fd;
    int64_t look_due_us;
    int64_t audit_due_us;
    int64_t expire_due_us;
    bool leading;
    bool ledger_was_down;
};

static struct metric *ledger_up;
static struct metric *by_state;
static struct metric *oldest_open;
static struct metric *sweeper_due;
static struct metric *sweeper_overdue;
static struct metric *difference;
static struct metric *audit_passes;
static struct metric *audit_finished;
static struct metric *queue_length;
static struct metric *dead_letters;

static struct metric *pool_active;
static struct metric *pool_max;

static struct metric *gauge(const struct metric_desc *desc)
{
    return metric_register(desc);
}

static void register_backlog(void)
{
    static const struct metric_desc up = {
        "ledger_up",  "1 while the ledger answers the monitor's questions.",
        METRIC_GAUGE, {NULL},
        NULL,         0};
    static const struct metric_desc state = {
        "ledger_deposits",
        "Deposits by state; credited is an estimate on PostgreSQL.",
        METRIC_GAUGE,
        {"state", NULL},
        NULL,
        0};
    static const struct metric_desc oldest = {
        "deposit_oldest_open_seconds",
        "Age of the oldest deposit that still needs work.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    static const struct metric_desc due = {
        "deposit_sweeper_due",
        "Open deposits whose task should be published again by now.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    static const struct metric_desc overdue = {
        "deposit_sweeper_overdue_seconds",
        "Since when the sweeper is behind with the longest of them.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    ledger_up = gauge(&up);
    by_state = gauge(&state);
    oldest_open = gauge(&oldest);
    sweeper_due = gauge(&due);
    sweeper_overdue = gauge(&overdue);
}

static void register_audit(void)
{
    static const struct metric_desc off = {
        "ledger_difference",
        "Rows that the running comparison of the books found to differ.",
        METRIC_GAUGE,
        {"kind", NULL},
        NULL,
        0};
    static const struct metric_desc passes = {
        "ledger_audit_passes",
        "How often all books were compared, by all processes together.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    static const struct metric_desc finished = {
        "ledger_audit_last_pass_timestamp_seconds",
        "When the last whole comparison of the books ended.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    difference = gauge(&off);
    audit_passes = gauge(&passes);
    audit_finished = gauge(&finished);
}

/* The names that a worker shows them under. */
static void register_queue(void)
{
    static const struct metric_desc length = {
        "celery_queue_length",
        "The number of message in broker queue.",
        METRIC_GAUGE,
        {"queue_name", NULL},
        NULL,
        0};
    static const struct metric_desc dead = {
        "celery_c_dead_letters",
        "Messages in the queue's dead-letter list.",
        METRIC_GAUGE,
        {"queue_name", NULL},
        NULL,
        0};
    queue_length = gauge(&length);
    dead_letters = gauge(&dead);
}

/* At every scrape: it is a look at two numbers. */
static void collect_pool(void *arg)
{
    int active = 0;
    int max = 0;
    ledger_pool_stats(arg, &active, &max);
    metric_set(pool_active, active, NULL);
    metric_set(pool_max, max, NULL);
}

static void register_pool(struct ledger *ledger)
{
    static const struct metric_desc active = {"db_pool_connections_active",
                                              "Database connections in use.",
                                              METRIC_GAUGE,
                                              {NULL},
                                              NULL,
                                              0};
    static const struct metric_desc max = {
        "db_pool_connections_max",
        "Database connections that may be open.",
        METRIC_GAUGE,
        {NULL},
        NULL,
        0};
    pool_active = gauge(&active);
    pool_max = gauge(&max);
    metrics_on_collect(collect_pool, ledger);
}

/* --- the ledger --------------------------------------------------------- */

static void tell_ledger(struct deposit_monitor *monitor, bool up,
                        const struct celery_error *err)
{
    metric_set(ledger_up, up, NULL);
    if (!up && !monitor->ledger_was_down)
        LOG_EVENT(LOG_LEVEL_WARNING, "ledger_not_answering",
                  LOG_STR("error", err->msg));
    monitor->ledger_was_down = !up;
}

static void look_at_backlog(struct deposit_monitor *monitor)
{
    struct ledger_backlog backlog;
    struct celery_error err = {0};
    bool up =
        ledger_backlog(monitor->options.ledger, &backlog, &err) == CELERY_OK;
    tell_ledger(monitor, up, &err);
    if (!up)
        return;
    for (int i = 0; i < LEDGER_STATE_COUNT; i++) {
        const char *state[] = {ledger_state_name((enum ledger_state)i)};
        metric_set(by_state, (double)backlog.count[i], state);
    }
    metric_set(oldest_open, backlog.oldest_s, NULL);
    metric_set(sweeper_due, (double)backlog.due, NULL);
    metric_set(sweeper_overdue, backlog.overdue_s, NULL);
}

/* While a pass is under way a slice whenever one is due; between two passes only
 * a look at what the other processes found. */
static void audit(struct deposit_monitor *monitor)
{
    struct ledger_audit found;
    struct celery_error err = {0};
    if (monitor->options.audit_pause_s <= 0
        || clock_monotonic_us() < monitor->audit_due_us)
        return;
    /* A ledger that is away is told of by the backlog. */
    if (ledger_audit(monitor->options.ledger, AUDIT_ROWS,
                     monitor->options.audit_pause_s, &found, &err)
        != CELERY_OK) {
        LOG_EVENT(LOG_LEVEL_DEBUG, "audit_failed", LOG_STR("error", err.msg));
        return;
    }
    static const char *const wallets[] = {"wallets"};
    static const char *const credits[] = {"credits"};
    metric_set(difference, (double)found.wallets_off, wallets);
    metric_set(difference, (double)found.credits_off, credits);
    metric_set(audit_passes, (double)found.passes, NULL);
    metric_set(audit_finished, found.finished_at, NULL);
    double wait_s = found.due_s < monitor->options.interval_s
                      ? found.due_s
                      : monitor->options.interval_s;
    monitor->audit_due_us =
        clock_monotonic_us() + (int64_t)(wait_s * USEC_PER_SEC);
}

/* --- the queue ---------------------------------------------------------- */

static bool connect_broker(struct broker *broker)
{
    struct celery_error err = {0};
    if (broker_connected(broker) || broker_connect(broker, &err) == CELERY_OK)
        return true;
    LOG_EVENT(LOG_LEVEL_DEBUG, "monitor_broker", LOG_STR("error", err.msg));
    return false;
}

static bool look_at_queue(struct deposit_monitor *monitor)
{
    struct broker_depth depth;
    bool leading = false;
    double ttl_s = LEAD_LOOKS * monitor->options.interval_s;
    if (!connect_broker(monitor->broker)
        || broker_lead(monitor->broker, BROKER_WATCHES, ttl_s, &leading, NULL)
               != CELERY_OK
        || !leading
        || broker_depth(monitor->broker, 0, &depth, NULL) != CELERY_OK)
        return false;
    const char *queue[] = {monitor->options.queue};
    metric_set(queue_length, (double)depth.ready, queue);
    metric_set(dead_letters, (double)depth.dead, queue);
    return true;
}

/* What we do not look at any more is not shown any more. */
static void watch_queue(struct deposit_monitor *monitor)
{
    const char *queue[] = {monitor->options.queue};
    if (monitor->broker == NULL)
        return;
    bool was_leading = monitor->leading;
    monitor->leading = look_at_queue(monitor);
    if (was_leading && !monitor->leading) {
        metric_forget(queue_length, queue);
        metric_forget(dead_letters, queue);
    }
}

/* --- thread ------------------------------------------------------------- */

/* A slice at a time, so that nothing waits for it; a full one is followed by the
 * next at the next tick. */
static void expire_inbox(struct deposit_monitor *monitor)
{
    int64_t keep_us = (int64_t)(monitor->options.inbox_keep_s * USEC_PER_SEC);
    int64_t gone = 0;
    struct celery_error err = {0};
    if (keep_us == 0 || clock_monotonic_us() < monitor->expire_due_us)
        return;
    monitor->expire_due_us =
        clock_monotonic_us()
        + (int64_t)(monitor->options.interval_s * USEC_PER_SEC);
    enum celery_status st =
        ledger_inbox_expire(monitor->options.ledger, clock_wall_us() - keep_us,
                            EXPIRE_ROWS, &gone, &err);
    if (st == CELERY_OK && gone == EXPIRE_ROWS)
        monitor->expire_due_us = 0;
}

static void *run(void *arg)
{
    struct deposit_monitor *monitor = arg;
    struct pollfd pfd = {.fd = monitor->stop_fd, .events = POLLIN};
    int64_t interval_us = (int64_t)(monitor->options.interval_s * USEC_PER_SEC);
    int tick_ms = interval_us < TICK_MS * USEC_PER_MSEC
                    ? (int)(interval_us / USEC_PER_MSEC)
                    : TICK_MS;
    do {
        if (clock_monotonic_us() >= monitor->look_due_us) {
            monitor->look_due_us = clock_monotonic_us() + interval_us;
            look_at_backlog(monitor);
            watch_queue(monitor);
        }
        if (!monitor->ledger_was_down) {
            audit(monitor);
            expire_inbox(monitor);
        }
    } while (poll(&pfd, 1, tick_ms) <= 0);
    return NULL;
}

static enum celery_status open_broker(struct deposit_monitor *monitor,
                                      struct celery_error *err)
{
    const struct broker_options options = {
        .url = monitor->options.broker_url,
        .transport_options = monitor->options.broker_transport_options,
        .timeout_s = broker_timeout_s,
        .client_name = "celery-c-monitor",
        .queues = &monitor->options.queue,
        .queue_count = 1,
    };
    if (monitor->options.queue == NULL)
        return CELERY_OK;
    register_queue();
    return broker_open(&options, &monitor->broker, err);
}

enum celery_status deposit_monitor_start(
    const struct deposit_monitor_options *options, struct deposit_monitor **ret,
    struct celery_error *err)
{
    struct deposit_monitor *monitor = xcalloc(1, sizeof *monitor);
    monitor->options = *options;
    register_backlog();
    register_audit();
    register_pool(options->ledger);
    enum celery_status st = open_broker(monitor, err);
    monitor->stop_fd = st == CELERY_OK ? eventfd(0, EFD_CLOEXEC) : -1;
    if (st == CELERY_OK
        && (monitor->stop_fd < 0
            || pthread_create(&monitor->thread, NULL, run, monitor) != 0))
        st = celery_fail(err, CELERY_NOMEM, "cannot start the monitor thread");
    if (st != CELERY_OK) {
        broker_close(monitor->broker);
        if (monitor->stop_fd >= 0)
            (void)close(monitor->stop_fd);
        free(monitor);
        return st;
    }
    *ret = monitor;
    return CELERY_OK;
}

void deposit_monitor_stop(struct deposit_monitor *monitor)
{
    static const uint64_t one = 1;
    if (monitor == NULL)
        return;
    (void)!write(monitor->stop_fd, &one, sizeof one);
    (void)pthread_join(monitor->thread, NULL);
    broker_close(monitor->broker);
    (void)close(monitor->stop_fd);
    free(monitor);
}
