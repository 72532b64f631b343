/* SPDX-License-Identifier: MIT */
/*
 * The ledger's accounts of itself: the check, one deposit's life, the backlog.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

/* A check reads every row: it may take as long as it needs, but not for ever. */
static const double check_timeout_s = 600.0;

/* One statement, hence one snapshot. */
static const char check_sql[] =
    "SELECT"
    " (SELECT COALESCE(sum(amount), 0) FROM transactions"
    "   WHERE state = 'credited'),"
    " (SELECT COALESCE(sum(amount), 0) FROM journal),"
    " (SELECT COALESCE(sum(deposit_balance + winning_balance + bonus_balance),"
    "   0) FROM wallets),"
    " (SELECT count(*) FROM (SELECT user_id, currency, sum(amount) AS total"
    "   FROM journal GROUP BY user_id, currency) j"
    "   FULL JOIN wallets w USING (user_id, currency)"
    "   WHERE COALESCE(j.total, 0) <> COALESCE(w.deposit_balance"
    "    + w.winning_balance + w.bonus_balance, 0)),"
    " (SELECT count(*) FROM (SELECT tx_id AS transaction_id, amount"
    "   FROM transactions WHERE state = 'credited') t"
    "   FULL JOIN (SELECT transaction_id, amount FROM journal"
    "   WHERE kind = 'deposit_credit') j USING (transaction_id)"
    "   WHERE t.amount IS DISTINCT FROM j.amount AND NOT EXISTS"
    "    (SELECT 1 FROM transactions r WHERE r.tx_id = transaction_id"
    "     AND r.state = 'reversed')),"
    " c.published, c.n0, c.n1, c.n2, c.n3, c.n4, c.n5, c.n6"
    " FROM (SELECT count(*) FILTER (WHERE enqueue_count > 0) AS published,"
    "  count(*) FILTER (WHERE state = 'received') AS n0,"
    "  count(*) FILTER (WHERE state = 'awaiting_confirmations') AS n1,"
    "  count(*) FILTER (WHERE state = 'credited') AS n2,"
    "  count(*) FILTER (WHERE state = 'unmatched') AS n3,"
    "  count(*) FILTER (WHERE state = 'conflict') AS n4,"
    "  count(*) FILTER (WHERE state = 'rejected') AS n5,"
    "  count(*) FILTER (WHERE state = 'reversed') AS n6"
    "  FROM transactions) c";

static enum celery_status run_check(struct pg_conn *conn, PGresult **ret,
                                    struct celery_error *err)
{
    char setup[64];
    (void)snprintf(setup, sizeof setup, "BEGIN; SET LOCAL statement_timeout=%d",
                   (int)(check_timeout_s * 1000));
    enum celery_status st = pg_do(conn, setup, err);
    if (st == CELERY_OK)
        st = pg_exec(conn, check_sql, NULL, ret, err);
    (void)!pg_do(conn, "ROLLBACK", NULL);
    return st;
}

enum celery_status pg_check(void *impl, struct ledger_check *ret,
                            struct celery_error *err)
{
    struct pg_conn *conn = NULL;
    PGresult *result = NULL;
    enum celery_status st = pg_pool_borrow(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    double timeout_s = conn->timeout_s;
    conn->timeout_s = check_timeout_s;
    st = run_check(conn, &result, err);
    conn->timeout_s = timeout_s;
    pg_pool_return(impl, conn);
    if (st != CELERY_OK)
        return st;

    *ret = (struct ledger_check){0};
    ledger_amount_tidy(PQgetvalue(result, 0, 0), ret->credited_sum);
    ledger_amount_tidy(PQgetvalue(result, 0, 1), ret->journal_sum);
    ledger_amount_tidy(PQgetvalue(result, 0, 2), ret->wallet_sum);
    ret->wallets_off = pg_int(result, 0, 3);
    ret->credits_off = pg_int(result, 0, 4);
    ret->published = pg_int(result, 0, 5);
    for (int i = 0; i < LEDGER_STATE_COUNT; i++)
        ret->count[i] = pg_int(result, 0, 6 + i);
    PQclear(result);
    ledger_check_judge(ret);
    return CELERY_OK;
}

static enum celery_status explain_events(struct pg_pool *pool,
                                         const char *tx_id,
                                         struct celery_buf *ret_text,
                                         struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, tx_id);
    enum celery_status st = pg_run(
        pool,
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint AS us,"
        " 'journal ' || kind, trim_scale(amount) || ' ' || currency || ' to '"
        " || account || ' of ' || user_id, 0 AS kind, id"
        " FROM journal WHERE transaction_id = $1::uuid UNION ALL "
        "SELECT (extract(epoch FROM created_at) * 1000000)::bigint,"
        " 'audit ' || action, details::text, 1, id"
        " FROM audit_log WHERE transaction_id = $1::uuid ORDER BY us, kind, id",
        &params, &result, err);
    if (st != CELERY_OK)
        return st;
    for (int i = 0; i < PQntuples(result); i++)
        ledger_explain_line(ret_text, pg_int(result, i, 0),
                            PQgetvalue(result, i, 1), pg_text(result, i, 2));
    PQclear(result);
    return celery_buf_status(ret_text);
}

enum celery_status pg_explain(void *impl, const char *tx_id,
                              struct celery_buf *ret_text, bool *ret_found,
                              struct celery_error *err)
{
    PGresult *result = NULL;
    enum celery_status st = pg_find_row(impl, tx_id, &result, err);
    if (st != CELERY_OK)
        return st;
    *ret_found = PQntuples(result) == 1;
    if (*ret_found) {
        struct ledger_row row = pg_read_row(result, 0);
        ledger_explain_head(ret_text, &row);
        st = explain_events(impl, tx_id, ret_text, err);
    }
    PQclear(result);
    return st;
}

/* Open and set-aside rows are counted by their partial indexes. Counting the
 * credited ones would read the whole table every time: they are the planner's
 * estimate. */
static const char backlog_sql[] =
    "WITH open AS (SELECT state, count(*) AS n, min(created_at) AS oldest,"
    "  count(*) FILTER (WHERE COALESCE(next_enqueue_at, created_at) < now())"
    "   AS due, min(COALESCE(next_enqueue_at, created_at)) AS due_at"
    "  FROM transactions WHERE state = 'received' OR"
    "  (state = 'awaiting_confirmations'"
    "   AND confirmations >= confirmations_required) GROUP BY state),"
    " aside AS (SELECT state, count(*) AS n FROM transactions WHERE state IN"
    "  ('awaiting_confirmations', 'unmatched', 'conflict', 'reversed')"
    "  GROUP BY state UNION ALL SELECT state, count(*) FROM transactions"
    "  WHERE state = 'rejected' GROUP BY state)"
    " SELECT state, n, 0, 0, 0 FROM aside"
    " UNION ALL SELECT state, n, 0, 0, 0 FROM open WHERE state = 'received'"
    " UNION ALL SELECT 'credited', GREATEST(0, (SELECT reltuples::bigint FROM"
    "  pg_class WHERE oid = 'transactions'::regclass)"
    "  - COALESCE((SELECT sum(n) FROM aside), 0)"
    "  - COALESCE((SELECT sum(n) FROM open WHERE state = 'received'), 0)),"
    "  0, 0, 0"
    " UNION ALL SELECT 'open', 0, COALESCE(sum(due), 0),"
    "  COALESCE((extract(epoch FROM now() - min(oldest)) * 1000000)::bigint,"
    "   0), GREATEST(0, COALESCE("
    "   (extract(epoch FROM now() - min(due_at)) * 1000000)::bigint, 0))"
    " FROM open";

enum celery_status pg_backlog(void *impl, struct ledger_backlog *ret,
                              struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    enum celery_status st = pg_run(impl, backlog_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    for (int i = 0; i < PQntuples(result); i++) {
        enum ledger_state state = LEDGER_RECEIVED;
        if (ledger_state_parse(PQgetvalue(result, i, 0), &state)) {
            ret->count[state] = pg_int(result, i, 1);
            continue;
        }
        ret->due = pg_int(result, i, 2);
        ret->oldest_s = (double)pg_int(result, i, 3) / 1e6;
        ret->overdue_s = (double)pg_int(result, i, 4) / 1e6;
    }
    PQclear(result);
    return CELERY_OK;
}
