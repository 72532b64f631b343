/* SPDX-License-Identifier: MIT */
/*
 * The running comparison of the books, a slice of rows in one write transaction:
 * the row that says where the pass is serializes the processes.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ledger/sqlite/sqlite_ledger.h"

/* The cost of a slice is paid back with this many times its own length. */
enum { REST = 20 };

struct pass {
    bool at_wallets;
    char after_id[LEDGER_ID_MAX];
    char after_currency[LEDGER_CURRENCY_MAX];
    int64_t wallets_off;
    int64_t credits_off;
    int64_t passes;
    int64_t finished_us;
    int64_t due_us;
    int64_t last_wallets_off;
    int64_t last_credits_off;
};

static enum celery_status read_pass(struct sqlite_conn *conn, struct pass *ret,
                                    struct celery_error *err)
{
    static const char sql[] =
        "SELECT at_wallets, after_id, after_currency, wallets_off, credits_off,"
        " passes, finished_at, due_at, last_wallets_off, last_credits_off"
        " FROM ledger_audit";
    bool row = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
    if (st != CELERY_OK || !row)
        return st;
    ret->at_wallets = sqlite3_column_int64(stmt, 0) != 0;
    sqlite_copy(stmt, 1, ret->after_id, sizeof ret->after_id);
    sqlite_copy(stmt, 2, ret->after_currency, sizeof ret->after_currency);
    ret->wallets_off = sqlite3_column_int64(stmt, 3);
    ret->credits_off = sqlite3_column_int64(stmt, 4);
    ret->passes = sqlite3_column_int64(stmt, 5);
    ret->finished_us = sqlite3_column_int64(stmt, 6);
    ret->due_us = sqlite3_column_int64(stmt, 7);
    ret->last_wallets_off = sqlite3_column_int64(stmt, 8);
    ret->last_credits_off = sqlite3_column_int64(stmt, 9);
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

static enum celery_status write_pass(struct sqlite_conn *conn,
                                     const struct pass *pass,
                                     struct celery_error *err)
{
    static const char sql[] =
        "UPDATE ledger_audit SET at_wallets = ?1, after_id = ?2,"
        " after_currency = ?3, wallets_off = ?4, credits_off = ?5, passes = ?6,"
        " finished_at = ?7, due_at = ?8, last_wallets_off = ?9,"
        " last_credits_off = ?10";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_number(stmt, 1, pass->at_wallets);
    sqlite_bind(stmt, 2, pass->after_id);
    sqlite_bind(stmt, 3, pass->after_currency);
    sqlite_bind_number(stmt, 4, pass->wallets_off);
    sqlite_bind_number(stmt, 5, pass->credits_off);
    sqlite_bind_number(stmt, 6, pass->passes);
    sqlite_bind_number(stmt, 7, pass->finished_us);
    sqlite_bind_number(stmt, 8, pass->due_us);
    sqlite_bind_number(stmt, 9, pass->last_wallets_off);
    sqlite_bind_number(stmt, 10, pass->last_credits_off);
    return sqlite_step_done(conn, stmt, err);
}

/* Rows of (id, currency, differs?) in order; counts them, keeps the last key. */
static enum celery_status compare(struct sqlite_conn *conn, const char *sql,
                                  int rows, struct pass *pass, int *ret_seen,
                                  int64_t *ret_off, struct celery_error *err)
{
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    char id[LEDGER_ID_MAX];
    char currency[LEDGER_CURRENCY_MAX];
    (void)snprintf(id, sizeof id, "%s", pass->after_id);
    (void)snprintf(currency, sizeof currency, "%s", pass->after_currency);
    sqlite_bind(stmt, 1, id);
    sqlite_bind(stmt, 2, currency);
    sqlite_bind_number(stmt, 3, rows);
    for (;;) {
        bool row = false;
        enum celery_status st = sqlite_step_row(conn, stmt, &row, err);
        if (st != CELERY_OK || !row)
            return st;
        sqlite_copy(stmt, 0, pass->after_id, sizeof pass->after_id);
        sqlite_copy(stmt, 1, pass->after_currency, sizeof pass->after_currency);
        *ret_off += sqlite3_column_int64(stmt, 2) != 0;
        *ret_seen += 1;
    }
}

static const char wallets_sql[] =
    "SELECT user_id, currency, dec_cmp(dec_add(deposit_balance,"
    "  dec_add(winning_balance, bonus_balance)),"
    "  (SELECT dec_sum(amount) FROM journal j WHERE j.user_id = w.user_id"
    "   AND j.currency = w.currency)) <> 0"
    " FROM wallets w WHERE (user_id, currency) > (?1, ?2)"
    " ORDER BY user_id, currency LIMIT ?3";

/* ?2 is not needed here, but bound. */
static const char deposits_sql[] =
    "SELECT t.tx_id, '', (t.state <> 'reversed' AND (t.state = 'credited') <>"
    "  COALESCE(j.amount = t.amount AND j.user_id = t.user_id"
    "   AND w.user_id IS NOT NULL, 0))"
    " OR (t.state NOT IN ('credited', 'reversed') AND j.amount IS NOT NULL)"
    " FROM transactions t LEFT JOIN journal j ON j.transaction_id = t.tx_id"
    "  AND j.kind = 'deposit_credit'"
    " LEFT JOIN wallets w ON w.user_id = j.user_id AND w.currency = t.currency"
    " WHERE t.tx_id > ?1 AND ?2 IS NOT NULL ORDER BY t.tx_id LIMIT ?3";

static void next_half(struct pass *pass, double pause_s)
{
    pass->after_id[0] = pass->after_currency[0] = '\0';
    pass->at_wallets = !pass->at_wallets;
    if (!pass->at_wallets)
        return;
    pass->passes++;
    pass->last_wallets_off = pass->wallets_off;
    pass->last_credits_off = pass->credits_off;
    pass->wallets_off = pass->credits_off = 0;
    pass->finished_us = clock_wall_us();
    pass->due_us = pass->finished_us + (int64_t)(pause_s * USEC_PER_SEC);
}

static enum celery_status slice(struct sqlite_conn *conn, int rows,
                                double pause_s, struct pass *pass,
                                struct celery_error *err)
{
    int seen = 0;
    int64_t began_us = clock_wall_us();
    if (began_us < pass->due_us)
        return CELERY_OK;
    enum celery_status st = compare(
        conn, pass->at_wallets ? wallets_sql : deposits_sql, rows, pass, &seen,
        pass->at_wallets ? &pass->wallets_off : &pass->credits_off, err);
    if (st != CELERY_OK)
        return st;
    if (seen < rows) {
        next_half(pass, pause_s);
    } else {
        int64_t ended_us = clock_wall_us();
        pass->due_us = ended_us + REST * (ended_us - began_us);
    }
    return write_pass(conn, pass, err);
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Is a slice due? Asked first in a read transaction: no lock is taken for no. */
static enum celery_status look(struct sqlite_db *db, struct pass *ret,
                               struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin_read(db, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = read_pass(conn, ret, err);
    sqlite_end_read(db, conn);
    return st;
}

static enum celery_status work(struct sqlite_db *db, int rows, double pause_s,
                               struct pass *pass, struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(db, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = read_pass(conn, pass, err);
    if (st == CELERY_OK)
        st = slice(conn, rows, pause_s, pass, err);
    if (st == CELERY_OK)
        return sqlite_commit(db, conn, err);
    sqlite_rollback(db, conn);
    return st;
}

enum celery_status sqlite_audit_books(void *impl, int rows, double pause_s,
                                      struct ledger_audit *ret,
                                      struct celery_error *err)
{
    struct pass pass = {.at_wallets = true};
    enum celery_status st = look(impl, &pass, err);
    if (st == CELERY_OK && clock_wall_us() >= pass.due_us)
        st = work(impl, rows, pause_s, &pass, err);
    if (st != CELERY_OK)
        return st;
    *ret = (struct ledger_audit){
        .wallets_off = greater(pass.wallets_off, pass.last_wallets_off),
        .credits_off = greater(pass.credits_off, pass.last_credits_off),
        .passes = pass.passes,
        .finished_at = (double)pass.finished_us / USEC_PER_SEC,
        .due_s =
            (double)greater(0, pass.due_us - clock_wall_us()) / USEC_PER_SEC,
    };
    return CELERY_OK;
}
