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
    const struct ledger_deposit *deposit;
    struct ledger_ingested answer;
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
    bool stopping;
};

/* One thread's room for a batch. */
struct batch {
    struct job *jobs[LEDGER_BATCH_MAX];
    struct ledger_deposit deposits[LEDGER_BATCH_MAX];
    struct ledger_ingested answers[LEDGER_BATCH_MAX];
    struct ledger_due due[LEDGER_BATCH_MAX];
    size_t count;
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

/* Waits for jobs; false when there are none and none will come. */
static bool take(struct ingest *ingest, struct batch *batch)
{
    batch->count = 0;
    lock_acquire(&ingest->lock);
    while (ingest->head == NULL && !ingest->stopping)
        (void)pthread_cond_wait(&ingest->work, &ingest->lock.mutex);
    while (ingest->head != NULL && batch->count < LEDGER_BATCH_MAX) {
        struct job *job = ingest->head;
        ingest->head = job->next;
        batch->jobs[batch->count] = job;
        batch->deposits[batch->count++] = *job->deposit;
    }
    if (ingest->head == NULL)
        ingest->tail = &ingest->head;
    lock_release(&ingest->lock);
    return batch->count > 0;
}

/* After this the request's thread goes on, and the job is gone. */
static void release(struct job *job, const struct ledger_ingested *answer,
                    enum celery_status status, const struct celery_error *err)
{
    job->answer = *answer;
    job->status = status;
    job->error = *err;
    (void)sem_post(&job->done);
}

static void publish(struct ingest *ingest, struct batch *batch)
{
    size_t due = 0;
    for (size_t i = 0; i < batch->count; i++) {
        const struct ledger_ingested *answer = &batch->answers[i];
        METRIC_INC(ingested_total, result_names[answer->result]);
        if (!answer->publish)
            continue;
        struct ledger_due *item = &batch->due[due++];
        *item =
            (struct ledger_due){.first = answer->result == LEDGER_INGEST_NEW};
        memcpy(item->tx_id, answer->tx_id, sizeof item->tx_id);
        memcpy(item->tx_hash, batch->deposits[i].tx_hash, sizeof item->tx_hash);
        memcpy(item->traceparent, answer->traceparent,
               sizeof item->traceparent);
    }
    if (due > 0)
        deposit_publisher_push(ingest->options.publisher, batch->due, due);
}

static void commit(struct ingest *ingest, struct batch *batch)
{
    struct celery_error err = {0};
    memset(batch->answers, 0, sizeof batch->answers[0] * batch->count);
    enum celery_status st =
        ledger_ingest(ingest->options.ledger, batch->deposits, batch->count,
                      batch->answers, &err);
    metric_observe(batch_rows, (double)batch->count, NULL);
    for (size_t i = 0; i < batch->count; i++)
        release(batch->jobs[i], &batch->answers[i], st, &err);
    if (st == CELERY_OK)
        publish(ingest, batch);
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

enum celery_status ingest_deposit(struct ingest *ingest,
                                  const struct ledger_deposit *deposit,
                                  struct ledger_ingested *ret,
                                  struct celery_error *err)
{
    struct job job = {.deposit = deposit};
    (void)sem_init(&job.done, 0, 0);
    lock_acquire(&ingest->lock);
    bool was_empty = ingest->head == NULL;
    *ingest->tail = &job;
    ingest->tail = &job.next;
    if (was_empty)
        (void)pthread_cond_signal(&ingest->work);
    lock_release(&ingest->lock);
    while (sem_wait(&job.done) != 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&job.done);
    if (job.status != CELERY_OK) {
        if (err != NULL)
            *err = job.error;
        return job.status;
    }
    *ret = job.answer;
    return CELERY_OK;
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
