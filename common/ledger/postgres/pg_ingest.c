/* SPDX-License-Identifier: MIT */
/*
 * Webhooks and their deposits in: one call of ingest_webhooks()
 * (migrations/postgres/0007_identity.sql) for a whole batch, hence one commit
 * and one round trip.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/random_id.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

static const char ingest_sql[] =
    "SELECT item, id, result, state, publish, traceparent, detail"
    " FROM ingest_webhooks($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
    " $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,"
    " $27, $28, $29, $30, $31)";

/* --- the webhooks' columns ----------------------------------------------- */

/* A column of texts, NULL where the member is. */
#define ADD_WEBHOOK_TEXTS(params, batch, member)                 \
    do {                                                         \
        pg_begin_array((params), PG_TEXTS);                      \
        for (size_t i_ = 0; i_ < (batch)->webhook_count; i_++)   \
            pg_put_text((params), (batch)->webhooks[i_].member); \
        pg_end_array((params));                                  \
    } while (0)

static void add_keys(struct pg_params *params, const struct ledger_batch *batch)
{
    unsigned char digests[LEDGER_BATCH_MAX][LEDGER_DIGEST_LEN];
    pg_begin_array(params, PG_BYTEAS);
    for (size_t i = 0; i < batch->webhook_count; i++) {
        struct ledger_inbox_key key;
        ledger_inbox_key(&batch->webhooks[i], &key);
        pg_put_bytes(params, (struct celery_str){key.bytes, key.len});
        memcpy(digests[i], key.digest, LEDGER_DIGEST_LEN);
    }
    pg_end_array(params);
    pg_begin_array(params, PG_BYTEAS);
    for (size_t i = 0; i < batch->webhook_count; i++)
        pg_put_bytes(params, (struct celery_str){(const char *)digests[i],
                                                 LEDGER_DIGEST_LEN});
    pg_end_array(params);
}

static void add_bodies(struct pg_params *params,
                       const struct ledger_batch *batch)
{
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->webhook_count; i++) {
        if (batch->webhooks[i].headers.len == 0)
            pg_put_null(params);
        else
            pg_put_bytes(params, batch->webhooks[i].headers);
    }
    pg_end_array(params);
    pg_begin_array(params, PG_BYTEAS);
    for (size_t i = 0; i < batch->webhook_count; i++)
        pg_put_bytes(params, batch->webhooks[i].body);
    pg_end_array(params);
}

/* Where a webhook's deposits stand among all: from 1, as PostgreSQL counts. */
static void add_places(struct pg_params *params,
                       const struct ledger_batch *batch)
{
    int32_t first = 1;
    pg_begin_array(params, PG_INTS);
    for (size_t i = 0; i < batch->webhook_count; i++) {
        pg_put_int(params, first);
        first += (int32_t)batch->webhooks[i].deposit_count;
    }
    pg_end_array(params);
    pg_begin_array(params, PG_INTS);
    for (size_t i = 0; i < batch->webhook_count; i++)
        pg_put_int(params, (int32_t)batch->webhooks[i].deposit_count);
    pg_end_array(params);
}

static void add_webhooks(struct pg_params *params,
                         const struct ledger_batch *batch)
{
    pg_begin_array(params, PG_UUIDS);
    for (size_t i = 0; i < batch->webhook_count; i++)
        pg_put_uuid(params, batch->webhooks[i].inbox_id);
    pg_end_array(params);
    ADD_WEBHOOK_TEXTS(params, batch, source);
    add_keys(params, batch);
    ADD_WEBHOOK_TEXTS(params, batch, event_id);
    ADD_WEBHOOK_TEXTS(params, batch, request_id);
    add_bodies(params, batch);
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->webhook_count; i++)
        pg_put_text(params, ledger_outcome_name(batch->webhooks[i].outcome));
    pg_end_array(params);
    ADD_WEBHOOK_TEXTS(params, batch, error);
    ADD_WEBHOOK_TEXTS(params, batch, field);
    add_places(params, batch);
}

/* --- the deposits' columns ------------------------------------------------ */

#define ADD_COLUMN(params, batch, type, put, member)      \
    do {                                                  \
        pg_begin_array((params), (type));                 \
        for (size_t i_ = 0; i_ < (batch)->count; i_++)    \
            put((params), (batch)->deposits[i_]->member); \
        pg_end_array((params));                           \
    } while (0)

static void add_identity(struct pg_params *params,
                         const struct ledger_batch *batch,
                         const char (*ids)[LEDGER_ID_MAX])
{
    pg_begin_array(params, PG_INTS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_int(params, batch->webhook_of[i]);
    pg_end_array(params);
    pg_begin_array(params, PG_UUIDS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_uuid(params, ids[i]);
    pg_end_array(params);
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, chain);
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, tx_hash);
    ADD_COLUMN(params, batch, PG_INTS, pg_put_int, log_index);
    ADD_COLUMN(params, batch, PG_BOOLS, pg_put_bool, index_stable);
}

static void add_money(struct pg_params *params,
                      const struct ledger_batch *batch)
{
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, amount);
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, currency);
    ADD_COLUMN(params, batch, PG_UUIDS, pg_put_uuid, user_id);
    ADD_COLUMN(params, batch, PG_BIGINTS, pg_put_bigint, confirmations);
    ADD_COLUMN(params, batch, PG_BIGINTS, pg_put_bigint,
               confirmations_required);
    pg_begin_array(params, PG_BIGINTS);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->deposits[i]->block_number < 0)
            pg_put_null(params);
        else
            pg_put_bigint(params, batch->deposits[i]->block_number);
    }
    pg_end_array(params);
}

static void add_story(struct pg_params *params,
                      const struct ledger_batch *batch)
{
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, to_address);
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, provider_status);
    ADD_COLUMN(params, batch, PG_TEXTS, pg_put_text, conflict_reason);
    ADD_COLUMN(params, batch, PG_BOOLS, pg_put_bool, takes_back);
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->deposits[i]->metadata.len == 0)
            pg_put_null(params);
        else
            pg_put_bytes(params, batch->deposits[i]->metadata);
    }
    pg_end_array(params);
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->count; i++) {
        const char *trace = batch->deposits[i]->traceparent;
        pg_put_text(params, trace[0] != '\0' ? trace : NULL);
    }
    pg_end_array(params);
}

/* --- answers --------------------------------------------------------------- */

static enum ledger_ingest_result result_by_name(const char *name)
{
    if (strcmp(name, "new") == 0)
        return LEDGER_INGEST_NEW;
    return strcmp(name, "differs") == 0 ? LEDGER_INGEST_DIFFERS
                                        : LEDGER_INGEST_DUPLICATE;
}

static void read_webhook(const struct ledger_batch *batch,
                         const PGresult *result, int row, size_t at)
{
    if (at >= batch->webhook_count)
        return;
    struct ledger_webhook_answer *answer = &batch->webhook_answers[at];
    bool reused = strcmp(PQgetvalue(result, row, 2), "reused") == 0;
    answer->result = reused ? LEDGER_INBOX_REUSED : LEDGER_INBOX_REPEATED;
    pg_copy(result, row, 1, answer->inbox_id, sizeof answer->inbox_id);
}

static void read_deposit(const struct ledger_batch *batch,
                         const PGresult *result, int row, size_t at)
{
    if (at >= batch->count)
        return;
    struct ledger_ingested *answer = batch->answers[at];
    *answer = (struct ledger_ingested){0};
    answer->result = result_by_name(PQgetvalue(result, row, 2));
    answer->publish = pg_bool(result, row, 4);
    pg_copy(result, row, 1, answer->tx_id, sizeof answer->tx_id);
    pg_copy(result, row, 5, answer->traceparent, sizeof answer->traceparent);
    pg_copy(result, row, 6, answer->detail, sizeof answer->detail);
    (void)ledger_state_parse(PQgetvalue(result, row, 3), &answer->state);
}

static void read_answers(const struct ledger_batch *batch,
                         const PGresult *result)
{
    struct celery_error why = {0};
    (void)celery_fail(&why, CELERY_IO,
                      "the database did not answer for this deposit");
    ledger_batch_fail(batch, &why);
    for (size_t i = 0; i < batch->webhook_count; i++)
        batch->webhook_answers[i].result = LEDGER_INBOX_NEW;
    for (int row = 0; row < PQntuples(result); row++) {
        int64_t item = pg_int(result, row, 0);
        if (item < 0)
            read_webhook(batch, result, row, (size_t)(-item - 1));
        else
            read_deposit(batch, result, row, (size_t)(item - 1));
    }
}

/* conn NULL: on one of the pool's, a transaction of its own. */
static enum celery_status ingest(struct pg_pool *pool, struct pg_conn *conn,
                                 const struct ledger_batch *batch,
                                 struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    char ids[LEDGER_BATCH_MAX][LEDGER_ID_MAX];
    for (size_t i = 0; i < batch->count; i++)
        ordered_id(ids[i]);
    add_webhooks(&params, batch);
    add_identity(&params, batch, (const char(*)[LEDGER_ID_MAX])ids);
    add_money(&params, batch);
    add_story(&params, batch);
    enum celery_status st =
        conn == NULL ? pg_run(pool, ingest_sql, &params, &result, err)
                     : pg_exec(conn, ingest_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    read_answers(batch, result);
    PQclear(result);
    return CELERY_OK;
}

enum { PARTS_TRIES = 6 };

/* --- part by part ----------------------------------------------------------- */

/* One part under a savepoint; only what is not its own fault is an error. */
static enum celery_status ingest_part(struct pg_conn *conn,
                                      const struct ledger_batch *part,
                                      struct celery_error *err)
{
    enum celery_status st = pg_do(conn, "SAVEPOINT deposit", err);
    if (st != CELERY_OK)
        return st;
    struct celery_error why = {0};
    st = ingest(NULL, conn, part, &why);
    if (st == CELERY_OK)
        return pg_do(conn, "RELEASE SAVEPOINT deposit", err);
    if (!pg_error_of_data(&why)) {
        *err = why;
        return st;
    }
    ledger_batch_fail(part, &why);
    return pg_do(conn, "ROLLBACK TO SAVEPOINT deposit", err);
}

static enum celery_status ingest_parts(struct pg_pool *pool,
                                       const struct ledger_batch *batch,
                                       struct celery_error *err)
{
    struct pg_conn *conn = NULL;
    struct ledger_batch part;
    enum celery_status st = pg_pool_borrow(pool, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = pg_do(conn, "BEGIN", err);
    for (size_t i = 0; st == CELERY_OK && ledger_batch_part(batch, i, &part);
         i++)
        st = ingest_part(conn, &part, err);
    if (st == CELERY_OK)
        st = pg_do(conn, "COMMIT", err);
    else
        (void)!pg_do(conn, "ROLLBACK", NULL);
    pg_pool_return(pool, conn);
    return st;
}

enum celery_status pg_ingest(void *impl, const struct ledger_batch *batch,
                             struct celery_error *err)
{
    struct celery_error why = {0};
    enum celery_status st = ingest(impl, NULL, batch, &why);
    if (st != CELERY_OK && pg_error_of_data(&why)) {
        st = ingest_parts(impl, batch, &why);
        for (unsigned tries = 1; st != CELERY_OK && tries < PARTS_TRIES
                                 && pg_error_repeatable(&why);
             tries++) {
            pg_pause(tries);
            st = ingest_parts(impl, batch, &why);
        }
    }
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}
