/* SPDX-License-Identifier: MIT */
#include "ingest/ingest.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/xalloc.h"
#include "metrics/metrics.h"

enum { THREADS_MAX = 8 };

/* Lives on the stack of the request's thread, which waits for done. */
struct job {
    struct job *next;
    const struct ledger_webhook *webhook;
    struct ledger_webhook_answer *answer;
    enum celery_status status;
    struct celery_error error;
    sem_t done;
};

struct ingest {
    struct ingest_options options;
    pthread_t threads[THREADS_MAX];
    int started;
    struct lock lock; /* guards what follows */
    pthread_cond_t work;
    struct job *head;
    struct job **tail;
    size_t waiting;
    bool stopping;
};

/* One thread's room for a batch. */
struct batch {
    struct job *jobs[LEDGER_BATCH_MAX];
    struct ledger_webhook webhooks[LEDGER_BATCH_MAX];
    struct ledger_webhook_answer answers[LEDGER_BATCH_MAX];
    struct ledger_due due[LEDGER_BATCH_MAX];
    size_t due_count;
    size_t count;
    size_t deposits;
};

static struct metric *batch_rows;
static struct metric *ingested_total;

static void register_metrics(void)
{
    static const double sizes[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
    static const struct metric_desc rows = {"deposit_ingest_batch_rows",
                                            "Deposits in one commit.",
                                            METRIC_HISTOGRAM,
                                            {NULL},
                                            sizes,
                                            sizeof sizes / sizeof sizes[0]};
    static const struct metric_desc total = {
        "deposits_ingested_total",
        "Webhook deposits by what became of them.",
        METRIC_COUNTER,
        {"result", NULL},
        NULL,
        0};
    batch_rows = metric_register(&rows);
    ingested_total = metric_register(&total);
}

static const char *const result_names[] = {
    [LEDGER_INGEST_NEW] = "new",
    [LEDGER_INGEST_DUPLICATE] = "duplicate",
    [LEDGER_INGEST_DIFFERS] = "differs",
    [LEDGER_INGEST_FAILED] = "failed",
};

/* The next one, if the batch has room for it. The lock is held. */
static bool take_one(struct ingest *ingest, struct batch *batch)
{
    struct job *job = ingest->head;
    if (job == NULL || batch->count == LEDGER_BATCH_MAX
        || batch->deposits + job->webhook->deposit_count > LEDGER_BATCH_MAX)
        return false;
    ingest->head = job->next;
    ingest->waiting--;
    batch->deposits += job->webhook->deposit_count;
    batch->webhooks[batch->count] = *job->webhook;
    batch->answers[batch->count] = *job->answer;
    batch->jobs[batch->count++] = job;
    return true;
}

/* Waits for jobs; false when there are none and none will come. */
static bool take(struct ingest *ingest, struct batch *batch)
{
    batch->count = 0;
    batch->deposits = 0;
    lock_acquire(&ingest->lock);
    while (ingest->head == NULL && !ingest->stopping)
        (void)pthread_cond_wait(&ingest->work, &ingest->lock.mutex);
    while (take_one(ingest, batch))
        continue;
    if (ingest->head == NULL)
        ingest->tail = &ingest->head;
    lock_release(&ingest->lock);
    return batch->count > 0;
}

/* After this the request's thread goes on, and the job is gone. */
static void release(struct job *job, const struct ledger_webhook_answer *answer,
                    enum celery_status status, const struct celery_error *err)
{
    *job->answer = *answer;
    job->status = status;
    job->error = *err;
    (void)sem_post(&job->done);
}

static void add_due(struct batch *batch, const struct ledger_ingested *answer,
                    const char *tx_hash)
{
    struct ledger_due *item = &batch->due[batch->due_count++];
    *item = (struct ledger_due){.first = answer->result == LEDGER_INGEST_NEW};
    memcpy(item->tx_id, answer->tx_id, sizeof item->tx_id);
    memcpy(item->tx_hash, tx_hash, sizeof item->tx_hash);
    memcpy(item->traceparent, answer->traceparent, sizeof item->traceparent);
}

/* What has to be published; before the jobs, whose deposits they are, go. */
static void collect_due(struct batch *batch)
{
    batch->due_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct ledger_webhook *webhook = &batch->webhooks[i];
        if (batch->answers[i].result == LEDGER_INBOX_REUSED)
            continue;
        for (size_t d = 0; d < webhook->deposit_count; d++) {
            const struct ledger_ingested *answer =
                &batch->answers[i].deposits[d];
            METRIC_INC(ingested_total, result_names[answer->result]);
            if (answer->publish)
                add_due(batch, answer, webhook->deposits[d].tx_hash);
        }
    }
}

static void commit(struct ingest *ingest, struct batch *batch)
{
    struct celery_error err = {0};
    enum celery_status st =
        ledger_ingest_webhooks(ingest->options.ledger, batch->webhooks,
                               batch->count, batch->answers, &err);
    metric_observe(batch_rows, (double)batch->deposits, NULL);
    if (st == CELERY_OK)
        collect_due(batch);
    for (size_t i = 0; i < batch->count; i++)
        release(batch->jobs[i], &batch->answers[i], st, &err);
    if (st == CELERY_OK && batch->due_count > 0
        && ingest->options.publisher != NULL)
        deposit_publisher_push(ingest->options.publisher, batch->due,
                               batch->due_count);
}

static void *run(void *arg)
{
    struct ingest *ingest = arg;
    struct batch *batch = xcalloc(1, sizeof *batch);
    while (take(ingest, batch))
        commit(ingest, batch);
    free(batch);
    return NULL;
}

enum celery_status ingest_start(const struct ingest_options *options,
                                struct ingest **ret, struct celery_error *err)
{
    struct ingest *ingest = xcalloc(1, sizeof *ingest);
    register_metrics();
    ingest->options = *options;
    ingest->tail = &ingest->head;
    (void)pthread_mutex_init(&ingest->lock.mutex, NULL);
    (void)pthread_cond_init(&ingest->work, NULL);
    int rc = 0;
    while (rc == 0 && ingest->started < options->threads
           && ingest->started < THREADS_MAX) {
        rc = pthread_create(&ingest->threads[ingest->started], NULL, run,
                            ingest);
        ingest->started += rc == 0;
    }
    if (rc != 0) {
        ingest_stop(ingest);
        return celery_fail(err, CELERY_NOMEM, "cannot start a thread: %s",
                           strerrordesc_np(rc));
    }
    *ret = ingest;
    return CELERY_OK;
}

/* false: as many as may are waiting. */
static bool enqueue(struct ingest *ingest, struct job *job)
{
    lock_acquire(&ingest->lock);
    bool fits = ingest->waiting < ingest->options.queue_max;
    bool was_empty = ingest->head == NULL;
    if (fits) {
        *ingest->tail = job;
        ingest->tail = &job->next;
        ingest->waiting++;
    }
    if (fits && was_empty)
        (void)pthread_cond_signal(&ingest->work);
    lock_release(&ingest->lock);
    return fits;
}

enum celery_status ingest_webhook(struct ingest *ingest,
                                  const struct ledger_webhook *webhook,
                                  struct ledger_webhook_answer *ret,
                                  struct celery_error *err)
{
    struct job job = {.webhook = webhook, .answer = ret};
    (void)sem_init(&job.done, 0, 0);
    if (!enqueue(ingest, &job)) {
        (void)sem_destroy(&job.done);
        return celery_fail(err, CELERY_TOO_LARGE,
                           "too many webhooks are waiting");
    }
    while (sem_wait(&job.done) != 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&job.done);
    if (job.status != CELERY_OK && err != NULL)
        *err = job.error;
    return job.status;
}

void ingest_stop(struct ingest *ingest)
{
    if (ingest == NULL)
        return;
    lock_acquire(&ingest->lock);
    ingest->stopping = true;
    (void)pthread_cond_broadcast(&ingest->work);
    lock_release(&ingest->lock);
    for (int i = 0; i < ingest->started; i++)
        (void)pthread_join(ingest->threads[i], NULL);
    (void)pthread_cond_destroy(&ingest->work);
    (void)pthread_mutex_destroy(&ingest->lock.mutex);
    free(ingest);
}
