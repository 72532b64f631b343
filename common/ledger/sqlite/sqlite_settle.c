/* SPDX-License-Identifier: MIT */
/*
 * Settlement: one write transaction a batch, a savepoint a deposit, so that one
 * which cannot be settled does not fail its neighbours.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ledger/amount.h"
#include "ledger/sqlite/sqlite_ledger.h"

/* The row as it stands, whether its user exists, and why it must not be
 * credited (NULL: it may). */
struct open_row {
    struct ledger_row row;
    bool user_known;
    const char *why;
};

static enum celery_status user_exists(struct sqlite_conn *conn,
                                      const char *user_id, bool *ret,
                                      struct celery_error *err)
{
    static const char sql[] = "SELECT 1 FROM users WHERE id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, user_id);
    enum celery_status st = sqlite_step_row(conn, stmt, ret, err);
    if (st == CELERY_OK)
        (void)sqlite3_reset(stmt);
    return st;
}

/* May it be a transfer that is credited already, or that a human said to credit?
 * As is_possible_duplicate() of the ingest. */
static enum celery_status is_fenced(struct sqlite_conn *conn, const char *tx_id,
                                    bool *ret, struct celery_error *err)
{
    static const char sql[] =
        "SELECT 1 FROM transactions t JOIN transactions o"
        " ON o.canonical_hash = t.canonical_hash AND o.tx_id <> t.tx_id"
        " WHERE t.tx_id = ?1 AND t.resolution IS NULL AND o.key_collides = 0"
        " AND iif(o.chain = t.chain, o.log_index <> t.log_index,"
        "  length(o.canonical_hash) = 64"
        "  AND trim(o.canonical_hash, '0123456789abcdef') = '')"
        " AND o.amount = t.amount AND may_be_same_recipient(o.to_address,"
        "  o.user_id, t.to_address, t.user_id)"
        " AND NOT (o.chain = t.chain AND o.index_stable AND t.index_stable"
        "  AND NOT o.taken_back AND NOT t.taken_back"
        "  AND o.block_number IS t.block_number)"
        " AND (o.state = 'credited' OR (o.state IN ('received', 'unmatched',"
        "  'awaiting_confirmations') AND (o.resolution IS NOT NULL"
        "  OR (o.created_at, o.tx_id) < (t.created_at, t.tx_id)))) LIMIT 1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, tx_id);
    enum celery_status st = sqlite_step_row(conn, stmt, ret, err);
    if (st == CELERY_OK && *ret)
        (void)sqlite3_reset(stmt);
    return st;
}

static struct amount parse(const char *text)
{
    struct amount amount = {0};
    if (amount_parse_signed((struct celery_str){text, strlen(text)}, &amount)
        != CELERY_OK)
        amount.units = 0; /* the ledger holds no such text */
    return amount;
}

/* Would the balance be more than an amount can be? */
static enum celery_status overflows(struct sqlite_conn *conn,
                                    const struct ledger_row *row, bool *ret,
                                    struct celery_error *err)
{
    static const char sql[] = "SELECT deposit_balance FROM wallets"
                              " WHERE user_id = ?1 AND currency = ?2";
    bool found = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->user_id);
    sqlite_bind(stmt, 2, row->currency);
    enum celery_status st = sqlite_step_row(conn, stmt, &found, err);
    if (st != CELERY_OK || !found)
        return st;
    struct amount sum;
    *ret = !amount_add(parse(sqlite_text(stmt, 0)), parse(row->amount), &sum);
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

static enum celery_status find_why(struct sqlite_conn *conn,
                                   struct open_row *open,
                                   struct celery_error *err)
{
    bool fenced = false;
    bool over = false;
    enum celery_status st = is_fenced(conn, open->row.tx_id, &fenced, err);
    if (st == CELERY_OK && open->row.user_id != NULL)
        st = overflows(conn, &open->row, &over, err);
    if (fenced)
        open->why = "possible_duplicate";
    else if (over)
        open->why = "the balance would be too large";
    return st;
}

static enum ledger_state judge(const struct open_row *open,
                               enum ledger_state state)
{
    if (state != LEDGER_RECEIVED && state != LEDGER_AWAITING_CONFIRMATIONS
        && state != LEDGER_UNMATCHED)
        return state;
    if (open->why != NULL)
        return LEDGER_CONFLICT;
    if (open->row.confirmations < open->row.confirmations_required)
        return LEDGER_AWAITING_CONFIRMATIONS;
    return open->user_known ? LEDGER_CREDITED : LEDGER_UNMATCHED;
}

static enum celery_status pay(struct sqlite_conn *conn,
                              const struct ledger_row *row,
                              char ret_balance[LEDGER_AMOUNT_MAX],
                              struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO wallets (user_id, currency, deposit_balance, created_at,"
        " updated_at) VALUES (?1, ?2, ?3, ?4, ?4)"
        " ON CONFLICT (user_id, currency) DO UPDATE SET deposit_balance ="
        " dec_add(deposit_balance, excluded.deposit_balance),"
        " updated_at = excluded.updated_at RETURNING deposit_balance";
    bool paid = false;
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->user_id);
    sqlite_bind(stmt, 2, row->currency);
    sqlite_bind(stmt, 3, row->amount);
    sqlite_bind_number(stmt, 4, clock_wall_us());
    enum celery_status st = sqlite_step_row(conn, stmt, &paid, err);
    if (st != CELERY_OK)
        return st;
    sqlite_copy(stmt, 0, ret_balance, LEDGER_AMOUNT_MAX);
    (void)sqlite3_reset(stmt);
    return CELERY_OK;
}

static enum celery_status write_journal(struct sqlite_conn *conn,
                                        const struct ledger_row *row,
                                        struct celery_error *err)
{
    static const char sql[] =
        "INSERT INTO journal (transaction_id, kind, user_id, currency, amount,"
        " created_at) VALUES (?1, 'deposit_credit', ?2, ?3, ?4, ?5)";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, row->tx_id);
    sqlite_bind(stmt, 2, row->user_id);
    sqlite_bind(stmt, 3, row->currency);
    sqlite_bind(stmt, 4, row->amount);
    sqlite_bind_number(stmt, 5, clock_wall_us());
    return sqlite_step_done(conn, stmt, err);
}

static void put_text(struct celery_json_writer *w, const char *key,
                     const char *text)
{
    celery_json_key(w, key);
    celery_json_put_text(w, text);
}

static enum celery_status credit(struct sqlite_conn *conn,
                                 const struct ledger_row *row,
                                 struct celery_error *err)
{
    CLEANUP(celery_buf_done) struct celery_buf details = CELERY_BUF_INIT;
    struct celery_json_writer w = CELERY_JSON_WRITER(&details);
    char balance[LEDGER_AMOUNT_MAX];
    enum celery_status st = pay(conn, row, balance, err);
    if (st == CELERY_OK)
        st = write_journal(conn, row, err);
    if (st != CELERY_OK)
        return st;
    celery_json_begin_object(&w);
    put_text(&w, "tx_hash", row->tx_hash);
    put_text(&w, "amount", row->amount);
    put_text(&w, "currency", row->currency);
    celery_json_key(&w, "confirmations");
    celery_json_put_int(&w, row->confirmations);
    put_text(&w, "new_balance", balance);
    celery_json_end_object(&w);
    return sqlite_audit(conn, "process_deposit", row->tx_id, row->user_id,
                        details.data, err);
}

static enum celery_status set_state(struct sqlite_conn *conn, const char *tx_id,
                                    enum ledger_state state, const char *why,
                                    struct celery_error *err)
{
    static const char sql[] =
        "UPDATE transactions SET state = ?2, started_at = COALESCE(started_at,"
        " ?3), processed_at = iif(?2 = 'credited', ?3, NULL),"
        " conflict_reason = COALESCE(?4, conflict_reason) WHERE tx_id = ?1";
    sqlite3_stmt *stmt = sqlite_statement(conn, sql);
    sqlite_bind(stmt, 1, tx_id);
    sqlite_bind(stmt, 2, ledger_state_name(state));
    sqlite_bind_number(stmt, 3, clock_wall_us());
    sqlite_bind(stmt, 4, why);
    return sqlite_step_done(conn, stmt, err);
}

static enum celery_status settle_open(struct sqlite_conn *conn,
                                      struct open_row *open,
                                      struct ledger_settled *ret,
                                      struct celery_error *err)
{
    const struct ledger_row *row = &open->row;
    enum celery_status st = CELERY_OK;
    if (row->user_id != NULL)
        st = user_exists(conn, row->user_id, &open->user_known, err);
    if (st == CELERY_OK)
        st = find_why(conn, open, err);
    enum ledger_state next = judge(open, ret->state);
    if (st == CELERY_OK && next == LEDGER_CREDITED)
        st = credit(conn, row, err);
    if (st == CELERY_OK && (next != ret->state || row->started_us == 0))
        st = set_state(conn, row->tx_id, next, open->why, err);
    if (st == CELERY_OK) {
        ret->credited_now = next == LEDGER_CREDITED;
        ret->waited = ret->state != LEDGER_RECEIVED;
        ret->state = next;
    }
    return st;
}

static enum celery_status settle_row(struct sqlite_conn *conn,
                                     const char *tx_id,
                                     struct ledger_settled *ret,
                                     struct celery_error *err)
{
    struct open_row open = {0};
    enum celery_status st =
        sqlite_find_row(conn, tx_id, &open.row, &ret->found, err);
    if (st != CELERY_OK || !ret->found)
        return st;
    (void)ledger_state_parse(open.row.state, &ret->state);
    (void)strncpy(ret->tx_hash, open.row.tx_hash, sizeof ret->tx_hash - 1);
    ret->created_at = (double)open.row.created_us / USEC_PER_SEC;
    ret->enqueued_at = (double)open.row.enqueued_us / USEC_PER_SEC;
    if (ret->state == LEDGER_CREDITED || ret->state == LEDGER_CONFLICT
        || ret->state == LEDGER_REJECTED || ret->state == LEDGER_REVERSED)
        return CELERY_OK;
    return settle_open(conn, &open, ret, err);
}

/* Under a savepoint; what is the deposit's own fault is no error. */
static enum celery_status settle_guarded(struct sqlite_conn *conn,
                                         const char *tx_id,
                                         struct ledger_settled *ret,
                                         struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = sqlite_script(conn, "SAVEPOINT deposit", err);
    if (st != CELERY_OK)
        return st;
    st = settle_row(conn, tx_id, ret, &why);
    if (st == CELERY_OK)
        return sqlite_script(conn, "RELEASE deposit", err);
    if (st != CELERY_CONFLICT) {
        if (err != NULL)
            *err = why;
        return st;
    }
    ret->failed = true;
    ret->error = why;
    return sqlite_script(conn, "ROLLBACK TO deposit; RELEASE deposit", err);
}

enum celery_status sqlite_settle(void *impl,
                                 const char (*tx_ids)[LEDGER_ID_MAX],
                                 size_t count, struct ledger_settled *ret,
                                 struct celery_error *err)
{
    struct sqlite_conn *conn = NULL;
    enum celery_status st = sqlite_begin(impl, &conn, err);
    if (st != CELERY_OK)
        return st;
    for (size_t i = 0; i < count && st == CELERY_OK; i++) {
        ret[i] = (struct ledger_settled){0};
        st = settle_guarded(conn, tx_ids[i], &ret[i], err);
    }
    if (st == CELERY_OK)
        return sqlite_commit(impl, conn, err);
    sqlite_rollback(impl, conn);
    return st;
}
