/* SPDX-License-Identifier: MIT */
/*
 * The queue of record. The statements are functions of the schema
 * (migrations/postgres/0003_queue.sql), so each verb is one round trip and its
 * plans are kept by the session.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
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
