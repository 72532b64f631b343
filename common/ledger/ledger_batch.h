/* SPDX-License-Identifier: MIT */
/*
 * Prepares a batch of webhooks for one statement: the keys (chain, tx_hash,
 * log_index) distinct and sorted, so that two batches never wait for each other
 * in a circle. Deposits of one key that say the same are merged: the highest
 * confirmations, the first user named. Deposits of one key that contradict each
 * other go into different rounds. Pure.
 */
#ifndef LEDGER_LEDGER_BATCH_H
#define LEDGER_LEDGER_BATCH_H

#include "ledger/ledger.h"

struct ledger_batch {
    const struct ledger_deposit *rows; /* borrowed */
    size_t count;
    size_t order[LEDGER_BATCH_MAX]; /* indices of rows by key */
    bool taken[LEDGER_BATCH_MAX];
    size_t left;

    /* The round: merged deposits, and of each row in it its place there. */
    struct ledger_deposit merged[LEDGER_BATCH_MAX];
    size_t merged_count;
    size_t place[LEDGER_BATCH_MAX];
    bool leads[LEDGER_BATCH_MAX];
    bool in_round[LEDGER_BATCH_MAX];
};

/* count is at most LEDGER_BATCH_MAX. */
void ledger_batch_init(struct ledger_batch *batch,
                       const struct ledger_deposit *rows, size_t count);

/* Fills merged with the next round; false when every row had its turn. */
bool ledger_batch_next(struct ledger_batch *batch);

/* Hands the round's answers to its rows: the one that leads a key gets the
 * answer, the others are duplicates of it. */
void ledger_batch_answer(const struct ledger_batch *batch,
                         const struct ledger_ingested *answers,
                         struct ledger_ingested *ret);

/* By key, as strcmp(3). */
int ledger_key_compare(const struct ledger_deposit *a,
                       const struct ledger_deposit *b);

#endif /* LEDGER_LEDGER_BATCH_H */
