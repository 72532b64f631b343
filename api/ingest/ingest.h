/* SPDX-License-Identifier: MIT */
/*
 * Group commit. Request threads hand over webhooks with their deposits and wait;
 * all that arrived while the last commit ran go into the next one. An answer is
 * given when its commit has returned, never before. What has work left is then
 * pushed to the publisher.
 *
 * One lock guards the queue and is held for a moment; each waiting request has a
 * semaphore of its own.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "deposits/deposit_publisher.h"
#include "ledger/ledger.h"

struct ingest;

struct ingest_options {
    struct ledger *ledger;               /* borrowed */
    struct deposit_publisher *publisher; /* borrowed; NULL: sweepers publish */
    int threads;      /* commits under way at once, at most 8 */
    size_t queue_max; /* webhooks that may wait */
};

enum celery_status ingest_start(const struct ingest_options *options,
                                struct ingest **ret, struct celery_error *err)
    CELERY_MUST_CHECK;

/* thread: any. Blocks until the webhook is durable or refused; the ledger's
 * deadlines bound it. Everything webhook borrows, and the room in ret, stays
 * alive meanwhile. CELERY_TOO_LARGE, at once: too many are waiting. */
enum celery_status ingest_webhook(struct ingest *ingest,
                                  const struct ledger_webhook *webhook,
                                  struct ledger_webhook_answer *ret,
                                  struct celery_error *err) CELERY_MUST_CHECK;

/* Commits what is waiting, ends the threads, frees. NULL is fine. */
void ingest_stop(struct ingest *ingest);

#endif /* INGEST_INGEST_H */
