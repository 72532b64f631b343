/* SPDX-License-Identifier: MIT */
/*
 * What the API's users ask for: transactions, wallets, registration.
 */
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

#define EPOCH_US(column) "(extract(epoch FROM " column ") * 1000000)::bigint"

/* In the order pg_read_row() reads them. */
#define ROW_COLUMNS                                                            \
    "tx_id, tx_hash, chain, log_index, amount, currency, state, user_id,"      \
    " confirmations, confirmations_required, to_address, provider_status,"     \
    " conflict_reason, COALESCE(block_number, -1), metadata,"                  \
    " enqueue_count, " EPOCH_US("created_at") ", " EPOCH_US(                   \
        "enqueued_at") ", " EPOCH_US("next_enqueue_at") ", " EPOCH_US("starte" \
                                                                      "d_at") ", " EPOCH_US("processed_at") ", resolution, inbox_id"

struct ledger_row pg_read_row(const PGresult *result, int row)
{
    return (struct ledger_row){
        .tx_id = pg_text(result, row, 0),
        .tx_hash = pg_text(result, row, 1),
        .chain = pg_text(result, row, 2),
        .log_index = pg_int(result, row, 3),
        .amount = pg_text(result, row, 4),
        .currency = pg_text(result, row, 5),
        .state = pg_text(result, row, 6),
        .user_id = pg_text(result, row, 7),
        .confirmations = pg_int(result, row, 8),
        .confirmations_required = pg_int(result, row, 9),
        .to_address = pg_text(result, row, 10),
        .provider_status = pg_text(result, row, 11),
        .conflict_reason = pg_text(result, row, 12),
        .block_number = pg_int(result, row, 13),
        .metadata = pg_text(result, row, 14),
        .enqueue_count = pg_int(result, row, 15),
        .created_us = pg_int(result, row, 16),
        .enqueued_us = pg_int(result, row, 17),
        .next_enqueue_us = pg_int(result, row, 18),
        .started_us = pg_int(result, row, 19),
        .processed_us = pg_int(result, row, 20),
        .resolution = pg_text(result, row, 21),
        .inbox_id = pg_text(result, row, 22),
    };
}

enum celery_status pg_find_row(struct pg_pool *pool, const char *tx_id,
                               PGresult **ret, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    pg_add_text(&params, tx_id);
    return pg_run(pool,
                  "SELECT " ROW_COLUMNS
                  " FROM transactions WHERE tx_id = $1::uuid",
                  &params, ret, err);
}

static void write_page(const PGresult *result, int limit,
                       struct celery_buf *ret_json)
{
    struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
    int rows = PQntuples(result);
    bool more = rows > limit;
    struct ledger_row last = {0};
    celery_json_begin_object(&w);
    celery_json_key(&w, "transactions");
    celery_json_begin_array(&w);
    for (int i = 0; i < rows && i < limit; i++) {
        last = pg_read_row(result, i);
        ledger_row_write(&w, &last, false);
    }
    celery_json_end_array(&w);
    celery_json_key(&w, "next_cursor");
    if (more) {
        char cursor[LEDGER_CURSOR_MAX];
        ledger_cursor_format(last.created_us, last.tx_id, cursor);
        celery_json_put_text(&w, cursor);
    } else {
        celery_json_put_null(&w);
    }
    celery_json_end_object(&w);
}

enum celery_status pg_transactions(void *impl, const struct ledger_page *page,
                                   struct celery_buf *ret_json,
                                   struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    bool older = page->before_id[0] != '\0';
    pg_add_text(&params, page->user_id);
    pg_add_text(&params, page->state);
    pg_add_text(&params, page->hash_key);
    pg_add_int(&params, page->before_us);
    pg_add_text(&params, older ? page->before_id : NULL);
    pg_add_int(&params, page->limit + 1);
    enum celery_status st =
        pg_run(impl,
               "SELECT " ROW_COLUMNS " FROM transactions"
               " WHERE ($1::uuid IS NULL OR user_id = $1::uuid)"
               " AND ($2::text IS NULL OR state = $2::text)"
               " AND ($3::text IS NULL OR canonical_hash = $3::text)"
               " AND ($5::uuid IS NULL OR (created_at, tx_id) <"
               "  (timestamptz 'epoch' + interval '1 microsecond' * $4::bigint,"
               "   $5::uuid))"
               " ORDER BY created_at DESC, tx_id DESC LIMIT $6::bigint",
               &params, &result, err);
    if (st != CELERY_OK)
        return st;
    write_page(result, page->limit, ret_json);
    PQclear(result);
    return celery_buf_status(ret_json);
}

enum celery_status pg_transaction(void *impl, const char *tx_id,
                                  struct celery_buf *ret_json, bool *ret_found,
                                  struct celery_error *err)
{
    PGresult *result = NULL;
    enum celery_status st = pg_find_row(impl, tx_id, &result, err);
    if (st != CELERY_OK)
        return st;
    *ret_found = PQntuples(result) == 1;
    if (*ret_found) {
        struct celery_json_writer w = CELERY_JSON_WRITER(ret_json);
        struct ledger_row row = pg_read_row(result, 0);
        ledger_row_write(&w, &row, true);
    }
    PQclear(result);
    return celery_buf_status(ret_json);
}

/* A user without a credit yet has an empty wallet. */
static const char wallet_sql[] =
    "SELECT u.id, $2::text, COALESCE(w.deposit_balance, 0),"
    " COALESCE(w.winning_balance, 0), COALESCE(w.bonus_balance, 0),"
    " CASE WHEN w.user_id IS NOT NULL THEN true ELSE EXISTS"
    "  (SELECT 1 FROM transactions t"
    "    WHERE t.user_id = u.id AND t.currency = $2::text) END"
    " FROM users u LEFT JOIN wallets w"
    " ON w.user_id = u.id AND w.currency = $2::text"
    " WHERE u.id = $1::uuid";

enum celery_status pg_wallet(void *impl, const char *user_id,
                             const char *currency, struct celery_buf *ret_json,
                             struct ledger_wallet_found *ret_found,
                             struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, user_id);
    pg_add_text(&params, currency);
    enum celery_status st = pg_run(impl, wallet_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    ret_found->user = PQntuples(result) == 1;
    if (ret_found->user) {
        struct ledger_wallet_row row = {
            pg_text(result, 0, 0), pg_text(result, 0, 1), pg_text(result, 0, 2),
            pg_text(result, 0, 3), pg_text(result, 0, 4)};
        ret_found->used = pg_bool(result, 0, 5);
        st = ledger_wallet_write(ret_json, &row, err);
    }
    PQclear(result);
    return st;
}

enum celery_status pg_register_user(void *impl, const struct ledger_user *user,
                                    char ret_user_id[LEDGER_ID_MAX],
                                    bool *ret_created, struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_text(&params, user->id);
    if (user->telegram_id != 0)
        pg_add_int(&params, user->telegram_id);
    else
        pg_add_text(&params, NULL);
    pg_add_text(&params, user->username);
    enum celery_status st =
        pg_run(impl,
               "SELECT user_id, created"
               " FROM register_user($1::uuid, $2::bigint, $3::text)",
               &params, &result, err);
    if (st != CELERY_OK)
        return st;
    if (PQntuples(result) == 1) {
        pg_copy(result, 0, 0, ret_user_id, LEDGER_ID_MAX);
        *ret_created = pg_bool(result, 0, 1);
    } else {
        st = celery_fail(err, CELERY_IO, "the user's row vanished meanwhile");
    }
    PQclear(result);
    return st;
}
