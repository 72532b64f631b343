/* SPDX-License-Identifier: MIT */
#include "deposits/deposit_publisher.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/failpoint.h"
#include "base/op_queue.h"
#include "base/random_id.h"
#include "base/xalloc.h"
#include "celery/json_write.h"
#include "celery/producer.h"
#include "deposits/deposit_message.h"
#include "log/log.h"
#include "metrics/metrics.h"

enum {
    BATCH_MAX = LEDGER_BATCH_MAX,
    QUEUED_MAX = 100000,
    SWEEP_LEASE_S = 5,
};

struct pushed {
    struct op op; /* first: an op is a pushed */
    struct ledger_due due;
};

struct deposit_publisher {
    struct deposit_publisher_options options;
    struct celery_producer *producer;
    struct op_queue queue;
    pthread_t thread;
    _Atomic bool stopping;
    int64_t stop_at_us;
    struct backoff backoff;
    int64_t broker_lost_us; /* 0: it answers */
    int64_t broker_due_us;  /* do not try the broker before */
    int64_t sweep_due_us;
};

static struct metric *published_total;
static struct metric *sent_total;
static struct metric *enqueue_failed_total;
static struct metric *swept_total;
static struct metric *sweep_failed_total;

static void register_metrics(void)
{
    static const struct metric_desc published = {
        "deposit_tasks_published_total",
        "Deposit tasks handed to the broker.",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    static const struct metric_desc failed = {
        "webhook_enqueue_failed_total",
        "Deposit tasks that the broker did not take; the sweeper repeats them.",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    static const struct metric_desc swept = {
        "deposit_sweeper_published_total",
        "Deposit tasks published by the sweeper, by first or again.",
        METRIC_COUNTER,
        {"kind", NULL},
        NULL,
        0};
    static const struct metric_desc sweep_failed = {
        "deposit_sweeper_failed_total",
        "Sweeper rounds that failed.",
        METRIC_COUNTER,
        {NULL},
        NULL,
        0};
    static const struct metric_desc sent = {
        "celery_task_sent_total",
        "Sent when a task message is published.",
        METRIC_COUNTER,
        {"name", "hostname", "queue_name", NULL},
        NULL,
        0};
    sent_total = metric_register(&sent);
    published_total = metric_register(&published);
    enqueue_failed_total = metric_register(&failed);
    swept_total = metric_register(&swept);
    sweep_failed_total = metric_register(&sweep_failed);
    metric_add(published_total, 0, NULL);
    metric_add(enqueue_failed_total, 0, NULL);
    metric_add(sweep_failed_total, 0, NULL);
    metric_add(swept_total, 0, (const char *const[]){"first"});
    metric_add(swept_total, 0, (const char *const[]){"again"});
}

/* As celery-exporter counts: the producer's own host. */
static void count_sent(const struct deposit_publisher *publisher, size_t count)
{
    const char *at = strchr(publisher->options.origin, '@');
    const char *values[] = {DEPOSIT_TASK,
                            at != NULL ? at + 1 : publisher->options.origin,
                            publisher->options.queue};
    metric_add(sent_total, (double)count, values);
}

struct task_text {
    char id[CELERY_TASK_ID_LEN + 1];
    struct celery_buf args;
    struct celery_buf headers; /* {"traceparent": …} */
};

static void build_task(const struct deposit_publisher *publisher,
                       const struct ledger_due *due, struct task_text *text,
                       struct celery_task_out *ret)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(&text->args);
    random_id(text->id);
    celery_json_begin_array(&w);
    celery_json_put_text(&w, due->tx_id);
    celery_json_end_array(&w);
    *ret = (struct celery_task_out){
        .task = DEPOSIT_TASK,
        .id = text->id,
        .args = celery_buf_str(&text->args),
        .origin = publisher->options.origin,
        .group_index = -1,
        .compression = publisher->options.compression,
        .protocol = publisher->options.protocol,
        .serializer = publisher->options.serializer,
        .routing_key = publisher->options.queue,
    };
    if (due->traceparent[0] == '\0')
        return;
    struct celery_json_writer h = CELERY_JSON_WRITER(&text->headers);
    celery_json_begin_object(&h);
    celery_json_key(&h, "traceparent");
    celery_json_put_text(&h, due->traceparent);
    celery_json_end_object(&h);
    ret->extra_headers = (struct celery_json){CELERY_JSON_OBJECT,
                                              celery_buf_str(&text->headers)};
}

static void log_enqueued(const struct ledger_due *due, const char *task_id)
{
    LOG_EVENT(LOG_LEVEL_INFO, "deposit_enqueued", LOG_STR("tx_id", due->tx_id),
              LOG_STR("task_id", task_id), LOG_STR("tx_hash", due->tx_hash),
              LOG_DOUBLE("enqueued_at", (double)clock_wall_us() / USEC_PER_SEC),
              LOG_STR("traceparent",
                      due->traceparent[0] != '\0' ? due->traceparent : NULL));
}

static void mark(struct deposit_publisher *publisher,
                 const struct ledger_due *due, size_t count)
{
    char ids[BATCH_MAX][LEDGER_ID_MAX];
    struct celery_error err = {0};
    for (size_t i = 0; i < count; i++)
        memcpy(ids[i], due[i].tx_id, LEDGER_ID_MAX);
    if (ledger_mark_enqueued(publisher->options.ledger,
                             (const char(*)[LEDGER_ID_MAX])ids, count,
                             publisher->options.first_s,
                             publisher->options.cap_s, &err)
        != CELERY_OK)
        LOG_EVENT(LOG_LEVEL_WARNING, "mark_enqueued_failed",
                  LOG_STR("error", err.msg), LOG_INT("deposits", count));
}

/* Publishes up to BATCH_MAX deposits and writes down that it did. Those that
 * fail stay due in the ledger. */
static bool publish(struct deposit_publisher *publisher,
                    const struct ledger_due *due, size_t count)
{
    struct celery_task_out tasks[BATCH_MAX];
    struct task_text *texts = xcalloc(count, sizeof *texts);
    struct celery_error err = {0};
    size_t sent = 0;
    for (size_t i = 0; i < count; i++)
        build_task(publisher, &due[i], &texts[i], &tasks[i]);
    enum celery_status st =
        celery_producer_send(publisher->producer, tasks, count, &sent, &err);
    FAILPOINT("between-publish-and-mark");
    for (size_t i = 0; i < sent; i++)
        log_enqueued(&due[i], texts[i].id);
    for (size_t i = 0; i < count; i++) {
        celery_buf_done(&texts[i].args);
        celery_buf_done(&texts[i].headers);
    }
    free(texts);
    metric_add(published_total, (double)sent, NULL);
    count_sent(publisher, sent);
    if (sent > 0)
        mark(publisher, due, sent);
    if (st == CELERY_OK) {
        backoff_reset(&publisher->backoff);
        publisher->broker_due_us = publisher->broker_lost_us = 0;
        return true;
    }
    metric_add(enqueue_failed_total, (double)(count - sent), NULL);
    int64_t now = clock_monotonic_us();
    if (publisher->broker_lost_us == 0)
        publisher->broker_lost_us = now;
    publisher->broker_due_us =
        now
        + backoff_reconnect_us(&publisher->backoff,
                               now - publisher->broker_lost_us);
    LOG_EVENT(LOG_LEVEL_WARNING, "deposit_enqueue_failed",
              LOG_STR("error", err.msg), LOG_INT("deposits", count - sent),
              LOG_STR("msg",
                      "the sweeper publishes them when the broker is back"));
    return false;
}

/* While the broker is down what was pushed is dropped: the ledger has it. */
static void publish_pushed(struct deposit_publisher *publisher)
{
    struct ledger_due batch[BATCH_MAX];
    size_t count = 0;
    struct op *op = op_queue_take(&publisher->queue);
    bool open = clock_monotonic_us() >= publisher->broker_due_us;
    while (op != NULL) {
        struct pushed *item = (struct pushed *)(void *)op;
        op = op->next;
        if (open)
            batch[count++] = item->due;
        free(item);
        if (count == BATCH_MAX || (op == NULL && count > 0)) {
            open = publish(publisher, batch, count);
            count = 0;
        }
    }
}

static void count_swept(const struct ledger_due *due, size_t count)
{
    size_t first = 0;
    for (size_t i = 0; i < count; i++)
        first += due[i].first;
    if (first > 0)
        metric_add(swept_total, (double)first, (const char *const[]){"first"});
    if (count > first)
        metric_add(swept_total, (double)(count - first),
                   (const char *const[]){"again"});
}

/* Is another round due at once? */
static bool sweep(struct deposit_publisher *publisher)
{
    struct ledger_due due[BATCH_MAX];
    struct celery_error err = {0};
    size_t count = 0;
    /* Taken for a moment only: the publish sets the real time. What the broker
     * does not take is due again soon, not after its whole back-off. */
    enum celery_status st =
        ledger_sweep(publisher->options.ledger, publisher->options.grace_s,
                     SWEEP_LEASE_S, SWEEP_LEASE_S, BATCH_MAX, due, &count,
                     &err);
    if (st != CELERY_OK) {
        metric_add(sweep_failed_total, 1, NULL);
        LOG_EVENT(LOG_LEVEL_WARNING, "sweep_failed", LOG_STR("error", err.msg));
        return false;
    }
    if (count == 0)
        return false;
    LOG_EVENT(LOG_LEVEL_INFO, "sweeper_found", LOG_INT("deposits", count));
    count_swept(due, count);
    FAILPOINT("mid-sweep");
    return publish(publisher, due, count) && count == BATCH_MAX;
}

static void run_sweep_if_due(struct deposit_publisher *publisher)
{
    int64_t now = clock_monotonic_us();
    if (now < publisher->sweep_due_us || now < publisher->broker_due_us)
        return;
    bool again = sweep(publisher);
    int64_t interval =
        (int64_t)(publisher->options.sweep_interval_s * USEC_PER_SEC);
    publisher->sweep_due_us = again ? 0 : clock_monotonic_us() + interval;
}

static void *run(void *arg)
{
    struct deposit_publisher *publisher = arg;
    struct pollfd pfd = {.fd = publisher->queue.fd, .events = POLLIN};
    while (!publisher->stopping) {
        int64_t wake = publisher->sweep_due_us > publisher->broker_due_us
                         ? publisher->sweep_due_us
                         : publisher->broker_due_us;
        (void)poll(&pfd, 1, clock_poll_ms(wake));
        publish_pushed(publisher);
        if (!publisher->stopping)
            run_sweep_if_due(publisher);
    }
    if (clock_monotonic_us() < publisher->stop_at_us)
        publish_pushed(publisher);
    return NULL;
}

enum celery_status deposit_publisher_start(
    const struct deposit_publisher_options *options,
    struct deposit_publisher **ret, struct celery_error *err)
{
    const struct celery_producer_options producer_options = {
        .broker_url = options->broker_url,
        .transport_options = options->broker_transport_options,
    };
    struct celery_producer *producer = NULL;
    enum celery_status st =
        celery_producer_new(&producer_options, &producer, err);
    if (st != CELERY_OK)
        return st;
    register_metrics();
    struct deposit_publisher *publisher = xcalloc(1, sizeof *publisher);
    publisher->options = *options;
    count_sent(publisher, 0);
    publisher->producer = producer;
    op_queue_init(&publisher->queue);
    if (pthread_create(&publisher->thread, NULL, run, publisher) != 0) {
        op_queue_done(&publisher->queue);
        celery_producer_free(producer);
        free(publisher);
        return celery_fail(err, CELERY_NOMEM,
                           "cannot start the publisher thread");
    }
    *ret = publisher;
    return CELERY_OK;
}

void deposit_publisher_push(struct deposit_publisher *publisher,
                            const struct ledger_due *due, size_t count)
{
    /* Past this the sweeper is faster than our memory is deep. */
    if (op_queue_count(&publisher->queue) > QUEUED_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        struct pushed *item = xcalloc(1, sizeof *item);
        item->due = due[i];
        op_queue_push(&publisher->queue, &item->op);
    }
}

void deposit_publisher_stop(struct deposit_publisher *publisher, double grace_s)
{
    if (publisher == NULL)
        return;
    publisher->stop_at_us =
        clock_monotonic_us() + (int64_t)(grace_s * USEC_PER_SEC);
    publisher->stopping = true;
    /* An empty push would be an item: the eventfd alone wakes the thread. */
    static const uint64_t one = 1;
    (void)!write(publisher->queue.fd, &one, sizeof one);
    (void)pthread_join(publisher->thread, NULL);
    for (struct op *op = op_queue_take(&publisher->queue); op != NULL;) {
        struct op *next = op->next;
        free(op);
        op = next;
    }
    op_queue_done(&publisher->queue);
    celery_producer_free(publisher->producer);
    free(publisher);
}
