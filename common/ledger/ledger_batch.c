/* SPDX-License-Identifier: MIT */
#include "ledger/ledger_batch.h"

#include <string.h>

static bool add(struct ledger_batch *batch,
                const struct ledger_deposit *deposit,
                struct ledger_ingested *answer, size_t webhook)
{
    if (batch->count == LEDGER_BATCH_MAX)
        return false;
    batch->deposits[batch->count] = deposit;
    batch->answers[batch->count] = answer;
    batch->webhook_of[batch->count++] = (int32_t)webhook;
    return true;
}

bool ledger_batch_of_webhooks(struct ledger_batch *batch,
                              const struct ledger_webhook *webhooks,
                              size_t count, struct ledger_webhook_answer *ret)
{
    batch->webhooks = webhooks;
    batch->webhook_answers = ret;
    batch->webhook_count = count;
    batch->count = 0;
    for (size_t i = 0; i < count; i++) {
        ret[i].result = LEDGER_INBOX_NEW;
        memcpy(ret[i].inbox_id, webhooks[i].inbox_id, LEDGER_ID_MAX);
        for (size_t d = 0; d < webhooks[i].deposit_count; d++) {
            if (!add(batch, &webhooks[i].deposits[d], &ret[i].deposits[d],
                     i + 1))
                return false;
        }
    }
    return true;
}

void ledger_batch_of_deposits(struct ledger_batch *batch,
                              const struct ledger_deposit *deposits,
                              size_t count, struct ledger_ingested *ret)
{
    batch->webhooks = NULL;
    batch->webhook_answers = NULL;
    batch->webhook_count = 0;
    batch->count = 0;
    for (size_t i = 0; i < count; i++)
        (void)add(batch, &deposits[i], &ret[i], 0);
}

bool ledger_batch_part(const struct ledger_batch *batch, size_t n,
                       struct ledger_batch *ret)
{
    if (batch->webhook_count > 0) {
        if (n >= batch->webhook_count)
            return false;
        return ledger_batch_of_webhooks(ret, &batch->webhooks[n], 1,
                                        &batch->webhook_answers[n]);
    }
    if (n >= batch->count)
        return false;
    ledger_batch_of_deposits(ret, batch->deposits[n], 1, batch->answers[n]);
    return true;
}

void ledger_batch_fail(const struct ledger_batch *batch,
                       const struct celery_error *why)
{
    for (size_t i = 0; i < batch->count; i++) {
        *batch->answers[i] =
            (struct ledger_ingested){.result = LEDGER_INGEST_FAILED};
        batch->answers[i]->error = *why;
    }
    for (size_t i = 0; i < batch->webhook_count; i++)
        batch->webhook_answers[i].result = LEDGER_INBOX_FAILED;
}
