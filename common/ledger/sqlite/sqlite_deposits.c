/* SPDX-License-Identifier: MIT */
/*
 * The queue of record. One write transaction a verb.
 */
#include "base/clock.h"
#include "ledger/sqlite/sqlite_ledger.h"

enum { SHIFT_MAX = 30 };

/* --- the queue of record ------------------------------------------------ */

/* first_s * 2^n, at most cap_s, in microseconds. */
static int64_t pause_us(int64_t n, double first_s, double cap_s)
{
    double pause_s =
        first_s * (double)(INT64_C(1) << (n < SHIFT_MAX ? n : SHIFT_MAX));
    return (int64_t)((pause_s < cap_s ? pause_s : cap_s) * USEC_PER_SEC);
}

static enum celery_status mark_row(struct sqlite_conn *conn, const char *tx_id,
                                   double first_s, double cap_s,
                                   struct celery_error *err)
{
    static const char count_sql[] =
        "SELECT enqueue_count FROM transactions WHERE tx_id = ?1";
    static const char update_sql[] =
        "UPDATE transactions SET enqueued_at = ?2, next_enqueue_at = ?3,"
        " enqueue_count = enqueue_count + 1 WHERE tx_id = ?1";
    bool found = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, count_sql);
    sqlite_bind_id(stmt, 1, tx_id);
    enum celery_status st = sqlite_step_row(conn, stmt, &found, err);
    if (st != CELERY_OK || !found)
        return st;
    int64_t n = sqlite3_column_int64(stmt, 0);
    int64_t now_us = clock_wall_us();
    (void)sqlite3_reset(stmt);
    stmt = sqlite_statement(conn, update_sql);
    sqlite_bind_id(stmt, 1, tx_id);
    sqlite_bind_number(stmt, 2, now_us);
    sqlite_bind_number(stmt, 3, now_us + pause_us(n, first_s, cap_s));
    return sqlite_step_done(conn, stmt, err);
}

enum celery_status sqlite_mark_enqueued(void *impl,
                                        const char (*tx_ids)[LEDGER_ID_MAX],
                                        size_t count, double first_s,
                                        double cap_s, struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    for (size_t i = 0; i < count && st == CELERY_OK; i++)
        st = mark_row(conn, tx_ids[i], first_s, cap_s, err);
    if (st == CELERY_OK)
        return sqlite_commit(impl, conn, err);
    sqlite_rollback(impl, conn);
    return st;
}

static const char due_sql[] =
    "SELECT tx_id, tx_hash, traceparent, enqueue_count FROM transactions"
    " WHERE (state = 'received' OR (state = 'awaiting_confirmations'"
    "  AND confirmations >= confirmations_required))"
    " AND COALESCE(next_enqueue_at, created_at) <= ?1"
    " AND (next_enqueue_at IS NOT NULL OR created_at <= ?2)"
    " ORDER BY COALESCE(next_enqueue_at, created_at) LIMIT ?3";

static const char attributed_sql[] =
    "SELECT tx_id, tx_hash, traceparent, enqueue_count FROM transactions"
    " WHERE state = 'unmatched' AND COALESCE(next_enqueue_at, created_at) <= ?1"
    " AND (?2 OR 1)"
    " AND EXISTS (SELECT 1 FROM users WHERE id = transactions.user_id)"
    " LIMIT ?3";

/* Rows that are due and how often each was published. */
struct round {
    struct ledger_sweep sweep;
    struct ledger_due *due; /* room for sweep.limit */
    int64_t published[LEDGER_BATCH_MAX];
    size_t count;
};

static void read_due(sqlite3_stmt *stmt, struct round *round)
{
    struct ledger_due *due = &round->due[round->count];
    *due = (struct ledger_due){0};
    sqlite_copy(stmt, 0, due->tx_id, sizeof due->tx_id);
    sqlite_copy(stmt, 1, due->tx_hash, sizeof due->tx_hash);
    sqlite_copy(stmt, 2, due->traceparent, sizeof due->traceparent);
    round->published[round->count] = sqlite3_column_int64(stmt, 3);
    due->first = round->published[round->count] == 0;
    round->count++;
}

static enum celery_status find_due(struct sqlite_conn *conn, const char *sql,
                                   struct round *round,
                                   struct celery_error *err)
{
    int64_t now_us = clock_wall_us();
    int64_t grace_us = (int64_t)(round->sweep.grace_s * USEC_PER_SEC);
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, now_us);
    sqlite_bind_number(stmt, 2, now_us - grace_us);
    sqlite_bind_number(stmt, 3, (int64_t)(round->sweep.limit - round->count));
    for (;;) {
        bool row = false;
        enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK)
            return st;
        if (!row || round->count == round->sweep.limit)
            break;
        read_due(stmt, round);
    }
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

static enum celery_status postpone(struct sqlite_conn *conn,
                                   const struct ledger_sweep *sweep,
                                   const char *tx_id, int64_t n,
                                   struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET next_enqueue_at = ?2 WHERE tx_id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, tx_id);
    sqlite_bind_number(
        stmt, 2, clock_wall_us() + pause_us(n, sweep->first_s, sweep->cap_s));
    return sqlite_step_done(conn, stmt, err);
}

enum celery_status sqlite_sweep(void *impl, const struct ledger_sweep *sweep,
                                struct ledger_due *ret, size_t *ret_count,
                                struct celery_error *err)
{
    struct round round = {.sweep = *sweep, .due = ret};
    struct sqlite_conn *conn = NULL;
    if (round.sweep.limit > LEDGER_BATCH_MAX)
        round.sweep.limit = LEDGER_BATCH_MAX;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = find_due(conn, due_sql, &round, err);
    if (st == CELERY_OK)
        st = find_due(conn, attributed_sql, &round, err);
    for (size_t i = 0; i < round.count && st == CELERY_OK; i++)
        st = postpone(conn, sweep, ret[i].tx_id, round.published[i], err);
    if (st == CELERY_OK)
        st = sqlite_commit(impl, conn, err);
    else
        sqlite_rollback(impl, conn);
    if (st == CELERY_OK)
        *ret_count = round.count;
    return st;
}
