/* SPDX-License-Identifier: MIT */
/*
 * Deposits in and the queue of record. The statements are functions of the
 * schema (migrations/postgres/0003_queue.sql), so each verb is one round trip
 * and its plans are kept by the session.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/random_id.h"
#include "ledger/ledger_row.h"
#include "ledger/postgres/pg_ledger.h"

const char *pg_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0
             ? NULL
             : PQgetvalue(result, row, column);
}

int64_t pg_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

bool pg_bool(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column)[0] == 't';
}

void pg_copy(const PGresult *result, int row, int column, char *ret_text,
             size_t size)
{
    (void)snprintf(ret_text, size, "%s", PQgetvalue(result, row, column));
}

/* --- ingest ------------------------------------------------------------- */

static const char ingest_sql[] =
    "SELECT given_id, tx_id, result, state, publish, traceparent"
    " FROM ingest_deposits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,"
    " $13, $14, $15, $16)";

struct ingest_batch {
    const struct ledger_deposit *rows;
    size_t count;
    char (*ids)[LEDGER_ID_MAX];
};

/* A column of texts that stands in the deposit as an array of characters. */
#define ADD_TEXTS(params, batch, member)                     \
    do {                                                     \
        pg_begin_array((params), PG_TEXTS);                  \
        for (size_t i_ = 0; i_ < (batch)->count; i_++)       \
            pg_put_text((params), (batch)->rows[i_].member); \
        pg_end_array((params));                              \
    } while (0)

#define ADD_BIGINTS(params, batch, member)                     \
    do {                                                       \
        pg_begin_array((params), PG_BIGINTS);                  \
        for (size_t i_ = 0; i_ < (batch)->count; i_++)         \
            pg_put_bigint((params), (batch)->rows[i_].member); \
        pg_end_array((params));                                \
    } while (0)

static void add_identity(struct pg_params *params,
                         const struct ingest_batch *batch)
{
    pg_begin_array(params, PG_UUIDS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_uuid(params, batch->ids[i]);
    pg_end_array(params);
    ADD_TEXTS(params, batch, chain);
    ADD_TEXTS(params, batch, tx_hash);
    pg_begin_array(params, PG_INTS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_int(params, batch->rows[i].log_index);
    pg_end_array(params);
}

static void add_money(struct pg_params *params,
                      const struct ingest_batch *batch)
{
    ADD_TEXTS(params, batch, amount);
    ADD_TEXTS(params, batch, currency);
    pg_begin_array(params, PG_UUIDS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_uuid(params, batch->rows[i].user_id);
    pg_end_array(params);
    ADD_BIGINTS(params, batch, confirmations);
    ADD_BIGINTS(params, batch, confirmations_required);
    pg_begin_array(params, PG_BIGINTS);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->rows[i].block_number < 0)
            pg_put_null(params);
        else
            pg_put_bigint(params, batch->rows[i].block_number);
    }
    pg_end_array(params);
}

static void add_story(struct pg_params *params,
                      const struct ingest_batch *batch)
{
    ADD_TEXTS(params, batch, to_address);
    ADD_TEXTS(params, batch, provider_status);
    ADD_TEXTS(params, batch, conflict_reason);
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->rows[i].metadata.len == 0)
            pg_put_null(params);
        else
            pg_put_bytes(params, batch->rows[i].metadata);
    }
    pg_end_array(params);
    pg_begin_array(params, PG_BYTEAS);
    for (size_t i = 0; i < batch->count; i++)
        pg_put_bytes(params, batch->rows[i].raw_body);
    pg_end_array(params);
    pg_begin_array(params, PG_TEXTS);
    for (size_t i = 0; i < batch->count; i++) {
        const char *trace = batch->rows[i].traceparent;
        pg_put_text(params, trace[0] != '\0' ? trace : NULL);
    }
    pg_end_array(params);
}

static enum ledger_ingest_result result_by_name(const char *name)
{
    if (strcmp(name, "new") == 0)
        return LEDGER_INGEST_NEW;
    return strcmp(name, "differs") == 0 ? LEDGER_INGEST_DIFFERS
                                        : LEDGER_INGEST_DUPLICATE;
}

/* Answers come roughly in the order asked, so the search goes on from the last
 * hit. count when the id is none of ours. */
static size_t find_id(const struct ingest_batch *batch, size_t from,
                      const char *id)
{
    for (size_t i = 0; i < batch->count; i++) {
        size_t at = (from + i) % batch->count;
        if (strcmp(batch->ids[at], id) == 0)
            return at;
    }
    return batch->count;
}

static void read_answers(const struct ingest_batch *batch,
                         const PGresult *result, struct ledger_ingested *ret)
{
    size_t at = 0;
    for (size_t i = 0; i < batch->count; i++) {
        ret[i] = (struct ledger_ingested){.result = LEDGER_INGEST_FAILED};
        (void)celery_fail(&ret[i].error, CELERY_IO,
                          "the database did not answer for this deposit");
    }
    for (int row = 0; row < PQntuples(result); row++) {
        at = find_id(batch, at, PQgetvalue(result, row, 0));
        if (at == batch->count) {
            at = 0;
            continue;
        }
        struct ledger_ingested *answer = &ret[at];
        *answer = (struct ledger_ingested){0};
        answer->result = result_by_name(PQgetvalue(result, row, 2));
        answer->publish = pg_bool(result, row, 4);
        pg_copy(result, row, 1, answer->tx_id, sizeof answer->tx_id);
        pg_copy(result, row, 5, answer->traceparent,
                sizeof answer->traceparent);
        (void)ledger_state_parse(PQgetvalue(result, row, 3), &answer->state);
        at++;
    }
}

/* conn NULL: on one of the pool's, a transaction of its own. */
static enum celery_status ingest(struct pg_pool *pool, struct pg_conn *conn,
                                 const struct ingest_batch *batch,
                                 struct ledger_ingested *ret,
                                 struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    for (size_t i = 0; i < batch->count; i++)
        random_id(batch->ids[i]);
    add_identity(&params, batch);
    add_money(&params, batch);
    add_story(&params, batch);
    enum celery_status st =
        conn == NULL ? pg_run(pool, ingest_sql, &params, &result, err)
                     : pg_exec(conn, ingest_sql, &params, &result, err);
    if (st != CELERY_OK)
        return st;
    read_answers(batch, result, ret);
    PQclear(result);
    return CELERY_OK;
}

/* One row under a savepoint; only what is not its own fault is an error. */
static enum celery_status ingest_row(struct pg_conn *conn,
                                     const struct ingest_batch *row,
                                     struct ledger_ingested *ret,
                                     struct celery_error *err)
{
    enum celery_status st = pg_do(conn, "SAVEPOINT deposit", err);
    if (st != CELERY_OK)
        return st;
    struct celery_error why = {0};
    st = ingest(NULL, conn, row, ret, &why);
    if (st == CELERY_OK)
        return pg_do(conn, "RELEASE SAVEPOINT deposit", err);
    if (!pg_error_of_data(&why)) {
        *err = why;
        return st;
    }
    *ret = (struct ledger_ingested){.result = LEDGER_INGEST_FAILED};
    ret->error = why;
    return pg_do(conn, "ROLLBACK TO SAVEPOINT deposit", err);
}

static enum celery_status ingest_rows(struct pg_pool *pool,
                                      const struct ingest_batch *batch,
                                      struct ledger_ingested *ret,
                                      struct celery_error *err)
{
    struct pg_conn *conn = NULL;
    enum celery_status st = pg_pool_borrow(pool, &conn, err);
    if (st != CELERY_OK)
        return st;
    st = pg_do(conn, "BEGIN", err);
    for (size_t i = 0; i < batch->count && st == CELERY_OK; i++) {
        struct ingest_batch row = {&batch->rows[i], 1, &batch->ids[i]};
        st = ingest_row(conn, &row, &ret[i], err);
    }
    if (st == CELERY_OK)
        st = pg_do(conn, "COMMIT", err);
    else
        (void)!pg_do(conn, "ROLLBACK", NULL);
    pg_pool_return(pool, conn);
    return st;
}

enum celery_status pg_ingest(void *impl, const struct ledger_deposit *rows,
                             size_t count, struct ledger_ingested *ret,
                             struct celery_error *err)
{
    char ids[LEDGER_BATCH_MAX][LEDGER_ID_MAX];
    struct ingest_batch batch = {rows, count, ids};
    struct celery_error why = {0};
    enum celery_status st = ingest(impl, NULL, &batch, ret, &why);
    if (st != CELERY_OK && pg_error_of_data(&why))
        st = ingest_rows(impl, &batch, ret, &why);
    if (st != CELERY_OK && err != NULL)
        *err = why;
    return st;
}

/* --- the queue of record ------------------------------------------------ */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

enum celery_status pg_mark_enqueued(void *impl,
                                    const char (*tx_ids)[LEDGER_ID_MAX],
                                    size_t count, double first_s, double cap_s,
                                    struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    char sorted[LEDGER_BATCH_MAX][LEDGER_ID_MAX];
    memcpy(sorted, tx_ids, count * sizeof sorted[0]);
    qsort(sorted, count, sizeof sorted[0], by_text);
    pg_begin_array(&params, PG_UUIDS);
    for (size_t i = 0; i < count; i++)
        pg_put_uuid(&params, sorted[i]);
    pg_end_array(&params);
    pg_add_double(&params, first_s);
    pg_add_double(&params, cap_s);
    enum celery_status st =
        pg_run(impl, "SELECT mark_enqueued($1, $2::float8, $3::float8)",
               &params, &result, err);
    if (st == CELERY_OK)
        PQclear(result);
    return st;
}

enum celery_status pg_sweep(void *impl, const struct ledger_sweep *sweep,
                            struct ledger_due *ret, size_t *ret_count,
                            struct celery_error *err)
{
    CLEANUP(pg_params_done) struct pg_params params = PG_PARAMS_INIT;
    PGresult *result = NULL;
    pg_add_double(&params, sweep->grace_s);
    pg_add_double(&params, sweep->first_s);
    pg_add_double(&params, sweep->cap_s);
    pg_add_int(&params, (int64_t)sweep->limit);
    enum celery_status st = pg_run(
        impl,
        "SELECT tx_id, tx_hash, traceparent, was_first FROM"
        " sweep_deposits($1::float8, $2::float8, $3::float8, $4::bigint)",
        &params, &result, err);
    if (st != CELERY_OK)
        return st;
    size_t rows = (size_t)PQntuples(result);
    *ret_count = rows < sweep->limit ? rows : sweep->limit;
    for (size_t i = 0; i < *ret_count; i++) {
        ret[i] = (struct ledger_due){0};
        pg_copy(result, (int)i, 0, ret[i].tx_id, sizeof ret[i].tx_id);
        pg_copy(result, (int)i, 1, ret[i].tx_hash, sizeof ret[i].tx_hash);
        pg_copy(result, (int)i, 2, ret[i].traceparent,
                sizeof ret[i].traceparent);
        ret[i].first = pg_bool(result, (int)i, 3);
    }
    PQclear(result);
    return CELERY_OK;
}
