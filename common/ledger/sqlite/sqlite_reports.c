/* SPDX-License-Identifier: MIT */
/*
 * The ledger's accounts of itself: the check, one deposit's life, the backlog.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ledger/sqlite/sqlite_ledger.h"

static enum celery_status check_sums(struct sqlite_conn *conn,
                                     struct ledger_check *ret,
                                     struct celery_error *err)
{
    /* A credit line without its deposit counts as well as the reverse; the
     * lines of a reversed deposit are history. */
    static const char sql[] =
        "SELECT (SELECT dec_sum(amount) FROM transactions"
        "  WHERE state = 'credited'),"
        " (SELECT dec_sum(amount) FROM journal),"
        " (SELECT dec_sum(dec_add(deposit_balance,"
        "  dec_add(winning_balance, bonus_balance))) FROM wallets),"
        " (SELECT count(*) FROM wallets w WHERE dec_cmp("
        "  dec_add(deposit_balance, dec_add(winning_balance, bonus_balance)),"
        "  (SELECT dec_sum(amount) FROM journal j WHERE j.user_id = w.user_id"
        "   AND j.currency = w.currency)) <> 0)"
        " + (SELECT count(*) FROM (SELECT DISTINCT user_id, currency"
        "  FROM journal EXCEPT SELECT user_id, currency FROM wallets)),"
        " (SELECT count(*) FROM transactions t WHERE state = 'credited'"
        "  AND NOT EXISTS (SELECT 1 FROM journal j"
        "   WHERE j.transaction_id = t.tx_id AND j.kind = 'deposit_credit'"
        "   AND j.amount = t.amount))"
        " + (SELECT count(*) FROM journal j JOIN transactions t"
        "  ON t.tx_id = j.transaction_id WHERE j.kind = 'deposit_credit'"
        "  AND t.state NOT IN ('credited', 'reversed')),"
        " (SELECT count(*) FROM transactions WHERE enqueue_count > 0)";
    bool row = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
    if (st != CELERY_OK)
        return st;
    sqlite_copy(stmt, 0, ret->credited_sum, sizeof ret->credited_sum);
    sqlite_copy(stmt, 1, ret->journal_sum, sizeof ret->journal_sum);
    sqlite_copy(stmt, 2, ret->wallet_sum, sizeof ret->wallet_sum);
    ret->wallets_off = sqlite3_column_int64(stmt, 3);
    ret->credits_off = sqlite3_column_int64(stmt, 4);
    ret->published = sqlite3_column_int64(stmt, 5);
    return CELERY_OK;
}

static enum celery_status count_states(struct sqlite_conn *conn, int64_t *ret,
                                       struct celery_error *err)
{
    static const char sql[] =
        "SELECT state, count(*) FROM transactions GROUP BY state";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    memset(ret, 0, sizeof ret[0] * LEDGER_STATE_COUNT);
    for (;;) {
        bool row = false;
        enum ledger_state state = LEDGER_RECEIVED;
        enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK || !row)
            return st;
        if (ledger_state_parse(sqlite_text(stmt, 0), &state))
            ret[state] = sqlite3_column_int64(stmt, 1);
    }
}

enum celery_status sqlite_check(void *impl, struct ledger_check *ret,
                                struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    struct ledger_check check = {0};
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = check_sums(conn, &check, err);
    if (st == CELERY_OK)
        st = count_states(conn, check.count, err);
    sqlite_end_read(impl, conn);
    if (st != CELERY_OK)
        return st;
    ledger_check_judge(&check);
    *ret = check;
    return CELERY_OK;
}

static enum celery_status explain_events(struct sqlite_conn *conn,
                                         const char *tx_id,
                                         struct celery_buf *ret_text,
                                         struct celery_error *err)
{
    static const char sql[] =
        "SELECT created_at, 'journal ' || kind, amount || ' ' || currency ||"
        " ' to ' || account || ' of ' || user_id, 0, id FROM journal"
        " WHERE transaction_id = ?1 UNION ALL "
        "SELECT created_at, 'audit ' || action, details, 1, id FROM audit_log"
        " WHERE transaction_id = ?1 ORDER BY 1, 4, 5";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, tx_id);
    for (;;) {
        bool row = false;
        enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK || !row)
            return st;
        ledger_explain_line(ret_text, sqlite3_column_int64(stmt, 0),
                            sqlite_text(stmt, 1), sqlite_text(stmt, 2));
    }
}

enum celery_status sqlite_explain(void *impl, const char *tx_id,
                                  struct celery_buf *ret_text, bool *ret_found,
                                  struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    struct ledger_row row = {0};
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = sqlite_find_row(conn, tx_id, &row, ret_found, err);
    if (st == CELERY_OK && *ret_found) {
        ledger_explain_head(ret_text, &row);
        st = explain_events(conn, tx_id, ret_text, err);
    }
    sqlite_end_read(impl, conn);
    return st == CELERY_OK ? celery_buf_status(ret_text) : st;
}

static enum celery_status read_open(struct sqlite_conn *conn,
                                    struct ledger_backlog *ret,
                                    struct celery_error *err)
{
    static const char sql[] =
        "SELECT min(created_at), count(*) FILTER"
        "  (WHERE COALESCE(next_enqueue_at, created_at) < ?1),"
        " min(COALESCE(next_enqueue_at, created_at))"
        " FROM transactions WHERE state = 'received'"
        " OR (state = 'awaiting_confirmations'"
        "  AND confirmations >= confirmations_required)";
    bool row = false;
    int64_t now = clock_wall_us();
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, now);
    enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
    if (st != CELERY_OK)
        return st;
    int64_t created = sqlite3_column_int64(stmt, 0);
    int64_t due = sqlite3_column_int64(stmt, 2);
    ret->oldest_s = created != 0 ? (double)(now - created) / USEC_PER_SEC : 0.0;
    ret->due = sqlite3_column_int64(stmt, 1);
    ret->overdue_s =
        due != 0 && due < now ? (double)(now - due) / USEC_PER_SEC : 0.0;
    return CELERY_OK;
}

enum celery_status sqlite_backlog(void *impl, struct ledger_backlog *ret,
                                  struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = count_states(conn, ret->count, err);
    if (st == CELERY_OK)
        st = read_open(conn, ret, err);
    sqlite_end_read(impl, conn);
    return st;
}
