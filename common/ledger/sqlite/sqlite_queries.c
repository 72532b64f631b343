/* SPDX-License-Identifier: MIT */
/*
 * What the API's users ask for: transactions, wallets, registration.
 */
#include <string.h>

#include "base/clock.h"
#include "ledger/sqlite/sqlite_ledger.h"

/* In the order read_row() reads them. */
#define ROW_COLUMNS                                                         \
    "tx_id, tx_hash, chain, log_index, amount, currency, state, user_id,"   \
    " confirmations, confirmations_required, to_address, provider_status,"  \
    " conflict_reason, COALESCE(block_number, -1), metadata,"               \
    " enqueue_count, created_at, enqueued_at, next_enqueue_at, started_at," \
    " processed_at, resolution, inbox_id"

static struct ledger_row read_row(sqlite3_stmt *stmt)
{
    return (struct ledger_row){
        .tx_id = sqlite_text(stmt, 0),
        .tx_hash = sqlite_text(stmt, 1),
        .chain = sqlite_text(stmt, 2),
        .log_index = sqlite3_column_int64(stmt, 3),
        .amount = sqlite_text(stmt, 4),
        .currency = sqlite_text(stmt, 5),
        .state = sqlite_text(stmt, 6),
        .user_id = sqlite_text(stmt, 7),
        .confirmations = sqlite3_column_int64(stmt, 8),
        .confirmations_required = sqlite3_column_int64(stmt, 9),
        .to_address = sqlite_text(stmt, 10),
        .provider_status = sqlite_text(stmt, 11),
        .conflict_reason = sqlite_text(stmt, 12),
        .block_number = sqlite3_column_int64(stmt, 13),
        .metadata = sqlite_text(stmt, 14),
        .enqueue_count = sqlite3_column_int64(stmt, 15),
        .created_us = sqlite3_column_int64(stmt, 16),
        .enqueued_us = sqlite3_column_int64(stmt, 17),
        .next_enqueue_us = sqlite3_column_int64(stmt, 18),
        .started_us = sqlite3_column_int64(stmt, 19),
        .processed_us = sqlite3_column_int64(stmt, 20),
        .resolution = sqlite_text(stmt, 21),
        .inbox_id = sqlite_text(stmt, 22),
    };
}

enum celery_status sqlite_find_row(struct sqlite_conn *conn, const char *tx_id,
                                   struct ledger_row *ret, bool *ret_found,
                                   struct celery_error *err)
{
    static const char sql[] =
        "SELECT " ROW_COLUMNS " FROM transactions WHERE tx_id = ?1";
    bool found = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, tx_id);
    enum celery_status st = sqlite_step_row(conn, stmt, &found, err);
    if (st != CELERY_OK)
        return st;
    *ret_found = found;
    if (found)
        *ret = read_row(stmt);
    return CELERY_OK;
}

static sqlite3_stmt *bind_page(struct sqlite_conn *conn,
                               const struct ledger_page *page)
{
    static const char sql[] =
        "SELECT " ROW_COLUMNS " FROM transactions"
        " WHERE (?1 IS NULL OR user_id = ?1) AND (?2 IS NULL OR state = ?2)"
        " AND (?3 IS NULL OR canonical_hash = ?3)"
        " AND (?5 IS NULL OR (created_at, tx_id) < (?4, ?5))"
        " ORDER BY created_at DESC, tx_id DESC LIMIT ?6";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    if (page->user_id != NULL)
        sqlite_bind_id(stmt, 1, page->user_id);
    sqlite_bind(stmt, 2, page->state);
    sqlite_bind(stmt, 3, page->hash_key);
    sqlite_bind_number(stmt, 4, page->before_us);
    sqlite_bind_id(stmt, 5, page->before_id);
    sqlite_bind_number(stmt, 6, page->limit + 1);
    return stmt;
}

static enum celery_status write_page(struct sqlite_conn *conn,
                                     sqlite3_stmt *stmt, int limit,
                                     struct celery_buf *ret_json,
                                     struct celery_error *err)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
    char cursor[LEDGER_CURSOR_MAX] = "";
    bool more = false;
    celery_json_begin_object(&w);
    celery_json_key(&w, "transactions");
    celery_json_begin_array(&w);
    for (int i = 0;; i++) {
        enum celery_status st = sqlite_step_row(conn, stmt, &more, err);
        if (st != CELERY_OK)
            return st;
        if (!more || i == limit)
            break;
        struct ledger_row row = read_row(stmt);
        ledger_row_write(&w, &row, false);
        ledger_cursor_format(row.created_us, row.tx_id, cursor);
    }
    celery_json_end_array(&w);
    celery_json_key(&w, "next_cursor");
    celery_json_put_text(&w, more ? cursor : NULL);
    celery_json_end_object(&w);
    return celery_buf_status(ret_json);
}

enum celery_status sqlite_transactions(void *impl,
                                       const struct ledger_page *page,
                                       struct celery_buf *ret_json,
                                       struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = write_page(conn, bind_page(conn, page), page->limit, ret_json, err);
    sqlite_end_read(impl, conn);
    return st;
}

enum celery_status sqlite_transaction(void *impl, const char *tx_id,
                                      struct celery_buf *ret_json,
                                      bool *ret_found, struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    struct ledger_row row = {0};
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = sqlite_find_row(conn, tx_id, &row, ret_found, err);
    if (st == CELERY_OK && *ret_found) {
        struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
        ledger_row_write(&w, &row, true);
        st = celery_buf_status(ret_json);
    }
    sqlite_end_read(impl, conn);
    return st;
}

enum celery_status sqlite_wallet(void *impl, const char *user_id,
                                 const char *currency,
                                 struct celery_buf *ret_json,
                                 struct ledger_wallet_found *ret_found,
                                 struct celery_error *err)
{
    /* A user without a credit yet has an empty wallet. */
    static const char sql[] =
        "SELECT u.id, ?2, COALESCE(w.deposit_balance, '0'),"
        " COALESCE(w.winning_balance, '0'), COALESCE(w.bonus_balance, '0'),"
        " CASE WHEN w.user_id IS NOT NULL THEN 1 ELSE EXISTS"
        "  (SELECT 1 FROM transactions t"
        "    WHERE t.user_id = u.id AND t.currency = ?2) END"
        " FROM users u LEFT JOIN wallets w"
        " ON w.user_id = u.id AND w.currency = ?2 WHERE u.id = ?1";
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin_read(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind_id(stmt, 1, user_id);
    sqlite_bind(stmt, 2, currency);
    st = sqlite_step_row(conn, stmt, &ret_found->user, err);
    if (st == CELERY_OK && ret_found->user) {
        ret_found->used = sqlite3_column_int(stmt, 5) != 0;
        struct ledger_wallet_row row = {
            sqlite_text(stmt, 0), sqlite_text(stmt, 1), sqlite_text(stmt, 2),
            sqlite_text(stmt, 3), sqlite_text(stmt, 4)};
        st = ledger_wallet_write(ret_json, &row, err);
    }
    sqlite_end_read(impl, conn);
    return st;
}

/* --- users -------------------------------------------------------------- */

static void bind_user(sqlite3_stmt *stmt, const struct ledger_user *user)
{
    sqlite_bind_id(stmt, 1, user->id);
    if (user->telegram_id != 0)
        sqlite_bind_number(stmt, 2, user->telegram_id);
    sqlite_bind(stmt, 3, user->username);
}

static enum celery_status insert_user(struct sqlite_conn *conn,
                                      const struct ledger_user *user,
                                      bool *ret_created,
                                      struct celery_error *err)
{
    static const char insert_sql[] =
        "INSERT INTO users (id, telegram_id, username, username_key, "
        "created_at)"
        " VALUES (?1, ?2, ?3, lower(?3), ?4) ON CONFLICT DO NOTHING";
    static const char due_sql[] = "UPDATE transactions SET next_enqueue_at = ?2"
                                  " WHERE user_id = ?1 AND state = 'unmatched'";
    sqlite3_stmt *stmt = sqlite_statement(conn, insert_sql);
    bind_user(stmt, user);
    sqlite_bind_number(stmt, 4, clock_wall_us());
    enum celery_status st = sqlite_step_done(conn, stmt, err);
    if (st != CELERY_OK)
        return st;
    *ret_created = sqlite_changed(conn) == 1;
    if (!*ret_created)
        return CELERY_OK;
    stmt = sqlite_statement(conn, due_sql);
    sqlite_bind_id(stmt, 1, user->id);
    sqlite_bind_number(stmt, 2, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

static enum celery_status find_user(struct sqlite_conn *conn,
                                    const struct ledger_user *user,
                                    char ret_user_id[LEDGER_ID_MAX],
                                    struct celery_error *err)
{
    static const char sql[] =
        "SELECT id FROM users WHERE telegram_id = ?2 OR username = ?3"
        " OR username_key = lower(?3) OR id = ?1"
        " ORDER BY telegram_id IS ?2 DESC, username IS ?3 DESC,"
        " username_key IS lower(?3) DESC LIMIT 1";
    bool found = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    bind_user(stmt, user);
    enum celery_status st = sqlite_step_row(conn, stmt, &found, err);
    if (st != CELERY_OK)
        return st;
    if (!found)
        return celery_fail(err, CELERY_IO, "SQLite: a user vanished");
    sqlite_copy(stmt, 0, ret_user_id, LEDGER_ID_MAX);
    return CELERY_OK;
}

enum celery_status sqlite_register_user(void *impl,
                                        const struct ledger_user *user,
                                        char ret_user_id[LEDGER_ID_MAX],
                                        bool *ret_created,
                                        struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    bool created = false;
    char id[LEDGER_ID_MAX] = "";
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = insert_user(conn, user, &created, err);
    if (st == CELERY_OK)
        st = find_user(conn, user, id, err);
    if (st != CELERY_OK) {
        sqlite_rollback(impl, conn);
        return st;
    }
    st = sqlite_commit(impl, conn, err);
    if (st == CELERY_OK) {
        memcpy(ret_user_id, id, sizeof id);
        *ret_created = created;
    }
    return st;
}
