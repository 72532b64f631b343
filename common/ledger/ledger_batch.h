/* SPDX-License-Identifier: MIT */
/*
 * One transaction's worth of webhooks and deposits, laid side by side for a
 * driver: the deposits of one webhook stand together, in the order given. Pure.
 */
#ifndef LEDGER_LEDGER_BATCH_H
#define LEDGER_LEDGER_BATCH_H

#include "ledger/ledger.h"

struct ledger_batch {
    const struct ledger_webhook *webhooks; /* borrowed, as all here */
    struct ledger_webhook_answer *webhook_answers;
    size_t webhook_count;
    const struct ledger_deposit *deposits[LEDGER_BATCH_MAX];
    struct ledger_ingested *answers[LEDGER_BATCH_MAX];
    int32_t webhook_of[LEDGER_BATCH_MAX]; /* 1, 2, …; 0: no webhook's */
    size_t count;
};

/* false: more deposits than a batch holds. */
bool ledger_batch_of_webhooks(struct ledger_batch *batch,
                              const struct ledger_webhook *webhooks,
                              size_t count, struct ledger_webhook_answer *ret);

/* count is at most LEDGER_BATCH_MAX. */
void ledger_batch_of_deposits(struct ledger_batch *batch,
                              const struct ledger_deposit *deposits,
                              size_t count, struct ledger_ingested *ret);

/* What can be stored alone: the n-th webhook with its deposits, or the n-th
 * deposit where there are no webhooks. false: there is no n-th. */
bool ledger_batch_part(const struct ledger_batch *batch, size_t n,
                       struct ledger_batch *ret);

/* Every deposit and webhook of the batch failed for this reason. */
void ledger_batch_fail(const struct ledger_batch *batch,
                       const struct celery_error *why);

#endif /* LEDGER_LEDGER_BATCH_H */
