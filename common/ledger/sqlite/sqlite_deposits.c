/* SPDX-License-Identifier: MIT */
/*
 * Deposits in and the queue of record. One write transaction a verb; a row that
 * the data forbids undoes its own statement only.
 */
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/random_id.h"
#include "ledger/sqlite/sqlite_ledger.h"

enum { SHIFT_MAX = 30 };

enum celery_status sqlite_audit(struct sqlite_conn *conn, const char *action,
                                const char *tx_id, const char *user_id,
                                const char *details, struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO audit_log (action, transaction_id, user_id, details,"
        " created_at) VALUES (?1, ?2, ?3, ?4, ?5)";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, action);
    sqlite_bind(stmt, 2, tx_id);
    sqlite_bind(stmt, 3, user_id);
    sqlite_bind(stmt, 4, details);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* --- ingest ------------------------------------------------------------- */

static enum celery_status insert(struct sqlite_conn *conn,
                                 const struct ledger_deposit *row,
                                 const char *tx_id, struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO transactions (tx_id, chain, tx_hash, log_index, amount,"
        " currency, state, user_id, to_address, confirmations,"
        " confirmations_required, block_number, provider_status,"
        " conflict_reason, metadata, raw_body, traceparent, created_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, iif(?14 IS NULL, 'received',"
        " 'conflict'), ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        " ON CONFLICT (chain, tx_hash, log_index) DO NOTHING";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, tx_id);
    sqlite_bind(stmt, 2, row->chain);
    sqlite_bind(stmt, 3, row->tx_hash);
    sqlite_bind_number(stmt, 4, row->log_index);
    sqlite_bind(stmt, 5, row->amount);
    sqlite_bind(stmt, 6, row->currency);
    sqlite_bind_id(stmt, 8, row->user_id);
    sqlite_bind(stmt, 9, row->to_address);
    sqlite_bind_number(stmt, 10, row->confirmations);
    sqlite_bind_number(stmt, 11, row->confirmations_required);
    if (row->block_number >= 0)
        sqlite_bind_number(stmt, 12, row->block_number);
    sqlite_bind(stmt, 13, row->provider_status);
    sqlite_bind(stmt, 14, row->conflict_reason);
    sqlite_bind_slice(stmt, 15, row->metadata);
    sqlite_bind_blob(stmt, 16, row->raw_body);
    if (row->traceparent[0] != '\0')
        sqlite_bind(stmt, 17, row->traceparent);
    sqlite_bind_number(stmt, 18, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* What the ledger holds under a key that came again. */
struct known {
    char amount[LEDGER_AMOUNT_MAX];
    char currency[LEDGER_CURRENCY_MAX];
    char user_id[LEDGER_ID_MAX];
    int64_t confirmations;
    int64_t required;
    bool never_published;
};

static enum celery_status find_known(struct sqlite_conn *conn,
                                     const struct ledger_deposit *row,
                                     struct known *ret,
                                     struct ledger_ingested *ret_answer,
                                     struct celery_error *err)
{
    static const char sql[] =
        "SELECT tx_id, state, amount, currency, user_id, confirmations,"
        " confirmations_required, next_enqueue_at IS NULL, traceparent"
        " FROM transactions WHERE chain = ?1 AND tx_hash = ?2"
        " AND log_index = ?3";
    bool found = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->chain);
    sqlite_bind(stmt, 2, row->tx_hash);
    sqlite_bind_number(stmt, 3, row->log_index);
    enum celery_status st = sqlite_step_row(conn, stmt, &found, err);
    if (st != CELERY_OK)
        return st;
    if (!found)
        return celery_fail(err, CELERY_IO, "SQLite: a row vanished");
    sqlite_copy(stmt, 0, ret_answer->tx_id, sizeof ret_answer->tx_id);
    (void)ledger_state_parse(sqlite_text(stmt, 1), &ret_answer->state);
    sqlite_copy(stmt, 2, ret->amount, sizeof ret->amount);
    sqlite_copy(stmt, 3, ret->currency, sizeof ret->currency);
    sqlite_copy(stmt, 4, ret->user_id, sizeof ret->user_id);
    ret->confirmations = sqlite3_column_int64(stmt, 5);
    ret->required = sqlite3_column_int64(stmt, 6);
    ret->never_published = sqlite3_column_int(stmt, 7) != 0;
    sqlite_copy(stmt, 8, ret_answer->traceparent,
                sizeof ret_answer->traceparent);
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

static bool differs(const struct known *known, const struct ledger_deposit *row)
{
    bool users = known->user_id[0] != '\0' && row->user_id[0] != '\0'
              && strcasecmp(known->user_id, row->user_id) != 0;
    return users || strcmp(known->amount, row->amount) != 0
        || strcmp(known->currency, row->currency) != 0;
}

static enum celery_status record_difference(struct sqlite_conn *conn,
                                            const struct ledger_deposit *row,
                                            const struct known *known,
                                            const char *tx_id,
                                            struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    celery_json_begin_object(&w);
    celery_json_key(&w, "amount");
    celery_json_put_text(&w, row->amount);
    celery_json_key(&w, "currency");
    celery_json_put_text(&w, row->currency);
    celery_json_key(&w, "user_id");
    celery_json_put_text(&w, row->user_id[0] != '\0' ? row->user_id : NULL);
    celery_json_end_object(&w);
    return sqlite_audit(conn, "deposit_differs", tx_id,
                        known->user_id[0] != '\0' ? known->user_id : NULL,
                        details.data, err);
}

/* Is there work now that nobody was told of? */
static bool must_publish(const struct known *known,
                         const struct ledger_deposit *row,
                         enum ledger_state state)
{
    switch (state) {
    case LEDGER_RECEIVED:
        return known->never_published;
    case LEDGER_AWAITING_CONFIRMATIONS:
        return known->confirmations < known->required
            && row->confirmations >= known->required;
    case LEDGER_UNMATCHED:
        return known->user_id[0] == '\0' && row->user_id[0] != '\0';
    case LEDGER_CREDITED:
    case LEDGER_CONFLICT:
    case LEDGER_REVERSED:
    case LEDGER_STATE_COUNT:
        break;
    }
    return false;
}

static enum celery_status update_known(struct sqlite_conn *conn,
                                       const struct ledger_deposit *row,
                                       const struct ledger_ingested *answer,
                                       struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET confirmations = max(confirmations, ?2),"
        " user_id = iif(state IN ('received', 'unmatched',"
        "  'awaiting_confirmations'), COALESCE(user_id, ?3), user_id),"
        " next_enqueue_at = iif(?4 AND state <> 'received', ?5,"
        "  next_enqueue_at) WHERE tx_id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, answer->tx_id);
    sqlite_bind_number(stmt, 2, row->confirmations);
    sqlite_bind_id(stmt, 3, row->user_id);
    sqlite_bind_number(stmt, 4, answer->publish);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

/* What was announced is taken back: it is not credited any more; if it was,
 * somebody has to look. */
static enum celery_status contradict(struct sqlite_conn *conn,
                                     const struct ledger_deposit *row,
                                     const struct known *known,
                                     struct ledger_ingested *ret,
                                     struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET state = 'conflict', conflict_reason = ?2"
        " WHERE tx_id = ?1 AND state IN ('received', 'unmatched',"
        "  'awaiting_confirmations')";
    ret->result = LEDGER_INGEST_DUPLICATE;
    if (ret->state == LEDGER_CONFLICT)
        return CELERY_OK;
    ret->result = LEDGER_INGEST_DIFFERS;
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    celery_json_begin_object(&w);
    celery_json_key(&w, "reason");
    celery_json_put_text(&w, row->conflict_reason);
    celery_json_key(&w, "state");
    celery_json_put_text(&w, ledger_state_name(ret->state));
    celery_json_end_object(&w);
    enum celery_status st =
        sqlite_audit(conn, "deposit_contradicted", ret->tx_id,
                     known->user_id[0] != '\0' ? known->user_id : NULL,
                     details.data, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, ret->tx_id);
    sqlite_bind(stmt, 2, row->conflict_reason);
    st = sqlite_step_done(conn, stmt, err);
    if (st == CELERY_OK && sqlite_changed(conn) == 1)
        ret->state = LEDGER_CONFLICT;
    return st;
}

static enum celery_status ingest_row(struct sqlite_conn *conn,
                                     const struct ledger_deposit *row,
                                     struct ledger_ingested *ret,
                                     struct celery_error *err)
{
    struct known known = {0};
    *ret = (struct ledger_ingested){0};
    random_id(ret->tx_id);
    enum celery_status st = insert(conn, row, ret->tx_id, err);
    if (st != CELERY_OK)
        return st;
    if (sqlite_changed(conn) == 1) {
        ret->result = LEDGER_INGEST_NEW;
        ret->state =
            row->conflict_reason == NULL ? LEDGER_RECEIVED : LEDGER_CONFLICT;
        ret->publish = row->conflict_reason == NULL;
        memcpy(ret->traceparent, row->traceparent, sizeof ret->traceparent);
        return CELERY_OK;
    }
    st = find_known(conn, row, &known, ret, err);
    if (st != CELERY_OK)
        return st;
    if (differs(&known, row)) {
        ret->result = LEDGER_INGEST_DIFFERS;
        return record_difference(conn, row, &known, ret->tx_id, err);
    }
    if (row->conflict_reason != NULL)
        return contradict(conn, row, &known, ret, err);
    ret->result = LEDGER_INGEST_DUPLICATE;
    ret->publish = must_publish(&known, row, ret->state);
    bool changes = ret->publish || row->confirmations > known.confirmations
                || (known.user_id[0] == '\0' && row->user_id[0] != '\0');
    return changes ? update_known(conn, row, ret, err) : CELERY_OK;
}

enum celery_status sqlite_ingest(void *impl, const struct ledger_deposit *rows,
                                 size_t count, struct ledger_ingested *ret,
                                 struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    for (size_t i = 0; i < count; i++) {
        struct celery_error why = {0};
        st = ingest_row(conn, &rows[i], &ret[i], &why);
        if (st == CELERY_OK)
            continue;
        if (st != CELERY_CONFLICT) {
            sqlite_rollback(impl, conn);
            if (err != NULL)
                *err = why;
            return st;
        }
        ret[i] = (struct ledger_ingested){.result = LEDGER_INGEST_FAILED};
        ret[i].error = why;
    }
    return sqlite_commit(impl, conn, err);
}

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
