/* SPDX-License-Identifier: MIT */
#include "ledger/ledger_batch.h"

#include <stdlib.h>
#include <string.h>

int ledger_key_compare(const struct ledger_deposit *a,
                       const struct ledger_deposit *b)
{
    int c = strcmp(a->tx_hash, b->tx_hash);
    if (c == 0)
        c = strcmp(a->chain, b->chain);
    if (c == 0)
        c = (a->log_index > b->log_index) - (a->log_index < b->log_index);
    return c;
}

static int by_key(const void *a, const void *b, void *arg)
{
    size_t left = *(const size_t *)a;
    size_t right = *(const size_t *)b;
    const struct ledger_deposit *deposits =
        ((const struct ledger_batch *)arg)->rows;
    int c = ledger_key_compare(&deposits[left], &deposits[right]);
    return c != 0 ? c : (left > right) - (left < right);
}

void ledger_batch_init(struct ledger_batch *batch,
                       const struct ledger_deposit *rows, size_t count)
{
    memset(batch, 0, sizeof *batch);
    batch->rows = rows;
    batch->count = count;
    batch->left = count;
    for (size_t i = 0; i < count; i++)
        batch->order[i] = i;
    qsort_r(batch->order, count, sizeof batch->order[0], by_key, batch);
}

/* The same deposit, told twice? */
static bool agrees(const struct ledger_deposit *a,
                   const struct ledger_deposit *b)
{
    bool users = a->user_id[0] == '\0' || b->user_id[0] == '\0'
              || strcmp(a->user_id, b->user_id) == 0;
    return users && strcmp(a->amount, b->amount) == 0
        && strcmp(a->currency, b->currency) == 0
        && (a->conflict_reason == NULL) == (b->conflict_reason == NULL);
}

static void merge(struct ledger_deposit *into, const struct ledger_deposit *row)
{
    if (row->confirmations > into->confirmations)
        into->confirmations = row->confirmations;
    if (into->user_id[0] == '\0')
        memcpy(into->user_id, row->user_id, sizeof into->user_id);
}

static void take(struct ledger_batch *batch, size_t row, bool leads)
{
    batch->taken[row] = true;
    batch->in_round[row] = true;
    batch->leads[row] = leads;
    batch->place[row] = batch->merged_count - 1;
    batch->left--;
}

bool ledger_batch_next(struct ledger_batch *batch)
{
    if (batch->left == 0)
        return false;
    memset(batch->in_round, 0, sizeof batch->in_round);
    batch->merged_count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        size_t at = batch->order[i];
        const struct ledger_deposit *row = &batch->rows[at];
        if (batch->taken[at])
            continue;
        struct ledger_deposit *last =
            batch->merged_count > 0 ? &batch->merged[batch->merged_count - 1]
                                    : NULL;
        if (last == NULL || ledger_key_compare(last, row) != 0) {
            batch->merged[batch->merged_count++] = *row;
            take(batch, at, true);
        } else if (agrees(last, row)) {
            merge(last, row);
            take(batch, at, false);
        }
    }
    return true;
}

void ledger_batch_answer(const struct ledger_batch *batch,
                         const struct ledger_ingested *answers,
                         struct ledger_ingested *ret)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->in_round[i])
            continue;
        ret[i] = answers[batch->place[i]];
        if (batch->leads[i])
            continue;
        ret[i].publish = false;
        if (ret[i].result == LEDGER_INGEST_NEW)
            ret[i].result = LEDGER_INGEST_DUPLICATE;
    }
}
